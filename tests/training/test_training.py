"""Training: the loop on toy costs, batches, devices, groups of processes, progress."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from torch import distributed, nn

# Inside: the loop, its batches, devices and groups are no public names.
from skgmje._backend import cholesky
from skgmje._training import _loop
from skgmje._training._hardware import (
    Gather,
    agree,
    average_gradients,
    by_rows,
    group_size,
    naming_batch_size,
    own_random_state,
    resolve_device,
    training_together,
)
from skgmje._training._loop import (
    ArrayRows,
    NonFiniteLossError,
    TensorBatches,
    TensorRows,
    check_callbacks,
    check_trainer,
    draw_rows,
    load_rows,
    train,
)
from skgmje._training._schedule import Hooks, Plateau, Progress, Schedule, Training
from skgmje.gaussian import Mixture
from skgmje.mixture import KernelMixtureDensity
from skgmje.modules import CodeGenerator, MixtureModule

# The training loop on toy costs -------------------------------------------------------


X = np.random.default_rng(0).normal(size=(40, 2))
CPU = torch.device("cpu")


class Points(MixtureModule):
    """Two free centers that remember their updates."""

    def __init__(self):
        super().__init__()
        self.means = nn.Parameter(torch.tensor([[3.0, 0.0], [0.0, 3.0]]).double())
        self.batches = []

    def forward(self, context=None):
        half = torch.full((2,), 0.5, dtype=torch.float64)
        return Mixture(half, self.means, 2 * half, "spherical")

    def update(self, batch, random_state):
        self.batches.append(batch)


def negative_log_likelihood(mixture, rows):
    return -mixture.log_prob(rows).mean()


def run(criterion=negative_log_likelihood, module=None, **params):
    """Train two points; return them and what happened."""
    hooks = {k: params.pop(k) for k in Hooks.__dataclass_fields__ if k in params}
    schedule = Schedule(**({"max_iter": 60, "learning_rate": 0.1} | params))
    module = Points() if module is None else module
    tensors = [torch.from_numpy(X.copy())]
    generator = torch.Generator().manual_seed(0)
    training = train(
        module, criterion, tensors, schedule, Hooks(**hooks), generator, CPU
    )
    return module, training


class Spy(Callback):
    """Hears of single batches."""

    def __init__(self):
        self.events = []

    def on_batch_end(self, net, **kwargs):
        self.events.append("batch")

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.events.append("gradient")

    def on_epoch_end(self, net, **kwargs):
        self.events.append(net.history[-1, "train_loss"])


@pytest.mark.parametrize("callbacks", [None, [Spy()]], ids=["lean", "full"])
def test_gradients_may_be_clipped_by_another_rule(callbacks):
    module = Points()
    norms = []

    def clip():
        norms.append(module.means.grad.norm().item())
        module.means.grad.zero_()

    run(module=module, clip_gradients=clip, callbacks=callbacks)
    assert len(norms) == 60
    assert min(norms) > 0
    assert torch.equal(module.means, Points().means)


def test_loss_falls_and_there_is_one_for_each_step():
    module, training = run()
    assert len(training.loss_curve) == 60
    assert training.loss_curve[-1] < training.loss_curve[0] - 1
    assert training.complaint == ""
    assert not module.training


@pytest.mark.parametrize("max_iter", [1, 7, 100, 101, 250])
def test_number_of_steps_is_exact(max_iter):
    module, training = run(max_iter=max_iter, learning_rate=1e-3)
    assert len(training.loss_curve) == len(module.batches) == max_iter


@pytest.mark.parametrize("batch_size", [None, 8])
def test_listening_to_batches_changes_nothing(batch_size):
    spy = Spy()
    lean, lean_training = run(batch_size=batch_size)
    full, full_training = run(batch_size=batch_size, callbacks=[spy])
    assert_array_equal(lean_training.loss_curve, full_training.loss_curve)
    assert torch.equal(lean.means, full.means)
    assert spy.events[:3] == ["gradient", "batch", full_training.loss_curve[0]]
    assert len(spy.events) == 180


def test_module_is_updated_with_each_batch():
    module, _ = run(batch_size=8, max_iter=5)
    assert [len(batch) for batch in module.batches] == [8] * 5


def test_steps_and_epochs_are_told():
    fractions, epochs = [], []
    run(max_iter=200, on_step=fractions.append, on_epoch=epochs.append)
    assert_array_equal(fractions, np.arange(200) / 200)
    assert [len(losses) for losses in epochs] == [2] * 100


def test_an_epoch_may_stop_the_run():
    _, training = run(on_epoch=lambda losses: losses[-1] < 3)
    assert 1 < len(training.loss_curve) < 60
    assert training.complaint == ""


def test_skorch_callbacks_may_stop_the_run():
    _, training = run(
        callbacks=[EarlyStopping("train_loss", patience=3, threshold=0.1)]
    )
    assert len(training.loss_curve) < 60
    assert training.complaint == ""


def test_interruption_keeps_the_steps_so_far_and_says_so():
    def interrupt(fraction):
        if fraction >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="at step 30 of 60") as stop:
        run(on_step=interrupt)
    training = stop.value.result
    assert training.complaint == ""
    assert len(training.loss_curve) == 30
    assert np.isfinite(training.loss_curve).all()


def test_interruption_between_two_epochs_is_no_normal_stop():
    def interrupt(losses):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="at step 1 of 60"):
        run(on_epoch=interrupt)


def test_interruption_before_the_first_loss_ends_the_fit():
    def interrupt(fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(on_step=interrupt)


class Store:
    """A checkpoint in memory."""

    state = None

    def read(self):
        return deepcopy(self.state)

    def write(self, state):
        self.state = deepcopy(state)


def test_interruption_before_the_first_step_after_a_crash_keeps_what_was_learned():
    def interrupt(fraction):
        if fraction >= 0.5:
            raise KeyboardInterrupt

    store = Store()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt, match="at step 30 of 60") as stop:
            run(on_step=interrupt, checkpoint=store)
        assert len(stop.value.result.loss_curve) == 30


def test_schedulers_of_skorch_replace_the_cosine():
    rates = []

    class Rates(Callback):
        def on_epoch_end(self, net, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    run(max_iter=4, callbacks=[Rates()])
    assert rates == pytest.approx([0.1, 0.0854, 0.05, 0.0146], abs=1e-4)
    rates.clear()
    constant = LRScheduler(torch.optim.lr_scheduler.ConstantLR, factor=1.0)
    run(max_iter=4, callbacks=[Rates(), constant])
    assert rates == pytest.approx([0.1] * 4)


@pytest.mark.parametrize("name", ["SGD", "LBFGS"])
def test_optimizers_are_reached_through_net_params(name):
    _, training = run(net_params={"optimizer": getattr(torch.optim, name)})
    assert training.loss_curve[-1] < training.loss_curve[0]


@pytest.mark.parametrize("key", ["module", "criterion__x", "max_epochs", "device"])
def test_parameters_of_ours_are_refused(key):
    with pytest.raises(ValueError, match=f"trainer sets .'{key}'"):
        check_trainer({key: 1})


def test_chosen_parameters_learn_faster():
    module = CodeGenerator(
        2, 2, 1.0, torch.Generator().manual_seed(0), learn_weights=True,
        learn_variance=True, dtype=torch.float64,
    )  # fmt: skip
    run(module=module, max_iter=1, learning_rate=0.01, fast_parameters=("log_*",))
    # Adam's first step is the learning rate itself.
    assert abs(module.log_variance.item()) == pytest.approx(0.05, rel=1e-3)


def test_exploding_parameters_go_back_to_the_best():
    module, training = run(learning_rate=1e6)
    assert "so the best parameters were restored" in training.complaint
    assert "learning_rate=1e+06" in training.complaint
    assert torch.equal(module.means, Points().means)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_one_bad_loss_ends_the_run_at_the_best_parameters(bad):
    calls, seen = [], []

    def losses_so_far(losses):
        seen.extend(losses)
        return seen

    def poisoned(mixture, rows):
        calls.append(0)
        loss = negative_log_likelihood(mixture, rows)
        return loss * bad if len(calls) == 31 else loss

    module, training = run(poisoned)
    assert "Training failed at step 31 of 60" in training.complaint
    # The loss of step 30 is that of the parameters after 29 steps.
    healthy, _ = run(on_epoch=lambda losses: len(losses_so_far(losses)) == 29)
    assert torch.equal(module.means, healthy.means)


def test_a_bad_loss_within_an_epoch_is_seen():
    calls = []

    def poisoned(mixture, rows):
        calls.append(0)
        loss = negative_log_likelihood(mixture, rows)
        return loss * float("nan") if len(calls) == 32 else loss

    module, training = run(poisoned, max_iter=300)
    assert "Training failed at step 33 of 300 with" in training.complaint
    assert torch.isfinite(module.means).all()


def test_loss_that_is_never_finite_raises():
    with pytest.raises(NonFiniteLossError, match="no good parameters"):
        run(lambda mixture, rows: mixture.means.sum() * float("nan"))


def test_error_of_the_first_step_is_the_users_to_see():
    def broken(mixture, rows):
        raise ValueError("my cost is broken")

    with pytest.raises(ValueError, match="my cost is broken"):
        run(broken)


@pytest.mark.parametrize("error", [ValueError, RuntimeError, FloatingPointError])
def test_later_errors_of_the_user_are_raised(error):
    def broken(fraction):
        if fraction > 0.5:
            raise error("my callback is broken")

    with pytest.raises(error, match="my callback is broken"):
        run(on_step=broken)


def test_failed_factorisation_goes_back_to_the_best():
    calls = []

    def singular(mixture, rows):
        calls.append(0)
        loss = negative_log_likelihood(mixture, rows)
        factor = torch.eye(2) * (-1.0 if len(calls) == 31 else 1.0)
        return loss * cholesky(factor, "R")[0, 0]

    _, training = run(singular)
    assert "not positive definite" in training.complaint
    assert len(training.loss_curve) == 30


def test_loss_curve_ends_before_a_failure():
    _, training = run(learning_rate=1e300)
    assert np.isfinite(training.loss_curve).all()
    assert 1 <= len(training.loss_curve) < 60


def test_a_rise_below_the_tolerance_is_none():
    def rising(mixture, rows):
        return mixture.means.sum() * 0 + len(losses) * 1e-6

    losses = []
    for tol, trouble in [(0.0, "The loss rose"), (1e-3, "")]:
        _, training = run(rising, on_epoch=losses.append, tol=tol)
        assert training.complaint.startswith(trouble)
        assert bool(training.complaint) == bool(trouble)


class Monitor(Callback):
    monitor = "valid_loss_best"


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([3], "3, which is no callback of skorch"),
        ([EarlyStopping()], "EarlyStopping that monitors 'valid_loss'"),
        ([("stop", Monitor)], "Pass it monitor='train_loss'"),
    ],
)
def test_bad_callbacks_are_named(callbacks, message):
    with pytest.raises(ValueError, match=message):
        check_callbacks(callbacks)


@pytest.mark.parametrize(
    "net_params",
    [
        {"optimizer__foreach": True},
        {"optimizer__fused": False},
        {"optimizer__weight_decay": 0.0, "optimizer__amsgrad": False},
        {"optimizer": torch.optim.Adam},
    ],
)
def test_variants_of_adam_go_the_same_way(net_params):
    module, _ = run(net_params=net_params)
    assert_allclose(module.means.detach(), run()[0].means.detach(), rtol=1e-10)


def test_unsuitable_net_params_are_named():
    with pytest.raises(ValueError, match=r"trainer=.* does not suit"):
        run(net_params={"typo": 1})


@pytest.mark.parametrize("max_iter", [1, 2, 250])
def test_explosion_in_the_last_step_is_seen(max_iter):
    module, training = run(max_iter=max_iter, learning_rate=1e9)
    assert "restored" in training.complaint
    assert torch.equal(module.means, Points().means)


def test_rising_loss_is_undone():
    signs = []

    def turning(mixture, rows):
        signs.append(0)
        sign = 1 if len(signs) < 20 else -1
        loss = negative_log_likelihood(mixture, rows)
        # The gradient turns round, the value does not.
        return loss.detach() + sign * (loss - loss.detach())

    module, training = run(turning)
    assert "The loss rose from" in training.complaint or training.complaint == ""
    final = negative_log_likelihood(module(), torch.from_numpy(X)).item()
    assert final <= training.loss_curve.min() + 0.2


def test_warmup_is_not_compared():
    def cooling(mixture, rows):
        return negative_log_likelihood(mixture, rows) + 10 * min(
            1, state["fraction"] * 2
        )

    state = {}
    _, training = run(
        cooling, on_step=lambda f: state.update(fraction=f), warmup=0.5, max_iter=100
    )
    assert training.complaint == ""
    assert training.loss_curve[-1] > training.loss_curve[0]


def test_same_bits_from_threads_and_global_states_untouched():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: run(batch_size=8), range(8)))
    for module, training in runs:
        assert torch.equal(module.means, runs[0][0].means)
        assert_array_equal(training.loss_curve, runs[0][1].loss_curve)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_training_is_a_value():
    assert Training(np.zeros(2)).complaint == ""


def test_lack_of_memory_names_a_smaller_batch():
    def greedy(mixture, rows):
        return negative_log_likelihood(mixture, rows) + torch.empty(2**50).sum()

    with pytest.raises(
        MemoryError, match=r"batch_size=20\. Try batch_size=10"
    ) as caught:
        run(greedy, batch_size=20)
    assert isinstance(caught.value.__cause__, RuntimeError)


# Batches of tensors that are already where they are needed ----------------------------


BATCHES_CPU = torch.device("cpu")


def _batches(n, size, **params):
    X = torch.arange(n, dtype=torch.float64)[:, None]
    rows = TensorRows(X, 10 * X[:, 0])
    generator = torch.Generator().manual_seed(0)
    return TensorBatches(rows, size, random_state=generator, **params), X


def test_full_batch_is_not_copied():
    batches, X = _batches(5, 5, n_steps=3)
    assert len(batches) == 3
    assert all(batch is X for batch, _ in batches)


def test_rows_come_once_before_any_comes_twice():
    batches, X = _batches(12, 4, n_steps=3)
    for _ in range(4):
        seen = torch.cat([batch for batch, _ in batches])
        assert torch.equal(seen.sort(dim=0).values, X)


def test_batches_have_one_size_and_keep_rows_together():
    batches, _ = _batches(10, 4, n_steps=7)
    sizes = [
        len(batch) for batch, (other,) in batches if (10 * batch[:, 0] == other).all()
    ]
    assert sizes == [4] * 7


def test_passes_end_after_the_last_step():
    batches, _ = _batches(10, 4, n_steps=3, max_steps=7)
    assert [len(list(batches)) for _ in range(4)] == [3, 3, 1, 0]


def test_same_seed_same_batches():
    first, second = ([b for b, _ in _batches(9, 2, n_steps=9)[0]] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_tensors_where_they_fit_else_arrays_and_the_same_batches(monkeypatch):
    monkeypatch.setattr(_loop, "_CHUNK_ENTRIES", 7)
    arrays = [np.arange(24.0).reshape(12, 2), np.arange(12.0)]
    tensors, streamed = (
        load_rows(arrays, np.float32, BATCHES_CPU, size) for size in (144, 143)
    )
    assert isinstance(tensors, TensorRows)
    assert isinstance(streamed, ArrayRows)
    seeds = [torch.Generator().manual_seed(0) for _ in range(2)]
    first, second = (
        TensorBatches(rows, 5, n_steps=6, random_state=seed)
        for rows, seed in zip((tensors, streamed), seeds, strict=True)
    )
    for (X, (y,)), (Z, (z,)) in zip(first, second, strict=True):
        assert X.dtype == Z.dtype == torch.float32
        assert torch.equal(X, Z)
        assert torch.equal(y, z)


def test_very_many_rows_are_drawn_without_a_permutation():
    rows = draw_rows(10**12, 1000, torch.Generator().manual_seed(0))
    assert rows.shape == (1000,)
    assert 0.4e12 < rows.double().mean() < 0.6e12
    few = draw_rows(10, 10, torch.Generator().manual_seed(0))
    assert few.sort().values.tolist() == list(range(10))


@pytest.mark.parametrize("size", [4, 12])
def test_arrays_may_be_read_only(size):
    X = np.arange(24.0).reshape(12, 2)
    X.flags.writeable = False
    rows = ArrayRows(X, dtype=np.float64, device=BATCHES_CPU)
    ((batch, others),) = TensorBatches(rows, size, random_state=torch.Generator())
    assert batch.shape == (size, 2)
    assert others == ()
    assert set(batch[:, 0].tolist()) <= set(X[:, 0])


# Devices, and the random states that torch keeps for everybody ------------------------


def test_auto_is_a_device_that_is_there():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_device("auto").type == expected
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("device", ["no-such-device", "cuda:77", ""])
def test_unusable_device_is_named(device):
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used"):
        resolve_device(device)


def test_layers_depend_on_the_seed_and_the_global_state_stays():
    before = torch.get_rng_state()

    def build(seed):
        with own_random_state(seed):
            return nn.Linear(4, 4).weight

    assert torch.equal(build(3), build(3))
    assert not torch.equal(build(3), build(4))
    assert torch.equal(torch.get_rng_state(), before)


def test_state_is_given_back_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), own_random_state(0):
        torch.rand(1).reshape(2)
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_take_turns():
    def build(seed):
        with own_random_state(seed):
            return nn.Sequential(*(nn.Linear(30, 30) for _ in range(5)))[-1].weight

    seeds = list(range(8)) * 4
    with ThreadPoolExecutor(8) as pool:
        weights = list(pool.map(build, seeds))
    for seed, weight in zip(seeds, weights, strict=True):
        assert torch.equal(weight, build(seed))


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
        RuntimeError("MPS backend out of memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"),
        MemoryError(),
    ],
    ids=["cuda", "mps", "windows", "numpy"],
)
def test_device_lack_of_memory_names_a_smaller_batch(error):
    with (
        pytest.raises(
            MemoryError, match=r"for batch_size=300.* Try batch_size=150\."
        ) as e,
        naming_batch_size(300),
    ):
        raise error
    assert e.value.__cause__ is error


def test_a_batch_of_one_row_cannot_be_smaller():
    with pytest.raises(MemoryError, match="smaller layers"), naming_batch_size(1):
        torch.empty(2**50)


def test_other_errors_are_left_alone():
    with pytest.raises(RuntimeError, match="shapes"), naming_batch_size(4):
        raise RuntimeError("shapes differ")


# One training by several processes, in a group of one; more are in tests/faults -------


GROUP_CPU = torch.device("cpu")
GROUP_X = np.random.default_rng(0).normal(size=(60, 2))
ROWS = TensorRows(torch.from_numpy(GROUP_X))


@pytest.fixture
def group(tmp_path, monkeypatch):
    """A group of this process alone, on the loopback interface."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


class Pair:
    """Two processes that hold the same rows: what both send is twice the one's."""

    def __init__(self, rank=0):
        self.rank = rank
        self.messages = 0

    def install(self, monkeypatch):
        def all_reduce(tensor):
            self.messages += 1
            tensor *= 2

        monkeypatch.setattr(distributed, "all_reduce", all_reduce)
        monkeypatch.setattr("skgmje._training._hardware.group_size", lambda: 2)
        monkeypatch.setattr(distributed, "get_rank", lambda: self.rank)
        return self


def test_gather_has_correct_gradient(group):
    whole = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: Gather.apply(x, 2, 7) ** 3, (whole,))


def test_gather_takes_the_axis_of_the_rows(group):
    own = torch.arange(12.0).reshape(2, 3, 2).requires_grad_()
    whole = Gather.apply(own, 1, 5)
    assert whole.shape == (2, 5, 2)
    assert_array_equal(whole[:, 1:4].detach(), own.detach())
    assert whole[:, [0, 4]].abs().sum() == 0
    whole.square().sum().backward()
    assert_array_equal(own.grad, 2 * own.detach())


def test_gradients_of_all_processes_are_added(monkeypatch):
    pair = Pair().install(monkeypatch)
    own = torch.ones(3, 2, requires_grad=True)
    Gather.apply(own, 0, 6).sum().backward()
    assert pair.messages == 2
    assert_array_equal(own.grad, np.full((3, 2), 2.0))


@pytest.mark.parametrize(("rank", "rows"), [(0, slice(0, 2)), (1, slice(2, 5))])
def test_each_process_evaluates_its_share(monkeypatch, rank, rows):
    Pair(rank).install(monkeypatch)
    seen = []

    def network(rows):
        seen.append(rows)
        return rows

    whole = torch.arange(10.0).reshape(5, 2)
    out = by_rows(network, whole)
    assert_array_equal(seen[0], whole[rows])
    assert_array_equal(out[rows], 2 * whole[rows])


def test_batch_normalisation_sees_all_rows(monkeypatch):
    Pair(1).install(monkeypatch)
    norm = nn.BatchNorm1d(2)
    seen = []
    norm.register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    by_rows(nn.Sequential(norm), torch.randn(9, 2))
    assert seen == [9]
    assert not norm._forward_pre_hooks
    assert len(norm._forward_hooks) == 1
    by_rows(nn.Sequential(norm).eval(), torch.randn(9, 2))
    assert seen == [9, 5]


def test_gradients_are_averaged_in_one_message(monkeypatch):
    pair = Pair().install(monkeypatch)
    parameters = [nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(4))]
    for parameter in [*parameters, nn.Parameter(torch.ones(1))][:2]:
        parameter.grad = torch.full_like(parameter, 3.0)
    average_gradients([*parameters, nn.Parameter(torch.ones(1))])
    assert pair.messages == 1
    assert all((parameter.grad == 3).all() for parameter in parameters)


def test_outside_of_a_training_nothing_is_sent(group):
    assert group_size() == 1
    assert by_rows(lambda rows: rows, GROUP_X) is GROUP_X
    assert agree([1.0], GROUP_CPU) == [1.0]
    with training_together(nn.Linear(2, 2), ROWS, torch.Generator(), GROUP_CPU):
        assert group_size() == 1


def test_a_group_of_one_changes_no_bit(tmp_path, group):
    params = {"max_iter": 10, "batch_size": 20, "random_state": 0}
    estimator = KernelMixtureDensity(3, bandwidth="cell", shrinkage=2, **params)
    together = estimator.fit(GROUP_X).means_
    distributed.destroy_process_group()
    alone = estimator.fit(GROUP_X).means_
    store = distributed.FileStore(str(tmp_path / "again"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    assert_array_equal(together, alone)


def test_processes_with_other_rows_are_found(group, monkeypatch):
    def broadcast(tensor, source):
        tensor += 1

    monkeypatch.setattr(distributed, "broadcast", broadcast)
    with (
        pytest.raises(ValueError, match="same X"),
        training_together(nn.Linear(2, 2), ROWS, torch.Generator(), GROUP_CPU),
    ):
        pass


def test_who_forgets_the_group_is_told(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.warns(UserWarning, match="init_process_group"),
        training_together(nn.Linear(2, 2), ROWS, torch.Generator(), GROUP_CPU),
    ):
        pass


# What a long training says while it runs ----------------------------------------------


@pytest.mark.parametrize(
    ("max_iter", "epoch", "n_lines"), [(100, 1, 10), (300, 3, 10), (7, 1, 7), (5, 5, 1)]
)
def test_a_line_every_tenth(capsys, max_iter, epoch, n_lines):
    progress = Progress("Name", max_iter, 1, word="cost")
    for _ in range(0, max_iter, epoch):
        progress([0.5] * epoch)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == n_lines
    assert lines[-1].startswith(f"[Name] step {max_iter}/{max_iter}, cost 0.5, ")


# When a long training has come to rest ------------------------------------------------


def test_plateau_waits_for_a_window_after_the_warmup():
    plateau = Plateau(100, tol=1e-3, warmup=0.5)
    answers = [plateau([1.0]) for _ in range(100)]
    assert answers.index(True) == 59


def test_plateau_needs_all_of_the_window_to_be_flat():
    plateau = Plateau(100, tol=0.1, warmup=0.0)
    assert not any(plateau([float(i % 2)]) for i in range(50))


def test_plateau_is_no_single_loss():
    plateau = Plateau(10, tol=1e-3, warmup=0.0)
    assert not any(plateau([1.0 / (1 + i)]) for i in range(10))
    assert not any(Plateau(3, tol=1e-3, warmup=0.0)([1.0]) for _ in range(3))

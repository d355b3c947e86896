"""One training by several processes, in a group of one; more are in tests/faults."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import distributed, nn

from skgmje._training._hardware import (
    Gather,
    agree,
    average_gradients,
    by_rows,
    group_size,
    training_together,
)
from skgmje._training._loop import TensorRows
from skgmje.mixture import KernelMixtureDensity

CPU = torch.device("cpu")
X = np.random.default_rng(0).normal(size=(60, 2))
ROWS = TensorRows(torch.from_numpy(X))


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
    assert by_rows(lambda rows: rows, X) is X
    assert agree([1.0], CPU) == [1.0]
    with training_together(nn.Linear(2, 2), ROWS, torch.Generator(), CPU):
        assert group_size() == 1


def test_a_group_of_one_changes_no_bit(tmp_path, group):
    params = {"max_iter": 10, "hidden_layer_sizes": (8,), "random_state": 0}
    estimator = KernelMixtureDensity(3, shrinkage=2, batch_size=20, **params)
    together = estimator.fit(X).means_
    distributed.destroy_process_group()
    alone = estimator.fit(X).means_
    store = distributed.FileStore(str(tmp_path / "again"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    assert_array_equal(together, alone)


def test_processes_with_other_rows_are_found(group, monkeypatch):
    def broadcast(tensor, source):
        tensor += 1

    monkeypatch.setattr(distributed, "broadcast", broadcast)
    with (
        pytest.raises(ValueError, match="same X"),
        training_together(nn.Linear(2, 2), ROWS, torch.Generator(), CPU),
    ):
        pass


def test_who_forgets_the_group_is_told(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.warns(UserWarning, match="init_process_group"),
        training_together(nn.Linear(2, 2), ROWS, torch.Generator(), CPU),
    ):
        pass

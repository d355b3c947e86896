"""Batches and the training loop of networks; the only file that knows skorch."""

import dis
import math
from itertools import takewhile

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, Checkpoint, LRScheduler
from torch import nn

from skgmje._interrupt import Work
from skgmje._training._hardware import (
    agree,
    average_gradients,
    naming_batch_size,
    training_together,
)
from skgmje._training._schedule import Training, read_trainer

# Permutations of more samples than these would be as large as the samples.
_MAX_PERMUTED = 2**22
# Entries that are converted at a time.
_CHUNK_ENTRIES = 2**20


class TensorRows(torch.utils.data.Dataset):
    """Tensors that share their samples, already on their device."""

    def __init__(self, X, *others):
        self.X = X
        self.others = others
        self.device = X.device

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        return self.X[rows], tuple(other[rows] for other in self.others)


class ArrayRows(torch.utils.data.Dataset):
    """Arrays that share their samples, read and moved when a batch asks for them."""

    def __init__(self, X, *others, dtype, device):
        self.arrays = (X, *others)
        self.dtype = dtype
        self.device = device

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, rows):
        if torch.is_tensor(rows):
            rows = rows.numpy()
        X, *others = [
            torch.from_numpy(np.array(array[rows], self.dtype)).to(self.device)
            for array in self.arrays
        ]
        return X, tuple(others)


def load_rows(arrays, dtype, device, max_bytes):
    """Return samples for training: tensors if they fit, else arrays."""
    rows = ArrayRows(*arrays, dtype=dtype, device=device)
    size = sum(math.prod(array.shape) for array in arrays) * np.dtype(dtype).itemsize
    if size > max_bytes:
        return rows
    X, others = rows[:1]
    whole = [part.new_empty((len(rows), *part.shape[1:])) for part in (X, *others)]
    step = max(1, _CHUNK_ENTRIES // max(1, X[0].numel()))
    for start in range(0, len(rows), step):
        chunk = slice(start, start + step)
        X, others = rows[chunk]
        for tensor, part in zip(whole, (X, *others), strict=True):
            tensor[chunk] = part
    return TensorRows(*whole)


def share_rows(array, device):
    """Return an array as samples for training, on the CPU without a copy of it."""
    return TensorRows(torch.from_numpy(array).to(device).contiguous())


def draw_rows(n_rows, size, random_state):
    """Return indices of random samples; of very many some may come twice."""
    if n_rows > _MAX_PERMUTED:
        return torch.randint(n_rows, (size,), generator=random_state)
    return torch.randperm(n_rows, generator=random_state)[:size]


class TensorBatches:
    """Iterate over batches of tensors without visiting single samples."""

    remembered = ("left", "source", "n_used")

    def __init__(
        self, dataset, batch_size, n_steps=1, max_steps=None, random_state=None
    ):
        self.dataset = dataset
        self.batch_size = min(batch_size, len(dataset))
        self.n_steps = n_steps
        self.left = math.inf if max_steps is None else max_steps
        self.random_state = random_state
        # The order follows from the state of the generator that it was drawn by.
        self.source = self.order = None
        self.n_used = 0

    def __len__(self):
        return min(self.n_steps, self.left)

    def __iter__(self):
        for _ in range(len(self)):
            self.left -= 1
            yield self._next()

    def _next(self):
        """Return the samples of the next batch."""
        size, n_rows = self.batch_size, len(self.dataset)
        if size == n_rows and isinstance(self.dataset, TensorRows):
            return self.dataset.X, self.dataset.others
        if self.order is None and self.source is not None:
            self.order = self._draw(torch.Generator().set_state(self.source.cpu()))
        if self.order is None or len(self.order) - self.n_used < size:
            self.source = self.random_state and self.random_state.get_state()
            self.order, self.n_used = self._draw(self.random_state), 0
        rows = self.order[self.n_used : self.n_used + size]
        self.n_used += size
        return self.dataset[rows]

    def _draw(self, random_state):
        """Return the next order of the samples; of very many, of one batch."""
        n_rows = len(self.dataset)
        drawn = self.batch_size if n_rows > _MAX_PERMUTED else n_rows
        order = draw_rows(n_rows, drawn, random_state)
        if isinstance(self.dataset, TensorRows):
            order = order.to(self.dataset.device)
        return order


_GRADIENT_NORM = 5.0
# How many times its first value, or 1, a loss may reach: it only ever falls.
_EXPLODED = 100.0
_OURS = set(
    "batch_size callbacks criterion dataset device iterator_train iterator_valid "
    "lr max_epochs module optimizer__lr train_split verbose".split()
)


class NonFiniteLossError(FloatingPointError):
    """Training met a loss that is not a finite number, with nothing to go back to."""


# What bad parameters may raise; of ValueError only some.
_FAILURES = (NonFiniteLossError, ValueError, torch.linalg.LinAlgError)
_NUMERICAL = NonFiniteLossError | torch.linalg.LinAlgError | np.linalg.LinAlgError


class DefaultGenerator:
    """torch's own source of randomness, which networks of others draw from."""

    remembered = ("generator",)
    generator = torch.default_generator


def recall(part):
    """Return what a part remembers, by name."""
    found = {name: getattr(part, name) for name in getattr(part, "remembered", ())}
    return {
        name: value.get_state() if isinstance(value, torch.Generator) else value
        for name, value in found.items()
    }


def restore(part, known, device):
    """Let a part know what :func:`recall` returned; tensors go to `device`."""
    for name, value in known.items():
        own = getattr(part, name)
        if isinstance(own, torch.Generator):
            own.set_state(value)
        else:
            setattr(part, name, _moved(value, device))


def _moved(value, device):
    """Return a value with all its tensors on a device."""
    if torch.is_tensor(value):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, device) for item in value]
    return value


def _lay_out(optimizer):
    """Give what an optimiser remembers of parameters their order in memory."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.shape == parameter.shape:
                whole = torch.empty_like(parameter, dtype=value.dtype)
                state[name] = whole.copy_(value)


class RunRecord:
    """Keeps the state of a run in a checkpoint, epoch by epoch, if there is one."""

    def __init__(self, checkpoint):
        self.checkpoint = checkpoint
        self.known = None if checkpoint is None else checkpoint.read()
        self.n_epochs = 0 if self.known is None else self.known["n_epochs"]

    def resume(self, parts, module, optimizer, device):
        """Take up where the same run once ended in a crash, if it did."""
        known, self.known = self.known, None
        if known is not None:
            module.load_state_dict(known["module"])
            optimizer.load_state_dict(known["optimizer"])
            _lay_out(optimizer)
            for part, values in zip(parts, known["parts"], strict=True):
                restore(part, values, device)

    def write(self, parts, module, optimizer):
        """Write down the end of an epoch."""
        self.n_epochs += 1
        if self.checkpoint is not None:
            self.checkpoint.write(
                {
                    "n_epochs": self.n_epochs,
                    "module": dict(module.state_dict()),
                    "optimizer": optimizer.state_dict(),
                    "parts": [recall(part) for part in parts],
                }
            )


class _Criterion(nn.Module):
    """A function of the mixture and the batch, as checkpoints of skorch want it."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, mixture, X, *others):
        return self.function(mixture, X, *others)


def _reads_batches(callback):
    """Return whether a skorch callback wants to hear of single batches."""
    events = ("on_batch_begin", "on_batch_end", "on_grad_computed")
    # A checkpoint may name its file after the last batch.
    return isinstance(callback, Checkpoint) or any(
        getattr(type(callback), event) is not getattr(Callback, event)
        for event in events
    )


def _is_raised_by(error, callbacks):
    """Return whether a callback raises an error itself; Ctrl-C comes while it runs."""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    code, owner = trace.tb_frame.f_code, trace.tb_frame.f_locals.get("self")
    raises = dis.opname[code.co_code[trace.tb_lasti]] == "RAISE_VARARGS"
    return raises and any(owner is callback for callback in callbacks)


class _MixtureNet(NeuralNet):
    """skorch's net with lean epochs, a cosine schedule and a memory of the best."""

    # What a run that goes on after a crash must know.
    remembered = (
        *("losses_", "n_steps_", "first_loss_", "best_loss_"),
        *("state_", "best_state_", "random_state"),
    )

    def __init__(self, *args, schedule, hooks, random_state, **kwargs):
        self.schedule = schedule
        self.hooks = hooks
        self.random_state = random_state
        super().__init__(*args, **kwargs)

    def get_loss(self, y_pred, y_true, X=None, training=False):  # noqa: FBT002
        return self.criterion_(y_pred, X, *y_true)

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        super().on_train_begin(net, X=X, y=y, **kwargs)
        callbacks = [callback for _, callback in self.callbacks_]
        self.lean_ = not any(map(_reads_batches, callbacks))
        self.cosine_ = not any(isinstance(cb, LRScheduler) for cb in callbacks)
        self.rates_ = [group["lr"] for group in self.optimizer_.param_groups]
        self.losses_ = []
        self.n_steps_ = 0
        self.when_ = ""
        self.is_told_to_stop_ = False
        self.last_batch_ = None
        self.first_loss_ = self.best_loss_ = math.inf
        self.state_ = self.best_state_ = self._state()
        self.record_ = RunRecord(self.hooks.checkpoint)
        self.max_epochs -= self.record_.n_epochs

    def fit_loop(self, *args, **kwargs):
        try:
            return super().fit_loop(*args, **kwargs)
        except KeyboardInterrupt:
            # skorch ends a run in silence, whoever interrupts it.
            if not self.is_told_to_stop_:
                self.when_ = f"at step {self.n_steps_} of {self.schedule.max_iter}"
            raise

    def notify(self, method_name, **kwargs):
        try:
            return super().notify(method_name, **kwargs)
        except KeyboardInterrupt as stop:
            # Between two epochs a callback of skorch's may stop a run so.
            between = method_name in ("on_epoch_begin", "on_epoch_end")
            own = [callback for _, callback in self.callbacks_]
            self.is_told_to_stop_ = between and _is_raised_by(stop, own)
            raise

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        if not training:
            return  # No samples are held out.
        parts = [self, self.module_, iterator, *self.hooks.memories]
        self.record_.resume(parts, self.module_, self.optimizer_, self.device)
        n_before = len(self.losses_)
        if self.lean_:
            self._lean_epoch(iterator, prefix)
        else:
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
            self.losses_ += self.history[-1, "batches", :, prefix + "_loss"]
        losses = self.losses_[n_before:] = agree(self.losses_[n_before:], self.device)
        self._check_losses(losses)
        if self.hooks.on_epoch is not None and self.hooks.on_epoch(losses):
            self.is_told_to_stop_ = True
            raise KeyboardInterrupt  # skorch's word for "stop here"
        # Who goes on from the last epoch would not know its last batch.
        if len(iterator):
            self.record_.write(parts, self.module_, self.optimizer_)

    def train_step(self, batch, **fit_params):
        self._begin_step()
        step = super().train_step(batch, **fit_params)
        self._end_step(batch)
        return step

    def train_step_single(self, batch, **fit_params):
        step = super().train_step_single(batch, **fit_params)
        self._clip(list(self.module_.parameters()))
        return step

    def _lean_epoch(self, iterator, prefix):
        """Train without a word per batch; the losses leave the device once."""
        self._set_training(True)  # noqa: FBT003
        parameters = list(self.module_.parameters())
        losses = []
        try:
            for batch in iterator:
                losses.append(self._lean_step(batch, parameters))
        finally:
            self.losses_ += torch.stack(losses).tolist() if losses else []
        mean = float(np.mean(self.losses_[-len(losses) :]))
        self.history.record(prefix + "_loss", mean)
        self.history.record(prefix + "_loss_best", bool(mean <= self.best_loss_))
        self.history.record(prefix + "_batch_count", len(losses))

    def _lean_step(self, batch, parameters):
        """Return the loss of one gradient step."""
        self._begin_step()
        X, others = batch

        def closure():
            self.optimizer_.zero_grad()
            loss = self.get_loss(self.module_(X), others, X=X)
            loss.backward()
            self._clip(parameters)
            return loss

        loss = self.optimizer_.step(closure)
        self._end_step(batch)
        return loss.detach()

    def _clip(self, parameters):
        """Average the gradients over the processes and bound them."""
        average_gradients(parameters)
        if self.hooks.clip_gradients is None:
            nn.utils.clip_grad_norm_(parameters, _GRADIENT_NORM)
        else:
            self.hooks.clip_gradients()

    def _begin_step(self):
        """Set the learning rates and tell who listens."""
        fraction = self.n_steps_ / self.schedule.max_iter
        if self.hooks.on_step is not None:
            self.hooks.on_step(fraction)
        if self.cosine_:
            factor = max(1e-3, (1 + math.cos(math.pi * fraction)) / 2)
            groups = self.optimizer_.param_groups
            for group, rate in zip(groups, self.rates_, strict=True):
                group["lr"] = factor * rate

    def _end_step(self, batch):
        """Let the module follow the batch."""
        self.n_steps_ += 1
        self.last_batch_ = batch
        self.module_.update(batch[0], self.random_state)

    def _state(self):
        """Return a copy of the parameters and buffers."""
        return {k: v.clone() for k, v in self.module_.state_dict().items()}

    def _check_losses(self, losses):
        """Remember the best parameters; stop if a loss is not finite."""
        start = self.n_steps_ - len(losses)
        n_warmup = self.schedule.warmup * self.schedule.max_iter
        if start < n_warmup + self.schedule.epoch_length:
            self.best_loss_ = self.first_loss_ = losses[0]
        self._check_finite(losses[0])
        if losses[0] <= self.best_loss_:
            self.best_loss_, self.best_state_ = losses[0], self.state_
        self._check_finite(float(np.max(losses)))
        self.state_ = self._state()

    def is_bad(self, loss):
        """Return whether a loss is no number, or far above the first."""
        return not loss <= _EXPLODED * max(1.0, abs(self.losses_[0]))

    def _check_finite(self, loss):
        """Raise if a loss is bad."""
        if self.is_bad(loss):
            raise NonFiniteLossError(f"loss {loss:.3g}")

    def check_end(self):
        """Evaluate the last batch once more: no loss has seen the last step."""
        if self.last_batch_ is not None:
            X, others = self.last_batch_
            loss = self.get_loss(self.infer(X), others, X=X)
            self._check_finite(loss.item())

    def good_losses(self):
        """Return the losses up to the first bad one, an ndarray."""
        return np.array([*takewhile(lambda loss: not self.is_bad(loss), self.losses_)])


def check_net_params(net_params):
    """Return the user's parameters of the net, if none of them is ours."""
    ours = sorted(key for key in net_params if {key, key.split("__")[0]} & _OURS)
    if ours:
        raise ValueError(
            f"trainer sets {ours}, which the estimator sets from its own parameters. "
            "Set those, or remove the keys from trainer."
        )
    return net_params


def check_callbacks(callbacks):
    """Raise if skorch cannot call `callbacks`, or if they wait for what never comes."""
    for item in callbacks or []:
        callback = item[-1] if isinstance(item, tuple) else item
        made = callback() if isinstance(callback, type) else callback
        if not isinstance(made, Callback):
            raise ValueError(
                f"trainer['callbacks']={callbacks!r} has {item!r}, which is no "
                "callback of skorch. Use skorch.callbacks.Callback or a subclass."
            )
        if str(getattr(made, "monitor", "")).startswith("valid"):
            raise ValueError(
                f"trainer['callbacks']={callbacks!r} has a {type(made).__name__} that "
                f"monitors {made.monitor!r}, but no samples are held out. Pass it "
                "monitor='train_loss'."
            )


def _may_be_fused(settings, device):
    """Return whether Adam can move all parameters at once; on CPUs since torch 2.4."""
    optimizer = settings["optimizer"]
    if optimizer not in (torch.optim.Adam, torch.optim.AdamW):
        return False
    foreach = settings.get("optimizer__foreach")
    try:
        optimizer([torch.zeros(1, device=device)], foreach=foreach, fused=True)
    except RuntimeError:
        return False
    return True


def _make_net(module, criterion, n_rows, schedule, hooks, random_state, device):
    """Return an initialised net."""
    batch_size = min(schedule.batch_size or n_rows, n_rows)
    settings = {
        "optimizer": torch.optim.Adam,
        "lr": schedule.learning_rate,
        "callbacks__print_log": None,
    } | check_net_params(hooks.net_params)
    if _may_be_fused(settings, device):
        settings.setdefault("optimizer__fused", True)
    fast = {"lr": 5 * settings["lr"]}
    groups = [(pattern, fast) for pattern in schedule.fast_parameters]
    settings.setdefault("optimizer__param_groups", groups)
    net = _MixtureNet(
        module,
        criterion=_Criterion,
        criterion__function=criterion,
        schedule=schedule,
        hooks=hooks,
        random_state=random_state,
        max_epochs=schedule.n_epochs,
        batch_size=batch_size,
        iterator_train=TensorBatches,
        iterator_train__n_steps=schedule.epoch_length,
        iterator_train__max_steps=schedule.max_iter,
        iterator_train__random_state=random_state,
        train_split=None,
        callbacks=hooks.callbacks,
        device=device,
        verbose=0,
        **settings,
    )
    try:
        return net.initialize()
    except (TypeError, ValueError) as error:
        asked = hooks.net_params | {"callbacks": hooks.callbacks}
        raise ValueError(
            f"trainer={asked!r} does not suit skorch.NeuralNet: {error}. An optimizer "
            "without parameter groups, such as LBFGS, needs "
            "'optimizer__param_groups': []."
        ) from error


def train(module, criterion, tensors, schedule, hooks, random_state, device):
    """Train a mixture module by gradient steps, and leave it in evaluation mode."""
    rows = tensors
    if isinstance(tensors, tuple | list):
        rows = TensorRows(*(tensor.to(device) for tensor in tensors))
    net = _make_net(module, criterion, len(rows), schedule, hooks, random_state, device)
    work = Work()
    try:
        with (
            naming_batch_size(net.batch_size),
            training_together(module, rows, random_state, device),
        ):
            net.partial_fit(rows)
            if not net.losses_:
                raise KeyboardInterrupt  # skorch has swallowed it
            work.when = net.when_
            complaint = work.finish(_describe_end, net)
    except _FAILURES as error:
        complaint = _describe_failure(net, error)
    module.eval()
    return work.end(lambda: Training(net.good_losses(), complaint))


def _describe_end(net):
    """Go back to the best parameters; say why if the run ended badly."""
    try:
        net.check_end()
    except _FAILURES as error:
        return _describe_failure(net, error)
    # The least of several losses: one alone may be high by chance.
    last = min(net.losses_[-math.ceil(net.schedule.max_iter / 10) :])
    if last > net.best_loss_:
        net.module_.load_state_dict(net.best_state_)
        if last > net.first_loss_ + net.schedule.tol:
            return (
                f"The loss rose from {net.first_loss_:.4g} to {last:.4g}, so the best "
                "parameters were restored. Decrease learning_rate."
            )
    return ""


def _describe_failure(net, error):
    """Go back to the best parameters, or raise if there are none."""
    # Others than bad parameters cause are errors of the user's.
    finite = all(torch.isfinite(p).all() for p in net.module_.parameters())
    is_numerical = not finite or isinstance(error.__cause__ or error, _NUMERICAL)
    if not (net.losses_ and is_numerical):
        raise error
    if not math.isfinite(net.losses_[0]):
        raise NonFiniteLossError(
            f"The loss was {net.losses_[0]:.3g} before the first step, so that there "
            f"are no good parameters to go back to. {net.hooks.remedy}"
        ) from error
    net.module_.load_state_dict(net.best_state_)
    return (
        f"Training failed at step {net.n_steps_} of {net.schedule.max_iter} with "
        f"learning_rate={net.schedule.learning_rate:.3g} ({error}), so the best "
        "parameters were restored. Decrease learning_rate."
    )


def check_trainer(trainer):
    """Return what a user asks of a training, checked before any work."""
    trainer = read_trainer(trainer)
    check_net_params(trainer.net_params)
    check_callbacks(trainer.callbacks)
    return trainer

"""The schedule of a training run, its stopping rule and its progress lines."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from os import PathLike
from typing import Any

import numpy as np

# How often a run reports, checks itself and may be stopped.
_N_EPOCHS = 100


@dataclass(frozen=True)
class Trainer:
    """What a user asks of a training beside its schedule, the parameter `trainer`."""

    callbacks: list | None = None
    checkpoint_dir: Any = None
    #: Data of more bytes are read batch by batch.
    max_bytes: float = 2**25
    #: Parameters of :class:`skorch.NeuralNet`.
    net_params: dict = field(default_factory=dict)


# What a trainer holds beside the parameters of the net: types, and what to say of them.
_TRAINER = {
    "callbacks": ((list, tuple, type(None)), "a list of skorch callbacks or None"),
    "checkpoint_dir": ((str, PathLike, type(None)), "the path of a folder or None"),
    "max_bytes": ((Real,), "a number of bytes"),
}


def read_trainer(trainer):
    """Return what a user's dict, or None, asks of a training."""
    params = dict(trainer or {})
    own = {name: params.pop(name) for name in _TRAINER if name in params}
    for name, value in own.items():
        types, words = _TRAINER[name]
        if not isinstance(value, types):
            raise ValueError(f"trainer[{name!r}]={value!r} must be {words}.")
    return Trainer(**own, net_params=params)


@dataclass(frozen=True)
class Schedule:
    """When a run does what."""

    max_iter: int
    batch_size: int | None = None
    learning_rate: float = 4e-3
    fast_parameters: tuple = ()
    warmup: float = 0.0
    tol: float = 0.0

    @property
    def epoch_length(self):
        """Number of gradient steps between two reports."""
        return max(1, math.ceil(self.max_iter / _N_EPOCHS))

    @property
    def n_epochs(self):
        """Number of reports."""
        return math.ceil(self.max_iter / self.epoch_length)


@dataclass(frozen=True)
class Hooks:
    """What a run calls."""

    on_step: Callable | None = None
    on_epoch: Callable | None = None
    callbacks: list | None = None
    net_params: dict = field(default_factory=dict)
    remedy: str = "Check what the cost returns."
    clip_gradients: Callable | None = None
    checkpoint: Any = None
    memories: tuple = ()

    @classmethod
    def of(cls, trainer, progress, on_epoch, *, memories=(), **more):
        """Return what a user asks for, and a run that tells how far it is."""

        def report(losses):
            progress(losses)
            return on_epoch(losses)

        asked = {"callbacks": trainer.callbacks, "net_params": trainer.net_params}
        memories = (progress, *memories)
        return cls(on_epoch=report, memories=memories, **asked | more)


@dataclass(frozen=True)
class Training:
    """What a run leaves behind, beside the trained module."""

    loss_curve: np.ndarray
    complaint: str = ""


# Fewer losses than these tell nothing of a trend: one alone never varies.
_LEAST_WINDOW = 5


class Plateau:
    """Tell when the loss has stopped moving."""

    remembered = ("losses",)

    def __init__(self, max_iter, tol, warmup):
        self.window = max(_LEAST_WINDOW, -(-max_iter // 10))
        self.first = int(np.ceil(warmup * max_iter)) + self.window
        self.tol = tol
        self.losses = []

    def __call__(self, losses):
        self.losses += losses
        return len(self.losses) >= self.first and self.spread() < self.tol

    def spread(self):
        """Return by how much the loss varied lately."""
        return float(np.ptp(self.losses[-self.window :]))


class Progress:
    """Print a line every tenth of a run."""

    remembered = ("n_steps",)

    def __init__(self, name, max_iter, verbose, word="loss"):
        self.name = name
        self.word = word
        self.max_iter = max_iter
        self.verbose = verbose
        self.n_steps = 0
        self.start = time.perf_counter()

    def __call__(self, losses):
        before, self.n_steps = self.n_steps, self.n_steps + len(losses)
        if self.verbose > 1 or (self.verbose and self._tenths(before)):
            seconds = time.perf_counter() - self.start
            print(
                f"[{self.name}] step {self.n_steps}/{self.max_iter}, "
                f"{self.word} {np.mean(losses):.4g}, {seconds:.1f} s",
                flush=True,
            )

    def _tenths(self, before):
        """Return how many tenths of the run ended since step `before`."""
        return 10 * self.n_steps // self.max_iter - 10 * before // self.max_iter

"""The schedule of a training run and its stopping rule."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

# How often a run reports, checks itself and may be stopped.
_N_EPOCHS = 100


@dataclass(frozen=True)
class Schedule:
    """When a run does what.

    Parameters
    ----------
    max_iter : int
        Number of gradient steps.

    batch_size : int or None, default=None
        Rows per step; None, or at least as many as there are, takes all.

    learning_rate : float, default=0.004
        Step size of Adam; it falls to nearly zero along a cosine.

    fast_parameters : tuple of str, default=()
        Patterns of parameter names that learn five times as fast.

    warmup : float, default=0.0
        Fraction of the run during which `on_step` still changes what the loss
        means, so that its values do not compare with later ones.

    tol : float, default=0.0
        A loss that ends higher than it began by less has not risen.
    """

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
    """What a run calls.

    Parameters
    ----------
    on_step : callable, default=None
        Gets the completed fraction of the run before each gradient step.

    on_epoch : callable, default=None
        Gets the losses of the epoch's steps; may return True to stop.

    callbacks : list of skorch callbacks or None, default=None
        Handed to skorch.

    net_params : dict or None, default=None
        Handed to :class:`skorch.NeuralNet`.

    remedy : str, default="Check what the cost returns."
        What to do if the first loss is not finite.

    clip_gradients : callable, default=None
        Clips the gradients before they are used; None clips their norm at 5.

    checkpoint : Checkpoint or None, default=None
        Keeps the state after each epoch, and gives it back to a run that starts
        again after a crash.

    memories : tuple, default=()
        Other objects with a state that the run depends on, see
        :mod:`skgmje._training._resume`.
    """

    on_step: Callable | None = None
    on_epoch: Callable | None = None
    callbacks: list | None = None
    net_params: dict | None = None
    remedy: str = "Check what the cost returns."
    clip_gradients: Callable | None = None
    checkpoint: Any = None
    memories: tuple = ()


@dataclass(frozen=True)
class Training:
    """What a run leaves behind, beside the trained module.

    Parameters
    ----------
    loss_curve : ndarray of shape (n_steps,)
        Loss before each gradient step, up to a failure.

    trouble : str
        Why the run failed or went back to earlier parameters, and what to
        do, in sentences; empty if it did not.
    """

    loss_curve: np.ndarray
    trouble: str = ""


# Fewer losses than these tell nothing of a trend: one alone never varies.
_LEAST_WINDOW = 5


class Plateau:
    """Tell when the loss has stopped moving.

    Parameters
    ----------
    max_iter : int
        Number of steps of the whole run; a tenth of them, but at least five, is
        looked at.

    tol : float
        The loss has stopped when it varied by less.

    warmup : float
        Fraction of the run before which losses do not compare.
    """

    remembered = ("losses",)

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

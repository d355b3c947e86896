"""When a long training has come to rest."""

import numpy as np

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

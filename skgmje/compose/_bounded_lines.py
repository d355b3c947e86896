"""Columns with bounds, mapped onto the whole line."""

import numpy as np
from scipy.special import ndtr, ndtri

from skgmje.compose._bijections import Bijection
from skgmje.compose._bounds import clip_inside

_LOG_SQRT_2PI = 0.5 * np.log(2 * np.pi)


class OneBound:
    """The logarithm of the distance to a bound, below (sign 1) or above (-1)."""

    def __init__(self, bound, sign):
        self._bound, self._sign = bound, sign

    def forward(self, x):
        """Return images and logarithms of the slope."""
        log_gap = np.log(self._sign * (x - self._bound))
        return self._sign * log_gap, -log_gap

    def inverse(self, z):
        """Return the values whose images are `z`."""
        return self._bound + self._sign * np.exp(self._sign * z)


class TwoBounds:
    """The normal score of the share of the way from one bound to the other."""

    def __init__(self, low, high):
        self._low, self._high = low, high

    def forward(self, x):
        """Return images and logarithms of the slope."""
        width = self._high - self._low
        below, above = (x - self._low) / width, (self._high - x) / width
        z = np.where(below < above, ndtri(below), -ndtri(above))
        return z, 0.5 * z**2 + (_LOG_SQRT_2PI - np.log(width))

    def inverse(self, z):
        """Return the values whose images are `z`."""
        share = (self._high - self._low) * ndtr(-np.abs(z))
        return np.where(z < 0, self._low + share, self._high - share)


class Bounds(Bijection):
    """The map of each column from its bounds, (n_features, 2), to the whole line."""

    def __init__(self, bounds):
        self._bounds = bounds
        self._lines = {}
        for j, (low, high) in enumerate(bounds):
            if np.isfinite(low) and np.isfinite(high):
                self._lines[j] = TwoBounds(low, high)
            elif np.isfinite(low):
                self._lines[j] = OneBound(low, 1)
            elif np.isfinite(high):
                self._lines[j] = OneBound(high, -1)

    def forward(self, X):
        Z, log_det = X.astype(np.float64), np.zeros(len(X))
        for j, line in self._lines.items():
            Z[:, j], log_slope = line.forward(Z[:, j])
            log_det += log_slope
        return Z.astype(X.dtype, copy=False), log_det

    def inverse(self, Z):
        X = Z.astype(np.float64)
        for j, line in self._lines.items():
            X[:, j] = line.inverse(X[:, j])
        return clip_inside(X.astype(Z.dtype, copy=False), self._bounds)

    def select(self, columns):
        return Bounds(self._bounds[columns])

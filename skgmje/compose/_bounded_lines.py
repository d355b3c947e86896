"""Columns with bounds, mapped onto the whole line."""

import numpy as np
from scipy.special import ndtr, ndtri

from skgmje._standardize import standardization
from skgmje.compose._bijections import Bijection
from skgmje.compose._bounds import ColumnBounds
from skgmje.compose._marginal_gaussianizer import LOG_SQRT_2PI

# Rounding leaves nothing of columns whose nearest bound is further away than this, in
# standard deviations.
_FURTHEST = 1e12


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
        return z, 0.5 * z**2 + (LOG_SQRT_2PI - np.log(width))

    def inverse(self, z):
        """Return the values whose images are `z`."""
        share = (self._high - self._low) * ndtr(-np.abs(z))
        return np.where(z < 0, self._low + share, self._high - share)


class Bounds(Bijection):
    """The map of each column from its bounds to the whole line, in units of its own."""

    def __init__(self, bounds, units=None):
        if units is None:
            units = np.tile([0.0, 1.0], (len(bounds.pairs), 1))
        self._bounds, self.units = bounds, units
        self._lines = {}
        for j, (low, high) in enumerate(bounds.array):
            if np.isfinite(low) and np.isfinite(high):
                self._lines[j] = TwoBounds(low, high)
            elif np.isfinite(low):
                self._lines[j] = OneBound(low, 1)
            elif np.isfinite(high):
                self._lines[j] = OneBound(high, -1)

    @classmethod
    def fit(cls, bounds, X, weight=None):
        """Return the map whose images have means of 0 and deviations of 1."""
        loc, scale, _ = standardization(X, weight)
        gap = np.abs(bounds.array - loc[:, None]).min(axis=1)
        far = np.isfinite(gap) & (gap > _FURTHEST * scale)
        if far.any():
            j = int(far.argmax())
            raise ValueError(
                f"bounds: {bounds.pairs[j]} of column {bounds.name(j)} is more than "
                f"{_FURTHEST:g} standard deviations from the samples, {scale[j]:.3g} "
                f"about the mean {loc[j]:.3g}: their images would be all the same. Use "
                "None for no bound."
            )
        plain = cls(bounds)
        images = standardization(plain.forward(X.astype(np.float64))[0], weight)
        bounded = np.isfinite(bounds.array).any(axis=1)[:, None]
        units = np.column_stack([images.loc, images.scale])
        return cls(bounds, np.where(bounded, units, plain.units))

    def forward(self, X, *, training=False):
        loc, scale = self.units.T
        Z, log_det = X.astype(np.float64), np.full(len(X), -np.log(scale).sum())
        for j, line in self._lines.items():
            Z[:, j], log_slope = line.forward(Z[:, j])
            log_det += log_slope
        return ((Z - loc) / scale).astype(X.dtype, copy=False), log_det

    def inverse(self, Z):
        loc, scale = self.units.T
        X = Z.astype(np.float64) * scale + loc
        for j, line in self._lines.items():
            X[:, j] = line.inverse(X[:, j])
        return self._bounds.clip(X.astype(Z.dtype, copy=False))

    def select(self, columns):
        pairs = [self._bounds.pairs[j] for j in columns]
        return Bounds(ColumnBounds(pairs), self.units[columns])

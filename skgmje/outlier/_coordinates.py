"""Columns made nearly normal, without a row ever falling off the edge."""

from typing import Any, NamedTuple

import numpy as np
from scipy.special import exprel

from skgmje._units import standardization

# Further out, in standard deviations, the maps go on with the logarithm.
REACH = 20.0
# A column of fewer values is a code or a count: no power makes it normal.
FEW_VALUES = 20
# Powers are looked for among the first, and then next to the best of them.
_COARSE, _FINE = np.arange(-6.0, 9.0), np.linspace(-0.8, 0.8, 9)


class Coordinates(NamedTuple):
    r"""One smooth, increasing map of each column onto the whole line.

    .. math:: t = (x - m) / s, \qquad
        z(t) = \psi(t) \text{ if } |t| \le R, \qquad
        z(t) = \psi(\pm R) + \psi'(\pm R)\, (\pm R) \log |t / R| \text{ beyond}

    with the power :math:`\psi` of Yeo and Johnson, R = 20, and z standardised in
    the end. The power alone has bounds, where a density of its images would be
    none of the rows; and squares of what it does to rows far away overflow.

    Parameters
    ----------
    loc, scale : ndarray of shape (n_features,)
        Means m and standard deviations s of the columns.

    power : ndarray of shape (n_features,)
        Parameter of :math:`\psi`; 1 changes nothing.

    power_loc, power_scale : ndarray of shape (n_features,)
        Means and standard deviations of z.

    varies : ndarray of shape (n_features,)
        Which columns are not constant.

    References
    ----------
    .. [1] I.-K. Yeo and R. A. Johnson, "A new family of power transformations to
       improve normality or symmetry", 2000.
    """

    loc: Any
    scale: Any
    power: Any
    power_loc: Any
    power_scale: Any
    varies: Any

    @classmethod
    def fit(cls, X, weight, *, powers=True):
        """Return the maps under which the columns are most nearly normal.

        Without `powers` they are linear, as far as they reach.
        """
        X = X.astype(np.float64, copy=False)
        units = standardization(X, weight, per_feature=True)
        rounding = 10 * np.finfo(np.float64).eps * np.abs(X).max(axis=0)
        varies = np.ptp(X, axis=0) > rounding
        scale = np.where(varies, units.scale, _typical(units.scale[varies]))
        ones = np.ones(len(scale))
        start = cls(units.loc, scale, ones, 0 * ones, ones, varies)
        distances = start._distances(X)
        power = ones
        if powers:
            many = np.array([len(np.unique(column)) >= FEW_VALUES for column in X.T])
            power = np.where(varies & many, _best_power(distances, weight), ones)
        loc, spread = _moments(_power(distances, power)[0], weight)
        return start._replace(
            power=power,
            power_loc=np.where(varies, loc, 0.0),
            power_scale=np.where(varies & (spread > 0), spread, 1.0),
        )

    def forward(self, X):
        """Return the images of rows, and the logarithms of all slopes, (n, d)."""
        Z, log_slope = _power(self._distances(X), self.power)
        Z = (Z - self.power_loc) / self.power_scale
        return Z, log_slope - np.log(self.scale * self.power_scale)

    def _distances(self, X):
        """Return the sign of t, log(1 + |t|) up to R, and log |t / R| beyond."""
        diff = X.astype(np.float64) - self.loc
        with np.errstate(divide="ignore", over="ignore"):
            excess = np.log(np.abs(diff)) - np.log(REACH * self.scale)
            near = np.log1p(np.minimum(np.abs(diff) / self.scale, REACH))
        return np.sign(diff), near, np.maximum(excess, 0.0)


def _typical(scales):
    """Return the scale of a column that has none: the mean one, geometrically."""
    return float(np.exp(np.log(scales).mean())) if len(scales) else 1.0


def _power(distances, power):
    """Return z and the logarithm of its slope for the rows' distances."""
    sign, near, excess = distances
    exponent = np.where(sign < 0, 2 - power, power)
    log_slope = (exponent - 1) * near
    # Of (1 + t)^p = exp(p log(1 + t)), which is what log(1 + t) is kept for.
    Z = sign * (near * exprel(exponent * near) + REACH * np.exp(log_slope) * excess)
    return Z, log_slope - excess


def _moments(Z, weight):
    mean = np.average(Z, axis=0, weights=weight)
    return mean, np.sqrt(np.average((Z - mean) ** 2, axis=0, weights=weight))


def _best_power(distances, weight):
    """Return the likeliest power of each column under a normal density."""
    best = np.zeros(distances[0].shape[1])
    for steps in (_COARSE, _FINE):
        gains = [_log_likelihood(distances, best + step, weight) for step in steps]
        best = best + steps[np.argmax(gains, axis=0)]
    return best


def _log_likelihood(distances, power, weight):
    Z, log_slope = _power(distances, power)
    _, spread = _moments(Z, weight)
    with np.errstate(divide="ignore"):
        return np.average(log_slope, axis=0, weights=weight) - np.log(spread)

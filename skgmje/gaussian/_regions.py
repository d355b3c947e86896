"""Regions of highest density."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import ndtr

from skgmje._backend import as_generator, asarray_like, block_rows, slices, to_numpy
from skgmje._typing import Array, NDArray
from skgmje.gaussian._checks import as_batch, check_rows

if TYPE_CHECKING:
    from skgmje.gaussian._mixture import Mixture
else:
    Mixture = Any

# Where the density of one feature is looked at: within so many standard deviations of
# each component, at about so many places in all, and so many of one component at least.
_REACH, _PLACES, _FEWEST = 6.0, 1024, 65

# Halvings of the range of a threshold, and of the cell that an interval ends in.
_HALVINGS = 50


@dataclass(frozen=True, eq=False)
class Region:
    """Where the density is highest: the smallest set of a given probability.

    Made by :meth:`skgmje.gaussian.Mixture.region`.

    Parameters
    ----------
    level : float
        Probability of the region.

    log_threshold : array of shape (...,)
        Log-density on the border; inside it is higher.

    mixture : Mixture
        The density, or one per sample.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> mixture = Mixture([0.5, 0.5], [[0.0], [9.0]], [1.0, 1.0], "spherical")
    >>> region = mixture.region(0.9)
    >>> region.intervals[0].round(1)
    array([[-1.6,  1.6],
           [ 7.4, 10.6]])
    >>> region.contains([[0.0], [4.5]])
    array([ True, False])
    """

    level: float
    log_threshold: Array
    mixture: Mixture

    def contains(self, X: Array) -> Array:
        """Return which samples lie inside.

        Parameters
        ----------
        X : array of shape (..., n_features)
            Samples; with one mixture per sample, row i goes with mixture i.

        Returns
        -------
        inside : bool array of shape (...,)
            True on the border, too.
        """
        return self.mixture.log_prob(X) >= self.log_threshold

    @property
    def intervals(self) -> list[NDArray[Any]]:
        """Intervals of one feature, ascending: for each mixture (n_intervals, 2)."""
        if self.mixture.n_features != 1:
            raise ValueError(
                f"A region of {self.mixture.n_features} features has no intervals. "
                "Ask `contains`, or take the marginal of one feature first."
            )
        thresholds = to_numpy(self.log_threshold).ravel()
        return [
            ends
            for part, rows in _blocks(as_batch(self.mixture))
            for ends in _find_ends(part, thresholds[rows])
        ]


class Parts(NamedTuple):
    """Parts of the space: ranges of the log-density and masses, each (n, G)."""

    low: Any
    high: Any
    mass: Any

    def above(self, logs):
        """Return the share of the mass where the log-density is above logs (n,)."""
        # Where densities are 0 both ends are -inf, and what lies between has no mass.
        with np.errstate(all="ignore"):
            width = self.high - self.low
            share = np.clip((self.high - logs[:, None]) / width, 0.0, 1.0)
        share = np.where(width > 0, share, self.high > logs[:, None])
        return (self.mass * share).sum(axis=1) / self.mass.sum(axis=1)


def region(mixture, level, n_samples, random_state):
    """Return the smallest region of a probability; see `Mixture.region`."""
    if not (isinstance(level, Real) and 0 < level < 1):
        raise ValueError(f"level={level!r} must lie strictly between 0 and 1.")
    thresholds = [
        _find_thresholds(parts, level)
        for parts, _ in _all_parts(mixture, n_samples, random_state)
    ]
    shape = mixture.means.shape[:-2]
    thresholds = np.concatenate([*thresholds, np.empty(0)]).reshape(shape)
    return Region(level, asarray_like(thresholds, mixture.means), mixture)


def exceedance(mixture, X, n_samples, random_state):
    """Return the probability of a higher density; see `Mixture.exceedance`."""
    own = to_numpy(mixture.log_prob(check_rows(X, mixture)))
    leading = mixture.means.shape[:-2]
    n_rows = math.prod(own.shape[: own.ndim - len(leading)])
    flat = own.reshape(n_rows, math.prod(leading))
    above = np.empty(flat.shape)
    for parts, rows in _all_parts(mixture, n_samples, random_state):
        for row, logs in zip(above, flat, strict=True):
            row[rows] = parts.above(logs[rows])
    return asarray_like(above.reshape(own.shape), mixture.means)


def _find_thresholds(parts, level):
    """Return the log-densities (n,) above which there is a share of the mass."""
    least = np.where(parts.mass > 0, parts.low, np.inf).min(axis=1)
    low, high = np.maximum(least, np.finfo(float).min / 2), parts.high.max(axis=1)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = parts.above(middle) >= level
        low, high = np.where(enough, middle, low), np.where(enough, high, middle)
    return low


def _all_parts(mixture, n_samples, random_state):
    """Yield :class:`Parts` of some mixtures, and which of them they are."""
    batch, d = as_batch(mixture), mixture.n_features
    if d == 1:
        yield from ((_cells(part), rows) for part, rows in _blocks(batch))
        return
    if not isinstance(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"n_samples={n_samples!r} must be a positive int.")
    generator = as_generator(random_state)
    for part, rows in _blocks(batch, n_samples * d):
        own = type(mixture)(*part)
        logs = own.log_prob(own.sample(n_samples, generator)[0]).T
        yield Parts(logs, logs, np.ones(logs.shape)), rows


def _blocks(batch, n_entries=None):
    """Yield parts of a batch of mixtures that fit the memory, and their rows."""
    n, n_components = batch.means.shape[:2]
    if n_entries is None:
        # As many as the density at all places has terms.
        n_entries = _count_places(n_components) * n_components**2
    for rows in slices(n, block_rows(n_entries)):
        yield batch.take(rows), rows


def _count_places(n_components):
    """Return the number of places of each component, of which its mean is one."""
    return max(_PLACES // n_components, _FEWEST) | 1


def _nodes(batch):
    """Return places where the density of one feature is looked at, ascending (n, G)."""
    means, scales = batch.means[..., 0], batch.scales()[..., 0]
    steps = np.linspace(-1, 1, _count_places(means.shape[1]))
    # Closer together near the mean, where the log-density is no straight line.
    scores = _REACH * np.sign(steps) * np.abs(steps) ** 1.5
    nodes = means[..., None] + scales[..., None] * scores
    return np.sort(nodes.reshape(len(means), -1), axis=1)


def _cells(batch):
    """Return the :class:`Parts` of one feature between its nodes."""
    nodes = _nodes(batch)
    logs = _log_density(batch, nodes)
    means, scales = batch.means[..., 0], batch.scales()[..., 0]
    below = ndtr((nodes[..., None] - means[:, None]) / scales[:, None])
    mass = np.diff((below * batch.weights[:, None]).sum(axis=-1), axis=1)
    ends = logs[:, 1:], logs[:, :-1]
    return Parts(np.minimum(*ends), np.maximum(*ends), np.maximum(mass, 0.0))


def _log_density(batch, x):
    """Return log-densities of one feature at places x (n, G)."""
    means, scales = batch.means[..., 0], batch.scales()[..., 0]
    scores = (x[..., None] - means[:, None]) / scales[:, None]
    with np.errstate(divide="ignore", under="ignore"):
        heights = np.exp(-0.5 * scores**2) * (batch.weights / scales)[:, None]
        return np.log(heights.sum(axis=-1) / np.sqrt(2 * np.pi))


def _find_ends(batch, thresholds):
    """Return the ends of the intervals of n mixtures, each (n_intervals, 2)."""
    nodes = _nodes(batch)
    inside = _log_density(batch, nodes) >= thresholds[:, None]
    rows, cells = np.nonzero(np.diff(inside, axis=1))
    enters = ~inside[rows, cells]
    low, high = nodes[rows, cells], nodes[rows, cells + 1]
    part, limits = batch.take(rows), thresholds[rows, None]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        same = (_log_density(part, middle[:, None]) >= limits)[:, 0] == ~enters
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    ends = (low + high) / 2
    cuts = np.searchsorted(rows, np.arange(1, len(nodes)))
    return [each.reshape(-1, 2) for each in np.split(ends, cuts)]

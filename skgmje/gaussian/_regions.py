"""Regions of highest density."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from skgmje._backend import asarray_like, to_numpy
from skgmje.gaussian._checks import as_batch, check_rows
from skgmje.gaussian._density import block_rows

# Places of a component at which the density of one feature is looked at, and about how
# many there are in all.
_REACH, _PLACES = 6.0, 1024

# Halvings of the cell that an end of an interval lies in.
_HALVINGS = 40


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
    log_threshold: Any
    mixture: Any

    def contains(self, X):
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
    def intervals(self):
        """The intervals, if there is one feature: a list of arrays (n_intervals, 2).

        One array for each mixture, in ascending order.
        """
        if self.mixture.n_features != 1:
            raise ValueError(
                f"A region of {self.mixture.n_features} features has no intervals. "
                "Ask `contains`, or take the marginal of one feature first."
            )
        batch = as_batch(self.mixture)
        thresholds = to_numpy(self.log_threshold).ravel()
        return [
            ends
            for part, rows in _blocks(batch)
            for ends in _find_ends(part, thresholds[rows])
        ]


def region(mixture, level, n_samples, random_state):
    """Return the smallest region of a probability; see `Mixture.region`."""
    if not (isinstance(level, Real) and 0 < level < 1):
        raise ValueError(f"level={level!r} must lie strictly between 0 and 1.")
    logs, masses = _ranked(mixture, n_samples, random_state)
    order = np.argsort(-logs, axis=1)
    logs, masses = (np.take_along_axis(a, order, axis=1) for a in (logs, masses))
    inside = np.cumsum(masses, axis=1) - masses / 2
    wanted = level * masses.sum(axis=1)
    thresholds = [np.interp(*row) for row in zip(wanted, inside, logs, strict=True)]
    thresholds = np.reshape(thresholds, mixture.means.shape[:-2])
    return Region(level, asarray_like(thresholds, mixture.means), mixture)


def exceedance(mixture, X, n_samples, random_state):
    """Return the probability of a higher density; see `Mixture.exceedance`."""
    X = check_rows(X, mixture)
    logs, masses = _ranked(mixture, n_samples, random_state)
    own = to_numpy(mixture.log_prob(X))
    flat = own.reshape(-1, len(logs))
    masses = masses / masses.sum(axis=1, keepdims=True)
    above = [(masses * (logs > one[:, None])).sum(axis=1) for one in flat]
    return asarray_like(np.reshape(above, own.shape), mixture.means)


def _ranked(mixture, n_samples, random_state):
    """Return log-densities of parts of the space and their masses, each (n, G)."""
    if mixture.n_features == 1:
        parts = [_cells(batch) for batch, _ in _blocks(as_batch(mixture))]
        return (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if not isinstance(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"n_samples={n_samples!r} must be a positive int.")
    draws, _ = mixture.sample(n_samples, random_state)
    logs = to_numpy(mixture.log_prob(draws)).reshape(n_samples, -1).T
    return logs, np.ones(logs.shape)


def _blocks(batch):
    """Yield parts of a batch of mixtures whose cells fit the memory, and their rows."""
    n, n_components = batch.means.shape[:2]
    step = block_rows(max(_PLACES, 8 * n_components) * n_components)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        yield batch.take(rows), rows


def _nodes(batch):
    """Return places where the density of one feature is looked at, ascending (n, G)."""
    means, scales = batch.means[..., 0], batch.scales()[..., 0]
    count = max(_PLACES // means.shape[1], 8)
    scores = np.linspace(-_REACH, _REACH, count)
    nodes = means[..., None] + scales[..., None] * scores
    return np.sort(nodes.reshape(len(means), -1), axis=1)


def _cells(batch):
    """Return log-densities in the middle of cells and the masses of these (n, G)."""
    nodes = _nodes(batch)
    middles, widths = (nodes[:, 1:] + nodes[:, :-1]) / 2, np.diff(nodes, axis=1)
    logs = _log_density(batch, middles)
    return logs, np.exp(logs) * widths


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

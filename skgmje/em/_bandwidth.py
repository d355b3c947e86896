"""Bandwidths of Gaussian kernels from the samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist, pdist, squareform

from skgmje._backend import LOG_2PI, as_double, as_float, to_numpy, unit_of
from skgmje._settings import own_errors
from skgmje._typing import Array, NDArray
from skgmje.em._missing import check_samples
from skgmje.gaussian import Bandwidths
from skgmje.gaussian._checks import check_sample_weight

# Squared bandwidths below this share of the total variance are points.
NARROWEST = 1e-6


@own_errors
def kernel_bandwidth(
    X: NDArray[Any],
    particles: NDArray[Any] | None = None,
    weights: NDArray[Any] | None = None,
) -> float:
    r"""Return the standard deviation of kernels that predicts samples best.

    .. math:: \arg\max_h \sum_i \log \sum_{m: z_m \ne x_i} W_m N(x_i; z_m, h^2 I)

    Particles that equal a sample are left out of its density: of the samples
    themselves this is the leave-one-out choice.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples to predict; all pairs are looked at.

    particles : ndarray of shape (n_particles, n_features) or None, default=None
        Means of the kernels; None: `X`.

    weights : ndarray of shape (n_particles,) or None, default=None
        Weights of the kernels; None: equal.

    Returns
    -------
    bandwidth : float
        Positive.

    Raises
    ------
    ValueError
        If values are missing or infinite, or so large that their squares are, or if
        weights are no weights.

    References
    ----------
    .. [1] R. P. W. Duin, "On the Choice of Smoothing Parameters for Parzen
       Estimators of Probability Density Functions", 1976.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.em import kernel_bandwidth
    >>> X = np.random.default_rng(1).normal(size=(200, 1))
    >>> 0.1 < kernel_bandwidth(X) < 0.5
    True
    """
    X = _complete(X)
    if particles is None:
        particles = X
    else:
        particles = _points(particles)
        check_centers(X, particles, "particles")
    if weights is None:
        weights = np.full(len(particles), 1 / len(particles))
    else:
        weights = to_numpy(as_float(weights))
        check_sample_weight(weights, particles, "weights")
        particles, weights = particles[weights > 0], weights[weights > 0]
    squares = cdist(X, particles, "sqeuclidean")
    with np.errstate(over="ignore"):
        total = float(X.var(axis=0).sum()) or 1.0
    if not total < np.inf:
        raise ValueError(f"X has entries up to {np.abs(X).max():g}: rescale it.")
    squares[squares == 0] = np.inf
    squares = squares[np.isfinite(squares).any(axis=1)]
    kernels = squares, weights, X.shape[1]
    grid = np.log(total * np.geomspace(NARROWEST, 1.0, 15))
    while grid[1] - grid[0] > 0.02 and len(squares):
        best = grid[np.argmax([_mean_log_prob(v, *kernels) for v in grid])]
        step = (grid[1] - grid[0]) / 2
        grid = np.clip(best + step * np.array([-1, 0, 1]), grid[0], grid[-1])
    return math.exp(grid[len(grid) // 2] / 2)


def _points(X):
    """Return samples or centers in double precision."""
    return to_numpy(as_double(as_float(X)))


def _complete(X):
    """Return samples in double precision, all of which have finite values."""
    X = _points(X)
    check_samples(X, missing=False)
    return X


def check_centers(X, centers, name="centers"):
    """Raise unless centers are finite, with the features of the samples."""
    check_samples(centers, name, missing=False)
    if centers.shape[1] != X.shape[1]:
        raise ValueError(
            f"{name} has {centers.shape[1]} features, and X {X.shape[1]}. Give both "
            "the same."
        )


def _mean_log_prob(log_variance, squares, weights, n_features, sample_weight=None):
    """Return the mean log-density of samples at squared distances (n, m) of kernels."""
    scaled = squares / (-2 * math.exp(log_variance))
    top = scaled.max(axis=1)
    np.exp(scaled - top[:, None], out=scaled)
    logs = top + np.log(scaled @ weights)
    mean = logs.mean() if sample_weight is None else np.average(logs, 0, sample_weight)
    return mean - n_features / 2 * (LOG_2PI + log_variance)


def multiscale_bandwidths(
    X: Array, centers: Array, sample_weight: Array | None = None
) -> Bandwidths:
    r"""Return five or more bandwidths from the size of the cells to that of the data.

    .. math:: v_s = 4^s v^*, \quad s = -1, \dots, \max(3, S), \qquad
        v^* = \tfrac12 \overline{\min_k \|x - c_k\|^2}

    with half the mean squared distance of a sample to the nearest center, at
    least 1e-4 of the total variance, and the least S for which :math:`4^S v^*` is
    no less than the total variance.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Samples.

    centers : array of shape (n_centers, n_features)
        Centers that stand for the samples, those of k-means for example.

    sample_weight : array of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    bandwidths : Bandwidths
        Standard deviations in ascending order, of equal weights.

    Raises
    ------
    ValueError
        If values are missing or infinite, all samples are equal, or weights are none.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.em import multiscale_bandwidths
    >>> X = np.array([[0.0], [2.0], [8.0], [10.0]])
    >>> bandwidths = multiscale_bandwidths(X, centers=[[1.0], [9.0]])
    >>> (bandwidths.values**2).round(6)
    array([ 0.125,  0.5  ,  2.   ,  8.   , 32.   ])
    """
    X, centers = _complete(X), _points(centers)
    check_centers(X, centers)
    weights = None if sample_weight is None else to_numpy(as_float(sample_weight))
    check_sample_weight(weights, X)
    unit = unit_of(X, centers)
    X, centers = X / unit, centers / unit
    spread = (X - np.average(X, axis=0, weights=weights)) ** 2
    total = float(np.average(spread.sum(axis=1), weights=weights))
    if not total > 0:
        raise ValueError(
            f"All samples of X equal {X[0] * unit}, which say nothing of a bandwidth. "
            "Give numbers."
        )
    variance = max(_half_square(X, centers, weights), _FLOOR * total)
    return Bandwidths(unit * _ladder(variance, total) ** 0.5)


def _ladder(variance, total):
    """Return variances, each four times the last, from below one to a total."""
    # The widest kernel sees all samples: else far centers are never called back.
    last = max(_LEAST_LAST, math.ceil(math.log(total / variance, 4.0)))
    return variance * 4.0 ** np.arange(-1, last + 1)


# The widest bandwidth is at least this power of 4 times the cells, in squared units.
_LEAST_LAST = 3

# Samples that stand for more of them where all pairs are looked at.
_MAX_ROWS = 1000

# Below this share of the data's total variance a kernel is a point.
_FLOOR = 1e-4

# Standardized features vary by about 1, or not at all.
_SMALLEST = 1e-12

# From this many features on, noise needs kernels so wide that most see each other.
_MANY_FEATURES = 16


@dataclass(frozen=True)
class Kernels:
    """Variances of the kernels, in squared units of the standardized data."""

    variances: tuple
    start_variance: float
    weights: Any = None
    learn_weights: bool = False
    learn_variance: bool = False

    @property
    def variance(self):
        """Variance of the widest kernel, that of a model of one."""
        return max(self.variances)

    @property
    def ratio(self):
        """How many times the start is wider than the end."""
        return max(1.0, self.start_variance / self.variance)

    def widened(self, factor):
        """Return the bandwidths with all variances multiplied by a factor."""
        values = [(factor * variance) ** 0.5 for variance in self.variances]
        return Bandwidths(values, self.weights)


def total_variance(X, sample_weight):
    """Return the sum of the features' variances, or 1 if they are all constant."""
    mean = np.average(X, axis=0, weights=sample_weight)
    total = np.average(((X - mean) ** 2).sum(axis=1), weights=sample_weight)
    return float(total) if total > _SMALLEST else 1.0


def _square_blocks(X, centers):
    """Yield slices of samples, and their squared distances to all centers."""
    for start in range(0, len(X), 4096):
        rows = slice(start, start + 4096)
        yield rows, cdist(X[rows], centers, "sqeuclidean")


def nearest_centers(X, centers):
    """Return the nearest center of each sample and the squared distance, (n,) each."""
    labels, squares = np.empty(len(X), np.intp), np.empty(len(X))
    for rows, distances in _square_blocks(X, centers):
        labels[rows] = distances.argmin(axis=1)
        squares[rows] = distances.min(axis=1)
    return labels, squares


def cell_spread(X, centers, sample_weight=None):
    """Return shares of the cells, and roots of shrunken covariances within, 3-d."""
    weights = np.ones(len(X)) if sample_weight is None else sample_weight
    labels, _ = nearest_centers(X, centers)
    rest = (X - centers[labels]) * np.sqrt(weights)[:, None]
    shares = np.bincount(labels, weights, len(centers))
    pooled = rest.T @ rest / weights.sum()
    spread = np.empty((len(centers), *pooled.shape))
    for k, share in enumerate(shares):
        own = rest[labels == k]
        values, vectors = np.linalg.eigh(
            (own.T @ own + _PSEUDO_COUNT * pooled) / (share + _PSEUDO_COUNT)
        )
        spread[k] = vectors * np.sqrt(values.clip(min=0))
    return shares / shares.sum(), spread


# Samples of the pooled covariance that count beside those of a cell.
_PSEUDO_COUNT = 50.0


def cell_variance(data, centers, random_state=None):
    """Return half the mean squared distance to the nearest center, not of a point."""
    return _not_a_point(_half_square(data.part, centers, data.weights), data)


def _not_a_point(variance, data):
    """Return a variance, or the least that is not a point's."""
    floor = _FLOOR * total_variance(data.part, data.weights)
    return max(variance, floor, data.resolution)


def _half_square(X, centers, weights):
    """Return half the mean squared distance of a sample to the nearest center."""
    return 0.5 * float(np.average(nearest_centers(X, centers)[1], weights=weights))


def neighbor_variance(data, centers, random_state=None):
    """Return a quarter of the squared distance to the second-nearest center."""
    # Far more than of cells that touch is the width of a gap.
    first, squares = _two_squares(data.part, centers)
    half = 0.5 * float(np.average(first, weights=data.weights))
    widest = _WIDEST_NEIGHBOR * _not_a_point(half, data)
    if len(centers) == 1:
        return widest
    order = squares.argsort()
    shares = data.weights[order].cumsum()
    median = squares[order[shares.searchsorted(shares[-1] / 2)]]
    return _not_a_point(min(float(median) / 4, widest), data)


# In units of the variance of the cells; on a line that is cut evenly 3.4 are reached.
_WIDEST_NEIGHBOR = 4.0


def _two_squares(X, centers):
    """Return squared distances to the nearest and the second-nearest center, (2, n)."""
    last = min(1, len(centers) - 1)
    parts = [np.partition(d, last)[:, [0, last]] for _, d in _square_blocks(X, centers)]
    return np.concatenate(parts).T


def residual_variance(data, centers, random_state=None):
    """Return the variance of a feature within the cells, the likeliest one."""
    return 2 * cell_variance(data, centers) / data.part.shape[1]


def multiscale_variances(data, centers, random_state=None):
    """Return a ladder of variances, from below that of the cells to the data's."""
    total = total_variance(data.part, data.weights)
    return _ladder(cell_variance(data, centers), total)


def wide_variance(data, centers, random_state=None):
    """Return the cells' variance, 16 times that in many dimensions."""
    factor = 16.0 if data.part.shape[1] >= _MANY_FEATURES else 1.0
    return factor * cell_variance(data, centers)


def loo_variance(data, centers, random_state):
    """Return the variance of the kernel density estimate that predicts best."""
    rows, weights = data.part, data.weights
    total = total_variance(rows, weights)
    if len(rows) > _MAX_ROWS:
        drawn = random_state.choice(len(rows), _MAX_ROWS, replace=False)
        rows, weights = rows[drawn], weights[drawn]
    squares = squareform(pdist(rows, "sqeuclidean"))
    np.fill_diagonal(squares, np.inf)
    kernels = squares, weights / weights.sum(), rows.shape[1], weights
    grid = np.log(total * np.geomspace(_FLOOR, 1.0, 13))
    for _ in range(3):
        best = grid[np.argmax([_mean_log_prob(v, *kernels) for v in grid])]
        step = (grid[1] - grid[0]) / 2
        grid = np.clip(best + step * np.linspace(-1, 1, 5), grid[0], grid[-1])
    shrinks = (len(rows) / data.X.shape[0]) ** (2 / (rows.shape[1] + 4))
    return max(float(np.exp(best) * shrinks), data.resolution)

"""Weights and one variance of kernels around given centers."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from skgmje._backend import as_double, as_floats, from_tensor
from skgmje._settings import own_errors
from skgmje._typing import NDArray
from skgmje.em._bandwidth import check_centers, nearest_centers
from skgmje.em._missing import PASS_LIMIT, check_samples, observed_moments
from skgmje.em._rules import check_rules
from skgmje.gaussian._checks import check_sample_weight
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._mixture import Mixture
from skgmje.gaussian._passes import block_stats

# Pairs of a sample and a center from which the variance of samples left out follows.
_MAX_PAIRS = 2**20


@own_errors
def weights_only(
    X: NDArray[Any],
    centers: NDArray[Any],
    *,
    sample_weight: NDArray[Any] | None = None,
    left_out: bool = False,
    tol: float = 1e-4,
    max_iter: int = 100,
) -> Mixture:
    r"""Fit weights and one shared spherical variance; the centers stay.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.

    centers : ndarray of shape (n_components, n_features)
        Means of the components.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the samples.

    left_out : bool, default=False
        Whether the variance is that of samples left out. Centers that were placed
        by the samples are too near to them: without sample x, the mean c of its
        cell of N samples is as far from x as :math:`N / (N - 1) (x - c)`, and the
        center of a cell of x alone is not there. If every sample is a center, this
        is the leave-one-out variance of a kernel density estimate with free weights.

    tol : float, default=1e-4
        Stop when the mean log-likelihood gains less, in nats.

    max_iter : int, default=100
        Largest number of iterations.

    Returns
    -------
    mixture : Mixture
        Spherical, all variances equal.

    Raises
    ------
    ValueError
        If values are missing or infinite, or a parameter or a weight has a value that
        it must not have.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.em import weights_only
    >>> X = np.array([[-1.0], [-1.2], [1.0], [1.2], [1.1]])
    >>> weights_only(X, np.array([[-1.1], [1.1]])).weights.round(2).tolist()
    [0.4, 0.6]
    """
    X, centers, sample_weight = map(from_tensor, as_floats(X, centers, sample_weight))
    # The variance of rows in single precision may be beyond its range.
    centers = as_double(centers)
    check_samples(X, missing=False)
    check_centers(X, centers)
    check_sample_weight(sample_weight, X)
    check_rules(tol=tol, max_iter=max_iter)
    n_components, n_features = centers.shape
    center, variance = observed_moments(X, sample_weight)
    variance = float(variance.mean()) or 1.0
    floor = 1e-12 * float((centers**2).max(initial=variance))
    if left_out:
        given = centers, sample_weight, variance, floor
        variance = floor = _left_out_variance(X, *given, tol, max_iter)
    weights, previous = np.full(n_components, 1 / n_components), -np.inf
    loops = COVARIANCE_TYPES["spherical"].loops
    for _ in range(max_iter):
        start = weights, centers, np.full(n_components, variance), center, PASS_LIMIT
        stats = block_stats(loops(*start), X, sample_weight)
        if not left_out:
            moved = (stats.counts * ((stats.means - centers) ** 2).sum(axis=1)).sum()
            total = stats.scatter[0].sum() + moved
            variance = max(float(total) / (stats.weight * n_features), floor)
        weights = stats.counts / stats.counts.sum()
        bound = stats.log_likelihood / stats.weight
        if bound - previous < tol:
            break
        previous = bound
    return Mixture(weights, centers, np.full(n_components, variance), "spherical")


def _left_out_variance(X, centers, sample_weight, variance, floor, tol, max_iter):
    """Return the variance by which samples are predicted best that are left out."""
    n_features = centers.shape[1]
    squares, share = _left_out_squares(X, centers, sample_weight)
    # Of a center that is not there nothing adds up: zero times infinity.
    finite = np.where(np.isfinite(squares), squares, 0.0)
    nearest = squares.min(axis=1, keepdims=True)
    # From kernels as wide as the data EM gains too little at first to go on, where the
    # right ones are far narrower.
    narrow = max(float(share @ nearest[:, 0]) / n_features, floor)
    pairs = squares, finite, nearest, share, n_features
    fits = [_climb(*pairs, start, floor, tol, max_iter) for start in (variance, narrow)]
    return max(fits)[1]


def _climb(squares, finite, nearest, share, n_features, variance, floor, tol, max_iter):
    """Return the mean log-density that EM reaches, less a constant, and a variance."""
    n_components = squares.shape[1]
    weights, previous = np.full(n_components, 1 / n_components), -np.inf
    for _ in range(max_iter):
        resp = np.exp((nearest - squares) / (2 * variance)) * weights
        total = resp.sum(axis=1, keepdims=True)
        logs = np.log(total) - nearest / (2 * variance)
        bound = float(share @ logs[:, 0]) - 0.5 * n_features * np.log(variance)
        if bound - previous < tol:
            break
        previous = bound
        resp *= share[:, None] / total
        weights = np.maximum(resp.sum(axis=0), np.finfo(float).tiny)
        variance = max(float((resp * finite).sum()) / n_features, floor)
    return bound, variance


def _left_out_squares(X, centers, sample_weight):
    """Return squared distances (n, k) of samples left out, and their shares (n,)."""
    weight = np.ones(len(X)) if sample_weight is None else as_double(sample_weight)
    # Of weights below one only the ratios count, and tiny ones have no quotients.
    weight = np.ldexp(weight, max(0, -int(np.frexp(weight.max())[1])))
    labels = nearest_centers(X, centers)[0]
    counts = np.bincount(labels, weight, minlength=len(centers))[labels]
    some = slice(None, None, -(-X.shape[0] * len(centers) // _MAX_PAIRS))
    squares = cdist(X[some], centers, "sqeuclidean")
    own = np.arange(len(squares)), labels[some]
    # A weight of two stands for two samples, of which one is left out.
    left = 1 - (np.minimum(weight, 1.0) / counts)[some]
    alone = left < 1e-9
    kept = squares[own] / np.where(alone, 1.0, left) ** 2
    several = np.isfinite(squares).sum(axis=1) > 1
    squares[own] = np.where(alone & several, np.inf, kept)
    share = weight[some]
    return squares, share / share.sum()

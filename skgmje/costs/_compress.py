"""A kernel density estimate of few centers, the nearest to that of all samples."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from scipy.optimize import minimize

from skgmje._backend import as_double, as_float, as_generator, to_numpy
from skgmje._settings import own_settings
from skgmje._typing import Array, RandomState
from skgmje.costs._values import log_relative_scalar
from skgmje.em import kernel_bandwidth
from skgmje.gaussian import Mixture, grams
from skgmje.gaussian._checks import check_sample_weight

# Samples of which all pairs are looked at for a bandwidth.
_MAX_SAMPLES = 2000

# A gain below ends the search: centers then move by far less than a bandwidth.
_SEARCH = {"maxiter": 500, "maxfun": 1000, "ftol": 1e-6}

# Kernels are no narrower than those of the samples; 100 stands for no limit.
_LOG_RATIO = (0.0, 100.0)


def compress(
    X: Array,
    n_centers: int,
    *,
    bandwidth: float | None = None,
    sample_weight: Array | None = None,
    random_state: RandomState = None,
) -> Mixture:
    r"""Compress a kernel density estimate of all samples into one of few centers.

    Centers, weights and one variance minimize the Cauchy-Schwarz divergence

    .. math:: \min_{c, w, u} \; -\log
        \frac{\langle p, q \rangle^2}{\langle p, p \rangle \langle q, q \rangle},
        \quad p = \sum_i a_i N(x_i, v I), \; q = \sum_k w_k N(c_k, u I),
        \quad w \ge 0, \; \sum_k w_k = 1,

    from the centers of k-means, by L-BFGS with gradients in closed form. At the
    best weights it is the vector-matrix cost, the share of the squared maximum
    mean discrepancy that is left, of weights that are a density's: those of
    :func:`optimal_weights` may be negative, and cut off they are no longer the
    best. Few kernels that stand for many have to be wider, so :math:`u \ge v`.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Samples.

    n_centers : int
        Number of centers; fewer where fewer samples are distinct.

    bandwidth : float, default=None
        Standard deviation of the kernels around the samples, the root of v. None:
        the one that predicts left-out samples best, by
        :func:`skgmje.em.kernel_bandwidth` of at most 2000 samples.

    sample_weight : array of shape (n_samples,), default=None
        Weights a of the samples; their scale does not matter. None: all equal.

    random_state : int, RandomState or None, default=None
        Determines k-means, and the samples drawn for the bandwidth.

    Returns
    -------
    mixture : Mixture
        Spherical, all variances equal; NumPy arrays in double precision.

    Raises
    ------
    ValueError
        If `n_centers` is not between 1 and the number of samples that count, the
        bandwidth not positive, a sample not finite, or all samples are equal and
        there is no `bandwidth`.

    See Also
    --------
    skgmje.em.weights_only : Weights and variance by likelihood, of given centers.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, 2025. :arxiv:`2509.24076`
       The divergence. Its use for compression was added here.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from skgmje.costs import compress
    >>> X, _ = make_moons(400, noise=0.08, random_state=0)
    >>> mixture = compress(X, 20, random_state=0)
    >>> mixture.n_components
    20
    """
    # It needs scikit-learn, without which the costs can be imported.
    from skgmje.em._select import kmeans_centers

    X, weights = _samples_that_count(X, sample_weight)
    is_count = isinstance(n_centers, Integral) and not isinstance(n_centers, bool)
    if not (is_count and 1 <= n_centers <= len(X)):
        raise ValueError(
            f"n_centers must be an integer from 1 to the {len(X)} samples that count, "
            f"got {n_centers!r}."
        )
    if bandwidth is None:
        bandwidth = _left_out_bandwidth(X, weights, random_state)
    elif not (isinstance(bandwidth, Real) and 0 < bandwidth < np.inf):
        raise ValueError(
            "bandwidth must be a positive, finite number, the standard deviation of "
            f"one kernel, got {bandwidth!r}. None chooses it from the samples."
        )
    center = np.average(X, axis=0, weights=weights)
    Z = (X - center) / bandwidth
    start = kmeans_centers(
        Z, n_centers, sample_weight=weights, random_state=random_state
    )
    centers, shares, ratio = _nearest_density(Z, weights, start)
    variances = np.full(len(centers), (bandwidth * ratio) ** 2)
    return Mixture(shares, center + bandwidth * centers, variances, "spherical")


def _samples_that_count(X, sample_weight):
    """Return samples and weights in double precision, without those of weight 0."""
    X = to_numpy(as_double(as_float(X)))
    if X.ndim != 2 or not X.size or not np.isfinite(X).all():
        raise ValueError(
            "X must be samples of finite features, of shape (n_samples, n_features), "
            f"got shape {X.shape}. Drop or impute samples that have missing or "
            "infinite values."
        )
    if sample_weight is None:
        return X, None
    weights = to_numpy(as_double(as_float(sample_weight)))
    check_sample_weight(weights, X)
    return X[weights > 0], weights[weights > 0] / weights.max()


def _left_out_bandwidth(X, weights, random_state):
    """Return the bandwidth that predicts left-out samples best."""
    n, d = X.shape
    if np.all(X == X[0]):
        raise ValueError(
            f"All samples of X equal {X[0]}, which leave bandwidth=None open. Give a "
            "number."
        )
    shares = None if weights is None else weights / weights.sum()
    if n <= _MAX_SAMPLES:
        return kernel_bandwidth(X, weights=shares)
    generator = as_generator(random_state)
    drawn = generator.choice(n, _MAX_SAMPLES, replace=False, p=shares)
    return kernel_bandwidth(X[drawn]) * (_MAX_SAMPLES / n) ** (1 / (d + 4))


def _nearest_density(Z, weights, start):
    """Return centers, weights and bandwidth; kernels of the samples have width 1."""
    import torch

    (k, d), logs = start.shape, None if weights is None else np.log(weights)
    pairs = grams(*map(torch.from_numpy, (Z, start)), 1.0, log_data_weights=logs)

    def split(point):
        logits = point[k * d : -1]
        return point[: k * d].reshape(k, d), logits.softmax(0), point[-1].exp()

    def objective(point):
        point = torch.tensor(point, requires_grad=True)
        centers, shares, ratio = split(point)
        value = -log_relative_scalar(pairs.with_centers(centers, ratio), shares)
        value.backward()
        return value.item(), point.grad.numpy()

    first = np.concatenate([start.ravel(), np.zeros(k + 1)])
    bounds = [(None, None)] * (len(first) - 1) + [_LOG_RATIO]
    with own_settings():
        found = minimize(objective, first, jac=True, bounds=bounds, options=_SEARCH)
    return [part.numpy() for part in split(torch.from_numpy(found.x))]

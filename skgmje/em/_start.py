"""First mixtures."""

import numpy as np

from skgmje._backend import as_double, as_floats, from_tensor, to_numpy
from skgmje.em._e_step import has_missing, make_kernel, observed_moments, row_mean
from skgmje.em._em import make_prior, maximise
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._mixture import Mixture
from skgmje.gaussian._passes import assigned_stats, block_stats


def start_mixture(
    X,
    resp,
    covariance_type="full",
    *,
    sample_weight=None,
    shrinkage=0.0,
    shrinkage_target="pooled",
    reg_covar=1e-6,
    rank=1,
    moments=None,
):
    """Take one M-step from given labels or responsibilities.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows. Missing entries (NaN) count as the mean of their feature, with its
        variance: a component that sees no value of a feature starts with these.

    resp : ndarray of shape (n_samples,) or (n_samples, n_components)
        Labels from 0, or responsibilities.

    covariance_type : str, default='full'
        Key of :data:`skgmje.gaussian.COVARIANCE_TYPES`.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.

    shrinkage : float, default=0.0
        Pseudo-count of the target covariance.

    shrinkage_target : {'pooled', 'neighbors'}, default='pooled'
        See :func:`expectation_maximization`.

    reg_covar : float or ndarray of shape (n_features,), default=1e-6
        Added to the diagonal of every covariance.

    rank : int, default=1
        Number of factors of a low-rank covariance.

    moments : tuple of ndarray of shape (n_features,), default=None
        Means and variances of the features, where `X` is a part of the rows; None
        means those of the values in `X`.

    Returns
    -------
    mixture : Mixture
        Without labels that have no rows.

    Raises
    ------
    ValueError
        If a feature has no value and `moments` are not given.

    Examples
    --------
    >>> import numpy as np

    >>> X = np.array([[-1.0], [-1.2], [1.0], [1.2]])
    >>> start_mixture(X, np.array([0, 0, 1, 1]), "diag").means.round(2).ravel().tolist()
    [-1.1, 1.1]
    """
    X, sample_weight = map(from_tensor, as_floats(X, sample_weight))
    resp = to_numpy(resp)
    n_components = resp.shape[1] if resp.ndim == 2 else int(resp.max()) + 1
    unknown = None
    if has_missing(X):
        missing = np.isnan(X)
        mean, variance = _checked_moments(X, sample_weight, moments)
        X = np.where(missing, mean, X)
        unknown = variance * _missing_counts(missing, resp, n_components, sample_weight)
    labelled = X, resp, n_components, sample_weight, unknown
    prior = make_prior(X.shape[1], shrinkage, shrinkage_target, reg_covar)
    kind = COVARIANCE_TYPES[covariance_type]
    if not kind.needs_start:
        return _first_step(labelled, covariance_type, prior)
    borrowed = prior._replace(shrinkage=max(prior.shrinkage, float(X.shape[1])))
    full = _first_step(labelled, "full", borrowed)
    covariances = kind.first(full.covariances, rank, prior.reg_covar)
    return Mixture(full.weights, full.means, covariances, covariance_type)


def _checked_moments(X, sample_weight, moments):
    if moments is not None:
        return moments
    mean, variance = observed_moments(X, sample_weight)
    empty = np.flatnonzero(np.isnan(mean))
    if len(empty):
        raise ValueError(
            f"X has no value in column {', '.join(map(str, empty[:5]))}: a mixture "
            "cannot start there. Drop the column, or give moments."
        )
    return mean, variance


def _missing_counts(missing, resp, n_components, sample_weight):
    """Return the weight of each component's missing entries, (k, n_features)."""
    weight = np.ones(len(missing)) if sample_weight is None else sample_weight
    if resp.ndim == 2:
        return (resp.T * weight) @ missing
    labels = range(n_components)
    return np.stack([weight[resp == k] @ missing[resp == k] for k in labels])


def _take(labelled, covariance_type):
    """Return statistics of `resp`, by raw moments where they keep their digits."""
    X, resp, n_components, sample_weight, unknown = labelled
    center = row_mean(X, sample_weight)
    kernel_class = COVARIANCE_TYPES[covariance_type].loops
    n_features = X.shape[1]
    weights = np.full(n_components, 1 / n_components)
    means = np.tile(center, (n_components, 1))
    unit = kernel_class.unit(n_components, n_features)
    kernel = kernel_class(weights, means, unit, center, np.inf)
    stats = assigned_stats(kernel, X, resp, sample_weight)
    offset = ((stats.means - center) ** 2).sum(axis=1).max()
    spread = min(float(np.abs(part).max(initial=0)) for part in stats.scatter)
    if spread < 1e-8 * offset * stats.weight:
        kernel = kernel_class(weights, stats.means, unit, center, -1.0)
        stats = assigned_stats(kernel, X, resp, sample_weight)
    if unknown is not None:
        added = kernel.pack(unknown[:, :, None] * np.eye(n_features))
        pairs = zip(stats.scatter, added, strict=True)
        stats = stats._replace(scatter=tuple(a + b for a, b in pairs))
    return kernel, stats


def _first_step(labelled, covariance_type, prior):
    """Take the M-step from the statistics of labels or responsibilities."""
    kernel, stats = _take(labelled, covariance_type)
    return maximise(kernel, stats, prior, covariance_type)[0]


def weights_only(X, centers, *, sample_weight=None, tol=1e-4, max_iter=100):
    r"""Fit weights and one shared spherical variance; the centres stay.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows.

    centers : ndarray of shape (n_components, n_features)
        Means of the components.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.

    tol : float, default=1e-4
        Stop when the mean log-likelihood gains less, in nats.

    max_iter : int, default=100
        Largest number of iterations.

    Returns
    -------
    mixture : Mixture
        Spherical, all variances equal.

    Examples
    --------
    >>> import numpy as np

    >>> X = np.array([[-1.0], [-1.2], [1.0], [1.2], [1.1]])
    >>> weights_only(X, np.array([[-1.1], [1.1]])).weights.round(2).tolist()
    [0.4, 0.6]
    """
    arrays = as_floats(X, centers, sample_weight)
    X, centers, sample_weight = map(from_tensor, arrays)
    # The variance of rows in single precision may be beyond its range.
    centers = as_double(centers)
    n_components, n_features = centers.shape
    center = row_mean(X, sample_weight)
    blocks = (X[start : start + 8192] for start in range(0, len(X), 8192))
    squares = sum(float(((block - center) ** 2).sum()) for block in blocks)
    variance = squares / (len(X) * n_features) or 1.0
    floor = 1e-12 * float((center**2).max(initial=variance))
    weights, previous = np.full(n_components, 1 / n_components), -np.inf
    for _ in range(max_iter):
        mixture = Mixture(
            weights, centers, np.full(n_components, variance), "spherical"
        )
        stats = block_stats(make_kernel(mixture, center), X, sample_weight)
        moved = (stats.counts * ((stats.means - centers) ** 2).sum(axis=1)).sum()
        total = stats.scatter[0].sum() + moved
        variance = max(float(total) / (stats.weight * n_features), floor)
        weights = stats.counts / stats.counts.sum()
        bound = stats.log_likelihood / stats.weight
        if bound - previous < tol:
            break
        previous = bound
    return Mixture(weights, centers, np.full(n_components, variance), "spherical")

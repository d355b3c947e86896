"""Starts of EM: one M-step from labels or responsibilities."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from skgmje._backend import as_floats, from_tensor, to_numpy
from skgmje._settings import own_errors
from skgmje._typing import NDArray
from skgmje.em._covariance_models import layout_of
from skgmje.em._em import (
    add_scatter,
    as_mixture,
    begin,
    living_components,
    living_stats,
    make_prior,
    maximise,
    pooled_target,
    run,
    unit_kernel,
)
from skgmje.em._missing import check_samples, has_missing, observed_moments, row_mean
from skgmje.em._rules import check_rules
from skgmje.gaussian._checks import check_sample_weight, check_type
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._covariance_type import largest_axes, lost_correlation
from skgmje.gaussian._mixture import Mixture
from skgmje.gaussian._passes import assigned_stats

# Matrices of so many features cost less than products of samples, and are exact.
MOST_DENSE = 128

# Fewest samples of all components that one begins with, for each sample that it has on
# average, where samples are fewer than features.
POOLED = 0.25

# EM from labels ends when the mean log-likelihood gains less, in nats.
TOL = 1e-3


@own_errors
def start_mixture(
    X: NDArray[Any],
    resp: NDArray[Any],
    covariance_type: str = "full",
    *,
    sample_weight: NDArray[Any] | None = None,
    shrinkage: float = 0.0,
    shrinkage_target: Literal["pooled", "neighbors"] = "pooled",
    reg_covar: float | NDArray[Any] = 1e-6,
    rank: int = 1,
    moments: tuple[NDArray[Any], ...] | None = None,
    means: NDArray[Any] | None = None,
) -> Mixture:
    """Take one M-step from given labels or responsibilities.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples. Missing entries (NaN) count as the mean of their feature, with its
        variance: a component that sees no value of a feature starts with these.

    resp : ndarray of shape (n_samples,) or (n_samples, n_components)
        Labels from 0, or responsibilities.

    covariance_type : str, default='full'
        Key of :data:`skgmje.gaussian.COVARIANCE_TYPES`, or one of the fourteen models.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the samples.

    shrinkage : float, default=0.0
        Pseudo-count of the target covariance.

    shrinkage_target : {'pooled', 'neighbors'}, default='pooled'
        See :func:`expectation_maximization`.

    reg_covar : float or ndarray of shape (n_features,), default=1e-6
        Added to the diagonal of every covariance.

    rank : int, default=1
        Number of factors of a low-rank covariance.

    moments : tuple of ndarray of shape (n_features,), default=None
        Means and variances of the features, where `X` is a part of the samples; None
        means those of the values in `X`.

    means : ndarray of shape (n_components, n_features), default=None
        Means that stay, one for each label; None means those of the samples.

    Returns
    -------
    mixture : Mixture
        Without labels that have no samples, unless `means` are given.

    Raises
    ------
    ValueError
        If a feature has no value and `moments` are not given, if samples are infinite,
        or a parameter or a weight has a value that it must not have.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.em import start_mixture
    >>> X = np.array([[-1.0], [-1.2], [1.0], [1.2]])
    >>> start_mixture(X, np.array([0, 0, 1, 1]), "diag").means.round(2).ravel().tolist()
    [-1.1, 1.1]
    """
    X, sample_weight = map(from_tensor, as_floats(X, sample_weight))
    resp, layout = to_numpy(resp), layout_of(covariance_type)
    check_type(layout)
    check_samples(X)
    check_sample_weight(sample_weight, X)
    check_rules(rank=rank)
    rules = shrinkage, shrinkage_target, reg_covar, covariance_type
    prior, kind = make_prior(X.shape[1], *rules), COVARIANCE_TYPES[layout]
    is_valid = len(resp) == len(X) and -1e-12 <= resp.min() <= resp.max() < np.inf
    if not (is_valid and (resp.any() if resp.ndim == 2 else (resp % 1 == 0).all())):
        raise ValueError(
            f"resp has shape {resp.shape} and least value {resp.min():g}. Give one "
            "label from 0, a whole number, or the responsibilities of all components, "
            f"for each of the {len(X)} samples of X."
        )
    n_components = resp.shape[1] if resp.ndim == 2 else int(resp.max()) + 1
    if means is not None:
        means = _checked_means(means, X, n_components)
        n_components = len(means)
    unknown = None
    if has_missing(X):
        missing = np.isnan(X)
        mean, variance = _checked_moments(X, sample_weight, moments)
        X = np.where(missing, mean, X)
        unknown = variance * _missing_counts(missing, resp, n_components, sample_weight)
    labelled = X, resp, n_components, sample_weight, unknown
    if not kind.needs_start:
        return as_mixture(_first_step(labelled, layout, prior, means), layout)
    if X.shape[1] > max(len(X), MOST_DENSE):
        return _start_of_rows(labelled, layout, prior, rank, means)
    prior = prior._replace(shrinkage=max(prior.shrinkage, float(X.shape[1])))
    full = _first_step(labelled, "full", prior, means)
    covariances = kind.first(full.covariances, rank, prior.reg_covar)
    return Mixture(full.weights, full.means, covariances, layout)


def _checked_means(means, X, n_labels):
    """Return given means as an array, of which every label has one."""
    means = to_numpy(means)
    means = means if means.dtype.kind == "f" else means.astype(X.dtype)
    if means.ndim != 2 or means.shape[1] != X.shape[1] or len(means) < n_labels:
        raise ValueError(
            f"means has shape {means.shape}. Give one mean of {X.shape[1]} features "
            f"for each of {n_labels} labels."
        )
    return means


def _checked_moments(X, sample_weight, moments):
    """Return given moments, or observed ones, of which no feature is empty."""
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
    means = np.tile(center, (n_components, 1))
    kernel = unit_kernel(covariance_type, means, center)
    stats = assigned_stats(kernel, X, resp, sample_weight)
    offset = ((stats.means - center) ** 2).sum(axis=1).max()
    spread = min(float(np.abs(part).max(initial=0)) for part in stats.scatter)
    if spread < 1e-8 * offset * stats.weight:
        kernel = unit_kernel(covariance_type, stats.means, center, -1.0)
        stats = assigned_stats(kernel, X, resp, sample_weight)
    if unknown is not None:
        added = kernel.pack(unknown[:, :, None] * np.eye(X.shape[1]))
        stats = add_scatter(stats, added)
    return kernel, stats


def _first_step(labelled, covariance_type, prior, means):
    """Return the kernel of one M-step from labels or responsibilities."""
    kernel, stats = _take(labelled, covariance_type)
    return maximise(kernel, stats, prior, covariance_type, means=means)[0]


def _start_of_rows(labelled, covariance_type, prior, rank, means):
    """Return the first mixture of fewer samples than features, by their products."""
    X, resp, n_components, sample_weight, _ = labelled
    kind = COVARIANCE_TYPES[covariance_type]
    kernel, stats = _take(labelled, "diag")
    # Factors need few samples: most of a component of middling size are its own.
    least = POOLED * stats.weight / n_components
    prior = prior._replace(shrinkage=max(prior.shrinkage, least), target=pooled_target)
    found = maximise(kernel, stats, prior, "diag", means=means)[0]
    alive = np.flatnonzero(living_components(stats, drop=means is None))
    if resp.ndim == 1:
        resp = (resp[:, None] == np.arange(n_components)).astype(float)
    if sample_weight is not None:
        resp = resp * sample_weight[:, None]
    shares, own = resp.T[alive], []
    for center, share in zip(found.means, shares, strict=True):
        some = share > 0
        rows = np.sqrt(share[some])[:, None] * (X[some] - center)
        own.append(largest_axes(rows, rank))
    pool = np.sqrt(prior.shrinkage / stats.weight) * largest_axes(np.vstack(own), rank)
    kept = 1 - lost_correlation(stats.weight, X.shape[1], prior.shrinkage)
    scales = np.sqrt(kept / (shares.sum(axis=1) + prior.shrinkage))
    parts = [
        kind.first_of_rows(scale * np.vstack([axes, pool]), variances, rank)
        for axes, variances, scale in zip(own, found.covariances, scales, strict=True)
    ]
    covariances = tuple(map(np.stack, zip(*parts, strict=True)))
    return Mixture(found.weights, found.means, covariances, covariance_type)


def fit_labels(
    X, labels, covariance_type, sample_weight, prior, *, least, annealing, max_iter
):
    """Return the mixture of EM from labels; those of fewer samples are dropped."""
    labelled = X, labels, int(labels.max()) + 1, sample_weight, None
    kernel, stats = _take(labelled, covariance_type)
    kernel, _ = maximise(kernel, living_stats(stats, least), prior, covariance_type)
    start = as_mixture(kernel, covariance_type)
    plan = annealing, TOL, max_iter, None
    begun = begin(X, start, sample_weight)
    return run(*begun, prior, plan, start, least=least).mixture

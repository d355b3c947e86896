"""Steps of fitting that are functions of arrays and results."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skgmje._base import check_rows, check_weights
from skgmje._kernels import merge_stats
from skgmje._row_blocks import as_blocks, check_blocks, check_values
from skgmje.adaptation._blocks import BlocksWithValues, part_of
from skgmje.adaptation._e_step import has_missing, observed_moments
from skgmje.gaussian import COVARIANCE_TYPES, Mixture
from skgmje.mixture._starts import ROWS_PER_COMPONENT

# reg_covar="auto" is this share of each feature's variance.
RELATIVE_REGULARISATION = 1e-6

# A chunk enters the statistics with the step (1 + rows seen / its rows)^-0.7;
# stochastic approximation needs an exponent in (1/2, 1].
STEP_EXPONENT = 0.7


def fit_rows(estimator, X, sample_weight, *, reset=True):
    """Return checked rows and their weights; those without weight or value are dropped.

    A row without any value tells nothing: kept, it would slow EM down, and count
    as a row beside the pseudo-count of the prior.

    Parameters
    ----------
    estimator : GaussianMixture
        Whose ``n_features_in_`` is set or checked.

    X : array-like, Dask collection or RowBlocks
        Rows; NaN means missing.

    sample_weight : array-like or None
        Their weights.

    reset : bool, default=True
        False for further chunks of a stream.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), or RowBlocks
        Rows.

    weight : ndarray of shape (n_samples,) or None
        Their weights; blocks have their own.
    """
    blocks = as_blocks(X, sample_weight)
    if blocks is not None:
        X, weight = check_blocks(estimator, blocks, allow_nan=True), None
        if X.overview.has_missing:
            X = BlocksWithValues(X)
    else:
        least = 2 if reset else 1
        X = check_rows(
            estimator, X, reset=reset, allow_nan=True, min_samples=least, fitting=True
        )
        weight = check_weights(sample_weight, X)
        if weight is not None and not weight.all():
            X, weight = X[weight > 0], weight[weight > 0]
        given, (X, weight) = X, _with_values(X, weight)
        if reset or not len(X):
            check_values(estimator, given)
    n_components, n_samples = estimator.n_components, X.shape[0]
    if reset and n_components != "auto" and n_samples < n_components:
        raise ValueError(
            f"n_components={n_components} is larger than the number of samples with "
            f"positive weight, n_samples={n_samples}. Lower n_components or add "
            "samples."
        )
    return X, weight


def _with_values(X, weight):
    """Return the rows that have a value, and their weights."""
    if not has_missing(X):
        return X, weight
    valued = ~np.isnan(X).all(axis=1)
    if valued.all():
        return X, weight
    return X[valued], None if weight is None else weight[valued]


def start_rows(estimator, X, weight, random_state):
    """Return the rows, or of blocks a part, that starts and what is 'auto' see."""
    size = 1 if estimator.n_components == "auto" else estimator.n_components
    return part_of(X, weight, random_state, ROWS_PER_COMPONENT * size)


def regularisation(reg_covar, X, weight):
    """Return what is added to each variance, shape (n_features,).

    Parameters
    ----------
    reg_covar : float or 'auto'
        As the estimator has it.

    X : ndarray of shape (n_samples, n_features), or RowBlocks
        Rows; NaN means missing.

    weight : ndarray of shape (n_samples,) or None
        Weights of the rows.

    Returns
    -------
    reg_covar : ndarray of shape (n_features,)
        In squared units of `X`. Under 'auto' a constant feature gets the share
        of the mean variance, and of one where all features are constant.
    """
    if reg_covar != "auto":
        return np.full(X.shape[1], float(reg_covar))
    center, variance = map(np.nan_to_num, observed_moments(X, weight))
    # Rounding leaves a constant feature a variance, but not one of its size.
    constant = variance <= 1e-28 * center**2
    typical = variance[~constant].mean() if not constant.all() else 1.0
    return RELATIVE_REGULARISATION * np.where(constant, typical, variance)


def override(start, weights=None, means=None, precisions=None):
    """Return `start` with the given parts in place of its own.

    A wrong shape or value raises ValueError in the name of the parameter.

    Parameters
    ----------
    start : Mixture
        First mixture from the data.

    weights : array-like of shape (n_components,), default=None
        First weights.

    means : array-like of shape (n_components, n_features), default=None
        First means.

    precisions : array-like, default=None
        First precisions, in the shape of the covariance type.

    Returns
    -------
    start : Mixture
        Where expectation-maximisation begins.
    """
    if weights is None and means is None and precisions is None:
        return start
    kind = start.covariance_type
    shape = start.means.shape
    weights = _part("weights_init", weights, start.weights, shape[:1])
    means = _part("means_init", means, start.means, shape)
    if not np.isclose(weights.sum(), 1.0) or weights.min() < 0:
        raise ValueError(
            f"weights_init={weights.tolist()} must not be negative and must sum to "
            "one. Divide it by its sum."
        )
    covariances = start.covariances
    if precisions is not None:
        expected = COVARIANCE_TYPES[kind].shape(*shape)
        if kind == "low-rank":
            raise ValueError(
                "precisions_init is not defined for covariance_type='low-rank'. "
                "Pass means_init alone, or warm_start from from_parameters."
            )
        precisions = _part("precisions_init", precisions, None, expected)
        try:
            covariances = COVARIANCE_TYPES[kind].precisions(precisions)
        except ValueError as error:
            raise ValueError(
                "precisions_init has a matrix that is not positive definite. Pass "
                "inverses of covariances."
            ) from error
        if kind in ("full", "tied"):
            covariances = 0.5 * (covariances + np.swapaxes(covariances, -1, -2))
    return Mixture(weights, means, covariances, kind)


def _part(name, values, default, shape):
    if values is None:
        return default
    values = np.asarray(values, np.float64)
    if values.shape != tuple(shape) or not np.isfinite(values).all():
        raise ValueError(
            f"{name} of shape {values.shape} must be finite and of shape "
            f"{tuple(shape)}. Reshape it or change n_components."
        )
    return values


def last_solution(estimator, X, selection):
    """Return the mixture that ``warm_start=True`` goes on from.

    Raises
    ------
    ValueError
        If the settings or the features are not those of the last fit.
    """
    mixture = estimator.mixture_
    asked = selection.n_components, selection.covariance_type
    if estimator._asked != asked or mixture.n_features != X.shape[1]:
        raise ValueError(
            f"warm_start=True goes on from the last solution, which has (n_components, "
            f"covariance_type, n_features) {(*estimator._asked, mixture.n_features)}, "
            f"but {(*asked, X.shape[1])} is asked for. Fit a clone, or set "
            "warm_start=False."
        )
    return mixture


def blend(kernel, old, fresh, memory=np.inf):
    """Mix the statistics of a chunk into those of all earlier ones.

    Parameters
    ----------
    kernel : Kernel
        Of the mixture with which `fresh` was taken.

    old, fresh : Statistics
        Of the earlier chunks and of this one.

    memory : float, default=inf
        Rows after which earlier ones count for a third, if not for less already.

    Returns
    -------
    stats : Statistics
        Their weighted mean, scaled to all rows seen.
    """
    total = old.weight + fresh.weight
    step = (1 + old.weight / fresh.weight) ** -STEP_EXPONENT
    step = max(step, -np.expm1(-fresh.weight / memory))
    return merge_stats(
        kernel,
        _scaled(kernel.restate(old), (1 - step) * total / old.weight),
        _scaled(fresh, step * total / fresh.weight),
    )


def _scaled(stats, factor):
    return stats._replace(
        counts=stats.counts * factor,
        scatter=tuple(part * factor for part in stats.scatter),
        log_likelihood=stats.log_likelihood * factor,
        weight=stats.weight * factor,
    )


def warn_about(result, n_components, tol):
    """Say once, with figures, what a user should know of a fit.

    Parameters
    ----------
    result : EMResult
        The best start.

    n_components : int
        What was asked for.

    tol : float
        The tolerance of the run.
    """
    problems = []
    if not result.converged:
        gain = np.diff(result.lower_bounds[-2:]).sum()
        problems.append(
            f"EM did not converge in {result.n_iter} iterations (last gain "
            f"{gain:.2g} nats, tol={tol:g}). Increase max_iter or tol, or lower "
            "n_components."
        )
    dropped = n_components - result.mixture.n_components
    if dropped:
        problems.append(
            f"{dropped} of {n_components} components had no rows left and were "
            "dropped; distinct rows may be too few. Lower n_components."
        )
    if result.reg_covar:
        problems.append(
            f"A covariance was singular: {result.reg_covar:.2g} was added to the "
            "diagonals. Set reg_covar='auto', increase shrinkage, or remove "
            "duplicated features."
        )
    if problems:
        warnings.warn(" ".join(problems), ConvergenceWarning, stacklevel=3)

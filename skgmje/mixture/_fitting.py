"""Steps of fitting that are functions of arrays and results."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skgmje._validation import (
    as_blocks,
    check_blocks,
    check_rows,
    check_values,
    check_weights,
)
from skgmje.em._blocks import BlocksWithValues, part_of
from skgmje.em._e_step import has_missing, make_kernel, observed_moments
from skgmje.em._kmeans import ROWS_PER_COMPONENT
from skgmje.em._select import select_mixture
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._loops import FEW_ROWS_PER_FEATURE, lost_correlation
from skgmje.gaussian._mixture import Mixture

# reg_covar="auto" is this share of each feature's variance.
RELATIVE_REGULARISATION = 1e-6


def fit_rows(estimator, X, sample_weight, *, reset=True):
    """Return checked rows and their weights; those without weight or value are
    dropped.
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
    """Return what is added to each variance, shape (n_features,)."""
    if reg_covar != "auto":
        return np.full(X.shape[1], float(reg_covar))
    center, variance = map(np.nan_to_num, observed_moments(X, weight))
    # Rounding leaves a constant feature a variance, but not one of its size.
    constant = variance <= 1e-28 * center**2
    typical = variance[~constant].mean() if not constant.all() else 1.0
    return RELATIVE_REGULARISATION * np.where(constant, typical, variance)


def override(start, weights=None, means=None, precisions=None):
    """Return `start` with the given parts in place of its own."""
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
    """Return the mixture that ``warm_start=True`` goes on from."""
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


def warn_about(result, n_components, tol):
    """Say once, with figures, what a user should know of a fit."""
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


# What is left of a component's mass or covariance without a sample is never below.
LEAST_LEFT = 1e-9


# Nats by which a diagonal Gaussian must be better: per feature, and at least.
FAR_PER_FEATURE, FAR = 0.1, 5.0


# Rows up to which folds are fitted where leaving one out has no closed form.
MAX_FOLDED = 500


def warn_of_few_samples(X, weight, mixture, shrinkage, reg_covar):
    """Warn if a diagonal Gaussian would predict samples left out far better."""
    n_samples, n_features = X.shape
    kind = mixture.covariance_type
    # Of a low-rank covariance the factors are to be found, and a variance each.
    rank = mixture.covariances[0].shape[-1] + 1 if kind == "low-rank" else n_features
    ample = FEW_ROWS_PER_FEATURE * rank * mixture.n_components
    few = n_samples < ample and kind in ("full", "tied", "low-rank") and n_features > 1
    if not few or not isinstance(X, np.ndarray):
        return
    X = X.astype(np.float64, copy=False)
    left_out = _leave_one_out
    if kind == "low-rank" or np.isnan(X).any():
        if n_samples > MAX_FOLDED:
            return
        left_out = _held_out
    with np.errstate(all="ignore"):
        own, diagonal = left_out(X, weight, mixture, shrinkage, reg_covar)
    # Of rows so large that these are NaN nothing is said.
    if not own < diagonal - max(FAR, FAR_PER_FEATURE * n_features):
        return
    warnings.warn(
        f"n_samples={n_samples} are few for n_features={n_features} and "
        f"{mixture.n_components} {kind!r} covariance(s): the "
        f"log-likelihood of a sample left out is about {own:.4g} nats, that of a "
        f"diagonal Gaussian {diagonal:.4g}. Set covariance_type='auto' and "
        "shrinkage='auto'.",
        UserWarning,
        stacklevel=3,
    )


def _leave_one_out(X, weight, mixture, shrinkage, reg_covar):
    """Return mean log-likelihoods of a sample left out, own and diagonal."""
    weight = np.ones(len(X)) if weight is None else weight
    own = leave_one_out(X, weight, mixture, shrinkage)
    diagonal = diagonal_leave_one_out(X, weight, reg_covar)
    return tuple(np.average(part, weights=weight) for part in (own, diagonal))


def _held_out(X, weight, mixture, shrinkage, reg_covar):
    """Return the same of five folds, by fits to the others."""
    kind, means = mixture.covariance_type, []
    rank = mixture.covariances[0].shape[-1] if kind == "low-rank" else 1
    for size, *setting in ((mixture.n_components, kind, shrinkage), (1, "diag", 0.0)):
        selection = select_mixture(
            X,
            n_components=size,
            covariance_type=setting[0],
            shrinkage=setting[1],
            sample_weight=weight,
            reg_covar=reg_covar,
            rank=rank,
            # The same folds, and none of the caller's draws.
            random_state=np.random.RandomState(0),
        )
        if selection.held_out is None:
            return np.nan, np.nan
        means.append(np.average(selection.held_out, weights=weight))
    return means


def leave_one_out(X, weight, mixture, shrinkage):
    """Compute log-densities of samples without their own share of the fit."""
    d, center = X.shape[1], np.average(X, axis=0, weights=weight)
    kernel = make_kernel(mixture, center)
    distances = kernel.squared_distances((X - center).T)
    log_det = np.linalg.slogdet(
        COVARIANCE_TYPES[mixture.covariance_type].dense(
            mixture.covariances, *mixture.means.shape
        )
    )[1][:, None]
    total = weight.sum()
    # A weight of two stands for two samples, of which one is left out.
    share = mixture.responsibilities(X).T * np.minimum(weight, 1.0)
    count = total * mixture.weights[:, None]
    left = np.maximum(count - share, LEAST_LEFT)
    behind = count if mixture.covariance_type == "full" else total
    behind = behind + shrinkage
    factor = behind / np.maximum(behind - share, LEAST_LEFT)
    lost = share * count / left * distances / behind
    lost = lost * (1 - lost_correlation(total, d, shrinkage))
    kept = np.maximum(1 - lost, LEAST_LEFT)
    square = (count / left) ** 2 * distances / factor / kept
    log_joint = np.log(left / (total - 1)) - 0.5 * (
        square + d * np.log(2 * np.pi * factor) + log_det + np.log(kept)
    )
    return np.logaddexp.reduce(log_joint, axis=0)


def diagonal_leave_one_out(X, weight, reg_covar):
    """Compute the same of a diagonal Gaussian, with a floor of `reg_covar`."""
    mean = np.average(X, axis=0, weights=weight)
    total, share = weight.sum(), np.minimum(weight, 1.0)[:, None]
    left = np.maximum(total - share, LEAST_LEFT)
    squares = (X - mean) ** 2
    scatter = weight @ squares - share * total / left * squares
    floor = np.maximum(reg_covar, np.finfo(float).tiny)
    variance = np.maximum(scatter / left, 0.0) + floor
    squares = squares * (total / left) ** 2
    return -0.5 * (squares / variance + np.log(2 * np.pi * variance)).sum(axis=1)

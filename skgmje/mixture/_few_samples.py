"""Warnings that samples are too few, or their units too small, with figures."""

import numpy as np
from scipy.special import chdtr

from skgmje._validation import name_columns
from skgmje._warnings import warn
from skgmje.em._covariance_models import SYNONYMS
from skgmje.em._em import make_kernel
from skgmje.em._missing import missing_moments, observed_moments, row_mean
from skgmje.em._select import (
    find_folds,
    first_labels_of,
    held_out_fit,
    joint_log_prob,
    mean_and_error,
    rows_of,
)
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._covariance_type import FEW_ROWS_PER_FEATURE, lost_correlation

# What is left of a component's mass or covariance without a sample is never below.
LEAST_LEFT = 1e-9

# Nats by which a diagonal Gaussian must be better: per feature, and at least.
FAR_PER_FEATURE, FAR = 0.1, 5.0

# Rows up to which folds are fitted where leaving one out has no closed form.
MAX_FOLDED = 500

# Folds end if no warning is due by so many standard errors of so many samples.
CERTAIN, ENOUGH = 6.0, 20

# Share of samples that is nearly all, and that of a variance which blurs clusters.
NEARLY_ALL, BLURRING = 0.95, 0.5

# Squared differences are a share of true noise as small in few samples, by chance.
SMALL_SHARE, RARE = 0.1, 1e-6


def copies(weight, n_samples):
    """Return the hint that weights are copies, where they are of fewer than samples."""
    if weight is None or weight.sum() >= n_samples:
        return ""
    return (
        f" sample_weight sums to {weight.sum():.3g} for {n_samples} samples, and a "
        "weight counts as so many copies: multiply weights that are shares by the "
        "number of samples."
    )


def least_count(mixture, shrinkage):
    """Return how many samples the covariance of a component needs."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    if kind.shared or kind.independent or shrinkage:
        return 2
    return mixture.n_features + 1


def warn_of_few_expected(estimator, n_samples, total):
    """Warn if a background has left components too few of the samples."""
    mixture, share = estimator._gaussians, estimator.background_weight_
    # Shares are weights of as many samples.
    counts = max(total, n_samples) * (1 - share) * mixture.weights
    least = least_count(mixture, estimator.shrinkage_)
    if share > NEARLY_ALL:
        problem = f"{share:.1%} of the samples are taken for background"
    elif counts.min() < least:
        problem = (
            f"{np.count_nonzero(counts < least)} of {len(counts)} components have "
            f"fewer than {least} samples (the least {counts.min():.2g}), the "
            f"background {share:.1%} of all"
        )
    else:
        return
    warn(
        f"background=True: {problem}. Set init_params='auto', another n_components, "
        "or background=False."
    )


def warn_of_small_units(estimator, X, weight):
    """Warn if what is added to variances blurs the clusters that are looked for."""
    if estimator.reg_covar == "auto":
        return
    center, variance = observed_moments(X, weight)
    # Rounding leaves a constant feature a variance.
    varies = variance > 1e-28 * center**2
    blurred = varies & (estimator.reg_covar > BLURRING * variance)
    if blurred.any():
        warn(
            f"reg_covar={estimator.reg_covar:g} is added to variances, and columns "
            f"{np.flatnonzero(blurred)[:5].tolist()} of X have one of "
            f"{variance[blurred].min():.2g} or more: clusters are blurred, so that a "
            "wrong number may be found. Set reg_covar='auto', which has the units of "
            "X, or rescale X."
        )


def warn_of_large_noise(estimator, X, noise, weight):
    """Warn if noise is far larger than samples differ: nothing is learned of them."""
    full = noise.ndim == 3
    variances = np.diagonal(noise, axis1=1, axis2=2) if full else noise
    squares = (X - observed_moments(X, weight)[0]) ** 2
    # Samples without noise are told from others however little they differ.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(variances > 0, squares / variances, np.inf)
        share = row_mean(np.where(np.isnan(X), np.nan, ratios), weight)
    # Its sum over samples is at least a chi-squared variable, were the noise true.
    counts = (~np.isnan(X)).sum(axis=0)
    wrong = (share < SMALL_SHARE) & (chdtr(counts - 1, counts * share) < RARE)
    if wrong.any():
        warn(
            f"noise is too large for X in {name_columns(estimator, wrong)}: squared "
            f"differences from the mean are on average {share[wrong].min():.2g} times "
            "its variances, and true errors alone would make them 1 or more. The fit "
            "stays near its start. Give variances, in squared units of X."
        )


def warn_of_few_samples(estimator, X, weight, reg_covar, held_out=None, noise=None):
    """Warn if a diagonal Gaussian would predict samples left out far better."""
    mixture, shrinkage = estimator.mixture_, estimator.shrinkage_
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    rank = kind.rank(mixture.covariances)
    # One diagonal Gaussian is what others are compared with.
    several = held_out is not None and mixture.n_components > 1
    if not isinstance(X, np.ndarray) or (kind.independent and not several):
        return
    (n_samples, d), n_components = X.shape, mixture.n_components
    # Of a low-rank covariance the factors are to be found, and a variance each.
    n_found = d if rank is None else rank + 1
    if d == 1 or n_samples >= FEW_ROWS_PER_FEATURE * n_found * n_components:
        return
    constrained = estimator.model_ not in {*SYNONYMS.values(), "low-rank"}
    has_no_closed_form = rank is not None or constrained or noise is not None
    folded = has_no_closed_form or bool(np.isnan(X).any())
    if n_samples > MAX_FOLDED and (kind.independent or folded):
        return
    X = X.astype(np.float64, copy=False)
    with np.errstate(all="ignore"):
        # The choice of the settings may have left all samples out already.
        if n_samples > MAX_FOLDED or (held_out is None and not folded):
            own, diagonal = _leave_one_out(X, weight, mixture, shrinkage, reg_covar)
        else:
            setting = n_components, estimator.model_, shrinkage
            rules = {"reg_covar": reg_covar, "rank": rank or 1, "noise": noise}
            own, diagonal = _leave_folds_out(X, weight, held_out, setting, rules)
    # Of samples so large that these are NaN nothing is said.
    if own < diagonal - _far(X):
        warn(
            f"n_samples={n_samples} are few for n_features={d} and {n_components} "
            f"{mixture.covariance_type!r} covariance(s): the log-likelihood of a "
            f"sample left out is about {own:.4g} nats, that of a diagonal Gaussian "
            f"{diagonal:.4g}. {_remedy(estimator)}"
        )


def _far(X):
    """Return by how many nats a diagonal Gaussian must be better."""
    return max(FAR, FAR_PER_FEATURE * X.shape[1])


def _remedy(estimator):
    """Return what may help and has not been done."""
    names = ("covariance_type", "shrinkage")
    plain = [name for name in names if getattr(estimator, name) != "auto"]
    advice = " and ".join(f"{name}='auto'" for name in plain)
    if not plain or estimator.mixture_.n_components > 1:
        fewer = "lower n_components, or set it 'auto'"
        return f"Set {advice}, or {fewer}." if plain else f"{fewer.capitalize()}."
    return f"Set {advice}."


def _leave_one_out(X, weight, mixture, shrinkage, reg_covar):
    """Return mean log-likelihoods of a sample left out, own and diagonal."""
    weight = np.ones(len(X)) if weight is None else weight
    # Shares are weights of as many samples.
    weight = weight * max(1.0, len(X) / weight.sum())
    own = leave_one_out(X, weight, mixture, shrinkage)
    diagonal = _diagonal_leave_one_out(X, weight, reg_covar)
    return tuple(np.average(part, weights=weight) for part in (own, diagonal))


def _leave_folds_out(X, weight, held_out, setting, rules):
    """Return the same of folds left out, own by fits unless `held_out` knows them."""
    n_components, *kind = setting
    # The same folds for all, and none of the caller's draws.
    random_state = np.random.RandomState(0)
    folds, n_train = find_folds(X, random_state)
    if folds[0].all():
        return np.nan, np.nan
    # Gains far below what is looked for tell nothing.
    rules |= {"tol": 1e-2 * _far(X), "moments": missing_moments(X, weight)}
    data, seen = (X, (weight, weight), joint_log_prob, rules), np.zeros(len(X), bool)
    own, diagonal = np.full((2, len(X)), np.nan)
    for train in folds:
        test = ~train
        if held_out is not None:
            own[test] = held_out[test]
        else:
            part = X[train], min(n_components, n_train), rows_of(weight, train)
            labels = first_labels_of(*part, random_state.randint(2**31 - 1))
            own[test] = held_out_fit(*data, train, labels, None, *kind).log_prob
        alone = np.zeros(train.sum(), np.intp), None, "diag", 0.0
        diagonal[test] = held_out_fit(*data, train, *alone).log_prob
        seen |= test
        gain = mean_and_error((own - diagonal)[seen], rows_of(weight, seen))
        if seen.sum() >= ENOUGH and gain[0] - CERTAIN * gain[1] > -_far(X):
            break
    known = rows_of(weight, seen)
    return tuple(np.average(part[seen], weights=known) for part in (own, diagonal))


def leave_one_out(X, weight, mixture, shrinkage):
    """Compute log-densities of samples without their own share of the fit."""
    d, center = X.shape[1], np.average(X, axis=0, weights=weight)
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    distances = make_kernel(mixture, center).squared_distances((X - center).T)
    dense = kind.dense(mixture.covariances, *mixture.means.shape)
    log_det = np.linalg.slogdet(dense)[1][:, None]
    total = weight.sum()
    # A weight of two stands for two samples, of which one is left out.
    share = mixture.responsibilities(X).T * np.minimum(weight, 1.0)
    count = total * mixture.weights[:, None]
    left = np.maximum(count - share, LEAST_LEFT)
    behind = (total if kind.shared else count) + shrinkage
    factor = behind / np.maximum(behind - share, LEAST_LEFT)
    lost = share * count / left * distances / behind
    lost = lost * (1 - lost_correlation(total, d, shrinkage))
    kept = np.maximum(1 - lost, LEAST_LEFT)
    square = (count / left) ** 2 * distances / factor / kept
    log_joint = np.log(left / (total - 1)) - 0.5 * (
        square + d * np.log(2 * np.pi * factor) + log_det + np.log(kept)
    )
    return np.logaddexp.reduce(log_joint, axis=0)


def _diagonal_leave_one_out(X, weight, reg_covar):
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

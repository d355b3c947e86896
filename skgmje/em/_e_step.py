"""Sufficient statistics of samples, complete or with missing values."""

from functools import partial, reduce

import numpy as np

from skgmje._backend import as_floats, is_torch, namespace, to_numpy
from skgmje.em._blocks import RowBlocks
from skgmje.gaussian._checks import patterns
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._passes import (
    block_stats as kernel_stats,
)
from skgmje.gaussian._passes import (
    device_stats,
    from_sums,
    responsibilities,
)
from skgmje.gaussian._passes import (
    log_prob as kernel_log_prob,
)
from skgmje.gaussian._passes import (
    merge_stats as merge_kernel_stats,
)


def missing_stats(
    kernel, covariance_type, weights, X, sample_weight, temper=1.0, reg_covar=0.0
):
    """Take the exact E-step of rows with missing entries."""
    kind = COVARIANCE_TYPES[covariance_type]
    n_components, n_features = kernel.means.shape
    dense = kind.dense(kernel.covariances, n_components, n_features)
    counts = np.zeros(n_components)
    sums = np.zeros((n_components, n_features))
    second = np.zeros((n_components, n_features, n_features))
    log_likelihood = 0.0
    reg_covar = np.broadcast_to(np.asarray(reg_covar, np.float64), (n_features,))
    reg_covar = kernel.added(reg_covar)
    for rows, observed in patterns(X):
        weight = sample_weight[rows]
        log_norm, resp = _observed(kernel, kind, weights, X[rows], observed, temper)
        log_likelihood += float((log_norm * weight).sum())
        resp = resp * weight[:, None]
        counts += resp.sum(axis=0)
        for k in range(n_components):
            diff, spread = _complete(X[rows], observed, kernel.means[k], dense[k])
            np.fill_diagonal(spread, np.diagonal(spread) - reg_covar * ~observed)
            weighted = diff * resp[:, k, None]
            sums[k] += weighted.sum(axis=0)
            second[k] += weighted.T @ diff + resp[:, k].sum() * spread
    totals = [counts, sums, *kernel.pack(second)]
    weight = float(sample_weight.sum(dtype=np.float64))
    return from_sums(kernel, totals, log_likelihood, weight)


def _observed(kernel, kind, weights, X, observed, temper):
    if not observed.any():
        return np.zeros(len(X)), np.tile(weights, (len(X), 1))
    indices = np.flatnonzero(observed)
    marginal = kind.loops(
        weights,
        kernel.means[:, indices],
        kind.marginal(kernel.covariances, indices),
        kernel.center[indices],
    )
    X = X[:, indices]
    log_norm = kernel_log_prob(marginal, X)
    return log_norm, responsibilities(marginal, X, temper=temper)


def _complete(X, observed, mean, covariance):
    """Return expected rows less `mean`, and the covariance of what is missing."""
    n_features = len(mean)
    diff = np.zeros(X.shape)
    spread = np.zeros((n_features, n_features))
    o, m = np.flatnonzero(observed), np.flatnonzero(~observed)
    diff[:, o] = X[:, o] - mean[o]
    if len(m) and len(o):
        gain = np.linalg.solve(covariance[np.ix_(o, o)], covariance[np.ix_(o, m)])
        diff[:, m] = diff[:, o] @ gain
        spread[np.ix_(m, m)] = (
            covariance[np.ix_(m, m)] - gain.T @ covariance[np.ix_(o, m)]
        )
    elif len(m):
        spread[:] = covariance
    return diff, spread


# Responsibilities need fewer digits than published densities, and beyond this
# limit the raw moments of a pass would lose the covariance's seventh digit.
PASS_LIMIT = 1e8


def statistics_pass(X, sample_weight=None, reg_covar=0.0):
    """Return a function that takes the E-step of a mixture on all rows."""
    if isinstance(X, RowBlocks):
        return _blocks_pass(X, reg_covar)
    if is_torch(X):
        return _device_pass(X, sample_weight)
    center = row_mean(X, sample_weight)
    missing = has_missing(X)
    if missing:
        # One observed value may be all that a feature has: its mean is finite.
        center = np.where(np.isfinite(center), center, 0.0)

    def take_stats(mixture, temper=1.0):
        kernel = _pass_kernel(mixture, center, missing=missing)
        rows = X, sample_weight, temper
        return kernel, _stats(kernel, mixture, *rows, missing, reg_covar)

    return take_stats


def _pass_kernel(mixture, center, *, missing):
    return make_kernel(mixture, center, -1.0 if missing else PASS_LIMIT)


def _stats(kernel, mixture, X, sample_weight, temper, missing, reg_covar):
    if not missing:
        return kernel_stats(kernel, X, sample_weight, temper)
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    kind, weights = mixture.covariance_type, mixture.weights
    return missing_stats(kernel, kind, weights, X, weight, temper, reg_covar)


def _blocks_pass(blocks, reg_covar):
    """Return the E-step over rows that an engine holds."""
    overview = blocks.overview
    missing = overview.has_missing
    given = {"center": overview.mean, "missing": missing, "reg_covar": reg_covar}

    def take_stats(mixture, temper=1.0):
        kernel = _pass_kernel(mixture, overview.mean, missing=missing)
        function = partial(_numbered_stats, mixture, temper=temper, **given)
        return kernel, blocks.over_rows(function, partial(merge_kernel_stats, kernel))

    return take_stats


def _numbered_stats(mixture, index, X, sample_weight, **params):
    return block_stats(mixture, X, sample_weight=sample_weight, **params)


def block_stats(
    mixture,
    X,
    *,
    center,
    sample_weight=None,
    temper=1.0,
    missing=False,
    reg_covar=0.0,
):
    """Take the E-step of one block: its sufficient statistics under a mixture.

    A pure function of arrays that can be pickled: any engine may call it where
    the block is. Statistics of blocks are merged by :func:`merge_stats`.

    Parameters
    ----------
    mixture : Mixture
        The current mixture, of NumPy arrays.

    X : ndarray of shape (n_samples, n_features)
        Rows.

    center : ndarray of shape (n_features,)
        A point near the middle of all rows, the same for all blocks.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.

    temper : float, default=1.0
        Power of the joint densities before they become responsibilities.

    missing : bool, default=False
        Whether NaN means missing; the same for all blocks.

    reg_covar : float or ndarray of shape (n_features,), default=0.0
        What the M-step will add to the variances: the missing entries of `X` have
        it from the last step already.

    Returns
    -------
    stats : Statistics
        Counts, means, second moments about them, and the log-likelihood.

    See Also
    --------
    score_block : The log-likelihood alone.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import Mixture

    >>> mixture = Mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1)), "diag")
    >>> blocks = [np.array([[1.0], [2.0]]), np.array([[6.0]])]
    >>> stats = [block_stats(mixture, X, center=np.zeros(1)) for X in blocks]
    >>> merge_stats(mixture, *stats).means
    array([[3.]])
    """
    X, sample_weight, center = as_floats(X, sample_weight, center)
    kernel = _pass_kernel(mixture, center, missing=missing)
    return _stats(kernel, mixture, X, sample_weight, temper, missing, reg_covar)


def merge_stats(mixture, *stats):
    """Merge statistics of blocks that were taken with the same mixture and centre.

    Parameters
    ----------
    mixture : Mixture
        The mixture.

    *stats : Statistics
        Of neighbouring blocks.

    Returns
    -------
    stats : Statistics
        Of all their rows.

    See Also
    --------
    block_stats : Takes them.

    Examples
    --------
    See :func:`block_stats`.

    >>> import numpy as np
    >>> from skgmje import Mixture

    >>> mixture = Mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1)), "diag")
    >>> stats = block_stats(mixture, np.ones((5, 1)), center=np.zeros(1))
    >>> merge_stats(mixture, stats, stats).weight
    10
    """
    kernel = make_kernel(mixture, mixture.means[0])
    return reduce(partial(merge_kernel_stats, kernel), stats)


def score_block(mixture, X, sample_weight=None, missing="raise"):
    """Sum the log-densities of one block.

    Parameters
    ----------
    mixture : Mixture
        The mixture.

    X : ndarray of shape (n_samples, n_features)
        Rows.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows, all positive.

    missing : {'raise', 'marginal'}, default='raise'
        What to do about NaN.

    Returns
    -------
    sums : ndarray of shape (2,)
        The weighted sum of the log-densities in nats, and that of the weights.
        Those of blocks add up.

    See Also
    --------
    block_stats : The statistics of an E-step.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import Mixture

    >>> mixture = Mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1)), "diag")
    >>> score_block(mixture, np.zeros((2, 1))).round(3)
    array([-1.838,  2.   ])
    """
    log_prob = mixture.log_prob(X, missing=missing)
    if sample_weight is None:
        return np.array([log_prob.sum(dtype=np.float64), len(X)])
    weight = np.asarray(sample_weight, np.float64)
    return np.array([log_prob @ weight, weight.sum()])


def _device_pass(X, sample_weight):
    """Return the E-step over a tensor, on its device, complete rows only."""
    center = to_numpy(namespace(X).mean(X, axis=0)).astype(np.float64)
    if not np.isfinite(center).all():
        raise ValueError(
            "X is a tensor with NaN or infinite entries; missing entries are learned "
            "from NumPy arrays only. Use X.numpy(), or remove those rows."
        )

    def take_stats(mixture, temper=1.0):
        kernel = make_kernel(mixture, center, np.inf)
        if not kernel.on_device:
            known = [k for k, kind in COVARIANCE_TYPES.items() if kind.loops.on_device]
            raise ValueError(
                f"covariance_type={mixture.covariance_type!r} is not fitted on "
                f"tensors. Use one of {known}, or a NumPy array."
            )
        if not kernel.expands:
            # Many features of few components: differences, which are taken in NumPy.
            weight = None if sample_weight is None else to_numpy(sample_weight)
            return kernel, kernel_stats(kernel, to_numpy(X), weight, temper)
        return kernel, device_stats(kernel, X, sample_weight, temper)

    return take_stats


def make_kernel(mixture, center, limit=PASS_LIMIT):
    """Return the hot loops of an unbatched NumPy mixture."""
    return COVARIANCE_TYPES[mixture.covariance_type].loops(
        mixture.weights, mixture.means, mixture.covariances, center, limit
    )


def row_mean(X, sample_weight=None):
    """Return the weighted mean of the observed entries, (n_features,), by blocks."""
    total = np.zeros(X.shape[1])
    count = np.zeros(X.shape[1])
    for start in range(0, len(X), 8192):
        block = np.asarray(X[start : start + 8192], np.float64)
        weight = np.ones(len(block))
        if sample_weight is not None:
            weight = np.asarray(sample_weight[start : start + 8192], np.float64)
        observed = ~np.isnan(block)
        total += weight @ np.where(observed, block, 0.0)
        count += weight @ observed
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / count


def observed_moments(X, sample_weight=None):
    """Return weighted mean and variance of the observed entries, (n_features,) each."""
    if isinstance(X, RowBlocks):
        return X.overview.mean, X.overview.variance
    center = row_mean(X, sample_weight)
    return center, row_mean((X - center) ** 2, sample_weight)


def missing_moments(X, sample_weight=None):
    """Return what a start takes missing entries for, and None if none is missing."""
    blocks = isinstance(X, RowBlocks)
    missing = X.overview.has_missing if blocks else has_missing(X)
    return observed_moments(X, sample_weight) if missing else None


def has_missing(X):
    """Tell whether an entry is NaN, by blocks."""
    return any(
        bool(np.isnan(X[start : start + 8192]).any())
        for start in range(0, len(X), 8192)
    )

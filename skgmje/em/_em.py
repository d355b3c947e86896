"""Expectation-maximisation of Gaussian mixtures, maximum a posteriori."""

from typing import Any, NamedTuple

import numpy as np

from skgmje._backend import as_floats, is_torch
from skgmje._interrupt import Interrupted
from skgmje.em._e_step import make_kernel, statistics_pass
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._loops import Prior
from skgmje.gaussian._mixture import Mixture
from skgmje.gaussian._passes import m_step

# Components whose scatter is pooled into a neighbourhood's target.
N_NEIGHBORS = 8


def pooled_target(scatter, counts, means, pool):
    """Return the pooled within-covariance: the same target for every component."""
    return pool


def neighbors_target(scatter, counts, means, pool):
    """Return the pooled covariance of the components around each component."""
    n_components, n_features = means.shape
    if n_components <= N_NEIGHBORS:
        return pool
    white = _whiten(means, pool)
    squares = (white**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * white @ white.T
    nearest = np.argpartition(distances, N_NEIGHBORS, axis=1)[:, :N_NEIGHBORS]
    extra = 2 * n_features
    trailing = (1,) * (scatter.ndim - 1)
    count = (counts[nearest].sum(axis=1) + extra).reshape(-1, *trailing)
    return (scatter[nearest].sum(axis=1) + extra * pool) / count


def _whiten(means, pool):
    if pool.ndim < 2:
        return means / np.sqrt(np.maximum(pool, np.finfo(float).tiny))
    # Only the order of distances matters: rounding may leave a pool that is not
    # positive definite, and the floor just keeps the order defined.
    values, vectors = np.linalg.eigh(pool)
    floor = max(1e-9 * values[-1], np.finfo(float).tiny)
    return means @ vectors / np.sqrt(np.maximum(values, floor))


SHRINKAGE_TARGETS = {"pooled": pooled_target, "neighbors": neighbors_target}


# Iterations over which annealing raises the power of the densities to one.
ANNEALING_ITERATIONS = 20


# Tenfold increases of the diagonal before the M-step gives up.
MAX_REPAIRS = 12


# A component with less than this share of an equal share has died.
DEAD_SHARE = 1e-6


class EMResult(NamedTuple):
    """What expectation-maximisation returns.

    Parameters
    ----------
    mixture : Mixture
        The fitted mixture.

    lower_bounds : list of float
        Mean log-likelihood before each M-step, in nats.

    n_iter : int
        Number of iterations.

    converged : bool
        Whether the last gain was below the tolerance.

    n_dropped : int
        Number of components that died and were dropped.

    reg_covar : float
        Largest number that had to be added to a diagonal.

    stats : Statistics
        Sufficient statistics of the last pass.

    See Also
    --------
    expectation_maximization : Returns it.

    Examples
    --------
    >>> import numpy as np

    >>> from skgmje.gaussian._mixture import Mixture
    >>> start = Mixture([1.0], [[0.0]], [[1.0]], "diag")
    >>> expectation_maximization(np.array([[1.0], [3.0]]), start).converged
    True
    """

    mixture: Mixture
    lower_bounds: list
    n_iter: int
    converged: bool
    n_dropped: int
    reg_covar: float
    stats: Any


def expectation_maximization(
    X,
    start,
    *,
    sample_weight=None,
    shrinkage=0.0,
    shrinkage_target="pooled",
    annealing=None,
    reg_covar=1e-6,
    tol=1e-3,
    max_iter=100,
    callback=None,
    checkpoint=None,
):
    r"""Fit a Gaussian mixture by (maximum a posteriori) EM.

    The M-step shrinks the second moments :math:`S_k` of component k towards a
    target :math:`T_k` with the weight of s rows,

    .. math:: \Sigma_k = (S_k + s T_k) / (N_k + s) + \epsilon I,

    which is maximum likelihood for s = 0 and a tied covariance for s without
    bound. Annealing raises the joint densities to a power below one in the
    first iterations, which lets components move through each other.

    Parameters
    ----------
    X : array of shape (n_samples, n_features), or RowBlocks
        Rows; NaN means missing: a component, or a feature, that sees no value keeps
        what `start` says of it. The E-step over a torch tensor runs on its
        device, in double precision, without missing entries; that over
        :class:`RowBlocks`, which have their own weights, where the blocks are.

    start : Mixture
        Where to begin. The result holds NumPy arrays.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.

    shrinkage : float, default=0.0
        Pseudo-count s of the target, in rows.

    shrinkage_target : {'pooled', 'neighbors'}, default='pooled'
        The pooled within-covariance, or that of the nearest components.

    annealing : float, default=None
        First power, in (0, 1); it rises to one over 20 iterations.

    reg_covar : float or ndarray of shape (n_features,), default=1e-6
        Added to the diagonal of every covariance, in squared units of `X`.

    tol : float, default=1e-3
        Stop when the mean log-likelihood gains less, in nats.

    max_iter : int, default=100
        Largest number of iterations.

    callback : callable, default=None
        ``callback(n_iter, lower_bound, mixture)`` after each iteration; a true
        answer ends the run.

    checkpoint : object, default=None
        ``checkpoint.write(state)`` is called before each iteration but the first,
        and what ``checkpoint.read()`` gives, unless it is None, is gone on from.

    Returns
    -------
    result : EMResult
        The mixture and how it was reached.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C ends the run; with the `result` of the iterations so far as its
        attribute, if there are any.

    References
    ----------
    .. [1] C. Fraley and A. E. Raftery, "Bayesian Regularization for Normal
       Mixture Estimation and Model-Based Clustering", 2007.

    Examples
    --------
    >>> import numpy as np

    >>> from skgmje.gaussian._covariance import COVARIANCE_TYPES
    >>> from skgmje.gaussian._mixture import Mixture
    >>> X = np.array([[-1.0], [-1.2], [1.0], [1.2]])
    >>> start = Mixture([0.5, 0.5], [[-0.5], [0.5]], [[1.0], [1.0]], "diag")
    >>> result = expectation_maximization(X, start, tol=1e-6)
    >>> result.mixture.means.round(3).ravel().tolist()
    [-1.1, 1.1]
    """
    X, sample_weight = as_floats(X, sample_weight)
    take_stats = statistics_pass(X, sample_weight, reg_covar)
    start = start.to_numpy() if is_torch(start.means) else start
    prior = make_prior(X.shape[1], shrinkage, shrinkage_target, reg_covar)
    plan = prior, annealing, tol, max_iter, callback, checkpoint
    result = None
    try:
        for step in _iterate(take_stats, start, *plan):
            result = step
    except KeyboardInterrupt as stop:
        if result is None:
            raise KeyboardInterrupt(*stop.args) from stop
        when = f"after {result.n_iter} iterations of EM"
        raise Interrupted(when, result._replace(converged=False)) from stop
    return result


def _iterate(take_stats, start, prior, annealing, tol, max_iter, callback, checkpoint):
    """Yield the result after each iteration."""
    known = None if checkpoint is None else checkpoint.read()
    mixture, bounds, added = (start, [], 0.0) if known is None else known
    for n_iter in range(len(bounds) + 1, max_iter + 1):
        # The last iteration is repeated after a crash: it gives the statistics.
        if checkpoint is not None and bounds:
            checkpoint.write((mixture, bounds, added))
        temper = _temper(annealing, n_iter, max_iter)
        kernel, stats = take_stats(mixture, temper)
        mixture, reg = maximise(kernel, stats, prior, mixture.covariance_type)
        added = max(added, reg)
        bounds.append(stats.log_likelihood / stats.weight)
        stop = callback is not None and callback(n_iter, bounds[-1], mixture)
        gain = bounds[-1] - bounds[-2] if n_iter > 1 else np.inf
        converged = temper == 1.0 and abs(gain) < tol
        n_dropped = start.n_components - mixture.n_components
        yield EMResult(mixture, [*bounds], n_iter, converged, n_dropped, added, stats)
        if converged or stop:
            break


def make_prior(n_features, shrinkage, shrinkage_target, reg_covar):
    """Return the prior of the M-step from the parameters of an estimator."""
    reg_covar = np.broadcast_to(np.asarray(reg_covar, np.float64), (n_features,))
    return Prior(float(shrinkage), SHRINKAGE_TARGETS[shrinkage_target], reg_covar)


def maximise(kernel, stats, prior, covariance_type, *, drop=True):
    """Take the M-step; raise the diagonal until every covariance is usable."""
    # Rounding of the means is a variance, too; without it, repeated rows would
    # get a density without bound.
    rounding = 16 * np.finfo(float).eps ** 2 * (stats.means**2).max(initial=0.0)
    prior = prior._replace(reg_covar=prior.reg_covar + rounding)
    extra = 0.0
    kind = COVARIANCE_TYPES[covariance_type]
    share = DEAD_SHARE if drop else -1.0
    alive = stats.counts > share * stats.weight / len(stats.counts)
    for _ in range(MAX_REPAIRS):
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            weights, means, covariances = m_step(
                kernel, stats, prior._replace(reg_covar=prior.reg_covar + extra)
            )
        covariances = kind.select(covariances, np.flatnonzero(alive))
        weights = weights[alive] / weights[alive].sum()
        try:
            mixture = Mixture(weights, means[alive], covariances, covariance_type)
            make_kernel(mixture, kernel.center)
        except ValueError as error:
            reason = error
            scale = _scale(covariances, covariance_type, means[alive].shape)
            extra = max(10 * extra, 1e-12 * scale)
        else:
            return mixture, extra
    raise ValueError(
        f"The M-step gave no usable covariances, even with {extra:.2g} added to "
        "their diagonals. Rescale X, increase reg_covar, or lower n_components."
    ) from reason


def _scale(covariances, covariance_type, shape):
    """Return the largest finite variance, or 1 if there is none."""
    kind = COVARIANCE_TYPES[covariance_type]
    variances = np.abs(kind.diagonal(covariances, *shape))
    largest = float(variances[np.isfinite(variances)].max(initial=0.0))
    return largest if largest > 0 else 1.0


def _temper(annealing, n_iter, max_iter):
    if annealing is None:
        return 1.0
    steps = max(1, min(ANNEALING_ITERATIONS, max_iter // 2))
    return min(1.0, annealing + (1.0 - annealing) * (n_iter - 1) / steps)

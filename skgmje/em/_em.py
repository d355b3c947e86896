"""Expectation-maximisation of Gaussian mixtures: E-steps and M-steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from skgmje._backend import (
    as_floats,
    detach,
    from_tensor,
    is_torch,
    namespace,
    to_numpy,
)
from skgmje._interrupt import Work
from skgmje._settings import own_errors
from skgmje._typing import Array, NDArray
from skgmje.em._background import Background, BackgroundMixture, background_stats
from skgmje.em._blocks import RowBlocks
from skgmje.em._covariance_models import MODELS, find_model, layout_of
from skgmje.em._missing import (
    PASS_LIMIT,
    Gaps,
    check_samples,
    find_gaps,
    has_missing,
    missing_parts,
    missing_stats,
    row_mean,
)
from skgmje.em._noise import check_noise, noisy_parts, unjoin
from skgmje.em._rules import check_reg_covar, check_rules
from skgmje.gaussian._checks import check_sample_weight, check_single
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._covariance_type import Prior, Statistics
from skgmje.gaussian._mixture import Mixture
from skgmje.gaussian._passes import block_stats, device_stats, m_step, merge_stats


class Samples(NamedTuple):
    """Samples that EM goes through, and how it goes through them."""

    X: Any
    weight: Any
    covariance_type: str
    missing: Any = False
    reg_covar: Any = 0.0
    background: Any = None
    #: Of blocks: the samples with columns of their noise, or whether they have some.
    noise: Any = None

    def take(self, rows):
        """Return some of the samples, of which arrays are held."""
        X, weight = self.X[rows], None if self.weight is None else self.weight[rows]
        # Groups of one pattern are numbers of samples: those of others are no use.
        missing = find_gaps(X) if self.missing else False
        return self._replace(X=X, weight=weight, missing=missing)


def begin(X, mixture, sample_weight=None, reg_covar=0.0, noise=None):
    """Return :class:`Samples`, and the kernel of the first mixture for their passes."""
    limit, missing = PASS_LIMIT, noise is not None
    if isinstance(X, RowBlocks):
        center, missing = X.overview.mean, missing or X.overview.has_missing
    elif is_torch(X):
        center, limit = to_numpy(namespace(X).mean(X, axis=0)).astype(float), np.inf
        if not np.isfinite(center).all():
            raise ValueError(
                "X is a tensor with NaN or infinite entries; missing entries are "
                "learned from NumPy arrays only, infinite ones never. Use "
                "X.cpu().numpy(), or remove those samples."
            )
    else:
        center = row_mean(X, sample_weight)
        if not np.isfinite(center).all():
            check_samples(X)
        missing = find_gaps(X, noise) if missing or has_missing(X) else False
        noise = None
    if missing:
        # One observed value may be all that a feature has: its mean is finite.
        center, limit = np.where(np.isfinite(center), center, 0.0), -1.0
    kind = mixture.covariance_type
    samples = Samples(X, sample_weight, kind, missing, reg_covar, noise=noise)
    return samples, make_kernel(mixture, center, limit)


def make_kernel(mixture, center, limit=PASS_LIMIT):
    """Return the hot loops of an unbatched NumPy mixture."""
    check_single(mixture)
    return COVARIANCE_TYPES[mixture.covariance_type].loops(
        mixture.weights, mixture.means, mixture.covariances, center, limit
    )


def unit_kernel(covariance_type, means, center, limit=np.inf):
    """Return the loops of components of equal weight and unit covariance."""
    loops = COVARIANCE_TYPES[covariance_type].loops
    weights = np.full(len(means), 1 / len(means))
    return loops(weights, means, loops.unit(*means.shape), center, limit)


def e_step(kernel, samples, temper=1.0):
    """Return the sufficient statistics of samples under the mixture of a kernel."""
    # What is learned here has no gradient.
    X, weight = detach(samples.X), detach(samples.weight)
    if isinstance(X, RowBlocks):
        blocks, has_noise = samples.noise or X, samples.noise is not None
        sent = samples._replace(X=None, noise=has_noise)
        function = partial(_e_step_of_block, kernel, sent, temper)
        return blocks.over_rows(function, partial(merge_stats, kernel))
    if samples.background is not None:
        mixture = as_mixture(kernel, samples.covariance_type)
        density = BackgroundMixture(mixture, samples.background)
        rest = partial(e_step, kernel, temper=temper)
        return background_stats(density, samples, rest)
    if samples.missing:
        weight = np.ones(len(X)) if weight is None else weight
        gaps = samples.missing if isinstance(samples.missing, Gaps) else None
        noisy = gaps is not None and gaps.noise is not None
        given = kernel, COVARIANCE_TYPES[samples.covariance_type], X
        parts = (noisy_parts if noisy else missing_parts)(*given, gaps)
        return missing_stats(*given, weight, parts, temper, samples.reg_covar)
    if is_torch(X):
        if not kernel.on_device:
            known = [k for k, kind in COVARIANCE_TYPES.items() if kind.loops.on_device]
            raise ValueError(
                f"covariance_type={samples.covariance_type!r} is not fitted on "
                f"tensors. Use one of {known}, or a NumPy array."
            )
        if kernel.expands_all:
            return device_stats(kernel, X, weight, temper)
        # Many features of few components: differences, which are taken in NumPy.
        X, weight = to_numpy(X), None if weight is None else to_numpy(weight)
    return block_stats(kernel, X, weight, temper)


def _e_step_of_block(kernel, samples, temper, index, X, sample_weight):
    """Return the statistics of the samples of one block."""
    if samples.noise:
        X, noise, sample_weight = unjoin(X, sample_weight, kernel.n_features)
        if not len(X):
            return None
        samples = samples._replace(missing=find_gaps(X, noise))
    return e_step(kernel, samples._replace(X=X, weight=sample_weight), temper)


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
    count = counts[nearest].sum(axis=1) + extra
    count = count.reshape(-1, *(1,) * (scatter.ndim - 1))
    return (scatter[nearest].sum(axis=1) + extra * pool) / count


def _whiten(means, pool):
    if pool.ndim < 2:
        return means / np.sqrt(np.maximum(pool, np.finfo(float).tiny))
    # Rounding may leave a pool not definite; the floor keeps distances in order.
    values, vectors = np.linalg.eigh(pool)
    floor = max(1e-9 * values[-1], np.finfo(float).tiny)
    return means @ vectors / np.sqrt(np.maximum(values, floor))


SHRINKAGE_TARGETS = {"pooled": pooled_target, "neighbors": neighbors_target}

# Iterations over which annealing raises the power of the densities to one.
ANNEALING_ITERATIONS = 20

# Variance of what rounding does to means, in squares of the largest.
ROUNDING = 16 * np.finfo(float).eps ** 2

# Tenfold increases of the diagonal before the M-step gives up.
MAX_REPAIRS = 12

# A component with less than this share of an equal share has died.
DEAD_SHARE = 1e-6

# Where means are fixed it stays; of this pseudo-count its covariance is the target.
LEAST_SHRINKAGE = 1e-9


def make_prior(n_features, shrinkage, shrinkage_target, reg_covar, model=None):
    """Return the prior of the M-step from the parameters of an estimator."""
    check_rules(shrinkage=shrinkage)
    if shrinkage_target not in SHRINKAGE_TARGETS:
        raise ValueError(
            f"shrinkage_target={shrinkage_target!r} must be one of "
            f"{list(SHRINKAGE_TARGETS)}."
        )
    target, model = SHRINKAGE_TARGETS[shrinkage_target], find_model(model)
    reg_covar = check_reg_covar(reg_covar, n_features)
    return Prior(float(shrinkage), target, reg_covar, model)


def maximise(kernel, stats, prior, kind, *, drop=True, means=None, extra=0.0):
    """Return the kernel of the next E-step, and what its diagonals needed more."""
    # They begin with the `extra` of earlier steps: without it the likelihood would fall
    # whenever they need it again.
    if means is not None:
        drop, moved = False, kernel.outer(stats.means - means, stats.counts)
        stats = add_scatter(stats, moved)._replace(means=means)
        prior = prior._replace(shrinkage=max(prior.shrinkage, LEAST_SHRINKAGE))
    # Rounding of the means is a variance, too; without it, repeated samples would
    # get a density without bound.
    rounding = ROUNDING * (stats.means**2).max(axis=0)
    reg_covar = prior.reg_covar + rounding
    kind, alive = COVARIANCE_TYPES[kind], living_components(stats, drop=drop)
    for _ in range(MAX_REPAIRS):
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            weights, means, covariances = m_step(
                kernel, stats, prior._replace(reg_covar=reg_covar + extra)
            )
        if not alive.all():
            covariances = kind.select(covariances, np.flatnonzero(alive))
            weights, means = weights[alive], means[alive]
        weights = weights / weights.sum()
        try:
            arrays = covariances if isinstance(covariances, tuple) else (covariances,)
            if not all(np.isfinite(array).all() for array in (weights, means, *arrays)):
                raise ValueError("Parameters must be finite.")
            found = weights, means, covariances, kernel.center, kernel.limit
            following = type(kernel)(*found)
            following.pools = prior.shrinkage > 0
            return following, extra
        except ValueError as error:
            reason = error
            variances = np.abs(kind.diagonal(covariances, *means.shape))
            # Where none is finite, the means about the center tell the size.
            sizes = variances if np.isfinite(variances).any() else stats.means**2
            largest = sizes[np.isfinite(sizes)].max(initial=0.0)
            extra = max(10 * extra, 1e-12 * (float(largest) or 1.0))
    raise ValueError(
        f"The M-step gave no usable covariances, even with {extra:.2g} added to "
        "their diagonals. Rescale X, increase reg_covar, or lower n_components."
    ) from reason


def living_components(stats, *, drop=True):
    """Return which components have samples; all, if none is to be dropped."""
    share = DEAD_SHARE if drop else -1.0
    return stats.counts > share * stats.weight / len(stats.counts)


def add_scatter(stats, more):
    """Return statistics with further second moments."""
    pairs = zip(stats.scatter, more, strict=True)
    return stats._replace(scatter=tuple(a + b for a, b in pairs))


def as_mixture(kernel, covariance_type):
    """Return the public value of a kernel, whose parameters it checks."""
    parts = kernel.weights, kernel.means, kernel.covariances
    return Mixture(*parts, covariance_type)


class EMResult(NamedTuple):
    """Result of :func:`expectation_maximization`.

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

    background : Background or None
        The box and the share of the background, if there is one.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.em import expectation_maximization
    >>> from skgmje.gaussian import Mixture
    >>> start = Mixture([1.0], [[0.0]], [[1.0]], "diag")
    >>> expectation_maximization(np.array([[1.0], [3.0]]), start).converged
    True
    """

    mixture: Mixture
    lower_bounds: list[float]
    n_iter: int
    converged: bool
    n_dropped: int
    reg_covar: float
    stats: Statistics
    background: Background | None = None

    @property
    def density(self) -> Mixture | BackgroundMixture:
        """The mixture, with its background if there is one."""
        if self.background is None:
            return self.mixture
        return BackgroundMixture(self.mixture, self.background)


@own_errors
def expectation_maximization(
    X: Array | RowBlocks,
    start: Mixture,
    *,
    sample_weight: NDArray[Any] | None = None,
    shrinkage: float = 0.0,
    shrinkage_target: Literal["pooled", "neighbors"] = "pooled",
    annealing: float | None = None,
    reg_covar: float | NDArray[Any] = 1e-6,
    model: str | None = None,
    fixed_means: bool = False,
    background: Background | None = None,
    noise: NDArray[Any] | RowBlocks | None = None,
    tol: float = 1e-3,
    max_iter: int = 100,
    last_bound: float | None = None,
    callback: Callable[..., Any] | None = None,
) -> EMResult:
    r"""Fit a Gaussian mixture by (maximum a posteriori) EM.

    The M-step shrinks the second moments :math:`S_k` of component k towards a
    target :math:`T_k` with the weight of s samples,

    .. math:: \Sigma_k = (S_k + s T_k) / (N_k + s) + \epsilon I,

    which is maximum likelihood for s = 0 and tied for infinite s. Annealing
    begins with a power below one of joint densities: components pass each other. Of
    low-rank covariances the latent one is free and then part of the factors [2]_: else
    their length would change little in a step where noise is small.

    Parameters
    ----------
    X : array of shape (n_samples, n_features), or RowBlocks
        Samples; NaN means missing: a component, or a feature, that sees no value keeps
        what `start` says of it. Over a torch tensor E-steps run on its device, in
        double precision, without NaN; over blocks, which have weights, where they are.

    start : Mixture
        Where to begin. The result holds NumPy arrays.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the samples.

    shrinkage : float, default=0.0
        Pseudo-count s of the target, in samples.

    shrinkage_target : {'pooled', 'neighbors'}, default='pooled'
        The pooled within-covariance, or that of the nearest components.

    annealing : float, default=None
        First power, in (0, 1); it rises to one over 20 iterations.

    reg_covar : float or ndarray of shape (n_features,), default=1e-6
        Added to the diagonal of every covariance, in squared units of `X`.

    model : str, default=None
        One of the fourteen models, such as 'VEV', whose covariances are stored as
        those of `start`; None means that of its covariance type.

    fixed_means : bool, default=False
        Whether the means of `start` stay, so that weights and covariances alone are
        fitted, :math:`S_k` being about these means. All components stay then: one
        that no sample belongs to has no weight, and the covariance :math:`T_k`.

    background : Background, default=None
        A constant density over a box, whose share is learned, too.

    noise : ndarray or RowBlocks, default=None
        Variances, (n_samples, n_features), or covariances of the measurement error of
        each sample: the mixture is the density of what was measured, without it. Of
        blocks it is the samples with columns of their noise, see
        :meth:`RowBlocks.beside`.

    tol : float, default=1e-3
        Stop when the mean log-likelihood gains less, in nats.

    max_iter : int, default=100
        Largest number of iterations; 0 gives `start`, without a lower bound.

    last_bound : float, default=None
        Mean log-likelihood before `start`, if it comes from an earlier run: then the
        first iteration has a gain, too.

    callback : callable, default=None
        ``callback(n_iter, lower_bound, mixture)`` after each iteration; if it
        returns a true value, the run ends.

    Returns
    -------
    result : EMResult
        The mixture and how it was reached.

    Raises
    ------
    ValueError
        If `start` does not go with `X` or `model`, a parameter or a weight has a value
        that it must not have, or samples are infinite or lead to no covariances.

    KeyboardInterrupt
        If Ctrl-C ends the run; with the `result` of the iterations so far as its
        attribute, if there are any.

    References
    ----------
    .. [1] C. Fraley and A. E. Raftery, "Bayesian Regularization for Normal
       Mixture Estimation and Model-Based Clustering", 2007.
    .. [2] C. Liu, D. B. Rubin and Y. N. Wu, "Parameter expansion to accelerate EM: the
       PX-EM algorithm", Biometrika 85, 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.em import expectation_maximization
    >>> from skgmje.gaussian import COVARIANCE_TYPES, Mixture
    >>> X = np.array([[-1.0], [-1.2], [1.0], [1.2]])
    >>> start = Mixture([0.5, 0.5], [[-0.5], [0.5]], [[1.0], [1.0]], "diag")
    >>> result = expectation_maximization(X, start, tol=1e-6)
    >>> result.mixture.means.round(3).ravel().tolist()
    [-1.1, 1.1]
    """
    X, sample_weight = as_floats(X, sample_weight)
    start = start.to_numpy() if is_torch(start.means) else start
    _check_start(start, X.shape, model)
    check_sample_weight(sample_weight, X)
    check_rules(annealing=annealing, tol=tol, max_iter=max_iter)
    prior = make_prior(X.shape[1], shrinkage, shrinkage_target, reg_covar, model)
    if noise is not None and not isinstance(X, RowBlocks):
        X, noise = from_tensor(X), check_noise(noise, X)
    samples, kernel = begin(X, start, sample_weight, reg_covar, noise)
    samples = samples._replace(background=background)
    plan = annealing, tol, max_iter, last_bound
    means = kernel.means if fixed_means else None
    return run(samples, kernel, prior, plan, start, callback, means=means)


def _check_start(start, shape, model):
    """Raise if a first mixture does not go with the samples, or with the model."""
    if shape[1:] != (start.n_features,) or not shape[0]:
        raise ValueError(
            f"X has shape {tuple(shape)}, and start {start.n_features} features. Give "
            "one sample or more, and a mixture of the same features."
        )
    kind = start.covariance_type
    if model is not None and layout_of(model) != kind:
        known = [name for name in MODELS if layout_of(name) == kind]
        raise ValueError(
            f"model={model!r} is none of covariance_type={kind!r}, that of start. Use "
            f"one of {[kind, *known]}, or another start."
        )


class _State(NamedTuple):
    """What is known after an iteration."""

    kernel: Any
    bounds: list
    added: float
    converged: bool
    stats: Any
    background: Any


def run(samples, kernel, prior, plan, start, callback=None, **rules):
    """Return the :class:`EMResult` of all iterations, also if Ctrl-C ends them."""
    state, work = None, Work()
    try:
        for known in _iterate(samples, kernel, prior, plan, callback, **rules):
            state = known
    except KeyboardInterrupt as stop:
        if state is None:
            raise KeyboardInterrupt(*stop.args) from stop
        work.when = f"after {len(state.bounds)} iterations of EM"
        state = state._replace(converged=False)
    return work.end(_result, state, start)


def _iterate(samples, kernel, prior, plan, callback, *, least=None, means=None):
    """Yield the state after each iteration: the M-step's kernel serves the E-step."""
    annealing, tol, max_iter, last_bound = plan
    kind, background = samples.covariance_type, samples.background
    bounds, added, converged = [], 0.0, False
    kernel.pools = prior.shrinkage > 0 or means is not None
    if max_iter == 0:
        stats = e_step(kernel, samples)
        yield _State(kernel, bounds, added, converged, stats, background)
    for n_iter in range(1, max_iter + 1):
        temper = _temper(annealing, n_iter, max_iter)
        stats = e_step(kernel, samples, temper)
        living = living_stats(stats, least)
        rules = {"means": means, "extra": added}
        kernel, added = maximise(kernel, living, prior, kind, **rules)
        before = bounds[-1] if bounds else last_bound
        total = stats.weight + stats.background
        bounds = [*bounds, stats.log_likelihood / total]
        if background is not None:
            background = background._replace(share=stats.background / total)
            samples = samples._replace(background=background)
        stop = callback and callback(n_iter, bounds[-1], as_mixture(kernel, kind))
        gain = np.inf if before is None else bounds[-1] - before
        converged = temper == 1.0 and abs(gain) < tol
        yield _State(kernel, bounds, added, converged, stats, background)
        if converged or stop:
            break


def _result(state, start):
    """Return the :class:`EMResult` of the last state."""
    kernel, bounds, added, converged, stats, background = state
    mixture = as_mixture(kernel, start.covariance_type) if bounds else start
    n_dropped = start.n_components - mixture.n_components
    found = mixture, bounds, len(bounds), converged, n_dropped, added, stats
    return EMResult(*found, background)


def living_stats(stats, least):
    """Return statistics of the components that have at least so many samples."""
    if least is None:
        return stats
    alive = stats.counts >= min(least, float(stats.counts.max()))
    if alive.all():
        return stats
    return stats._replace(
        counts=stats.counts[alive],
        means=stats.means[alive],
        scatter=tuple(part[alive] for part in stats.scatter),
    )


def _temper(annealing, n_iter, max_iter):
    """Return the power of the densities in an iteration."""
    if annealing is None:
        return 1.0
    steps = max(1, min(ANNEALING_ITERATIONS, max_iter // 2))
    return min(1.0, annealing + (1.0 - annealing) * (n_iter - 1) / steps)

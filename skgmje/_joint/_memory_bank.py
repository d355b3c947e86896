"""Joint mixtures that are a memory bank of weighted rows."""

import numpy as np

from skgmje._interrupt import Interrupted
from skgmje._joint._choice import choose
from skgmje._joint._models import Fit, JointConditional
from skgmje.adaptation import (
    bank_mixture,
    expectation_maximization,
    kernel_bandwidth,
    start_bank,
    step_bank,
    systematic_resampling,
)
from skgmje.gaussian import Mixture
from skgmje.gaussian._covariance import widen

GRID = (100, 300, 1000)
# Of the kernels' covariances: more take long and are learned by heart.
MOST_ENTRIES = 100_000
BATCH_SIZE = 100
RATE = 0.05

# Rows of which the bandwidth looks at all pairs.
MAX_PAIRED = 1000

# So many kernels learn their covariances in a few steps, and soon too well.
EM_STEPS = (0, 1, 2, 4, 8)
SHRINKAGE = 20.0

INCOMPLETE = (
    "No context is complete, so the memory bank took missing entries for the mean. "
    "Impute them, or use the source 'prototypes'."
)

# Types that hold the kernels' covariances.
TYPES = {"auto": "full", "full": "full", "diag": "diag", "spherical": "spherical"}


def fit_memory_bank(X, Y, settings, sample_weight=None, random_state=None):
    r"""Let a memory bank learn from rows that stream by, once.

    .. math:: p(x, y) = \sum_m W_m N([x, y]; [x_m, y_m], h^2 I)

    The first rows become particles, with the bandwidth of the best leave-one-out
    likelihood; the others set the weights. As rows are drawn and do not drift,
    none is forgotten. A few steps of EM then give the kernels covariances of
    their own. The numbers of particles and of steps are compared by the
    conditional density of held-out rows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_context)
        Contexts; NaN means missing: particles are complete rows.

    Y : ndarray of shape (n_samples, n_targets)
        Targets.

    settings : Settings
        Of these, the number of components (of particles), the shrinkage and the
        number of EM steps may be 'auto'; without such steps the covariance type
        is 'spherical', 'auto' is else 'full'.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.

    random_state : RandomState instance, default=None
        Source of folds, order and resampling.

    Returns
    -------
    fit : Fit
        A :class:`JointConditional`.

    Raises
    ------
    ValueError
        If the covariance type is not of use here.
    """
    rows, n_context = np.hstack([X, Y]), X.shape[1]
    _check_type(settings.covariance_type)
    sizes = (settings.n_components,)
    if settings.n_components == "auto":
        sizes = _grid(rows.shape[1])
    steps = EM_STEPS if settings.max_iter == "auto" else (settings.max_iter,)

    def candidates(rows, sample_weight, random_state):
        for size in _possible(sizes, len(rows)):
            yield from _learn(rows, size, steps, settings, sample_weight, random_state)

    held_out, info = None, {}
    if settings.judged or len(sizes) * len(steps) > 1:
        choice = choose(candidates, rows, n_context, sample_weight, random_state)
        held_out, info["cv_results"] = choice.held_out, choice.cv_results
        sizes, steps = ((value,) for value in choice.params.values())

    def describe(mixture, n_iter):
        trouble = "" if _complete(rows).any() else INCOMPLETE
        model = JointConditional(mixture, n_context)
        return Fit(model, held_out, info | {"n_iter": n_iter}, trouble)

    try:
        [(params, mixture)] = candidates(rows, sample_weight, random_state)
    except Interrupted as stop:
        mixture, n_iter = stop.result.mixture, stop.result.n_iter
        raise Interrupted(str(stop), describe(mixture, n_iter)) from stop
    return describe(mixture, params["max_iter"])


def _complete(rows):
    return ~np.isnan(rows).any(axis=1)


def _check_type(covariance_type):
    if covariance_type not in TYPES:
        raise ValueError(
            f"covariance_type={covariance_type!r} is not for a memory bank. "
            f"Choose one of {sorted(TYPES)}, or another source."
        )


def _grid(n_features):
    """Return the sizes to try: many kernels, or kernels of many features."""
    return [k for k in GRID if k == GRID[0] or k * n_features**2 <= MOST_ENTRIES]


def _possible(sizes, n_rows):
    """Return the sizes up to the first that takes all rows."""
    smaller = (0, *sizes[:-1])
    pairs = zip(smaller, sizes, strict=True)
    return [size for last, size in pairs if last < n_rows]


def _learn(rows, size, steps, settings, sample_weight, random_state):
    """Yield parameters and mixtures after numbers of EM steps, ascending."""
    mixture = _stream(rows, size, settings.batch_size, sample_weight, random_state)
    kind = TYPES[settings.covariance_type]
    shrinkage = SHRINKAGE if settings.shrinkage == "auto" else settings.shrinkage
    done = 0
    for n_steps in steps:
        if n_steps > done:
            covariances = widen(mixture, kind)
            start = Mixture(mixture.weights, mixture.means, covariances, kind)
            mixture = expectation_maximization(
                rows,
                start,
                sample_weight=sample_weight,
                shrinkage=shrinkage,
                shrinkage_target="neighbors",
                reg_covar=settings.reg_covar,
                max_iter=n_steps - done,
                tol=0.0,
            ).mixture
        done = n_steps
        yield {"n_components": size, "max_iter": n_steps}, mixture


def _stream(rows, size, batch_size, sample_weight, random_state):
    """Return the mixture of a bank that has seen every complete row."""
    complete = _complete(rows)
    if not complete.any():
        # In standardised units the mean is zero.
        rows, complete = np.nan_to_num(rows), np.ones(len(rows), bool)
    rows = rows[complete]
    if sample_weight is not None:
        # A row of weight k counts as k copies of weight one.
        drawn = systematic_resampling(sample_weight[complete], len(rows), random_state)
        rows = rows[drawn]
    rows = rows[random_state.permutation(len(rows))]
    batch_size = BATCH_SIZE if batch_size == "auto" else batch_size
    size = min(size, len(rows))
    state = start_bank(rows[:size])
    bandwidth = kernel_bandwidth(rows[:MAX_PAIRED], state.particles)
    for start in range(size, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        state, _ = step_bank(
            state,
            batch,
            bandwidth,
            rate=RATE,
            replacement=None,
            random_state=random_state,
        )
    return bank_mixture(state, bandwidth)

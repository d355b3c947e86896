"""Sources of components: joint mixtures in closed form, networks, and their pool."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from skgmje._backend import asarray_like, is_torch, logsumexp, namespace
from skgmje._interrupt import Interrupted, Work, learn_then
from skgmje.conditional._models import (
    N_FOLDS,
    Fit,
    JointConditional,
    PooledConditional,
    choose,
    conditional_log_prob,
)
from skgmje.em._bandwidth import kernel_bandwidth
from skgmje.em._em import (
    EMResult,
    expectation_maximization,
    missing_moments,
    start_mixture,
)
from skgmje.em._select import ROWS_PER_COMPONENT, fit_selected, pool_weights
from skgmje.gaussian._covariance import COVARIANCE_TYPES, widen
from skgmje.gaussian._covariance_type import FEW_ROWS_PER_FEATURE
from skgmje.gaussian._mixture import Mixture
from skgmje.neural_gas._nodes import gas_labels, gas_mixture
from skgmje.neural_gas._refine import refine_gas
from skgmje.neural_gas._state import adapt_gas, start_gas
from skgmje.particles._bank import bank_mixture, start_bank, step_bank
from skgmje.particles._resampling import systematic_resampling


def go_on(losses):
    """Hear of an epoch, and do not stop."""
    return False


@dataclass(frozen=True)
class Settings:
    """Settings of all sources of components; each reads its own."""

    n_components: Any = "auto"
    covariance_type: str = "full"
    shrinkage: Any = "auto"
    reg_covar: float = 1e-6
    max_iter: Any = "auto"
    tol: float = 1e-3
    n_members: int = 5
    hidden_layer_sizes: tuple = (64, 64, 64)
    learning_rate: float = 6e-3
    batch_size: Any = "auto"
    min_scale: float = 5e-3
    warmup: bool = True
    dropout: float = 0.0
    weight_decay: Any = "auto"
    patience: float = 1.0
    checkpoint: Any = None
    judged: bool = False
    device: Any = None
    callbacks: Any = None
    net_params: Any = None
    on_epoch: Callable = go_on

    @property
    def kind(self):
        """The covariance type, full where it is left open."""
        return "full" if self.covariance_type == "auto" else self.covariance_type


@dataclass(frozen=True)
class Source:
    """A source of components: how it is fitted, and what it can do.

    ``fit(X, Y, settings, sample_weight, random_state)`` gets standardized samples and
    returns a :class:`~skgmje.conditional._models.Fit`. Ctrl-C may raise `Interrupted`
    with one.
    """

    fit: Callable
    #: Whether contexts may be missing (NaN).
    takes_missing: bool = False
    #: Whether it pools other sources.
    is_pool: bool = False


# A sample of many features tells little about one component of many.
GRID = (1, 2, 3, 5, 8, 12, 20, 30, 50)
SMALL_GRID = (1, 2, 3, 5, 8)
MANY_FEATURES = 4
MAX_ITER = 100


def fit_prototypes(X, Y, settings, sample_weight=None, random_state=None):
    """Fit a joint mixture by EM, its settings by held-out *conditional* density."""
    rows = np.hstack([X, Y])
    n_context = X.shape[1]
    grid = GRID if rows.shape[1] <= MANY_FEATURES else SMALL_GRID
    work = Work()
    selection, result = fit_selected(
        rows,
        (settings.n_components, settings.covariance_type, settings.shrinkage),
        random_state,
        sample_weight=sample_weight,
        selecting={
            "n_components_grid": grid,
            "judge": lambda mixture, held: conditional_log_prob(
                mixture, held, n_context
            ),
        },
        scaled=True,
        work=work,
        reg_covar=settings.reg_covar,
        tol=settings.tol,
        max_iter=MAX_ITER if settings.max_iter == "auto" else settings.max_iter,
    )

    def describe():
        info = {"cv_results": selection.cv_results, "shrinkage": selection.shrinkage}
        info["n_iter"] = result.n_iter
        model = JointConditional(result.mixture, n_context)
        return Fit(model, selection.held_out, info)

    return work.end(describe)


GAS_GRID = (2, 3, 5, 8, 12, 20, 30, 50)
SHRINKAGES = (2.0, 20.0)

# Of few samples these leave hardly any correlations.
FEW_SHRINKAGES = (100.0, 1000.0)
GAS_MAX_ITER = 100

# A node needs this many draws to find its place; one comes after every third of
# them, so that all are there long before the end.
DRAWS_PER_NODE = 150
INSERTION_INTERVAL = 50


def fit_neural_gas(X, Y, settings, sample_weight=None, random_state=None):
    """Fit a joint mixture by EM from the nodes of a growing neural gas."""
    # A gas has two nodes at least.
    few = settings.n_components == "auto" and len(X) < 2 * ROWS_PER_COMPONENT
    if few or settings.n_components == 1:
        settings = replace(settings, n_components=1)
        return fit_prototypes(X, Y, settings, sample_weight, random_state)
    rows = namespace(X, Y).concat([X, Y], axis=1)
    # Of all samples: a fold may lack all values of a feature.
    moments = None if is_torch(rows) else missing_moments(rows, sample_weight)

    def candidates(rows, sample_weight, random_state):
        for size in _sizes(settings.n_components, len(rows)):
            gas = _grow(rows, size, sample_weight, random_state)
            for shrinkage in _shrinkages(settings.shrinkage, *rows.shape):
                result = _refine(gas, rows, shrinkage, settings, sample_weight, moments)
                params = {"n_components": size, "shrinkage": shrinkage}
                yield params, result.mixture

    size, shrinkage = settings.n_components, settings.shrinkage
    held_out, info = None, {}
    if settings.judged or "auto" in (size, shrinkage):
        choice = choose(candidates, rows, X.shape[1], sample_weight, random_state)
        size, shrinkage = choice.params.values()
        held_out, info["cv_results"] = choice.held_out, choice.cv_results
    gas = _grow(rows, size, sample_weight, random_state)

    def describe(result):
        more = {"n_iter": result.n_iter, "shrinkage": shrinkage}
        return Fit(JointConditional(result.mixture, X.shape[1]), held_out, info | more)

    data = gas, rows, shrinkage, settings, sample_weight, moments
    return learn_then(describe, EMResult, _refine, *data)


def _sizes(n_components, n_rows):
    """Return the numbers of nodes to try."""
    if n_components != "auto":
        return (n_components,)
    return [k for k in GAS_GRID if k * ROWS_PER_COMPONENT <= n_rows] or GAS_GRID[:1]


def _shrinkages(shrinkage, n_samples, n_features):
    """Return the pseudo-counts to try."""
    if shrinkage != "auto":
        return (float(shrinkage),)
    few = n_samples < FEW_ROWS_PER_FEATURE * n_features
    return (*SHRINKAGES, *FEW_SHRINKAGES) if few else SHRINKAGES


def _grow(rows, size, sample_weight, random_state):
    """Return a gas of `size` nodes that has seen samples at random."""
    share = None if sample_weight is None else sample_weight / sample_weight.sum()
    drawn = random_state.choice(len(rows), DRAWS_PER_NODE * size, p=share)
    if not is_torch(rows):
        # Of standardized samples the mean is zero.
        rows = np.nan_to_num(rows)
    gas = adapt_gas(
        start_gas(rows[drawn[:2]]),
        rows[drawn],
        max_nodes=size,
        insertion_interval=INSERTION_INTERVAL,
    )
    if sample_weight is not None:
        sample_weight = asarray_like(sample_weight, rows)
    return refine_gas(gas, rows, sample_weight=sample_weight, n_rounds=0)


def _refine(gas, rows, shrinkage, settings, sample_weight, moments):
    """Return the result of EM from the gas."""
    kind = settings.kind
    if sample_weight is not None:
        sample_weight = asarray_like(sample_weight, rows)
    prior = {
        "shrinkage": shrinkage,
        "reg_covar": settings.reg_covar,
        "sample_weight": sample_weight,
    }
    if is_torch(rows):
        start = gas_mixture(gas, rows, kind, **prior)
    else:
        labels = gas_labels(gas, np.nan_to_num(rows), sample_weight=sample_weight)
        start = start_mixture(rows, labels, kind, moments=moments, **prior)
    max_iter = GAS_MAX_ITER if settings.max_iter == "auto" else settings.max_iter
    return expectation_maximization(
        rows, start, tol=settings.tol, max_iter=max_iter, **prior
    )


BANK_GRID = (100, 300, 1000)

# Of the kernels' covariances: more take long and are memorized.
MOST_ENTRIES = 100_000
BATCH_SIZE = 100
RATE = 0.05

# Samples of which the bandwidth looks at all pairs.
MAX_PAIRED = 1000

# So many kernels learn their covariances in a few steps, and soon too well.
EM_STEPS = (0, 1, 2, 4, 8)
SHRINKAGE = 20.0

INCOMPLETE = (
    "No context is complete, so the memory bank took missing entries for the mean. "
    "Impute them, or use the source 'prototypes'."
)


def fit_memory_bank(X, Y, settings, sample_weight=None, random_state=None):
    """Let a memory bank learn from samples that stream by, once."""
    rows, n_context = np.hstack([X, Y]), X.shape[1]
    kind = settings.kind
    if not COVARIANCE_TYPES[kind].loops.per_component:
        known = [k for k, kind in COVARIANCE_TYPES.items() if kind.loops.per_component]
        raise ValueError(
            f"covariance_type={kind!r} is not for a memory bank. Choose one of "
            f"{sorted(['auto', *known])}, or another source."
        )
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
    """Return which samples have no missing entry, (n,)."""
    return ~np.isnan(rows).any(axis=1)


def _grid(n_features):
    """Return the sizes to try: many kernels, or kernels of many features."""
    return [
        k for k in BANK_GRID if k == BANK_GRID[0] or k * n_features**2 <= MOST_ENTRIES
    ]


def _possible(sizes, n_rows):
    """Return the sizes up to the first that takes all samples."""
    smaller = (0, *sizes[:-1])
    pairs = zip(smaller, sizes, strict=True)
    return [size for last, size in pairs if last < n_rows]


def _learn(rows, size, steps, settings, sample_weight, random_state):
    """Yield parameters and mixtures after numbers of EM steps, ascending."""
    mixture = _stream(rows, size, settings.batch_size, sample_weight, random_state)
    kind = settings.kind
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
    """Return the mixture of a bank that has seen every complete sample."""
    complete = _complete(rows)
    if not complete.any():
        # Of standardized samples the mean is zero.
        rows, complete = np.nan_to_num(rows), np.ones(len(rows), bool)
    rows = rows[complete]
    if sample_weight is not None:
        # A sample of weight k counts as k copies of weight one.
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


# Fewer held-out samples do not tell which source is better.
FEWEST_ROWS = 20

# Samples that are enough to estimate the gain.
MOST_ROWS = 2000
NAMES = ("prototypes", "network")

# Models of less weight cost more time than they are worth.
POOLING = {"least": 0.02, "max_iter": 1000, "take_last": False}


def fit_auto(X, Y, settings, sample_weight=None, random_state=None):
    """Pool the closed-form conditional and the networks by held-out density."""
    work = Work()
    data = X, Y, replace(settings, judged=True), sample_weight, random_state
    joint = work.learn(Fit, fit_prototypes, *data)
    n_distinct = len(np.unique(np.hstack([X, Y]), axis=0))
    if work.when or n_distinct < FEWEST_ROWS or np.isnan(X).any():
        return work.end(lambda: joint)
    try:
        network = work.learn(Fit, fit_network, *data)
    except KeyboardInterrupt as stop:
        raise Interrupted("before a network had learned", joint) from stop
    return work.end(_pool, joint, network, X, sample_weight, random_state)


def _pool(joint, network, X, sample_weight, random_state):
    """Weigh the two by their densities of held-out samples."""
    held_out = np.stack([joint.held_out, network.held_out], axis=1)
    judged = np.isfinite(held_out).all(axis=1)
    row_weight = None if sample_weight is None else sample_weight[judged]
    gains = 0.0, pooling_gain(network.model, X, random_state)
    weights = pool_weights(held_out[judged] + gains, row_weight, **POOLING)
    info = joint.info | network.info
    info["pool_weights"] = dict(zip(NAMES, weights.tolist(), strict=True))
    model = PooledConditional(weights, (joint.model, network.model))
    trouble = " ".join(filter(None, (joint.trouble, network.trouble)))
    used = np.flatnonzero(weights)
    log_prob = logsumexp(held_out[:, used] + np.log(weights[used]), axis=1)
    return Fit(model, log_prob, info, trouble)


def pooling_gain(network, X, random_state):
    """Return what the members gain over those that judge a sample, in nats."""
    n_members = len(network.skip)
    if n_members == 1:
        return 0.0
    rows = random_state.permutation(len(X))[:MOST_ROWS]
    # More members than folds: several judge each row.
    part = (min(N_FOLDS, n_members) - 1) / (n_members - 1)
    return part * network.gain(X[rows], random_state)


def fit_network(*args, **kwargs):
    """Train an ensemble of mixture density networks, each without one fold."""
    # Late: whatever needs no networks needs no torch.
    from skgmje.conditional import _torch_sources

    return _torch_sources.fit_network(*args, **kwargs)


def _fit_module(module, *args, **kwargs):
    """Train a module of the user's."""
    from skgmje.conditional import _torch_sources

    return _torch_sources.fit_module(module, *args, **kwargs)


# Sources by name: the only place that lists them.
SOURCES = {
    "auto": Source(fit_auto, takes_missing=True, is_pool=True),
    "memory-bank": Source(fit_memory_bank, takes_missing=True),
    "network": Source(fit_network),
    "neural-gas": Source(fit_neural_gas, takes_missing=True),
    "prototypes": Source(fit_prototypes, takes_missing=True),
}


def source_of(mixture):
    """Return the source that a name, or a module of the user's, stands for."""
    if isinstance(mixture, str):
        return SOURCES[mixture]
    return Source(partial(_fit_module, mixture))

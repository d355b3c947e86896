"""Joint mixtures of contexts and targets: prototypes, neural gas and memory bank."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from skgmje._backend import asarray_like, is_torch, namespace, to_numpy
from skgmje._interrupt import Interrupted, learn_then
from skgmje.conditional._models import Fit, JointConditional, conditional_log_prob
from skgmje.em._bandwidth import kernel_bandwidth
from skgmje.em._e_step import missing_moments
from skgmje.em._em import EMResult, expectation_maximization
from skgmje.em._kmeans import kmeans_labels
from skgmje.em._select import ROWS_PER_COMPONENT, _folds, select_mixture
from skgmje.em._start import start_mixture
from skgmje.gaussian._arrays import map_arrays
from skgmje.gaussian._covariance import widen
from skgmje.gaussian._loops import FEW_ROWS_PER_FEATURE
from skgmje.gaussian._mixture import Mixture
from skgmje.neural_gas._nodes import gas_labels, gas_mixture
from skgmje.neural_gas._refine import refine_gas
from skgmje.neural_gas._state import adapt_gas, start_gas
from skgmje.particles._bank import bank_mixture, start_bank, step_bank
from skgmje.particles._resampling import systematic_resampling


class Choice(NamedTuple):
    """The best of some candidates."""

    params: dict
    held_out: Any
    cv_results: dict


def choose(candidates, rows, n_context, sample_weight=None, random_state=None):
    """Choose the candidate whose conditional density predicts best."""
    weight = np.ones(len(rows)) if sample_weight is None else sample_weight
    table = []
    keys = np.arange(len(rows))[:, None] if is_torch(rows) else rows
    for train in _folds(keys, random_state)[0]:
        test = train if train.all() else ~train
        fits = candidates(rows[train], weight[train], random_state)
        table.append(
            {
                tuple(params.items()): _judge(mixture, rows, test, n_context)
                for params, mixture in fits
            }
        )
    keys = [key for key in table[0] if all(key in column for column in table)]
    scores = np.array(
        [[_mean(column[key], weight) for column in table] for key in keys]
    )
    best = keys[int(scores.mean(axis=1).argmax())]
    held_out = np.fmax.reduce([column[best] for column in table])
    return Choice(dict(best), held_out, _results([*map(dict, keys)], scores))


def _judge(mixture, rows, test, n_context):
    log_prob = np.full(len(rows), np.nan)
    if is_torch(rows):
        mixture = _as_tensors(mixture, rows)
    log_prob[test] = to_numpy(conditional_log_prob(mixture, rows[test], n_context))
    return log_prob


def _as_tensors(mixture, rows):
    parts = mixture.weights, mixture.means, mixture.covariances
    parts = [map_arrays(lambda part: asarray_like(part, rows), part) for part in parts]
    return Mixture(*parts, mixture.covariance_type)


def _mean(log_prob, weight):
    judged = ~np.isnan(log_prob)
    return np.average(log_prob[judged], weights=weight[judged])


def _results(params, scores):
    mean = scores.mean(axis=1)
    results = {
        "params": params,
        "mean_test_score": mean,
        "std_test_score": scores.std(axis=1),
        "rank_test_score": np.argsort(np.argsort(-mean, kind="stable")) + 1,
    }
    for i, column in enumerate(scores.T):
        results[f"split{i}_test_score"] = column
    for name in params[0]:
        results[f"param_{name}"] = [candidate[name] for candidate in params]
    return results


# A row of many features tells little about one component of many.
GRID = (1, 2, 3, 5, 8, 12, 20, 30, 50)


SMALL_GRID = (1, 2, 3, 5, 8)


MANY_FEATURES = 4


MAX_ITER = 100


def fit_prototypes(X, Y, settings, sample_weight=None, random_state=None):
    """Fit a joint mixture by EM, its settings by held-out *conditional* density."""
    rows = np.hstack([X, Y])
    n_context = X.shape[1]
    grid = GRID if rows.shape[1] <= MANY_FEATURES else SMALL_GRID
    steps = {
        "tol": settings.tol,
        "max_iter": MAX_ITER if settings.max_iter == "auto" else settings.max_iter,
    }
    prior = {"sample_weight": sample_weight, "reg_covar": settings.reg_covar}
    selection = select_mixture(
        rows,
        n_components=settings.n_components,
        covariance_type=settings.covariance_type,
        shrinkage=settings.shrinkage,
        random_state=random_state,
        n_components_grid=grid,
        judge=lambda mixture, held: conditional_log_prob(mixture, held, n_context),
        **prior,
        **steps,
    )
    prior["shrinkage"] = selection.shrinkage
    start = selection.start
    if start is None:
        labels = kmeans_labels(
            rows,
            selection.n_components,
            sample_weight=sample_weight,
            random_state=random_state.randint(2**31 - 1),
            scale=True,
        )
        start = start_mixture(rows, labels, selection.covariance_type, **prior)
    info = {"cv_results": selection.cv_results, "shrinkage": selection.shrinkage}

    def describe(result):
        model = JointConditional(result.mixture, n_context)
        return Fit(model, selection.held_out, info | {"n_iter": result.n_iter})

    return learn_then(
        describe, EMResult, expectation_maximization, rows, start, **prior, **steps
    )


GAS_GRID = (2, 3, 5, 8, 12, 20, 30, 50)


SHRINKAGES = (2.0, 20.0)


# Of few rows these leave hardly any correlations.
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
    # Of all rows: a fold may lack all values of a feature.
    moments = None if is_torch(rows) else missing_moments(rows, sample_weight)

    def candidates(rows, sample_weight, random_state):
        for size in _sizes(settings.n_components, len(rows)):
            gas = _grow(rows, size, sample_weight, random_state)
            for shrinkage in _shrinkages(settings.shrinkage, *rows.shape):
                result = _polish(gas, rows, shrinkage, settings, sample_weight, moments)
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
    return learn_then(describe, EMResult, _polish, *data)


def _sizes(n_components, n_rows):
    if n_components != "auto":
        return (n_components,)
    return [k for k in GAS_GRID if k * ROWS_PER_COMPONENT <= n_rows] or GAS_GRID[:1]


def _shrinkages(shrinkage, n_rows, n_features):
    if shrinkage != "auto":
        return (float(shrinkage),)
    few = n_rows < FEW_ROWS_PER_FEATURE * n_features
    return (*SHRINKAGES, *FEW_SHRINKAGES) if few else SHRINKAGES


def _grow(rows, size, sample_weight, random_state):
    """Return a gas of `size` nodes that has seen rows at random."""
    share = None if sample_weight is None else sample_weight / sample_weight.sum()
    drawn = random_state.choice(len(rows), DRAWS_PER_NODE * size, p=share)
    if not is_torch(rows):
        # In standardised units the mean is zero.
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


def _polish(gas, rows, shrinkage, settings, sample_weight, moments):
    """Return the result of EM from the gas."""
    kind = settings.covariance_type
    if sample_weight is not None:
        sample_weight = asarray_like(sample_weight, rows)
    prior = {
        "shrinkage": shrinkage,
        "reg_covar": settings.reg_covar,
        "sample_weight": sample_weight,
    }
    kind = "full" if kind == "auto" else kind
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
    """Let a memory bank learn from rows that stream by, once."""
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
    return [
        k for k in BANK_GRID if k == BANK_GRID[0] or k * n_features**2 <= MOST_ENTRIES
    ]


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

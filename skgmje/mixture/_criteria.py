"""Number of clusters and model by criteria of all samples: BIC, ICL and stability."""

from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import adjusted_rand_score

from skgmje._parallel import Failure, attempt
from skgmje._warnings import warn
from skgmje.em._covariance_models import count_parameters, kind_of, types_of
from skgmje.em._em import expectation_maximization
from skgmje.em._select import Selection, count_distinct, mean_and_error, some_rows
from skgmje.em._start_pool import StartPool
from skgmje.mixture._few_samples import copies

# Numbers of clusters that "auto" tries; from the last on one more as long as it helps,
# of the models that were best so far.
N_CLUSTERS, MAX_CLUSTERS, N_LEADING = 9, 30, 3

# A search looks at no more samples, and its fits end at smaller gains than others:
# criteria of models are to be compared.
SEARCH_ROWS, SEARCH_TOL, SEARCH_ITERATIONS = 5000, 1e-5, 500

# Starts that are followed until one has no spike.
MAX_FOLLOWED = 3

# Parts of the samples that are clustered for stability, and their share.
N_PARTS, PART = 5, 0.8


class Candidate(NamedTuple):
    """A model of so many clusters, and what its fit says."""

    size: int
    model: str
    mixture: Any
    log_likelihood: float
    n_parameters: int
    bic: float
    icl: float
    sound: bool


def search(
    X,
    *,
    criterion,
    n_components,
    covariance_type,
    shrinkage,
    sample_weight,
    random_state,
    run,
    **em_params,
):
    """Choose what is 'auto' by a criterion; return a :class:`Selection`."""
    X, weight = some_rows(SEARCH_ROWS, random_state, X, sample_weight)
    asked = "models" if covariance_type == "auto" else covariance_type
    models = types_of(asked, X.shape[1])
    em_params.pop("annealing", None)
    params = {**em_params, "shrinkage": float(shrinkage)}
    pool = StartPool(X, weight, N_CLUSTERS, random_state)

    def fit_all(sizes, models, word):
        labels = {size: pool.partitions(size, random_state) for size in sizes}
        tasks = [
            (_fit, X, weight, pool, labels[size], size, model, params)
            for size, model in product(sizes, models)
        ]
        found = run(attempt, tasks, word)
        return [each for each in found if not isinstance(each, Failure)]

    found = fit_all(_sizes(X, n_components), models, "models")
    if n_components == "auto" and criterion != "stability":
        found += _go_on(X, found, criterion, fit_all)
    parts, stability = {}, {}
    if criterion == "stability":
        parts = _fit_parts(X, weight, found, params, run, random_state)
        stability = {size: _alike(size, fits) for (size, _), fits in parts.items()}
    if not found:
        raise ValueError(
            f"No model of criterion={criterion!r} could be fitted: X is singular in "
            "all. Set reg_covar='auto' or a larger number, or remove constant features."
        )
    order = _order(found, criterion, stability)
    best = found[order[0]]
    if not (best.sound or kind_of(best.model).independent):
        warn(
            f"Each of the {len(found)} models that were tried has components of fewer "
            f"than {X.shape[1] + 1} samples, or covariances that are nearly singular: "
            "their criteria say little. Add samples, remove features that repeat "
            "others, or set shrinkage." + copies(weight, len(X))
        )
    table = _results(found, order, criterion, stability, params["shrinkage"])
    if parts:
        table |= _held_out(weight, found, parts)
    return Selection(best.size, best.model, params["shrinkage"], table, best.mixture)


def _sizes(X, n_components):
    """Return the numbers of components that are tried."""
    if n_components != "auto":
        return [n_components]
    most = min(N_CLUSTERS, len(X) // (X.shape[1] + 1))
    return [*range(1, max(1, min(most, count_distinct(X, N_CLUSTERS))) + 1)]


def _fit(X, weight, pool, labels, size, model, params):
    """Return the :class:`Candidate` of a model, from the best starts of the pool."""
    names = "shrinkage", "shrinkage_target", "reg_covar"
    prior = {name: params[name] for name in names}
    first = {name: params[name] for name in ("rank", "moments")}
    how = {
        "sample_weight": weight,
        "tol": min(params["tol"], SEARCH_TOL),
        "max_iter": max(params["max_iter"], SEARCH_ITERATIONS),
    }
    best = None
    for start in pool.starts(labels, size, model, **first, **prior)[:MAX_FOLLOWED]:
        result = expectation_maximization(X, start, model=model, **prior, **how)
        rank = pool.rank(size, result)
        if best is None or rank > best[0]:
            best = rank, result
        if best[0][1]:
            break
    (whole, sound, _), result = best
    return _judge(X, weight, result, size, model, bool(whole and sound))


def _judge(X, weight, result, size, model, sound):
    """Return the criteria of a fit."""
    weight = np.ones(len(X)) if weight is None else weight
    mixture = result.mixture
    n_parameters = count_parameters(mixture, model)
    total = float(weight @ mixture.log_prob(X, missing="marginal"))
    bic = n_parameters * float(np.log(weight.sum())) - 2 * total
    resp = mixture.responsibilities(X, missing="marginal")
    icl = bic - 2 * float(weight @ np.log(resp.max(axis=1)))
    return Candidate(size, model, mixture, total, n_parameters, bic, icl, sound)


def _go_on(X, found, criterion, fit_all):
    """Return fits of more clusters than the largest number, while they are better."""
    more = []
    while True:
        known = found + more
        order = _order(known, criterion, {})
        best, largest = known[order[0]], max(each.size for each in known)
        enough = largest + 1 > min(MAX_CLUSTERS, len(X) // (X.shape[1] + 1))
        if best.size < largest or largest < N_CLUSTERS or enough:
            return more
        if count_distinct(X, largest + 1) <= largest:
            return more
        leading = [known[i].model for i in order if known[i].size == largest]
        word = f"models of {largest + 1} clusters"
        more += fit_all([largest + 1], leading[:N_LEADING], word)
        if max(each.size for each in found + more) == largest:
            return more


def _order(found, criterion, stability):
    """Return the indices of candidates, the best first: the sound before the others."""
    level = np.inf
    if stability:
        # From there on sizes are as good as the best: BIC decides.
        best = max(stability.values(), key=np.mean)
        level = best.mean() - best.std()
    keys = [
        (
            not each.sound,
            -min(stability[each.size].mean(), level) if stability else 0.0,
            each.bic if stability else getattr(each, criterion),
            each.n_parameters,
        )
        for each in found
    ]
    if all(key[0] for key in keys):
        # Of fits to spikes the simplest is the best guess.
        keys = [(each.size, each.n_parameters) for each in found]
    return sorted(range(len(keys)), key=keys.__getitem__)


def _fit_parts(X, weight, found, params, run, random_state):
    """Return the fits to parts of the samples of the best model of each size."""
    models = {}
    for i in reversed(_order(found, "bic", {})):
        models[found[i].size] = found[i].model
    leading, tasks = sorted(models.items()), []
    for _ in range(N_PARTS):
        n_rows = max(1, int(PART * len(X)))
        rows = np.sort(random_state.choice(len(X), n_rows, replace=False))
        seed = int(random_state.randint(2**31 - 1))
        tasks += [(X, weight, rows, *each, params, seed) for each in leading]
    fits = run(_fit_part, tasks, "parts")
    return {each: fits[i :: len(leading)] for i, each in enumerate(leading)}


def _fit_part(X, weight, rows, size, model, params, seed):
    """Return labels by a fit to a part, and log-densities, NaN of the part."""
    random_state, log_prob = np.random.RandomState(seed), np.full(len(X), np.nan)
    part = None if weight is None else weight[rows]
    pool = StartPool(X[rows], part, size, random_state)
    labels = pool.partitions(size, random_state)
    found = attempt(_fit, X[rows], part, pool, labels, size, model, params)
    if isinstance(found, Failure):
        return np.zeros(len(X), np.intp), log_prob
    rest = np.delete(np.arange(len(X)), rows)
    log_prob[rest] = found.mixture.log_prob(X[rest], missing="marginal")
    resp = found.mixture.responsibilities(X, missing="marginal")
    return resp.argmax(axis=1), log_prob


def _alike(size, fits):
    """Return how alike each two fits to parts of the samples cluster all of them."""
    if size == 1:
        # One cluster is always found again, which says nothing for it.
        return np.zeros(1)
    pairs = combinations([labels for labels, _ in fits], 2)
    return np.array([adjusted_rand_score(*pair) for pair in pairs])


def _held_out(weight, found, parts):
    """Return the columns of what parts say of the rest, NaN for other models."""
    columns = np.full((2, len(found)), np.nan)
    for i, each in enumerate(found):
        fits = parts.get((each.size, each.model), ())
        values = np.array([log_prob for _, log_prob in fits])
        left_out = ~np.isnan(values).all(axis=0)
        if left_out.any():
            values = np.nanmean(values[:, left_out], axis=0)
            known = None if weight is None else weight[left_out]
            columns[:, i] = mean_and_error(values, known)
    return dict(zip(("held_out", "held_out_error"), columns, strict=True))


def _results(found, order, criterion, stability, shrinkage):
    """Return the table of all candidates and criteria, as a search has it."""
    rank = np.empty(len(found), int)
    rank[order] = np.arange(1, len(found) + 1)
    names = ("n_components", "covariance_type", "shrinkage")
    settings = [(each.size, each.model, shrinkage) for each in found]
    params = [dict(zip(names, setting, strict=True)) for setting in settings]
    columns = ("log_likelihood", "n_parameters", "bic", "icl", "sound")
    table = {
        name: np.array([getattr(each, name) for each in found]) for name in columns
    }
    if stability:
        table["stability"] = np.array([stability[each.size].mean() for each in found])
    sign = 1.0 if stability else -1.0
    table["mean_test_score"] = sign * table[criterion]
    table["rank_test_score"] = rank
    for name in names:
        table[f"param_{name}"] = [candidate[name] for candidate in params]
    return {"params": params, **table}

"""Number of clusters and model by criteria of all samples: BIC, ICL and stability."""

from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import adjusted_rand_score

from skgmje._parallel import Failure, attempt
from skgmje._warnings import warn
from skgmje.em._covariance_models import count_parameters, kind_of, types_of
from skgmje.em._em import expectation_maximization
from skgmje.em._select import (
    Selection,
    count_distinct,
    param_columns,
    select_mixture,
    settings_of,
    some_rows,
)
from skgmje.em._start_pool import StartPool
from skgmje.mixture._few_samples import copies

# Numbers of clusters that "auto" tries; from the last on one more, of the models that
# would be the best within so many if each gained as much as the last.
N_CLUSTERS, MAX_CLUSTERS, AHEAD = 9, 30, 9

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


def is_searched(estimator, automatic):
    """Return whether a criterion of all samples chooses; raise if it cannot."""
    criterion = estimator.criterion
    if criterion == "held-out":
        return False
    if not automatic:
        warn(
            f"criterion={criterion!r} chooses nothing, because nothing is 'auto': "
            f"n_components={estimator.n_components!r}, covariance_type="
            f"{estimator.covariance_type!r}. Set n_components='auto', or leave "
            "criterion out."
        )
        return False
    unused = []
    if not estimator._goes_on():
        names = "weights_init", "means_init", "precisions_init"
        unused = [name for name in names if getattr(estimator, name) is not None]
        if estimator.init_params not in ("auto", "kmeans"):
            unused.append(f"init_params={estimator.init_params!r}")
    unused += ["background=True"] if estimator.background else []
    if unused:
        raise ValueError(
            f"{unused[0]} does not go with criterion={criterion!r}, which has starts "
            "of its own, of components only. Set criterion='held-out', or nothing to "
            "'auto', or leave it out."
        )
    return True


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
    kinds = "models" if covariance_type == "auto" else covariance_type
    models = types_of(kinds, X.shape[1])
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
    if not found:
        raise ValueError(
            f"No model of criterion={criterion!r} could be fitted: X is singular in "
            "all. Set reg_covar='auto' or a larger number, or remove constant features."
        )
    criteria = [criterion] if isinstance(criterion, str) else criterion
    if n_components == "auto" and criteria[0] != "stability":
        # Where held-out likelihood chooses, BIC says whether more may be better.
        by = "icl" if criteria[0] == "icl" else "bic"
        found += _go_on(X, found, by, fit_all)
    stability, held_out = {}, {}
    if "stability" in criteria:
        stability = _stability(X, weight, found, params, run, random_state)
    if "held-out" in criteria:
        held_out = _held_out(X, weight, found, params, run, random_state)
    order = _order(found, criteria[0], stability, **held_out)
    best, shrinkage = found[order[0]], params["shrinkage"]
    if not (best.sound or kind_of(best.model).independent):
        warn(
            f"Each of the {len(found)} models that were tried has components of fewer "
            f"than {X.shape[1] + 1} samples, or covariances that are nearly singular: "
            "their criteria say little. Add samples, remove features that repeat "
            "others, or set shrinkage." + copies(weight, len(X))
        )
    table = _results(found, order, criteria[0], stability, held_out, shrinkage)
    return Selection(best.size, best.model, shrinkage, table, best.mixture)


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
    """Return fits of more clusters than the largest number, while a model may win."""
    size, more = max(each.size for each in found), []
    most = min(MAX_CLUSTERS, len(X) // (X.shape[1] + 1))
    while N_CLUSTERS <= size < most and count_distinct(X, size + 1) > size:
        models = _rising(found + more, criterion, size)
        word = f"models of {size + 1} clusters"
        fits = fit_all([size + 1], models, word) if models else []
        if not fits:
            break
        more, size = more + fits, size + 1
    return more


def _rising(found, criterion, size):
    """Return the models that win with some more clusters if these gain as the last."""
    sound = [each for each in found if each.sound]
    values = {(each.size, each.model): getattr(each, criterion) for each in sound}
    best = min(values.values(), default=np.inf)
    models = [each.model for each in sound if each.size == size]
    before = {name: values.get((size - 1, name), np.inf) for name in models}
    return [
        name
        for name in models
        if values[size, name] - AHEAD * (before[name] - values[size, name]) < best
    ]


def _order(found, criterion, stability=None, held_out=(), held_out_error=()):
    """Return the indices of candidates, the best first: the sound before the others."""
    if criterion == "stability":
        # From there on sizes are as good as the best: BIC decides.
        best = max(stability.values(), key=np.mean)
        level = best.mean() - best.std()
        values = [
            (-min(stability[each.size].mean(), level), each.bic) for each in found
        ]
    elif criterion == "held-out":
        values = [(value,) for value in np.nan_to_num(-held_out, nan=np.inf)]
    else:
        values = [(getattr(each, criterion),) for each in found]
    keys = [
        (not each.sound, *value, each.n_parameters)
        for each, value in zip(found, values, strict=True)
    ]
    if all(key[0] for key in keys):
        # Of fits to spikes the simplest is the best guess.
        keys = [(each.size, each.n_parameters) for each in found]
    return sorted(range(len(keys)), key=keys.__getitem__)


def _stability(X, weight, found, params, run, random_state):
    """Return for each size how alike each two fits to parts of the samples cluster."""
    models = {}
    for i in reversed(_order(found, "bic")):
        models[found[i].size] = found[i].model
    # One cluster is always found again, which says nothing for it.
    sizes = sorted({*models} - {1})
    tasks = []
    for _ in range(N_PARTS):
        n_rows = max(1, int(PART * len(X)))
        rows = np.sort(random_state.choice(len(X), n_rows, replace=False))
        part = None if weight is None else weight[rows]
        seed = int(random_state.randint(2**31 - 1))
        tasks += [(X, rows, part, k, models[k], params, seed) for k in sizes]
    labels = run(_label, tasks, "parts")
    alike = {1: np.zeros(1)}
    for place, size in enumerate(sizes):
        own = combinations(labels[place :: len(sizes)], 2)
        alike[size] = np.array([adjusted_rand_score(*pair) for pair in own])
    return alike


def _label(X, rows, weight, size, model, params, seed):
    """Return the labels of all samples by a fit to a part of them."""
    random_state = np.random.RandomState(seed)
    pool = StartPool(X[rows], weight, size, random_state)
    labels = pool.partitions(size, random_state)
    found = attempt(_fit, X[rows], weight, pool, labels, size, model, params)
    if isinstance(found, Failure):
        return np.zeros(len(X), np.intp)
    return found.mixture.responsibilities(X, missing="marginal").argmax(axis=1)


def _held_out(X, weight, found, params, run, random_state):
    """Return mean log-likelihoods of samples held out, and standard errors."""
    seed = random_state.randint(2**31 - 1)
    tasks = [(_hold_out, X, weight, each, params, seed) for each in found]
    nothing = np.nan, np.nan
    rows = run(attempt, tasks, "models without folds")
    rows = [nothing if isinstance(row, Failure) else row for row in rows]
    return dict(zip(("held_out", "held_out_error"), np.array(rows).T, strict=True))


def _hold_out(X, weight, candidate, params, seed):
    """Return the held-out log-likelihood of fits that begin at a candidate's labels."""

    def first_labels(X, size, weight, seed):
        resp = candidate.mixture.responsibilities(X, missing="marginal")
        return np.unique(resp.argmax(axis=1), return_inverse=True)[1].ravel()

    selection = select_mixture(
        X,
        n_components=candidate.size,
        covariance_type=candidate.model,
        sample_weight=weight,
        # The same folds for all.
        random_state=np.random.RandomState(seed),
        first_labels=first_labels,
        **params,
    )
    if selection.held_out is None:
        # Of fewer than five distinct samples none are held out.
        return np.nan, np.nan
    (mean,), (error,) = map(selection.cv_results.get, ("held_out", "held_out_error"))
    return mean, error


def _results(found, order, criterion, stability, held_out, shrinkage):
    """Return the table of all candidates and criteria, as a search has it."""
    params = settings_of((each.size, each.model, shrinkage) for each in found)
    columns = ("log_likelihood", "n_parameters", "bic", "icl", "sound")
    table = {
        name: np.array([getattr(each, name) for each in found]) for name in columns
    }
    table |= held_out
    if stability:
        table["stability"] = np.array([stability[each.size].mean() for each in found])
    sign = -1.0 if criterion in ("bic", "icl") else 1.0
    table["mean_test_score"] = sign * table[criterion.replace("-", "_")]
    table["rank_test_score"] = np.argsort(order) + 1
    return {"params": params, **table, **param_columns(params)}

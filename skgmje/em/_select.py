"""Starts, and selection by held-out log-likelihood: settings and weights of pools."""

from functools import lru_cache, partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from sklearn import config_context
from sklearn.cluster import KMeans, kmeans_plusplus
from threadpoolctl import ThreadpoolController

from skgmje._interrupt import Work
from skgmje.em._bandwidth import nearest_centers
from skgmje.em._blocks import RowBlocks
from skgmje.em._covariance_models import (
    count_parameters,
    is_open,
    kind_of,
    types_of,
)
from skgmje.em._em import EMResult, expectation_maximization, make_kernel
from skgmje.em._missing import has_missing, missing_log_prob, missing_moments, row_mean
from skgmje.em._noise import noisy_log_prob
from skgmje.em._start import start_mixture
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._covariance_type import FEW_ROWS_PER_FEATURE
from skgmje.gaussian._mixture import Mixture


def pool_weights(
    log_prob,
    sample_weight=None,
    *,
    pseudo_count=0.0,
    least=0.0,
    max_iter=300,
    tol=1e-7,
    take_last=True,
):
    """Return the weights (n_members,) of a pool of densities (n_samples, n_members)."""
    # By EM; members of less weight than `least` are left out, and the last step, which
    # is below `tol`, may be left out, too.
    n_members = log_prob.shape[1]
    weights = np.full(n_members, 1 / n_members)
    top = log_prob.max(axis=1)
    known = np.isfinite(top)
    if not known.any():
        return weights
    prob = np.exp(log_prob[known] - top[known, None])
    weight = np.ones(len(prob)) if sample_weight is None else sample_weight[known]
    total = weight.sum() + n_members * pseudo_count
    for _ in range(max_iter):
        shares = weight / (prob @ weights)
        moved = (weights * (shares @ prob) + pseudo_count) / total
        gap = np.abs(moved - weights).max()
        if gap >= tol or take_last:
            weights = moved
        if gap < tol:
            break
    weights = weights / weights.sum()
    kept = weights >= min(least, weights.max())
    if not kept.all():
        rules = {"pseudo_count": pseudo_count, "least": least, "max_iter": max_iter}
        rules |= {"tol": tol, "take_last": take_last}
        weights[~kept] = 0.0
        weights[kept] = pool_weights(log_prob[:, kept], sample_weight, **rules)
    return weights


def held_out_results(candidates, scores, mean, more):
    """Return scores, (n_candidates, n_folds), in the layout of `GridSearchCV`."""
    order = np.argsort(-np.nan_to_num(mean, nan=-np.inf), kind="stable")
    return {
        **candidates,
        "mean_test_score": mean,
        **more,
        "rank_test_score": np.argsort(order) + 1,
        **{f"split{i}_test_score": column for i, column in enumerate(scores.T)},
    }


def params_results(params, scores, **more):
    """Return the table of candidates that are dicts of the same parameters."""
    mean, more = scores.mean(axis=1), {"std_test_score": scores.std(axis=1), **more}
    results = held_out_results({"params": params}, scores, mean, more)
    return results | param_columns(params)


def param_columns(params):
    """Return the columns of candidates that are dicts of the same parameters."""
    return {f"param_{name}": [each[name] for each in params] for name in params[0]}


def settings_of(keys):
    """Return settings of mixtures as dicts of parameters."""
    names = ("n_components", "covariance_type", "shrinkage")
    return [dict(zip(names, key, strict=True)) for key in keys]


# Squares of much larger numbers, or their inverses, overflow in single precision.
LARGEST_SQUARED = 1e15


# Where many starts are tried EM ends what k-means has begun.
QUICK_ITERATIONS = 10


def kmeans_labels(X, n_clusters, *, sample_weight=None, random_state=None, **how):
    """Return k-means labels (n,); missing entries count as feature means."""
    labels = _kmeans(X, n_clusters, sample_weight, random_state, **how)[0]
    return np.unique(labels, return_inverse=True)[1].ravel()


def kmeans_centers(X, n_clusters, *, sample_weight=None, random_state=None):
    """Return k-means centers, shape (n_clusters, n_features)."""
    return _kmeans(X, n_clusters, sample_weight, random_state)[1]


def _kmeans(X, n_clusters, sample_weight, random_state, *, scale=False, max_iter=300):
    """Return labels (n,) and centers (k, d) of one run of k-means."""
    if np.isnan(X).any() or scale:
        mean = np.nan_to_num(row_mean(X, sample_weight))
        X = np.where(np.isnan(X), mean, X)
    if scale:
        spread = np.sqrt(row_mean((X - mean) ** 2, sample_weight))
        X = (X - mean) / np.where(spread > 0, spread, 1.0)
    largest = max(float(X.max()), -float(X.min()))
    if largest and not 1 / LARGEST_SQUARED < largest < LARGEST_SQUARED:
        X = X.astype(np.float64) / largest
    if sample_weight is not None:
        sample_weight = sample_weight / sample_weight.max()
    counted = slice(None) if sample_weight is None else sample_weight > 0
    # K-means itself has one unit for all features, about their means.
    counted = X[counted] - X[counted].mean(axis=0)
    n_clusters = min(n_clusters, count_distinct(counted, n_clusters, narrow=0.0))
    del counted
    how = {"max_iter": max_iter, "random_state": random_state}
    kmeans = KMeans(n_clusters, n_init=1, **how)
    # The order in which threads add partial sums is not the same in every run. To check
    # parameters and samples again would take as long as k-means of few.
    checked = config_context(assume_finite=True, skip_parameter_validation=True)
    with _openmp().limit(limits=1, user_api="openmp"), checked:
        kmeans.fit(X, sample_weight=sample_weight)
    return kmeans.labels_, kmeans.cluster_centers_


@lru_cache(maxsize=1)
def _openmp():
    """Return the control of k-means' threads: finding it takes as long as k-means."""
    return ThreadpoolController()


def count_distinct(X, enough, **how):
    """Count distinct samples, as far as `enough`."""
    n_rows = 16 * enough
    n_distinct = int(number_distinct(X[:n_rows], **how).max()) + 1
    if n_distinct >= enough or n_rows >= len(X):
        return n_distinct
    return int(number_distinct(X, **how).max()) + 1


@lru_cache(maxsize=16)
def _directions(n_features):
    """Return two random directions, the same ones in every call."""
    return np.random.RandomState(0).standard_normal((2, n_features))


# Beside wider features, those of less than this share would be lost to rounding.
NARROW = 1e-6


def number_distinct(X, *, narrow=NARROW):
    """Number the distinct samples from 0 by a random projection, shape (n_samples,)."""
    directions = _directions(X.shape[1])
    missing = np.isnan(X)
    finite = np.where(missing, 0.0, X)
    low, high = finite.min(axis=0), finite.max(axis=0)
    scale, width = max(float(high.max()), -float(low.min())) or 1.0, high - low
    # Rounding of a constant is no width.
    least = 8 * np.finfo(float).eps * np.maximum(np.abs(low), np.abs(high))
    is_narrow = (width > least) & (width < narrow * scale)
    if is_narrow.any():
        unit = np.where(is_narrow, width / scale, 1.0)
        finite = np.where(is_narrow, (finite - low) / unit, finite)
    projection = (finite / scale) @ directions[0] + missing @ directions[1]
    return np.unique(projection, return_inverse=True)[1].ravel()


# K-means copies its samples; a start on more than this would not be better.
MAX_START_ENTRIES = 2**21
START_SAMPLES = 64

# Entries of the part that stands for all samples that an engine holds.
MAX_SAMPLED = 2**20


def _from_kmeans(X, weight, n_components, random_state):
    """Begin with k-means labels of all samples."""
    how = {"sample_weight": weight, "random_state": random_state}
    return X, kmeans_labels(X, n_components, **how), weight


def _from_plusplus(X, weight, n_components, random_state):
    """Begin at samples that k-means++ draws."""
    how = {"sample_weight": weight, "random_state": random_state}
    rows = kmeans_plusplus(complete(X, weight), n_components, **how)[1]
    return _from_rows(X, weight, rows)


def _from_data(X, weight, n_components, random_state):
    """Begin at samples that are drawn in proportion to their weights."""
    share = None if weight is None else weight / weight.sum()
    if share is not None and np.count_nonzero(share) < n_components:
        share = None
    rows = random_state.choice(len(X), size=n_components, replace=False, p=share)
    return _from_rows(X, weight, rows)


def _from_rows(X, weight, rows):
    """Begin at some samples, or if entries are missing with all that are nearest."""
    labels = np.arange(len(rows))
    if not has_missing(X):
        return X[rows], labels, None
    filled = complete(X, weight)
    nearest = nearest_centers(filled, filled[rows])[0]
    nearest[rows] = labels
    return X, nearest, weight


def _from_random(X, weight, n_components, random_state):
    """Begin with random responsibilities."""
    resp = random_state.uniform(size=(len(X), n_components))
    return X, resp / resp.sum(axis=1, keepdims=True), weight


def complete(X, weight):
    """Return samples with the mean in place of missing entries."""
    mean = np.nan_to_num(row_mean(X, weight))
    return np.where(np.isnan(X), mean, X)


def part_of(X, sample_weight, random_state, least=0):
    """Return arrays as they are, and of blocks random samples, at least so many."""
    if isinstance(X, RowBlocks):
        return X._sample(max(MAX_SAMPLED // X.shape[1], least), random_state)
    return X, sample_weight


def some_rows(most, random_state, X, *others):
    """Return arrays of samples, or None, as they are; of many a random part of each."""
    if len(X) <= most:
        return X, *others
    rows = np.sort(random_state.choice(len(X), most, replace=False))
    return X[rows], *(None if each is None else each[rows] for each in others)


# Each returns samples, labels or responsibilities, and weights for one M-step.
STARTS = {
    "kmeans": _from_kmeans,
    "k-means++": _from_plusplus,
    "random": _from_random,
    "random_from_data": _from_data,
}


def draw_start(
    X, weight, n_components, init_params, random_state, *, wide=False, **step_params
):
    """Return a first mixture; a wide one has no component of one sample."""
    n_rows = max(MAX_START_ENTRIES // X.shape[1], START_SAMPLES * n_components)
    X, weight = some_rows(n_rows, random_state, X, weight)
    if weight is not None:
        # Weights are divided by their sum.
        weight = weight.astype(np.float64, copy=False)
    if callable(init_params):
        resp = _called(init_params, X, n_components)
        return start_mixture(X, resp, sample_weight=weight, **step_params)
    rows, resp, row_weight = STARTS[init_params](X, weight, n_components, random_state)
    if wide and rows is not X:
        rows, resp, row_weight = X, nearest_centers(X, rows)[0], weight
    return start_mixture(rows, resp, sample_weight=row_weight, **step_params)


def _called(function, X, n_components):
    """Return the labels, or the responsibilities, that a user's function gives."""
    resp = np.asarray(function(X))
    labels = resp.ndim == 1 and resp.dtype.kind in "iub"
    if resp.shape[:1] != X.shape[:1] or not (labels or resp.ndim == 2):
        raise ValueError(
            f"init_params={function!r} returned an array of shape {resp.shape} and "
            f"type {resp.dtype} for {len(X)} samples. It must return integer labels "
            "(n_samples,), or responsibilities (n_samples, n_components)."
        )
    if labels:
        found, resp = np.unique(resp, return_inverse=True)
        count, least = len(found), 0
    else:
        resp = resp.astype(np.float64)
        count, least = resp.shape[1], resp.min(initial=0.0)
    if count != n_components or not least >= 0 or not np.isfinite(resp).all():
        raise ValueError(
            f"init_params={function!r} returned {count} components, the least value "
            f"being {least:g}, where n_components={n_components}. Set n_components to "
            "the number of its labels; responsibilities must not be negative or NaN."
        )
    if labels:
        return resp.ravel()
    total = resp.sum(axis=1, keepdims=True)
    return resp / np.where(total > 0, total, 1.0)


# So few held-out samples often prefer correlations that fit by chance.
FEWEST_ROWS, FEWEST_SHRINKAGE = 10, 20.0


def shrinkage_grid(covariance_type, n_rows, n_features):
    """Return the pseudo-counts worth trying for so many samples to fit."""
    kind = kind_of(covariance_type)
    if n_features == 1 or n_rows >= FEW_ROWS_PER_FEATURE * n_features:
        return kind.shrinkages
    least = _least_shrinkage(covariance_type, n_rows, n_features)
    return tuple(s for s in kind.few_shrinkages or kind.shrinkages if s >= least)


def _least_shrinkage(covariance_type, n_rows, n_features):
    """Return the smallest pseudo-count that so few samples leave any hope to."""
    if kind_of(covariance_type).few_shrinkages is None or n_features == 1:
        return 0.0
    if n_rows < min(FEWEST_ROWS, FEW_ROWS_PER_FEATURE * n_features):
        return FEWEST_SHRINKAGE
    # Plain covariances of n samples cost about n / (n - d - 2) times what true ones do.
    return 2.0 if n_rows < 2 * (n_features + 4) else 0.0


def candidate_settings(covariance_type, shrinkage, n_rows, n_features):
    """List pairs of a covariance type and a pseudo-count that are to be tried."""
    types = types_of(covariance_type, n_features)
    if covariance_type == "auto":
        types = ("full",)
        if n_features > 1:
            pairs = COVARIANCE_TYPES.items()
            types = [name for name, kind in pairs if n_rows >= kind.auto_from]
    if shrinkage == "auto":
        found = [
            (kind, count)
            for kind in types
            for count in shrinkage_grid(kind, n_rows, n_features)
        ]
    else:
        found = [
            (kind, float(shrinkage))
            for kind in types
            if covariance_type != "auto"
            or shrinkage >= _least_shrinkage(kind, n_rows, n_features)
        ]
    if n_rows >= FEW_ROWS_PER_FEATURE * n_features:
        return found
    return sorted(found, key=_simplest_first)


def _simplest_first(setting):
    """Return what sorts settings of few samples: the later have to prove themselves."""
    kind, shrinkage = setting
    place = kind_of(kind).place
    # Correlations that shrink alike differ little, whatever the type.
    return min(place, 2), -shrinkage, place


# Candidates of n_components="auto"; a component needs eight samples.
N_COMPONENTS = (1, 2, 3, 5, 8, 12, 20, 32, 50, 80)
ROWS_PER_COMPONENT = 8

# Few samples need many folds, all of them held out once; of many, one part will do.
FIVE_FOLDS_BELOW = 500
SINGLE_SPLIT_ROWS = 1500

# A setting's grid over the components ends after two scores this far below its best.
HOPELESS = 0.02

# Where entries are missing the last small gains of EM, in nats per sample, take most of
# the time. In folds where a setting is as far below the best of fewer components, by so
# many standard errors of the difference, it halts at gains below.
CERTAIN, HALT = 2.0, 5e-3


class Selection(NamedTuple):
    """Settings chosen by held-out log-likelihood."""

    n_components: int
    covariance_type: str
    shrinkage: float
    cv_results: Any
    start: Any = None
    held_out: Any = None


class SelectedFit(NamedTuple):
    """The settings that were chosen or given, and the best result of EM with them."""

    selection: Selection
    result: EMResult


def fit_selected(
    X,
    settings,
    random_state,
    *,
    sample_weight=None,
    part=None,
    selecting=None,
    select=None,
    draw=None,
    n_init=1,
    proven=True,
    scaled=False,
    work=None,
    callback=None,
    last_bound=None,
    key=None,
    **em_params,
):
    """Choose what is 'auto' of the settings, or all if `selecting`, and run EM."""
    part, weight = (X, sample_weight) if part is None else part
    data = {"sample_weight": weight, "random_state": random_state}
    selection = Selection(*settings, cv_results=None)
    if any(map(is_open, settings)) or selecting is not None:
        params = em_params | (selecting or {}) | settings_of([settings])[0]
        selection = (select or select_mixture)(part, **data, **params)
    em_params |= {"sample_weight": sample_weight, "shrinkage": selection.shrinkage}
    first, steps = split_params(em_params, selection.covariance_type)
    if draw is None:
        first["sample_weight"] = weight
        draw = partial(_draw_from_kmeans, part, first, random_state, scaled)
    starts = _starts(selection, draw, n_init, proven)
    steps |= {"callback": callback, "last_bound": last_bound}
    task = Work() if work is None else work
    best = _best_of(X, starts, n_init, task, _bound if key is None else key, steps)
    fit = SelectedFit(selection, best)
    return task.end(lambda: fit) if work is None else fit


def _draw_from_kmeans(X, first, random_state, scaled, selection):
    """Return a start from k-means labels."""
    n_components, kind = selection[:2]
    seed = random_state.randint(2**31 - 1)
    how = {"sample_weight": first["sample_weight"], "random_state": seed}
    labels = kmeans_labels(X, n_components, scale=scaled, **how)
    return start_mixture(X, labels, kind, **first)


def _starts(selection, draw, n_init, proven):
    """Yield the mixtures that EM begins at, first the one that has proved itself."""
    for i in range(n_init):
        known = selection.start if proven and not i else None
        start = draw(selection) if known is None else known
        if start is None:
            return
        yield start


def _best_of(X, starts, n_init, task, key, steps):
    """Return the best result of EM from some starts, or of those before Ctrl-C."""
    best = None
    try:
        for start in starts:
            run = partial(expectation_maximization, X, start, **steps)
            result = task.learn(EMResult, run)
            if best is None or key(result) > key(best):
                best = result
            if task.when:
                break
    except KeyboardInterrupt:
        if best is None:
            raise
        task.when = f"before EM had begun at another of n_init={n_init} starts"
    return best


def split_params(params, covariance_type):
    """Return the keyword arguments of a start, and those of EM, of what both share."""
    start, em = {}, params | {"model": covariance_type}
    for name in ("rank", "moments"):
        if name in em:
            start[name] = em.pop(name)
    shared = ("sample_weight", "shrinkage", "shrinkage_target", "reg_covar")
    return start | {name: em[name] for name in shared if name in em}, em


def _bound(result):
    """Return the mean log-likelihood of the last E-step."""
    return result.stats.log_likelihood / result.stats.weight


def joint_log_prob(density, X, noise=None):
    """Return log-densities of samples (n,), NaN being missing."""
    if noise is not None:
        return noisy_log_prob(density, X, noise)
    if not (isinstance(density, Mixture) and has_missing(X)):
        return density.log_prob(X, missing="marginal")
    kernel = make_kernel(density, density.mean)
    return missing_log_prob(kernel, density.covariance_type, X)


def first_labels_of(X, n_clusters, sample_weight, seed):
    """Return k-means labels of standardized samples, (n,)."""
    if n_clusters == 1:
        return np.zeros(len(X), np.intp)
    how = {"sample_weight": sample_weight, "random_state": seed}
    how |= {"scale": True, "max_iter": QUICK_ITERATIONS}
    return kmeans_labels(X, n_clusters, **how)


def in_turn(function, tasks, word):
    """Return ``function(*task)`` of each task."""
    return [function(*task) for task in tasks]


def select_mixture(
    X,
    *,
    n_components="auto",
    covariance_type="auto",
    shrinkage="auto",
    sample_weight=None,
    random_state=None,
    n_components_grid=N_COMPONENTS,
    judge=joint_log_prob,
    first_labels=first_labels_of,
    start_weight=None,
    run=in_turn,
    **em_params,
):
    """Choose the settings of a mixture by held-out log-likelihood."""
    start_weight = sample_weight if start_weight is None else start_weight
    seed = np.random.RandomState() if random_state is None else random_state
    if em_params.get("moments") is None:
        # A fold may lack all values of a feature, though all samples have some.
        em_params["moments"] = missing_moments(X, sample_weight)
    folds, n_train = find_folds(X, seed)
    sizes = _sizes(n_components, n_components_grid, n_train)
    settings = candidate_settings(covariance_type, shrinkage, n_train, X.shape[1])
    few = n_train < FEW_ROWS_PER_FEATURE * X.shape[1]
    if few:
        sizes, settings = _of_few_rows(X, folds, sizes, settings)
    several = isinstance(n_components, tuple)
    # Beside a background a component more may be one of noise.
    wary = several or em_params.get("background") is not None
    tried = _Tried(settings, few, wary)
    data = X, (sample_weight, start_weight), judge, em_params
    for size in sizes:
        if few and size > 1 and shrinkage == "auto":
            tried.leave_out_spikes()
        parts = [(X[train], size, rows_of(start_weight, train)) for train in folds]
        labels = [first_labels(*part, seed.randint(2**31 - 1)) for part in parts]
        starts = [*zip(folds, labels, tried.goals(len(folds)), strict=True)]
        tasks = [(*data, *start, *key) for key in tried.alive for start in starts]
        found = iter(run(held_out_fit, tasks, f"settings of n_components={size}"))
        for setting in [*tried.alive]:
            tried.add((size, *setting), [*islice(found, len(folds))])
    chosen = tried.choose(X, folds)
    if several or n_components in ("auto", chosen.n_components):
        return chosen
    # A fold has fewer samples than all: it may have had to do with fewer components.
    return chosen._replace(n_components=n_components, start=None)


def find_folds(X, random_state):
    """Return boolean masks of the training samples, and how many are distinct."""
    row = number_distinct(X)
    n_distinct = int(row.max()) + 1
    if n_distinct < 5:
        # Nothing can be held out: score what was trained on.
        return [np.ones(len(X), bool)], n_distinct
    n_folds = 5 if n_distinct < FIVE_FOLDS_BELOW else 3
    fold = random_state.permutation(n_distinct) % n_folds
    splits = n_folds if n_distinct < SINGLE_SPLIT_ROWS else 1
    n_train = min(int((fold != j).sum()) for j in range(splits))
    return [fold[row] != j for j in range(splits)], n_train


def _sizes(n_components, grid, n_train):
    """Return the numbers of components to try on so many samples."""
    if isinstance(n_components, tuple):
        if n_train < 2 * ROWS_PER_COMPONENT:
            return [min(n_components)]
        return sorted({min(k, n_train) for k in n_components})
    if n_components != "auto":
        return [min(n_components, n_train)]
    sizes = [k for k in grid if k * ROWS_PER_COMPONENT <= n_train]
    return sizes or [1]


def rows_of(sample_weight, mask):
    """Return the weights of the samples in a mask; None stays None."""
    return None if sample_weight is None else sample_weight[mask]


class _HeldOut(NamedTuple):
    """One candidate's fit to one part of the samples, judged on the rest."""

    score: float
    error: float
    n_parameters: int
    mixture: Any
    log_prob: Any
    #: Whether EM was halted, because a better setting was known.
    halted: bool


class _Candidate(NamedTuple):
    """A setting with its fits to all folds."""

    key: tuple
    fits: list

    @property
    def mean(self):
        """Mean held-out log-likelihood of the folds."""
        return float(np.mean([fit.score for fit in self.fits]))

    def row(self):
        """Return scores, the standard error of their mean, and free parameters."""
        scores, errors, counts, *_ = zip(*self.fits, strict=True)
        return scores, np.linalg.norm(errors) / len(errors), max(counts)

    def is_better(self, other, doubtful):
        """Return whether held-out samples prefer it; where few, by a standard error."""
        gain = self.mean - other.mean
        if not doubtful or gain <= 0:
            return gain > 0
        pairs = zip(self.fits, other.fits, strict=True)
        gains = np.concatenate([a.log_prob - b.log_prob for a, b in pairs])
        return gain > gains.std() / np.sqrt(len(gains))


class _Tried:
    """Settings that were tried: their scores, which of them go on, and the best."""

    def __init__(self, settings, few, wary):
        self.alive = {setting: [] for setting in settings}
        self.few, self.wary, self.best, self.rows = few, wary, None, {}

    def leave_out_spikes(self):
        """Go on without settings whose components may be spikes."""
        known = self.alive.items()
        self.alive = {key: found for key, found in known if not _spikes(*key)}

    def goals(self, n_folds):
        """Return the densities that the best has in each fold, to compare with."""
        if self.best is None:
            return [None] * n_folds
        return [fit.log_prob for fit in self.best.fits]

    def add(self, key, fits):
        """Take the fits of a setting to all folds."""
        candidate, best, setting = _Candidate(key, fits), self.best, key[1:]
        self.rows[key] = candidate.row()
        self.alive[setting].append(candidate.mean)
        doubtful = self.few or (self.wary and best and key[0] > best.key[0])
        # Halted EM may be better by chance than what is fitted in the end.
        halted = any(fit.halted for fit in fits)
        if best is None or (not halted and candidate.is_better(best, doubtful)):
            self.best = candidate
        if _is_hopeless(self.alive[setting]):
            del self.alive[setting]

    def choose(self, X, folds):
        """Return the best, with the table of all."""
        # One split tries one start of each candidate: the best has proved itself.
        start = self.best.fits[0].mixture if len(folds) == 1 else None
        held_out = _gather(X, folds, self.best.fits)
        scores, error, count = map(np.array, zip(*self.rows.values(), strict=True))
        more = {"held_out": scores.mean(axis=1), "held_out_error": error}
        if held_out is None:
            more = {name: np.full(len(count), np.nan) for name in more}
        more["n_parameters"] = count
        table = params_results(settings_of(self.rows), scores, **more)
        return Selection(*self.best.key, table, start, held_out)


def held_out_fit(X, weights, judge, em_params, train, labels, goal, kind, shrinkage):
    """Return the :class:`_HeldOut` of a setting and a fold."""
    # What is noise has no weight in a start.
    sample_weight, start_weight = weights
    own = {"sample_weight": rows_of(sample_weight, train), "shrinkage": shrinkage}
    first, steps = split_params(em_params | own, kind)
    first["sample_weight"] = rows_of(start_weight, train)
    start = start_mixture(X[train], labels, kind, **first)
    test, given, noise = _test_rows(train), (), steps.get("noise")
    if noise is not None:
        steps["noise"], given = noise[train], (noise[test],)
    weight = rows_of(sample_weight, test)
    for result, done in _results(X[train], start, **steps):
        log_prob = judge(result.density, X[test], *given)
        if not (done or goal is None):
            gain, error = mean_and_error(log_prob - goal, weight)
            if gain + CERTAIN * error < -HOPELESS:
                break
    n_parameters = count_parameters(result.mixture, kind)
    n_parameters += result.background is not None
    score = mean_and_error(log_prob, weight)
    return _HeldOut(*score, n_parameters, result.mixture, log_prob, not done)


def _results(X, start, *, tol=1e-3, max_iter=100, **steps):
    """Yield results of EM, where entries are missing its halt first, and the end."""
    halts = [HALT, tol] if tol < HALT and has_missing(X) else [tol]
    for halt in halts:
        rules = steps | {"tol": halt, "max_iter": max_iter}
        result = expectation_maximization(X, start, **rules)
        start, max_iter = result.mixture, max_iter - result.n_iter
        bounds = result.lower_bounds
        done = halt == tol or not max_iter or abs(bounds[-1] - bounds[-2]) < tol
        yield result, done
        if done:
            return
        steps |= {"annealing": None, "background": result.background}
        steps["last_bound"] = bounds[-1]


def mean_and_error(values, weight=None):
    """Return the weighted mean of values and its standard error."""
    mean = np.average(values, weights=weight)
    share = 1 / len(values) if weight is None else weight / weight.sum()
    with np.errstate(invalid="ignore"):
        error = np.linalg.norm(share * (values - mean))
    # Of values that are infinite nothing is known.
    return float(mean), float(np.nan_to_num(error, nan=np.inf))


def _test_rows(train):
    """Return the held-out samples; all, if none are."""
    return train if train.all() else ~train


def _gather(X, folds, fits):
    """Return the log-densities of the folds in the order of the samples."""
    if folds[0].all():
        return None
    out = np.full(len(X), np.nan)
    for train, fit in zip(folds, fits, strict=True):
        out[_test_rows(train)] = fit.log_prob
    return out


def _of_few_rows(X, folds, sizes, settings):
    """Return the sizes and settings that few samples leave any hope to."""
    if folds[0].all():
        # Of samples that are not held out the simplest is the best guess.
        return sizes[:1], settings[:1]
    # A feature may vary in fewer samples than one component may take.
    count = ((X != np.nanmedian(X, axis=0)) & ~np.isnan(X)).sum(axis=0)
    rare = ((count > 0) & (count < ROWS_PER_COMPONENT)).any()
    return sizes[:1] if rare else sizes, settings


def _spikes(covariance_type, shrinkage):
    """Return whether a component may be as narrow as its few samples happen to be."""
    return not (kind_of(covariance_type).shared or shrinkage)


def _is_hopeless(scores):
    """Return whether the last two scores are far below the best."""
    return len(scores) > 2 and max(scores[-2:]) < max(scores) - HOPELESS

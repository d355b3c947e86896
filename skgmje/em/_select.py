"""Selection of a mixture's settings by held-out log-likelihood."""

from typing import Any, NamedTuple

import numpy as np

from skgmje.em._e_step import missing_moments
from skgmje.em._em import expectation_maximization
from skgmje.em._kmeans import _distinct, scaled_kmeans_labels
from skgmje.em._start import start_mixture
from skgmje.gaussian._loops import FEW_ROWS_PER_FEATURE

# Candidates of covariance_type="auto" with the pseudo-counts worth trying:
# moderate shrinkage hardly changes few parameters, and none changes a tied type.
SHRINKAGES = {
    "full": (0.0, 2.0, 20.0, 100.0),
    "tied": (0.0,),
    "diag": (2.0,),
    "spherical": (2.0,),
    "low-rank": (2.0, 20.0),
}


AUTO_TYPES = ("full", "tied", "diag", "spherical")


# The same below ten rows per feature, where pseudo-counts shrink correlations, too.
FEW_SHRINKAGES = {
    "full": (0.0, 2.0, 20.0, 100.0, 1000.0),
    "tied": (0.0, 2.0, 20.0, 1000.0),
    "low-rank": (2.0, 20.0, 100.0, 1000.0),
}


# So few held-out rows often prefer what fits by chance: correlations, or equal scales.
FEWEST_ROWS, FEWEST_SHRINKAGE = 10, 20.0


# Of few rows the simplest comes first, for what comes later has to prove itself:
# independent features, then one scale of all, then correlations, shrunken most.
SIMPLICITY = ("diag", "spherical", "tied", "low-rank", "full")


def shrinkage_grid(covariance_type, n_rows, n_features):
    """Return the pseudo-counts worth trying for so many rows to fit."""
    grid = SHRINKAGES[covariance_type]
    if n_features == 1 or n_rows >= FEW_ROWS_PER_FEATURE * n_features:
        return grid
    least = _least_shrinkage(covariance_type, n_rows, n_features)
    grid = FEW_SHRINKAGES.get(covariance_type, grid)
    return tuple(s for s in grid if s >= least)


def _least_shrinkage(covariance_type, n_rows, n_features):
    """Return the smallest pseudo-count that so few rows leave any hope to."""
    if covariance_type not in FEW_SHRINKAGES or n_features == 1:
        return 0.0
    if n_rows < min(FEWEST_ROWS, FEW_ROWS_PER_FEATURE * n_features):
        return FEWEST_SHRINKAGE
    # Plain covariances of n rows cost about n / (n - d - 2) times what true ones do.
    return 2.0 if n_rows < 2 * (n_features + 4) else 0.0


def candidate_settings(covariance_type, shrinkage, n_rows, n_features):
    """List pairs of a covariance type and a pseudo-count that are to be tried."""
    types = (covariance_type,)
    if covariance_type == "auto":
        types = AUTO_TYPES if n_features > 1 else ("full",)
        if n_features > 1 and n_rows < FEWEST_ROWS:
            types = types[:-1]
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
    kind, shrinkage = setting
    place = SIMPLICITY.index(kind)
    # Correlations that shrink alike differ little, whatever the type.
    return min(place, 2), -shrinkage, place


# Candidates of n_components="auto"; a component needs eight rows.
N_COMPONENTS = (1, 2, 3, 5, 8, 12, 20, 32, 50, 80)


ROWS_PER_COMPONENT = 8


# Few rows need many folds, all of them held out once; of many, one part will do.
FIVE_FOLDS_BELOW = 500


SINGLE_SPLIT_ROWS = 1500


# A setting's grid over the components ends after two scores this far below its best.
HOPELESS = 0.02


class Selection(NamedTuple):
    """Settings chosen by held-out log-likelihood."""

    n_components: int
    covariance_type: str
    shrinkage: float
    cv_results: Any
    start: Any = None
    held_out: Any = None


def joint_log_prob(mixture, rows):
    """Compute the log-densities of rows, NaN being missing."""
    return mixture.log_prob(rows, missing="marginal")


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
    first_labels=scaled_kmeans_labels,
    **em_params,
):
    """Choose the settings of a mixture by held-out log-likelihood."""
    seed = np.random.RandomState() if random_state is None else random_state
    if em_params.get("moments") is None:
        # A fold may lack all values of a feature, though the rows have some.
        em_params["moments"] = missing_moments(X, sample_weight)
    folds, n_train = _folds(X, seed)
    sizes = _sizes(n_components, n_components_grid, n_train)
    settings = candidate_settings(covariance_type, shrinkage, n_train, X.shape[1])
    several = isinstance(n_components, tuple)
    few = n_train < FEW_ROWS_PER_FEATURE * X.shape[1]
    if few:
        sizes, settings = _of_few_rows(X, folds, sizes, settings)
    table, best = {}, None
    alive = {setting: [] for setting in settings}
    for size in sizes:
        if few and size > 1 and shrinkage == "auto":
            alive = {key: found for key, found in alive.items() if not _spikes(*key)}
        starts = _starts(X, sample_weight, folds, size, first_labels, seed)
        for setting in list(alive):
            fits = [
                _held_out(X, sample_weight, train, labels, *setting, judge, em_params)
                for train, labels in zip(folds, starts, strict=True)
            ]
            scores = [fit.score for fit in fits]
            table[(size, *setting)] = scores
            mean = float(np.mean(scores))
            alive[setting].append(mean)
            candidate = _Candidate((size, *setting), mean, fits)
            doubtful = few or (several and best and size > best.key[0])
            if best is None or candidate.is_better(best, doubtful):
                best = candidate
            if _is_hopeless(alive[setting]):
                del alive[setting]
    # One split tries one start of each candidate: the best has proved itself.
    start = best.fits[0].mixture if len(folds) == 1 else None
    held_out = _gather(X, folds, best.fits)
    chosen = Selection(*best.key, _results(table), start, held_out)
    if several or n_components in ("auto", chosen.n_components):
        return chosen
    # A fold has fewer rows than all: it may have had to do with fewer components.
    return chosen._replace(n_components=n_components, start=None)


def _folds(X, random_state):
    """Return boolean masks of the training rows, and their distinct rows."""
    row = _distinct(X)
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
    if isinstance(n_components, tuple):
        if n_train < 2 * ROWS_PER_COMPONENT:
            return [min(n_components)]
        return sorted({min(k, n_train) for k in n_components})
    if n_components != "auto":
        return [min(n_components, n_train)]
    sizes = [k for k in grid if k * ROWS_PER_COMPONENT <= n_train]
    return sizes or [1]


def _starts(X, sample_weight, folds, size, first_labels, seed):
    """Return the first labels of the rows of each fold."""
    return [
        first_labels(
            X[train], size, _rows(sample_weight, train), seed.randint(2**31 - 1)
        )
        for train in folds
    ]


def _rows(sample_weight, mask):
    return None if sample_weight is None else sample_weight[mask]


class _HeldOut(NamedTuple):
    """One candidate's fit to one part of the rows, judged on the rest."""

    score: float
    mixture: Any
    log_prob: Any


class _Candidate(NamedTuple):
    """A setting with its fits to all folds."""

    key: tuple
    mean: float
    fits: list

    def is_better(self, other, doubtful):
        """Tell whether held-out rows prefer it, by a standard error where few tell."""
        gain = self.mean - other.mean
        if not doubtful or gain <= 0:
            return gain > 0
        pairs = zip(self.fits, other.fits, strict=True)
        gains = np.concatenate([a.log_prob - b.log_prob for a, b in pairs])
        return gain > gains.std() / np.sqrt(len(gains))


def _held_out(
    X, sample_weight, train, labels, covariance_type, shrinkage, judge, em_params
):
    params = dict(em_params)
    first = {"rank": params.pop("rank", 1), "moments": params.pop("moments")}
    common = {
        "sample_weight": _rows(sample_weight, train),
        "shrinkage": shrinkage,
        "shrinkage_target": params.pop("shrinkage_target", "pooled"),
        "reg_covar": params.pop("reg_covar", 1e-6),
    }
    start = start_mixture(X[train], labels, covariance_type, **first, **common)
    mixture = expectation_maximization(X[train], start, **common, **params).mixture
    test = _test_rows(train)
    log_prob = judge(mixture, X[test])
    score = np.average(log_prob, weights=_rows(sample_weight, test))
    return _HeldOut(float(score), mixture, log_prob)


def _test_rows(train):
    return train if train.all() else ~train


def _gather(X, folds, fits):
    """Return the log-densities of the folds in the order of the rows."""
    if folds[0].all():
        return None
    out = np.full(len(X), np.nan)
    for train, fit in zip(folds, fits, strict=True):
        out[_test_rows(train)] = fit.log_prob
    return out


def _of_few_rows(X, folds, sizes, settings):
    """Return the sizes and settings that few rows leave any hope to."""
    if folds[0].all():
        # Of rows that are not held out the simplest is the best guess.
        return sizes[:1], settings[:1]
    return sizes[:1] if _varies_rarely(X) else sizes, settings


def _varies_rarely(X):
    """Tell whether a feature varies in fewer rows than a component needs: one might
    take all of them, and leave the others no spread.
    """
    differs = (X != np.nanmedian(X, axis=0)) & ~np.isnan(X)
    count = differs.sum(axis=0)
    return bool(((count > 0) & (count < ROWS_PER_COMPONENT)).any())


def _spikes(covariance_type, shrinkage):
    """Tell whether a component may be as narrow as its few rows happen to be."""
    return covariance_type != "tied" and not shrinkage


def _is_hopeless(scores):
    return len(scores) > 2 and max(scores[-2:]) < max(scores) - HOPELESS


def _results(table):
    """Return the table of all candidates."""
    keys = list(table)
    scores = np.array([table[key] for key in keys])
    mean = scores.mean(axis=1)
    results = {
        "params": [
            dict(
                zip(("n_components", "covariance_type", "shrinkage"), key, strict=True)
            )
            for key in keys
        ],
        "mean_test_score": mean,
        "std_test_score": scores.std(axis=1),
        "rank_test_score": np.argsort(np.argsort(-mean, kind="stable")) + 1,
    }
    for i, column in enumerate(scores.T):
        results[f"split{i}_test_score"] = column
    for i, name in enumerate(("n_components", "covariance_type", "shrinkage")):
        results[f"param_{name}"] = [key[i] for key in keys]
    return results

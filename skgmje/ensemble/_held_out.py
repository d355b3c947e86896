"""Folds, held-out results and weights of the candidates."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import check_cv

from skgmje._parallel import Failure
from skgmje._standardize import distinct
from skgmje._warnings import warn
from skgmje.em._select import held_out_results, pool_weights

# Of many samples, one part held out tells enough; of few, all are held out once.
SINGLE_SPLIT_ROWS, THREE_FOLDS_ROWS = 2500, 500
SMALLEST_HOLDOUT, HOLDOUT_SHARE = 600, 9


def is_splitter(cv):
    """Return whether folds come from an object of scikit-learn's or the user's."""
    return not (cv is None or isinstance(cv, int | np.integer))


def given_folds(cv, X, groups):
    """Return the folds of a splitter."""
    folds = []
    for train, test in check_cv(cv).split(X, None, groups):
        fold = np.zeros((2, len(X)), bool)
        fold[0, train] = fold[1, test] = True
        if not fold.any(axis=1).all():
            raise ValueError(
                "cv gives a fold without samples to fit or to hold out. Give fewer "
                "folds."
            )
        if fold.all(axis=0).any():
            raise ValueError(
                "cv gives a fold that holds out samples it is fitted on. Use disjoint "
                "parts: weights would be learned from what members remember."
            )
        if groups is not None and np.isin(groups[fold[1]], groups[fold[0]]).any():
            raise ValueError(
                "cv gives a fold that holds out samples of a group it is fitted on. "
                "Use a splitter of groups such as GroupKFold, or an int."
            )
        folds.append(fold)
    return folds


def make_folds(n_rows, cv, random_state, *, groups=None, together=None):
    """Return training and held-out samples of each fold."""
    unit = together if groups is None else groups
    unit = np.arange(n_rows) if unit is None else unit
    n_units = int(unit.max()) + 1
    if n_units < 2:
        raise ValueError(
            "There is one group of samples, or one sample and its copies, so that "
            "nothing can be held out. Pass groups=None if samples are independent, or "
            "give finer groups."
        )
    if cv is not None and not 2 <= cv <= n_units:
        raise ValueError(
            f"cv={cv} must be at least 2 and at most {n_units}, the number of groups "
            "or distinct rows."
        )
    order = random_state.permutation(n_units)
    if cv is None and groups is None and n_units >= SINGLE_SPLIT_ROWS:
        n_held_out = max(SMALLEST_HOLDOUT, n_units // HOLDOUT_SHARE)
        held_out = np.isin(unit, order[:n_held_out])
        return [(~held_out, held_out)]
    size = n_units if groups is None else n_rows
    n_folds = min(cv or (3 if size >= THREE_FOLDS_ROWS else 5), n_units)
    if groups is None:
        fold = np.argsort(order) % n_folds
    else:
        fold = _balanced(order, np.bincount(unit), n_folds)
    return [(fold[unit] != j, fold[unit] == j) for j in range(n_folds)]


def _balanced(order, sizes, n_folds):
    """Put groups, the largest first, into the fold of the fewest samples."""
    order = order[np.argsort(-sizes[order], kind="stable")]
    rows, fold = np.zeros(n_folds), np.empty(len(order), int)
    for group in order:
        fold[group] = rows.argmin()
        rows[fold[group]] += sizes[group]
    return fold


def distinct_rows(X, sample_weight, kinds=None):
    """Count copies of a sample as its weight, if they are of the same kind."""
    first, copy = distinct(X if kinds is None else np.column_stack([X, kinds]))
    weight = np.bincount(copy, sample_weight).astype(np.float64)
    return first, None if (weight == 1).all() else weight


# Seeds of the final stack come after those of all folds.
FINAL = 2**20


class Fitted(NamedTuple):
    """The final stack."""

    members: Any
    weights: Any
    failed: Any


def take(weight, rows):
    """Return the weights of some samples; None stays None."""
    return None if weight is None else weight[rows]


def usable(log_prob):
    """Return log-densities, or why they are none."""
    log_prob = np.asarray(log_prob, np.float64)
    if np.isnan(log_prob).any() or (log_prob == np.inf).any():
        return Failure("held-out samples have a log-density of NaN or infinity")
    return log_prob


# Samples that each candidate is given before the held-out ones count.
PSEUDO_COUNT = 0.05

# Members of less weight, or of less than a tenth of an equal share, are dropped.
LEAST_WEIGHT, LEAST_SHARE = 0.01, 0.1


class Table:
    """What is known of the candidates, fold by fold."""

    def __init__(self, candidates, folds, sample_weight):
        self._names = [candidate.name for candidate in candidates]
        held_out = np.concatenate([test for _, test in folds])
        self._stops = np.cumsum([len(test) for _, test in folds])
        weight = take(sample_weight, held_out)
        self._weight = np.ones(len(held_out)) if weight is None else weight
        self._scores = np.full((len(held_out), len(candidates)), np.nan)
        self._n_known = 0
        self.failed = {}

    def rounds(self, enough_rows):
        """Return after how many folds so many samples have been held out."""
        return int((self._stops[:-1] < enough_rows).sum()) + 1

    def alive(self):
        """Return the candidates that still may get a weight."""
        if not self._n_known:
            return np.arange(len(self._names))
        known = self._known()
        weights = self._weights(known) if len(known) else np.ones(len(self._names))
        return np.flatnonzero(weights >= LEAST_SHARE / len(weights))

    def _known(self):
        """Return the candidates that are known on all samples so far and not zero."""
        scores = self._scores[: self._n_known]
        return np.flatnonzero(~np.isnan(scores).any(axis=0) & (scores > -np.inf).any(0))

    def add(self, alive, scores):
        """Add log-densities of the next samples under some candidates."""
        lengths = [len(s) for s in scores if not isinstance(s, Failure)]
        rows = slice(self._n_known, self._n_known + max(lengths, default=0))
        for i, score in zip(alive, scores, strict=True):
            if isinstance(score, Failure):
                self.failed[self._names[i]] = score.reason
                self._scores[:, i] = np.nan
            else:
                self._scores[rows, i] = score
        self._n_known = rows.stop

    def _weights(self, which):
        """Return weights of all candidates, zero but for some."""
        weights = np.zeros(len(self._names))
        weights[which] = pool_weights(
            self._scores[: self._n_known, which],
            self._weight[: self._n_known],
            pseudo_count=PSEUDO_COUNT,
        )
        return weights

    def chosen_weights(self):
        """Return the weights of the stack; zero for what is not worth a fit."""
        known = self._known()
        if not len(known):
            raise ValueError(
                "Every member gives all samples that were held out the density zero. "
                "Use members with tails, or fewer folds."
            )
        weights = self._weights(known)
        keep = weights >= max(LEAST_WEIGHT, LEAST_SHARE / len(weights))
        keep = keep if keep.any() else weights == weights.max()
        return self._weights(np.flatnonzero(keep))

    def results(self, weights):
        """Return a dict in the layout of `GridSearchCV`."""
        splits = np.split(np.arange(len(self._weight)), self._stops[:-1])
        return held_out_results(
            {"name": self._names, "weight": weights},
            np.stack([self._means(rows) for rows in splits], axis=1),
            self._means(slice(None)),
            {"n_test": (~np.isnan(self._scores)).sum(axis=0)},
        )

    def _means(self, rows):
        known = ~np.isnan(self._scores[rows])
        total = known.T @ self._weight[rows]
        sums = np.where(known, self._scores[rows], 0.0).T @ self._weight[rows]
        return np.where(total > 0, sums / np.where(total > 0, total, 1), np.nan)


def warn_about_failures(failed, n_candidates):
    """Name the candidates that were dropped because they failed, and say why."""
    if not failed:
        return
    reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
    if len(failed) == n_candidates:
        raise ValueError(f"Every member of the stack failed. {reasons}")
    warn(
        f"StackingDensity drops {len(failed)} of {n_candidates} members that failed. "
        f"{reasons}"
    )

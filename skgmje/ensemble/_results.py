"""Held-out log-densities of all candidates, and the weights that they decide."""

import warnings

import numpy as np

from skgmje.adaptation._stacking import stacking_weights
from skgmje.ensemble._fitted import Failure

# Rows that each candidate is given before the held-out ones speak.
PSEUDO_COUNT = 0.05
# Members of less weight, or of less than a tenth of an equal share, are dropped.
LEAST_WEIGHT, LEAST_SHARE = 0.01, 0.1


def rounds(folds, enough_rows):
    """Return after how many folds `enough_rows` rows have been held out."""
    held_out = np.cumsum([len(test) for _, test in folds])
    return min(int(np.searchsorted(held_out, enough_rows)) + 1, len(folds))


class Table:
    """What is known of the candidates, fold by fold.

    Parameters
    ----------
    candidates : list
        Each with a name.

    folds : list of (ndarray, ndarray)
        Rows to fit and to hold out.

    sample_weight : ndarray of shape (n_samples,) or None
        Weights of the rows.
    """

    def __init__(self, candidates, folds, sample_weight):
        self._names = [candidate.name for candidate in candidates]
        held_out = np.concatenate([test for _, test in folds])
        self._stops = np.cumsum([len(test) for _, test in folds])
        self._weight = np.ones(len(held_out))
        if sample_weight is not None:
            self._weight = sample_weight[held_out]
        self._scores = np.full((len(held_out), len(candidates)), np.nan)
        self._n_known = 0
        self.failed = {}

    def alive(self):
        """Return the candidates that still may get a weight."""
        if not self._n_known:
            return np.arange(len(self._names))
        known = self._known()
        weights = self._weights(known) if len(known) else np.ones(len(self._names))
        return np.flatnonzero(weights >= LEAST_SHARE / len(weights))

    def _known(self):
        """Return the candidates that are known on all rows so far and not zero."""
        scores = self._scores[: self._n_known]
        return np.flatnonzero(~np.isnan(scores).any(axis=0) & (scores > -np.inf).any(0))

    def add(self, alive, scores):
        """Add log-densities of the next rows under some candidates."""
        lengths = {len(s) for s in scores if not isinstance(s, Failure)}
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
        weights[which] = stacking_weights(
            self._scores[: self._n_known, which],
            self._weight[: self._n_known],
            pseudo_count=PSEUDO_COUNT,
        )
        return weights

    def chosen_weights(self):
        """Return the weights of the stack; zero for what is not worth a fit.

        Raises
        ------
        ValueError
            If all held-out rows have the density zero under all candidates.
        """
        known = self._known()
        if not len(known):
            raise ValueError(
                "Every member gives all rows that were held out the density zero. "
                "Use members with tails, or fewer folds."
            )
        weights = self._weights(known)
        keep = weights >= max(LEAST_WEIGHT, LEAST_SHARE / len(weights))
        keep = keep if keep.any() else weights == weights.max()
        return self._weights(np.flatnonzero(keep))

    def results(self, weights):
        """Return a dict in the layout of `GridSearchCV`.

        Parameters
        ----------
        weights : ndarray of shape (n_candidates,)
            Weights in the stack.

        Returns
        -------
        results : dict
            With ``name``, ``weight``, ``mean_test_score`` over the rows that the
            candidate was scored on, ``n_test`` of them, ``rank_test_score``, and
            ``split<i>_test_score``; NaN where it was not.
        """
        splits = np.split(np.arange(len(self._weight)), self._stops[:-1])
        mean = self._means(slice(None))
        order = np.argsort(-np.nan_to_num(mean, nan=-np.inf), kind="stable")
        return {
            "name": self._names,
            "weight": weights,
            "mean_test_score": mean,
            "n_test": (~np.isnan(self._scores)).sum(axis=0),
            "rank_test_score": np.argsort(order) + 1,
            **{
                f"split{i}_test_score": self._means(rows)
                for i, rows in enumerate(splits)
            },
        }

    def _means(self, rows):
        known = ~np.isnan(self._scores[rows])
        total = known.T @ self._weight[rows]
        sums = np.where(known, self._scores[rows], 0.0).T @ self._weight[rows]
        with np.errstate(invalid="ignore"):
            return np.where(total > 0, sums / np.where(total > 0, total, 1), np.nan)


def warn_about_failures(failed, n_candidates):
    """Name the candidates that were dropped because they failed, and say why.

    Raises
    ------
    ValueError
        If all of them failed.
    """
    if not failed:
        return
    reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
    if len(failed) == n_candidates:
        raise ValueError(f"Every member of the stack failed. {reasons}")
    warnings.warn(
        f"StackingDensity drops {len(failed)} of {n_candidates} members that failed. "
        f"{reasons}",
        UserWarning,
        stacklevel=4,
    )

"""Members that are estimators of the user's."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from skgmje._interrupt import Work, fit_whole
from skgmje.ensemble._fitted import FINAL, Failure, Fitted, take, usable
from skgmje.ensemble._tasks import task_seed


class Given:
    """Density estimators of the user's.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Names and estimators.

    seed : int
        For those whose ``random_state`` is None.

    run : Runner
        Runs the fits.
    """

    def __init__(self, estimators, seed, run):
        self._estimators, self._seed, self._run = estimators, seed, run

    enough_rows = np.inf

    def candidates(self, X):
        """List the names and estimators."""
        return [_Named(*pair) for pair in self._estimators]

    def held_out(self, X, weight, folds, candidates, place):
        """Return log-densities of held-out rows, or a failure, of each candidate."""
        places = [(i, j) for i in range(len(candidates)) for j in range(len(folds))]
        tasks = [
            (
                candidates[i].estimator,
                X[folds[j][0]],
                take(weight, folds[j][0]),
                X[folds[j][1]],
                task_seed(self._seed, place + j, i),
            )
            for i, j in places
        ]
        answers = self._run(_score_estimator, tasks, "selection")
        columns = []
        for i in range(len(candidates)):
            own = answers[i * len(folds) : (i + 1) * len(folds)]
            failed = [answer for answer in own if isinstance(answer, Failure)]
            columns.append(failed[0] if failed else np.concatenate(own))
        return columns

    def fit(self, X, weight, candidates, weights):
        """Fit the estimators that were kept to all rows."""
        tasks = [
            (candidate.estimator, X, weight, task_seed(self._seed, FINAL, i))
            for i, candidate in enumerate(candidates)
        ]
        work = Work()
        fits = work.learn(list, self._run, _fit_estimator, tasks, "fit")
        return work.end(_gather, candidates, weights, fits)


class _Named(NamedTuple):
    """An estimator with its name."""

    name: str
    estimator: Any


def _gather(candidates, weights, fits):
    """Return the stack of all fits that succeeded; the last ones may be missing."""
    rows = [*zip(candidates, weights, fits, strict=False)]
    failed = {c.name: fit.reason for c, _, fit in rows if isinstance(fit, Failure)}
    alive = [row for row in rows if not isinstance(row[2], Failure)]
    kept = np.array([weight for _, weight, _ in alive])
    members = [(candidate.name, fit) for candidate, _, fit in alive]
    return Fitted(members, kept / max(kept.sum(), 1e-300), failed)


def _fit_estimator(estimator, X, weight, seed):
    estimator = clone(estimator)
    names = estimator.get_params()
    seeds = [n for n in sorted(names) if n.split("__")[-1] == "random_state"]
    estimator.set_params(
        **{name: seed % 2**31 for name in seeds if names[name] is None}
    )
    weights = {} if weight is None else {"sample_weight": weight}
    # Whatever an estimator of the user's raises, the others go on without it.
    try:
        return fit_whole(estimator, X, **weights)
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}")


def _score_estimator(estimator, X, weight, held_out, seed):
    fitted = _fit_estimator(estimator, X, weight, seed)
    if isinstance(fitted, Failure):
        return fitted
    try:
        return usable(fitted.score_samples(held_out))
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}")


def check_estimators(estimators, weight):
    """Raise if something is no list of named density estimators."""
    names = [name for name, _ in estimators]
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"estimators has the names {names}; give at least one pair (name, "
            "density), and every name once."
        )
    for name, estimator in estimators:
        if not callable(getattr(estimator, "score_samples", None)):
            raise TypeError(
                f"estimators: {name!r} is {estimator!r}, which has no method "
                "score_samples. Give estimators of a density."
            )
        if isinstance(estimator, Pipeline) and len(estimator.steps) > 1:
            raise TypeError(
                f"estimators: {name!r} is a Pipeline, which drops the Jacobian of its "
                "transformers. Use skgmje.TransformedDensity(transformer, density)."
            )
        if weight is not None and not has_fit_parameter(estimator, "sample_weight"):
            raise TypeError(
                f"estimators: {name!r} takes no sample_weight. Fit without weights, "
                "or leave it out."
            )

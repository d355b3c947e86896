"""Choose between joint mixtures by their conditional density of held-out rows."""

from typing import Any, NamedTuple

import numpy as np

from skgmje._backend import asarray_like, is_torch, to_numpy
from skgmje._joint._models import conditional_log_prob
from skgmje._selection import _folds
from skgmje.gaussian import Mixture
from skgmje.gaussian._arrays import map_arrays


class Choice(NamedTuple):
    """The best of some candidates.

    Parameters
    ----------
    params : dict
        What distinguishes it.

    held_out : ndarray of shape (n_samples,)
        Log-density of each target by the best candidate's fit to other rows;
        NaN for rows that were not held out.

    cv_results : dict
        Table of all candidates, in the layout of `GridSearchCV`.
    """

    params: dict
    held_out: Any
    cv_results: dict


def choose(candidates, rows, n_context, sample_weight=None, random_state=None):
    """Choose the candidate whose conditional density predicts best.

    Parameters
    ----------
    candidates : callable
        ``candidates(rows, sample_weight, random_state)`` yields pairs of a dict
        and the mixture that it stands for.

    rows : array of shape (n_samples, n_features)
        Contexts and targets; NaN means missing. Those of a tensor stay on its
        device, and count as different from each other.

    n_context : int
        Number of context features.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.

    random_state : RandomState instance, default=None
        Source of folds and fits.

    Returns
    -------
    choice : Choice
        The best candidate; of equals the first.
    """
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

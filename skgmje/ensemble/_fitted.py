"""What fits of members come to."""

from typing import Any, NamedTuple

import numpy as np

# Seeds of the final stack come after those of all folds.
FINAL = 2**20


class Failure(NamedTuple):
    """Why a candidate is of no use."""

    reason: str


class Fitted(NamedTuple):
    """The final stack.

    Parameters
    ----------
    members : list of (str, fitted estimator)
        Each with ``score_samples``; those in the same coordinates share one
        transformer.

    weights : ndarray of shape (n_members,)
        Their weights.

    failed : dict
        Names of those that failed, with the reasons.
    """

    members: Any
    weights: Any
    failed: Any


def take(weight, rows):
    return None if weight is None else weight[rows]


def usable(log_prob):
    """Return log-densities, or why they are none."""
    log_prob = np.asarray(log_prob, np.float64)
    if np.isnan(log_prob).any() or (log_prob == np.inf).any():
        return Failure("held-out rows have a log-density of NaN or infinity")
    return log_prob

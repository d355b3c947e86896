"""Weights of pooled densities by held-out likelihood."""

import numpy as np


def stacking_weights(
    log_prob, sample_weight=None, *, pseudo_count=0.0, max_iter=300, tol=1e-7
):
    r"""Fit the weights of a mixture of fixed densities by EM.

    .. math:: \max_a \sum_i w_i \log \sum_m a_m p_m(x_i)
        + c \sum_m \log a_m, \qquad a_m \ge 0, \; \sum_m a_m = 1

    for rows i that none of the densities was fitted on.

    Parameters
    ----------
    log_prob : ndarray of shape (n_samples, n_members)
        Log-density of each row under each member; -inf is allowed, and a row that
        is -inf under all members is left out.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.

    pseudo_count : float, default=0.0
        Rows c that each member is given beforehand.

    max_iter : int, default=300
        Largest number of iterations.

    tol : float, default=1e-7
        Stop when no weight moves by more.

    Returns
    -------
    weights : ndarray of shape (n_members,)
        Not negative, summing to one; equal if no row counts.

    References
    ----------
    .. [1] P. Smyth and D. Wolpert, "Linearly combining density estimators via
       stacking", 1999.
    """
    n_members = log_prob.shape[1]
    weights = np.full(n_members, 1 / n_members)
    top = log_prob.max(axis=1)
    known = np.isfinite(top)
    if not known.any():
        return weights
    prob = np.exp(log_prob[known] - top[known, None])
    rows = np.ones(len(prob)) if sample_weight is None else sample_weight[known]
    total = rows.sum() + n_members * pseudo_count
    for _ in range(max_iter):
        shares = rows / (prob @ weights)
        moved = (weights * (shares @ prob) + pseudo_count) / total
        gap = np.abs(moved - weights).max()
        weights = moved
        if gap < tol:
            break
    return weights / weights.sum()

"""Weights of pooled densities by held-out likelihood."""

import numpy as np


def stacking_weights(
    log_prob, sample_weight=None, *, pseudo_count=0.0, max_iter=300, tol=1e-7
):
    """Fit the weights of a mixture of fixed densities by EM, shape (n_members,)."""
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

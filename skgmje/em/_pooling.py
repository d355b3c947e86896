"""Weights of pooled densities by held-out likelihood, and tables of the latter."""

import numpy as np


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
    """Return the weights (n_members,) of a pool of densities (n_samples, n_members).

    They are fitted by EM; members of less weight than `least` are left out, and the
    last step, which is below `tol`, may be left out, too.
    """
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


def params_results(params, scores):
    """Return the table of candidates that are dicts of the same parameters."""
    mean, more = scores.mean(axis=1), {"std_test_score": scores.std(axis=1)}
    results = held_out_results({"params": params}, scores, mean, more)
    for name in params[0]:
        results[f"param_{name}"] = [candidate[name] for candidate in params]
    return results

"""Weights of a pool by held-out likelihood and CRPS together."""

import numpy as np
from scipy.optimize import minimize

from skgmje.gaussian._batch import as_batch
from skgmje.metrics._crps import _distance

# Rows that are enough for the CRPS.
N_JUDGED = 500
# Models of less weight cost more time than they are worth.
SMALLEST_WEIGHT = 0.02


def crps_terms(mixtures, Y, weight):
    r"""Compute what the CRPS of a pool is made of.

    .. math:: \mathrm{CRPS}(v) = v^T a - \tfrac12 v^T B v, \qquad
        a_j = E|Y_j - y|, \quad B_{jk} = E|Y_j - Y_k'|

    Parameters
    ----------
    mixtures : list of Mixture
        Held-out densities by each model, one for each row.

    Y : ndarray of shape (n_samples, n_targets)
        Targets; the terms are means over them.

    weight : ndarray of shape (n_samples,)
        Weights of the rows.

    Returns
    -------
    a : ndarray of shape (n_models,)
        Mean distances to the targets.

    B : ndarray of shape (n_models, n_models)
        Mean distances between draws.
    """
    batches = [as_batch(mixture) for mixture in mixtures]
    n_models, weight = len(batches), weight / weight.sum()
    a, B = np.zeros(n_models), np.zeros((n_models, n_models))
    for target in range(Y.shape[1]):
        parts = [
            (b.weights, b.means[..., target], b.scales()[..., target] ** 2)
            for b in batches
        ]
        for j, (w, mean, variance) in enumerate(parts):
            distance = _distance(Y[:, target, None] - mean, variance)
            a[j] += weight @ (w * distance).sum(axis=1)
            for k, (w_k, mean_k, variance_k) in enumerate(parts[: j + 1]):
                distance = _distance(
                    mean[:, :, None] - mean_k[:, None],
                    variance[:, :, None] + variance_k[:, None],
                )
                share = w[:, :, None] * w_k[:, None] * distance
                B[j, k] += weight @ share.sum(axis=(1, 2))
                B[k, j] = B[j, k]
    return a / Y.shape[1], B / Y.shape[1]


def stack_weights(log_densities, a, B, weight, crps_weight):
    r"""Find the weights of the pool that predicts held-out rows best.

    .. math:: \min_v\; -\sum_i c_i \log \sum_j v_j\, p_j(y_i | x_i)
        + \lambda \frac{v^T a - v^T B v / 2}{\min_j (a_j - B_{jj} / 2)}

    The problem is convex. Models that get less than 0.02 are left out.

    Parameters
    ----------
    log_densities : ndarray of shape (n_samples, n_models)
        Of each row by models that have not seen it.

    a, B : ndarrays of shape (n_models,) and (n_models, n_models)
        Terms of the CRPS, see :func:`crps_terms`.

    weight : ndarray of shape (n_samples,)
        Weights c of the rows.

    crps_weight : float
        Weight lambda of the CRPS, relative to that of the best model.

    Returns
    -------
    weights : ndarray of shape (n_models,)
        Not negative, summing to one.
    """
    n_models = len(a)
    top = log_densities.max(axis=1)
    rows = np.isfinite(top)
    densities = np.exp(log_densities[rows] - top[rows, None])
    share = weight[rows] / weight.sum()
    factor = crps_weight / max((a - 0.5 * np.diagonal(B)).min(), 1e-12)

    def loss(v):
        pooled = np.maximum(densities @ v, 1e-300)
        value = -share @ np.log(pooled) + factor * (v @ a - 0.5 * v @ B @ v)
        return value, -densities.T @ (share / pooled) + factor * (a - B @ v)

    found = minimize(
        loss,
        np.full(n_models, 1 / n_models),
        method="SLSQP",
        jac=True,
        bounds=[(0.0, 1.0)] * n_models,
        constraints={
            "type": "eq",
            "fun": lambda v: v.sum() - 1,
            "jac": np.ones_like,
        },
        options={"maxiter": 200, "ftol": 1e-9},
    )
    v = np.clip(found.x, 0.0, None)
    if not (np.isfinite(v).all() and v.any()):
        return np.eye(n_models)[int((share @ log_densities[rows]).argmax())]
    v[v < SMALLEST_WEIGHT * v.sum()] = 0.0
    return v / v.sum()

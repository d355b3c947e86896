"""The four kernel costs: how far a mixture is from its data, without integrals."""

from skgmje._backend import detach, logsumexp, namespace, solve_triangular
from skgmje.costs._terms import (
    center_factor,
    default_jitter,
    log_component_weights,
    log_correlation,
    log_nuclear_norm,
    log_row_weights,
)


def scalar_cost(grams, weights=None, jitter=None):
    """Compute the Cauchy-Schwarz divergence of data and model."""
    w = log_component_weights(grams, weights)
    rows = log_row_weights(grams)[:, None]
    log_pq = logsumexp((grams.log_xy + rows + w).reshape(-1), axis=0)
    log_qq = logsumexp((grams.log_yy + w[:, None] + w).reshape(-1), axis=0)
    return grams.log_data_norm - 2 * log_pq + log_qq


def vector_matrix_cost(grams, weights=None, jitter=None):
    """Compute how much of the data density no combination of bumps explains."""
    xp = namespace(grams.log_xy)
    rows = log_row_weights(grams)[:, None]
    log_b = logsumexp(grams.log_xy + rows, axis=0) - grams.log_yy_diagonal / 2
    top = xp.max(detach(log_b))
    factor = center_factor(grams, default_jitter(jitter, log_b))
    z = solve_triangular(factor, xp.exp(log_b - top)[:, None])
    return grams.log_data_norm - 2 * top - xp.log(xp.sum(z * z))


def matrix_matrix_cost(grams, weights=None, jitter=None):
    """Compute the mean share of a data bump that no combination of bumps explains."""
    xp = namespace(grams.log_xy)
    factor = center_factor(grams, default_jitter(jitter, grams.log_xy))
    correlation = xp.exp(log_correlation(grams) + log_row_weights(grams)[:, None] / 2)
    z = solve_triangular(factor, correlation.T)
    return 1 - xp.sum(z * z)


def svd_cost(grams, weights=None, jitter=None):
    """Compute minus the log-fidelity of the operators of data and model."""
    logs = log_correlation(grams) + log_row_weights(grams)[:, None] / 2
    logs = logs + log_component_weights(grams, weights) / 2
    return -log_nuclear_norm(logs, default_jitter(jitter, logs))


COSTS = {
    "scalar": scalar_cost,
    "vector-matrix": vector_matrix_cost,
    "matrix-matrix": matrix_matrix_cost,
    "svd": svd_cost,
}

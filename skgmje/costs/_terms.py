"""What the costs have in common: weights, correlation forms, the nuclear norm."""

import math

from skgmje._backend import (
    as_double,
    asarray_like,
    cholesky,
    detach,
    eye_like,
    is_torch,
    logsumexp,
    namespace,
    solve_triangular,
    to_numpy,
)


def log_component_weights(grams, weights):
    """Return log-weights of the centres whose exponentials sum to 1, shape (k,)."""
    xp = namespace(grams.centers)
    k = grams.centers.shape[0]
    if weights is None:
        return xp.zeros_like(grams.centers[:, 0]) - math.log(k)
    if is_torch(grams.centers) and is_torch(weights):
        weights = weights.to(grams.centers)
    else:
        weights = asarray_like(weights, grams.centers)
    valid = tuple(weights.shape) == (k,) and bool(xp.all(weights >= 0))
    if not (valid and bool(xp.any(weights > 0))):
        raise ValueError(
            f"weights must be {k} non-negative numbers, one per centre, that are not "
            f"all zero, got {to_numpy(weights)}."
        )
    # The logarithm of an exact zero would have no gradient.
    tiny = xp.finfo(weights.dtype).smallest_normal
    logs = xp.log(xp.where(weights > tiny, weights, xp.full_like(weights, tiny)))
    return logs - logsumexp(logs, axis=0)


def log_row_weights(grams):
    """Return log-weights of the data whose exponentials sum to 1, shape (n,)."""
    if grams.log_data_weights is not None:
        return grams.log_data_weights
    n = grams.X.shape[0]
    return namespace(grams.X).zeros_like(grams.X[:, 0]) - math.log(n)


def exp_unless(logarithm, log):
    """Return the number behind a logarithm, or the logarithm if it is asked for."""
    return logarithm if log else namespace(logarithm).exp(logarithm)


def default_jitter(jitter, like):
    """Return `jitter`, or what the precision of `like` asks for."""
    if jitter is not None:
        return jitter
    return 1e-6 if namespace(like).finfo(like.dtype).bits > 32 else 1e-4


def log_center_masses(grams, weights):
    """Return the log-weights of the centres' unit bumps, up to a constant, (k,)."""
    half = grams.log_yy_diagonal / 2
    scale = namespace(half).max(detach(half))
    return log_component_weights(grams, weights) + half - scale


def log_relative_scalar(grams, weights):
    """Return the log scalar value, relative to the scale of the data."""
    rows, columns = grams.log_row_masses[:, None], log_center_masses(grams, weights)
    log_pq = logsumexp((grams.log_correlation_xy + rows + columns).reshape(-1), axis=0)
    pairs = grams.log_correlation_yy + columns[:, None] + columns
    return 2 * log_pq - logsumexp(pairs.reshape(-1), axis=0)


def log_relative_vector_matrix(grams, jitter):
    """Return the log vector-matrix value, relative to the scale of the data."""
    xp = namespace(grams.centers)
    log_b = log_projections(grams)
    top = xp.max(detach(log_b))
    z = solve_triangular(center_factor(grams, jitter), xp.exp(log_b - top)[:, None])
    return 2 * top + xp.log(xp.sum(z * z))


def log_projections(grams):
    """Return the log inner products of p, relative to its scale, and unit bumps."""
    logs = grams.log_correlation_xy + grams.log_row_masses[:, None]
    return logsumexp(logs, axis=0)


def unit_optimum(grams, jitter):
    """Return the best coefficients of unit bumps for p, up to a constant's log."""
    xp = namespace(grams.centers)
    log_b = log_projections(grams)
    top = xp.max(detach(log_b))
    factor = center_factor(grams, jitter)
    half = solve_triangular(factor, xp.exp(log_b - top)[:, None])
    inverse = solve_triangular(factor, eye_like(factor))
    return inverse.T @ half[:, 0], top


def log_explained(grams, jitter):
    r"""Return the log share of each data bump in the span of the centres', (n,).

    With r the row of the correlation matrix of data and centres and
    :math:`L L^\top` that of the centres plus jitter, it is
    :math:`\log \|L^{-1} r\|^2`.
    """
    xp = namespace(grams.centers)
    logs = grams.log_correlation_xy
    tops = xp.max(detach(logs), axis=1)
    factor = center_factor(grams, jitter)
    z = solve_triangular(factor, xp.exp(logs - tops[:, None]).T)
    return 2 * tops + xp.log(xp.sum(z * z, axis=0))


def center_factor(grams, jitter):
    """Return the Cholesky factor of the correlation matrix of the centres."""
    correlation = namespace(grams.centers).exp(grams.log_correlation_yy)
    return ridge_factor(correlation, jitter, "The Gram matrix of the centres")


def ridge_factor(correlation, jitter, name):
    """Return the Cholesky factor of a matrix of unit diagonal plus `jitter`."""
    eye = eye_like(correlation)
    ridge = default_jitter(jitter, correlation)
    return cholesky(correlation * (1 - eye) + (1 + ridge) * eye, name)


def log_nuclear_norm(log_matrix, jitter):
    """Compute the logarithm of the sum of the singular values of ``exp(L)``."""
    xp = namespace(log_matrix)
    top = xp.max(detach(log_matrix))
    return top + xp.log(nuclear_norm(xp.exp(log_matrix - top), jitter))


def nuclear_norm(matrix, jitter):
    r"""Compute the sum of the singular values of a matrix, smoothly.

    With u the squared singular values over their sum, the sum of
    ``u / sqrt(u + jitter^2)`` replaces that of ``sqrt(u)``: it is never larger,
    and its gradient stays finite where singular values vanish.
    """
    xp = namespace(matrix)
    jitter = default_jitter(jitter, matrix)
    if jitter == 0:
        return xp.sum(xp.linalg.svdvals(matrix))
    squares = as_double(squared_singular_values(matrix))
    total = xp.sum(squares)
    shares = squares / total
    norm = xp.sqrt(total) * xp.sum(shares / xp.sqrt(shares + jitter**2))
    return xp.astype(norm, matrix.dtype)


def squared_singular_values(matrix):
    """Compute the squared singular values of a matrix, in no particular order."""
    n, k = matrix.shape
    xp = namespace(matrix)
    if 2 * min(n, k) > max(n, k):
        return xp.linalg.svdvals(matrix) ** 2
    # The eigenvalues of the small Gram matrix cost a tenth and, as doubles, are
    # accurate to 1e-8 of the largest singular value: enough below a smoothing.
    tall = as_double(matrix if k < n else matrix.T)
    values = xp.linalg.eigvalsh(tall.T @ tall)
    return xp.where(values > 0, values, xp.zeros_like(values))

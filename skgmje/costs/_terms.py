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


def log_correlation(grams):
    """Return `log_xy` of bumps scaled to unit norm: entries at most 0, (n, k)."""
    rows, columns = grams.log_xx_diagonal[:, None], grams.log_yy_diagonal
    return grams.log_xy - rows / 2 - columns / 2


def log_projections(grams):
    """Return the log inner products of p and the centres' unit bumps, shape (k,)."""
    logs = grams.log_xy + log_row_weights(grams)[:, None]
    return logsumexp(logs, axis=0) - grams.log_yy_diagonal / 2


def log_explained(grams, jitter):
    r"""Return the log share of each data bump in the span of the centres', (n,).

    With r the row of the correlation matrix of data and centres and
    :math:`L L^\top` that of the centres plus jitter, it is
    :math:`\log \|L^{-1} r\|^2`.
    """
    xp = namespace(grams.centers)
    logs = log_correlation(grams)
    tops = xp.max(detach(logs), axis=1)
    factor = center_factor(grams, jitter)
    z = solve_triangular(factor, xp.exp(logs - tops[:, None]).T)
    return 2 * tops + xp.log(xp.sum(z * z, axis=0))


def center_factor(grams, jitter):
    """Return the Cholesky factor of the correlation matrix of the centres."""
    name = "The Gram matrix of the centres"
    return ridge_factor(center_correlation(grams), jitter, name)


def center_correlation(grams):
    """Return the Gram matrix of the centres' bumps, scaled to unit norm, (k, k)."""
    half = grams.log_yy_diagonal / 2
    return namespace(half).exp(grams.log_yy - half[:, None] - half)


def data_correlation(grams):
    """Return the Gram matrix of the data's bumps, scaled to unit norm, (n, n)."""
    half = grams.log_xx_diagonal / 2
    return namespace(half).exp(grams.log_xx - half[:, None] - half)


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

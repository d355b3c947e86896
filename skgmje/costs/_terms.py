"""What the costs have in common: weights, correlation forms, the nuclear norm."""

import numpy as np

from skgmje._backend import (
    as_double,
    asarray_like,
    cholesky,
    detach,
    eye_like,
    is_torch,
    logsumexp,
    namespace,
)


def log_component_weights(grams, weights):
    """Return log-weights of the centres whose exponentials sum to 1, shape (k,)."""
    xp = namespace(grams.centers)
    k = grams.centers.shape[0]
    if weights is None:
        return xp.zeros_like(grams.centers[:, 0]) - np.log(k)
    if is_torch(grams.centers) and is_torch(weights):
        weights = weights.to(grams.centers)
    else:
        weights = asarray_like(weights, grams.centers)
    if tuple(weights.shape) != (k,) or not bool((weights >= 0).all()):
        raise ValueError(
            f"weights must hold {k} numbers that are not negative, one per centre, "
            f"got {weights}."
        )
    # The logarithm of an exact zero would have no gradient.
    tiny = xp.finfo(weights.dtype).smallest_normal
    logs = xp.log(xp.where(weights > tiny, weights, xp.full_like(weights, tiny)))
    return logs - logsumexp(logs, axis=0)


def log_row_weights(grams):
    """Return log-weights of the data whose exponentials sum to 1, shape (n,)."""
    if grams.log_data_weights is not None:
        return grams.log_data_weights
    return namespace(grams.X).zeros_like(grams.X[:, 0]) - np.log(grams.X.shape[0])


def default_jitter(jitter, like):
    """Return `jitter`, or what the precision of `like` asks for."""
    if jitter is not None:
        return jitter
    return 1e-6 if namespace(like).finfo(like.dtype).bits > 32 else 1e-4


def log_correlation(grams):
    """Return log_xy with bumps of unit norm: entries at most 0, shape (n, k)."""
    return grams.log_xy - grams.log_xx_diagonal[:, None] / 2 - grams.log_yy_diagonal / 2


def center_factor(grams, jitter):
    """Return the Cholesky factor of the correlation matrix of the centres."""
    half = grams.log_yy_diagonal / 2
    correlation = namespace(half).exp(grams.log_yy - half[:, None] - half)
    return ridge_factor(correlation, jitter, "The Gram matrix of the centres")


def ridge_factor(correlation, jitter, name):
    """Return the Cholesky factor of a matrix of unit diagonal plus `jitter`."""
    eye = eye_like(correlation)
    return cholesky(correlation * (1 - eye) + (1 + jitter) * eye, name)


def log_nuclear_norm(log_matrix, jitter):
    r"""Compute the logarithm of the sum of the singular values of ``exp(L)``.

    With u the squared singular values over their sum, the sum of
    ``u / sqrt(u + jitter^2)`` replaces that of ``sqrt(u)``: it is never larger,
    and its gradient stays finite where singular values vanish.
    """
    xp = namespace(log_matrix)
    top = xp.max(detach(log_matrix))
    matrix = xp.exp(log_matrix - top)
    if jitter == 0:
        return top + xp.log(xp.sum(xp.linalg.svdvals(matrix)))
    squares = as_double(_squared_singular_values(matrix))
    total = xp.sum(squares)
    shares = squares / total
    norm = xp.sqrt(total) * xp.sum(shares / xp.sqrt(shares + jitter**2))
    return top + xp.astype(xp.log(norm), log_matrix.dtype)


def _squared_singular_values(matrix):
    n, k = matrix.shape
    xp = namespace(matrix)
    if 2 * min(n, k) > max(n, k):
        return xp.linalg.svdvals(matrix) ** 2
    # The eigenvalues of the small Gram matrix cost a tenth, and are accurate
    # enough below the smoothing if they are doubles.
    matrix = as_double(matrix if k < n else matrix.T)
    values = xp.linalg.eigvalsh(matrix.T @ matrix)
    return xp.where(values > 0, values, xp.zeros_like(values))

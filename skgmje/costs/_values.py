"""Values of the costs, the terms that they are made of, bounds and diagnostics."""

from __future__ import annotations

import math

import numpy as np

from skgmje._backend import (
    as_double,
    asarray_like,
    cholesky,
    detach,
    invert_triangular,
    is_at_hand,
    is_torch,
    logsumexp,
    namespace,
    solve_triangular,
    to_numpy,
)
from skgmje._settings import own_errors
from skgmje._typing import Array
from skgmje.gaussian._grams import Grams, split_row_masses
from skgmje.gaussian._pairs import column_sums, correlations, each_scale


@own_errors
def scalar_value(grams, weights=None, jitter=None, *, log=False):
    """Return the squared norm of the projection of p on q."""
    value = log_relative_scalar(grams, weights)
    return exp_unless(value + 2 * grams.log_data_scale, log)


@own_errors
def vector_matrix_value(grams, weights=None, jitter=None, *, log=False):
    """Return the squared norm of the projection of p on the span of the kernels."""
    value = log_relative_vector_matrix(grams, jitter)
    return exp_unless(value + 2 * grams.log_data_scale, log)


@own_errors
def matrix_matrix_value(grams, weights=None, jitter=None, *, log=False):
    """Return the trace; with weights of the data, n times their weighted mean."""
    logs = log_explained(grams, jitter) + grams.log_xx_diagonal
    total = logsumexp(logs + log_row_weights(grams), axis=0)
    return exp_unless(total + math.log(grams.X.shape[0]), log)


@own_errors
def svd_value(grams, weights=None, jitter=None, *, log=False):
    """Return the fidelity of the kernel covariance operators of data and model."""
    rows = (grams.log_xx_diagonal + log_row_weights(grams)) / 2
    columns = (grams.log_yy_diagonal + log_component_weights(grams, weights)) / 2
    return exp_unless(log_nuclear_norm(grams, rows, columns, jitter), log)


@own_errors
def optimal_weights(grams: Grams, jitter: float | None = None) -> Array:
    r"""Compute the combination of the centers' kernels nearest to the data density.

    .. math:: \alpha = R^{-1} b = \arg\min_\alpha \|p - \alpha^\top q\|^2

    This is a projection, not a density: entries may be negative and need not
    sum to 1.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centers.

    jitter : float, default=None
        Ridge on R scaled to unit diagonal; None: 1e-6, in single precision 1e-4.

    Returns
    -------
    weights : array of shape (k,)
        Coefficients of the kernels.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, 2025. :arxiv:`2509.24076`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import optimal_weights
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [0.0], [2.0], [2.0], [2.0]])
    >>> optimal_weights(grams(X, X[1:3], bandwidth=0.5)).round(3)
    array([0.4, 0.6])
    """
    unit, log_unit = unit_optimum(grams, jitter)
    log_norms = grams.log_yy_diagonal / 2 - grams.log_data_scale
    xp = namespace(unit)
    return xp.astype(xp.exp(log_unit - log_norms) * unit, unit.dtype)


@own_errors
def density_bound(grams, weights=None, *, log=False):
    """Return the squared norm of the data density."""
    return exp_unless(grams.log_data_norm + 2 * grams.log_data_scale, log)


@own_errors
def trace_bound(grams, weights=None, *, log=False):
    """Return the trace; with weights of the data, n times their weighted mean."""
    total = logsumexp(grams.log_xx_diagonal + log_row_weights(grams), axis=0)
    return exp_unless(total + math.log(grams.X.shape[0]), log)


@own_errors
def nuclear_bound(grams, weights=None, *, log=False):
    """Return the geometric mean of the traces of the two operators."""
    log_p = logsumexp(grams.log_xx_diagonal + log_row_weights(grams), axis=0)
    w = log_component_weights(grams, weights)
    log_q = logsumexp(grams.log_yy_diagonal + w, axis=0)
    return exp_unless((log_p + log_q) / 2, log)


@own_errors
def pair_ess(grams: Grams, weights: Array | None = None) -> Array:
    r"""Compute how many pairs of a data point and a center carry the cost.

    .. math:: \frac{(\sum_{ik} a_{ik})^2}{\sum_{ik} a_{ik}^2}, \qquad
        a_{ik} = a_i w_k (K_{xy})_{ik},

    the effective sample size of the pair weights, between 1 and n k. Below one
    hundredth of n k the bandwidth is so small that a few nearest pairs carry
    the whole gradient; the logarithms of the costs hide it.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centers.

    weights : array of shape (k,), default=None
        Weights of the centers; None: all equal.

    Returns
    -------
    ess : scalar array
        Effective number of pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import pair_ess
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(pair_ess(grams(X, X, bandwidth=100.0))), 2)
    9.0
    >>> round(float(pair_ess(grams(X, X, bandwidth=0.01))), 2)
    3.0
    """
    logs = grams.log_xy + log_row_weights(grams)[:, None]
    logs = (logs + log_component_weights(grams, weights)).reshape(-1)
    ess = 2 * logsumexp(logs, axis=0) - logsumexp(2 * logs, axis=0)
    return namespace(logs).exp(ess)


@own_errors
def effective_rank(grams: Grams) -> Array:
    r"""Compute the effective rank of the cross Gram matrix of unit kernels.

    .. math:: \exp\Big(-\sum_j s_j \log s_j\Big), \qquad
        s_j = \sigma_j / \sum_l \sigma_l,

    with the singular values :math:`\sigma`: the exponential of their entropy,
    between 1 and min(n, k). Near 1 the bandwidth is too large to tell points
    apart; near min(n, k) it is so small that kernels do not meet.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centers.

    Returns
    -------
    rank : scalar array
        Effective number of singular values.

    References
    ----------
    .. [1] O. Roy and M. Vetterli, "The effective rank: a measure of effective
       dimensionality", EUSIPCO 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import effective_rank
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(effective_rank(grams(X, X, bandwidth=100.0))), 2)
    1.0
    >>> round(float(effective_rank(grams(X, X, bandwidth=0.01))), 2)
    3.0
    """
    xp = namespace(grams.centers)
    logs = grams.log_correlation_xy
    squares = squared_singular_values(xp.exp(logs - xp.max(logs)))
    shares = xp.sqrt(squares / xp.sum(squares))
    shares = shares / xp.sum(shares)
    tiny = math.sqrt(xp.finfo(shares.dtype).smallest_normal)
    entropy = -xp.sum(shares * xp.log(shares + tiny))
    return xp.astype(xp.exp(entropy), grams.centers.dtype)


# For so few centers the derivatives of each step cost no more than those of all.
_SMALL = 32
_OF_CENTERS = "The Gram matrix of the centers"


def log_component_weights(grams, weights):
    """Return log-weights of the centers whose exponentials sum to 1, shape (k,)."""
    xp = namespace(grams.centers)
    k = grams.centers.shape[0]
    if weights is None:
        return xp.zeros_like(grams.centers[:, 0]) - math.log(k)
    if is_torch(grams.centers) and is_torch(weights):
        weights = weights.to(grams.centers)
    else:
        weights = asarray_like(weights, grams.centers)
    valid = tuple(weights.shape) == (k,)
    if valid and is_at_hand(weights):
        valid = bool(xp.all(weights >= 0) & xp.any(weights > 0))
    if not valid:
        raise ValueError(
            f"weights must be {k} non-negative numbers, one per center, that are not "
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
    """Return the log-weights of the centers' unit kernels, up to a constant, (k,)."""
    half = grams.log_yy_diagonal / 2
    scale = namespace(half).max(detach(half))
    return log_component_weights(grams, weights) + half - scale


def log_relative_scalar(grams, weights):
    """Return the log scalar value, relative to the scale of the data."""
    xp = namespace(grams.centers)
    columns = log_center_masses(grams, weights)
    pq, log_pq = projections(grams, columns)
    model = grams.centers, grams.model_variance
    qq, log_qq = column_sums(model, model, grams.blocks, columns, columns)
    value = 2 * (xp.log(xp.sum(pq)) + log_pq) - xp.log(xp.sum(qq)) - log_qq
    return xp.astype(value, grams.centers.dtype)


def log_relative_vector_matrix(grams, jitter):
    """Return the log vector-matrix value, relative to the scale of the data."""
    xp = namespace(grams.centers)
    b, log_scale = projections(grams)
    b = xp.astype(b, grams.centers.dtype)
    value = 2 * log_scale + xp.log(explained(b[None], grams, jitter)[0])
    return xp.astype(value, grams.centers.dtype)


def projections(grams, column_logs=None):
    """Return the inner products of p and unit kernels, and the log of their scale."""
    common, row_logs = split_row_masses(grams)
    pair = (grams.X, grams.data_variance), (grams.centers, grams.model_variance)
    sums, scale = column_sums(*pair, grams.blocks, row_logs, column_logs)
    return sums, scale + common


def unit_optimum(grams, jitter):
    """Return the best coefficients of unit kernels for p, up to a constant's log."""
    xp = namespace(grams.centers)
    b, log_scale = projections(grams)
    factor = center_factor(grams, jitter)
    half = solve_triangular(factor, xp.astype(b, factor.dtype)[:, None])
    inverse = invert_triangular(factor)
    return inverse.T @ half[:, 0], log_scale


def log_explained(grams, jitter):
    """Return the log share of each data kernel in the span of the centers', (n,)."""
    xp = namespace(grams.centers)
    P, scale = cross_correlations(grams, by_row=True)
    return 2 * scale[:, 0] + xp.log(explained(P, grams, jitter))


def explained(P, grams, jitter):
    r"""Return :math:`\|L^{-1} r\|^2` for the rows of P, with L of `log_explained`."""
    R = center_correlations(grams)
    if is_torch(P) and R.shape[0] > _SMALL:
        own = detach(R).clone() if R.requires_grad else R
        from skgmje.costs._autograd import Explained

        return Explained.apply(P, R, ridge_factor(own, jitter, _OF_CENTERS))
    factor = ridge_factor(R, jitter, _OF_CENTERS)
    z = solve_triangular(factor, P.T)
    return namespace(z).sum(z * z, axis=0)


def cross_correlations(grams, row_logs=None, column_logs=None, *, by_row=False):
    """Return the weighted correlations of data and centers, (n, k), and log scales."""
    pair = (grams.X, grams.data_variance), (grams.centers, grams.model_variance)
    return correlations(*pair, grams.blocks, row_logs, column_logs, by_row=by_row)


def center_factor(grams, jitter):
    """Return the Cholesky factor of the correlation matrix of the centers."""
    return ridge_factor(center_correlations(grams), jitter, _OF_CENTERS)


def center_correlations(grams):
    """Return the correlation matrix of the centers, shape (k, k)."""
    model = as_double(grams.centers), each_scale(as_double, grams.model_variance)
    matrix, _ = correlations(model, model, grams.blocks)
    return namespace(matrix).astype(matrix, grams.centers.dtype, copy=False)


def ridge_factor(correlation, jitter, name):
    """Return the Cholesky factor of a matrix of unit diagonal plus `jitter`."""
    has_history = getattr(correlation, "requires_grad", False)
    matrix = correlation.clone() if has_history else correlation
    diagonal = np.arange(len(matrix))
    matrix[diagonal, diagonal] = 1 + default_jitter(jitter, correlation)
    return cholesky(matrix, name, overwrite=True)


def log_nuclear_norm(grams, row_logs, column_logs, jitter):
    """Compute the log nuclear norm of the weighted correlations of data and centers."""
    matrix, scale = cross_correlations(grams, row_logs, column_logs)
    return namespace(matrix).log(nuclear_norm(matrix, jitter)) + scale[0, 0]


def nuclear_norm(matrix, jitter):
    """Compute the sum of the singular values of a matrix, smoothly."""
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
    tall = matrix if k < n else matrix.T
    if is_torch(tall) and tall.shape[1] > _SMALL:
        from skgmje.costs._autograd import GramEigenvalues

        values = GramEigenvalues.apply(tall)
    else:
        tall = as_double(tall)
        values = xp.linalg.eigvalsh(tall.T @ tall)
    return xp.where(values > 0, values, xp.zeros_like(values))

"""The terms that the costs are made of."""

import math

import numpy as np
import torch
from torch.autograd.function import Function, once_differentiable

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
from skgmje.gaussian._grams import split_row_masses
from skgmje.gaussian._pairs import column_sums, correlations
from skgmje.gaussian._products import raw

# Up to this size nothing is gained by the symmetry of a product.
_SMALLEST_EIGENVALUE = 64


# Entries of a matrix that are in double precision at once.
_ENTRIES = 2**17


class Explained(Function):
    r"""Squared norms of the columns of :math:`L^{-1} P^\top`, with a given factor."""

    @staticmethod
    def forward(ctx, P, R, factor):
        """Return the squared norms, shape (n,); `P` is lost if it needs no gradient."""
        out = None if any(ctx.needs_input_grad) else P.T
        Z = torch.linalg.solve_triangular(factor, P.T, upper=False, out=out)
        ctx.save_for_backward(Z, factor)
        return torch.linalg.vector_norm(Z, dim=0).square()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """Return the gradients by P and by R."""
        Z, factor = ctx.saved_tensors
        W = torch.linalg.solve_triangular(factor.T, Z, upper=True)
        weighted = W * gradient
        by_R = None
        if ctx.needs_input_grad[1]:
            by_R = -_weighted_gram(W, weighted, gradient).fill_diagonal_(0.0)
        return 2 * weighted.T, by_R, None


def _weighted_gram(W, weighted, weights):
    """Return ``W diag(weights) W^T``; half of it is computed where that pays."""
    if W.shape[0] <= _SMALLEST_EIGENVALUE or weights.min() * weights.max() < 0:
        return weighted @ W.T
    half = raw(W * weights.abs().sqrt())
    # NumPy computes half of a matrix times its own transpose.
    return torch.as_tensor(half @ half.T) * weights.sum().sign()


class GramEigenvalues(Function):
    """Squared singular values of a tall matrix, by its small Gram matrix."""

    @staticmethod
    def forward(ctx, matrix):
        """Return the eigenvalues of the Gram matrix, which may be below 0."""
        gram = 0.0
        for block in _blocks(matrix):
            tall = raw(as_double(block))
            # NumPy computes half of a matrix times its own transpose.
            gram = gram + tall.T @ tall
        gram = torch.as_tensor(gram)
        if not ctx.needs_input_grad[0]:
            return torch.linalg.eigvalsh(gram)
        values, vectors = torch.linalg.eigh(gram)
        ctx.save_for_backward(matrix, vectors)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """Return the gradient by the matrix."""
        matrix, vectors = ctx.saved_tensors
        by_gram = raw(2 * (vectors * gradient) @ vectors.T)
        by_matrix = torch.empty_like(matrix)
        parts = zip(_blocks(matrix), _blocks(by_matrix), strict=True)
        for block, target in parts:
            target.copy_(torch.as_tensor(raw(as_double(block)) @ by_gram))
        return by_matrix


def _blocks(matrix):
    if matrix.device.type != "cpu":
        return [matrix]
    return matrix.detach().split(max(1, _ENTRIES // matrix.shape[1]))


# For so few centres the derivatives of each step cost no more than those of all.
_SMALL = 32


_OF_CENTERS = "The Gram matrix of the centres"


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
    return 2 * log_scale + xp.log(explained(b[None], grams, jitter)[0])


def projections(grams, column_logs=None):
    """Return the inner products of p and of unit bumps, and the log of their scale."""
    common, row_logs = split_row_masses(grams)
    pair = (grams.X, grams.data_variance), (grams.centers, grams.model_variance)
    sums, scale = column_sums(*pair, grams.blocks, row_logs, column_logs)
    return sums, scale + common


def unit_optimum(grams, jitter):
    """Return the best coefficients of unit bumps for p, up to a constant's log."""
    xp = namespace(grams.centers)
    b, log_scale = projections(grams)
    factor = center_factor(grams, jitter)
    half = solve_triangular(factor, xp.astype(b, factor.dtype)[:, None])
    inverse = solve_triangular(factor, eye_like(factor))
    return inverse.T @ half[:, 0], log_scale


def log_explained(grams, jitter):
    """Return the log share of each data bump in the span of the centres', (n,)."""
    xp = namespace(grams.centers)
    P, scale = cross_correlations(grams, by_row=True)
    return 2 * scale[:, 0] + xp.log(explained(P, grams, jitter))


def explained(P, grams, jitter):
    r"""Return :math:`\|L^{-1} r\|^2` for the rows of P, with L of `log_explained`."""
    R = center_correlations(grams)
    if is_torch(P) and R.shape[0] > _SMALL:
        own = detach(R).clone() if R.requires_grad else R
        return Explained.apply(P, R, ridge_factor(own, jitter, _OF_CENTERS))
    factor = ridge_factor(R, jitter, _OF_CENTERS)
    z = solve_triangular(factor, P.T)
    return namespace(z).sum(z * z, axis=0)


def cross_correlations(grams, row_logs=None, column_logs=None, *, by_row=False):
    """Return the weighted correlations of data and centres, (n, k), and log scales."""
    pair = (grams.X, grams.data_variance), (grams.centers, grams.model_variance)
    return correlations(*pair, grams.blocks, row_logs, column_logs, by_row=by_row)


def center_factor(grams, jitter):
    """Return the Cholesky factor of the correlation matrix of the centres."""
    return ridge_factor(center_correlations(grams), jitter, _OF_CENTERS)


def center_correlations(grams):
    """Return the correlation matrix of the centres, shape (k, k)."""
    model = as_double(grams.centers), as_double(grams.model_variance)
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
    """Compute the log nuclear norm of the weighted correlations of data and centres."""
    matrix, scale = cross_correlations(grams, row_logs, column_logs)
    norm = namespace(matrix).log(nuclear_norm(matrix, jitter))
    return norm + scale[0, 0]


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
        values = GramEigenvalues.apply(tall)
    else:
        tall = as_double(tall)
        values = xp.linalg.eigvalsh(tall.T @ tall)
    return xp.where(values > 0, values, xp.zeros_like(values))

"""Gradients of parts of the costs, as torch takes them. Import it late."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import Function, once_differentiable

from skgmje._backend import as_double
from skgmje.gaussian._products import raw

# Up to this size nothing is gained by the symmetry of a product.
_SMALL = 64

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
    if W.shape[0] <= _SMALL or weights.min() * weights.max() < 0:
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
    """Return the rows of a matrix in blocks; on a device they are one."""
    if matrix.device.type != "cpu":
        return [matrix]
    return matrix.detach().split(max(1, _ENTRIES // matrix.shape[1]))


@dataclass(frozen=True)
class FreshScalarCost:
    """Scalar costs of a sample of centers and samples, in several units, added up.

    Centers that are drawn anew for each step stand for their distribution: no pair
    of a center with itself counts (`log <q, q>` is then that of the distribution),
    and the norm of the data, a constant, is left out.
    """

    #: Pairs of what each feature is divided by (tensor of shape (d,)) and Bandwidths.
    units: Any

    def __call__(self, X, centers, sample_weight=None):
        """Return the sum over the units, a tensor that knows its gradient."""
        return sum(
            _FreshScalar.apply(X / unit, centers / unit, sample_weight, bandwidths)
            for unit, bandwidths in self.units
        )


class _FreshScalar(Function):
    """Scalar cost under a sum of kernels; its gradient is made together with it."""

    @staticmethod
    def forward(ctx, X, centers, sample_weight, bandwidths):
        """Return ``log <q, q> - 2 log <p, q>`` up to a constant of the bandwidths."""
        k = len(centers)
        ones = centers.new_ones(k)
        mass = X.new_ones(len(X)) if sample_weight is None else sample_weight
        pq, of_pq = _pull(X, centers, mass / (k * mass.sum()), bandwidths)
        qq, of_qq = _pull(centers, centers, ones / (k * (k - 1)), bandwidths)
        ctx.save_for_backward(2 * of_qq / qq - 2 * of_pq / pq)
        return qq.log() - 2 * pq.log()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """Return the gradient by the centers alone."""
        (of_centers,) = ctx.saved_tensors
        return None, gradient * of_centers, None, None


# Logarithm of a kernel that counts for nothing. Smaller ones would end in numbers below
# the normal range, with which processors take a hundred times as long.
_LEAST = -60.0


def _pull(X, centers, mass, bandwidths):
    """Return the sum of the kernels of all pairs, and its gradient by the centers."""
    lengths = X.square().sum(1)[:, None] + centers.square().sum(1)
    squares = torch.addmm(lengths, X, centers.T, alpha=-2).clamp_(min=0)
    if X is centers:
        squares.fill_diagonal_(torch.inf)
    total, slopes = 0.0, torch.zeros_like(squares)
    for bandwidth, log_share in zip(
        bandwidths.values, bandwidths.log_shares, strict=True
    ):
        variance, share = float(bandwidth) ** 2, math.exp(log_share)
        kernel = (squares * (-0.25 / variance)).clamp_(min=_LEAST).exp_()
        total = total + share * (mass @ kernel).sum()
        slopes.add_(kernel, alpha=share / (2 * variance))
    slopes *= mass[:, None]
    return total, slopes.T @ X - slopes.sum(0)[:, None] * centers

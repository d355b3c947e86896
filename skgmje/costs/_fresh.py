"""The scalar cost of centers that are drawn afresh. Imports torch: import it late."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import Function, once_differentiable


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

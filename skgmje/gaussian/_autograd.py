"""Derivatives of the sums over pairs. Imports torch: import it late."""

import torch
from torch.autograd.function import Function, once_differentiable

from skgmje._kernels import _tiles as tiles


class ColumnSums(Function):
    """Sums of the exponentials of each column, without a matrix of all pairs.

    The sums are linear in the exponentials, so their derivative by the features
    of the columns is had in the same pass; that by the features of the rows takes
    another one.
    """

    @staticmethod
    def forward(ctx, F, G, symmetric):
        """Return the sums, shape (k,), and the logarithm of their scale."""
        moments = ctx.needs_input_grad[1]
        scale, sums = tiles.column_sums(
            _raw(F), _raw(G), moments=moments, symmetric=symmetric
        )
        sums = _tensor(sums)
        ctx.save_for_backward(F, G, sums)
        ctx.scale = scale
        return sums[-1].clone(), scale

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, _):
        """Return the gradients by the features."""
        F, G, sums = ctx.saved_tensors
        by_row = by_column = None
        if ctx.needs_input_grad[0]:
            arrays = _raw(F), _raw(G), _raw(grad.to(G.dtype))
            by_row = _tensor(tiles.row_moments(*arrays, ctx.scale))
        if ctx.needs_input_grad[1]:
            by_column = (sums * grad).to(G.dtype)
        return by_row, by_column, None


class Exponentials(Function):
    """Exponentials of all pairs, relative to the largest of a row or of all."""

    @staticmethod
    def forward(ctx, F, G, dtype, by_row):
        """Return the matrix, shape (n, k), and the logarithms of its scales."""
        dtype = dtype if F.device.type != "cpu" else _raw(F.new_empty(0, dtype=dtype)).dtype
        P, scale = map(_tensor, tiles.exponentials(_raw(F), _raw(G), dtype, by_row=by_row))
        ctx.save_for_backward(F, G, P)
        ctx.mark_non_differentiable(scale)
        return P, scale

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, _):
        """Return the gradients by the features."""
        F, G, P = map(_raw, ctx.saved_tensors)
        rows, columns, *_ = ctx.needs_input_grad
        gradients = tiles.product_moments(
            F, G, (_raw(grad), P), rows=rows, columns=columns
        )
        return *(None if g is None else _tensor(g) for g in gradients), None, None


def _raw(tensor):
    """Return a tensor of the CPU as a NumPy array, whose loops are faster there."""
    tensor = tensor.detach()
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


def _tensor(array):
    return array if torch.is_tensor(array) else torch.from_numpy(array)

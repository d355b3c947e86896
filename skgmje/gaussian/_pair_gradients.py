"""Gradients of sums and matrices of all pairs; imports torch, so import it late."""

from functools import partial

import torch
from torch.autograd.function import Function, once_differentiable
from torch.utils.checkpoint import checkpoint

from skgmje.gaussian import _tiles
from skgmje.gaussian._products import raw


class ColumnSums(Function):
    """Sums of the exponentials of each column, without a matrix of all pairs."""

    @staticmethod
    def forward(ctx, products, symmetric, *arrays):
        """Return the sums, shape (k,), and the logarithm of their scale."""
        ctx.products, ctx.arrays = products, [_like(array) for array in arrays]
        ctx.needed = products.needed(ctx.needs_input_grad[2:])
        scale, ctx.sums = _tiles.column_sums(
            *products.features,
            moments=ctx.needed[1],
            symmetric=symmetric,
            ladder=products.ladder,
        )
        ctx.scale = scale
        return tensor(ctx.sums[-1]).clone(), scale

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, _):
        """Return the gradients by the arrays."""
        F, G = ctx.products.features
        gradient, of_rows, of_columns = raw(gradient), None, None
        if ctx.needed[0]:
            of_rows = _tiles.row_moments(F, G, gradient, ctx.scale, ctx.products.ladder)
        if ctx.needed[1]:
            of_columns = ctx.sums * gradient
        return None, None, *_gradients(ctx, of_rows, of_columns)


class Exponentials(Function):
    """Exponentials of all pairs, or sums of their powers, relative to the largest."""

    @staticmethod
    def forward(ctx, products, by_row, *arrays):
        """Return the matrix, shape (n, k), and the logarithms of its scales."""
        ctx.products, ctx.arrays = products, [_like(array) for array in arrays]
        ctx.needed = products.needed(ctx.needs_input_grad[2:])
        some = *products.features, raw(arrays[0]).dtype, products.ladder
        P, scale, S = _tiles.exponentials(*some, by_row=by_row, slopes=any(ctx.needed))
        P, scale = tensor(P), tensor(scale)
        ctx.save_for_backward(P, P if S is None else tensor(S))
        ctx.mark_non_differentiable(scale)
        return P, scale

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, _):
        """Return the gradients by the arrays."""
        F, G = ctx.products.features
        wanted = dict(zip(("rows", "columns"), ctx.needed, strict=True))
        gradient = raw(gradient)
        P, S = map(raw, ctx.saved_tensors)
        both = _tiles.product_moments(F, G, (gradient, S), **wanted)
        if ctx.products.ladder:
            xp = ctx.products.units.xp
            pair = F[-1:], xp.ones_like(G[:1])  # the last feature of the rows is 1
            ones = _tiles.product_moments(*pair, (gradient, P), **wanted)
            both = (
                None if z is None else xp.concat([z, own], axis=0)
                for z, own in zip(both, ones, strict=True)
            )
        return None, None, *_gradients(ctx, *both)


def _like(array):
    """Return what is to know of an array to give back its gradient."""
    return None if array is None else (array.shape, array.dtype)


def _gradients(ctx, of_rows, of_columns):
    """Return the gradients that autograd asks for, in the shapes of the arrays."""
    gradients = ctx.products.gradients(of_rows, of_columns)
    for i, wanted in enumerate(ctx.needs_input_grad[2:]):
        gradient = gradients[i]
        if wanted:
            shape, dtype = ctx.arrays[i]
            gradient = gradient.sum() if not shape else gradient.reshape(shape)
            gradient = torch.as_tensor(gradient).to(dtype)
        yield gradient if wanted else None


def recomputed(function):
    """Return a function whose intermediate arrays are not kept for the gradient."""
    how = {"use_reentrant": False, "preserve_rng_state": False}
    return partial(checkpoint, function, **how)


def tensor(array):
    """Return an array as a tensor that shares its memory."""
    return array if torch.is_tensor(array) else torch.from_numpy(array)

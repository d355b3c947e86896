"""Gaussian kernels of all pairs, and sums over them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from skgmje._backend import (
    LOG_2PI,
    as_array_of,
    as_double,
    as_floats,
    asarray_like,
    detach,
    eye_like,
    is_at_hand,
    is_torch,
    namespace,
    to_numpy,
)
from skgmje._settings import own_errors
from skgmje._typing import Array
from skgmje.gaussian import _tiles
from skgmje.gaussian._products import Products, finite_logs, raw

# Up to this many features differences are as fast as a matrix product, and exact.
_DIRECT_FEATURES = 16

# A product of doubles loses about 1e-15 of (radius / bandwidth)^2 in the exponent.
_PRODUCT_LIMIT = 1e5


@own_errors
def gaussian_log_gram(
    X: Array, Y: Array, variance: Any, blocks: Sequence[Array] | None = None
) -> Array:
    r"""Compute the log-density of every row of X under a kernel at every row of Y.

    .. math:: L_{ij} = \log N(x_i - y_j; v I)
        = -\frac{\|x_i - y_j\|^2}{2 v} - \frac{d}{2} \log(2 \pi v)

    Parameters
    ----------
    X : array of shape (n, d)
        Points.

    Y : array of shape (k, d)
        Centers, of the library and data type of `X`.

    variance : array of shape () or broadcastable to (n, k)
        Variance of the kernel. With `blocks`, of shape () or (T,), or
        broadcastable to (n, k, T): one variance for each block.

    blocks : sequence of T arrays of column indices, default=None
        Disjoint blocks of columns. The result is then the sum over the blocks
        of the log-densities of their columns, the logarithm of the product
        kernel. Columns outside all blocks are ignored.

    Returns
    -------
    log_gram : array of shape (n, k)
        Log-densities, finite where the exact values are.

    Raises
    ------
    ValueError
        If a variance is not positive, or beyond the range of the data type.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.gaussian import gaussian_log_gram
    >>> X = np.array([[0.0], [2.0]])
    >>> gaussian_log_gram(X, X, variance=1.0).round(3)
    array([[-0.919, -2.919],
           [-2.919, -0.919]])
    """
    X, Y = as_points(X, Y)
    with np.errstate(over="ignore", under="ignore"):
        variance = check_variance(as_array_of(variance, X), "variance")
    kernels = log_kernels(X, Y, variance, blocks)
    logs = (LOG_2PI + namespace(X).log(variance)) / 2
    return kernels - sum_over_columns(logs, X, blocks)


def log_kernels(X, Y, variance, blocks=None):
    """Compute the exponents of `gaussian_log_gram`, without its constant."""
    if blocks is None:
        # In these units squares overflow in no data type where exponents do not.
        xp = namespace(X)
        unit = xp.exp2(xp.round(xp.log2(xp.max(detach(variance))) / 2))
        X, Y = _both(lambda Z: Z / unit, X, Y)
        variance = variance / unit / unit
        return -_squared_distances(X, Y, variance) / (2 * variance)
    if variance.ndim == 3:
        return sum(
            log_kernels(*_both(lambda Z: Z[:, block], X, Y), variance[:, :, t])  # noqa: B023
            for t, block in enumerate(blocks)
        )
    # Kernels of one shape: a change of units makes one distance of all blocks.
    columns = np.concatenate(blocks)
    sizes = [len(block) for block in blocks]
    index = np.repeat(np.arange(len(sizes)) * (variance.ndim > 0), sizes)
    scale = namespace(X).sqrt(variance.reshape(-1)[index])
    pair = _both(lambda Z: Z[:, columns] / scale, X, Y)
    return log_kernels(*pair, namespace(X).ones_like(scale[0]))


def sum_over_columns(logs, like, blocks=None):
    """Sum over columns what is given once for all, or in the last axis by blocks."""
    if blocks is None:
        return like.shape[1] * logs
    sizes = asarray_like([float(len(block)) for block in blocks], like)
    return namespace(like).sum(sizes * logs, axis=-1)


def _both(change, X, Y):
    """Apply `change` to X and Y, so that a Gram matrix of X alone stays one."""
    changed = change(X)
    return changed, changed if X is Y else change(Y)


def _squared_distances(X, Y, variance):
    """Compute squared distances whose error is small against `variance`."""
    if X.shape[1] > _DIRECT_FEATURES and is_at_hand(X):
        xp = namespace(X)
        center = xp.mean(detach(X), axis=0)
        X_, Y_ = as_double(X - center), as_double(Y - center)
        xx, yy = xp.sum(X_ * X_, axis=1), xp.sum(Y_ * Y_, axis=1)
        radius = xp.max(detach(xx)) + xp.max(detach(yy))
        if bool(radius <= _PRODUCT_LIMIT * xp.min(detach(variance))):
            squares = xx[:, None] + yy[None, :] - 2 * (X_ @ Y_.T)
            squares = xp.where(squares > 0, squares, xp.zeros_like(squares))
            squares = squares * (1 - eye_like(squares)) if X is Y else squares
            return xp.astype(squares, X.dtype)
    if is_torch(X):
        import torch

        return torch.cdist(X, Y, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    from scipy.spatial.distance import cdist

    return cdist(X, Y, "sqeuclidean").astype(X.dtype, copy=False)


def as_points(X, Y):
    """Return two sets of points as floats of one data type."""
    X, Y = as_floats(X, Y)
    xp = namespace(X, Y)
    if X.dtype != Y.dtype:
        dtype = xp.result_type(X, Y)
        X, Y = xp.astype(X, dtype), xp.astype(Y, dtype)
    return X, Y


def check_variance(variance, name):
    """Return variances; raise if one that is at hand is no positive, finite number."""
    xp = namespace(variance)
    valid = (variance > 0) & xp.isfinite(variance)
    if is_at_hand(variance) and not bool(xp.all(valid)):
        limits = xp.finfo(variance.dtype)
        raise ValueError(
            f"{name} has entries that are no positive, finite numbers of "
            f"{variance.dtype}, which holds {float(limits.smallest_normal):.2g} to "
            f"{float(limits.max):.2g}: {to_numpy(variance)}. Give float64, or rescale "
            "X."
        )
    return variance


# Up to so many differences of columns no time is gained by a product.
_FEW = 2**16

# Pairs of a part of a sum that is not a product.
_PAIRS = 2**20


class Scales(NamedTuple):
    """Variances of several kernels around each point, and the logs of their shares."""

    variances: tuple
    log_shares: tuple


def each_scale(change, variance):
    """Apply `change` to a variance, or to that of each scale."""
    if isinstance(variance, Scales):
        return variance._replace(variances=tuple(map(change, variance.variances)))
    return change(variance)


def _pairs_of_scales(rows, columns):
    """Return rows and columns for each of several scales; None if there is one."""
    (X, v), (Y, w) = rows, columns
    if isinstance(v, Scales):
        pairs = zip(v.variances, w.variances, strict=True)
        return [((X, a), (Y, b)) for a, b in pairs]
    return None


def _products_of_scales(rows, columns, blocks, row_logs, column_logs):
    """Return products where several kernels are powers of the widest, else None."""
    # They have no gradients by bandwidths: where one is asked for, each has its own.
    (X, v), (Y, w) = rows, columns
    if blocks is not None or not is_at_hand(X):
        return None
    variances = [*v.variances, *w.variances]
    if any(z.ndim or getattr(z, "requires_grad", False) for z in variances):
        return None
    v, w = (np.array([float(z) for z in side.variances]) for side in (v, w))
    sums = v + w
    # Half the log ratio of the arithmetic to the geometric mean: 0 if v = w.
    shift = np.log(sums / (2 * np.sqrt(v) * np.sqrt(w))) / 2
    log_shares = np.array(rows[1].log_shares) - X.shape[1] * shift
    logs = [finite_logs(raw(z)) for z in (row_logs, column_logs)]
    powers = sums.max() / sums
    half = asarray_like(sums.max() / 2, X)
    ladder = _tiles.Ladder(tuple(powers.tolist()), tuple(log_shares.tolist()), *logs)
    return Products.of((X, half, Y, half, None, None), None, ladder)


def _sum_of_scales(parts, log_shares):
    """Add up arrays of several kernels by share, each with the log of its scale."""
    xp = namespace(parts[0][0])
    scales = [as_array_of(scale, part) for part, scale in parts]
    top = reduce(xp.maximum, scales)
    parts = zip(parts, scales, log_shares, strict=True)
    return sum(a * xp.exp(scale - top + log) for (a, _), scale, log in parts), top


def log_correlation(rows, columns, blocks=None):
    """Compute the log inner products of kernels of unit norm, (points, variance)."""
    if pairs := _pairs_of_scales(rows, columns):
        shares = zip(pairs, rows[1].log_shares, strict=True)
        logs = (log_correlation(*pair, blocks) + log for pair, log in shares)
        return reduce(namespace(rows[0]).logaddexp, logs)
    (X, v), (Y, w) = rows, columns
    xp = namespace(X)
    per_point = 0 if blocks is None else 1
    v = v[:, None] if v.ndim > per_point else v
    w = w[None, :] if w.ndim > per_point else w
    # Half the log ratio of the arithmetic to the geometric mean: 0 if v = w.
    shift = xp.log((v + w) / (2 * xp.sqrt(v) * xp.sqrt(w))) / 2
    return log_kernels(X, Y, v + w, blocks) - sum_over_columns(shift, X, blocks)


@own_errors
def column_sums(rows, columns, blocks=None, row_logs=None, column_logs=None):
    """Sum the correlations of two sets of kernels over the first, with weights."""
    logs = row_logs, column_logs
    products = _products(rows, columns, blocks, *logs)
    if products is None and (pairs := _pairs_of_scales(rows, columns)):
        parts = [column_sums(*pair, blocks, *logs) for pair in pairs]
        return _sum_of_scales(parts, rows[1].log_shares)
    if products is None:
        return _sums_in_parts(rows, columns, blocks, *logs)
    symmetric = rows[0] is columns[0] and rows[1] is columns[1]
    symmetric = symmetric and row_logs is column_logs
    if is_torch(rows[0]):
        from skgmje.gaussian._pair_gradients import ColumnSums

        arrays = _learned(products, rows, columns)
        return ColumnSums.apply(products, symmetric, *arrays, *logs)
    how = {"symmetric": symmetric, "ladder": products.ladder}
    scale, sums = _tiles.column_sums(*products.features, moments=False, **how)
    return sums[-1], scale


def correlations(
    rows, columns, blocks=None, row_logs=None, column_logs=None, *, by_row=False
):
    """Compute the weighted correlations of two sets of kernels, not in logs."""
    logs = row_logs, column_logs
    (n, d), k, products = rows[0].shape, columns[0].shape[0], None
    if n * k * d > _FEW or isinstance(rows[1], Scales):
        products = _products(rows, columns, blocks, *logs)
    if products is None and (pairs := _pairs_of_scales(rows, columns)):
        parts = [correlations(*pair, blocks, *logs, by_row=by_row) for pair in pairs]
        return _sum_of_scales(parts, rows[1].log_shares)
    if products is None:
        weighted = _weighted(rows, columns, blocks, *logs)
        return _scaled(weighted, axis=1 if by_row else (0, 1))
    if is_torch(rows[0]):
        from skgmje.gaussian._pair_gradients import Exponentials

        arrays = _learned(products, rows, columns)
        return Exponentials.apply(products, by_row, *arrays, *logs)
    some = *products.features, rows[0].dtype, products.ladder
    return _tiles.exponentials(*some, by_row=by_row)[:2]


def _products(rows, columns, blocks, row_logs, column_logs):
    """Return the products of one kernel, or of several that are powers, or None."""
    if isinstance(rows[1], Scales):
        return _products_of_scales(rows, columns, blocks, row_logs, column_logs)
    return Products.of((*rows, *columns, row_logs, column_logs), blocks)


def _learned(products, rows, columns):
    """Return points and variances; None for those of which there is no gradient."""
    if products.ladder:
        return rows[0], None, columns[0], None
    return *rows, *columns


def _weighted(rows, columns, blocks, row_logs, column_logs):
    """Return log-correlations with the logs of both sides added, (n, k)."""
    logs = log_correlation(rows, columns, blocks)
    logs = logs if row_logs is None else logs + row_logs[:, None]
    return logs if column_logs is None else logs + column_logs


def _scaled(logs, axis):
    """Return exponentials relative to the largest, and its logarithm."""
    xp = namespace(logs)
    scale = xp.max(detach(logs), axis=axis, keepdims=True)
    return xp.exp(logs - scale), scale


def _sums_in_parts(rows, columns, blocks, row_logs, column_logs):
    """Sum over some rows at a time; only their sums are kept for the gradient."""
    (X, v), n_shared = rows, 0 if blocks is None else 1
    xp, n = namespace(X), X.shape[0]
    height = max(1, _PAIRS // columns[0].shape[0])

    def sums(block):
        some = X[block], v[block] if v.ndim > n_shared else v
        a = None if row_logs is None else row_logs[block]
        E, scale = _scaled(_weighted(some, columns, blocks, a, column_logs), (0, 1))
        return xp.sum(as_double(E), axis=0), scale[0]

    if is_torch(X) and n > height:
        from skgmje.gaussian._pair_gradients import recomputed

        sums = recomputed(sums)
    parts = [sums(slice(i, i + height)) for i in range(0, n, height)]
    scales = xp.concat([scale for _, scale in parts])
    top = xp.max(scales)
    shares = xp.exp(scales - top)
    total = sum(part * share for (part, _), share in zip(parts, shares, strict=True))
    return total, top

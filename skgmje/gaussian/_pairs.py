"""Sums and matrices over all pairs of two sets of bumps, by matrix products."""

import numpy as np

from skgmje._backend import as_double, detach, is_torch, namespace
from skgmje._kernels import _tiles as tiles

# An exponent from a product loses about ten units of the last place of
# (radius / bandwidth)^2; that must not show.
_LIMITS = {32: 30.0, 64: 1e5}


def column_sums(rows, columns, blocks=None, row_logs=None, column_logs=None):
    r"""Sum the correlations of two sets of bumps over the first, with weights.

    .. math:: S_j = \sum_i \exp(a_i + L_{ij} + b_j - m)

    with the logarithms L of the inner products of bumps of unit norm. No array
    of all pairs is held.

    Parameters
    ----------
    rows, columns : tuple (points, variance)
        The two sets of n and of k bumps.

    blocks : tuple of T arrays of column indices, default=None
        Blocks of the product kernel.

    row_logs : array of shape (n,), default=None
        Log-weights a of the rows; None: 0.

    column_logs : array of shape (k,), default=None
        Log-weights b of the columns; None: 0.

    Returns
    -------
    sums : array of shape (k,)
        Sums S, in double precision where the device has it; or None if the
        exponents are not accurate as a product.

    scale : float
        The constant m, about the largest exponent.
    """
    pair = features(rows, columns, blocks, row_logs, column_logs)
    if pair is None:
        return None
    F, G = pair
    symmetric = rows[0] is columns[0] and rows[1] is columns[1]
    symmetric = symmetric and row_logs is column_logs
    if is_torch(F):
        from skgmje.gaussian._autograd import ColumnSums

        return ColumnSums.apply(F, G, symmetric)
    scale, sums = tiles.column_sums(F, G, moments=False, symmetric=symmetric)
    return sums[-1], scale


def correlations(rows, columns, blocks=None, row_logs=None, column_logs=None, *, by_row):
    r"""Compute the weighted correlations of two sets of bumps, not in logs.

    .. math:: P_{ij} = \exp(a_i + L_{ij} + b_j - m_i)

    Parameters
    ----------
    rows, columns, blocks, row_logs, column_logs
        As for `column_sums`.

    by_row : bool
        Scale each row by its largest entry, not all by the largest of all.

    Returns
    -------
    matrix : array of shape (n, k)
        The matrix P; or None if the exponents are not accurate as a product.

    scale : array of shape (n, 1) or (1, 1)
        The constants m, without gradient.
    """
    pair = features(rows, columns, blocks, row_logs, column_logs)
    if pair is None:
        return None
    dtype = rows[0].dtype
    if is_torch(pair[0]):
        from skgmje.gaussian._autograd import Exponentials

        return Exponentials.apply(*pair, dtype, by_row)
    return tiles.exponentials(*pair, dtype, by_row=by_row)


def features(rows, columns, blocks=None, row_logs=None, column_logs=None):
    """Return features whose products are weighted log-correlations, or None.

    Returns
    -------
    F : array of shape (D, n)
        Features of the rows, the last one is 1.

    G : array of shape (D, k)
        Features of the columns.
    """
    (X, v), (Y, w) = rows, columns
    n_shared = 0 if blocks is None else 1
    if v.ndim > n_shared and w.ndim > n_shared:
        return None
    xp = namespace(X)
    v, w = (_by_block(u, blocks) for u in (v, w))
    t = v + w
    # Half the log ratio of the arithmetic to the geometric mean: 0 if v = w.
    shift = xp.log(t / (2 * xp.sqrt(v) * xp.sqrt(w))) / 2
    x, y, index, sizes = _columns(X, Y, blocks)
    squares = [_squares(z, index) for z in map(detach, (x, y))]
    radius = sum(xp.max(s, axis=0) for s in squares) / xp.min(detach(t), axis=0)
    radius = float(xp.sum(radius))
    if not radius <= _LIMITS[64]:
        return None
    if not radius <= _LIMITS[xp.finfo(X.dtype).bits]:
        x, y, t, shift = map(as_double, (x, y, t, shift))
        squares = [_squares(z, index) for z in (x, y)]
    shift = xp.sum(shift * sizes, axis=1)
    if v.shape[0] > 1:
        of_rows, own = _carrier(x, squares[0], t, index, shift)
        of_columns = [y, squares[1]]
    return x, y


def _by_block(variance, blocks):
    """Return a variance with a row per point, or one row, and a column per block."""
    if blocks is None:
        return variance.reshape(-1, 1)
    return variance.reshape(-1, len(blocks)) if variance.ndim else variance.reshape(1, 1)

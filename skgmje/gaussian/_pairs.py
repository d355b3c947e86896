"""Sums and matrices over all pairs of two sets of bumps, by matrix products."""

from skgmje._backend import detach, is_torch, namespace
from skgmje._kernels import _tiles as tiles
from skgmje.gaussian._kernel import log_bumps, sum_over_columns
from skgmje.gaussian._products import Products

# Up to so many differences of columns no time is gained by a product.
_FEW = 2**16

# Pairs of a part of a sum that is not a product.
_PAIRS = 2**20


def log_correlation(rows, columns, blocks=None):
    """Compute the log inner products of bumps of unit norm, (points, variance)."""
    (X, v), (Y, w) = rows, columns
    xp = namespace(X)
    per_point = 0 if blocks is None else 1
    v = v[:, None] if v.ndim > per_point else v
    w = w[None, :] if w.ndim > per_point else w
    # Half the log ratio of the arithmetic to the geometric mean: 0 if v = w.
    shift = xp.log((v + w) / (2 * xp.sqrt(v) * xp.sqrt(w))) / 2
    return log_bumps(X, Y, v + w, blocks) - sum_over_columns(shift, X, blocks)


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
        Sums S, as a rule in double precision.

    scale : float or array of shape ()
        The constant m, about the largest exponent.
    """
    arrays = *rows, *columns, row_logs, column_logs
    products = Products.of(arrays, blocks)
    if products is None:
        return _sums_in_parts(rows, columns, blocks, row_logs, column_logs)
    symmetric = rows[0] is columns[0] and rows[1] is columns[1]
    symmetric = symmetric and row_logs is column_logs
    if is_torch(rows[0]):
        from skgmje.gaussian._autograd import ColumnSums

        return ColumnSums.apply(products, symmetric, *arrays)
    F, G = products.features
    scale, sums = tiles.column_sums(F, G, moments=False, symmetric=symmetric)
    return sums[-1], scale


def correlations(
    rows, columns, blocks=None, row_logs=None, column_logs=None, *, by_row=False
):
    r"""Compute the weighted correlations of two sets of bumps, not in logs.

    .. math:: P_{ij} = \exp(a_i + L_{ij} + b_j - m_i)

    Parameters
    ----------
    rows, columns, blocks, row_logs, column_logs
        As for `column_sums`.

    by_row : bool, default=False
        Scale each row by its largest entry, as far as that is needed, and not all
        by the largest of all.

    Returns
    -------
    matrix : array of shape (n, k)
        The matrix P.

    scale : array of shape (n, 1) or (1, 1)
        The constants m, without gradient.
    """
    arrays = *rows, *columns, row_logs, column_logs
    (n, d), k = rows[0].shape, columns[0].shape[0]
    products = Products.of(arrays, blocks) if n * k * d > _FEW else None
    if products is None:
        logs = _weighted(rows, columns, blocks, row_logs, column_logs)
        return _scaled(logs, axis=1 if by_row else (0, 1))
    dtype = rows[0].dtype
    if is_torch(rows[0]):
        from skgmje.gaussian._autograd import Exponentials

        return Exponentials.apply(products, by_row, *arrays)
    return tiles.exponentials(*products.features, dtype, by_row=by_row)


def _weighted(rows, columns, blocks, row_logs, column_logs):
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
        return xp.sum(E, axis=0), scale[0]

    if is_torch(X) and n > height:
        from skgmje.gaussian._autograd import recomputed

        sums = recomputed(sums)
    parts = [sums(slice(i, i + height)) for i in range(0, n, height)]
    scales = xp.concat([scale for _, scale in parts])
    top = xp.max(scales)
    shares = xp.exp(scales - top)
    total = sum(part * share for (part, _), share in zip(parts, shares, strict=True))
    return total, top

"""Passes over the rows in blocks: densities, responsibilities, statistics.

Each function takes arrays and gives arrays, is picklable, and needs memory for
one block only, so that any engine may call it on its own part of the rows.
"""

import numpy as np

from skgmje._kernels._kernel import EXP_FLOOR, TILE, Statistics, buffer
from skgmje._kernels._threads import map_chunks

# A block's features and joint densities should stay near the core.
BLOCK_BYTES = 2**21

# Blocks are padded to a multiple of it: the bits of a matrix product's column
# then depend neither on how many columns there are nor on where it stands.
PADDING = 64
MAX_ROWS = 4096

# A thread takes this many blocks at a time; sums are added chunk by chunk.
BLOCKS_PER_CHUNK = 4

# Multiplications that take as long as one exponential and its reductions.
EXP_COST = 40

# Matrix products below this size may be summed in another order, which shows
# where the inner dimension is longer than the library's blocks of it.
SMALL_PRODUCT = 2**21
LONG_INNER = 256

# Below this log-density less than five digits of the differences are left.
FAR = -1e-5 / np.finfo(np.float64).eps


def block_rows(kernel):
    """Return how many rows of a block fit the cache, a multiple of the padding."""
    n_components = kernel.n_components if kernel.n_tiles == 1 else TILE
    rows = BLOCK_BYTES // (8 * (kernel.n_forms + n_components))
    rows = min(MAX_ROWS, max(PADDING, rows))
    return max(padded_rows(kernel, 1), rows - rows % PADDING)


def padded_rows(kernel, n_rows):
    """Return the width of the block that `n_rows` rows are computed in."""
    least = 1
    if kernel.n_forms > LONG_INNER:
        least = min(MAX_ROWS, SMALL_PRODUCT // (kernel.n_forms * kernel.n_components))
    return -(-max(n_rows, least) // PADDING) * PADDING


def log_prob(kernel, X):
    """Compute the log-density of each row, float64; NaN where a row has NaN."""
    out = np.empty(len(X))
    evaluate = _tiled_log_norm if kernel.n_tiles > 1 else _log_norm

    def fill(chunk):
        work = {}
        for rows, columns in blocks(kernel, X, work, chunk):
            out[rows] = evaluate(kernel, columns, work)[: rows.stop - rows.start]

    _each_chunk(kernel, X, fill)
    return out


def _log_norm(kernel, columns, work):
    return normalised(kernel, columns, work)[1]


def _tiled_log_norm(kernel, columns, work):
    """Return the log-densities, a tile of components at a time."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        features = kernel.features(columns, work)
        top = np.full(columns.shape[1], -np.inf)
        total = np.zeros(columns.shape[1])
        for start in range(0, kernel.n_components, TILE):
            theta = kernel.theta[start : start + TILE]
            joint = buffer(work, "tile", (len(theta), columns.shape[1]))
            np.matmul(theta, features, out=joint)
            highest = np.maximum(top, joint.max(axis=0))
            joint -= highest
            np.maximum(joint, EXP_FLOOR, out=joint)
            np.exp(joint, out=joint)
            total *= np.exp(top - highest)
            total += joint.sum(axis=0)
            top = highest
        log_norm = np.log(total) + top
        offset = kernel.offset(features)
    if offset is not None:
        log_norm += offset
    lost = ~np.isfinite(log_norm)
    if lost.any():
        # Rows that overflowed take the careful path; the others keep their bits.
        log_norm[lost] = _log_norm(kernel, columns, work)[lost]
    return log_norm


def responsibilities(kernel, X, dtype=np.float64, temper=1.0, far=None):
    """Compute the posterior weights, shape (n_samples, n_components).

    Rows so far away that rounding hides what tells the components apart are
    handed to `far`, if given.
    """
    out = np.empty((len(X), kernel.n_components), dtype)

    def fill(chunk):
        work = {}
        for rows, columns in blocks(kernel, X, work, chunk):
            resp, log_norm, total = normalised(kernel, columns, work, temper)
            resp /= total
            n_rows = rows.stop - rows.start
            out[rows] = resp[:, :n_rows].T
            log_norm = log_norm[:n_rows]
            if far is not None and not log_norm.min() > FAR:
                lost = rows.start + np.flatnonzero(log_norm <= FAR)
                if len(lost):
                    out[lost] = far(X[lost])

    _each_chunk(kernel, X, fill)
    return out


def joint_log_prob(kernel, X):
    """Compute ``log w_k + log N_k(x)``, shape (n_samples, n_components)."""
    out = np.empty((len(X), kernel.n_components))
    work = {}
    for rows, columns in blocks(kernel, X, work, slice(0, len(X))):
        joint, offset = kernel.log_joint(columns, work)
        if offset is not None:
            joint += offset
        out[rows] = joint[:, : rows.stop - rows.start].T
    return out


def block_stats(kernel, X, sample_weight=None, temper=1.0):
    """Take the E-step and its sufficient statistics in one pass.

    Parameters
    ----------
    kernel : Kernel
        The current mixture.

    X : array of shape (n_samples, n_features)
        Rows, without NaN.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows; None means 1.

    temper : float, default=1.0
        Power of the joint densities before they become responsibilities.

    Returns
    -------
    stats : Statistics
        Counts, means and second moments about them.
    """

    def gather(chunk):
        work, totals = {}, None
        for rows, columns in blocks(kernel, X, work, chunk):
            resp, log_norm, total = normalised(kernel, columns, work, temper)
            n_rows = rows.stop - rows.start
            row_weight = np.zeros(len(total))
            row_weight[:n_rows] = 1.0 if sample_weight is None else sample_weight[rows]
            log_likelihood = log_norm @ row_weight
            row_weight /= total
            resp *= row_weight
            part = _moments(kernel, columns, resp, work)
            totals = _added(totals, [log_likelihood, *part])
        return totals

    log_likelihood, *totals = _sum_chunks(kernel, X, gather)
    log_likelihood = float(log_likelihood)
    weight = len(X) if sample_weight is None else float(sample_weight.sum(dtype=float))
    return from_sums(kernel, totals, log_likelihood, weight)


def assigned_stats(kernel, X, resp, sample_weight=None):
    """Return the statistics of given responsibilities.

    Parameters
    ----------
    kernel : Kernel
        Of any mixture of the type; only its origins matter.

    X : array of shape (n_samples, n_features)
        Rows, without NaN.

    resp : ndarray of shape (n_samples,) or (n_samples, n_components)
        Labels, or the responsibilities themselves.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows; None means 1.

    Returns
    -------
    stats : Statistics
        With a log-likelihood of zero.
    """
    components = np.arange(kernel.n_components)[:, None]

    def gather(chunk):
        work, totals = {}, None
        for rows, columns in blocks(kernel, X, work, chunk):
            part = resp[rows].T if resp.ndim == 2 else components == resp[rows]
            padded = np.zeros((kernel.n_components, columns.shape[1]))
            padded[:, : part.shape[1]] = part
            if sample_weight is not None:
                padded[:, : part.shape[1]] *= sample_weight[rows]
            totals = _added(totals, _moments(kernel, columns, padded, work))
        return totals

    totals = _sum_chunks(kernel, X, gather)
    weight = len(X) if sample_weight is None else float(sample_weight.sum(dtype=float))
    return from_sums(kernel, totals, 0.0, weight)


def from_sums(kernel, totals, log_likelihood, weight):
    """Return statistics about their own means from sums about the origins."""
    counts, sums, *scatter = totals
    safe = np.where(counts > 0, counts, 1.0)
    delta = sums / safe[:, None]
    correction = kernel.outer(delta, counts)
    scatter = tuple(a - b for a, b in zip(scatter, correction, strict=True))
    return Statistics(counts, kernel.origins + delta, scatter, log_likelihood, weight)


def merge_stats(kernel, first, second):
    """Return the statistics of two sets of rows taken with the same kernel."""
    counts = first.counts + second.counts
    safe = np.where(counts > 0, counts, 1.0)
    delta = second.means - first.means
    between = kernel.outer(delta, first.counts * second.counts / safe)
    return Statistics(
        counts,
        first.means + delta * (second.counts / safe)[:, None],
        tuple(
            a + b + c
            for a, b, c in zip(first.scatter, second.scatter, between, strict=True)
        ),
        first.log_likelihood + second.log_likelihood,
        first.weight + second.weight,
    )


def m_step(kernel, stats, prior):
    """Return ``(weights, means, covariances)`` that maximise the posterior."""
    weights = stats.counts / stats.counts.sum()
    return weights, stats.means, kernel.estimate(stats, prior)


def _each_chunk(kernel, X, function):
    """Apply `function` to chunks of a fixed number of blocks, maybe in threads."""
    step = BLOCKS_PER_CHUNK * block_rows(kernel)
    chunks = [
        slice(start, min(start + step, len(X))) for start in range(0, len(X), step)
    ]
    work = float(len(X)) * kernel.n_components * (kernel.n_forms + EXP_COST)
    return map_chunks(function, chunks, work)


def _sum_chunks(kernel, X, function):
    """Add the results of chunks in their order, whoever computed them."""
    totals = None
    for part in _each_chunk(kernel, X, function):
        totals = _added(totals, part)
    return totals


def blocks(kernel, X, work, chunk):
    """Yield ``(rows, columns)``: centred rows of a block, as padded columns."""
    step = block_rows(kernel)
    for start in range(chunk.start, chunk.stop, step):
        rows = slice(start, min(start + step, chunk.stop))
        n_rows = rows.stop - rows.start
        columns = buffer(
            work, "columns", (kernel.n_features, padded_rows(kernel, n_rows))
        )
        np.subtract(X[rows].T, kernel.center[:, None], out=columns[:, :n_rows])
        columns[:, n_rows:] = 0.0
        yield rows, columns


def normalised(kernel, columns, work, temper=1.0):
    """Return unnormalised weights, log-densities and the weights' sums.

    Parameters
    ----------
    kernel : Kernel
        The mixture.

    columns : ndarray of shape (n_features, n_rows)
        Centred rows, as columns.

    work : dict
        Buffers; the weights are one of them.

    temper : float, default=1.0
        Power of the joint densities.

    Returns
    -------
    weights : ndarray of shape (n_components, n_rows)
        Joint densities divided by the largest of each row.

    log_norm : ndarray of shape (n_rows,)
        Log-density of each row.

    total : ndarray of shape (n_rows,)
        Sum of `weights` over the components.
    """
    joint, offset = kernel.log_joint(columns, work)
    if temper != 1.0:
        joint *= temper
    top = joint.max(axis=0)
    far = None
    if not np.isfinite(top.min()):
        far = top == -np.inf
        with np.errstate(invalid="ignore"):
            joint[:, far] = _nearest(kernel, columns[:, far])
        top[far] = 0.0
    joint -= top
    np.maximum(joint, EXP_FLOOR, out=joint)
    np.exp(joint, out=joint)
    if kernel.weightless is not None:
        joint[kernel.weightless] = 0.0
    total = joint.sum(axis=0)
    log_norm = np.log(total)
    log_norm += top
    if offset is not None:
        log_norm += offset
    if far is not None:
        log_norm[far] = -np.inf
    return joint, log_norm, total


def _moments(kernel, columns, resp, work):
    sums, scatter = kernel.moments(columns, resp, work)
    return [resp.sum(axis=1), sums, *scatter]


def _added(totals, part):
    if totals is None:
        return part
    return [a + b for a, b in zip(totals, part, strict=True)]


def _nearest(kernel, columns):
    """Return joint log-weights of rows so far away that all densities underflow.

    Distances are taken to rows and means shrunk by the size of the row, which
    cannot overflow; the nearest component (or several, if equal) takes all.
    """
    out = np.empty((kernel.n_components, columns.shape[1]))
    for i, column in enumerate(columns.T):
        scale = np.abs(column).max()
        means = kernel.center + (kernel.means - kernel.center) / scale
        local = type(kernel)(
            np.exp(kernel.log_weights), means, kernel.covariances, kernel.center
        )
        distance = local.squared_distances(column[:, None] / scale)[:, 0]
        nearest = distance <= distance.min() * (1 + 1e-12)
        out[:, i] = np.where(nearest, kernel.log_weights, -np.inf)
    return out

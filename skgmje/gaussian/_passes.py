"""Passes over the samples: log-densities and sufficient statistics, block by block."""

import numpy as np

from skgmje.gaussian._loops import EXP_FLOOR, TILE, Statistics
from skgmje.gaussian._threads import map_chunks

# A block's features and joint densities should stay near the core, the joint
# densities, which are gone through several times, in its own cache.
BLOCK_BYTES = 2**21


JOINT_BYTES = 3 * 2**18


# Blocks are padded to a multiple of it: the bits of a matrix product's column
# then depend neither on how many columns there are nor on where it stands.
PADDING = 64


MAX_ROWS = 4096


# A thread takes this many blocks at a time; sums are added chunk by chunk.
BLOCKS_PER_CHUNK = 4


# Multiplications that take as long as one exponential and its reductions.
EXP_COST = 40


# Below this log-density less than five digits of the differences are left.
FAR = -1e-5 / np.finfo(np.float64).eps


# Sums of densities begin with it. Beside it exponentials below that of the floor
# are lost in rounding, whether they were raised to the floor or not.
NEGLIGIBLE = 1e-285


# Sums below it may lack terms that count: their rows take the careful path.
SMALLEST = 1e-250


# Components so much lower than the highest leave many rows to the careful path.
LARGEST_DROP = 400.0


def block_rows(kernel):
    """Return how many rows of a block fit the cache, a multiple of the padding."""
    n_components = kernel.tiles[0].stop
    rows = min(
        MAX_ROWS,
        BLOCK_BYTES // (8 * (kernel.n_held + n_components)),
        JOINT_BYTES // (8 * min(n_components, TILE)),
    )
    return max(PADDING, rows - rows % PADDING)


def padded(n_rows):
    """Return the width of the block that `n_rows` rows are computed in."""
    return -(-n_rows // PADDING) * PADDING


def log_prob(kernel, X):
    """Compute the log-density of each row, float64; NaN where a row has NaN."""
    out = np.empty(len(X))
    quick = kernel.expands and kernel.drop < LARGEST_DROP
    log_norm = _quick_log_norm if quick else _careful_log_norm

    def fill(chunk):
        work = {}
        for rows, block in blocks(kernel, X, work, chunk):
            out[rows] = log_norm(kernel, block, work, rows.stop - rows.start)

    _each_chunk(kernel, X, fill)
    return out


def _careful_log_norm(kernel, block, work, n_rows):
    return normalised(kernel, block, work)[1][:n_rows]


def _quick_log_norm(kernel, block, work, n_rows):
    """Return the log-densities of rows that are not far from all components."""
    total = 0.0
    for tile in kernel.tiles:
        joint = kernel.expanded(block, work, tile)
        if joint.min() < EXP_FLOOR:
            np.maximum(joint, EXP_FLOOR, out=joint)
        np.exp(joint, out=joint)
        total = total + np.add.reduce(joint, axis=0, initial=NEGLIGIBLE)
    total = total[:n_rows]
    log_norm = np.log(total)
    log_norm += kernel.peak
    if not (total.min() > SMALLEST and total.max() < np.inf):
        lost = np.flatnonzero(~((total > SMALLEST) & (total < np.inf)))
        rows = kernel.block(padded(len(lost)), {})
        rows[:, : len(lost)] = block[:, lost]
        rows[:, len(lost) :] = 0.0
        log_norm[lost] = _careful_log_norm(kernel, rows, {}, len(lost))
    return log_norm


def responsibilities(kernel, X, dtype=np.float64, temper=1.0, far=None):
    """Compute the posterior weights, shape (n_samples, n_components)."""
    out = np.empty((len(X), kernel.n_components), dtype)

    def fill(chunk):
        work = {}
        for rows, block in blocks(kernel, X, work, chunk):
            resp, log_norm, total = normalised(kernel, block, work, temper)
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

    def fill(chunk):
        work = {}
        for rows, block in blocks(kernel, X, work, chunk):
            joint = kernel.log_joint(block, work)
            joint += kernel.peak
            out[rows] = joint[:, : rows.stop - rows.start].T

    _each_chunk(kernel, X, fill)
    return out


def block_stats(kernel, X, sample_weight=None, temper=1.0):
    """Take the E-step and its sufficient statistics in one pass."""

    def gather(chunk):
        work, totals = {}, None
        for rows, block in blocks(kernel, X, work, chunk):
            resp, log_norm, total = normalised(kernel, block, work, temper)
            n_rows = rows.stop - rows.start
            row_weight = np.zeros(len(total))
            row_weight[:n_rows] = 1.0 if sample_weight is None else sample_weight[rows]
            log_likelihood = log_norm @ row_weight
            row_weight /= total
            resp *= row_weight
            part = _moments(kernel, block, resp, work)
            totals = _added(totals, [log_likelihood, *part])
        return totals

    log_likelihood, *totals = _sum_chunks(kernel, X, gather)
    log_likelihood = float(log_likelihood)
    weight = len(X) if sample_weight is None else float(sample_weight.sum(dtype=float))
    return from_sums(kernel, totals, log_likelihood, weight)


def assigned_stats(kernel, X, resp, sample_weight=None):
    """Return the statistics of given responsibilities."""
    components = np.arange(kernel.n_components)[:, None]

    def gather(chunk):
        work, totals = {}, None
        for rows, block in blocks(kernel, X, work, chunk):
            part = resp[rows].T if resp.ndim == 2 else components == resp[rows]
            shares = np.zeros((kernel.n_components, block.shape[1]))
            shares[:, : part.shape[1]] = part
            if sample_weight is not None:
                shares[:, : part.shape[1]] *= sample_weight[rows]
            totals = _added(totals, _moments(kernel, block, shares, work))
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
    # What overflows, rows far away, is found and computed again.
    quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")
    return map_chunks(quiet(function), chunks, work)


def _sum_chunks(kernel, X, function):
    """Add the results of chunks in their order, whoever computed them."""
    totals = None
    for part in _each_chunk(kernel, X, function):
        totals = _added(totals, part)
    return totals


def blocks(kernel, X, work, chunk):
    """Yield ``(rows, block)``: centred rows as padded columns, then features."""
    step, d = block_rows(kernel), kernel.n_features
    center = kernel.center[:, None]
    for start in range(chunk.start, chunk.stop, step):
        rows = slice(start, min(start + step, chunk.stop))
        n_rows = rows.stop - rows.start
        block = kernel.block(padded(n_rows), work)
        np.subtract(X[rows].T, center, out=block[:d, :n_rows])
        block[:d, n_rows:] = 0.0
        if kernel.expands:
            kernel.fill(block)
        yield rows, block


def normalised(kernel, block, work, temper=1.0):
    """Return unnormalised weights, log-densities and the weights' sums."""
    joint = kernel.log_joint(block, work)
    if temper != 1.0:
        joint *= temper
    top = joint.max(axis=0)
    far = None
    if not np.isfinite(top.min()):
        far = top == -np.inf
        joint[:, far] = _nearest(kernel, block[: kernel.n_features, far])
        top[far] = 0.0
    joint -= top
    np.maximum(joint, EXP_FLOOR, out=joint)
    np.exp(joint, out=joint)
    if kernel.weightless is not None:
        joint[kernel.weightless] = 0.0
    total = joint.sum(axis=0)
    log_norm = np.log(total)
    log_norm += top
    log_norm += temper * kernel.peak
    if far is not None:
        log_norm[far] = -np.inf
    return joint, log_norm, total


def _moments(kernel, block, resp, work):
    sums, scatter = kernel.moments(block, resp, work)
    return [resp.sum(axis=1), sums, *scatter]


def _added(totals, part):
    if totals is None:
        return part
    return [a + b for a, b in zip(totals, part, strict=True)]


def _nearest(kernel, columns):
    """Return joint log-weights of rows so far away that all densities underflow."""
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

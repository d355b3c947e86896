"""Passes over the samples: log-densities and sufficient statistics, block by block."""

import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial, reduce

import numpy as np
from threadpoolctl import ThreadpoolController

from skgmje._backend import namespace, slices
from skgmje.gaussian._covariance_type import EXP_FLOOR, PADDING, Statistics, buffer
from skgmje.gaussian._processor import exp_in_place

# A thread takes this many blocks at a time; sums are added chunk by chunk.
BLOCKS_PER_CHUNK = 4

# Multiplications that take as long as one exponential and its reductions.
EXP_COST = 40

# Rows so many bytes apart, or a multiple, share few lines of the cache: to read their
# columns takes three times as long as from rows that are moved apart.
HALF_PAGE = 2048

# Below this log-density less than five digits of the differences are left.
FAR = -1e-5 / np.finfo(np.float64).eps

# Sums of densities begin with it. Beside it exponentials below that of the floor
# are lost in rounding, whether they were raised to the floor or not.
NEGLIGIBLE = 1e-285

# Sums below it may lack terms that count: their rows take the careful path.
SMALLEST = 1e-250

# Components so much lower than the highest leave many rows to the careful path.
LARGEST_DROP = 400.0


def padded(n_rows):
    """Return the width of the block that `n_rows` rows are computed in."""
    return -(-n_rows // PADDING) * PADDING


def log_prob(kernel, X):
    """Compute the log-density of each row, float64; NaN where a row has NaN."""
    return _scores(kernel, X, block_log_prob)


def responsibilities(kernel, X, temper=1.0):
    """Compute the posterior weights, shape (n_samples, n_components)."""
    function = partial(block_responsibilities, temper=temper)
    return _scores(kernel, X, function, kernel.n_components)


def joint_log_prob(kernel, X):
    """Compute ``log w_k + log N_k(x)``, shape (n_samples, n_components)."""
    return _scores(kernel, X, block_joint_log_prob, kernel.n_components)


def _scores(kernel, X, function, *shape):
    """Score samples by a function of blocks, shape (n_samples, *shape)."""
    out = np.empty((len(X), *shape))
    map_chunks(partial(fill_scores, kernel, X, out, function), *chunks_of(kernel, X))
    return out


def fill_scores(kernel, X, out, function, chunk):
    """Write the scores of a chunk of samples."""
    work = {}
    for rows, block in blocks(kernel, X, work, chunk):
        out[rows] = function(kernel, block, work, rows.stop - rows.start)


def block_log_prob(kernel, block, work, n_rows):
    """Return the log-densities of a block, (n_rows,)."""
    if not (kernel.expands and kernel.drop < LARGEST_DROP):
        return normalised(kernel, block, work)[1][:n_rows]
    # Samples that are not far from all components need no largest term.
    total = 0.0
    for tile in kernel.tiles:
        joint = kernel.expanded(block, work, tile)
        if not joint.min() >= EXP_FLOOR:
            np.maximum(joint, EXP_FLOOR, out=joint)
        exp_in_place(joint, work)
        total = total + np.add.reduce(joint, axis=0, initial=NEGLIGIBLE)
    total = total[:n_rows]
    log_norm = np.log(total)
    log_norm += kernel.peak
    if not (total.min() > SMALLEST and total.max() < np.inf):
        lost = np.flatnonzero(~((total > SMALLEST) & (total < np.inf)))
        rows = kernel.block(padded(len(lost)), {})
        rows[:, : len(lost)] = block[:, lost]
        rows[:, len(lost) :] = 0.0
        log_norm[lost] = normalised(kernel, rows, {})[1][: len(lost)]
    return log_norm


def block_responsibilities(kernel, block, work, n_rows, temper=1.0, *, mark_far=False):
    """Return the posterior weights of a block, (n_rows, K); NaN far away, if wanted."""
    resp, log_norm, total = normalised(kernel, block, work, temper)
    resp /= total
    resp = resp[:, :n_rows].T
    log_norm = log_norm[:n_rows]
    if mark_far and not log_norm.min() > FAR:
        resp[log_norm <= FAR] = np.nan
    return resp


def block_joint_log_prob(kernel, block, work, n_rows):
    """Return ``log w_k + log N_k(x)`` of a block, (n_rows, n_components)."""
    joint = kernel.log_joint(block, work)
    joint += kernel.peak
    return joint[:, :n_rows].T


def block_stats(kernel, X, sample_weight=None, temper=1.0):
    """Take the E-step and its sufficient statistics in one pass."""

    def parts(chunk):
        work = {}
        for rows, block in blocks(kernel, X, work, chunk):
            resp, log_norm, total = normalised(kernel, block, work, temper)
            n_rows = rows.stop - rows.start
            row_weight = np.zeros(len(total))
            row_weight[:n_rows] = 1.0 if sample_weight is None else sample_weight[rows]
            log_likelihood = log_norm @ row_weight
            row_weight /= total
            resp *= row_weight
            yield [log_likelihood, *kernel.moments(block, resp, work)]

    log_likelihood, *totals = _sum_chunks(kernel, X, parts)
    weight = len(X) if sample_weight is None else float(sample_weight.sum(dtype=float))
    return from_sums(kernel, totals, float(log_likelihood), weight)


def assigned_stats(kernel, X, resp, sample_weight=None):
    """Return the statistics of given responsibilities."""
    components = np.arange(kernel.n_components)[:, None]
    alone = resp.ndim == 1 and kernel.per_component and not kernel.expands

    def parts(chunk):
        if alone:
            weight = None if sample_weight is None else sample_weight[chunk]
            yield _moments_of_labels(kernel, X[chunk], resp[chunk], weight)
            return
        work = {}
        for rows, block in blocks(kernel, X, work, chunk):
            part = resp[rows].T if resp.ndim == 2 else components == resp[rows]
            shares = np.zeros((kernel.n_components, block.shape[1]))
            shares[:, : part.shape[1]] = part
            if sample_weight is not None:
                shares[:, : part.shape[1]] *= sample_weight[rows]
            yield kernel.moments(block, shares, work)

    totals = _sum_chunks(kernel, X, parts)
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
    scatter = zip(first.scatter, second.scatter, between, strict=True)
    return Statistics(
        counts,
        first.means + delta * (second.counts / safe)[:, None],
        tuple(a + b + c for a, b, c in scatter),
        first.log_likelihood + second.log_likelihood,
        first.weight + second.weight,
        first.background + second.background,
    )


def m_step(kernel, stats, prior):
    """Return ``(weights, means, covariances)`` that maximise the posterior."""
    weights = stats.counts / stats.counts.sum()
    if prior.model is None:
        return weights, stats.means, kernel.estimate(stats, prior)
    return weights, stats.means, prior.model.estimate(kernel, stats, prior)


def chunks_of(kernel, X):
    """Return chunks of a fixed number of blocks, as slices, and the work in all."""
    chunks = slices(len(X), BLOCKS_PER_CHUNK * kernel.block_rows)
    return chunks, float(len(X)) * kernel.n_components * (kernel.n_forms + EXP_COST)


def _sum_chunks(kernel, X, parts):
    """Add the parts of each chunk, then those sums in the order of the chunks."""

    def total(chunk):
        return reduce(_add, parts(chunk))

    return reduce(_add, map_chunks(total, *chunks_of(kernel, X)))


def _add(first, second):
    """Add lists of arrays."""
    return [a + b for a, b in zip(first, second, strict=True)]


def blocks(kernel, X, work, chunk):
    """Yield ``(rows, block)``: centered rows as padded columns, then features."""
    d, center = kernel.n_features, kernel.center[:, None]
    for rows in slices(chunk.stop, kernel.block_rows, chunk.start):
        n_rows = rows.stop - rows.start
        block, own = kernel.block(padded(n_rows), work), X[rows]
        if own.strides[0] % HALF_PAGE == 0:
            apart = buffer(work, "rows", (n_rows, d + PADDING))[:, :d]
            apart[...], own = own, apart
        np.subtract(own.T, center, out=block[:d, :n_rows])
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
    if not math.isfinite(top.min()):
        far = top == -np.inf
        joint[:, far] = _nearest(kernel, block[: kernel.n_features, far])
        top[far] = 0.0
    joint -= top
    if not joint.min() >= EXP_FLOOR:
        np.maximum(joint, EXP_FLOOR, out=joint)
    exp_in_place(joint, work)
    if kernel.weightless is not None:
        joint[kernel.weightless] = 0.0
    total = joint.sum(axis=0)
    log_norm = np.log(total)
    log_norm += top
    log_norm += temper * kernel.peak
    if far is not None:
        log_norm[far] = -np.inf
    return joint, log_norm, total


def _moments_of_labels(kernel, X, labels, sample_weight):
    """Return counts, sums and scatter of rows that each have one component."""
    order = np.argsort(labels, kind="stable")
    present, first = np.unique(labels[order], return_index=True)
    if sample_weight is None:
        sample_weight = np.ones(len(X))
    columns, work, parts = (X[order] - kernel.center).T, {}, []
    for k, rows in zip(present, np.split(order, first[1:]), strict=True):
        weight = sample_weight[rows].astype(np.float64)
        own = columns[:, : len(rows)]
        columns = columns[:, len(rows) :]
        sums, scatter = kernel._direct_moments(own, {k: weight}, work, [k])
        parts.append([weight.sum(keepdims=True), sums, *scatter])
    totals = [np.zeros((kernel.n_components, *part.shape[1:])) for part in parts[0]]
    for total, part in zip(totals, zip(*parts, strict=True), strict=True):
        total[present] = np.concatenate(part)
    return totals


def _nearest(kernel, columns):
    """Return joint log-weights of rows so far away that all densities underflow."""
    out = np.empty((kernel.n_components, columns.shape[1]))
    for i, column in enumerate(columns.T):
        scale = np.abs(column).max()
        means = kernel.center + kernel.centered / scale
        local = type(kernel)(
            np.exp(kernel.log_weights), means, kernel.covariances, kernel.center
        )
        distance = local.squared_distances(column[:, None] / scale)[:, 0]
        nearest = distance <= distance.min() * (1 + 1e-12)
        out[:, i] = np.where(nearest, kernel.log_weights, -np.inf)
    return out


# Entries of a block's features and densities on a device: 512 MB in double precision.
DEVICE_BLOCK_ENTRIES = 2**26


def device_log_prob(kernel, X):
    """Compute the log-density of each row of a tensor, in the type of `X`."""
    xp = namespace(X)
    out = xp.empty(X.shape[0], dtype=X.dtype, device=X.device)
    for rows, _, joint in _device_blocks(kernel, X):
        log_prob = _device_normalise(xp, joint)[1] + kernel.peak
        out[rows] = xp.asarray(log_prob, dtype=X.dtype)
    return out


def device_stats(kernel, X, sample_weight=None, temper=1.0):
    """Take the E-step of a tensor's rows; the statistics come back as NumPy arrays."""
    xp = namespace(X)
    totals, weight, log_likelihood = 0.0, 0.0, 0.0
    for rows, features, joint in _device_blocks(kernel, X):
        resp, log_norm = _device_normalise(xp, joint * temper)
        log_norm = log_norm + temper * kernel.peak
        if sample_weight is None:
            weight = weight + X[rows].shape[0]
        else:
            part = xp.asarray(sample_weight[rows], dtype=xp.float64)
            weight = weight + xp.sum(part)
            log_norm = log_norm * part
            resp = resp * part[:, None]
        log_likelihood = log_likelihood + xp.sum(log_norm)
        totals = totals + xp.matrix_transpose(resp) @ features
    totals = np.asarray(totals.cpu())
    sums, scatter = kernel.split(totals)
    sums = [totals[:, kernel.n_features], sums, *scatter]
    return from_sums(kernel, sums, float(log_likelihood), float(weight))


def _device_blocks(kernel, X):
    """Yield ``(rows, features, joint)`` in double precision, less the peak."""
    xp = namespace(X)
    center = xp.asarray(kernel.center, device=X.device)
    theta = xp.asarray(kernel.theta.T, device=X.device)
    step = max(1, DEVICE_BLOCK_ENTRIES // (kernel.n_forms + 2 * kernel.n_components))
    for rows in slices(X.shape[0], step):
        features = kernel.rows_features(xp, X[rows] - center)
        yield rows, features, features @ theta


def _device_normalise(xp, joint):
    """Return responsibilities and log-densities of a block."""
    top = xp.max(joint, axis=1, keepdims=True)
    joint = xp.exp(xp.clip(joint - top, min=EXP_FLOOR))
    total = xp.sum(joint, axis=1, keepdims=True)
    return joint / total, (top + xp.log(total))[:, 0]


# Multiplications from which threads of our own pay, and from which those of the
# linear algebra library would start, and wait for each other more than they work.
WORTHWHILE = 5e7
NOTICEABLE = 1e5

# What overflows, rows far away, is found and computed again.
OVERFLOWS = {"over": "ignore", "invalid": "ignore", "divide": "ignore"}
_one_caller = threading.Lock()


def _start_anew():
    """Forget the threads of the parent process: in a fork they do not exist."""
    global _one_caller
    _one_caller = threading.Lock()
    _library.start_anew()


def map_chunks(function, chunks, work):
    """Apply `function` to each chunk, in threads where the work is large."""
    with np.errstate(**OVERFLOWS):
        if work < NOTICEABLE:
            return [function(chunk) for chunk in chunks]
        with _library.held_at_one() as n_threads:
            n_threads = min(len(chunks), n_threads)
            alone = n_threads > 1 and work >= WORTHWHILE
            if not alone or not _one_caller.acquire(blocking=False):
                return [function(chunk) for chunk in chunks]
            try:
                with ThreadPoolExecutor(n_threads) as pool:
                    # Threads have settings of their own.
                    return list(pool.map(np.errstate(**OVERFLOWS)(function), chunks))
            finally:
                _one_caller.release()


class _Library:
    """The linear algebra libraries of this process, held at one thread together."""

    def __init__(self):
        self._lock = threading.Lock()
        self._libraries = None
        self._users = 0
        self._counts = []

    @contextmanager
    def held_at_one(self):
        """Hold the libraries at one thread; give the number they had."""
        with self._lock:
            if self._libraries is None:
                found = ThreadpoolController().lib_controllers
                self._libraries = [lib for lib in found if lib.user_api == "blas"]
            if self._users == 0:
                self._counts = [lib.get_num_threads() for lib in self._libraries]
                self._set([1] * len(self._counts))
            self._users += 1
        try:
            yield max(self._counts, default=1)
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._set(self._counts)

    def start_anew(self):
        """Release what a thread of the parent process may have held."""
        self._lock = threading.Lock()
        if self._users:
            self._users = 0
            self._set(self._counts)

    def _set(self, counts):
        for library, count in zip(self._libraries, counts, strict=True):
            if library.get_num_threads() != count:
                library.set_num_threads(count)


_library = _Library()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)

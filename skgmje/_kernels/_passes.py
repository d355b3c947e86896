"""Passes over the rows in blocks: densities, responsibilities, statistics.

Each function takes arrays and gives arrays, is picklable, and needs memory for
one block only, so that any engine may call it on its own part of the rows.
"""

import numpy as np

from skgmje._kernels._kernel import EXP_FLOOR, Statistics, buffer

# A block's features and joint densities should stay in the second-level cache.
BLOCK_BYTES = 2**20

# Below this log-density less than five digits of the differences are left.
FAR = -1e-5 / np.finfo(np.float64).eps


def block_rows(kernel):
    """Return how many rows of a block fit the cache."""
    rows = BLOCK_BYTES // (8 * (kernel.n_forms + kernel.n_components))
    return int(min(1024, max(64, rows)))


def log_prob(kernel, X):
    """Compute the log-density of each row, shape (n_samples,), float64."""
    out = np.empty(len(X))
    work = {}
    for rows, joint, offset in _joint_blocks(kernel, X, work):
        out[rows] = _normalise(kernel, X[rows], joint, offset)[0]
    return out


def responsibilities(kernel, X, dtype=np.float64, temper=1.0, far=None):
    """Compute the posterior weights, shape (n_samples, n_components).

    Rows so far away that rounding hides what tells the components apart are
    handed to `far`, if given.
    """
    out = np.empty((len(X), kernel.n_components), dtype)
    work = {}
    for rows, joint, offset in _joint_blocks(kernel, X, work):
        if temper != 1.0:
            joint *= temper
        log_norm, total = _normalise(kernel, X[rows], joint, offset)
        joint /= total
        out[rows] = joint.T
        if far is not None and not log_norm.min() > FAR:
            lost = rows.start + np.flatnonzero(~(log_norm > FAR))
            out[lost] = far(X[lost])
    return out


def joint_log_prob(kernel, X):
    """Compute ``log w_k + log N_k(x)``, shape (n_samples, n_components)."""
    out = np.empty((len(X), kernel.n_components))
    work = {}
    for rows, joint, offset in _joint_blocks(kernel, X, work):
        if offset is not None:
            joint += offset
        out[rows] = joint.T
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
    work = {}
    totals = None
    log_likelihood = weight = 0.0
    for rows, joint, offset in _joint_blocks(kernel, X, work):
        if temper != 1.0:
            joint *= temper
        log_norm, total = _normalise(kernel, X[rows], joint, offset)
        row_weight = 1.0 if sample_weight is None else sample_weight[rows]
        joint *= row_weight / total
        log_likelihood += float((log_norm * row_weight).sum())
        totals = _accumulate(kernel, totals, X[rows], joint, work)
    weight = len(X) if sample_weight is None else float(sample_weight.sum())
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
    work = {}
    totals = None
    step = block_rows(kernel)
    components = np.arange(kernel.n_components)[:, None]
    for start in range(0, len(X), step):
        rows = slice(start, min(start + step, len(X)))
        part = resp[rows].T if resp.ndim == 2 else components == resp[rows]
        part = np.ascontiguousarray(part, dtype=np.float64)
        if sample_weight is not None:
            part *= sample_weight[rows]
        totals = _accumulate(kernel, totals, X[rows], part, work)
    weight = len(X) if sample_weight is None else float(sample_weight.sum())
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


def _accumulate(kernel, totals, X, resp, work):
    sums, scatter = kernel.moments(_centered(kernel, X, work), resp, work)
    part = [resp.sum(axis=1), sums, *scatter]
    if totals is None:
        return part
    return [a + b for a, b in zip(totals, part, strict=True)]


def _centered(kernel, X, work):
    columns = buffer(work, "columns", (kernel.n_features, len(X)))
    np.subtract(X.T, kernel.center[:, None], out=columns)
    return columns


def _joint_blocks(kernel, X, work):
    step = block_rows(kernel)
    for start in range(0, len(X), step):
        rows = slice(start, min(start + step, len(X)))
        joint, offset = kernel.log_joint(_centered(kernel, X[rows], work), work)
        yield rows, joint, offset


def _normalise(kernel, X, joint, offset):
    """Turn `joint` into unnormalised weights in place; return log-norm and total."""
    top = joint.max(axis=0)
    far = ~np.isfinite(top)
    if far.any():
        top[far] = 0.0
        joint[:, far] = _nearest(kernel, X[far])
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
    log_norm[far] = -np.inf
    return log_norm, total


def _nearest(kernel, X):
    """Return joint log-weights of rows so far away that all densities underflow.

    Distances are taken to rows and means shrunk by the size of the row, which
    cannot overflow; the nearest component (or several, if equal) takes all.
    """
    out = np.empty((kernel.n_components, len(X)))
    for i, row in enumerate(X):
        scale = np.abs(row - kernel.center).max()
        shrunk = kernel.center + (row - kernel.center) / scale
        means = kernel.center + (kernel.means - kernel.center) / scale
        local = type(kernel)(
            np.exp(kernel.log_weights), means, kernel.covariances, kernel.center
        )
        distance = local.squared_distances(shrunk[None])[:, 0]
        nearest = distance <= distance.min() * (1 + 1e-12)
        out[:, i] = np.where(nearest, kernel.log_weights, -np.inf)
    return out

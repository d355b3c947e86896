"""Mixtures of fewer components."""

from numbers import Integral

import numpy as np
from scipy.optimize import minimize

from skgmje._backend import asarray_like, slices
from skgmje.gaussian._checks import as_batch

# Entries of the table of all pairs that exist at a time, over the mixtures.
_PAIRS = 2**24

# Steps of the refinement, each of which sees all pairs of old and new components.
_MAX_ITER = 100

# Logarithms of weights and widths change by so much at most.
_REACH = 5.0


def runnalls(weights, means, covariances, n_components):
    """Merge the pairs that cost least in n mixtures (n, K), (n, K, d), (n, K, d, d)."""
    arrays = weights, means, covariances
    parts = [
        _merge_all(*(array[rows].copy() for array in arrays), n_components)
        for rows in slices(len(means), max(1, _PAIRS // means.shape[1] ** 2)) or [...]
    ]
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


# Merging i and j, which keeps weight, mean and covariance S of the pair, costs at most
# ((w_i + w_j) log|S| - w_i log|S_i| - w_j log|S_j|) / 2 nats (Runnalls, 2007).
def _merge_all(weights, means, covariances, n_components):
    """Merge pairs of a block of mixtures, whose arrays are written into."""
    n, size = weights.shape
    every = np.arange(n)
    log_dets = _log_det(covariances)

    def merged(i, others=...):
        """Merge component i (n,) of each mixture with every one, or with some."""
        own = every, i
        total = weights[own][:, None] + weights[others]
        share = weights[others] / np.where(total > 0, total, 1.0)
        diff = means[others] - means[own][:, None]
        spread = (share * (1 - share))[..., None, None] * diff[..., None]
        inside = covariances[others] - covariances[own][:, None]
        inside = covariances[own][:, None] + share[..., None, None] * inside
        mean = means[own][:, None] + share[..., None] * diff
        return total, mean, inside + spread * diff[..., None, :]

    def costs(i, matrices, total):
        """Return Runnalls' bound for component i with every one, inf for itself."""
        own = every, i
        cost = total * _log_det(matrices) - weights * log_dets
        cost -= (weights[own] * log_dets[own])[:, None]
        cost[own] = np.inf
        return np.where(alive, cost, np.inf)

    alive = np.ones((n, size), bool)
    table = np.empty((n, size, size))
    for i in range(size):
        index = np.full(n, i)
        total, _, matrices = merged(index)
        table[:, i] = costs(index, matrices, total)
    partner = table.argmin(axis=2)
    best = np.take_along_axis(table, partner[..., None], axis=2)[..., 0]
    for _ in range(size - n_components):
        i = best.argmin(axis=1)
        j = partner[every, i]
        pair = merged(i, (every[:, None], j[:, None]))
        for array, new in zip((weights, means, covariances), pair, strict=True):
            array[every, i] = new[:, 0]
        log_dets[every, i] = _log_det(covariances[every, i])
        alive[every, j] = False
        weights[every, j] = 0.0
        total, _, matrices = merged(i)
        row = costs(i, matrices, total)
        table[every, i] = table[every, :, i] = row
        table[every, j] = table[every, :, j] = np.inf
        nearer = row < best
        stale = (partner == i[:, None]) | (partner == j[:, None])
        partner = np.where(nearer, i[:, None], partner)
        best = np.where(nearer, row, best)
        stale &= ~nearer
        stale[every, i] = stale[every, j] = True
        mixture, component = np.nonzero(stale)
        rows = table[mixture, component]
        partner[mixture, component] = rows.argmin(axis=1)
        best[mixture, component] = rows.min(axis=1)
    keep = alive[..., None]
    d = means.shape[2]
    return (
        weights[alive].reshape(n, n_components),
        means[np.broadcast_to(keep, means.shape)].reshape(n, n_components, d),
        covariances[alive].reshape(n, n_components, d, d),
    )


def _log_det(matrices):
    """Return log-determinants of positive definite matrices (..., d, d), (...)."""
    if matrices.shape[-1] == 1:
        return np.log(matrices[..., 0, 0])
    return np.linalg.slogdet(matrices)[1]


def refine_l2(target, start):
    """Move the components of `start` to the least L2 distance from `target`."""
    weights, means, covariances = start
    size, d = means.shape
    lower = np.tril_indices(d)
    diagonal = lower[0] == lower[1]
    # In units of the mixture one step suits all parameters.
    scale = np.sqrt(np.einsum("k,kii->i", weights, covariances) + means.var(axis=0))
    target, start = (
        (weights, means / scale, covariances / scale / scale[:, None])
        for weights, means, covariances in (target, start)
    )
    own = _overlap(start, start)[0]

    def unpack(theta):
        logits, means, entries = np.split(theta, [size, size + size * d])
        weights = np.exp(logits - logits.max())
        entries = entries.reshape(size, -1).copy()
        entries[:, diagonal] = np.exp(entries[:, diagonal])
        roots = np.zeros((size, d, d))
        roots[:, lower[0], lower[1]] = entries
        moments = roots @ roots.transpose(0, 2, 1)
        return (weights / weights.sum(), means.reshape(size, d), moments), roots

    def objective(theta):
        mixture, roots = unpack(theta)
        square, by_own = _overlap(mixture, mixture)
        cross, by_cross = _overlap(target, mixture)
        by = [2 * (a - b) / own for a, b in zip(by_own, by_cross, strict=True)]
        by_logits = by[0] - mixture[0] * by[0].sum()
        by_entries = 2 * (by[2] @ roots)[:, lower[0], lower[1]]
        by_entries[:, diagonal] *= roots[:, lower[0], lower[1]][:, diagonal]
        slope = np.concatenate([by_logits, by[1].ravel(), by_entries.ravel()])
        return (square - 2 * cross) / own, slope

    roots = np.linalg.cholesky(start[2])
    entries = roots[:, lower[0], lower[1]]
    entries[:, diagonal] = np.log(entries[:, diagonal])
    logits = np.log(np.maximum(weights, np.finfo(float).tiny))
    theta = np.concatenate([logits, start[1].ravel(), entries.ravel()])
    # A long step in a line search shall make no component a point, or weightless.
    reach = np.full(len(theta), np.inf)
    reach[:size] = _REACH
    reach[size + size * d :].reshape(size, -1)[:, diagonal] = _REACH
    bounds = np.column_stack([theta - reach, theta + reach])
    options = {"maxiter": _MAX_ITER}
    how = {"jac": True, "method": "L-BFGS-B", "bounds": bounds, "options": options}
    found = minimize(objective, theta, **how)
    (weights, means, covariances), _ = unpack(found.x)
    return weights, means * scale, covariances * scale * scale[:, None]


def _overlap(first, second):
    """Return <p, q> and its slopes by log weights, means, covariances of q."""
    weights, means, covariances = second
    delta = first[1][:, None] - means
    inverse = np.linalg.inv(first[2][:, None] + covariances)
    solved = (inverse @ delta[..., None])[..., 0]
    exponent = -0.5 * ((delta * solved).sum(-1) + len(means[0]) * np.log(2 * np.pi))
    pairs = first[0][:, None] * weights * np.exp(exponent + 0.5 * _log_det(inverse))
    by_means = np.einsum("ij,ijd->jd", pairs, solved)
    scaled = pairs[..., None] * solved
    by_covariances = np.einsum("ijd,ije->jde", scaled, solved)
    by_covariances -= np.einsum("ij,ijde->jde", pairs, inverse)
    return pairs.sum(), (pairs.sum(axis=0), by_means, 0.5 * by_covariances)


def reduce(mixture, n_components, method):
    """Return the parameters of a mixture of `n_components`; see `Mixture.reduce`."""
    size, d = mixture.n_components, mixture.n_features
    if not isinstance(n_components, Integral) or not 0 < n_components <= size:
        raise ValueError(
            f"n_components={n_components!r} must be an int from 1 to {size}, the "
            "number of components that there are."
        )
    if method not in ("runnalls", "l2"):
        raise ValueError(f"method={method!r} must be 'runnalls' or 'l2'.")
    batch = as_batch(mixture)
    n = len(batch.means)
    dense = batch.kind.dense(batch.covariances, size, d)
    arrays = (
        np.broadcast_to(batch.weights, (n, size)),
        batch.means,
        np.broadcast_to(dense, (n, size, d, d)),
    )
    merged = runnalls(*arrays, n_components)
    if method == "l2" and n:
        each = zip(zip(*arrays, strict=True), zip(*merged, strict=True), strict=True)
        refined = [refine_l2(*pair) for pair in each]
        merged = [np.stack(parts) for parts in zip(*refined, strict=True)]
    kind = "full" if d > 1 else "diag"
    if d == 1:
        merged = (*merged[:2], merged[2][..., 0])
    leading = tuple(mixture.means.shape[:-2])
    shaped = [array.reshape(*leading, *array.shape[1:]) for array in merged]
    return *(asarray_like(array, mixture.means) for array in shaped), kind

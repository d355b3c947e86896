"""Passes over the samples of a torch device."""

import numpy as np

from skgmje._backend import namespace
from skgmje.gaussian._loops import EXP_FLOOR
from skgmje.gaussian._passes import from_sums

# Entries of a block's features and densities: 512 MB in double precision.
BLOCK_ENTRIES = 2**26


def device_log_prob(kernel, X):
    """Compute the log-density of each row of a tensor, in the type of `X`."""
    xp = namespace(X)
    out = xp.empty(X.shape[0], dtype=X.dtype, device=X.device)
    for rows, _, joint in _blocks(kernel, X):
        out[rows] = xp.asarray(_normalise(xp, joint)[1] + kernel.peak, dtype=X.dtype)
    return out


def device_stats(kernel, X, sample_weight=None, temper=1.0):
    """Take the E-step of a tensor's rows; the statistics come back as NumPy arrays."""
    xp = namespace(X)
    totals, weight, log_likelihood = 0.0, 0.0, 0.0
    for rows, features, joint in _blocks(kernel, X):
        resp, log_norm = _normalise(xp, joint * temper)
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


def _blocks(kernel, X):
    """Yield ``(rows, features, joint)`` in double precision, less the peak."""
    xp = namespace(X)
    center = xp.asarray(kernel.center, device=X.device)
    theta = xp.asarray(kernel.theta.T, device=X.device)
    step = max(1, BLOCK_ENTRIES // (kernel.n_forms + 2 * kernel.n_components))
    for start in range(0, X.shape[0], step):
        rows = slice(start, start + step)
        features = kernel.rows_features(xp, X[rows] - center)
        yield rows, features, features @ theta


def _normalise(xp, joint):
    """Return responsibilities and log-densities of a block."""
    top = xp.max(joint, axis=1, keepdims=True)
    joint = xp.exp(xp.clip(joint - top, min=EXP_FLOOR))
    total = xp.sum(joint, axis=1, keepdims=True)
    return joint / total, (top + xp.log(total))[:, 0]

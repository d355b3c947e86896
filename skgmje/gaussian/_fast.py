"""Scoring by hot loops, in bounded memory."""

import zlib

import numpy as np

from skgmje._backend import is_torch, logsumexp, unmasked
from skgmje.gaussian import _on_device, _passes
from skgmje.gaussian._arrays import map_arrays
from skgmje.gaussian._checks import check_missing, check_rows, find_missing, patterns
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._density import responsibilities as general_responsibilities

# Entries of the rows that are checked, converted and scored at a time.
CHUNK_ENTRIES = 2**19


# Densities of components from which the maps are worth moving to the device.
DEVICE_WORK = 2**16


# Rows that need no conversion, of which only the answers take memory.
MANY_ROWS = 2**17


def applies(mixture, X):
    """Tell whether rows of one NumPy mixture are asked for."""
    if is_torch(mixture.means) or mixture.means.ndim != 2:
        return False
    if not isinstance(X, np.ndarray | list | tuple):
        return False  # the general path knows torch, and refuses the rest
    try:
        return np.ndim(X) == 2
    except ValueError:  # ragged: the general path says what is wrong
        return False


def make_kernel(mixture, weights):
    """Return the hot loops of one NumPy mixture, in double precision."""
    return COVARIANCE_TYPES[mixture.covariance_type].loops(
        np.asarray(weights, np.float64),
        np.asarray(mixture.means, np.float64),
        map_arrays(lambda part: np.asarray(part, np.float64), mixture.covariances),
        np.asarray(mixture.mean, np.float64),
    )


def applies_on_device(mixture, X):
    """Tell whether many rows of one mixture of tensors are asked for, no gradient."""
    if not (is_torch(X) and is_torch(mixture.means)) or mixture.means.ndim != 2:
        return False
    large = X.ndim == 2 and X.shape[0] * mixture.n_components >= DEVICE_WORK
    tensors = (mixture.weights, mixture.means, X)
    kernel = COVARIANCE_TYPES[mixture.covariance_type].loops
    return large and kernel.on_device and not _records(tensors)


def _records(tensors):
    return any(tensor.requires_grad for tensor in tensors)


def device_log_prob(mixture, X):
    """Compute the log-density of many rows of a tensor, on its device."""
    host = mixture.to_numpy()
    kernel = make_kernel(host, host.weights)
    rows = check_rows(X, mixture)
    if not kernel.expands:
        return logsumexp(mixture._joint_log_prob(rows), axis=-1)
    find_missing(rows, "raise")
    return _on_device.device_log_prob(kernel, rows)


def fingerprint(mixture):
    """Return a checksum of the arrays: somebody may write into them."""
    covariances = mixture.covariances
    parts = covariances if isinstance(covariances, tuple) else (covariances,)
    arrays = (mixture.weights, mixture.means, *parts)
    return tuple(zlib.crc32(np.ascontiguousarray(array)) for array in arrays)


def score_rows(mixture, X, missing, score, nothing):
    """Score rows by chunks, those with gaps by the pattern of what they show."""
    check_missing(missing)
    if type(X) is not np.ndarray:
        X = np.asarray(unmasked(X))
    is_ready = X.dtype.kind == "f" and X.shape[1] == mixture.n_features
    out = np.empty((len(X), *np.shape(nothing)), mixture.means.dtype)
    entries = MANY_ROWS if is_ready else CHUNK_ENTRIES // max(1, X.shape[1])
    step = max(1024, entries)
    for start in range(0, max(1, len(X)), step):
        rows = X[start : start + step]
        if not is_ready:
            rows = check_rows(rows, mixture)
        part = out[start : start + step]
        part[:] = score(mixture, rows)
        # Rows are not searched for NaN and infinity beforehand: they show here.
        shown = part if part.ndim == 1 else part[:, 0]
        odd = np.flatnonzero(~np.isfinite(shown))
        if len(odd):
            part[odd] = _score_odd(
                mixture, rows[odd], part[odd], missing, score, nothing
            )
    return out


def _score_odd(mixture, rows, scores, missing, score, nothing):
    """Score rows with gaps; refuse infinite ones; leave what is only far away."""
    rows = check_rows(rows, mixture)
    if find_missing(rows, missing) is None:
        return scores
    for which, observed in patterns(rows):
        seen = np.flatnonzero(observed)
        if len(seen) == len(observed):
            continue
        if len(seen):
            shown = rows[np.ix_(which, seen)]
            scores[which] = score(mixture.marginal(seen), shown)
        else:
            scores[which] = nothing
    return scores


def log_prob(mixture, rows):
    """Compute the log-density of complete rows, shape (n_samples,)."""
    return _passes.log_prob(mixture._kernel, rows)


def component_log_prob(mixture, rows):
    """Compute the log-densities of the components, (n_samples, n_components)."""
    unweighted = make_kernel(mixture, np.ones(mixture.n_components))
    return _passes.joint_log_prob(unweighted, rows)


def responsibilities(mixture, rows):
    """Compute the posterior weights of complete rows, (n_samples, n_components)."""

    def far(lost):
        return general_responsibilities(mixture, check_rows(lost, mixture))

    return _passes.responsibilities(mixture._kernel, rows, far=far)

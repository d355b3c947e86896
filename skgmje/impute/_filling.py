"""Missing entries from their density given the others: means, modes, draws, spreads."""

import numpy as np
from scipy.special import ndtri

from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._covariance_type import take_components


def mean(given, numbers):
    """Return expectations."""
    return given.mean


def mode(given, numbers):
    """Return the most probable values."""
    return given.mode()


def spread(given, numbers):
    """Return standard deviations."""
    return np.sqrt(np.diagonal(given.covariance, axis1=-2, axis2=-1))


def draw(given, numbers):
    """Return draws that uniform numbers (n, width) decide."""
    total = np.cumsum(given.weights, axis=-1)
    component = np.sum(numbers[:, :1] * total[..., -1:] >= total, axis=-1)
    kind = COVARIANCE_TYPES[given.covariance_type]
    width = kind.n_normals(given.covariances, given.n_features)
    normals = ndtri(numbers[:, 1 : width + 1])
    if given.means.ndim == 3:  # one mixture for each sample
        component, normals = component[None], normals[None]
    noise = kind.noise(kind.root(given.covariances), component, normals)
    draws = take_components(given.means, component) + noise
    return draws.reshape(len(numbers), -1)


def numbers_needed(mixture):
    """Return how many uniform numbers a draw of a sample takes."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    return 1 + kind.n_normals(mixture.covariances, mixture.n_features)


# A generator that has no state but what it is given: SplitMix64.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def _scramble(state):
    """Return numbers of 64 bits, each of which depends on all bits of the other."""
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))


def uniforms_of(X, width, seed):
    """Return uniform numbers (n, width) that depend on samples, not on their places."""
    X = X.astype(np.float64)
    # One bit pattern for zero and for NaN, in whatever memory.
    bits = np.ascontiguousarray(np.where(np.isnan(X), np.nan, X + 0.0)).view(np.uint64)
    state = np.full(len(X), seed, np.uint64)
    for column in bits.T:
        state = _scramble((state + _STEP) ^ column)
    # Samples that are alike are told apart by how many came before, or all would
    # get the same.
    order = np.argsort(state, kind="stable")
    ranked = state[order]
    first = np.searchsorted(ranked, ranked)
    state[order] += (np.arange(len(X)) - first).astype(np.uint64) * _SECOND
    steps = np.arange(1, width + 1, dtype=np.uint64) * _STEP
    mixed = _scramble(_scramble(state)[:, None] + steps)
    return ((mixed >> np.uint64(11)) + 0.5) * 2.0**-53

"""Missing entries from their density given the others: means, modes, draws, spreads."""

from functools import partial

import numpy as np
from scipy.special import ndtri

from skgmje.compose._transformed_mixture import fill_given_rest
from skgmje.em._missing import all_finite, expectation, fill
from skgmje.gaussian._mixture import Mixture


def spread(part, rows):
    """Return standard deviations, as an answer to fill in."""
    diagonal = np.diagonal(part.covariances, axis1=2, axis2=3)
    apart = part.means - expectation(part)[:, None]
    size = np.hypot(np.sqrt(diagonal)[part.pattern], apart)
    size *= np.sqrt(part.weights)[:, :, None]
    # Squares of samples far away would overflow.
    top = size.max(axis=1, keepdims=True)
    return np.sqrt(((size / top) ** 2).sum(axis=1)) * top[:, 0]


def draw(numbers, part, rows):
    """Return draws that uniform numbers (n, 1 + d) of all samples decide."""
    numbers, total = numbers[rows], np.cumsum(part.weights, axis=1)
    component = np.sum(numbers[:, :1] * total[:, -1:] >= total, axis=1)
    roots = np.linalg.cholesky(part.covariances[part.pattern, component])
    noise = (roots @ ndtri(numbers[:, 1:, None]))[..., 0]
    return part.means[np.arange(len(component)), component] + noise


def fill_means(mixture, X, seed):
    """Return samples with expectations."""
    return fill(mixture, X, expectation)


def fill_draws(mixture, X, seed):
    """Return samples with draws."""
    return fill(mixture, X, partial(draw, uniforms_of(X, 1 + X.shape[1], seed)))


@np.errstate(over="ignore")
def fill_modes(mixture, X, seed):
    """Return samples with the most probable values."""

    def condition(known, values, rows):
        return mixture.condition(known, values)

    return all_finite(fill_given_rest(X, mixture, condition, Mixture.mode))


def fill_spreads(mixture, X, seed):
    """Return samples with standard deviations."""
    return fill(mixture, X, spread)


STRATEGIES = {"mean": fill_means, "sample": fill_draws, "mode": fill_modes}


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

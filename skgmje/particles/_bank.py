"""A bank of weighted particles, adapted by sequential Monte Carlo."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from skgmje._backend import (
    as_float,
    as_generator,
    asarray_like,
    detach,
    logsumexp,
    namespace,
)
from skgmje._settings import own_errors
from skgmje._typing import Array, RandomState
from skgmje.gaussian import Mixture
from skgmje.gaussian._pairs import check_variance
from skgmje.particles._resampling import effective_sample_size, systematic_resampling

# Smallest weight, in equal shares: what has lost all weight may come back.
FLOOR = 1e-8


class BankState(NamedTuple):
    """What a memory bank knows.

    Parameters
    ----------
    particles : array of shape (n_particles, n_features)
        Samples of the past: the means of the kernels.

    weights : array of shape (n_particles,)
        Positive, summing to one.

    ages : array of int, shape (n_particles,)
        Steps since each particle was a sample of a batch.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.particles import BankState
    >>> BankState(np.zeros((2, 1)), np.full(2, 0.5), np.zeros(2, int)).weights
    array([0.5, 0.5])
    """

    particles: Array
    weights: Array
    ages: Array


class BankInfo(NamedTuple):
    """What a step of a memory bank noticed."""

    log_likelihood: float
    effective_sample_size: float
    resampled: bool
    stretch: float


def start_bank(rows: Array) -> BankState:
    """Return a bank of equal weights.

    Parameters
    ----------
    rows : array of shape (n_particles, n_features)
        The first particles.

    Returns
    -------
    state : BankState
        The bank.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.particles import start_bank
    >>> start_bank(np.zeros((4, 2))).weights
    array([0.25, 0.25, 0.25, 0.25])
    """
    particles = detach(as_float(rows))
    xp = namespace(particles)
    weights = xp.full_like(particles[:, 0], 1 / len(rows))
    return BankState(particles, weights, xp.zeros_like(weights, dtype=xp.int64))


@own_errors
def bank_mixture(state: BankState, bandwidth: float | Array) -> Mixture:
    r"""Return the density of a bank: a kernel around each particle.

    .. math:: p(z) = \sum_m W_m N(z; z_m, \Sigma_h)

    Parameters
    ----------
    state : BankState
        The bank.

    bandwidth : float or array of shape (n_features, n_features)
        Standard deviation of every kernel, or a lower-triangular root L of the
        covariance :math:`L L^T` that all kernels share.

    Returns
    -------
    mixture : Mixture
        Spherical, or tied.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.particles import bank_mixture, start_bank
    >>> bank_mixture(start_bank(np.zeros((4, 2))), 0.5)
    Mixture(n_components=4, n_features=2, covariance_type='spherical')
    """
    state = _floating(state)
    root = asarray_like(bandwidth, state.particles)
    xp = namespace(root)
    if root.ndim == 2:
        covariance = root @ xp.matrix_transpose(root)
        return Mixture(state.weights, state.particles, covariance, "tied")
    with np.errstate(over="ignore"):
        variance = asarray_like(float(root) ** 2, root)
    variance = check_variance(variance, "The square of bandwidth")
    variances = xp.zeros_like(state.weights) + variance
    return Mixture(state.weights, state.particles, variances, "spherical")


@own_errors
def step_bank(
    state: BankState,
    batch: Array,
    bandwidth: float | Array,
    *,
    rate: float = 0.05,
    ess_threshold: float = 0.5,
    jitter: float = 0.1,
    replacement: Literal["lowest-weight", "oldest"] | None = "lowest-weight",
    max_age: int | None = None,
    random_state: RandomState = None,
) -> tuple[BankState, BankInfo]:
    r"""Let a bank follow a batch.

    1. Reweight by responsibilities :math:`\gamma_{im}`, an EM step of the mixing
       proportions if the rate is one:
       :math:`W_m \leftarrow (1 - r) W_m + r \operatorname{mean}_i \gamma_{im}`.
       The likelihood of the batch cannot fall, whatever the rate.
    2. If the effective sample size is below a share of the particles, resample;
       copies are moved by a part of the bandwidth.
    3. Put the batch in the place of particles, each sample with the weight
       :math:`1 / M`.

    With ``rate=0`` and ``replacement="oldest"`` this is the uniform queue
    (first in, first out) of contrastive learning.

    Parameters
    ----------
    state : BankState
        The bank of M particles.

    batch : array of shape (n_samples, n_features)
        Samples, of the library of the state. Of more samples than particles the last
        ones stay.

    bandwidth : float or array of shape (n_features, n_features)
        See :func:`bank_mixture`.

    rate : float, default=0.05
        Rate r of the weights, from 0 to 1.

    ess_threshold : float, default=0.5
        Share of the particles below which the effective sample size triggers
        resampling.

    jitter : float, default=0.1
        How far copies are moved, in bandwidths.

    replacement : {'lowest-weight', 'oldest', None}, default='lowest-weight'
        Which particles give way to the batch; None: it is not put in.

    max_age : int or None, default=None
        Older particles lose their weight.

    random_state : int, numpy.random.Generator, RandomState or None, default=None
        Source of resampling and jitter.

    Returns
    -------
    state : BankState
        The bank after the step; the old one is left alone.

    info : named tuple
        The mean `log_likelihood` of the batch before the step, in nats; the
        `effective_sample_size` of the weights before resampling; whether particles were
        `resampled`; and the `stretch`, the mean squared distance of the samples to
        their particles, per feature, by which an EM step of the squared bandwidth
        multiplies it.

    Raises
    ------
    ValueError
        If there is no such `replacement`.

    References
    ----------
    .. [1] A. Doucet, N. de Freitas and N. Gordon (eds.), "Sequential Monte Carlo
       Methods in Practice", 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.particles import start_bank, step_bank
    >>> state = start_bank(np.array([[-1.0], [0.0], [1.0]]))
    >>> batch = np.array([[0.4], [1.1]])
    >>> state, info = step_bank(state, batch, 0.5, rate=0.5, replacement=None)
    >>> state.weights.round(2)
    array([0.17, 0.33, 0.49])
    """
    if replacement not in REPLACEMENTS:
        raise ValueError(
            f"replacement={replacement!r} must be one of {list(REPLACEMENTS)}."
        )
    random_state = as_generator(random_state)
    state, batch = _floating(state), detach(as_float(batch))
    weights, log_likelihood, stretch = _reweight(state, batch, bandwidth, rate)
    ages = state.ages + 1
    if max_age is not None:
        weights = _floored(namespace(weights).where(ages > max_age, 0.0, weights))
    size = float(effective_sample_size(weights))
    state = BankState(state.particles, weights, ages)
    resampled = size < ess_threshold * len(weights)
    if resampled:
        state = _resample(state, bandwidth, jitter, random_state)
    state = _put_in(state, batch, REPLACEMENTS[replacement])
    return state, BankInfo(log_likelihood, size, resampled, stretch)


def _floating(state):
    """Return a bank whose particles and weights are floats."""
    return state._replace(
        particles=as_float(state.particles), weights=as_float(state.weights)
    )


def _reweight(state, batch, bandwidth, rate):
    """Return new weights, the log-likelihood of the batch and its stretch."""
    mixture = bank_mixture(state, bandwidth)
    xp = namespace(batch)
    log_kernels = mixture.component_log_prob(batch)
    joint = log_kernels + xp.log(state.weights)
    log_prob = logsumexp(joint, axis=1)
    resp = xp.exp(joint - log_prob[:, None])
    weights = (1 - rate) * state.weights + rate * xp.mean(resp, axis=0)
    peak = mixture.component_log_prob(state.particles[:1])[0, 0]
    square = 2 * (peak - xp.sum(resp * log_kernels) / len(batch))
    stretch = float(square) / batch.shape[1]
    return _floored(weights), float(xp.mean(log_prob)), stretch


def _floored(weights):
    """Return weights that sum to one, none too small to come back."""
    xp = namespace(weights)
    weights = xp.clip(weights, FLOOR / len(weights), None)
    return weights / xp.sum(weights)


def _resample(state, bandwidth, jitter, random_state):
    """Return equal weights; the first copy of a particle stays where it was."""
    xp = namespace(state.particles)
    indices = systematic_resampling(state.weights, len(state.weights), random_state)
    particles = state.particles[indices]
    root = asarray_like(bandwidth, particles)
    if root.ndim == 0:
        root = root * asarray_like(np.eye(particles.shape[1]), particles)
    noise = asarray_like(random_state.standard_normal(particles.shape), particles)
    moved = particles + jitter * (noise @ xp.matrix_transpose(root))
    first = xp.concat([indices[:1] >= 0, indices[1:] != indices[:-1]])
    particles = xp.where(first[:, None], particles, moved)
    weights = xp.full_like(state.weights, 1 / len(indices))
    return BankState(particles, weights, state.ages[indices])


def _put_in(state, batch, rank):
    """Return a bank in which a batch has taken the place of the first by `rank`."""
    n_particles = len(state.weights)
    if rank is None:
        return state
    xp = namespace(batch)
    batch = batch[-n_particles:]
    order = xp.argsort(rank(state), stable=True)
    # In their old order, so that of equals the first is the oldest.
    kept = xp.sort(order[len(batch) :])
    fresh = start_bank(batch)
    weights = xp.full_like(fresh.weights, 1 / n_particles)
    weights = xp.concat([state.weights[kept], weights])
    return BankState(
        xp.concat([state.particles[kept], batch]),
        weights / xp.sum(weights),
        xp.concat([state.ages[kept], fresh.ages]),
    )


# What gives way first: the smallest value.
REPLACEMENTS = {
    "lowest-weight": lambda state: state.weights,
    "oldest": lambda state: -state.ages,
    None: None,
}

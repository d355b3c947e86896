"""Effective sample size, and systematic resampling."""

from __future__ import annotations

from array_api_compat import device

from skgmje._backend import as_double, as_float, as_generator, namespace
from skgmje._typing import Array, RandomState


def effective_sample_size(weights: Array) -> Array:
    r"""Count the particles that a weighted sample is worth.

    .. math:: \mathrm{ESS} = \Big(\sum_m W_m\Big)^2 \Big/ \sum_m W_m^2

    Parameters
    ----------
    weights : array of shape (..., n_particles)
        Not negative; they need not sum to one.

    Returns
    -------
    size : array of shape (...,)
        `n_particles` if all weights are equal, 1 if one is not zero.

    References
    ----------
    .. [1] A. Kong, J. S. Liu and W. H. Wong, "Sequential Imputations and Bayesian
       Missing Data Problems", 1994.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.particles import effective_sample_size
    >>> effective_sample_size(np.array([0.5, 0.5, 0.0])).item()
    2.0
    """
    weights = as_double(as_float(weights))
    xp = namespace(weights)
    weights = weights / xp.max(weights, axis=-1, keepdims=True)
    return xp.sum(weights, axis=-1) ** 2 / xp.sum(weights**2, axis=-1)


def systematic_resampling(
    weights: Array, n_samples: int, random_state: RandomState = None
) -> Array:
    r"""Draw indices from equally likely strata, all with the same offset.

    .. math:: i_j = F^{-1}((j + u) / n), \quad u \sim U(0, 1)

    Index m is returned :math:`\lfloor n W_m \rfloor` or :math:`\lceil n W_m
    \rceil` times. As many indices as there are equal weights are each returned
    once.

    Parameters
    ----------
    weights : array of shape (n_particles,)
        Not negative; they need not sum to one.

    n_samples : int
        Number n of indices.

    random_state : int, numpy.random.Generator, RandomState or None, default=None
        Source of randomness; the same one gives the same indices in NumPy and
        torch.

    Returns
    -------
    indices : integer array of shape (n_samples,)
        In ascending order.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or all are zero.

    References
    ----------
    .. [1] J. Carpenter, P. Clifford and P. Fearnhead, "Improved Particle Filter
       for Nonlinear Problems", 1999.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.particles import systematic_resampling
    >>> systematic_resampling(np.ones(4), 4, 0).tolist()
    [0, 1, 2, 3]
    """
    weights = as_double(as_float(weights))
    xp = namespace(weights)
    least, top = float(xp.min(weights)), float(xp.max(weights))
    if not (top > 0 and least >= 0 and top < float("inf")):
        raise ValueError(
            f"weights has entries from {least:.3g} to {top:.3g}; expected finite "
            "numbers, none negative and not all zero. Normalise them in log space "
            "first."
        )
    weights = weights / top
    steps = xp.arange(n_samples, dtype=weights.dtype, device=device(weights))
    u = (steps + float(as_generator(random_state).random())) / n_samples
    cumulated = xp.cumulative_sum(weights)
    total = cumulated[-1:]
    last = xp.searchsorted(cumulated, total, side="left")
    return xp.minimum(xp.searchsorted(cumulated, u * total, side="right"), last)

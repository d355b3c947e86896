"""Resampling schemes."""

from skgmje._backend import (
    as_double,
    as_float,
    as_generator,
    asarray_like,
    is_torch,
    namespace,
)


def effective_sample_size(weights):
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


def multinomial_resampling(weights, n_samples, random_state=None):
    r"""Draw every index on its own.

    .. math:: i_j = F^{-1}(u_j), \quad u_j \sim U(0, 1)

    with the distribution function F of the weights. The counts have the largest
    variance of all schemes.

    Parameters
    ----------
    weights : array of shape (n_particles,)
        Not negative; they need not sum to one.

    n_samples : int
        Number of indices.

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
    .. [1] R. Douc, O. Cappe and E. Moulines, "Comparison of Resampling Schemes for
       Particle Filtering", 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.particles import multinomial_resampling
    >>> multinomial_resampling(np.array([0.0, 1.0, 0.0]), 3, 0).tolist()
    [1, 1, 1]
    """
    weights = _check_weights(weights)
    u = as_generator(random_state).random(n_samples)
    u.sort()
    return _invert(weights, asarray_like(u, weights))


def stratified_resampling(weights, n_samples, random_state=None):
    r"""Draw one index from each of equally likely strata.

    .. math:: i_j = F^{-1}((j + u_j) / n), \quad u_j \sim U(0, 1)

    Parameters
    ----------
    weights : array of shape (n_particles,)
        Not negative; they need not sum to one.

    n_samples : int
        Number n of indices.

    random_state : int, numpy.random.Generator, RandomState or None, default=None
        Source of randomness, see :func:`multinomial_resampling`.

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
    .. [1] G. Kitagawa, "Monte Carlo Filter and Smoother for Non-Gaussian Nonlinear
       State Space Models", 1996.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.particles import stratified_resampling
    >>> stratified_resampling(np.array([0.25, 0.75]), 4, 0).tolist()
    [0, 1, 1, 1]
    """
    weights = _check_weights(weights)
    u = as_generator(random_state).random(n_samples)
    return _invert(weights, _strata(asarray_like(u, weights), weights, n_samples))


def systematic_resampling(weights, n_samples, random_state=None):
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
        Source of randomness, see :func:`multinomial_resampling`.

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
    weights = _check_weights(weights)
    u = float(as_generator(random_state).random())
    return _invert(weights, _strata(u, weights, n_samples))


def residual_resampling(weights, n_samples, random_state=None):
    r"""Take the whole part of each expected count; draw the rest independently.

    .. math:: n_m = \lfloor n W_m \rfloor + \text{multinomial}(n W_m \bmod 1)

    Parameters
    ----------
    weights : array of shape (n_particles,)
        Not negative; they need not sum to one.

    n_samples : int
        Number n of indices.

    random_state : int, numpy.random.Generator, RandomState or None, default=None
        Source of randomness, see :func:`multinomial_resampling`.

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
    .. [1] J. S. Liu and R. Chen, "Sequential Monte Carlo Methods for Dynamic
       Systems", 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.particles import residual_resampling
    >>> residual_resampling(np.array([0.5, 0.25, 0.25]), 4, 0).tolist()
    [0, 0, 1, 2]
    """
    weights = _check_weights(weights)
    xp = namespace(weights)
    expected = n_samples * (weights / xp.sum(weights))
    # Rounding must not turn a whole count into one less and a lottery ticket.
    whole = xp.floor(expected + 1e-9)
    counts = xp.astype(whole, xp.int64)
    sure = xp.repeat(xp.arange(len(weights), **_device(weights)), counts)
    n_left = n_samples - len(sure)
    if n_left == 0:
        return sure
    rest = xp.clip(expected - whole, 0.0, 1.0)
    drawn = multinomial_resampling(rest, n_left, random_state)
    return xp.sort(xp.concat([sure, drawn]))


def _check_weights(weights):
    """Return the weights in double precision, divided by their maximum."""
    weights = as_double(as_float(weights))
    xp = namespace(weights)
    top = float(xp.max(weights))
    if not (top > 0 and float(xp.min(weights)) >= 0 and top < float("inf")):
        raise ValueError(
            f"weights has entries from {float(xp.min(weights)):.3g} to {top:.3g}; "
            "expected finite numbers, none negative and not all zero. Normalise "
            "them in log space first."
        )
    return weights / top


def _strata(u, weights, n_samples):
    """Return the positions `u` within equally likely strata, shape (n_samples,)."""
    xp = namespace(weights)
    steps = xp.arange(n_samples, dtype=weights.dtype, **_device(weights))
    return (steps + u) / n_samples


def _device(array):
    """Return the arguments that make an array on the device of another."""
    return {"device": array.device} if is_torch(array) else {}


def _invert(weights, u):
    """Return the indices at the positions `u` in [0, 1) of the cumulated weights."""
    xp = namespace(weights)
    cumulated = xp.cumulative_sum(weights)
    total = cumulated[-1:]
    last = xp.searchsorted(cumulated, total, side="left")
    return xp.minimum(xp.searchsorted(cumulated, u * total, side="right"), last)


# How each scheme is called.
RESAMPLING = {
    "systematic": systematic_resampling,
    "stratified": stratified_resampling,
    "multinomial": multinomial_resampling,
    "residual": residual_resampling,
}

"""Kullback-Leibler divergence and entropy of Gaussian mixtures."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np

from skgmje._backend import logsumexp, namespace, to_numpy
from skgmje._bridges import as_mixture
from skgmje._settings import own_errors
from skgmje._typing import RandomState
from skgmje.gaussian._algebra import flat_pairs
from skgmje.gaussian._checks import check_partner
from skgmje.gaussian._covariance import COVARIANCE_TYPES, simplest_type, widen
from skgmje.gaussian._density import gaussian_log_prob
from skgmje.metrics._monte_carlo import check_draws, mean_estimate, monte_carlo_kl

# A divergence of components that overflows counts as the first, so that differences
# stay finite; what then exceeds the second is infinite.
_LARGEST, _OVERFLOW = 1e300, 1e280

# Rounds of the upper bound, each of which lowers it.
_ROUNDS = 30


class Bounds(NamedTuple):
    """A lower and an upper bound, in nats."""

    lower: Any
    upper: Any


@own_errors
def kl_divergence(
    p: Any,
    q: Any,
    *,
    method: Literal["variational", "bounds", "monte-carlo"] = "variational",
    n_samples: int = 10_000,
    random_state: RandomState = None,
) -> Any:
    r"""Compute the Kullback-Leibler divergence of two Gaussian mixtures, about.

    .. math:: \mathrm{KL}(p \| q) = E_p[\log p(x) - \log q(x)]

    has a closed form for one component each, which every method but the last then
    gives. The direction is that of :func:`torch.distributions.kl_divergence`.

    Parameters
    ----------
    p, q : Mixture or fitted estimator
        Whatever :func:`skgmje.as_mixture` takes, of the same features. Of mixtures of
        tensors the result has a gradient.

    method : {'variational', 'bounds', 'monte-carlo'}, default='variational'
        'variational' is the approximation of [1]_,

        .. math:: \sum_a \pi_a \log \frac{\sum_{a'} \pi_{a'} e^{-D(a \| a')}}
            {\sum_b \omega_b e^{-D(a \| b)}}

        with D between components; it may come out negative. 'bounds' holds the
        divergence between the lower bound of [2]_ and the lesser of the upper ones
        of both. 'monte-carlo' is :func:`monte_carlo_kl`.

    n_samples : int, default=10_000
        Number of draws of 'monte-carlo'.

    random_state : int, numpy.random.Generator, RandomState or None
        Source of randomness of 'monte-carlo'.

    Returns
    -------
    divergence : float, tensor or named tuple
        In nats: a number, ``(lower, upper)`` or ``(value, standard_error)``.

    Raises
    ------
    TypeError
        If a density is not one Gaussian mixture and `method` needs one.

    ValueError
        If the numbers of features differ or `method` is unknown.

    See Also
    --------
    wasserstein : Finite and symmetric, in the units of the features.

    References
    ----------
    .. [1] J. R. Hershey and P. A. Olsen (2007). Approximating the Kullback Leibler
       divergence between Gaussian mixture models. ICASSP.
    .. [2] J.-L. Durrieu, J.-P. Thiran and F. Kelly (2012). Lower and upper bounds for
       approximation of the Kullback-Leibler divergence between Gaussian mixture
       models. ICASSP.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import kl_divergence
    >>> first = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical")
    >>> round(kl_divergence(first, first.affine(1.0, 1.0)), 2)
    0.49
    """
    if method == "monte-carlo":
        return monte_carlo_kl(p, q, n_samples=n_samples, random_state=random_state)
    if method not in ("variational", "bounds"):
        raise ValueError(
            f"method={method!r} must be 'variational', 'bounds' or 'monte-carlo'."
        )
    p, q = _weighted(p), _weighted(q)
    check_partner(p, q)
    divergences = _component_divergences(p, q)
    among = _component_divergences(p, p)
    variational = _mean(p, _soft(among, p) - _soft(divergences, q))
    if method == "variational":
        return _plain(variational)
    xp = namespace(variational)
    if p.n_components == q.n_components == 1:
        return Bounds(_plain(variational), _plain(variational))
    own = _negative_entropies(p)
    lower = _mean(p, own + _soft(among, p) - _log_overlaps(p, q))
    upper = _mean(p, _log_overlaps(p, p) - own - _soft(divergences, q))
    upper = xp.minimum(upper, _convex_bound(p, q, divergences))
    lower = xp.maximum(lower, xp.zeros_like(lower))
    return Bounds(_plain(xp.minimum(lower, upper)), _plain(upper))


@own_errors
def entropy(
    p: Any,
    *,
    method: Literal["bounds", "renyi", "monte-carlo"] = "bounds",
    n_samples: int = 10_000,
    random_state: RandomState = None,
) -> Any:
    r"""Compute the differential entropy of a Gaussian mixture, or what bounds it.

    .. math:: H(p) = -E_p[\log p(x)]

    Parameters
    ----------
    p : Mixture or fitted estimator
        Whatever :func:`skgmje.as_mixture` takes.

    method : {'bounds', 'renyi', 'monte-carlo'}, default='bounds'
        'bounds' holds the entropy between two closed forms, of which the upper is
        the lesser of a variational one and that of a Gaussian with mean and
        covariance of the mixture; one component has its exact entropy. 'renyi' is
        the Renyi entropy of order two, :math:`-\log \langle p, p \rangle`, exactly.
        'monte-carlo' is a mean over draws.

    n_samples, random_state : int and seed
        As those of :func:`kl_divergence`.

    Returns
    -------
    entropy : float, tensor or named tuple
        In nats, relative to the units of the features: it may be negative.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import entropy
    >>> mixture = Mixture([0.5, 0.5], [[0.0], [9.0]], [1.0, 1.0], "spherical")
    >>> lower, upper = entropy(mixture)
    >>> round(lower, 2), round(upper, 2)
    (1.96, 2.11)
    """
    p = _weighted(p)
    if method == "renyi":
        return _plain(-p.log_inner(p))
    if method == "monte-carlo":
        generator, p = check_draws(n_samples, random_state), p.to_numpy()
        return mean_estimate(-p.log_prob(p.sample(n_samples, generator)[0]))
    if method != "bounds":
        raise ValueError(
            f"method={method!r} must be 'bounds', 'renyi' or 'monte-carlo'."
        )
    own = _negative_entropies(p)
    upper = -_mean(p, own + _soft(_component_divergences(p, p), p))
    if p.n_components == 1:
        return Bounds(_plain(upper), _plain(upper))
    xp = namespace(upper)
    log_det = xp.linalg.slogdet(p.covariance)[1]
    whole = 0.5 * (p.n_features * math.log(2 * math.pi * math.e) + log_det)
    upper = xp.minimum(upper, whole)
    lower = xp.minimum(-_mean(p, _log_overlaps(p, p)), upper)
    return Bounds(_plain(lower), _plain(upper))


def _plain(value):
    """Return a number of NumPy as a float, a tensor as it is."""
    if hasattr(value, "requires_grad"):
        return value
    return math.inf if value > _OVERFLOW else float(value)


def _weighted(density):
    """Return a density as a mixture of components that all have a weight."""
    mixture = as_mixture(density)
    some = to_numpy(mixture.weights > 0)
    return mixture if some.all() else mixture.select(np.flatnonzero(some))


def _mean(mixture, values):
    """Return the mean over components (K,)."""
    return namespace(values).sum(mixture.weights * values)


def _soft(divergences, mixture):
    """Compute ``log sum_b w_b exp(-D_ab)``, shape (I,)."""
    return logsumexp(namespace(divergences).log(mixture.weights) - divergences, axis=-1)


def _log_overlaps(first, second):
    """Compute ``log sum_b w_b <N_a, N_b>``, shape (I,)."""
    xp, size = namespace(first.means), (first.n_components, second.n_components)
    pairs = xp.reshape(flat_pairs(first, second), size)
    return logsumexp(pairs, axis=-1) - xp.log(first.weights)


def _negative_entropies(mixture):
    """Return the mean log-density of each component under itself, (K,)."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    zeros = namespace(mixture.means).zeros_like(mixture.means)
    peaks = gaussian_log_prob(kind, zeros, mixture.covariances, zeros[:1])[0]
    return peaks - mixture.n_features / 2


def _component_divergences(first, second):
    """Return the divergences of all pairs of components, (I, J)."""
    name = simplest_type(first.covariance_type, second.covariance_type)
    kind, xp = COVARIANCE_TYPES[name], namespace(first.means)
    spread, covariances = (widen(mixture, name) for mixture in (first, second))
    precisions = kind.precisions(covariances)
    flat = [xp.reshape(a, (a.shape[0], -1)) for a in (spread, precisions)]
    traces = flat[0] @ flat[1].T
    peaks = gaussian_log_prob(kind, second.means, covariances, first.means)
    cross = peaks - traces / 2
    # Beyond all numbers, so far that differences stay finite.
    return xp.clip(_negative_entropies(first)[:, None] - cross, None, _LARGEST)


def _convex_bound(p, q, divergences):
    """Return the upper bound by shares of pairs of components, which rounds lower."""
    xp = namespace(divergences)
    rows, columns = xp.log(p.weights)[:, None], xp.log(q.weights)
    psi = rows + columns
    for _ in range(_ROUNDS):
        phi = psi - divergences
        phi = rows + phi - logsumexp(phi, axis=1)[:, None]
        psi = columns + phi - logsumexp(phi, axis=0)
    return xp.sum(xp.exp(phi) * (phi - psi + divergences))

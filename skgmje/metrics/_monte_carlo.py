"""Monte Carlo estimates of divergences and of mutual information."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from skgmje._backend import as_generator, logsumexp
from skgmje._bridges import as_mixture, find_estimator
from skgmje._settings import own_errors
from skgmje._typing import RandomState
from skgmje._validation import nameless

# Fewer draws than these do not say how far their mean may be off.
MIN_EFFECTIVE_DRAWS = 10


class MonteCarloEstimate(NamedTuple):
    """A mean over random draws, and how far it may be off."""

    value: float
    standard_error: float


@own_errors
def monte_carlo_kl(
    first: Any,
    second: Any,
    *,
    n_samples: int = 10_000,
    random_state: RandomState = None,
) -> Any:
    r"""Estimate the Kullback-Leibler divergence of two densities.

    .. math:: \mathrm{KL}(p \| q) = E_p[\log p(x) - \log q(x)]

    by the mean over draws from p.

    Parameters
    ----------
    first, second : Mixture or fitted estimator
        Whatever :func:`skgmje.as_mixture` takes, or any estimator with
        ``score_samples(X)``; the first needs ``sample(n, random_state=)`` too.

    n_samples : int, default=10_000
        Number of draws.

    random_state : int, numpy.random.Generator, RandomState or None
        Source of randomness.

    Returns
    -------
    estimate : named tuple
        The `value`, in nats, and its `standard_error`. Near zero it may come out
        negative; it is infinite if q is zero at a draw from p.

    Raises
    ------
    TypeError
        If a density cannot be scored, or the first not sampled.

    ValueError
        If `n_samples` is below two, or a density calls its own draws impossible.

    Examples
    --------
    Two normal densities one standard deviation apart have 0.5 nats:

    >>> from skgmje import Mixture
    >>> from skgmje.metrics import monte_carlo_kl
    >>> first = Mixture([1.0], [[0.0]], [1.0], "spherical")
    >>> second = first.affine(1.0, 1.0)
    >>> value, standard_error = monte_carlo_kl(first, second, random_state=0)
    >>> abs(value - 0.5) < 4 * standard_error
    True
    """
    generator = check_draws(n_samples, random_state)
    first, second = _Density.of(first), _Density.of(second)
    X = first.draw(n_samples, generator)
    return mean_estimate(first.score_draws(X) - second.score(X))


@own_errors
def monte_carlo_l2(
    first: Any, second: Any, *, n_samples: Any = 10_000, random_state: Any = None
) -> Any:
    r"""Estimate the L2 distance of two densities.

    .. math:: \int (p - q)^2 \, dx = E_m\Bigl[\frac{(p - q)^2}{m}\Bigr],
        \qquad m = \frac{p + q}{2}

    Half of the draws come from p and half from q, so that no draw adds less than
    zero and the error vanishes where the densities agree.

    Parameters
    ----------
    first, second, n_samples, random_state : two densities, int and seed
        As those of :func:`monte_carlo_kl`; both densities are drawn from.

    Returns
    -------
    estimate : named tuple
        The `value`, the root of the integral, and its `standard_error`, infinite where
        fewer than ten draws carry the integral. The value may under- or overflow in
        many dimensions, where the Cauchy-Schwarz divergence does not.

    See Also
    --------
    l2_distance : Of Gaussian mixtures, in closed form.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KernelDensity
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import monte_carlo_l2
    >>> box = KernelDensity(kernel="tophat").fit(np.array([[0.0]]))
    >>> normal = Mixture([1.0], [[0.0]], [1.0], "spherical")
    >>> value, standard_error = monte_carlo_l2(box, normal, random_state=0)
    >>> abs(value - 0.316) < 4 * standard_error
    True
    """
    logs = _log_densities(first, second, n_samples, random_state)
    sizes = np.logaddexp(*logs) + np.log(2)
    top = sizes.max()
    # (p - q)^2 / m = 2 (p + q) tanh^2(log(p / q) / 2)
    values = np.exp(sizes - top) * np.tanh((logs[0] - logs[1]) / 2) ** 2
    mean = float(values.mean())
    if mean == 0:
        return MonteCarloEstimate(0.0, 0.0)
    with np.errstate(over="ignore"):
        distance = float(np.exp(0.5 * top)) * mean**0.5
    if not _is_carried(values):
        return MonteCarloEstimate(distance, np.inf)
    return MonteCarloEstimate(distance, 0.5 * distance * _strata_error(values) / mean)


@own_errors
def monte_carlo_cauchy_schwarz(
    first: Any, second: Any, *, n_samples: Any = 10_000, random_state: Any = None
) -> Any:
    r"""Estimate the Cauchy-Schwarz divergence of two densities.

    .. math:: D(p, q) = \log \int p^2 dx + \log \int q^2 dx
        - 2 \log \int p q \, dx

    The three integrals are means over the same draws, half of them from p and half
    from q; the standard error is that of the linearised logarithms.

    Parameters
    ----------
    first, second, n_samples, random_state : two densities, int and seed
        As those of :func:`monte_carlo_kl`; both densities are drawn from.

    Returns
    -------
    estimate : named tuple
        The `value`, in nats, never negative; infinite if no draw is possible under
        both. Its `standard_error` is infinite where the densities hardly meet.

    See Also
    --------
    cauchy_schwarz_divergence : Of Gaussian mixtures, in closed form.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import monte_carlo_cauchy_schwarz
    >>> first = Mixture([1.0], [[0.0]], [1.0], "spherical")
    >>> second = first.affine(1.0, 1.0)
    >>> estimate = monte_carlo_cauchy_schwarz(first, second, random_state=0)
    >>> abs(estimate.value - 0.5) < 4 * estimate.standard_error
    True
    """
    p, q = _log_densities(first, second, n_samples, random_state)
    m = np.logaddexp(p, q) - np.log(2)
    terms = np.stack([2 * p - m, 2 * q - m, p + q - m])
    totals = logsumexp(terms.reshape(3, -1), axis=1) - np.log(m.size)
    if totals[2] == -np.inf:
        return MonteCarloEstimate(np.inf, np.inf)
    own, other, cross = np.exp(terms - totals[:, None, None])
    value = max(0.0, float(totals[0] + totals[1] - 2 * totals[2]))
    carried = all(map(_is_carried, (own, other, cross)))
    error = _strata_error(own + other - 2 * cross) if carried else np.inf
    return MonteCarloEstimate(value, error)


class _Density(NamedTuple):
    """What is asked of a density here: to score samples and to draw them."""

    score: Any
    sample: Any
    name: str

    @classmethod
    def of(cls, density):
        """Wrap a mixture, or an estimator that scores and samples."""
        try:
            mixture = as_mixture(density).to_numpy()
            return cls(mixture.log_prob, mixture.sample, repr(density))
        except TypeError as error:
            reason = error
        density = find_estimator(density)
        methods = [getattr(density, name, None) for name in ("score_samples", "sample")]
        if None in methods:
            raise TypeError(
                f"{density!r} lacks score_samples or sample, and is not one Gaussian "
                "mixture. Pass a density that can be scored and sampled."
            ) from reason
        score_samples, sample = methods

        def draw(n_samples, random_state):
            seed = int(random_state.integers(np.iinfo(np.int32).max))
            return sample(n_samples, random_state=seed)

        return cls(nameless()(score_samples), draw, repr(density))

    def draw(self, n_samples, generator):
        """Draw samples, whether or not `sample` returns their components too."""
        drawn = self.sample(n_samples, random_state=generator)
        return drawn[0] if isinstance(drawn, tuple) else drawn

    def score_draws(self, X):
        """Score samples drawn from this density itself."""
        logs = self.score(X)
        if not np.isfinite(logs).all():
            raise ValueError(
                f"{self.name} gives samples that it has drawn itself a log-density "
                "that is not finite. Its score_samples and its sample disagree."
            )
        return logs


def check_draws(n_samples, random_state):
    """Check the number of draws; return the generator of a seed."""
    if not isinstance(n_samples, Integral) or n_samples < 2:
        raise ValueError(
            f"n_samples={n_samples!r} must be an integer of at least 2: one draw has "
            "no standard error."
        )
    return as_generator(random_state)


def _log_densities(first, second, n_samples, random_state):
    """Score draws from each of two densities by both, (density, source, n_samples)."""
    generator = check_draws(n_samples, random_state)
    first, second = _Density.of(first), _Density.of(second)
    X, Z = (density.draw(n_samples, generator) for density in (first, second))
    return np.array(
        [
            [first.score_draws(X), first.score(Z)],
            [second.score(X), second.score_draws(Z)],
        ]
    )


def mean_estimate(values):
    """Return the mean of independent draws and its standard error."""
    if np.isinf(values).any():
        return MonteCarloEstimate(np.inf, np.inf)
    error = values.std(ddof=1) / len(values) ** 0.5
    return MonteCarloEstimate(float(values.mean()), float(error))


def _strata_error(values):
    """Return the standard error of the mean over draws from two sources."""
    variances = values.var(axis=1, ddof=1) / values.shape[1]
    return float(0.5 * variances.sum() ** 0.5)


def _is_carried(values):
    """Return whether enough draws share in a mean of values that are not negative."""
    # The largest is brought to one, lest squares underflow.
    values = values / values.max()
    return values.sum() ** 2 >= MIN_EFFECTIVE_DRAWS * (values * values).sum()


@own_errors
def mutual_information(
    density: Any,
    groups: Sequence[Any],
    *,
    n_samples: int = 10_000,
    random_state: RandomState = None,
) -> Any:
    r"""Compute the mutual information of groups of columns of a Gaussian mixture.

    .. math:: I(A; B) = E\Bigl[\log \frac{p(x_A, x_B)}{p(x_A) p(x_B)}\Bigr]

    and for more than two groups the total correlation, with all their marginals in
    the denominator. One component has the closed form
    :math:`\tfrac12 \log (|\Sigma_{AA}| |\Sigma_{BB}| / |\Sigma|)`; otherwise the
    expectation is a mean over draws from the density, whose marginals are exact.

    Parameters
    ----------
    density : Mixture or fitted estimator
        Whatever :func:`skgmje.as_mixture` takes.

    groups : sequence of sequences of int
        At least two groups of columns that do not overlap, such as
        ``[[0, 1], [2]]``. Columns in none of them are left out.

    n_samples : int, default=10_000
        Number of draws.

    random_state : int, numpy.random.Generator, RandomState or None
        Source of randomness; of one component nothing is drawn.

    Returns
    -------
    estimate : named tuple
        The `value`, in nats, and its `standard_error`. Zero for independent groups,
        where an estimate may come out slightly negative; the same in any units of the
        columns.

    Raises
    ------
    TypeError
        If the density is not one Gaussian mixture.

    ValueError
        If the groups overlap, are empty, or name columns that do not exist.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import mutual_information
    >>> mixture = Mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.8], [0.8, 1.0]]])
    >>> value, standard_error = mutual_information(mixture, [[0], [1]])
    >>> round(value, 3), standard_error
    (0.511, 0.0)
    """
    mixture = as_mixture(density).to_numpy()
    generator = check_draws(n_samples, random_state)
    groups = _check_groups(groups, mixture)
    parts = [mixture.marginal(group) for group in groups]
    joint = mixture.marginal([*chain.from_iterable(groups)])
    if mixture.n_components == 1:
        total = sum(map(_log_det, parts)) - _log_det(joint)
        return MonteCarloEstimate(0.5 * total, 0.0)
    X = joint.sample(n_samples, generator)[0]
    ends = np.cumsum([len(group) for group in groups])[:-1]
    columns = np.split(X, ends, axis=1)
    apart = sum(p.log_prob(x) for p, x in zip(parts, columns, strict=True))
    return mean_estimate(joint.log_prob(X) - apart)


def _log_det(mixture):
    """Return the log-determinant of the mean covariance of the components."""
    return float(np.linalg.slogdet(mixture.within_covariance)[1])


def _check_groups(groups, mixture):
    """Return lists of columns that belong to one mixture."""
    remedy = (
        f"Give at least two lists of different columns from 0 to "
        f"{mixture.n_features - 1}, such as [[0], [1]]."
    )
    try:
        groups = [[int(column) for column in group] for group in groups]
    except (TypeError, ValueError) as error:
        raise ValueError(f"groups={groups!r} holds no lists. {remedy}") from error
    columns = [*chain.from_iterable(groups)]
    wrong = [column for column in columns if not 0 <= column < mixture.n_features]
    twice = len(set(columns)) < len(columns)
    if len(groups) < 2 or not all(groups) or wrong or twice:
        raise ValueError(
            f"groups={groups!r} do not divide columns into groups. {remedy}"
        )
    return groups

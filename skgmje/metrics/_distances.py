"""Distances between mixtures, and a two-sample test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.base import clone

from skgmje._backend import as_generator
from skgmje._bridges import as_mixtures
from skgmje._settings import own_errors
from skgmje._sklearn import _safe_indexing
from skgmje._standardize import plain_standardization
from skgmje._typing import ArrayLike, NDArray, RandomState
from skgmje._validation import check_count, check_numbers, is_positive, like_rows
from skgmje.gaussian._pairs import log_kernels


@own_errors
def l2_distance(first: Any, second: Any) -> float | NDArray[Any]:
    r"""Compute the L2 distance of two Gaussian mixtures.

    .. math:: \Bigl(\int (p(x) - q(x))^2 \, dx\Bigr)^{1/2}
        = \bigl(\langle p, p \rangle - 2 \langle p, q \rangle
        + \langle q, q \rangle\bigr)^{1/2}

    where :math:`\langle p, q \rangle` is a sum over pairs of components.

    Parameters
    ----------
    first, second : Mixture or fitted estimator
        Whatever :func:`skgmje.as_mixture` takes, of the same features.

    Returns
    -------
    distance : float or ndarray of the mixtures' leading axes
        Not negative. It depends on the units of the features, and what differs by
        less than about 1e-8 of the norms is not distinguished.

    Raises
    ------
    TypeError
        If a density is not one Gaussian mixture.

    ValueError
        If the numbers of features differ.

    See Also
    --------
    cauchy_schwarz_divergence : Without units.
    monte_carlo_l2 : Of any two densities.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import l2_distance
    >>> first = Mixture([1.0], [[0.0]], [1.0], "spherical")
    >>> round(l2_distance(first, first.affine(1.0, 1.0)), 4)
    0.3533
    """
    first, second = _check_mixtures(first, second, "monte_carlo_l2")
    return _plain(first.l2_distance(second))


@own_errors
def cauchy_schwarz_divergence(first: Any, second: Any) -> float | NDArray[Any]:
    r"""Compute the Cauchy-Schwarz divergence of two Gaussian mixtures.

    .. math:: D(p, q) = -\log \frac{\langle p, q \rangle^2}
        {\langle p, p \rangle \langle q, q \rangle} \ge 0

    Parameters
    ----------
    first, second : Mixture or fitted estimator
        As those of :func:`l2_distance`.

    Returns
    -------
    divergence : float or ndarray of the mixtures' leading axes
        In nats; 0 for equal densities, symmetric, and the same after any
        invertible linear map of the features.

    See Also
    --------
    l2_distance : In units of the density.
    monte_carlo_cauchy_schwarz : Of any two densities.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import cauchy_schwarz_divergence
    >>> first = Mixture([1.0], [[0.0]], [1.0], "spherical")
    >>> round(cauchy_schwarz_divergence(first, first.affine(1.0, 1.0)), 4)
    0.5
    """
    first, second = _check_mixtures(first, second, "monte_carlo_cauchy_schwarz")
    return _plain(first.cauchy_schwarz_divergence(second))


def _check_mixtures(first, second, instead):
    """Return two mixtures of NumPy arrays; name the other function if they are none."""
    try:
        return as_mixtures(first).to_numpy(), as_mixtures(second).to_numpy()
    except TypeError as error:
        raise TypeError(
            f"The closed form holds for Gaussian mixtures only. {error} For any other "
            "densities that can be scored and sampled use "
            f"skgmje.metrics.{instead}."
        ) from error


def _plain(value):
    """Return a single number as a float."""
    return float(value) if value.ndim == 0 else value


# Observations whose pairwise distances give the median, and entries of a Gram matrix
# that exist at a time.
MEDIAN_ROWS, BLOCK_SIZE = 1000, 2**22


class TwoSampleTest(NamedTuple):
    """Outcome of a permutation test."""

    statistic: float
    pvalue: float
    null_distribution: Any


@own_errors
def two_sample_test(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    density: Any = None,
    statistic: Literal["l2", "cauchy-schwarz"] | Callable[..., Any] = "l2",
    bandwidth: float | Literal["median"] = "median",
    n_permutations: int = 199,
    random_state: RandomState = None,
) -> Any:
    r"""Test whether two samples come from the same density.

    Each sample gets a density, and the statistic is the distance of the two;
    observations are then dealt out anew to see how large it is by chance. Whatever the
    density, the test keeps its level for independent observations.

    Without `density` both get a Gaussian kernel density with one bandwidth h, of
    columns standardized together. The L2 distance of these, in units of one kernel's
    norm, is the maximum mean discrepancy [1]_ with a kernel of standard deviation
    :math:`\sqrt2 h`, and one Gram matrix serves all permutations.

    Parameters
    ----------
    X, Y : array-like of shape (n_samples, n_features)
        The two samples, at least two observations each.

    density : estimator, default=None
        A density to clone and fit to each half of every permutation, such as
        ``GaussianMixture(3)``; slower.

    statistic : {'l2', 'cauchy-schwarz'} or callable, default='l2'
        :func:`l2_distance`, :func:`cauchy_schwarz_divergence`, or with `density` a
        function of two fitted ones, such as
        ``lambda p, q: monte_carlo_kl(p, q, random_state=0).value``.

    bandwidth : float or 'median', default='median'
        Width h of the kernel densities, in standard deviations of columns; 'median'
        makes the kernel's standard deviation the median distance of two observations,
        which detects shifts and scales better than details of the shape; for these give
        a smaller one, such as 0.3. Not used with `density`.

    n_permutations : int, default=199
        The smallest p-value is one over this number plus one.

    random_state : int, numpy.random.Generator, RandomState or None
        Source of randomness of the permutations.

    Returns
    -------
    result : named tuple
        The `statistic`, how far apart the two densities are; the `pvalue`, the share
        of the permutations, the data's own among them, that are at least as far apart;
        and the `null_distribution`, the statistics of the permuted observations.

    Raises
    ------
    ValueError
        If the samples do not have the same columns, or a setting is not known.

    References
    ----------
    .. [1] A. Gretton, K. M. Borgwardt, M. J. Rasch, B. Schoelkopf and A. Smola, "A
       kernel two-sample test", Journal of Machine Learning Research 13, 2012.

    Examples
    --------
    Equal means and variances, but not the same shape:

    >>> import numpy as np
    >>> from skgmje.metrics import two_sample_test
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 1))
    >>> Y = rng.choice([-1.0, 1.0], size=(200, 1))
    >>> two_sample_test(X, Y, random_state=0).pvalue
    0.005
    """
    rows, n_first = _check_samples(X, Y, density)
    check_count(n_permutations=n_permutations)
    generator = as_generator(random_state)
    orders = [generator.permutation(len(rows)) for _ in range(n_permutations)]
    orders = np.stack([np.arange(len(rows)), *orders])
    if density is None:
        if bandwidth != "median" and not is_positive(bandwidth):
            raise ValueError(f"bandwidth={bandwidth!r} must be 'median' or positive.")
        _, function = _look_up(statistic)
        values = function(*_kernel_inners(rows, n_first, orders, bandwidth, generator))
    else:
        function = statistic if callable(statistic) else _look_up(statistic)[0]
        # The density may choose columns by name.
        rows = like_rows(rows, X)
        values = _fitted_distances(rows, n_first, orders, density, function)
    observed, null = values[0], values[1:]
    # Equal sums in another order differ by rounding.
    reached = (null >= observed) | np.isclose(null, observed, rtol=1e-12, atol=0)
    pvalue = (1 + reached.sum()) / (1 + n_permutations)
    return TwoSampleTest(float(observed), float(pvalue), null)


def _check_samples(X, Y, density):
    """Return the observations of both samples and how many are the first's."""
    finite = True if density is None else "allow-nan"
    X, Y = (
        check_numbers(rows, name, ensure_all_finite=finite, ensure_min_samples=2)
        for rows, name in ((X, "X"), (Y, "Y"))
    )
    if X.shape[1] != Y.shape[1]:
        raise ValueError(
            f"X has {X.shape[1]} columns but Y has {Y.shape[1]}. Give two samples of "
            "the same columns."
        )
    return np.concatenate([X, Y]), len(X)


def _look_up(statistic):
    """Return the distance of a name, of two mixtures and from inner products."""
    if not isinstance(statistic, str) or statistic not in _STATISTICS:
        raise ValueError(
            f"statistic={statistic!r} must be one of {sorted(_STATISTICS)}, or with "
            "`density` a function of two fitted densities."
        )
    return _STATISTICS[statistic]


def _kernel_inners(rows, n_first, orders, bandwidth, generator):
    """Compute <p, p>, <q, q> and <p, q> of kernel densities for every order."""
    rows = plain_standardization(rows).forward(rows)
    if bandwidth == "median":
        bandwidth = _median_bandwidth(rows, generator)
    is_first = np.zeros(orders.shape)
    np.put_along_axis(is_first, orders[:, :n_first], 1.0, axis=1)
    within, across, total = np.zeros(len(orders)), np.zeros(len(orders)), 0.0
    step = max(1, BLOCK_SIZE // len(rows))
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        gram = np.exp(log_kernels(rows[block], rows, np.asarray(2.0 * bandwidth**2)))
        part = is_first[:, block]
        within += np.einsum("pi,pi->p", part @ gram, is_first)
        sums = gram.sum(axis=1)
        across += part @ sums
        total += sums.sum()
    n_second = len(rows) - n_first
    return (
        within / n_first**2,
        (total - 2 * across + within) / n_second**2,
        (across - within) / (n_first * n_second),
    )


def _median_bandwidth(rows, generator):
    """Return the median distance of observations over the root of two."""
    if len(rows) > MEDIAN_ROWS:
        rows = generator.choice(rows, MEDIAN_ROWS, replace=False)
    median = float(np.median(pdist(rows)))
    # Most observations are one and the same.
    return median / 2**0.5 if median > 0 else 1.0


def _fitted_distances(rows, n_first, orders, density, function):
    """Fit both halves of every order and compare the fits."""
    values = []
    for order in orders:
        halves = order[:n_first], order[n_first:]
        fits = [clone(density).fit(_safe_indexing(rows, half)) for half in halves]
        values.append(function(*fits))
    return np.asarray(values, np.float64)


def _kernel_l2(own, other, cross):
    """Return the distance from inner products."""
    return np.sqrt(np.maximum(own + other - 2 * cross, 0.0))


def _kernel_cauchy_schwarz(own, other, cross):
    """Return the divergence from inner products."""
    with np.errstate(divide="ignore"):
        divergence = np.log(own) + np.log(other) - 2 * np.log(np.maximum(cross, 0.0))
    return np.maximum(divergence, 0.0)


_STATISTICS = {
    "cauchy-schwarz": (cauchy_schwarz_divergence, _kernel_cauchy_schwarz),
    "l2": (l2_distance, _kernel_l2),
}

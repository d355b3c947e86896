"""Scores of predicted mixtures against targets."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np
from scipy.special import erf

from skgmje._backend import as_generator, block_rows
from skgmje._bridges import as_mixtures
from skgmje._settings import own_errors
from skgmje._typing import ArrayLike, NDArray, RandomState
from skgmje._validation import check_count, check_numbers, check_weights
from skgmje.gaussian._checks import as_batch, take_rows
from skgmje.gaussian._covariance_type import map_arrays, take_components
from skgmje.gaussian._mixture import Mixture


def check_pair(y_true, distribution):
    """Return a mixture of NumPy arrays and targets (n_samples, n_features)."""
    if isinstance(y_true, Mixture):
        raise TypeError(
            "y_true is a Mixture. Give the targets first: (y_true, distribution)."
        )
    mixture = as_mixtures(distribution).to_numpy()
    targets = check_numbers(y_true, "y_true", ensure_2d=False)
    columns = targets[:, None] if targets.ndim == 1 else targets
    leading = mixture.means.shape[:-2]
    if columns.shape[1] != mixture.n_features:
        raise ValueError(
            f"y_true has shape {targets.shape} but the distribution has "
            f"{mixture.n_features} features. Give one column for each of them."
        )
    if leading and leading != (len(columns),):
        raise ValueError(
            f"y_true has {len(columns)} samples but the distribution has leading axes "
            f"{leading}. Give one mixture for each sample, or one for all."
        )
    return mixture, columns


def like_targets(values, y_true):
    """Return scores (n_samples, n_features) in as many axes as the targets have."""
    return values[:, 0] if np.ndim(y_true) == 1 else values


def each_column(function, mixture, columns):
    """Apply `function` to the marginal and the values of each target."""
    values = enumerate(columns.T)
    return np.stack([function(mixture.marginal([j]), y) for j, y in values], axis=1)


def average_rows(values, sample_weight):
    """Return the weighted mean over the first axis."""
    return np.average(values, axis=0, weights=check_weights(sample_weight, values))


def average_outputs(values, multioutput):
    """Combine scores of the targets, as scikit-learn's metrics of regression do."""
    if isinstance(multioutput, str):
        if multioutput not in ("raw_values", "uniform_average"):
            raise ValueError(
                f"multioutput={multioutput!r}; choose 'raw_values', "
                "'uniform_average' or give weights of the targets."
            )
        return values if multioutput == "raw_values" else float(np.mean(values))
    weights = np.asarray(multioutput, np.float64)
    if weights.shape != values.shape:
        raise ValueError(
            f"multioutput has shape {weights.shape}; give {len(values)} weights, one "
            "for each target."
        )
    return float(np.average(values, weights=weights))


@own_errors
def mean_log_likelihood(
    y_true: ArrayLike, distribution: Mixture, *, sample_weight: ArrayLike | None = None
) -> float:
    r"""Compute the mean log-density of the targets, in nats.

    .. math:: \frac{1}{n} \sum_i \log p_i(y_i)

    Parameters
    ----------
    y_true, distribution, sample_weight : array-like, Mixture and array-like
        As those of :func:`crps`; of several targets the joint density counts.

    Returns
    -------
    score : float
        More is better. It depends on the units of `y_true`.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import mean_log_likelihood
    >>> mixture = Mixture([1.0], [[0.0]], [1.0], "spherical")
    >>> round(mean_log_likelihood([0.0, 0.0], mixture), 3)
    -0.919
    """
    mixture, columns = check_pair(y_true, distribution)
    return float(average_rows(mixture.log_prob(columns), sample_weight))


@own_errors
def rmse(
    y_true: Any,
    distribution: Any,
    *,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
) -> float | NDArray[Any]:
    r"""Compute the root mean squared error of the mixtures' means.

    .. math:: \Bigl(\frac{1}{n} \sum_i (y_i - E_i[Y])^2\Bigr)^{1/2}

    Parameters
    ----------
    y_true, distribution, sample_weight, multioutput : array-like, Mixture and str
        As those of :func:`crps`; errors are combined after the root.

    Returns
    -------
    error : float or ndarray of shape (n_targets,)
        Less is better. Where the density has several branches the best mean may
        lie between them.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import rmse
    >>> mixture = Mixture([0.5, 0.5], [[-1.0], [1.0]], [0.01, 0.01], "spherical")
    >>> rmse([1.0, -1.0], mixture)
    1.0
    """
    mixture, columns = check_pair(y_true, distribution)
    squares = (columns - mixture.mean) ** 2
    return average_outputs(np.sqrt(average_rows(squares, sample_weight)), multioutput)


@own_errors
def probability_integral_transform(
    y_true: ArrayLike, distribution: Mixture
) -> NDArray[Any]:
    r"""Compute the probability that each target had of being lower.

    .. math:: u_i = F_i(y_i)

    Under the true densities the values are uniform between zero and one: a histogram
    that is highest in the middle means densities that are too wide, one that is highest
    at both ends too narrow.

    Parameters
    ----------
    y_true, distribution : array-like and Mixture
        As those of :func:`crps`; of several targets each has its marginal.

    Returns
    -------
    levels : ndarray of the shape of `y_true`
        Between zero and one.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import probability_integral_transform
    >>> mixture = Mixture([1.0], [[0.0]], [1.0], "spherical")
    >>> probability_integral_transform([-1.645, 0.0], mixture).round(3)
    array([0.05, 0.5 ])
    """
    mixture, columns = check_pair(y_true, distribution)
    return like_targets(each_column(Mixture.cdf, mixture, columns), y_true)


@own_errors
def interval_coverage(
    y_true: Any,
    distribution: Any,
    *,
    coverage: float = 0.9,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
) -> float | NDArray[Any]:
    """Compute the share of targets that lie in their central intervals.

    Parameters
    ----------
    y_true, distribution : array-like and Mixture
        As those of :func:`crps`.

    coverage : float, default=0.9
        Probability of the interval. Half of the rest is left out on each side.

    sample_weight, multioutput : array-like and str or array-like
        As those of :func:`crps`.

    Returns
    -------
    share : float or ndarray of shape (n_targets,)
        Near `coverage` if the densities are as wide as they should be.

    Raises
    ------
    ValueError
        If `coverage` does not lie between zero and one.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import interval_coverage
    >>> mixture = Mixture([1.0], [[0.0]], [1.0], "spherical")
    >>> interval_coverage([-3.0, -1.0, 0.0, 1.0], mixture)
    0.75
    """
    if not (isinstance(coverage, Real) and 0 < coverage < 1):
        raise ValueError(
            f"coverage={coverage!r} must lie strictly between 0 and 1, such as 0.9."
        )
    mixture, columns = check_pair(y_true, distribution)
    levels = each_column(Mixture.cdf, mixture, columns)
    inside = np.abs(levels - 0.5) <= 0.5 * coverage
    return average_outputs(average_rows(inside, sample_weight), multioutput)


# Entries of a temporary array: what stays in the processor's cache.
BLOCK_SIZE = 2**15


@own_errors
def crps(
    y_true: ArrayLike,
    distribution: Mixture,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: Literal["raw_values", "uniform_average"]
    | ArrayLike = "uniform_average",
) -> float | NDArray[Any]:
    r"""Compute the mean continuous ranked probability score.

    .. math::

        \mathrm{CRPS}(F, y) = \int (F(t) - 1\{t \ge y\})^2 \, dt
        = E|Y - y| - \tfrac12 E|Y - Y'|

    It is measured in the units of `y_true`, is the absolute error for a density that
    is a point, and is best for the true density. Of a Gaussian mixture both
    expectations have a closed form [1]_:

    .. math::

        \sum_i w_i A(y - \mu_i, \sigma_i^2) - \tfrac12 \sum_{ij} w_i w_j
        A(\mu_i - \mu_j, \sigma_i^2 + \sigma_j^2), \qquad
        A(m, s^2) = m (2 \Phi(m / s) - 1) + 2 s \varphi(m / s)

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_targets)
        What was observed. Of several targets each is scored under its marginal.

    distribution : Mixture
        One for each sample, such as ``estimator.predict_mixture(X)``, or one for all.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    multioutput : str or array-like of shape (n_targets,), default='uniform_average'
        How the scores of several targets are combined: 'uniform_average', not at all
        ('raw_values'), or by weights.

    Returns
    -------
    score : float or ndarray of shape (n_targets,)
        Not negative; less is better.

    Raises
    ------
    ValueError
        If `y_true` does not fit the distribution or is not finite.

    References
    ----------
    .. [1] E. P. Grimit, T. Gneiting, V. J. Berrocal and N. A. Johnson, "The
       continuous ranked probability score for circular variables and its
       application to mesoscale forecast ensemble verification", Quarterly Journal
       of the Royal Meteorological Society 132, 2006.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import crps
    >>> mixture = Mixture([0.5, 0.5], [[-1.0], [1.0]], [0.01, 0.01], "spherical")
    >>> round(crps([1.0, 0.0], mixture), 3)
    0.492
    """
    mixture, columns = check_pair(y_true, distribution)
    scores = average_rows(each_column(_crps_score, mixture, columns), sample_weight)
    return average_outputs(scores, multioutput)


@own_errors
def crps_samples(y_true: Any, distribution: Any) -> NDArray[Any]:
    """Compute the continuous ranked probability score of each sample.

    Parameters
    ----------
    y_true, distribution : array-like and Mixture
        As those of :func:`crps`.

    Returns
    -------
    scores : ndarray of the shape of `y_true`
        Not negative; less is better.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import crps_samples
    >>> mixture = Mixture([0.5, 0.5], [[-1.0], [1.0]], [0.01, 0.01], "spherical")
    >>> crps_samples([1.0, 0.0], mixture).round(3)
    array([0.512, 0.472])
    """
    mixture, columns = check_pair(y_true, distribution)
    return like_targets(each_column(_crps_score, mixture, columns), y_true)


def _crps_score(mixture, y):
    """Score values (n,) under mixtures of one feature."""
    batch = as_batch(mixture)
    weights = batch.weights / batch.weights.sum(axis=-1, keepdims=True)
    means, variances = batch.means[..., 0], batch.scales()[..., 0] ** 2
    if len(means) == 1:
        spread = _spread(weights, means, variances)
    scores = np.empty(len(y))
    step = max(1, BLOCK_SIZE // means.shape[1])
    for start in range(0, len(y), step):
        rows = slice(start, start + step)
        parts = [take_rows(part, rows) for part in (weights, means, variances)]
        error = mean_absolute(y[rows, None] - parts[1], parts[2])
        error = (parts[0] * error).sum(axis=-1)
        scores[rows] = error - 0.5 * (spread if len(means) == 1 else _spread(*parts))
    # The difference of two numbers that are equal for a narrow density at its value.
    return np.maximum(scores, 0.0)


def _spread(weights, means, variances):
    """Compute E|Y - Y'| of mixtures (n, K); one of each two equal pairs is taken."""
    weights, variances = (np.broadcast_to(a, means.shape) for a in (weights, variances))
    own = 2.0 / np.sqrt(np.pi) * np.sqrt(variances)
    total = (weights * weights * own).sum(axis=-1)
    for i in range(means.shape[1] - 1):
        others = slice(i + 1, None)
        distance = mean_absolute(
            means[:, i, None] - means[:, others],
            variances[:, i, None] + variances[:, others],
        )
        total += 2.0 * weights[:, i] * (weights[:, others] * distance).sum(axis=-1)
    return total


def mean_absolute(mean, variance):
    """Compute E|D| of a Gaussian D: both terms are positive."""
    with np.errstate(over="ignore"):
        half = mean / np.sqrt(2.0 * variance)
        peak = np.exp(-half * half)
    return mean * erf(half) + np.sqrt(2.0 / np.pi * variance) * peak


@own_errors
def energy_score(
    y_true: ArrayLike,
    distribution: Mixture,
    *,
    n_samples: int = 64,
    sample_weight: ArrayLike | None = None,
    random_state: RandomState = None,
) -> float:
    r"""Compute the mean energy score.

    .. math:: \mathrm{ES}(p, y) = E|Y - y| - \tfrac12 E|Y - Y'|

    with Euclidean distances [1]_. It is best for the true density, and sees how
    the targets depend on each other. For one target it is the closed form of
    :func:`crps`. Otherwise each expectation is a mean over samples, drawn from the
    components in proportion to their weights, so that only the position within
    the components is left to chance. The estimate has no bias, so that a score
    near zero may come out negative.

    Parameters
    ----------
    y_true, distribution : array-like and Mixture
        As those of :func:`crps`. Large differences of scale between targets count:
        standardize them if all should matter.

    n_samples : int, default=64
        Number of draws Y, and of draws Y', of each sample. With m of them the
        standard error for n samples is below :math:`s / \sqrt{n m}`, and in mixtures
        of many narrow components about a fifth of that, where :math:`s^2` is the
        trace of the densities' covariance.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    random_state : int, numpy.random.Generator, RandomState or None
        Source of randomness. The same integer makes scores of two models differ
        by less chance than different ones do.

    Returns
    -------
    score : float
        Less is better.

    References
    ----------
    .. [1] T. Gneiting and A. E. Raftery, "Strictly proper scoring rules,
       prediction, and estimation", Journal of the American Statistical
       Association 102(477), 2007.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import energy_score
    >>> mixture = Mixture(
    ...     [0.5, 0.5], [[-1.0, -1.0], [1.0, 1.0]], [0.01, 0.01], "spherical"
    ... )
    >>> right = energy_score([[1.0, 1.0]], mixture, random_state=0)
    >>> wrong = energy_score([[1.0, -1.0]], mixture, random_state=0)
    >>> bool(right < wrong)
    True
    """
    how = {"n_samples": n_samples, "random_state": random_state}
    scores = energy_score_samples(y_true, distribution, **how)
    return float(average_rows(scores, sample_weight))


@own_errors
def energy_score_samples(
    y_true: Any, distribution: Any, *, n_samples: Any = 64, random_state: Any = None
) -> NDArray[Any]:
    """Compute the energy score of each sample.

    Parameters
    ----------
    y_true, distribution, n_samples, random_state : array-like, Mixture, int and seed
        As those of :func:`energy_score`; of one target nothing is drawn.

    Returns
    -------
    scores : ndarray of shape (n_samples,)
        Less is better.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import energy_score_samples
    >>> mixture = Mixture([1.0], [[0.0, 0.0]], [1.0], "spherical")
    >>> scores = energy_score_samples([[0.0, 0.0], [9.0, 0.0]], mixture, random_state=0)
    >>> bool(scores[0] < scores[1])
    True
    """
    check_count(n_samples=n_samples)
    mixture, columns = check_pair(y_true, distribution)
    if mixture.n_features == 1:
        return crps_samples(columns[:, 0], mixture)
    generator = as_generator(random_state)
    batch = as_batch(mixture)
    step = block_rows(n_samples * max(n_samples, *batch.means.shape[1:]))
    blocks = []
    for start in range(0, len(columns), step):
        rows = slice(start, start + step)
        y = columns[rows]
        own = batch if len(batch.means) == 1 else batch.take(rows)
        draws = [_draw(own, len(y), n_samples, generator) for _ in range(2)]
        blocks.append(_energy_score(*draws, y))
    return np.concatenate(blocks)


def _draw(batch, n, n_samples, generator):
    """Draw points (n_samples, n, d), with evenly spread components in each sample."""
    means = np.broadcast_to(batch.means, (n, *batch.means.shape[1:]))
    covariances = map_arrays(
        lambda part: np.broadcast_to(part, (n, *part.shape[1:])), batch.covariances
    )
    total = np.cumsum(batch.weights, axis=-1)
    levels = (np.arange(n_samples)[:, None] + generator.random(n)) / n_samples
    levels = levels * total[:, -1]
    component = (levels[..., None] >= total).sum(axis=-1)
    # Rounding may put the last level on the total.
    component = np.minimum(component, total.shape[-1] - 1)
    n_normals = batch.kind.n_normals(covariances, means.shape[-1])
    normals = generator.standard_normal((n_samples, n, n_normals))
    noise = batch.kind.noise(batch.kind.root(covariances), component, normals)
    return take_components(means, component) + noise


def _energy_score(first, second, y):
    center = first.mean(axis=0)
    first, second = (np.moveaxis(draws - center, 0, 1) for draws in (first, second))
    y = (y - center)[:, None]
    error = 0.5 * (_distances(first, y) + _distances(second, y))
    return error - 0.5 * _distances(first, second)


def _distances(first, second):
    """Average the distances of all pairs of samples, (n, p, d) and (n, q, d)."""
    squares = [(part * part).sum(axis=-1) for part in (first, second)]
    products = first @ np.swapaxes(second, 1, 2)
    square = squares[0][:, :, None] + squares[1][:, None, :] - 2.0 * products
    return np.sqrt(np.maximum(square, 0.0)).mean(axis=(1, 2))

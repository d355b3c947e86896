"""The continuous ranked probability score of Gaussian mixtures, in closed form."""

import numpy as np
from scipy.special import erf

from skgmje.gaussian._batch import as_batch, take_rows
from skgmje.metrics._checks import (
    average_outputs,
    average_rows,
    check_pair,
    each_column,
    like_targets,
)

# Entries of a temporary array: what stays in the processor's cache.
BLOCK_SIZE = 2**15


def crps(mixture, y, *, sample_weight=None, multioutput="uniform_average"):
    r"""Compute the mean continuous ranked probability score.

    .. math::

        \mathrm{CRPS}(F, y) = \int (F(t) - 1\{t \ge y\})^2 \, dt
        = E|Y - y| - \tfrac12 E|Y - Y'|

    It is measured in the units of `y`, is the absolute error for a density that
    is a point, and is best for the true density. Of a Gaussian mixture both
    expectations have a closed form [1]_:

    .. math::

        \sum_i w_i A(y - \mu_i, \sigma_i^2) - \tfrac12 \sum_{ij} w_i w_j
        A(\mu_i - \mu_j, \sigma_i^2 + \sigma_j^2), \qquad
        A(m, s^2) = m (2 \Phi(m / s) - 1) + 2 s \varphi(m / s)

    Parameters
    ----------
    mixture : Mixture
        One for each row, such as ``estimator.predict_mixture(X)``, or one for all.

    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        What was observed. Of several targets each is scored under its marginal.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    multioutput : {'raw_values', 'uniform_average'} or array-like of shape \
            (n_targets,), default='uniform_average'
        How the scores of several targets are combined.

    Returns
    -------
    score : float or ndarray of shape (n_targets,)
        Not negative; less is better.

    Raises
    ------
    ValueError
        If `y` does not fit the mixture or is not finite.

    See Also
    --------
    crps_samples : The score of each row.
    energy_score : One score for all targets together.

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
    >>> round(crps(mixture, [1.0, 0.0]), 3)
    0.492
    """
    mixture, columns = check_pair(mixture, y)
    scores = average_rows(each_column(_score, mixture, columns), sample_weight)
    return average_outputs(scores, multioutput)


def crps_samples(mixture, y):
    """Compute the continuous ranked probability score of each row.

    Parameters
    ----------
    mixture : Mixture
        One for each row, or one for all.

    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        What was observed. Of several targets each is scored under its marginal.

    Returns
    -------
    scores : ndarray of the shape of `y`
        Not negative; less is better.

    Raises
    ------
    ValueError
        If `y` does not fit the mixture or is not finite.

    See Also
    --------
    crps : The mean, with the formula.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import crps_samples
    >>> mixture = Mixture([0.5, 0.5], [[-1.0], [1.0]], [0.01, 0.01], "spherical")
    >>> crps_samples(mixture, [1.0, 0.0]).round(3)
    array([0.512, 0.472])
    """
    mixture, columns = check_pair(mixture, y)
    return like_targets(each_column(_score, mixture, columns), y)


def _score(mixture, y):
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
        error = _distance(y[rows, None] - parts[1], parts[2])
        error = (parts[0] * error).sum(axis=-1)
        scores[rows] = error - 0.5 * (spread if len(means) == 1 else _spread(*parts))
    # The difference of two numbers that are equal for a narrow density at `y`.
    return np.maximum(scores, 0.0)


def _spread(weights, means, variances):
    """Compute E|Y - Y'| of mixtures (n, K); one of each two equal pairs is taken."""
    weights, variances = (np.broadcast_to(a, means.shape) for a in (weights, variances))
    own = 2.0 / np.sqrt(np.pi) * np.sqrt(variances)
    total = (weights * weights * own).sum(axis=-1)
    for i in range(means.shape[1] - 1):
        others = slice(i + 1, None)
        distance = _distance(
            means[:, i, None] - means[:, others],
            variances[:, i, None] + variances[:, others],
        )
        total += 2.0 * weights[:, i] * (weights[:, others] * distance).sum(axis=-1)
    return total


def _distance(mean, variance):
    """Compute E|D| of a Gaussian D: both terms are positive."""
    with np.errstate(over="ignore"):
        half = mean / np.sqrt(2.0 * variance)
        peak = np.exp(-half * half)
    return mean * erf(half) + np.sqrt(2.0 / np.pi * variance) * peak

"""Whether stated probabilities come true."""

from numbers import Real

import numpy as np

from skgmje.metrics._checks import (
    average_outputs,
    average_rows,
    check_pair,
    each_column,
    like_targets,
)


def probability_integral_transform(mixture, y):
    r"""Compute the probability that each target had of being lower.

    .. math:: u_i = F_i(y_i)

    Under the true densities the values are uniform between zero and one: a
    histogram with a hump means densities that are too wide, with horns too
    narrow.

    Parameters
    ----------
    mixture : Mixture
        One for each row, such as ``estimator.predict_mixture(X)``, or one for all.

    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        What was observed. Of several targets each has its marginal.

    Returns
    -------
    levels : ndarray of the shape of `y`
        Between zero and one.

    Raises
    ------
    ValueError
        If `y` does not fit the mixture or is not finite.

    See Also
    --------
    interval_coverage : How many targets lie in the central interval.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import probability_integral_transform
    >>> mixture = Mixture([1.0], [[0.0]], [1.0], "spherical")
    >>> probability_integral_transform(mixture, [-1.645, 0.0]).round(3)
    array([0.05, 0.5 ])
    """
    mixture, columns = check_pair(mixture, y)
    return like_targets(each_column(_levels, mixture, columns), y)


def interval_coverage(
    mixture, y, *, coverage=0.9, sample_weight=None, multioutput="uniform_average"
):
    """Compute the share of targets that lie in their central intervals.

    Parameters
    ----------
    mixture : Mixture
        One for each row, such as ``estimator.predict_mixture(X)``, or one for all.

    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        What was observed. Of several targets each has its marginal.

    coverage : float, default=0.9
        Probability of the interval. Half of the rest is left out on each side.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    multioutput : {'raw_values', 'uniform_average'} or array-like of shape \
            (n_targets,), default='uniform_average'
        How the shares of several targets are combined.

    Returns
    -------
    share : float or ndarray of shape (n_targets,)
        Near `coverage` if the densities are as wide as they should be.

    Raises
    ------
    ValueError
        If `coverage` does not lie between zero and one, or `y` does not fit.

    See Also
    --------
    probability_integral_transform : Where in its density each target lies.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import interval_coverage
    >>> mixture = Mixture([1.0], [[0.0]], [1.0], "spherical")
    >>> interval_coverage(mixture, [-3.0, -1.0, 0.0, 1.0])
    0.75
    """
    if not (isinstance(coverage, Real) and 0 < coverage < 1):
        raise ValueError(
            f"coverage={coverage!r} must lie strictly between 0 and 1, such as 0.9."
        )
    mixture, columns = check_pair(mixture, y)
    levels = each_column(_levels, mixture, columns)
    inside = np.abs(levels - 0.5) <= 0.5 * coverage
    return average_outputs(average_rows(inside, sample_weight), multioutput)


def _levels(mixture, y):
    return mixture.cdf(y)

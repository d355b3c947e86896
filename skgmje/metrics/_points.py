"""Likelihood of a mixture, and the error of its mean."""

import numpy as np

from skgmje.metrics._checks import average_outputs, average_rows, check_pair


def mean_log_likelihood(mixture, y, *, sample_weight=None):
    r"""Compute the mean log-density of the targets, in nats.

    .. math:: \frac{1}{n} \sum_i \log p_i(y_i)

    Parameters
    ----------
    mixture : Mixture
        One for each row, such as ``estimator.predict_mixture(X)``, or one for all.

    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        What was observed. Of several targets the joint density counts.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    score : float
        More is better. It depends on the units of `y`.

    Raises
    ------
    ValueError
        If `y` does not fit the mixture or is not finite.

    See Also
    --------
    crps : A score in the units of `y` that forgives single misses.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import mean_log_likelihood
    >>> mixture = Mixture([1.0], [[0.0]], [1.0], "spherical")
    >>> round(mean_log_likelihood(mixture, [0.0, 0.0]), 3)
    -0.919
    """
    mixture, columns = check_pair(mixture, y)
    return float(average_rows(mixture.log_prob(columns), sample_weight))


def rmse(mixture, y, *, sample_weight=None, multioutput="uniform_average"):
    r"""Compute the root mean squared error of the mixtures' means.

    .. math:: \Bigl(\frac{1}{n} \sum_i (y_i - E_i[Y])^2\Bigr)^{1/2}

    Parameters
    ----------
    mixture : Mixture
        One for each row, such as ``estimator.predict_mixture(X)``, or one for all.

    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        What was observed.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    multioutput : {'raw_values', 'uniform_average'} or array-like of shape \
            (n_targets,), default='uniform_average'
        How the errors of several targets are combined, after the root.

    Returns
    -------
    error : float or ndarray of shape (n_targets,)
        Less is better. Where the density has several branches the best mean may
        lie between them.

    Raises
    ------
    ValueError
        If `y` does not fit the mixture or is not finite.

    See Also
    --------
    crps : A score of the whole density in the same units.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import rmse
    >>> mixture = Mixture([0.5, 0.5], [[-1.0], [1.0]], [0.01, 0.01], "spherical")
    >>> rmse(mixture, [1.0, -1.0])
    1.0
    """
    mixture, columns = check_pair(mixture, y)
    squares = (columns - mixture.mean) ** 2
    return average_outputs(np.sqrt(average_rows(squares, sample_weight)), multioutput)

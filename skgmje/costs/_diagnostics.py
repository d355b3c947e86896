"""Signs that a bandwidth is too small or too large for a kernel cost to learn."""

import math

from skgmje._backend import logsumexp, namespace
from skgmje.costs._terms import (
    log_component_weights,
    log_row_weights,
    squared_singular_values,
)


def pair_ess(grams, weights=None):
    r"""Compute how many pairs of a data point and a centre carry the cost.

    .. math:: \frac{(\sum_{ik} a_{ik})^2}{\sum_{ik} a_{ik}^2}, \qquad
        a_{ik} = a_i w_k (K_{xy})_{ik},

    the effective sample size of the pair weights, between 1 and n k. Below one
    hundredth of n k the bandwidth is so small that a few nearest pairs carry
    the whole gradient; the logarithms of the costs hide it.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    weights : array of shape (k,), default=None
        Weights of the centres; None: all equal.

    Returns
    -------
    ess : scalar array
        Effective number of pairs.

    See Also
    --------
    effective_rank : The same question asked of the singular values.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import pair_ess
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(pair_ess(grams(X, X, bandwidth=100.0))), 2)
    9.0
    >>> round(float(pair_ess(grams(X, X, bandwidth=0.01))), 2)
    3.0
    """
    logs = grams.log_xy + log_row_weights(grams)[:, None]
    logs = (logs + log_component_weights(grams, weights)).reshape(-1)
    ess = 2 * logsumexp(logs, axis=0) - logsumexp(2 * logs, axis=0)
    return namespace(logs).exp(ess)


def effective_rank(grams):
    r"""Compute the effective rank of the cross Gram matrix of unit bumps.

    .. math:: \exp\Big(-\sum_j s_j \log s_j\Big), \qquad
        s_j = \sigma_j / \sum_l \sigma_l,

    with the singular values :math:`\sigma`: the exponential of their entropy,
    between 1 and min(n, k). Near 1 the bandwidth is too large to tell points
    apart; near min(n, k) it is so small that bumps do not meet.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    Returns
    -------
    rank : scalar array
        Effective number of singular values.

    References
    ----------
    .. [1] O. Roy and M. Vetterli, "The effective rank: a measure of effective
       dimensionality", EUSIPCO 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import effective_rank
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(effective_rank(grams(X, X, bandwidth=100.0))), 2)
    1.0
    >>> round(float(effective_rank(grams(X, X, bandwidth=0.01))), 2)
    3.0
    """
    xp = namespace(grams.centers)
    logs = grams.log_correlation_xy
    squares = squared_singular_values(xp.exp(logs - xp.max(logs)))
    shares = xp.sqrt(squares / xp.sum(squares))
    shares = shares / xp.sum(shares)
    tiny = math.sqrt(xp.finfo(shares.dtype).smallest_normal)
    entropy = -xp.sum(shares * xp.log(shares + tiny))
    return xp.astype(xp.exp(entropy), grams.centers.dtype)

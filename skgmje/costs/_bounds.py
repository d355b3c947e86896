"""What the values of the costs cannot exceed: functionals of the data."""

import math

from skgmje._backend import logsumexp
from skgmje.costs._terms import exp_unless, log_component_weights, log_row_weights


def density_bound(grams, *, log=False):
    r"""Compute the bound of the scalar and vector-matrix values.

    .. math:: \langle p, p \rangle = \sum_{ij} a_i a_j (K_{xx})_{ij}

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    log : bool, default=False
        Return the logarithm, which is finite where the bound underflows.

    Returns
    -------
    bound : scalar array
        Squared norm of the data density.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import density_bound
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(density_bound(grams(X, X, bandwidth=0.5))), 4)
    0.2826
    """
    norm = grams.log_data_norm + 2 * grams.log_data_scale
    return exp_unless(norm, log)


def trace_bound(grams, *, log=False):
    r"""Compute the bound of the matrix-matrix value.

    .. math:: \operatorname{tr}(K_{xx}) = n (4 \pi v_p)^{-d/2}

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    log : bool, default=False
        Return the logarithm, which is finite where the bound underflows.

    Returns
    -------
    bound : scalar array
        Trace; with weights of the data, n times their weighted mean.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import trace_bound
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(trace_bound(grams(X, X, bandwidth=0.5))), 4)
    1.6926
    """
    total = logsumexp(grams.log_xx_diagonal + log_row_weights(grams), axis=0)
    return exp_unless(total + math.log(grams.X.shape[0]), log)


def nuclear_bound(grams, weights=None, *, log=False):
    r"""Compute the bound of the SVD value.

    .. math:: \Big(\sum_i a_i (K_{xx})_{ii} \sum_k w_k (K_{yy})_{kk}\Big)^{1/2}
        = (4 \pi v_p)^{-d/4} (4 \pi v_q)^{-d/4}

    The right-hand side holds where data and centres have one variance each. If
    the two are equal, the bound is reached where data and centres are the same
    points with the same weights, in any order; otherwise it is not.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    weights : array of shape (k,), default=None
        Weights of the centres; None: all equal.

    log : bool, default=False
        Return the logarithm, which is finite where the bound underflows.

    Returns
    -------
    bound : scalar array
        Geometric mean of the traces of the two operators.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import nuclear_bound
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(nuclear_bound(grams(X, X, bandwidth=0.5))), 4)
    0.5642
    """
    log_p = logsumexp(grams.log_xx_diagonal + log_row_weights(grams), axis=0)
    w = log_component_weights(grams, weights)
    log_q = logsumexp(grams.log_yy_diagonal + w, axis=0)
    return exp_unless((log_p + log_q) / 2, log)

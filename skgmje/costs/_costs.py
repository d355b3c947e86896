"""The four kernel costs, as gaps to their bounds."""

import math

from skgmje._backend import namespace
from skgmje.costs._terms import (
    log_component_weights,
    log_explained,
    log_nuclear_norm,
    log_relative_scalar,
    log_relative_vector_matrix,
    log_row_weights,
)


def scalar_cost(grams, weights=None, jitter=None):
    r"""Compute the Cauchy-Schwarz divergence of data and model.

    .. math:: \log \langle p, p \rangle - 2 \log \langle p, q \rangle
        + \log \langle q, q \rangle

    Data attract centres, and centres repel each other. It is 0 where the two
    densities are equal, and else positive.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    weights : array of shape (k,), default=None
        Weights of the centres; their scale does not matter. None: all equal.

    jitter : None
        Not used: no matrix is inverted.

    Returns
    -------
    cost : scalar array
        Gap to the bound, in logarithms.

    See Also
    --------
    scalar_value : The value as the paper states it.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`

    Examples
    --------
    >>> import numpy as np

    >>> from skgmje.gaussian._grams import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(scalar_cost(grams(X, X[:2], bandwidth=0.5))), 3)
    0.235
    """
    return grams.log_data_norm - log_relative_scalar(grams, weights)


def vector_matrix_cost(grams, weights=None, jitter=None):
    r"""Compute how much of the data density no combination of the bumps explains.

    With :math:`b_k = \langle p, q_k \rangle` and R the Gram matrix of the bumps
    :math:`q_k` around the centres,

    .. math:: \log \langle p, p \rangle - \log(b^\top R^{-1} b).

    It is 0 where the data density is in the span of the bumps: more centres
    never hurt. The combination behind it is that of :func:`optimal_weights`.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    weights : array of shape (k,), default=None
        Not used: the span of the bumps does not depend on weights.

    jitter : float, default=None
        Ridge on R scaled to unit diagonal. It can only raise the cost. None:
        1e-6, in single precision 1e-4.

    Returns
    -------
    cost : scalar array
        Gap to the bound, in logarithms.

    See Also
    --------
    vector_matrix_value : The value as the paper states it.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`

    Examples
    --------
    >>> import numpy as np

    >>> from skgmje.gaussian._grams import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(vector_matrix_cost(grams(X, X[:2], bandwidth=0.5))), 3)
    0.209
    """
    return grams.log_data_norm - log_relative_vector_matrix(grams, jitter)


def matrix_matrix_cost(grams, weights=None, jitter=None):
    r"""Compute the share of the data's bumps that no combination explains.

    With P the cross Gram matrix of data and centres and R that of the centres,
    both of bumps scaled to unit norm,

    .. math:: 1 - \frac1n \operatorname{tr}(P R^{-1} P^\top),

    the mean trace of a Schur complement, between 0 and 1. It is 0 where every
    data bump is in the span of the centres' bumps: more centres never hurt.
    It is a mean over data points, so a batch estimates it without bias.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    weights : array of shape (k,), default=None
        Not used: the span of the bumps does not depend on weights.

    jitter : float, default=None
        Ridge on R. It can only raise the cost. None: 1e-6, in single precision
        1e-4.

    Returns
    -------
    cost : scalar array
        Gap to the bound, relative to the bound.

    See Also
    --------
    matrix_matrix_value : The value as the paper states it.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`

    Examples
    --------
    >>> import numpy as np

    >>> from skgmje.gaussian._grams import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(matrix_matrix_cost(grams(X, X[:2], bandwidth=0.5))), 3)
    0.283
    """
    xp = namespace(grams.centers)
    return 1 - xp.sum(xp.exp(log_explained(grams, jitter) + log_row_weights(grams)))


def svd_cost(grams, weights=None, jitter=None):
    r"""Compute minus the log-fidelity of the operators of data and model.

    With P the cross Gram matrix of bumps scaled to unit norm, a the weights of
    the data and w those of the centres,

    .. math:: -\log \big\|\operatorname{diag}(a)^{1/2} P
        \operatorname{diag}(w)^{1/2}\big\|_*,

    where the nuclear norm is the sum of the singular values. If data and model
    have one bandwidth, it is 0 where data and centres are the same points with
    the same weights in any order, so superfluous and duplicated centres cost;
    with two bandwidths it stays positive. Nothing is inverted.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    weights : array of shape (k,), default=None
        Weights of the centres; their scale does not matter. None: all equal.

    jitter : float, default=None
        Singular values below about `jitter` times the Frobenius norm are
        smoothed, which keeps the gradient finite. It can only raise the cost.
        None: 1e-6, in single precision 1e-4.

    Returns
    -------
    cost : scalar array
        Gap to the bound, in logarithms.

    See Also
    --------
    svd_value : The value as the paper states it.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`

    Examples
    --------
    >>> import numpy as np

    >>> from skgmje.gaussian._grams import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(svd_cost(grams(X, X[:2], bandwidth=0.5))), 3)
    0.167
    """
    columns = log_component_weights(grams, weights) / 2
    if grams.log_data_weights is None:
        columns = columns - math.log(grams.X.shape[0]) / 2
        return -log_nuclear_norm(grams, None, columns, jitter)
    return -log_nuclear_norm(grams, grams.log_data_weights / 2, columns, jitter)


COSTS = {
    "scalar": scalar_cost,
    "vector-matrix": vector_matrix_cost,
    "matrix-matrix": matrix_matrix_cost,
    "svd": svd_cost,
}

"""The costs as the paper states them: values to be maximised."""

import math

from skgmje._backend import (
    logsumexp,
    namespace,
)
from skgmje.costs._terms import (
    exp_unless,
    log_component_weights,
    log_explained,
    log_nuclear_norm,
    log_relative_scalar,
    log_relative_vector_matrix,
    log_row_weights,
    unit_optimum,
)


def scalar_value(grams, weights=None, jitter=None, *, log=False):
    r"""Compute the value that the scalar cost bounds, to be maximised.

    .. math:: \frac{\langle p, q \rangle^2}{\langle q, q \rangle}
        \le \langle p, p \rangle

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    weights : array of shape (k,), default=None
        Weights of the centres; their scale does not matter. None: all equal.

    jitter : None
        Not used: no matrix is inverted.

    log : bool, default=False
        Return the logarithm, which is finite where the value underflows.

    Returns
    -------
    value : scalar array
        Squared norm of the projection of p on q.

    See Also
    --------
    density_bound : The bound, reached where q is proportional to p.
    scalar_cost : The gap between their logarithms.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import density_bound, scalar_value
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> g = grams(X, X[:2], bandwidth=0.5)
    >>> bool(scalar_value(g) <= density_bound(g))
    True
    """
    value = log_relative_scalar(grams, weights)
    return exp_unless(value + 2 * grams.log_data_scale, log)


def vector_matrix_value(grams, weights=None, jitter=None, *, log=False):
    r"""Compute the value that the vector-matrix cost bounds, to be maximised.

    With :math:`b_k = \langle p, q_k \rangle` and R the Gram matrix of the bumps
    :math:`q_k` around the centres,

    .. math:: b^\top R^{-1} b
        = \max_\alpha \frac{\langle p, \alpha^\top q \rangle^2}
        {\langle \alpha^\top q, \alpha^\top q \rangle} \le \langle p, p \rangle

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    weights : array of shape (k,), default=None
        Not used: the span of the bumps does not depend on weights.

    jitter : float, default=None
        Ridge on R scaled to unit diagonal. It can only lower the value. None:
        1e-6, in single precision 1e-4.

    log : bool, default=False
        Return the logarithm, which is finite where the value underflows.

    Returns
    -------
    value : scalar array
        Squared norm of the projection of p on the span of the bumps.

    See Also
    --------
    density_bound : The bound, reached where p is in the span.
    optimal_weights : The combination that reaches the maximum.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`
       The formula is our reading of the paper's words.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import density_bound, vector_matrix_value
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> g = grams(X, X, bandwidth=0.5)
    >>> bool(np.isclose(vector_matrix_value(g, jitter=0), density_bound(g)))
    True
    """
    value = log_relative_vector_matrix(grams, jitter)
    return exp_unless(value + 2 * grams.log_data_scale, log)


def matrix_matrix_value(grams, weights=None, jitter=None, *, log=False):
    r"""Compute the value that the matrix-matrix cost bounds, to be maximised.

    .. math:: \operatorname{tr}(P R^{-1} P^\top) \le \operatorname{tr}(K_{xx})

    with P the cross Gram matrix of data and centres and R that of the centres.
    The difference is the trace of a Schur complement, the summed squared
    distance of the data's bumps from the span of the centres' bumps.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    weights : array of shape (k,), default=None
        Not used: the span of the bumps does not depend on weights.

    jitter : float, default=None
        Ridge on R scaled to unit diagonal. It can only lower the value. None:
        1e-6, in single precision 1e-4.

    log : bool, default=False
        Return the logarithm, which is finite where the value underflows.

    Returns
    -------
    value : scalar array
        Trace; with weights of the data, n times their weighted mean.

    See Also
    --------
    trace_bound : The bound, reached where every data bump is in the span.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`
       The formula is our reading of "the trace of the Schur complement".

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import matrix_matrix_value, trace_bound
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> g = grams(X, X[:2], bandwidth=0.5)
    >>> bool(matrix_matrix_value(g) <= trace_bound(g))
    True
    """
    logs = log_explained(grams, jitter) + grams.log_xx_diagonal
    total = logsumexp(logs + log_row_weights(grams), axis=0)
    return exp_unless(total + math.log(grams.X.shape[0]), log)


def svd_value(grams, weights=None, jitter=None, *, log=False):
    r"""Compute the value that the SVD cost bounds, to be maximised.

    .. math:: \frac{\|K_{xy}\|_*}{\sqrt{n k}} \le
        \sqrt{\frac{\operatorname{tr} K_{xx}}{n} \frac{\operatorname{tr} K_{yy}}{k}}

    the nuclear norm, the sum of the singular values. With weights it is that of
    :math:`\operatorname{diag}(a)^{1/2} K_{xy} \operatorname{diag}(w)^{1/2}`.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    weights : array of shape (k,), default=None
        Weights of the centres; their scale does not matter. None: all equal.

    jitter : float, default=None
        Singular values below about `jitter` times the Frobenius norm are
        smoothed. It can only lower the value. None: 1e-6, in single precision
        1e-4.

    log : bool, default=False
        Return the logarithm, which is finite where the value underflows.

    Returns
    -------
    value : scalar array
        Fidelity of the kernel covariance operators of data and model.

    See Also
    --------
    nuclear_bound : The bound.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`
       The bound and where it is reached were derived here.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import nuclear_bound, svd_value
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> g = grams(X, X[::-1], bandwidth=0.5)
    >>> bool(np.isclose(svd_value(g, jitter=0), nuclear_bound(g)))
    True
    """
    rows = (grams.log_xx_diagonal + log_row_weights(grams)) / 2
    columns = (grams.log_yy_diagonal + log_component_weights(grams, weights)) / 2
    return exp_unless(log_nuclear_norm(grams, rows, columns, jitter), log)


def optimal_weights(grams, jitter=None):
    r"""Compute the combination of the centres' bumps nearest to the data density.

    .. math:: \alpha = R^{-1} b = \arg\min_\alpha \|p - \alpha^\top q\|^2

    This is a projection, not a density: entries may be negative and need not
    sum to 1.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    jitter : float, default=None
        Ridge on R scaled to unit diagonal; None: 1e-6, in single precision 1e-4.

    Returns
    -------
    weights : array of shape (k,)
        Coefficients of the bumps.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import optimal_weights
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [0.0], [2.0], [2.0], [2.0]])
    >>> optimal_weights(grams(X, X[1:3], bandwidth=0.5)).round(3)
    array([0.4, 0.6])
    """
    unit, log_unit = unit_optimum(grams, jitter)
    log_norms = grams.log_yy_diagonal / 2 - grams.log_data_scale
    return namespace(unit).exp(log_unit - log_norms) * unit

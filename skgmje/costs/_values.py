"""Values of the costs, their bounds and diagnostics of the bandwidth."""

import math

from skgmje._backend import logsumexp, namespace
from skgmje.costs._terms import (
    exp_unless,
    log_component_weights,
    log_explained,
    log_nuclear_norm,
    log_relative_scalar,
    log_relative_vector_matrix,
    log_row_weights,
    squared_singular_values,
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

    >>> from skgmje.gaussian._grams import grams
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

    >>> from skgmje.gaussian._grams import grams
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

    >>> from skgmje.gaussian._grams import grams
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

    >>> from skgmje.gaussian._grams import grams
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

    >>> from skgmje.gaussian._grams import grams
    >>> X = np.array([[0.0], [0.0], [2.0], [2.0], [2.0]])
    >>> optimal_weights(grams(X, X[1:3], bandwidth=0.5)).round(3)
    array([0.4, 0.6])
    """
    unit, log_unit = unit_optimum(grams, jitter)
    log_norms = grams.log_yy_diagonal / 2 - grams.log_data_scale
    return namespace(unit).exp(log_unit - log_norms) * unit


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

    >>> from skgmje.gaussian._grams import grams
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

    >>> from skgmje.gaussian._grams import grams
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

    >>> from skgmje.gaussian._grams import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(nuclear_bound(grams(X, X, bandwidth=0.5))), 4)
    0.5642
    """
    log_p = logsumexp(grams.log_xx_diagonal + log_row_weights(grams), axis=0)
    w = log_component_weights(grams, weights)
    log_q = logsumexp(grams.log_yy_diagonal + w, axis=0)
    return exp_unless((log_p + log_q) / 2, log)


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

    >>> from skgmje.gaussian._grams import grams
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

    >>> from skgmje.gaussian._grams import grams
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

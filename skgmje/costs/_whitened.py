"""Whitened variants of the matrix costs."""

from skgmje._backend import namespace, solve_triangular
from skgmje.costs._terms import center_factor, nuclear_norm, ridge_factor


def whitened_trace_cost(grams, weights=None, jitter=None):
    r"""Compute one minus the mean squared cosine of the principal angles.

    .. math:: 1 - \frac{1}{\min(n, k)}
        \operatorname{tr}(K_{xx}^{-1} K_{xy} K_{yy}^{-1} K_{yx})

    The whitened variant of the matrix-matrix cost, between 0 and 1.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    weights : array of shape (k,), default=None
        Not used: a span does not depend on weights, neither on the data's.

    jitter : float, default=None
        Ridge on the Gram matrices scaled to unit diagonal. It can only raise
        the cost. None: 1e-6, in single precision 1e-4.

    Returns
    -------
    cost : scalar array
        Gap to the bound min(n, k), relative to it: 0 where one span holds the
        other.

    See Also
    --------
    principal_cosines : The cosines themselves.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`
       This variant is known from earlier work of the authors.

    Examples
    --------
    >>> import numpy as np

    >>> from skgmje.gaussian._grams import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(whitened_trace_cost(grams(X, X[:2] + 0.5, bandwidth=0.5))), 3)
    0.144
    """
    cross = _whitened(grams, jitter)
    return 1 - namespace(cross).sum(cross * cross) / min(cross.shape)


def whitened_svd_cost(grams, weights=None, jitter=None):
    r"""Compute one minus the mean cosine of the principal angles.

    .. math:: 1 - \frac{1}{\min(n, k)}
        \big\|K_{xx}^{-1/2} K_{xy} K_{yy}^{-1/2}\big\|_*

    The whitened variant of the SVD cost, between 0 and 1.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    weights : array of shape (k,), default=None
        Not used: a span does not depend on weights, neither on the data's.

    jitter : float, default=None
        Ridge on the Gram matrices scaled to unit diagonal, and smoothing of
        the singular values. It can only raise the cost. None: 1e-6, in single
        precision 1e-4.

    Returns
    -------
    cost : scalar array
        Gap to the bound min(n, k), relative to it: 0 where one span holds the
        other.

    See Also
    --------
    principal_cosines : The cosines themselves.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`
       This variant was derived here.

    Examples
    --------
    >>> import numpy as np

    >>> from skgmje.gaussian._grams import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(whitened_svd_cost(grams(X, X[:2] + 0.5, bandwidth=0.5))), 3)
    0.077
    """
    cross = _whitened(grams, jitter)
    return 1 - nuclear_norm(cross, jitter) / min(cross.shape)


def logdet_cost(grams, weights=None, jitter=None):
    r"""Compute the summed log squared sine of the principal angles.

    .. math:: \log \det \begin{pmatrix} K_{xx} & K_{xy} \\ K_{yx} & K_{yy}
        \end{pmatrix} - \log \det K_{xx} - \log \det K_{yy}
        = \sum_j \log(1 - \cos^2 \theta_j)

    It is at most 0, and bounded below by the jitter only: it is not a gap to a
    bound. Minus a half of it is the mutual information of two Gaussian vectors
    with these covariances.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    weights : array of shape (k,), default=None
        Not used: a span does not depend on weights, neither on the data's.

    jitter : float, default=None
        Ridge on the Gram matrices scaled to unit diagonal. It can only raise
        the cost. None: 1e-6, in single precision 1e-4.

    Returns
    -------
    cost : scalar array
        Log-determinant of the identity minus the squared cosines.

    See Also
    --------
    principal_cosines : The cosines themselves.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`
       This variant is known from earlier work of the authors.

    Examples
    --------
    >>> import numpy as np

    >>> from skgmje.gaussian._grams import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(logdet_cost(grams(X, X[:2] + 0.5, bandwidth=0.5))), 3)
    -5.303
    """
    xp = namespace(grams.centers)
    cross = xp.exp(grams.log_correlation_xy)
    left = xp.concat([xp.exp(grams.log_correlation_xx), cross.T], axis=0)
    right = xp.concat([cross, xp.exp(grams.log_correlation_yy)], axis=0)
    joint = xp.concat([left, right], axis=1)
    factor = ridge_factor(joint, jitter, "The joint Gram matrix of data and centres")
    # Its first rows are the factor of the data's matrix, whose determinant cancels.
    schur = xp.linalg.diagonal(factor)[grams.X.shape[0] :]
    own = xp.linalg.diagonal(center_factor(grams, jitter))
    return 2 * xp.sum(xp.log(schur) - xp.log(own))


def principal_cosines(grams, jitter=None):
    r"""Compute the cosines of the angles between the spans of two sets of bumps.

    They are the singular values of :math:`K_{xx}^{-1/2} K_{xy} K_{yy}^{-1/2}`,
    the canonical correlations of the data's and the centres' bumps.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centres.

    jitter : float, default=None
        Ridge on the Gram matrices scaled to unit diagonal. It can only lower
        the cosines. None: 1e-6, in single precision 1e-4.

    Returns
    -------
    cosines : array of shape (min(n, k),)
        Cosines in descending order, between 0 and 1.

    Examples
    --------
    >>> import numpy as np

    >>> from skgmje.gaussian._grams import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> principal_cosines(grams(X, X[:2] + 0.5, bandwidth=0.5)).round(3)
    array([0.991, 0.855])
    """
    cross = _whitened(grams, jitter)
    return namespace(cross).linalg.svdvals(cross)


def _whitened(grams, jitter):
    """Return the cross Gram matrix in orthonormal bases of both spans, (n, k)."""
    xp = namespace(grams.centers)
    cross = xp.exp(grams.log_correlation_xy)
    name = "The Gram matrix of the data"
    rows = ridge_factor(xp.exp(grams.log_correlation_xx), jitter, name)
    half = solve_triangular(rows, cross)
    return solve_triangular(center_factor(grams, jitter), half.T).T

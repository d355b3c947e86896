"""Second moments of two views: the Gaussian terms that losses are made of."""

from skgmje._backend import as_floats, cholesky, eye_like, namespace, solve_triangular


def covariance(z):
    """Return the centred rows and their covariance, with divisor n.

    Parameters
    ----------
    z : array of shape (n_samples, n_features)
        Rows.

    Returns
    -------
    diff : array of shape (n_samples, n_features)
        Rows minus their mean.

    covariance : array of shape (n_features, n_features)
        Mean of the outer products.
    """
    diff = z - namespace(z).mean(z, axis=0)
    return diff, diff.T @ diff / diff.shape[0]


def mahalanobis_term(z, ridge=0.0, covariance_matrix=None):
    r"""Compute the mean squared Mahalanobis distance of the rows to their mean.

    .. math:: \frac{1}{n} \sum_i (z_i - \bar z)^T (C + \epsilon I)^{-1}
        (z_i - \bar z)

    With the covariance C of the same rows and no ridge it is the number of
    features, whatever the rows are, so that its gradient is zero: the trap of
    likelihoods that take C from the batch.

    Parameters
    ----------
    z : array of shape (n_samples, n_features)
        Rows.

    ridge : float, default=0.0
        :math:`\epsilon`.

    covariance_matrix : array of shape (n_features, n_features), default=None
        C; None is the covariance of the rows, with divisor n.

    Returns
    -------
    term : scalar array
        Not negative.

    Raises
    ------
    ValueError
        If :math:`C + \epsilon I` is not positive definite.

    See Also
    --------
    logdet_term : The other half of a Gaussian log-likelihood.

    References
    ----------
    .. [1] Y. Huang, "Gaussian Joint Embeddings For Self-Supervised
       Representation Learning", 2026. :arxiv:`2603.26799`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import mahalanobis_term
    >>> z = np.random.default_rng(0).normal(size=(20, 3))
    >>> round(float(mahalanobis_term(z)), 10)
    3.0
    >>> round(float(mahalanobis_term(5 * z)), 10)
    3.0
    """
    z, covariance_matrix = as_floats(z, covariance_matrix)
    diff, own = covariance(z)
    matrix = own if covariance_matrix is None else covariance_matrix
    xp = namespace(z)
    white = solve_triangular(_factor(matrix, ridge), diff.T)
    return xp.sum(white * white) / diff.shape[0]


def logdet_term(z, ridge=0.0, covariance_matrix=None):
    r"""Compute the log-determinant of the rows' covariance.

    .. math:: \log |C + \epsilon I|

    Up to constants it is twice the entropy of a Gaussian with this covariance:
    it falls to minus infinity where rows collapse.

    Parameters
    ----------
    z : array of shape (n_samples, n_features)
        Rows.

    ridge : float, default=0.0
        :math:`\epsilon`.

    covariance_matrix : array of shape (n_features, n_features), default=None
        C; None is the covariance of the rows, with divisor n.

    Returns
    -------
    term : scalar array
        In nats.

    Raises
    ------
    ValueError
        If :math:`C + \epsilon I` is not positive definite.

    See Also
    --------
    mahalanobis_term : The other half of a Gaussian log-likelihood.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import logdet_term
    >>> z = np.array([[1.0, 2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, -2.0]])
    >>> float(logdet_term(z).round(3))  # log(4)
    1.386
    """
    z, covariance_matrix = as_floats(z, covariance_matrix)
    matrix = covariance(z)[1] if covariance_matrix is None else covariance_matrix
    return _log_det(_factor(matrix, ridge))


def gaussian_mutual_information(z_context, z_target, ridge=0.0):
    r"""Compute the mutual information of two views, as if they were Gaussian.

    .. math:: I = \tfrac12 \log |C_{cc}| + \tfrac12 \log |C_{tt}|
        - \tfrac12 \log |C| = -\tfrac12 \sum_j \log(1 - r_j^2)

    with the canonical correlations :math:`r_j`. Invertible linear maps of
    either view leave it as it is, up to the ridge.

    Parameters
    ----------
    z_context : array of shape (n_samples, n_context)
        Rows of one view.

    z_target : array of shape (n_samples, n_targets)
        The same rows of the other.

    ridge : float, default=0.0
        Added to the diagonal of the correlation matrix, where it bounds what
        perfectly correlated views would count for.

    Returns
    -------
    information : scalar array
        In nats, not negative.

    Raises
    ------
    ValueError
        If the joint covariance is not positive definite, for example because
        there are fewer rows than features.

    See Also
    --------
    pmi_loss : The same, to be minimised.
    skgmje.costs.logdet_cost : Minus twice this of Gram matrices.

    References
    ----------
    .. [1] Y. Huang, "Gaussian Joint Embeddings For Self-Supervised
       Representation Learning", 2026. :arxiv:`2603.26799`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import gaussian_mutual_information
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(1000, 2))
    >>> noisy = z + rng.normal(size=(1000, 2))
    >>> float(gaussian_mutual_information(z, noisy).round(2))  # near log(2)
    0.68
    """
    z_context, z_target = as_floats(z_context, z_target)
    xp = namespace(z_context, z_target)
    diff, joint = covariance(xp.concat([z_context, z_target], axis=1))
    # Of a feature that is constant only the ridge is left.
    smallest = float(xp.finfo(diff.dtype).tiny) ** 0.5
    scale = (xp.linalg.diagonal(joint) + smallest) ** 0.5
    factor = _factor(joint / scale / scale[:, None], ridge)
    n_context = z_context.shape[1]
    # The context comes first, so the last block's factor is the conditional's.
    conditional = _log_det(factor[n_context:, n_context:])
    target = diff[:, n_context:] / scale[n_context:]
    marginal = _log_det(_factor(target.T @ target / diff.shape[0], ridge))
    return (marginal - conditional) / 2


def _factor(matrix, ridge):
    return cholesky(matrix + ridge * eye_like(matrix), "The embeddings' covariance")


def _log_det(factor):
    xp = namespace(factor)
    return 2 * xp.sum(xp.log(xp.linalg.diagonal(factor)))

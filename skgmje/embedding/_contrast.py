"""Losses of other methods, for comparison."""

from skgmje._backend import as_floats, logsumexp, namespace
from skgmje.embedding._moments import covariance

# Under the square root of a variance, whose gradient at zero would be infinite.
_SMALLEST_VARIANCE = 1e-4


def infonce_loss(z_context, z_target, temperature=0.2):
    r"""Compute the contrastive loss of the normalised pairs, in both directions.

    .. math:: -\tfrac1n \sum_i \log \frac{\exp(z_{c,i} \cdot z_{t,i} / \tau)}
        {\sum_j \exp(z_{c,i} \cdot z_{t,j} / \tau)}

    and the same with the views exchanged, averaged. It is the limit of a
    mixture with one narrow component for each stored pair: minus the logarithm
    of the responsibility of the right one.

    Parameters
    ----------
    z_context : array of shape (n_samples, embedding_dim)
        Embeddings of one view.

    z_target : array of shape (n_samples, embedding_dim)
        Embeddings of the other.

    temperature : float, default=0.2
        :math:`\tau`, the variance of a component.

    Returns
    -------
    loss : scalar array
        In nats.

    References
    ----------
    .. [1] A. van den Oord, Y. Li and O. Vinyals, "Representation Learning with
       Contrastive Predictive Coding", 2018. :arxiv:`1807.03748`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import infonce_loss
    >>> z = np.eye(3)
    >>> bool(infonce_loss(z, z) < infonce_loss(z, z[::-1]))
    True
    """
    z_context, z_target = as_floats(z_context, z_target)
    xp = namespace(z_context, z_target)
    logits = _normalised(z_context) @ _normalised(z_target).T / temperature
    pairs = xp.mean(xp.linalg.diagonal(logits))
    others = xp.mean(logsumexp(logits, axis=0)) + xp.mean(logsumexp(logits, axis=1))
    return others / 2 - pairs


def vicreg_loss(z_context, z_target, weights=(25.0, 25.0, 1.0)):
    r"""Compute the loss of variance, invariance and covariance.

    .. math:: a\, \tfrac{1}{nd} \sum_i \|z_{c,i} - z_{t,i}\|^2
        + b \sum_v \tfrac1d \sum_j \max(0, 1 - \sigma_{v,j})
        + c \sum_v \tfrac1d \sum_{j \ne k} C_{v,jk}^2

    Parameters
    ----------
    z_context : array of shape (n_samples, embedding_dim)
        Embeddings of one view.

    z_target : array of shape (n_samples, embedding_dim)
        Embeddings of the other.

    weights : tuple of float, default=(25.0, 25.0, 1.0)
        The weights a, b and c.

    Returns
    -------
    loss : scalar array
        Not negative.

    References
    ----------
    .. [1] A. Bardes, J. Ponce and Y. LeCun, "VICReg: Variance-Invariance-
       Covariance Regularization for Self-Supervised Learning", ICLR 2022.
       :arxiv:`2105.04906`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import vicreg_loss
    >>> z = np.random.default_rng(0).normal(size=(50, 2))
    >>> bool(vicreg_loss(z, z) < vicreg_loss(z, z[::-1]))
    True
    """
    z_context, z_target = as_floats(z_context, z_target)
    xp = namespace(z_context, z_target)
    invariance, variance, decorrelation = weights
    loss = invariance * xp.mean((z_context - z_target) ** 2)
    for z in (z_context, z_target):
        matrix = covariance(z)[1]
        spread = (xp.linalg.diagonal(matrix) + _SMALLEST_VARIANCE) ** 0.5
        loss = loss + variance * xp.mean(xp.clip(1 - spread, 0.0, None))
        loss = loss + decorrelation * _off_diagonal(matrix) / z.shape[1]
    return loss


def barlow_loss(z_context, z_target, redundancy_weight=0.01):
    r"""Compute how far the cross-correlation of the views is from the identity.

    .. math:: \sum_j (1 - R_{jj})^2 + \lambda \sum_{j \ne k} R_{jk}^2

    Parameters
    ----------
    z_context : array of shape (n_samples, embedding_dim)
        Embeddings of one view.

    z_target : array of shape (n_samples, embedding_dim)
        Embeddings of the other.

    redundancy_weight : float, default=0.01
        :math:`\lambda`.

    Returns
    -------
    loss : scalar array
        Not negative.

    References
    ----------
    .. [1] J. Zbontar, L. Jing, I. Misra, Y. LeCun and S. Deny, "Barlow Twins:
       Self-Supervised Learning via Redundancy Reduction", ICML 2021.
       :arxiv:`2103.03230`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import barlow_loss
    >>> z = np.random.default_rng(0).normal(size=(50, 2))
    >>> bool(barlow_loss(z, z) < barlow_loss(z, z[::-1]))
    True
    """
    z_context, z_target = as_floats(z_context, z_target)
    xp = namespace(z_context, z_target)
    matrix = _standardised(z_context).T @ _standardised(z_target) / len(z_context)
    matches = xp.sum((1 - xp.linalg.diagonal(matrix)) ** 2)
    return matches + redundancy_weight * _off_diagonal(matrix)


def _off_diagonal(matrix):
    xp = namespace(matrix)
    return xp.sum(matrix**2) - xp.sum(xp.linalg.diagonal(matrix) ** 2)


def _normalised(z):
    # The length of a row of zeros has no gradient.
    xp = namespace(z)
    return z / (xp.sum(z**2, axis=1, keepdims=True) + 1e-12) ** 0.5


def _standardised(z):
    diff, matrix = covariance(z)
    return diff / (namespace(z).linalg.diagonal(matrix) + 1e-10) ** 0.5

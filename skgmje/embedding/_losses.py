"""Losses of two views' embeddings, to be minimised."""

import math

from skgmje._backend import as_floats, namespace
from skgmje.embedding._contrast import barlow_loss, infonce_loss, vicreg_loss
from skgmje.embedding._moments import (
    gaussian_mutual_information,
    logdet_term,
    mahalanobis_term,
)

# Ridges keep single precision from failing; they do not keep from collapse.
_RIDGE = 1e-3
_MARGINAL_RIDGE = 1e-4


def gje_loss(z_context, z_target, rho=0.9, logdet_weight=1.0, moments=None):
    r"""Compute the loss of a fixed joint Gaussian and the marginal entropies.

    .. math:: \tfrac{1}{2n} \sum_i z_i^T S_\rho^{-1} z_i
        + \tfrac12 \log |S_\rho|
        - \tfrac{\lambda}{2} \big(\log |C_{cc}| + \log |C_{tt}|\big), \qquad
        S_\rho = \begin{pmatrix} I & \rho I \\ \rho I & I \end{pmatrix}

    of centred pairs :math:`z = [z_c, z_t]`. The first term is
    :math:`\|z_c - z_t\|^2 / 4(1 - \rho) + \|z_c + z_t\|^2 / 4(1 + \rho)`: it
    pulls the views together and to the mean. The marginal log-determinants
    keep all directions apart: without them everything collapses. A ridge of
    1e-3 on the first, 1e-4 on these, keeps single precision from failing.

    Parameters
    ----------
    z_context : array of shape (n_samples, embedding_dim)
        Embeddings of one view.

    z_target : array of shape (n_samples, embedding_dim)
        Embeddings of the other.

    rho : float, default=0.9
        Correlation that the two views should have, below one.

    logdet_weight : float, default=1.0
        Weight :math:`\lambda` of the marginal log-determinants.

    moments : tuple of two arrays of shape (embedding_dim, embedding_dim), default=None
        Covariances :math:`C_{cc}` and :math:`C_{tt}`, for example averages over
        batches that are small; None are those of the rows.

    Returns
    -------
    loss : scalar array
        In nats.

    See Also
    --------
    pmi_loss : With the covariance of the batch.
    naive_loss : Without the marginal log-determinants.

    References
    ----------
    .. [1] Y. Huang, "Gaussian Joint Embeddings For Self-Supervised
       Representation Learning", 2026. :arxiv:`2603.26799`
       The fixed covariance was derived here.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import gje_loss
    >>> z = np.random.default_rng(0).normal(size=(50, 2))
    >>> bool(gje_loss(z, z) < gje_loss(z, z[::-1]))
    True
    """
    z_context, z_target = as_floats(z_context, z_target)
    xp = namespace(z_context, z_target)
    apart = z_context - z_target
    together = z_context + z_target
    apart = apart - xp.mean(apart, axis=0)
    together = together - xp.mean(together, axis=0)
    # The eigenvalues of the fixed covariance.
    small, large = 1 - rho + _RIDGE, 1 + rho + _RIDGE
    n, d = z_context.shape
    data = (xp.sum(apart**2) / small + xp.sum(together**2) / large) / (4 * n)
    constant = d * (math.log(small) + math.log(large)) / 2
    return data + constant - logdet_weight * _entropy(z_context, z_target, moments)


def naive_loss(z_context, z_target):
    r"""Compute the negative log-likelihood under the batch's own Gaussian.

    .. math:: \tfrac{1}{2n} \sum_i z_i^T C^{-1} z_i + \tfrac12 \log |C|

    It shows the trap: the first term is a constant, so only the volume is left,
    and the embeddings collapse; a ridge, here 1e-3, does not help. Never use it
    to learn a representation.

    Parameters
    ----------
    z_context : array of shape (n_samples, embedding_dim)
        Embeddings of one view.

    z_target : array of shape (n_samples, embedding_dim)
        Embeddings of the other.

    Returns
    -------
    loss : scalar array
        In nats, up to a constant.

    See Also
    --------
    pmi_loss : With the marginal log-determinants that make it sound.

    References
    ----------
    .. [1] Y. Huang, "Gaussian Joint Embeddings For Self-Supervised
       Representation Learning", 2026. :arxiv:`2603.26799`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import naive_loss
    >>> z = np.random.default_rng(0).normal(size=(50, 4))
    >>> bool(naive_loss(z[:, :2] / 10, z[:, 2:] / 10) < naive_loss(z[:, :2], z[:, 2:]))
    True
    """
    z_context, z_target = as_floats(z_context, z_target)
    z = namespace(z_context, z_target).concat([z_context, z_target], axis=1)
    return (mahalanobis_term(z, _RIDGE) + logdet_term(z, _RIDGE)) / 2


def pmi_loss(z_context, z_target, ridge=_RIDGE):
    r"""Compute minus the Gaussian mutual information of the batch.

    .. math:: \tfrac12 \log |C| - \tfrac12 \log |C_{cc}| - \tfrac12 \log |C_{tt}|

    Up to a constant it is the naive loss minus both marginals: the pointwise
    mutual information of the pairs, whose scale is free.

    Parameters
    ----------
    z_context : array of shape (n_samples, embedding_dim)
        Embeddings of one view.

    z_target : array of shape (n_samples, embedding_dim)
        Embeddings of the other.

    ridge : float, default=1e-3
        Added to the diagonal of the correlation matrix; without it the loss has
        no bound.

    Returns
    -------
    loss : scalar array
        In nats.

    See Also
    --------
    gaussian_mutual_information : Its negative.

    References
    ----------
    .. [1] Y. Huang, "Gaussian Joint Embeddings For Self-Supervised
       Representation Learning", 2026. :arxiv:`2603.26799`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import gaussian_mutual_information, pmi_loss
    >>> z = np.random.default_rng(0).normal(size=(50, 4))
    >>> information = gaussian_mutual_information(z[:, :2], z[:, 2:])
    >>> bool(pmi_loss(z[:, :2], z[:, 2:], ridge=0.0) == -information)
    True
    """
    return -gaussian_mutual_information(z_context, z_target, ridge)


def joint_loss(z_context, z_target, mixture, logdet_weight=1.0, moments=None):
    r"""Compute the negative log-likelihood of a mixture, and the marginal entropies.

    .. math:: -\tfrac1n \sum_i \log p(z_{c,i}, z_{t,i})
        - \tfrac{\lambda}{2} \big(\log |C_{cc}| + \log |C_{tt}|\big)

    The mixture inside the encoder's objective. It adds nothing to the
    representation; fit it to the finished embeddings instead.

    Parameters
    ----------
    z_context : array of shape (n_samples, embedding_dim)
        Embeddings of one view.

    z_target : array of shape (n_samples, embedding_dim)
        Embeddings of the other.

    mixture : Mixture
        Joint density of both, over ``2 * embedding_dim`` features.

    logdet_weight : float, default=1.0
        Weight :math:`\lambda` of the marginal log-determinants; with 0 the
        embeddings collapse onto the components.

    moments : tuple of two arrays of shape (embedding_dim, embedding_dim), default=None
        Covariances :math:`C_{cc}` and :math:`C_{tt}`, for example averages over
        batches that are small; None are those of the rows.

    Returns
    -------
    loss : scalar array
        In nats.

    See Also
    --------
    gje_loss : The loss that works best.

    References
    ----------
    .. [1] Y. Huang, "Gaussian Joint Embeddings For Self-Supervised
       Representation Learning", 2026. :arxiv:`2603.26799`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import Mixture
    >>> from skgmje.embedding import joint_loss
    >>> z = np.random.default_rng(0).normal(size=(50, 4))
    >>> prior = Mixture(np.ones(1), np.zeros((1, 4)), np.ones(1), "spherical")
    >>> loss = joint_loss(z[:, :2], z[:, 2:], prior, logdet_weight=0.0)
    >>> bool(np.isclose(loss, -prior.log_prob(z).mean()))
    True
    """
    z_context, z_target = as_floats(z_context, z_target)
    xp = namespace(z_context, z_target)
    log_prob = mixture.log_prob(xp.concat([z_context, z_target], axis=1))
    return -xp.mean(log_prob) - logdet_weight * _entropy(z_context, z_target, moments)


def _entropy(z_context, z_target, moments):
    """Compute half the sum of both views' log-determinants."""
    views = zip((z_context, z_target), moments or (None, None), strict=True)
    return sum(logdet_term(z, _MARGINAL_RIDGE, matrix) for z, matrix in views) / 2


LOSSES = {
    "gje": gje_loss,
    "naive": naive_loss,
    "pmi": pmi_loss,
    "joint": joint_loss,
    "infonce": infonce_loss,
    "vicreg": vicreg_loss,
    "barlow": barlow_loss,
}

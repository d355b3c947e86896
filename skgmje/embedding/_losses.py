"""Losses of two views, and the Gaussian terms that they are made of."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Any

from skgmje._backend import (
    as_floats,
    cholesky,
    eye_like,
    is_torch,
    logsumexp,
    namespace,
    solve_triangular,
)
from skgmje._typing import Array
from skgmje.embedding._normality import N_KNOTS, N_SLICES, directions_of, mean_statistic
from skgmje.embedding._views import as_views


def covariance(z):
    """Return the centered samples and their covariance, with divisor n."""
    diff = z - namespace(z).mean(z, axis=0)
    return diff, diff.T @ diff / diff.shape[0]


def mahalanobis_term(
    z: Array, ridge: float = 0.0, covariance_matrix: Array | None = None
) -> Array:
    r"""Compute the mean squared Mahalanobis distance of the samples to their mean.

    .. math:: \frac{1}{n} \sum_i (z_i - \bar z)^T (C + \epsilon I)^{-1}
        (z_i - \bar z)

    With the covariance C of the same samples and no ridge it is the number of
    features, whatever the samples are, so that its gradient is zero: the trap of
    likelihoods that take C from the batch, see :func:`naive_loss`.

    Parameters
    ----------
    z : array of shape (n_samples, n_features)
        Samples.

    ridge : float, default=0.0
        :math:`\epsilon`.

    covariance_matrix : array of shape (n_features, n_features), default=None
        C; None is the covariance of the samples, with divisor n.

    Returns
    -------
    term : scalar array
        Not negative.

    Raises
    ------
    ValueError
        If :math:`C + \epsilon I` is not positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import mahalanobis_term
    >>> z = np.random.default_rng(0).normal(size=(20, 3))
    >>> float(mahalanobis_term(z).round(10)), float(mahalanobis_term(5 * z).round(10))
    (3.0, 3.0)
    """
    z, covariance_matrix = as_floats(z, covariance_matrix)
    diff, own = covariance(z)
    matrix = own if covariance_matrix is None else covariance_matrix
    xp = namespace(z)
    white = solve_triangular(_factor(matrix, ridge), diff.T)
    return xp.sum(white * white) / diff.shape[0]


def logdet_term(
    z: Array, ridge: float = 0.0, covariance_matrix: Array | None = None
) -> Array:
    r"""Compute the log-determinant of the samples' covariance.

    .. math:: \log |C + \epsilon I|

    Up to constants it is twice the entropy of a Gaussian with this covariance:
    it falls to minus infinity where samples collapse.

    Parameters
    ----------
    z : array of shape (n_samples, n_features)
        Samples.

    ridge : float, default=0.0
        :math:`\epsilon`.

    covariance_matrix : array of shape (n_features, n_features), default=None
        C; None is the covariance of the samples, with divisor n.

    Returns
    -------
    term : scalar array
        In nats.

    Raises
    ------
    ValueError
        As :func:`mahalanobis_term`, the other half of a Gaussian log-likelihood.

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


def gaussian_mutual_information(
    z_context: Array, z_target: Array, ridge: float = 0.0
) -> Array:
    r"""Compute the mutual information of two views, as if they were Gaussian.

    .. math:: I = \tfrac12 \log |C_{cc}| + \tfrac12 \log |C_{tt}|
        - \tfrac12 \log |C| = -\tfrac12 \sum_j \log(1 - r_j^2)

    with the canonical correlations :math:`r_j`. Invertible linear maps of
    either view leave it as it is, up to the ridge.

    Parameters
    ----------
    z_context, z_target : arrays of shape (n_samples, ...)
        Two views of the same samples, each of any number of features.

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
        there are fewer samples than features.

    See Also
    --------
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
    z_context, z_target, xp = as_views(z_context, z_target, same_width=False)
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
    """Return the Cholesky factor of a covariance with a ridge."""
    return cholesky(matrix + ridge * eye_like(matrix), "The embeddings' covariance")


def _log_det(factor):
    """Return the log-determinant that a Cholesky factor gives."""
    xp = namespace(factor)
    return 2 * xp.sum(xp.log(xp.linalg.diagonal(factor)))


# Under the square root of a variance, whose gradient at zero would be infinite.
_SMALLEST_VARIANCE = 1e-4


def infonce_loss(z_context: Array, z_target: Array, temperature: float = 0.2) -> Array:
    r"""Compute the contrastive loss of the normalised pairs, in both directions.

    .. math:: -\tfrac1n \sum_i \log \frac{\exp(z_{c,i} \cdot z_{t,i} / \tau)}
        {\sum_j \exp(z_{c,i} \cdot z_{t,j} / \tau)}

    and the same with the views exchanged, averaged. It is the limit of a
    mixture with one narrow component for each stored pair: minus the logarithm
    of the responsibility of the right one.

    Parameters
    ----------
    z_context, z_target : arrays of shape (n_samples, embedding_dim)
        Embeddings of both views.

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
    z_context, z_target, xp = as_views(z_context, z_target)
    logits = _normalised(z_context) @ _normalised(z_target).T / temperature
    pairs = xp.mean(xp.linalg.diagonal(logits))
    others = xp.mean(logsumexp(logits, axis=0)) + xp.mean(logsumexp(logits, axis=1))
    return others / 2 - pairs


def vicreg_loss(
    z_context: Array, z_target: Array, weights: tuple[float, ...] = (25.0, 25.0, 1.0)
) -> Array:
    r"""Compute the loss of variance, invariance and covariance.

    .. math:: a\, \tfrac{1}{nd} \sum_i \|z_{c,i} - z_{t,i}\|^2
        + b \sum_v \tfrac1d \sum_j \max(0, 1 - \sigma_{v,j})
        + c \sum_v \tfrac1d \sum_{j \ne k} C_{v,jk}^2

    Parameters
    ----------
    z_context, z_target : arrays of shape (n_samples, embedding_dim)
        Embeddings of both views.

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
    z_context, z_target, xp = as_views(z_context, z_target)
    invariance, variance, decorrelation = weights
    loss = invariance * xp.mean((z_context - z_target) ** 2)
    for z in (z_context, z_target):
        matrix = covariance(z)[1]
        spread = (xp.linalg.diagonal(matrix) + _SMALLEST_VARIANCE) ** 0.5
        loss = loss + variance * xp.mean(xp.clip(1 - spread, 0.0, None))
        loss = loss + decorrelation * _off_diagonal(matrix) / z.shape[1]
    return loss


def barlow_loss(
    z_context: Array, z_target: Array, redundancy_weight: float = 0.01
) -> Array:
    r"""Compute how far the cross-correlation of the views is from the identity.

    .. math:: \sum_j (1 - R_{jj})^2 + \lambda \sum_{j \ne k} R_{jk}^2

    Parameters
    ----------
    z_context, z_target : arrays of shape (n_samples, embedding_dim)
        Embeddings of both views.

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
    z_context, z_target, xp = as_views(z_context, z_target)
    matrix = _standardized(z_context).T @ _standardized(z_target) / len(z_context)
    matches = xp.sum((1 - xp.linalg.diagonal(matrix)) ** 2)
    return matches + redundancy_weight * _off_diagonal(matrix)


def _off_diagonal(matrix):
    """Return the sum of squares off the diagonal."""
    xp = namespace(matrix)
    return xp.sum(matrix**2) - xp.sum(xp.linalg.diagonal(matrix) ** 2)


def _normalised(z):
    """Return samples of length one."""
    # The length of a sample of zeros has no gradient.
    xp = namespace(z)
    return z / (xp.sum(z**2, axis=1, keepdims=True) + 1e-12) ** 0.5


def _standardized(z):
    """Return centered features of variance one."""
    diff, matrix = covariance(z)
    return diff / (namespace(z).linalg.diagonal(matrix) + 1e-10) ** 0.5


# Ridges keep single precision from failing; they do not keep from collapse.
_RIDGE, _MARGINAL_RIDGE = 1e-3, 1e-4


def gje_loss(
    z_context: Array,
    z_target: Array,
    rho: float = 0.9,
    logdet_weight: float = 1.0,
    moments: tuple[Array, ...] | None = None,
) -> Array:
    r"""Compute the loss of a fixed joint Gaussian and the marginal entropies.

    .. math:: \tfrac{1}{2n} \sum_i z_i^T S_\rho^{-1} z_i
        + \tfrac12 \log |S_\rho|
        - \tfrac{\lambda}{2} \big(\log |C_{cc}| + \log |C_{tt}|\big), \qquad
        S_\rho = \begin{pmatrix} I & \rho I \\ \rho I & I \end{pmatrix}

    of centered pairs :math:`z = [z_c, z_t]`. The first term is :math:`\|z_c - z_t\|^2 /
    4(1 - \rho) + \|z_c + z_t\|^2 / 4(1 + \rho)`: it pulls the views together and to the
    mean. The marginal log-determinants keep all directions apart: without them
    everything collapses. The ridges, 1e-3 and 1e-4, are for single precision.

    Parameters
    ----------
    z_context, z_target : arrays of shape (n_samples, embedding_dim)
        Embeddings of both views.

    rho : float, default=0.9
        Correlation that the two views should have, below one.

    logdet_weight : float, default=1.0
        Weight :math:`\lambda` of the marginal log-determinants.

    moments : tuple of two arrays of shape (embedding_dim, embedding_dim), default=None
        Covariances :math:`C_{cc}` and :math:`C_{tt}`, for example averages over
        batches that are small; None are those of the samples.

    Returns
    -------
    loss : scalar array
        In nats.

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
    z_context, z_target, xp = as_views(z_context, z_target)
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


def naive_loss(z_context: Array, z_target: Array) -> Array:
    r"""Compute the negative log-likelihood under the batch's own Gaussian.

    .. math:: \tfrac{1}{2n} \sum_i z_i^T C^{-1} z_i + \tfrac12 \log |C|

    It shows the trap that the paper of :func:`gje_loss` describes: the first term is
    a constant, so only the volume is left, and the embeddings collapse; a ridge, here
    1e-3, does not help. Never use it to learn a representation.

    Parameters
    ----------
    z_context, z_target : arrays of shape (n_samples, embedding_dim)
        Embeddings of both views.

    Returns
    -------
    loss : scalar array
        In nats, up to a constant.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import naive_loss
    >>> z = np.random.default_rng(0).normal(size=(50, 4))
    >>> bool(naive_loss(z[:, :2] / 10, z[:, 2:] / 10) < naive_loss(z[:, :2], z[:, 2:]))
    True
    """
    z_context, z_target, xp = as_views(z_context, z_target, same_width=False)
    z = xp.concat([z_context, z_target], axis=1)
    return (mahalanobis_term(z, _RIDGE) + logdet_term(z, _RIDGE)) / 2


def pmi_loss(z_context: Array, z_target: Array, ridge: float = _RIDGE) -> Array:
    r"""Compute minus the Gaussian mutual information of the batch.

    .. math:: \tfrac12 \log |C| - \tfrac12 \log |C_{cc}| - \tfrac12 \log |C_{tt}|

    Up to a constant it is :func:`naive_loss` minus both marginals: the pointwise
    mutual information of the pairs, whose scale is free.

    Parameters
    ----------
    z_context, z_target : arrays of shape (n_samples, embedding_dim)
        Embeddings of both views.

    ridge : float, default=1e-3
        Added to the diagonal of the correlation matrix; without it the loss has
        no bound.

    Returns
    -------
    loss : scalar array
        In nats.

    See Also
    --------
    gaussian_mutual_information : Its negative, which names the source.

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


def joint_loss(
    z_context: Array,
    z_target: Array,
    mixture: Any,
    logdet_weight: float = 1.0,
    moments: tuple[Array, ...] | None = None,
) -> Array:
    r"""Compute the negative log-likelihood of a mixture, and the marginal entropies.

    .. math:: -\tfrac1n \sum_i \log p(z_{c,i}, z_{t,i})
        - \tfrac{\lambda}{2} \big(\log |C_{cc}| + \log |C_{tt}|\big)

    The mixture inside the encoder's objective, of the paper of :func:`gje_loss`. It
    adds nothing to the representation; fit it to the finished embeddings instead.

    Parameters
    ----------
    z_context, z_target : arrays of shape (n_samples, embedding_dim)
        Embeddings of both views.

    mixture : Mixture
        Joint density of both, over ``2 * embedding_dim`` features.

    logdet_weight : float, default=1.0
        Weight :math:`\lambda` of the marginal log-determinants; with 0 the
        embeddings collapse onto the components.

    moments : tuple of two arrays of shape (embedding_dim, embedding_dim), default=None
        As those of :func:`gje_loss`.

    Returns
    -------
    loss : scalar array
        In nats.

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
    z_context, z_target, xp = as_views(z_context, z_target, same_width=False)
    log_prob = mixture.log_prob(xp.concat([z_context, z_target], axis=1))
    return -xp.mean(log_prob) - logdet_weight * _entropy(z_context, z_target, moments)


def sigreg_loss(
    z_context: Array,
    z_target: Array,
    weight: float = 0.05,
    *,
    n_slices: int = N_SLICES,
    n_knots: int = N_KNOTS,
    pooled: bool = False,
    generator: Any = None,
) -> Array:
    r"""Compute the loss of invariant, isotropic Gaussian embeddings, that of LeJEPA.

    .. math:: \frac{1 - \lambda}{4 n d} \sum_i \|z_{c,i} - z_{t,i}\|^2
        + \frac{\lambda}{2} \big(T(z_c) + T(z_t)\big)

    with :func:`sigreg_term` for T: embeddings have the distribution that
    :func:`gje_loss` takes for granted. :func:`gje_sigreg_loss` adds both.

    Parameters
    ----------
    z_context, z_target : arrays of shape (n_samples, embedding_dim)
        Embeddings of both views.

    weight : float, default=0.05
        :math:`\lambda`, between 0 and 1.

    n_slices, n_knots : int, default=256 and 17
        As those of :func:`sigreg_term`. Both views have the same directions.

    pooled : bool, default=False
        Whether T is that of both views' samples together, not a mean of two.

    generator : torch.Generator, numpy.random.Generator, int or None, default=None
        As that of :func:`sigreg_term`; an embedder passes its own.

    Returns
    -------
    loss : scalar array
        Not negative.

    References
    ----------
    .. [1] R. Balestriero and Y. LeCun, "LeJEPA: Provable and Scalable Self-Supervised
       Learning Without the Heuristics", 2025. :arxiv:`2511.08544`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import sigreg_loss
    >>> z = np.random.default_rng(0).normal(size=(50, 2))
    >>> bool(sigreg_loss(z, z) < sigreg_loss(z, z[::-1]))
    True
    """
    z_context, z_target, xp = as_views(z_context, z_target)
    if not 0 <= weight <= 1:
        raise ValueError(f"weight={weight!r} must be between 0 and 1: a share.")
    invariance = xp.mean((z_context - z_target) ** 2) / 4
    term = _sigreg(z_context, z_target, n_slices, n_knots, pooled, generator)
    return (1 - weight) * invariance + weight * term


def gje_sigreg_loss(
    z_context: Array,
    z_target: Array,
    weight: float = 1.0,
    rho: float = 0.9,
    logdet_weight: float = 1.0,
    moments: tuple[Array, ...] | None = None,
    *,
    n_slices: int = N_SLICES,
    n_knots: int = N_KNOTS,
    pooled: bool = False,
    generator: Any = None,
) -> Array:
    r"""Compute the loss of a joint Gaussian, and how far both views are from one.

    .. math:: L_{GJE}(z_c, z_t) + \frac{\lambda}{2} \big(T(z_c) + T(z_t)\big)

    of :func:`gje_loss` and :func:`sigreg_term`, which name the sources.

    Parameters
    ----------
    z_context, z_target : arrays of shape (n_samples, embedding_dim)
        Embeddings of both views.

    weight : float, default=1.0
        :math:`\lambda`.

    rho, logdet_weight, moments : default=0.9, 1.0 and None
        As those of :func:`gje_loss`.

    n_slices, n_knots, pooled, generator : default=256, 17, False and None
        As those of :func:`sigreg_loss`.

    Returns
    -------
    loss : scalar array
        In nats, but for the last term.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import gje_loss, gje_sigreg_loss
    >>> z = np.random.default_rng(0).normal(size=(50, 2))
    >>> bool(gje_sigreg_loss(z, z) > gje_loss(z, z))
    True
    """
    z_context, z_target, _ = as_views(z_context, z_target)
    gje = gje_loss(z_context, z_target, rho, logdet_weight, moments)
    term = _sigreg(z_context, z_target, n_slices, n_knots, pooled, generator)
    return gje + weight * term


def _sigreg(z_context, z_target, n_slices, n_knots, pooled, generator):
    """Return SIGReg's term of two views, by the same directions."""
    directions = directions_of(z_context, n_slices, generator)
    views = [z @ directions for z in (z_context, z_target)]
    return mean_statistic(namespace(*views).concat(views, axis=1 - pooled), n_knots)


def _entropy(z_context, z_target, moments):
    """Compute half the sum of both views' log-determinants."""
    views = list(zip((z_context, z_target), moments or (None, None), strict=True))
    for z, matrix in views:
        if matrix is not None and tuple(matrix.shape) != (z.shape[1],) * 2:
            raise ValueError(
                f"moments has a covariance of shape {tuple(matrix.shape)}, for a view "
                f"of shape {tuple(z.shape)}: give one of each view's own features."
            )
    return sum(logdet_term(z, _MARGINAL_RIDGE, matrix) for z, matrix in views) / 2


LOSSES = {
    "gje": gje_loss,
    "naive": naive_loss,
    "pmi": pmi_loss,
    "joint": joint_loss,
    "infonce": infonce_loss,
    "vicreg": vicreg_loss,
    "barlow": barlow_loss,
    "sigreg": sigreg_loss,
    "gje+sigreg": gje_sigreg_loss,
}
# Log-determinants want more samples in a batch than features.
for _loss in (gje_loss, naive_loss, pmi_loss, joint_loss, gje_sigreg_loss):
    vars(_loss)["needs_full_rank"] = True


@dataclass(frozen=True)
class Embeddings:
    """What the losses see of a batch."""

    context: Any
    target: Any
    mixture: Any = None
    moments: Any = None
    generator: Any = None


class Objective:
    """A loss as a function of what the module puts out."""

    def __init__(self, loss, **params):
        self.loss = loss
        self.function = loss if callable(loss) else LOSSES[loss]
        self.named = set(inspect.signature(self.function).parameters)
        self.params = params

    def __call__(self, embeddings, batch):
        params = dict(self.params)
        for name in self.named & {"mixture", "moments", "generator"}:
            params[name] = getattr(embeddings, name)
        value = self.function(embeddings.context, embeddings.target, **params)
        if not (is_torch(value) and value.numel() == 1):
            raise ValueError(
                f"loss={self.loss!r} must return one number, a tensor made from the "
                f"embeddings by torch operations, got {value!r}."
            )
        return value.reshape(())

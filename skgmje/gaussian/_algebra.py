"""Mixtures as vectors: inner products, distances, products."""

import math

import numpy as np

from skgmje._backend import logsumexp, namespace, softmax
from skgmje.gaussian._checks import check_partner
from skgmje.gaussian._covariance import COVARIANCE_TYPES, common_type, widen
from skgmje.gaussian._density import block_rows, gaussian_log_prob, log_weights


class AlgebraMixin:
    """What two mixtures, or a mixture and itself, have to do with each other."""

    def log_inner(self, other):
        r"""Compute the logarithm of the inner product with another mixture.

        .. math::

            \langle p, q \rangle = \int p(x) q(x) \, dx = \sum_{ij} w_i w'_j
            N(\mu_i - \mu'_j; \Sigma_i + \Sigma'_j)

        Parameters
        ----------
        other : Mixture
            A mixture over the same features, of any covariance type.

        Returns
        -------
        log_inner : array of shape (...,)
            Finite where the inner product itself would underflow.
        """
        check_partner(self, other)
        # In one sum: a row of zero weight alone has no gradient.
        return logsumexp(_flat_pairs(self, other), axis=-1)

    def inner(self, other):
        r"""Compute the inner product :math:`\int p(x) q(x) \, dx`.

        Parameters
        ----------
        other : Mixture
            A mixture over the same features, of any covariance type.

        Returns
        -------
        inner : array of shape (...,)
            May under- or overflow in many dimensions, :meth:`log_inner` does not.
        """
        return _exp(self.log_inner(other))

    def norm(self):
        r"""Compute the norm :math:`\langle p, p \rangle^{1/2}`.

        Returns
        -------
        norm : array of shape (...,)
            Square root of the inner product with itself.
        """
        return _exp(0.5 * self.log_inner(self))

    def l2_distance(self, other):
        r"""Compute the distance :math:`(\int (p(x) - q(x))^2 \, dx)^{1/2}`.

        Parameters
        ----------
        other : Mixture
            A mixture over the same features, of any covariance type.

        Returns
        -------
        distance : array of shape (...,)
            Not negative; 0 where rounding leaves nothing. Equal mixtures are told
            apart from mixtures that differ by less than 1e-8 of the norm at best.
        """
        own, cross, others = self._log_inners(other)
        xp = namespace(cross)
        top = xp.maximum(own, others)
        rest = xp.exp(own - top) + xp.exp(others - top) - 2 * xp.exp(cross - top)
        apart = rest > 0
        # Where the square root is 0 its gradient would be NaN.
        root = xp.where(apart, rest, xp.ones_like(rest)) ** 0.5
        root = xp.where(apart, root, xp.zeros_like(rest))
        return _exp(0.5 * top) * root

    def cauchy_schwarz_divergence(self, other):
        r"""Compute the Cauchy-Schwarz divergence.

        .. math::

            D(p, q) = \log \langle p, p \rangle + \log \langle q, q \rangle
            - 2 \log \langle p, q \rangle \ge 0

        Parameters
        ----------
        other : Mixture
            A mixture over the same features, of any covariance type.

        Returns
        -------
        divergence : array of shape (...,)
            0 where the densities are equal; symmetric.
        """
        own, cross, others = self._log_inners(other)
        divergence = own + others - 2 * cross
        xp = namespace(divergence)
        return xp.where(divergence > 0, divergence, xp.zeros_like(divergence))

    def product(self, other):
        r"""Return the density proportional to the product of two mixtures.

        .. math::

            \frac{p(x) q(x)}{\langle p, q \rangle} = \sum_{ij} w_{ij}
            N(x; \mu_{ij}, \Sigma_{ij}), \qquad
            \Sigma_{ij} = (\Sigma_i^{-1} + \Sigma_j'^{-1})^{-1}

        Parameters
        ----------
        other : Mixture
            A mixture over the same features, of any covariance type.

        Returns
        -------
        product : Mixture
            With K1 * K2 components, those of `other` running fastest. Its type
            is that of the factors if both have the same, else the narrowest that
            holds both: spherical < diag < low-rank < full, tied < full. The ranks
            of low-rank factors add.
        """
        check_partner(self, other)
        covariance_type = common_type(self.covariance_type, other.covariance_type)
        diff = other.means[..., None, :, :] - self.means[..., :, None, :]
        xp = namespace(diff)
        shift, covariances = COVARIANCE_TYPES[covariance_type].product(
            widen(self, covariance_type), widen(other, covariance_type), diff
        )
        means = self.means[..., :, None, :] + shift
        leading, size = means.shape[:-3], self.n_components * other.n_components
        return type(self)(
            softmax(_flat_pairs(self, other), axis=-1),
            xp.reshape(means, (*leading, size, self.n_features)),
            covariances,
            covariance_type,
        )

    def _log_inners(self, other):
        return self.log_inner(self), self.log_inner(other), other.log_inner(other)


def _flat_pairs(first, second):
    """Compute ``log w_i w'_j N(m_i - m'_j; S_i + S'_j)``, shape (..., I * J)."""
    covariance_type = common_type(first.covariance_type, second.covariance_type)
    kind = COVARIANCE_TYPES[covariance_type]
    left, right = (widen(mixture, covariance_type) for mixture in (first, second))
    shape = kind.shape(second.n_components, second.n_features)
    entries = math.prod(shape[0] if isinstance(shape[0], tuple) else shape)
    entries = max(entries, second.n_components * second.n_features)
    step = block_rows(entries)
    xp = namespace(first.means)
    blocks = []
    for start in range(0, first.n_components, step):
        rows = slice(start, start + step)
        covariances = kind.pair_sum(kind.select(left, rows), right)
        centers = first.means[..., rows, :]
        blocks.append(
            gaussian_log_prob(kind, second.means[..., None, :, :], covariances, centers)
        )
    scores = xp.concat(blocks, axis=-2)
    logs = log_weights(first.weights)[..., :, None]
    scores = scores + logs + log_weights(second.weights)[..., None, :]
    return xp.reshape(scores, (*scores.shape[:-2], -1))


def _exp(values):
    """Compute ``exp(values)``, inf where it overflows."""
    with np.errstate(over="ignore"):
        return namespace(values).exp(values)

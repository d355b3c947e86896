"""Densities as vectors: inner products, norms and distances."""

from __future__ import annotations

from typing import Any

import numpy as np

from skgmje._backend import logsumexp, namespace
from skgmje._settings import settle
from skgmje._typing import Array
from skgmje.gaussian._checks import check_partner
from skgmje.gaussian._density import flat_pairs


def _exp(values):
    """Compute ``exp(values)``, inf where it overflows."""
    with np.errstate(over="ignore"):
        return namespace(values).exp(values)


@settle
class InnerProducts:
    """What follows of a mixture from inner products with others."""

    def log_inner(self, other: Any) -> Array:
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
        return logsumexp(flat_pairs(self, other), axis=-1)

    def inner(self, other: Any) -> Array:
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

    def norm(self) -> Array:
        r"""Compute the norm :math:`\langle p, p \rangle^{1/2}`.

        Returns
        -------
        norm : array of shape (...,)
            Square root of the inner product with itself.
        """
        return _exp(0.5 * self.log_inner(self))

    def l2_distance(self, other: Any) -> Array:
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

    def cauchy_schwarz_divergence(self, other: Any) -> Array:
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

    def _log_inners(self, other):
        return self.log_inner(self), self.log_inner(other), other.log_inner(other)

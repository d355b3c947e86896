"""Moments, the mode and quantiles: what describes a mixture in few numbers."""

from skgmje._backend import namespace
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._modes import find_mode
from skgmje.gaussian._quantiles import cdf, quantile


class SummaryMixin:
    """Numbers that describe a mixture, or each of several."""

    @property
    def mean(self):
        r"""Mean :math:`\sum_k w_k \mu_k`, shape (..., n_features)."""
        return (self.weights[..., None, :] @ self.means)[..., 0, :]

    @property
    def covariance(self):
        r"""Covariance by the law of total variance, (..., n_features, n_features).

        It is :math:`\sum_k w_k (\Sigma_k + (\mu_k - \mu)(\mu_k - \mu)^T)`, the sum
        of :attr:`within_covariance` and :attr:`between_covariance`.
        """
        return self.within_covariance + self.between_covariance

    @property
    def within_covariance(self):
        r"""Mean covariance of the components, (..., n_features, n_features).

        Of a conditional density :math:`\sum_k w_k \Sigma_k` is the noise that
        stays if one knows which component is meant (aleatoric).
        """
        kind = COVARIANCE_TYPES[self.covariance_type]
        return kind.pooled(self.covariances, self.weights, self.n_features)

    @property
    def between_covariance(self):
        r"""Covariance of the components' means, (..., n_features, n_features).

        It is :math:`\sum_k w_k (\mu_k - \mu)(\mu_k - \mu)^T`, zero for one
        component.
        """
        diff = self.means - self.mean[..., None, :]
        weighted = self.weights[..., None] * diff
        return namespace(diff).matrix_transpose(weighted) @ diff

    def mode(self):
        r"""Find the point of the highest density.

        The means with the highest density are followed uphill by

        .. math::

            x \leftarrow \Bigl(\sum_k r_k(x) \Sigma_k^{-1}\Bigr)^{-1}
            \sum_k r_k(x) \Sigma_k^{-1} \mu_k

        and by Newton's steps where the density curves down [1]_; the highest
        point that was reached is the answer. It is at least as high as every
        mean. Of points of equal density one is returned.

        Returns
        -------
        mode : array of shape (..., n_features)
            Without gradients.

        References
        ----------
        .. [1] M. A. Carreira-Perpinan, "Mode-finding for mixtures of Gaussian
           distributions", IEEE Transactions on Pattern Analysis and Machine
           Intelligence 22(11), 2000.
        """
        return find_mode(self)

    def cdf(self, y):
        r"""Compute the distribution function of a mixture of one feature.

        .. math:: P(Y \le y) = \sum_k w_k \Phi((y - \mu_k) / \sigma_k)

        Parameters
        ----------
        y : float or array
            Values, without an axis for the feature. If there is one mixture for
            each sample, the last axes of an array are those of the samples:
            value i goes with mixture i.

        Returns
        -------
        probability : array of the shape of `y` and the mixtures
            Between zero and one. In the lower tail exact to the last digits; for
            the upper tail ask ``affine(-1.0).cdf(-y)``.

        Raises
        ------
        ValueError
            If the mixture has more than one feature, or shapes do not fit.
        """
        return cdf(self, y)

    def quantile(self, q):
        """Compute quantiles of a mixture of one feature.

        Parameters
        ----------
        q : float or array
            Probabilities strictly between zero and one.

        Returns
        -------
        value : array of shape (*q.shape, ...)
            The axes of `q`, then those of the mixtures: ``quantile([0.1, 0.9])``
            of n mixtures has shape (2, n), as :func:`numpy.quantile` has. Without
            gradients.

        Raises
        ------
        ValueError
            If the mixture has more than one feature, or a probability is not
            between zero and one.
        """
        return quantile(self, q)

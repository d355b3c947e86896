"""The contract of a covariance type."""

from abc import ABC, abstractmethod
from typing import ClassVar


class CovarianceType(ABC):
    r"""How the covariances of a mixture are stored and used.

    An instance holds nothing: each method takes the arrays it works on. To add
    a type, write a final subclass with these methods and one line in
    :data:`COVARIANCE_TYPES`; the tests over that dictionary do the rest.

    The words of the methods below, where K is the number of components, d that
    of features, and ... stands for leading axes, one mixture for each entry:

    covariances
        An array, or a tuple of arrays, of shape ``(..., *self.shape(K, d))``.
    precisions_cholesky
        Square roots of the precisions, in scikit-learn's convention. Their
        leading axes have length one where all mixtures share them.
    diff
        Differences :math:`\delta_k` from the means, shape (..., K, d).
    """

    #: Name of this layout in scikit-learn, which gets full matrices if there is none.
    sklearn_name: ClassVar[str | None] = None

    #: Names of the types that can hold the same matrices, narrowest first.
    wider: ClassVar[tuple]

    @abstractmethod
    def shape(self, n_components, n_features, rank=1):
        """Return the shape of the covariances, a tuple of shapes for a tuple."""

    @abstractmethod
    def n_parameters(self, n_components, n_features, rank=1):
        """Count the free parameters of the covariances, as scikit-learn does."""

    @abstractmethod
    def variances(self, covariances):
        """Return the entries that have to be positive, in any shape."""

    @abstractmethod
    def dense(self, covariances, n_components, n_features):
        """Return the covariances as matrices, shape (..., K, d, d)."""

    @abstractmethod
    def diagonal(self, covariances, n_components, n_features):
        """Return the variances of the features, shape (..., K, d)."""

    @abstractmethod
    def pooled(self, covariances, weights, n_features):
        r"""Compute :math:`\sum_k w_k \Sigma_k`, shape (..., d, d)."""

    @abstractmethod
    def precisions_cholesky(self, covariances):
        r"""Compute square roots of the precisions.

        Full and tied: the upper triangle U with :math:`U U^T = \Sigma^{-1}`;
        diagonal and spherical: inverse standard deviations; low-rank: a triple.
        Raises ``ValueError`` if a matrix is not positive definite.
        """

    @abstractmethod
    def precisions(self, covariances):
        """Invert the covariances, in their layout; low-rank ones to matrices."""

    @abstractmethod
    def log_det(self, precisions_cholesky, n_features):
        r"""Compute :math:`-\tfrac12 \log |\Sigma_k|`, shape (..., K) or (..., 1)."""

    @abstractmethod
    def whiten(self, diff, precisions_cholesky):
        r"""Map `diff` to vectors whose length is the Mahalanobis distance.

        The map is linear, :math:`|y|^2 = \delta_k^T \Sigma_k^{-1} \delta_k`; the
        last axis of the result may be longer than that of `diff`.
        """

    @abstractmethod
    def solve(self, diff, precisions_cholesky):
        r"""Compute :math:`\Sigma_k^{-1} \delta_k`, shape (..., K, d)."""

    @abstractmethod
    def root(self, covariances):
        """Return square roots of the covariances, for :meth:`noise`."""

    @abstractmethod
    def n_normals(self, covariances, n_features):
        """Tell how many standard normals one sample consumes."""

    @abstractmethod
    def noise(self, root, component, normals):
        """Colour standard normals (n, ..., n_normals) to noise (n, ..., d).

        `component`, shape (n, ...), tells whose covariance each sample has.
        """

    @abstractmethod
    def select(self, covariances, components):
        """Keep some components, a slice or list."""

    @abstractmethod
    def marginal(self, covariances, indices):
        """Keep some features, a list."""

    @abstractmethod
    def conditional(self, covariances, given, rest, diff):
        r"""Condition on the features `given` (c); describe the `rest` (t).

        Returns the shifts :math:`\Sigma_{tc} \Sigma_{cc}^{-1} \delta_c` of the
        means, for a `diff` of shape (..., K, n_given), and the Schur complements
        :math:`\Sigma_{tt} - \Sigma_{tc} \Sigma_{cc}^{-1} \Sigma_{ct}`, which do
        not depend on the values.
        """

    @abstractmethod
    def scale(self, covariances, factor):
        """Return type and covariances of ``factor * x``, for a scalar."""

    @abstractmethod
    def stretch(self, covariances, factors):
        """Return type and covariances of ``factors * x``, for factors (d,)."""

    @abstractmethod
    def transform(self, covariances, matrix):
        """Return type and covariances of ``matrix @ x``, for a matrix (m, d)."""

    @abstractmethod
    def pair_sum(self, first, second):
        r"""Add the covariances of all pairs, :math:`\Sigma_i + \Sigma'_j`.

        The result has a leading axis more, over the components of `first`.
        """

    @abstractmethod
    def product(self, first, second, diff):
        r"""Multiply the Gaussians of all pairs (i, j).

        .. math::

            \Sigma_{ij} = (\Sigma_i^{-1} + \Sigma_j'^{-1})^{-1}, \qquad
            \mu_{ij} = \mu_i + \Sigma_i (\Sigma_i + \Sigma'_j)^{-1} (\mu'_j - \mu_i)

        Returns the shifts of the means for a `diff` :math:`\mu'_j - \mu_i` of
        shape (..., I, J, d), and the covariances of I * J components.
        """

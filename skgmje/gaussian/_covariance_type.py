"""The contract of a covariance type."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

from skgmje._backend import namespace


class CovarianceType(ABC):
    r"""How the covariances of a mixture are stored and used.

    An instance holds nothing: each method takes the arrays it works on. To add
    a type, write a subclass in a file of its own, with its :attr:`loops`, and one
    line in :data:`COVARIANCE_TYPES`: every estimator then offers the type, and the
    law tests over that dictionary check it. What is abstract has to be written;
    the attributes and the other methods have defaults that are right for most types.

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

    #: Key of this type in :data:`COVARIANCE_TYPES`.
    name: ClassVar[str]

    #: Class of the hot loops that score and fit mixtures of NumPy arrays, a
    #: subclass of :class:`skgmje.gaussian._loops.Kernel`.
    loops: ClassVar[type]

    #: Names of the other types that can hold the same matrices, narrowest first.
    wider: ClassVar[tuple] = ("full",)

    #: Whether the features of a component are always uncorrelated.
    independent: ClassVar[bool] = False

    #: Whether precisions are stored as covariances are, and not as matrices.
    keeps_inverse: ClassVar[bool] = True

    #: Whether the M-step needs earlier covariances. A fit then begins with
    #: :meth:`first`, and neural gases, which have none, do not offer the type.
    needs_start: ClassVar[bool] = False

    #: Name of this layout in scikit-learn, which gets full matrices if there is none.
    sklearn_name: ClassVar[str | None] = None

    #: Fewest samples of which ``covariance_type="auto"`` tries this type.
    auto_from: ClassVar[float] = math.inf

    #: Pseudo-counts that ``shrinkage="auto"`` tries.
    shrinkages: ClassVar[tuple] = (2.0, 20.0)

    #: The same below ten samples per feature, where pseudo-counts shrink
    #: correlations, too; None if there are none.
    few_shrinkages: ClassVar[tuple | None] = None

    #: Place among the types that are tried for few samples, the simplest first.
    place: ClassVar[int] = 2

    #: Whether one covariance serves all components.
    shared: ClassVar[bool] = False

    @abstractmethod
    def shape(self, n_components, n_features, rank=1):
        """Return the shape of the covariances, a tuple of shapes for a tuple."""

    def rank(self, covariances):
        """Return the number of factors if :meth:`shape` depends on it, else None."""
        return None

    def n_parameters(self, n_components, n_features, rank=1):
        """Count the free parameters of the covariances, as scikit-learn does."""
        return math.prod(self.shape(n_components, n_features, rank))

    def variances(self, covariances):
        """Return the entries that have to be positive, in any shape."""
        return covariances

    def check(self, covariances):
        """Raise ValueError if finite covariances of positive variances are invalid."""
        return

    def symmetrize(self, covariances):
        """Mend rounding that has made matrices asymmetric."""
        return covariances

    @abstractmethod
    def convert(self, kind, covariances, n_components, n_features):
        """Return covariances of another type `kind` in the layout of this one.

        They are the same matrices if this type is wider, else an approximation.
        """

    def first(self, covariances, rank, reg_covar):
        """Turn full covariances (K, d, d) into those a fit begins with.

        Used if :attr:`needs_start`; `reg_covar`, shape (d,), is to be added to the
        variances.
        """
        raise NotImplementedError

    @abstractmethod
    def dense(self, covariances, n_components, n_features):
        """Return the covariances as matrices, shape (..., K, d, d)."""

    def diagonal(self, covariances, n_components, n_features):
        """Return the variances of the features, shape (..., K, d)."""
        matrices = self.dense(covariances, n_components, n_features)
        return namespace(matrices).linalg.diagonal(matrices)

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
    def square(self, precisions_cholesky):
        """Return the precisions, in the layout of the covariances or as matrices.

        See :attr:`keeps_inverse`.
        """

    def precisions(self, covariances):
        """Invert the covariances; the result is that of :meth:`square`."""
        return self.square(self.precisions_cholesky(covariances))

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

    def n_normals(self, covariances, n_features):
        """Count the standard normals that one sample consumes."""
        return n_features

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
        """Return type's name and covariances of ``factor * x``, for a scalar."""

    @abstractmethod
    def stretch(self, covariances, factors):
        """Return type's name and covariances of ``factors * x``, for factors (d,)."""

    @abstractmethod
    def transform(self, covariances, matrix):
        """Return type's name and covariances of ``matrix @ x``, for matrices (m, d)."""

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

    def parameter_shapes(self, shape):
        """Return the shapes of two arrays that gradients can learn without bounds.

        They are the standard deviations of the features, given those before them,
        and strictly lower triangles A, or None if there are none, for covariances
        of the given shape; see :class:`skgmje.modules.Prototypes`. None, the
        default, means that the type is not learned by gradient.
        """
        return None

    def from_parameters(self, scales, lower):
        """Return the covariances that have these parameters."""
        raise NotImplementedError

    def parameters(self, precisions_cholesky):
        """Return the parameters, the inverse of :meth:`from_parameters`."""
        raise NotImplementedError

"""What a covariance type must answer; one final class each in the files beside."""

from abc import ABC, abstractmethod
from typing import ClassVar

from skgmje._backend import is_torch, namespace


class CovarianceType(ABC):
    r"""How the covariances of a mixture are stored and used.

    Instances hold nothing: every method takes the covariances. An array may
    have leading axes, one mixture for each entry, before the axes of
    :meth:`shape`; methods carry them through.

    To add a type, write a final subclass with these methods and one line in
    :data:`COVARIANCE_TYPES`; the tests over that dictionary do the rest.

    See Also
    --------
    Mixture : The value that calls these methods.

    Examples
    --------
    >>> from skgmje.gaussian import COVARIANCE_TYPES
    >>> COVARIANCE_TYPES["tied"].shape(n_components=3, n_features=2)
    (2, 2)
    >>> COVARIANCE_TYPES["full"].n_parameters(n_components=3, n_features=2)
    9
    """

    #: Types that can hold the same matrices, narrowest first, itself included.
    wider: ClassVar[tuple]

    @abstractmethod
    def shape(self, n_components, n_features, rank=1):
        """Return the shape of the covariances of one mixture.

        Parameters
        ----------
        n_components : int
            Number of components K.

        n_features : int
            Number of features d.

        rank : int, default=1
            Columns r of the low-rank factors; other types ignore it.

        Returns
        -------
        shape : tuple
            A shape, or a tuple of shapes where the covariances are a tuple.
        """

    @abstractmethod
    def n_parameters(self, n_components, n_features, rank=1):
        """Count the free parameters of the covariances, as scikit-learn does.

        Parameters
        ----------
        n_components : int
            Number of components K.

        n_features : int
            Number of features d.

        rank : int, default=1
            Columns r of the low-rank factors; other types ignore it.

        Returns
        -------
        n_parameters : int
            Means and weights are not counted.
        """

    @abstractmethod
    def variances(self, covariances):
        """Return the entries that have to be positive.

        Parameters
        ----------
        covariances : array or tuple of arrays
            Covariances, shape as :meth:`shape` says.

        Returns
        -------
        variances : array
            Any shape.
        """

    @abstractmethod
    def dense(self, covariances, n_components, n_features):
        """Return the covariances as matrices.

        Parameters
        ----------
        covariances : array or tuple of arrays
            Covariances, shape as :meth:`shape` says.

        n_components : int
            Number of components K.

        n_features : int
            Number of features d.

        Returns
        -------
        matrices : array of shape (..., n_components, n_features, n_features)
            One matrix for each component.
        """

    @abstractmethod
    def diagonal(self, covariances, n_components, n_features):
        """Return the variance of each feature.

        Parameters
        ----------
        covariances : array or tuple of arrays
            Covariances, shape as :meth:`shape` says.

        n_components : int
            Number of components K.

        n_features : int
            Number of features d.

        Returns
        -------
        variances : array of shape (..., n_components, n_features)
            Diagonals of :meth:`dense`.
        """

    @abstractmethod
    def pooled(self, covariances, weights, n_features):
        r"""Compute the weighted mean :math:`\sum_k w_k \Sigma_k`.

        Parameters
        ----------
        covariances : array or tuple of arrays
            Covariances, shape as :meth:`shape` says.

        weights : array of shape (..., n_components)
            Weights that sum to one.

        n_features : int
            Number of features d.

        Returns
        -------
        matrix : array of shape (..., n_features, n_features)
            The pooled covariance.
        """

    @abstractmethod
    def precisions_cholesky(self, covariances):
        r"""Compute square roots of the precisions, in scikit-learn's convention.

        Full and tied: the upper triangle U with :math:`U U^T = \Sigma^{-1}`;
        diagonal and spherical: inverse standard deviations; low-rank: see
        :class:`~skgmje.gaussian._low_rank.LowRank`.

        Parameters
        ----------
        covariances : array or tuple of arrays
            Covariances, shape as :meth:`shape` says.

        Returns
        -------
        precisions_cholesky : array or tuple of arrays
            What :meth:`whiten`, :meth:`solve` and :meth:`log_det` read.

        Raises
        ------
        ValueError
            If a matrix is not positive definite.
        """

    @abstractmethod
    def log_det(self, precisions_cholesky, n_features):
        r"""Compute :math:`-\tfrac12 \log |\Sigma_k|`.

        Parameters
        ----------
        precisions_cholesky : array or tuple of arrays
            Result of :meth:`precisions_cholesky`.

        n_features : int
            Number of features d.

        Returns
        -------
        log_det : array of shape (..., n_components) or (..., 1)
            Log-determinants of the square roots of the precisions.
        """

    @abstractmethod
    def whiten(self, diff, precisions_cholesky):
        r"""Map differences to vectors whose length is the Mahalanobis distance.

        The map is linear, :math:`|y|^2 = \delta^T \Sigma_k^{-1} \delta`.

        Parameters
        ----------
        diff : array of shape (..., n_components, n_features)
            Differences :math:`\delta` from the means.

        precisions_cholesky : array or tuple of arrays
            Result of :meth:`precisions_cholesky`.

        Returns
        -------
        white : array of shape (..., n_components, q)
            For most types q is the number of features.
        """

    @abstractmethod
    def solve(self, diff, precisions_cholesky):
        r"""Compute :math:`\Sigma_k^{-1} \delta`.

        Parameters
        ----------
        diff : array of shape (..., n_components, n_features)
            Differences :math:`\delta` from the means.

        precisions_cholesky : array or tuple of arrays
            Result of :meth:`precisions_cholesky`.

        Returns
        -------
        solution : array of shape (..., n_components, n_features)
            Gradient of half the squared Mahalanobis distance.
        """

    @abstractmethod
    def root(self, covariances):
        """Prepare what :meth:`noise` needs.

        Parameters
        ----------
        covariances : array or tuple of arrays
            Covariances, shape as :meth:`shape` says.

        Returns
        -------
        root : array or tuple of arrays
            Square roots of the covariances.
        """

    @abstractmethod
    def n_normals(self, covariances, n_features):
        """Tell how many standard normals one sample consumes.

        Parameters
        ----------
        covariances : array or tuple of arrays
            Covariances, shape as :meth:`shape` says.

        n_features : int
            Number of features d.

        Returns
        -------
        n_normals : int
            The last axis of what :meth:`noise` takes.
        """

    @abstractmethod
    def noise(self, root, component, normals):
        """Colour standard normals with the covariance of their component.

        Parameters
        ----------
        root : array or tuple of arrays
            Result of :meth:`root`.

        component : integer array of shape (n_samples, ...)
            Component of each sample; the other axes are the leading axes.

        normals : array of shape (n_samples, ..., n_normals)
            Standard normals.

        Returns
        -------
        noise : array of shape (n_samples, ..., n_features)
            Zero-mean Gaussian noise.
        """

    @abstractmethod
    def select(self, covariances, components):
        """Keep some of the components.

        Parameters
        ----------
        covariances : array or tuple of arrays
            Covariances, shape as :meth:`shape` says.

        components : slice or list of int
            Which components.

        Returns
        -------
        covariances : array or tuple of arrays
            Covariances of the same type.
        """

    @abstractmethod
    def marginal(self, covariances, indices):
        """Keep some of the features.

        Parameters
        ----------
        covariances : array or tuple of arrays
            Covariances, shape as :meth:`shape` says.

        indices : list of int
            Which features, in which order.

        Returns
        -------
        covariances : array or tuple of arrays
            Covariances of the same type.
        """

    @abstractmethod
    def conditional(self, covariances, given, rest, diff):
        r"""Condition each component on some of the features.

        The shift is :math:`\Sigma_{tc} \Sigma_{cc}^{-1} \delta_c`, the
        covariance the Schur complement :math:`\Sigma_{tt} - \Sigma_{tc}
        \Sigma_{cc}^{-1} \Sigma_{ct}`, which does not depend on the values.

        Parameters
        ----------
        covariances : array or tuple of arrays
            Covariances, shape as :meth:`shape` says.

        given : list of int
            The conditioning features c.

        rest : list of int
            The other features t.

        diff : array of shape (..., n_components, n_given)
            Values minus means of the conditioning features.

        Returns
        -------
        shift : array of shape (..., n_components, n_rest), or a scalar
            To be added to the means of the rest.

        covariances : array or tuple of arrays
            Covariances of the same type, of the rest.
        """

    @abstractmethod
    def scale(self, covariances, factor):
        """Return the covariances of ``factor * x`` and their type.

        Parameters
        ----------
        covariances : array or tuple of arrays
            Covariances, shape as :meth:`shape` says.

        factor : scalar array
            Not zero.

        Returns
        -------
        covariance_type : str
            Type of the result.

        covariances : array or tuple of arrays
            Covariances of the result.
        """

    @abstractmethod
    def stretch(self, covariances, factors):
        """Return the covariances of ``factors * x`` and their type.

        Parameters
        ----------
        covariances : array or tuple of arrays
            Covariances, shape as :meth:`shape` says.

        factors : array of shape (n_features,)
            One factor for each feature, none of them zero.

        Returns
        -------
        covariance_type : str
            Type of the result.

        covariances : array or tuple of arrays
            Covariances of the result.
        """

    @abstractmethod
    def transform(self, covariances, matrix):
        """Return the covariances of ``matrix @ x`` and their type.

        Parameters
        ----------
        covariances : array or tuple of arrays
            Covariances, shape as :meth:`shape` says.

        matrix : array of shape (m, n_features)
            Of full row rank.

        Returns
        -------
        covariance_type : str
            Type of the result.

        covariances : array or tuple of arrays
            Covariances of the result.
        """

    @abstractmethod
    def pair_sum(self, first, second):
        r"""Add the covariances of all pairs, :math:`\Sigma_i + \Sigma'_j`.

        Parameters
        ----------
        first : array or tuple of arrays
            Covariances of I components.

        second : array or tuple of arrays
            Covariances of J components of the same type.

        Returns
        -------
        covariances : array or tuple of arrays
            One mixture of J components for each of the I: a leading axis more.
        """

    @abstractmethod
    def product(self, first, second, diff):
        r"""Multiply the Gaussians of all pairs.

        .. math::

            \Sigma_{ij} = (\Sigma_i^{-1} + \Sigma_j'^{-1})^{-1}, \qquad
            \mu_{ij} = \mu_i + \Sigma_i (\Sigma_i + \Sigma'_j)^{-1} \delta_{ij}

        Parameters
        ----------
        first : array or tuple of arrays
            Covariances of I components.

        second : array or tuple of arrays
            Covariances of J components of the same type.

        diff : array of shape (..., I, J, n_features)
            Differences :math:`\delta_{ij} = \mu'_j - \mu_i`.

        Returns
        -------
        shift : array of shape (..., I, J, n_features)
            To be added to the means of the first factor.

        covariances : array or tuple of arrays
            Covariances of the same type, of I * J components.
        """


def map_arrays(function, covariances):
    """Apply `function` to the array, or to each array of the tuple."""
    if isinstance(covariances, tuple):
        return tuple(function(array) for array in covariances)
    return function(covariances)


def collapse(array, n_core):
    """Shrink leading axes that are broadcast views to length one.

    The last `n_core` axes are left alone. What all mixtures share is then
    factored once, not once for each.
    """
    strides = array.stride() if is_torch(array) else array.strides
    leading = strides[: array.ndim - n_core]
    return array[tuple(slice(0, 1) if s == 0 else slice(None) for s in leading)]


def is_shared(array, n_core):
    """Tell whether all leading axes of `array` have length one."""
    return all(length == 1 for length in array.shape[: array.ndim - n_core])


def take_components(array, component):
    """Return the entries of `array` at (leading axes, component).

    Parameters
    ----------
    array : array of shape (..., n_components, *rest)
        With the leading axes of `component`.

    component : integer array of shape (n_samples, ...)
        Component of each sample.

    Returns
    -------
    taken : array of shape (n_samples, ..., *rest)
        A copy.
    """
    xp = namespace(array)
    leading = component.shape[1:]
    options = {"device": array.device} if is_torch(array) else {}
    grid = [
        xp.reshape(xp.arange(n, **options), (-1,) + (1,) * (len(leading) - 1 - axis))
        for axis, n in enumerate(leading)
    ]
    return array[(*grid, component)]


def flatten_pairs(array, n_core):
    """Merge the last two axes before the `n_core` last ones."""
    shape, cut = array.shape, array.ndim - n_core
    n_pairs = shape[cut - 2] * shape[cut - 1]
    return namespace(array).reshape(array, (*shape[: cut - 2], n_pairs, *shape[cut:]))

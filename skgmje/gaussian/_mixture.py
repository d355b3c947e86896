"""The Gaussian mixture as a value: its density, its algebra, its summaries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from skgmje._backend import is_torch, to_numpy, transpose
from skgmje._settings import settle
from skgmje._typing import Array, ArrayLike, Missing, RandomState
from skgmje.gaussian import _algebra, _conversion, _density
from skgmje.gaussian._checks import check_parameters
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._covariance_type import lock, map_arrays
from skgmje.gaussian._modes import find_mode
from skgmje.gaussian._quantiles import cdf, quantile
from skgmje.gaussian._reduction import reduce
from skgmje.gaussian._regions import Region, exceedance, region
from skgmje.gaussian._sampling import sample

if TYPE_CHECKING:
    from torch.distributions import MixtureSameFamily
else:
    MixtureSameFamily = object


@settle
@dataclass(frozen=True, eq=False, repr=False)
class Mixture:
    r"""A Gaussian mixture, or one per sample, as a value.

    .. math::

        p(x) = \sum_{k=1}^K w_k N(x; \mu_k, \Sigma_k)

    The arrays may be NumPy arrays or torch tensors; results are of the same
    library, data type and device, and differentiable in torch. If the arrays
    have a leading axis of length n, there is one mixture for each of n samples:
    sample i of ``X`` goes with mixture i, and further axes of ``X`` before it
    broadcast. Arrays that all mixtures share may leave the leading axis out.
    ``mixture[i]`` is the mixture of sample i.

    NumPy arrays are copied and read-only: writing into them raises ValueError. Tensors
    are not copied, so that gradients flow through them; nothing may write into them
    while the mixture is used.

    Shapes are checked, and values of arrays in main memory without a gradient.

    Parameters
    ----------
    weights : array of shape (..., n_components)
        Not negative, summing to one over the components.

    means : array of shape (..., n_components, n_features)
        Means of the components.

    covariances : array or tuple of arrays
        The shape depends on `covariance_type`::

            (..., n_components, n_features, n_features)  if 'full',
            (..., n_features, n_features)                if 'tied',
            (..., n_components, n_features)              if 'diag',
            (..., n_components)                          if 'spherical',
            ((..., n_components, n_features, rank),
             (..., n_components, n_features))            if 'low-rank'

        A low-rank pair (factors F, diagonal D) means :math:`F F^T + D`.

    covariance_type : str, default='full'
        Key of :data:`COVARIANCE_TYPES`: 'full', 'tied', 'diag', 'spherical' or
        'low-rank'.

    Raises
    ------
    ValueError
        If shapes do not fit together, weights are negative or do not sum to one,
        variances are not positive or an entry is not finite. A matrix that is not
        positive definite raises when it is first used.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.gaussian import Mixture
    >>> means = [[-1.0, -1.0], [1.0, 1.0]]
    >>> mixture = Mixture([0.5, 0.5], means, [0.5, 0.5], "spherical")
    >>> mixture
    Mixture(n_components=2, n_features=2, covariance_type='spherical')
    >>> mixture.log_prob([[1.0, 1.0], [0.0, 0.0]]).round(2)
    array([-1.84, -3.14])

    The density of the second feature where the first is 1:

    >>> given = mixture.condition([0], [1.0])
    >>> given.weights.round(2), given.mean.round(2)
    (array([0.02, 0.98]), array([0.96]))
    """

    weights: Array
    means: Array
    covariances: Array
    covariance_type: str = "full"

    def __post_init__(self):
        arrays = check_parameters(*self._arrays, self.covariance_type)
        # The dataclass is frozen.
        vars(self).update(zip(("weights", "means", "covariances"), arrays, strict=True))

    @property
    def _arrays(self):
        """Weights, means and covariances."""
        return self.weights, self.means, self.covariances

    def __repr__(self):
        leading = tuple(self.means.shape[:-2])
        batch = f"batch_shape={leading}, " if leading else ""
        return (
            f"Mixture({batch}n_components={self.n_components}, "
            f"n_features={self.n_features}, covariance_type={self.covariance_type!r})"
        )

    def __getitem__(self, samples):
        """Return the mixture of one sample, or those of some, by the leading axis."""
        if self.means.ndim == 2 or isinstance(samples, tuple):
            raise TypeError(
                f"{self!r} cannot be indexed by {samples!r}: of several mixtures, one "
                "for each sample, mixture[i] is that of sample i; one has no samples."
            )
        return self._map(lambda array: array[samples])

    def _map(self, function):
        """Return a mixture of changed arrays."""
        parts = (map_arrays(function, array) for array in self._arrays)
        return Mixture(*parts, self.covariance_type)

    @classmethod
    def _of(cls, weights, means, covariances, covariance_type="full"):
        """Return a mixture of arrays that nobody else holds, which are not copied."""
        weights, means = lock(weights), lock(means)
        return cls(weights, means, map_arrays(lock, covariances), covariance_type)

    def __getstate__(self):
        memories = ("_loops", "_linear_maps")
        return {k: v for k, v in vars(self).items() if k not in memories}

    def __setstate__(self, state):
        vars(self).update(state)
        # What was copied or read from a file may be written into.
        for array in self._arrays:
            map_arrays(lock, array)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the mixture to a file that :func:`skgmje.load` reads.

        Parameters
        ----------
        path : str or path-like
            Where to; an old file is replaced once the new one is complete.
        """
        from skgmje._persistence._model import save

        save(self, path)

    def _rebuild(self):
        """Check that every matrix is positive definite, which is else done at need."""
        self.log_prob(self.means[..., :1, :] if self.means.ndim == 2 else self.mean)

    @property
    def _kernel(self):
        """Hot loops of a NumPy mixture, prepared once."""
        if "_loops" not in vars(self):
            vars(self)["_loops"] = _density.make_kernel(self, self.weights)
        return vars(self)["_loops"]

    def to_numpy(self) -> Mixture:
        """Return the same mixture with NumPy arrays.

        Returns
        -------
        mixture : Mixture
            Without gradients; itself if it holds NumPy arrays.
        """
        return self._map(to_numpy) if is_torch(self.means) else self

    def to_torch(self) -> MixtureSameFamily:
        """Return the mixture as a distribution of torch.

        Returns
        -------
        distribution : torch.distributions.MixtureSameFamily
            With the gradients of tensors. :func:`skgmje.as_mixture` is the way back.
        """
        return _conversion.to_torch(self)

    @classmethod
    def from_quantiles(cls, levels: ArrayLike, values: ArrayLike) -> Mixture:
        r"""Return a mixture of one feature that has given quantiles.

        Parameters
        ----------
        levels : array-like of shape (n_levels,)
            Probabilities, ascending, strictly between zero and one.

        values : array-like of shape (..., n_levels)
            The quantiles, ascending, no two of them equal; n rows are n mixtures.

        Returns
        -------
        mixture : Mixture
            With a component for each gap between quantiles and one for each tail. The
            weights solve :math:`F(q_i) = a_i`; if one is negative, all components of
            that mixture are made narrower by tenths until none is.
        """
        return cls._of(*_conversion.from_quantiles(levels, values))

    @classmethod
    def from_histogram(cls, edges: ArrayLike, probabilities: ArrayLike) -> Mixture:
        """Return a mixture of one feature with a component for each bar.

        Parameters
        ----------
        edges : array-like of shape (..., n_bars + 1)
            Ends of the bars, ascending. All mixtures may share them.

        probabilities : array-like of shape (..., n_bars)
            Probabilities or counts, not negative; n rows of them are n mixtures.

        Returns
        -------
        mixture : Mixture
            With standard deviations of 0.36 widths, which leave the least CRPS between
            mixture and histogram.
        """
        return cls._of(*_conversion.from_histogram(edges, probabilities))

    @classmethod
    def from_samples(
        cls, X: Array, *, sample_weight: Array = None, bandwidth: float | None = None
    ) -> Mixture:
        """Return the kernel density estimate of samples.

        Parameters
        ----------
        X : array of shape (..., n_samples, n_features)
            Samples; those of n densities, (n, n_samples, n_features), are n mixtures.

        sample_weight : array of shape (..., n_samples), default=None
            Weights of the samples.

        bandwidth : float, default=None
            Standard deviation of the kernel. None: its covariance is that of the
            samples times :math:`n^{-2/(d+4)}`, by Scott's rule, as in
            :class:`scipy.stats.gaussian_kde`.

        Returns
        -------
        mixture : Mixture
            With a component for each sample, differentiable in torch.
        """
        return cls._of(*_conversion.from_samples(X, sample_weight, bandwidth))

    @property
    def n_components(self) -> int:
        """Number of components."""
        return self.means.shape[-2]

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.means.shape[-1]

    @property
    def n_parameters(self) -> int:
        """Number of free parameters of one mixture, as scikit-learn counts them."""
        k, d = self.n_components, self.n_features
        kind = COVARIANCE_TYPES[self.covariance_type]
        rank = kind.rank(self.covariances)
        return kind.n_parameters(k, d, rank) + k * d + k - 1

    def log_prob(self, X: Array, missing: Missing = "raise") -> Array:
        r"""Compute the log-density :math:`\log p(x)`, in nats.

        Parameters
        ----------
        X : array of shape (..., n_features)
            Samples.

        missing : {'raise', 'marginal'}, default='raise'
            What NaN means: an error, or a missing value. A sample with missing
            values is scored under its exact marginal, and by 0 if it shows
            nothing.

        Returns
        -------
        log_prob : array of shape (...,)
            Log-densities; -inf where the squared distance overflows.
        """
        return _density.log_prob(self, X, missing)

    def component_log_prob(self, X: Array, missing: Missing = "raise") -> Array:
        r"""Compute :math:`\log N(x; \mu_k, \Sigma_k)`, without the weights.

        Parameters
        ----------
        X : array of shape (..., n_features)
            Samples.

        missing : {'raise', 'marginal'}, default='raise'
            What NaN means, see :meth:`log_prob`.

        Returns
        -------
        log_prob : array of shape (..., n_components)
            Log-density of each component.
        """
        return _density.component_log_prob(self, X, missing)

    def responsibilities(self, X: Array, missing: Missing = "raise") -> Array:
        r"""Compute the posterior weights :math:`w_k N_k(x) / p(x)`.

        Parameters
        ----------
        X : array of shape (..., n_features)
            Samples. However far away, they get the limit of their direction.

        missing : {'raise', 'marginal'}, default='raise'
            What NaN means, see :meth:`log_prob`.

        Returns
        -------
        responsibilities : array of shape (..., n_components)
            Not negative, summing to one over the components.
        """
        return _density.responsibilities(self, X, missing)

    def grad_log_prob(self, X: Array) -> Array:
        r"""Compute the gradient of the log-density.

        .. math::

            \nabla \log p(x) = -\sum_k r_k(x) \Sigma_k^{-1} (x - \mu_k)

        Parameters
        ----------
        X : array of shape (..., n_features)
            Samples, complete.

        Returns
        -------
        gradient : array of shape (..., n_features)
            In closed form, so NumPy has it too.
        """
        return _density.grad_log_prob(self, X)

    def sample(
        self, n_samples: int = 1, random_state: RandomState = None
    ) -> tuple[Array, Array]:
        """Draw samples.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples, of each mixture if there are several.

        random_state : int, numpy.random.Generator, RandomState or None
            Source of randomness; the same one gives the same samples in NumPy
            and torch.

        Returns
        -------
        X : array of shape (n_samples, ..., n_features)
            Independent samples, in no order. In torch they carry the gradient of
            means and covariances and, by that of :meth:`cdf`, of the weights [1]_:
            first derivatives only, and those of a weight of zero are zero. The gradient
            of the weights varies without bound as components part.

        component : integer array of shape (n_samples, ...)
            The component each sample comes from.

        References
        ----------
        .. [1] M. Figurnov, S. Mohamed and A. Mnih (2018). Implicit reparameterization
           gradients. Advances in Neural Information Processing Systems 31.
        """
        return sample(self, n_samples, random_state)

    def marginal(self, indices: int | slice | Sequence[int]) -> Mixture:
        """Return the density of some of the features.

        Parameters
        ----------
        indices : int, slice or sequence of int
            Which features, in which order, none of them twice.

        Returns
        -------
        marginal : Mixture
            Of the same covariance type.
        """
        return Mixture._of(*_algebra.marginal(self, indices))

    def condition(self, indices: int | slice | Sequence[int], values: Array) -> Mixture:
        r"""Return the density of the other features, given some.

        .. math::

            p(t | c) \propto \sum_k w_k N(c; \mu_{c,k}, \Sigma_{cc,k})
            N(t; \mu_{t,k} + \Sigma_{tc,k} \Sigma_{cc,k}^{-1} (c - \mu_{c,k}),
            \Sigma_{tt,k} - \Sigma_{tc,k} \Sigma_{cc,k}^{-1} \Sigma_{ct,k})

        Parameters
        ----------
        indices : int, slice or sequence of int
            The conditioning features c, at least one and not all.

        values : array of shape (n_indices,) or (n, n_indices)
            Their values, in the order of `indices`; n samples give n mixtures.

        Returns
        -------
        conditional : Mixture
            Over the other features in ascending order, of the same covariance
            type. The n mixtures share their covariances.
        """
        return Mixture._of(*_algebra.condition(self, indices, values))

    def affine(self, A: float | Array, b: float | Array = 0.0) -> Mixture:
        """Return the density of ``A x + b``.

        Parameters
        ----------
        A : scalar, array of shape (n_features,) or of shape (m, n_features)
            Factor of all features, of each feature, or a matrix of full row rank.

        b : scalar or array of shape (m,), default=0.0
            Shift.

        Returns
        -------
        image : Mixture
            Of the same covariance type, but a factor for each feature turns
            spherical into diag, and a matrix turns diag, spherical and low-rank
            into full.
        """
        return Mixture._of(*_algebra.affine(self, A, b))

    @classmethod
    def mix(cls, mixtures: Sequence[Mixture], weights: Array) -> Mixture:
        r"""Return the weighted mixture of mixtures.

        .. math:: p(x) = \sum_m a_m p_m(x)

        Parameters
        ----------
        mixtures : sequence of Mixture
            Over the same features, all of NumPy arrays or all of tensors. Each is
            one mixture or one per sample.

        weights : array of shape (n_mixtures,) or (n_mixtures, ...)
            Weights of the mixtures, not negative and summing to one over the first
            axis; further axes give each sample its own weights.

        Returns
        -------
        mixture : Mixture
            With the components of all, in their order; its type as in
            :meth:`product`. Tied mixtures, each with a matrix of its own, become full.

        Raises
        ------
        ValueError
            If there is no mixture, shapes do not fit, or weights are negative or do
            not sum to one.

        Examples
        --------
        >>> from skgmje import Mixture
        >>> narrow = Mixture([1.0], [[0.0]], [1.0], "spherical")
        >>> mixed = Mixture.mix([narrow, narrow.affine(3.0)], [0.75, 0.25])
        >>> mixed.weights, mixed.covariances
        (array([0.75, 0.25]), array([1., 9.]))
        """
        return cls._of(*_algebra.mix(cls, mixtures, weights))

    def select(self, indices: int | slice | Sequence[int]) -> Mixture:
        """Return the density of some components, of the same covariance type.

        Parameters
        ----------
        indices : int, slice or sequence of int
            Which components, in which order.

        Returns
        -------
        mixture : Mixture
            With their weights, rescaled to sum to one.
        """
        return Mixture._of(*_algebra.select(self, indices))

    def product(self, other: Mixture) -> Mixture:
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
            With K1 * K2 components, those of `other` running fastest. Its type is
            the narrowest that holds both: spherical < diag < low-rank < full, tied <
            full. The ranks of low-rank factors add.
        """
        return self._of(*_algebra.product(self, other))

    def convolve(self, other: Mixture) -> Mixture:
        r"""Return the density of the sum of two independent variables.

        .. math::

            (p * q)(x) = \sum_{ij} w_i w'_j N(x; \mu_i + \mu'_j, \Sigma_i + \Sigma'_j)

        Parameters
        ----------
        other : Mixture
            As in :meth:`product`.

        Returns
        -------
        sum : Mixture
            With K1 * K2 components, those of `other` running fastest; its type as
            in :meth:`product`.
        """
        return self._of(*_algebra.convolve(self, other))

    def reduce(
        self, n_components: int, *, method: Literal["runnalls", "l2"] = "runnalls"
    ) -> Mixture:
        """Return a mixture of fewer components with nearly the same density.

        Parameters
        ----------
        n_components : int
            Number of components of the result, at most those that there are.

        method : {'runnalls', 'l2'}, default='runnalls'
            'runnalls' merges the pair of components that can cost the least
            Kullback-Leibler divergence [1]_; mean and covariance stay. 'l2' then moves
            them to the least :meth:`l2_distance`, which sees peaks rather than tails.

        Returns
        -------
        mixture : Mixture
            With full covariances, of one feature diag, and without gradients. It takes
            K^2 d^3 operations and K^2 numbers in memory.

        References
        ----------
        .. [1] A. R. Runnalls (2007). Kullback-Leibler approach to Gaussian mixture
           reduction. IEEE Transactions on Aerospace and Electronic Systems 43(3).
        """
        return Mixture._of(*reduce(self, n_components, method))

    @property
    def mean(self) -> Array:
        r"""Mean :math:`\sum_k w_k \mu_k`, shape (..., n_features)."""
        return (self.weights[..., None, :] @ self.means)[..., 0, :]

    @property
    def covariance(self) -> Array:
        """Covariance, (..., n_features, n_features), by the law of total variance.

        The sum of :attr:`within_covariance` and :attr:`between_covariance`.
        """
        return self.within_covariance + self.between_covariance

    @property
    def within_covariance(self) -> Array:
        r"""Mean covariance :math:`\sum_k w_k \Sigma_k`, (..., n_features, n_features).

        Of a conditional density the noise that stays if one knows which component
        is meant (aleatoric).
        """
        kind = COVARIANCE_TYPES[self.covariance_type]
        return kind.pooled(self.covariances, self.weights, self.n_features)

    @property
    def between_covariance(self) -> Array:
        r"""Covariance of the components' means, (..., n_features, n_features).

        It is :math:`\sum_k w_k (\mu_k - \mu)(\mu_k - \mu)^T`.
        """
        diff = self.means - self.mean[..., None, :]
        weighted = self.weights[..., None] * diff
        return transpose(weighted) @ diff

    def mode(self) -> Array:
        """Find the point of the highest density.

        The means with the highest density are followed uphill by fixed-point iterations
        and Newton's method [1]_; the highest point that was reached is returned.

        Returns
        -------
        mode : array of shape (..., n_features)
            At least as high as every mean; without gradients.

        References
        ----------
        .. [1] M. A. Carreira-Perpinan, "Mode-finding for mixtures of Gaussian
           distributions", IEEE Transactions on Pattern Analysis and Machine
           Intelligence 22(11), 2000.
        """
        return find_mode(self)

    def cdf(self, y: float | Array) -> Array:
        r"""Compute the distribution function of a mixture of one feature.

        .. math:: P(Y \le y) = \sum_k w_k \Phi((y - \mu_k) / \sigma_k)

        Parameters
        ----------
        y : float or array
            Values, without an axis for the feature. With one mixture per sample the
            last axes of an array are those of the samples: value i goes with mixture i.

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

    def quantile(self, q: float | Array) -> Array:
        """Compute quantiles of a mixture of one feature.

        Parameters
        ----------
        q : float or array
            Probabilities strictly between zero and one.

        Returns
        -------
        value : array of shape (*q.shape, ...)
            The axes of `q`, then those of the mixtures, as :func:`numpy.quantile` has
            them. Without gradients.

        Raises
        ------
        ValueError
            If the mixture has more than one feature, or a probability is not
            between zero and one.
        """
        return quantile(self, q)

    def region(
        self, level: float, *, n_samples: int = 10_000, random_state: RandomState = None
    ) -> Region:
        """Find where the density is highest: the smallest set of a probability.

        Parameters
        ----------
        level : float
            Probability of the region, strictly between zero and one.

        n_samples : int, default=10_000
            Number of draws that find the border if there are several features.

        random_state : int, numpy.random.Generator, RandomState or None
            Source of randomness of these.

        Returns
        -------
        region : Region
            One for all mixtures.
        """
        return region(self, level, n_samples, random_state)

    def exceedance(
        self, X: Array, *, n_samples: int = 10_000, random_state: RandomState = None
    ) -> Array:
        r"""Compute the probability :math:`P(p(Y) > p(x))` of a higher density.

        Parameters
        ----------
        X : array of shape (..., n_features)
            Samples. The region on whose border x lies has this probability.

        n_samples : int, default=10_000
            As in :meth:`region`.

        random_state : int, numpy.random.Generator, RandomState or None
            As in :meth:`region`.

        Returns
        -------
        exceedance : array of shape (...,)
            Uniform if the samples are draws from the mixture.
        """
        return exceedance(self, X, n_samples, random_state)

    def log_inner(self, other: Mixture) -> Array:
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
        return _algebra.log_inner(self, other)

    def inner(self, other: Mixture) -> Array:
        r"""Compute the inner product :math:`\int p(x) q(x) \, dx`.

        Parameters
        ----------
        other : Mixture
            As in :meth:`log_inner`.

        Returns
        -------
        inner : array of shape (...,)
            May under- or overflow in many dimensions, :meth:`log_inner` does not.
        """
        return _algebra.exp(self.log_inner(other))

    def norm(self) -> Array:
        r"""Compute the norm :math:`\langle p, p \rangle^{1/2}`.

        Returns
        -------
        norm : array of shape (...,)
            Square root of the inner product with itself.
        """
        return _algebra.exp(0.5 * self.log_inner(self))

    def l2_distance(self, other: Mixture) -> Array:
        r"""Compute the distance :math:`(\int (p(x) - q(x))^2 \, dx)^{1/2}`.

        Parameters
        ----------
        other : Mixture
            As in :meth:`log_inner`.

        Returns
        -------
        distance : array of shape (...,)
            Not negative. Distances below 1e-8 of the norm are lost in rounding.
        """
        return _algebra.l2_distance(self, other)

    def cauchy_schwarz_divergence(self, other: Mixture) -> Array:
        r"""Compute the Cauchy-Schwarz divergence.

        .. math::

            D(p, q) = \log \langle p, p \rangle + \log \langle q, q \rangle
            - 2 \log \langle p, q \rangle \ge 0

        Parameters
        ----------
        other : Mixture
            As in :meth:`log_inner`.

        Returns
        -------
        divergence : array of shape (...,)
            0 where the densities are equal; symmetric.
        """
        return _algebra.cauchy_schwarz_divergence(self, other)

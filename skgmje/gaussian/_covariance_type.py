"""The contract of a covariance type, of its hot loops and of its arrays."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.linalg import eigh
from scipy.linalg.blas import dgemm

from skgmje._backend import (
    is_torch,
    namespace,
    row_blocks,
    slices,
    to_numpy,
    transpose,
)
from skgmje.gaussian._processor import CACHE_BYTES

# exp(-700) is the smallest exponential that every vectorised exp computes at
# full speed; beside a largest term of 1 it is zero.
EXP_FLOOR = -700.0

# Above it, the expanded square x'Px - 2x'Pm + m'Pm loses more than 1e-10
# (error about 3e-16 times the largest squared Mahalanobis norm of a mean).
EXPANSION_LIMIT = 1e5

# Components whose densities of a block are computed and summed at a time.
TILE = 128

# Features multiplied at a time. In longer products the library may add the terms
# of a small block in another order than those of a large one.
GROUP = 256

# A block's features and joint densities should stay near the core, the joint
# densities, which are gone through several times, in its own cache.
BLOCK_BYTES = 2 * CACHE_BYTES
JOINT_BYTES = 3 * CACHE_BYTES // 4

# Blocks are padded to a multiple of it: the bits of a matrix product's column
# then depend neither on how many columns there are nor on where it stands.
PADDING = 64
MAX_ROWS = 4096


class Statistics(NamedTuple):
    """Sufficient statistics of weighted samples, about their own means."""

    counts: Any
    means: Any
    scatter: tuple
    log_likelihood: float
    weight: float
    #: Weight of the samples, or shares of them, that belong to no component.
    background: float = 0.0


class Prior(NamedTuple):
    """What the M-step adds to the data."""

    shrinkage: float
    target: Any
    reg_covar: Any
    model: Any = None


# Fewer rows per feature leave correlations uncertain.
FEW_ROWS_PER_FEATURE = 10


def lost_correlation(n_rows, n_features, shrinkage):
    """Return the share by which correlations shrink where samples are few."""
    ample = n_rows / (FEW_ROWS_PER_FEATURE * n_features)
    pseudo = shrinkage * min(1.0, 2 * max(0.0, 1.0 - ample))
    return pseudo / (n_rows + pseudo) if pseudo else 0.0


def decorrelate(covariances, share):
    """Shrink the correlations of covariances (..., d, d), which are changed."""
    if share:
        i = np.arange(covariances.shape[-1])
        variances = covariances[..., i, i]
        covariances *= 1 - share
        covariances[..., i, i] = variances
    return covariances


def largest_axes(rows, n_axes):
    """Return the principal axes of rows about zero, as long as the rows along them."""
    if not len(rows):
        return rows
    which = [max(0, len(rows) - n_axes), len(rows) - 1]
    return eigh(rows @ rows.T, subset_by_index=which)[1].T @ rows


class Kernel(ABC):
    """Precomputed linear maps of one mixture, evaluated a block at a time.

    Arrays of a block are component-major, shape (n_components, n_rows): the
    reductions over components are then additions of contiguous vectors. `center`,
    shape (n_features,), is a point near the middle of the data, which is subtracted
    before squares are taken; `limit` is the largest squared Mahalanobis norm of a
    centered mean for which the expanded square is used.
    """

    #: Whether tensors can take the same passes on their device, by a method
    #: ``rows_features(xp, X)`` that computes the features of centered rows.
    on_device: ClassVar[bool] = False

    #: Whether the packed second moments are those of each component, so that they
    #: can be scaled, divided and joined.
    per_component: ClassVar[bool] = False

    #: Whether the densities of some components cost less than those of all.
    is_tiled: bool = True

    #: Whether an M-step asks for the second moments of all components together.
    pools: bool = True

    #: Parts of theta's columns whose features a block does not hold: a method
    #: ``features(part, block, work)`` computes them.
    later: tuple = ()

    def __init__(self, weights, means, covariances, center, limit=EXPANSION_LIMIT):
        self.weightless = None if weights.all() else weights == 0
        with np.errstate(divide="ignore"):
            self.log_weights = np.log(weights)
        if self.weightless is not None:
            # Instead of -inf it keeps matrix products free of NaN.
            self.log_weights[self.weightless] = -1e300
        self.weights = weights
        self.means = means
        self.covariances = covariances
        self.center = center
        self.limit = limit
        self.n_components, self.n_features = means.shape
        self.centered = means - center
        # Precisions beyond all numbers are near to nothing: differences serve them.
        with np.errstate(over="ignore", invalid="ignore"):
            near = self._prepare(limit) & np.ones(len(means), bool)
        n_apart = len(means) - np.count_nonzero(near)
        # Up to half of the components may need differences: their rows of the
        # products are written again.
        self.expands = 2 * n_apart <= len(means) if self.per_component else not n_apart
        self.expands_all = not n_apart
        self.apart = np.flatnonzero(~near) if self.expands and n_apart else near[:0]
        self.origins = np.where(self.expands & near[:, None], center, means)
        # Components of which a block's densities are summed at a time, nearly as many.
        count = -(-self.n_components // TILE) if self.expands and self.is_tiled else 1
        self.tiles = slices(self.n_components, -(-self.n_components // count))
        if self.expands:
            # Columns of theta whose features a block holds.
            stop = self.later[0].start if self.later else self.theta.shape[1]
            self.held = slices(stop, GROUP)
        # As many samples as fit the cache, an odd multiple of the padding: columns of
        # arrays whose rows are multiples of 4096 bytes share few places of a cache.
        n_components = self.tiles[0].stop
        features = BLOCK_BYTES // (8 * (self.n_held + n_components))
        rows = min(MAX_ROWS, features, JOINT_BYTES // (8 * min(n_components, TILE)))
        rows -= PADDING
        self.block_rows = PADDING + max(0, rows - rows % (2 * PADDING))

    @property
    @abstractmethod
    def n_forms(self):
        """Number of values per sample that the components' densities are made of."""

    @property
    def n_held(self):
        """Number of rows of a block's arrays besides the components."""
        return self.n_forms

    @property
    @abstractmethod
    def n_first(self):
        """Number of features that a block holds from the start."""

    @abstractmethod
    def _prepare(self, limit):
        """Precompute the linear maps; tell where the expanded square is safe, (k,)."""

    def _normalise(self, log_norm):
        """Keep what the components add to minus half a squared distance."""
        self.peak = float(log_norm.max())
        self._log_norm = log_norm - self.peak

    @property
    def drop(self):
        """By how much typical densities of components are below the peak."""
        held = self._log_norm
        held = held if self.weightless is None else held[~self.weightless]
        return 0.5 * self.n_features - float(held.min())

    def block(self, n_rows, work):
        """Return the array for a block's centered columns and its features."""
        n_first = self.n_first if self.expands else self.n_features
        return buffer(work, "block", (n_first, n_rows))

    @abstractmethod
    def fill(self, block):
        """Compute the features of a block from its columns, which come first."""

    def groups(self, block, work):
        """Yield ``(part, features)``: a slice of theta's columns and its factors."""
        for part in self.held:
            yield part, block[part]
        for part in self.later:
            yield part, self.features(part, block, work)

    def expanded(self, block, work, tile=slice(None)):
        """Return the joint log-densities of some components by matrix products."""
        theta = self.theta[tile]
        joint = buffer(work, "joint", (len(theta), block.shape[1]))
        for part, features in self.groups(block, work):
            if part.start == 0 and len(theta) > 1:
                # Faster than the same routine of SciPy, which can add in place.
                np.matmul(theta[:, part], features, out=joint)
                continue
            pair, beta = (features.T, theta[:, part].T), float(part.start > 0)
            dgemm(1.0, *pair, beta=beta, c=joint.T, overwrite_c=1)
        if len(self.apart):
            numbers = range(*tile.indices(self.n_components))
            joint_of = dict(zip(numbers, joint, strict=True))
            rows = {k: joint_of[k] for k in self.apart.tolist() if k in joint_of}
            self._direct(block[: self.n_features], rows, work)
        return joint

    def differences(self, columns, components, work):
        """Yield components and the differences from their means, in one buffer."""
        diff = buffer(work, "diff", columns.shape)
        for k in components:
            yield k, np.subtract(columns, self.centered[k][:, None], out=diff)

    @abstractmethod
    def _direct(self, columns, joint, work):
        """Write joint log-densities by differences into `joint`, {component: row}."""

    def _from_white(self, k, white, joint):
        """Write joint log-densities of a component, given whitened differences."""
        np.einsum("ij,ij->j", white, white, out=joint)
        joint *= -0.5
        joint += self._log_norm[k]

    def moments(self, block, resp, work):
        """Return counts, sums and scatter of a block's columns about the origins."""
        if not self.expands:
            every = range(self.n_components)
            sums, scatter = self._direct_moments(block, resp, work, every)
        else:
            sums, scatter = self._expanded_moments(block, resp, work)
        if len(self.apart):
            columns, i = block[: self.n_features], self.apart
            sums[i], own = self._direct_moments(columns, resp, work, i)
            for part, values in zip(scatter, own, strict=True):
                part[i] = values
        return [resp.sum(axis=1), sums, *scatter]

    def _expanded_moments(self, block, resp, work):
        """Return ``(sums, scatter)`` about the center from sums of features."""
        totals = np.empty(self.theta.shape)
        for part, features in self.groups(block, work):
            totals[:, part] = (features @ resp.T).T
        return self.split(totals)

    def split(self, totals):
        """Return sums and scatter of summed features."""
        d = self.n_features
        return totals[:, :d], (totals[:, d + 1 :],)

    @abstractmethod
    def _direct_moments(self, columns, resp, work, components):
        """Return ``(sums, scatter)`` of components about their means by differences."""

    @abstractmethod
    def outer(self, delta, coefficients):
        """Return the packed ``coefficient_k delta_k delta_k'``."""

    @abstractmethod
    def pack(self, matrices):
        """Return the packed second moments of dense ones, shape (k, d, d)."""

    @staticmethod
    def diagonal(scatter, n_features):
        """Return the entries (d,) on the diagonal of one component's packed moments.

        Used of loops that are :attr:`per_component`.
        """
        raise NotImplementedError

    @staticmethod
    def added(reg_covar):
        """Return what :meth:`estimate` makes of ``prior.reg_covar``, shape (d,)."""
        return reg_covar

    @abstractmethod
    def estimate(self, stats, prior):
        """Return the covariances that maximise the posterior given `stats`."""

    def shrunk(self, scatter, stats, prior):
        """Return second moments (k, ...) with the pseudo-counts of the prior."""
        count = (stats.counts + prior.shrinkage).reshape(-1, *[1] * (scatter.ndim - 1))
        if not prior.shrinkage:
            return scatter / count
        pool = scatter.sum(axis=0) / stats.weight
        target = prior.target(scatter, stats.counts, stats.means, pool)
        return (scatter + prior.shrinkage * target) / count

    @staticmethod
    @abstractmethod
    def unit(n_components, n_features):
        """Return covariances equal to the identity."""

    def restate(self, stats):
        """Return old `stats` in the terms of this kernel, where terms change."""
        return stats

    def squared_distances(self, columns):
        """Return squared Mahalanobis distances of centred columns, shape (k, n)."""
        return -2 * (self._all_direct(columns, {}) - self._log_norm[:, None])

    def log_joint(self, block, work):
        """Compute ``log w_k + log N_k(x)`` less the peak of the components.

        `block`, shape (n_first, n_rows), holds centered samples as columns, and their
        features; `work` holds buffers, reused from block to block. The result, shape
        (n_components, n_rows), is one of them: valid until the next call.
        """
        compute = self.expanded if self.expands else self._all_direct
        joint = compute(block, work)
        # Zero times the sum is NaN where a far row overflowed to inf - inf; narrow
        # components do so before wide ones. The other rows keep their bits.
        if math.isnan(0.0 * float(joint.sum())):
            self._mend(block[: self.n_features], joint)
        return joint

    def _all_direct(self, columns, work):
        """Return the joint log-densities of all components by differences."""
        joint = buffer(work, "joint", (self.n_components, columns.shape[1]))
        self._direct(columns, dict(enumerate(joint)), work)
        return joint

    def _mend(self, columns, joint):
        """Recompute rows that overflowed, in place, by differences."""
        bad = np.flatnonzero(~np.isfinite(joint).all(axis=0))
        columns, part = columns[:, bad], joint[:, bad]
        if self.expands:
            padded = np.zeros((self.n_features, joint.shape[1]))
            padded[:, : len(bad)] = columns
            part = self._all_direct(padded, {})[:, : len(bad)]
        # Where differences overflow, too, the density is zero.
        part[np.isnan(part) & np.isfinite(columns).all(axis=0)] = -np.inf
        joint[:, bad] = part


def buffer(work, name, shape):
    """Return an uninitialised array of `shape` that lives in `work`."""
    size = math.prod(shape)
    flat = work.get(name)
    if flat is None or flat.size < size:
        flat = work[name] = np.empty(size)
    return flat[:size].reshape(shape)


def check_positive(variances):
    """Return `variances`, or raise ValueError if one is not positive."""
    lowest = float(variances.min())
    if not lowest > 0:
        raise ValueError(
            f"covariances has a variance of {lowest:g}; variances must be "
            "positive. Increase reg_covar or remove constant features."
        )
    return variances


def own(array):
    """Return a NumPy array as one that nobody can write into; a tensor as it is."""
    if is_torch(array) or _is_locked(array):
        return array
    # Axes along which nothing changes stay views; the others keep their order.
    once = array[tuple(slice(0, 1) if s == 0 else slice(None) for s in array.strides)]
    copied = lock(np.array(once, order="K"))
    if copied.shape == array.shape:
        return copied
    return np.broadcast_to(copied, array.shape)


def lock(array):
    """Return a NumPy array read-only, and so what it is a view of; any tensor."""
    part = array
    while isinstance(part, np.ndarray):
        part.flags.writeable = False
        part = part.base
    return array


def _is_locked(array):
    """Return whether an array and its memory, which is NumPy's, are read-only."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None


def map_arrays(function, covariances, *others):
    """Apply `function` to the array, or to each of the tuple, and those of others."""
    if isinstance(covariances, tuple):
        return tuple(map(function, covariances, *others))
    return function(covariances, *(other for (other,) in others))


def collapse(array, n_core):
    """Shrink leading axes that are broadcast views to length one."""
    strides = array.stride() if is_torch(array) else array.strides
    leading = strides[: array.ndim - n_core]
    return array[tuple(slice(0, 1) if s == 0 else slice(None) for s in leading)]


def once(covariances, n_leading):
    """Return covariances that mixtures share, or parts of them, once for all."""
    return map_arrays(lambda a: collapse(a, a.ndim - n_leading), covariances)


def is_shared(array, n_core):
    """Return whether all leading axes of `array` have length one."""
    return all(length == 1 for length in array.shape[: array.ndim - n_core])


def take_components(array, component):
    """Return the entries of `array` at (leading axes, component)."""
    xp = namespace(array)
    leading = component.shape[1:]
    options = {"device": array.device} if is_torch(array) else {}
    grid = [
        xp.reshape(xp.arange(n, **options), (-1,) + (1,) * (len(leading) - 1 - axis))
        for axis, n in enumerate(leading)
    ]
    return array[(*grid, component)]


# Matrices of fewer entries, or of fewer for each component, are copied faster than
# vectors are sorted.
SMALL, FEW = 2**9, 2**14


def take_times(matrices, component, vectors):
    """Return the product of each vector and the matrix of its component."""
    size = math.prod(matrices.shape[-2:])
    is_few = size < SMALL or size * len(vectors) < FEW * len(matrices)
    if component.ndim > 1 or is_few:
        parts = [
            (take_components(matrices, component[rows]) @ vectors[rows][..., None])
            for rows in row_blocks(len(vectors), size * math.prod(component.shape[1:]))
        ]
        return namespace(matrices).concat(parts, axis=0)[..., 0]
    # A matrix product for each component, in place of a matrix for each vector.
    numbers = to_numpy(component)
    order = np.argsort(numbers, kind="stable")
    stops = np.cumsum(np.bincount(numbers, minlength=len(matrices)))
    groups = np.split(order, stops[:-1])
    parts = [vectors[i] @ transpose(matrices[k]) for k, i in enumerate(groups)]
    return namespace(matrices).concat(parts, axis=0)[np.argsort(order)]


def as_pairs(first, second, n_core):
    """Give two arrays axes for all pairs of components, the first of `n_core` axes."""
    xp = namespace(first)
    return xp.expand_dims(first, axis=-n_core), xp.expand_dims(second, axis=-1 - n_core)


def flatten_pairs(array, n_core):
    """Merge the last two axes before the `n_core` last ones."""
    shape, cut = array.shape, array.ndim - n_core
    n_pairs = shape[cut - 2] * shape[cut - 1]
    return namespace(array).reshape(array, (*shape[: cut - 2], n_pairs, *shape[cut:]))


class CovarianceType(ABC):
    r"""How the covariances of a mixture are stored and used.

    An instance holds nothing: each method takes the arrays it works on. What is
    abstract has to be written; the attributes and the other methods have defaults
    that are right for most types. See "Extending" in the documentation.

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

    #: Class of the hot loops that score and fit mixtures of NumPy arrays.
    loops: ClassVar[type[Kernel]]

    #: Names of the other types that can hold the same matrices, narrowest first.
    wider: ClassVar[tuple] = ("full",)

    #: Whether the features of a component are always uncorrelated.
    independent: ClassVar[bool] = False

    #: Whether precisions have the layout of the covariances, else they are matrices.
    keeps_inverse: ClassVar[bool] = True

    #: Whether the M-step needs earlier covariances. A fit then begins with
    #: :meth:`first`, of fewer samples than features with :meth:`first_of_rows`, and
    #: neural gases, which have none, do not offer the type.
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

    @abstractmethod
    def shape(self, n_components, n_features, rank=1):
        """Return the shape of the covariances, a tuple of shapes for a tuple."""

    def shapes(self, n_components, n_features, rank=1):
        """Return the shapes of all arrays of the covariances, one or several."""
        shape = self.shape(n_components, n_features, rank)
        return shape if isinstance(shape[0], tuple) else (shape,)

    @property
    def shared(self):
        """Whether one covariance serves all components."""
        return self.shape(1, 2) == self.shape(2, 2)

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

    def first_of_rows(self, rows, variances, rank):
        """Return the first covariance of one component, without matrices (d, d).

        Used if :attr:`needs_start`: the covariance has `variances`, (d,), on
        its diagonal, and beside it the products of the columns of `rows`, (m, d).
        """
        raise NotImplementedError(
            f"{type(self).__name__} starts from matrices alone: define first_of_rows, "
            "or reduce the number of features."
        )

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
        """Compute square roots of the precisions.

        Raises ``ValueError`` if a matrix is not positive definite.
        """

    @abstractmethod
    def square(self, precisions_cholesky):
        """Return the precisions, as :attr:`keeps_inverse` says."""

    def precisions(self, covariances):
        """Invert the covariances, as :attr:`keeps_inverse` says."""
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

    def scale(self, covariances, factor):
        """Return type's name and covariances of ``factor * x``, for a scalar."""
        return self.name, covariances * factor**2

    @abstractmethod
    def stretch(self, covariances, factors):
        """Return the same of ``factors * x``, for factors (d,)."""

    @abstractmethod
    def transform(self, covariances, matrix):
        """Return the same of ``matrix @ x``, for matrices (m, d)."""

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

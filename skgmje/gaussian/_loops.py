"""The contract of the hot loops of a covariance type."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.linalg.blas import dgemm

LOG_2PI = math.log(2 * math.pi)

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
BLOCK_BYTES = 2**21
JOINT_BYTES = 3 * 2**18

# Blocks are padded to a multiple of it: the bits of a matrix product's column
# then depend neither on how many columns there are nor on where it stands.
PADDING = 64
MAX_ROWS = 4096


class Statistics(NamedTuple):
    """Sufficient statistics of weighted rows, about their own means."""

    counts: Any
    means: Any
    scatter: tuple
    log_likelihood: float
    weight: float


class Prior(NamedTuple):
    """What the M-step adds to the data."""

    shrinkage: float
    target: Any
    reg_covar: Any


# Fewer rows per feature leave correlations uncertain.
FEW_ROWS_PER_FEATURE = 10


def lost_correlation(n_rows, n_features, shrinkage):
    """Return the share by which correlations shrink where rows are few."""
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


class Kernel(ABC):
    """Precomputed linear maps of one mixture, evaluated a block at a time.

    Arrays of a block are component-major, shape (n_components, n_rows): the
    reductions over components are then additions of contiguous vectors.

    Parameters
    ----------
    weights : ndarray of shape (n_components,)
        Weights of the components.

    means : ndarray of shape (n_components, n_features)
        Means of the components.

    covariances : ndarray or tuple of ndarray
        Shape given by the covariance type.

    center : ndarray of shape (n_features,)
        Point near the middle of the data; subtracted before squares are taken.

    limit : float
        Largest squared Mahalanobis norm of a centred mean for which the
        expanded square is used.
    """

    #: Whether tensors can take the same passes on their device.
    on_device: ClassVar[bool] = False

    #: Whether the packed second moments are those of each component, so that they
    #: can be scaled, divided and joined; else they are kept in full where that is done.
    per_component: ClassVar[bool] = False

    #: Parts of theta's columns whose features a block does not hold; a type that
    #: has some computes them in ``features(part, block, work)``.
    later: tuple = ()

    def __init__(self, weights, means, covariances, center, limit=EXPANSION_LIMIT):
        with np.errstate(divide="ignore"):
            # -1e300 instead of -inf keeps matrix products free of NaN.
            self.log_weights = np.maximum(np.log(weights), -1e300)
        self.weightless = None if np.all(weights) else weights == 0
        self.weights = weights
        self.means = means
        self.covariances = covariances
        self.center = center
        self.limit = limit
        self.n_components, self.n_features = means.shape
        self.expands = self._prepare(limit)
        self.origins = np.broadcast_to(center, means.shape) if self.expands else means
        self.block_rows = self._count_block_rows()

    def _count_block_rows(self):
        """Return how many rows of a block fit the cache, a multiple of the padding."""
        n_components = self.tiles[0].stop
        rows = min(
            MAX_ROWS,
            BLOCK_BYTES // (8 * (self.n_held + n_components)),
            JOINT_BYTES // (8 * min(n_components, TILE)),
        )
        return max(PADDING, rows - rows % PADDING)

    @property
    def tiles(self):
        """Slices of components of nearly equal size whose densities fit the cache."""
        count = -(-self.n_components // TILE) if self.expands else 1
        step = -(-self.n_components // count)
        starts = range(0, self.n_components, step)
        return [slice(i, min(i + step, self.n_components)) for i in starts]

    @property
    @abstractmethod
    def n_forms(self):
        """Number of values per row that the components' densities are made of."""

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
        """Precompute the linear maps; tell whether the expanded square is safe."""

    def _normalise(self, log_norm):
        """Keep what the components add to minus half a squared distance."""
        self.peak = float(log_norm.max())
        self._log_norm = log_norm - self.peak
        held = self._log_norm[self.log_weights > -1e300]
        self.drop = 0.5 * self.n_features - float(held.min())

    def block(self, n_rows, work):
        """Return the array for a block's centred rows, as columns, and features."""
        n_first = self.n_first if self.expands else self.n_features
        return buffer(work, "block", (n_first, n_rows))

    @abstractmethod
    def fill(self, block):
        """Compute the features of a block from its columns, which come first."""

    def groups(self, block, work):
        """Yield ``(part, features)``: a slice of theta's columns and its factors."""
        for start in range(0, len(block), GROUP):
            part = slice(start, min(start + GROUP, len(block)))
            yield part, block[part]
        for part in self.later:
            yield part, self.features(part, block, work)

    def expanded(self, block, work, tile=slice(None)):
        """Return the joint log-densities of some components by matrix products."""
        theta = self.theta[tile]
        joint = buffer(work, "joint", (len(theta), block.shape[1]))
        for part, features in self.groups(block, work):
            # In place, joint := theta @ features, or that is added to it.
            dgemm(
                1.0,
                features.T,
                theta[:, part].T,
                beta=float(part.start > 0),
                c=joint.T,
                overwrite_c=1,
            )
        return joint

    @abstractmethod
    def _direct(self, columns, work):
        """Return the joint log-densities of centred columns by differences."""

    def moments(self, block, resp, work):
        """Return ``(sums, scatter)`` of a block's columns about the origins."""
        if self.expands:
            return self._expanded_moments(block, resp, work)
        return self._direct_moments(block, resp, work)

    def _expanded_moments(self, block, resp, work):
        """Return ``(sums, scatter)`` about the centre from sums of features."""
        totals = np.empty(self.theta.shape)
        for part, features in self.groups(block, work):
            totals[:, part] = (features @ resp.T).T
        return self.split(totals)

    def split(self, totals):
        """Return sums and scatter of summed features."""
        d = self.n_features
        return totals[:, :d], (totals[:, d + 1 :],)

    @abstractmethod
    def _direct_moments(self, columns, resp, work):
        """Return ``(sums, scatter)`` about the means by differences."""

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

    @staticmethod
    @abstractmethod
    def unit(n_components, n_features):
        """Return covariances equal to the identity."""

    def restate(self, stats):
        """Return old `stats` in the terms of this kernel, where terms change."""
        return stats

    def squared_distances(self, columns):
        """Return squared Mahalanobis distances of centred columns, shape (k, n)."""
        return -2 * (self._direct(columns, {}) - self._log_norm[:, None])

    def log_joint(self, block, work):
        """Compute ``log w_k + log N_k(x)`` less the peak of the components.

        Parameters
        ----------
        block : ndarray of shape (n_first, n_rows)
            Centred rows as columns, and their features.

        work : dict
            Buffers, reused from block to block.

        Returns
        -------
        joint : ndarray of shape (n_components, n_rows)
            A buffer: valid until the next call.
        """
        if not self.expands:
            return self._direct(block, work)
        joint = self.expanded(block, work)
        # Zero times the sum is NaN where a far row overflowed to inf - inf;
        # differences do not, and the other rows keep their bits.
        if math.isnan(0.0 * float(joint[0].sum())):
            self._mend(block, joint)
        return joint

    def _mend(self, block, joint):
        """Recompute rows that overflowed, in place, by differences."""
        bad = np.flatnonzero(~np.isfinite(joint[0]))
        padded = np.zeros((self.n_features, joint.shape[1]))
        padded[:, : len(bad)] = block[: self.n_features, bad]
        joint[:, bad] = self._direct(padded, {})[:, : len(bad)]


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

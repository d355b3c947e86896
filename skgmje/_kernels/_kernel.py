"""What a hot loop must answer, whatever the covariance type."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np

LOG_2PI = math.log(2 * math.pi)

# exp(-700) is the smallest exponential that every vectorised exp computes at
# full speed; beside a largest term of 1 it is zero.
EXP_FLOOR = -700.0

# Above it, the expanded square x'Px - 2x'Pm + m'Pm loses more than 1e-10
# (error about 3e-16 times the largest squared Mahalanobis norm of a mean).
EXPANSION_LIMIT = 1e5


# Components whose densities of a block are computed and summed at a time.
TILE = 256


class Statistics(NamedTuple):
    """Sufficient statistics of weighted rows, about their own means.

    Parameters
    ----------
    counts : ndarray of shape (n_components,)
        Sum of the weighted responsibilities.

    means : ndarray of shape (n_components, n_features)
        Weighted mean of the rows of each component.

    scatter : tuple of ndarray
        Second moments about `means`, packed as the covariance type needs them.

    log_likelihood : float
        Weighted sum of the log-densities, in nats.

    weight : float
        Sum of the row weights.
    """

    counts: Any
    means: Any
    scatter: tuple
    log_likelihood: float
    weight: float


class Prior(NamedTuple):
    """What the M-step adds to the data.

    Parameters
    ----------
    shrinkage : float
        Pseudo-count of the target covariance.

    target : callable
        ``target(scatter, counts, means, pool)`` gives the target covariances
        in the layout of `scatter`.

    reg_covar : ndarray of shape (n_features,)
        Added to the diagonal of every covariance.
    """

    shrinkage: float
    target: Any
    reg_covar: Any


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

    def __init__(self, weights, means, covariances, center, limit=EXPANSION_LIMIT):
        with np.errstate(divide="ignore"):
            # -1e300 instead of -inf keeps matrix products free of NaN.
            self.log_weights = np.maximum(np.log(weights), -1e300)
        self.weightless = None if np.all(weights) else weights == 0
        self.means = means
        self.covariances = covariances
        self.center = center
        self.n_components, self.n_features = means.shape
        self.expands = self._prepare(limit)
        self.origins = np.broadcast_to(center, means.shape) if self.expands else means

    @property
    def n_tiles(self):
        """Number of tiles of components whose densities fit the cache."""
        return -(-self.n_components // TILE) if self.expands else 1

    @property
    @abstractmethod
    def n_forms(self):
        """Number of rows of the largest block array besides the components."""

    @abstractmethod
    def _prepare(self, limit):
        """Precompute the linear maps; tell whether the expanded square is safe."""

    @abstractmethod
    def features(self, columns, work):
        """Return what the log-densities are linear in, shape (n_forms, n_rows)."""

    def offset(self, features):
        """Return what `features` add to the log-density of every component."""
        return None

    def _expanded(self, columns, work):
        """Return ``(joint, offset)`` of centred columns by one matrix product."""
        joint = buffer(work, "joint", (self.n_components, columns.shape[1]))
        features = self.features(columns, work)
        return np.matmul(self.theta, features, out=joint), self.offset(features)

    @abstractmethod
    def _direct(self, X, work):
        """Return ``(joint, offset)`` of centred columns by differences."""

    @abstractmethod
    def moments(self, X, resp, work):
        """Return ``(sums, scatter)`` of centred columns about the origins."""

    @abstractmethod
    def outer(self, delta, coefficients):
        """Return the packed ``coefficient_k delta_k delta_k'``."""

    @abstractmethod
    def pack(self, matrices):
        """Return the packed second moments of dense ones, shape (k, d, d)."""

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
        joint, offset = self._direct(columns, {})
        total = joint if offset is None else joint + offset
        return -2 * (total - self._log_norm[:, None])

    def log_joint(self, columns, work):
        """Compute ``log w_k + log N_k(x)`` less an offset common to all k.

        Parameters
        ----------
        columns : ndarray of shape (n_features, n_rows)
            Centred rows of a block, as columns.

        work : dict
            Buffers, reused from block to block.

        Returns
        -------
        joint : ndarray of shape (n_components, n_rows)
            A buffer: valid until the next call.

        offset : ndarray of shape (n_rows,) or None
            To be added to each column.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            if not self.expands:
                return self._direct(columns, work)
            joint, offset = self._expanded(columns, work)
            # Zero times the sum is NaN where a far row overflowed to inf - inf;
            # differences do not, and the other rows keep their bits.
            if math.isnan(0.0 * float(joint[0].sum())):
                self._mend(columns, joint, offset)
        return joint, offset

    def _mend(self, columns, joint, offset):
        """Recompute rows that overflowed, in place, by differences."""
        bad = np.flatnonzero(~np.isfinite(joint[0]))
        padded = np.zeros((self.n_features, joint.shape[1]))
        padded[:, : len(bad)] = columns[:, bad]
        joint[:, bad] = self._direct(padded, {})[0][:, : len(bad)]
        if offset is not None:
            offset[bad] = 0.0


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

"""Batches of mixtures."""

import math
from typing import Any, NamedTuple

import numpy as np

from skgmje.gaussian._arrays import collapse, is_shared, map_arrays
from skgmje.gaussian._covariance import COVARIANCE_TYPES


class Batch(NamedTuple):
    """Arrays of n mixtures; what all of them share has length one instead of n."""

    weights: Any
    means: Any
    covariances: Any
    covariance_type: str

    @property
    def kind(self):
        """The covariance type."""
        return COVARIANCE_TYPES[self.covariance_type]

    def take(self, rows):
        """Return some of the mixtures, by a slice or an array of their numbers."""
        return self._replace(
            weights=take_rows(self.weights, rows),
            means=self.means[rows],
            covariances=map_arrays(lambda c: take_rows(c, rows), self.covariances),
        )

    def scales(self):
        """Return the standard deviations of the features, (n or 1, K, d)."""
        shape = self.means.shape[-2:]
        return self.kind.diagonal(self.covariances, *shape) ** 0.5


def take_rows(array, rows):
    """Select along the first axis, unless it has length one and serves all."""
    return array if len(array) == 1 else array[rows]


def as_batch(mixture):
    """Return the arrays of a mixture, or of one for each sample, flattened."""
    mixture = mixture.to_numpy()
    n_leading = mixture.means.ndim - 2
    size = math.prod(mixture.means.shape[:-2])

    def flat(array):
        n_core = array.ndim - n_leading
        own = collapse(array, n_core) if n_leading else array
        core = array.shape[n_leading:]
        if n_leading and is_shared(own, n_core):
            return np.asarray(own, np.float64).reshape(1, *core)
        return np.asarray(array, np.float64).reshape(size, *core)

    return Batch(
        flat(mixture.weights),
        np.asarray(mixture.means, np.float64).reshape(size, *mixture.means.shape[-2:]),
        map_arrays(flat, mixture.covariances),
        mixture.covariance_type,
    )

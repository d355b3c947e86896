"""Rows in standardised units, and a part of very many of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skgmje._base import check_rows, check_weights
from skgmje._row_blocks import as_blocks, check_blocks
from skgmje._units import drop_weightless
from skgmje.adaptation import RowBlocks
from skgmje.adaptation._blocks import StandardizedBlocks

# Entries of the part that stands for larger data where a part will do.
MAX_ENTRIES = 2**20
ROWS_PER_COMPONENT = 64


class StandardizedRows:
    """Rows minus a location, over a scale, computed where they are asked for.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows, maybe a memory map.

    loc : ndarray of shape (n_features,)
        What is subtracted.

    scale : ndarray of shape (n_features,) or ()
        What they are divided by.
    """

    dtype = np.dtype(np.float64)
    ndim = 2

    def __init__(self, X, loc, scale):
        self.X = X
        self.loc = loc
        self.scale = scale

    @property
    def shape(self):
        """Number of rows and of features."""
        return self.X.shape

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        out = self.X[rows] - self.loc
        out /= self.scale
        return out


@dataclass(frozen=True)
class Data:
    """Standardised rows, and the part of them that stands for all.

    Parameters
    ----------
    X : ndarray, StandardizedRows or StandardizedBlocks
        All rows, of shape (n_samples, n_features).

    sample_weight : ndarray of shape (n_samples,) or None
        Their weights.

    part : ndarray of shape (n_rows, n_features)
        All rows, or random ones if there are very many.

    part_weight : ndarray of shape (n_rows,) or None
        Their weights.

    resolution : float
        Variance of the rounding of a row of the data as they were given.
    """

    X: Any
    sample_weight: Any
    part: np.ndarray
    part_weight: Any
    resolution: float

    @property
    def training(self):
        """Rows that a network is trained on, and their weights, as a list of arrays.

        All rows, but of those that an engine holds a part.
        """
        arrays = [self.X, self.sample_weight]
        if isinstance(self.X, RowBlocks):
            arrays = [self.part, self.part_weight]
        return arrays[: 1 if arrays[1] is None else 2]

    @property
    def weights(self):
        """Weights of the rows of `part`, ones if there are none."""
        ones = self.part_weight is None
        return np.ones(len(self.part)) if ones else self.part_weight


def training_rows(estimator, X, sample_weight):
    """Return checked rows that count, and their weights; blocks have their own."""
    blocks = as_blocks(X, sample_weight)
    if blocks is not None:
        return check_blocks(estimator, blocks), None
    X = check_rows(estimator, X, reset=True, min_samples=2)
    return drop_weightless(X, check_weights(sample_weight, X))


def standardized_data(X, sample_weight, units, n_components, random_state):
    """Return rows in standardised units, without a copy of very many.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), or RowBlocks
        Rows.

    sample_weight : ndarray of shape (n_samples,) or None
        Weights of the rows.

    units : Units
        Location and scale.

    n_components : int or 'auto'
        Number of components; the part has enough rows for each.

    random_state : RandomState
        Draws the part, if there are very many rows.

    Returns
    -------
    data : Data
        The rows.
    """
    per_component = 0 if n_components == "auto" else ROWS_PER_COMPONENT * n_components
    n_rows = max(MAX_ENTRIES // X.shape[1], per_component)
    if isinstance(X, RowBlocks):
        rows = StandardizedBlocks(X, units.loc, units.scale)
        part, part_weight = X.sample(n_rows, random_state)
        part = StandardizedRows(part, units.loc, units.scale)[:]
        return Data(rows, None, part, part_weight, units.resolution)
    rows = StandardizedRows(X, units.loc, units.scale)
    if len(X) <= n_rows:
        part = rows[:]
        sample_weight = _some(sample_weight, slice(None))
        return Data(part, sample_weight, part, sample_weight, units.resolution)
    drawn = np.sort(random_state.randint(len(X), size=n_rows))
    part_weight = _some(sample_weight, drawn)
    return Data(rows, sample_weight, rows[drawn], part_weight, units.resolution)


def _some(sample_weight, rows):
    """Return the weights of some rows in double precision, where they are divided."""
    if sample_weight is None:
        return None
    return sample_weight[rows].astype(np.float64, copy=False)

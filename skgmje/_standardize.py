"""Standardization of samples: weighted, with missing values, of images, in blocks."""

from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from skgmje._sklearn import _safe_indexing
from skgmje.em._blocks import RowBlocks, as_rows
from skgmje.em._missing import observed_moments

# Features that vary less are constant: their squares would underflow.
_SMALLEST = 1e-140

# A variance below this share of the squared mean, or of images of the mean square, is
# that of rounding.
_CONSTANT, _CONSTANT_CHANNEL = 1e-28, 1e-12

# Samples further away than this, in standard deviations, stand on that border.
FURTHEST = 1e12

# Entries looked at in double precision at a time.
_CHUNK_ENTRIES = 2**20

# Sums of larger weights overflow; smaller ones count for nothing beside a prior.
_LARGEST_WEIGHT = 1e30


class Standardization(NamedTuple):
    """Location and scale of samples."""

    loc: Any
    scale: Any
    resolution: float = 0.0

    def forward(self, X, dtype=np.float64):
        """Return standardized samples of data type `dtype`; far ones on a border."""
        if np.dtype(dtype) == np.float64 or X.size <= _CHUNK_ENTRIES:
            return self._clipped(X).astype(dtype, copy=False)
        # Never all of them in double precision beside the narrow ones.
        found = np.empty(X.shape, dtype)
        for rows, chunk in _chunks(X):
            found[rows] = self._clipped(chunk)
        return found

    def _clipped(self, X):
        with np.errstate(over="ignore"):
            Z = self.plain(X)
        return np.clip(Z, -FURTHEST, FURTHEST, out=Z)

    def plain(self, X):
        """Return standardized samples, however far."""
        Z = X - self.loc
        Z /= self.scale
        return Z

    def clip(self, X):
        """Return samples as they came, far ones on the border."""
        reach = FURTHEST * self.scale
        return np.clip(X, self.loc - reach, self.loc + reach)

    def inverse(self, Z):
        """Return samples whose standardized ones are known."""
        return Z * self.scale + self.loc

    def lazy(self, X):
        """Return samples that are standardized where they are asked for."""
        kind = StandardizedBlocks if isinstance(X, RowBlocks) else StandardizedRows
        return kind(X, self)


class StandardizedRows:
    """Samples minus a location, over a scale, computed where they are asked for."""

    dtype = np.dtype(np.float64)
    ndim = 2

    def __init__(self, X, units):
        self.X, self.units = X, units

    @property
    def shape(self):
        """Number of samples and of features."""
        return self.X.shape

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        return self.units.plain(self.X[rows])


class StandardizedBlocks(RowBlocks):
    """Samples minus a location, over a scale, computed where the blocks are."""

    def __init__(self, blocks, units):
        self.blocks, self.units = blocks, units

    def reduce(self, function, merge):
        return self.blocks.reduce(partial(_on_units, function, self.units), merge)

    def __iter__(self):
        for X, weight in self.blocks:
            yield self.units.plain(as_rows(X)), weight

    @cached_property
    def overview(self):
        known, units = self.blocks.overview, self.units
        return known._replace(
            mean=units.plain(known.mean),
            squares=known.squares / units.scale**2,
            smallest=units.plain(known.smallest),
            largest=units.plain(known.largest),
        )


def _on_units(function, units, index, X, sample_weight):
    """Call a function on the standardized samples of a block."""
    return function(index, units.plain(as_rows(X)), sample_weight)


def drop_weightless(X, sample_weight):
    """Return the samples that count, and their weights unless all are one."""
    if sample_weight is None:
        return X, None
    counts = sample_weight > 0
    if not counts.all():
        X = _safe_indexing(X, np.flatnonzero(counts))
        sample_weight = sample_weight[counts]
    largest = sample_weight.max()
    if not 1 / _LARGEST_WEIGHT <= largest <= _LARGEST_WEIGHT:
        target = np.clip(float(largest), 1 / _LARGEST_WEIGHT, _LARGEST_WEIGHT)
        # NumPy 1 says of numbers that are not normal that their ratio overflows.
        with np.errstate(over="ignore"):
            sample_weight = sample_weight / largest * sample_weight.dtype.type(target)
    return X, None if (sample_weight == 1).all() else sample_weight


def distinct(X):
    """Return where each distinct sample comes first, and which one each sample is."""
    _, first, copy = np.unique(X, axis=0, return_index=True, return_inverse=True)
    return first, copy.ravel()


def standardization(X, sample_weight=None, *, per_feature=True):
    """Return the standardization of samples, found without overflow or a copy."""
    if isinstance(X, RowBlocks):
        loc, scale, size, varies = _moments_of_blocks(X.overview)
    else:
        loc, scale, size, varies = _moments(X, sample_weight)
    scale = np.where(varies, scale, 1.0)
    if not per_feature:
        top = scale.max(where=varies, initial=0.0) or 1.0
        mean = np.mean((np.where(varies, scale, 0.0) / top) ** 2)
        scale = top * np.sqrt(mean) if mean else np.float64(1.0)
    spacing = np.where(varies, np.spacing(size.astype(X.dtype)) / scale, 0.0)
    return Standardization(loc, scale, float((spacing**2).sum() / 12))


def plain_standardization(X, *, least=0.0, least_share=0.0):
    """Return the standardization of samples of moderate size; 0 is a scale of 1."""
    scale = X.std(axis=0)
    scale = np.maximum(scale, max(least, least_share * scale.max()))
    return Standardization(X.mean(axis=0), np.where(scale > 0, scale, 1.0))


def channel_standardization(rows, n_channels, *, per_channel):
    """Return the standardization of images as rows: location and scale by channel."""

    def mean(values):
        return values.reshape(-1, n_channels).mean(axis=0)

    loc = mean(rows.mean(axis=0, dtype=np.float64))
    squares = mean(np.einsum("ij,ij->j", rows, rows, dtype=np.float64) / len(rows))
    variance = squares - loc**2
    constant = variance <= _CONSTANT_CHANNEL * squares
    scale = np.sqrt(np.where(constant, 1.0, variance))
    n_pixels = rows.shape[1] // n_channels
    if per_channel:
        return Standardization(np.tile(loc, n_pixels), np.tile(scale, n_pixels))
    varies = variance[~constant]
    scale = np.sqrt(varies.mean() if varies.size else 1.0)
    return Standardization(np.tile(loc, n_pixels), scale)


def location_scale(X, sample_weight):
    """Return means and scales of the observed entries; 1 for constant features."""
    loc, variance = observed_moments(X, sample_weight)
    varies = variance > _CONSTANT * loc**2
    return loc, np.sqrt(np.where(varies, variance, 1.0))


def _moments(X, sample_weight):
    """Return means, deviations, sizes of the features, and which vary, (d,) each."""
    loc = _average(X, sample_weight, lambda rows: rows)
    largest = _largest(X, lambda rows: rows - loc)
    size = _largest(X, lambda rows: rows)
    varies = _varies(largest, size)
    unit = np.where(varies, largest, 1.0)
    squares = _average(X, sample_weight, lambda rows: ((rows - loc) / unit) ** 2)
    return loc, unit * np.sqrt(squares), size, varies


def _moments_of_blocks(overview):
    """Return the same from an overview of blocks."""
    loc, ends = overview.mean, (overview.smallest, overview.largest)
    largest = np.max([np.abs(end - loc) for end in ends], axis=0)
    size = np.max(np.abs(ends), axis=0)
    return loc, np.sqrt(overview.variance), size, _varies(largest, size)


def _varies(largest, size):
    """Return whether the largest deviation is more than rounding."""
    # The mean is rounded in double precision, whatever the samples are.
    return largest > np.maximum(10 * np.finfo(np.float64).eps * size, _SMALLEST)


def _chunks(X):
    """Yield slices of the samples, and the samples in double precision."""
    step = max(1, _CHUNK_ENTRIES // X.shape[1])
    for start in range(0, len(X), step):
        rows = slice(start, start + step)
        yield rows, X[rows].astype(np.float64, copy=False)


def _average(X, sample_weight, function):
    """Return the weighted mean of a function of the samples, chunk by chunk."""
    mean, mass = 0.0, 0.0
    for rows, chunk in _chunks(X):
        weight = np.ones(len(chunk)) if sample_weight is None else sample_weight[rows]
        part = np.average(function(chunk), axis=0, weights=weight)
        total = float(weight.sum(dtype=np.float64))
        mass += total
        mean = mean + (part - mean) * (total / mass)
    return mean


def _largest(X, function):
    """Return the largest magnitude of a function of the samples, chunk by chunk."""
    parts = [np.abs(function(rows)).max(axis=0) for _, rows in _chunks(X)]
    return np.max(parts, axis=0)

"""Standardization of features, with weights and missing values."""

from typing import Any, NamedTuple

import numpy as np

from skgmje.em._blocks import RowBlocks

# Features that vary less are constant: their squares would underflow.
_SMALLEST = 1e-140


# Rows further away than this, in standard deviations, stand on that border.
FURTHEST = 1e12


# Entries looked at in double precision at a time.
_CHUNK_ENTRIES = 2**20


# Sums of larger weights overflow; smaller ones count for nothing beside a prior.
_LARGEST_WEIGHT = 1e30


class Units(NamedTuple):
    """Location and scale of rows."""

    loc: Any
    scale: Any
    resolution: float = 0.0

    def standardise(self, X, dtype=np.float64):
        """Return rows in these units, of data type `dtype`; far ones on a border."""
        if np.dtype(dtype) == np.float64 or X.size <= _CHUNK_ENTRIES:
            return self._standardise(X).astype(dtype, copy=False)
        # Never all of them in double precision beside the narrow ones.
        found = np.empty(X.shape, dtype)
        for rows, chunk in _chunks(X):
            found[rows] = self._standardise(chunk)
        return found

    def _standardise(self, X):
        rows = X - self.loc
        rows /= self.scale
        return np.clip(rows, -FURTHEST, FURTHEST, out=rows)


def drop_weightless(X, sample_weight):
    """Return the rows that count, and their weights unless all are one."""
    if sample_weight is None:
        return X, None
    counts = sample_weight > 0
    if not counts.all():
        X, sample_weight = X[counts], sample_weight[counts]
    largest = sample_weight.max()
    if not 1 / _LARGEST_WEIGHT <= largest <= _LARGEST_WEIGHT:
        target = np.clip(float(largest), 1 / _LARGEST_WEIGHT, _LARGEST_WEIGHT)
        sample_weight = sample_weight / largest * sample_weight.dtype.type(target)
    return X, None if (sample_weight == 1).all() else sample_weight


def standardization(X, sample_weight, *, per_feature):
    """Return location and scale of the rows, without overflow or a copy."""
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
    return Units(loc, scale, float((spacing**2).sum() / 12))


def _moments(X, sample_weight):
    loc = _average(X, sample_weight, lambda rows: rows)
    largest = _largest(X, lambda rows: rows - loc)
    size = _largest(X, lambda rows: rows)
    varies = _varies(largest, size)
    unit = np.where(varies, largest, 1.0)
    squares = _average(X, sample_weight, lambda rows: ((rows - loc) / unit) ** 2)
    return loc, unit * np.sqrt(squares), size, varies


def _moments_of_blocks(overview):
    loc, ends = overview.mean, (overview.smallest, overview.largest)
    largest = np.max([np.abs(end - loc) for end in ends], axis=0)
    size = np.max(np.abs(ends), axis=0)
    return loc, np.sqrt(overview.variance), size, _varies(largest, size)


def _varies(largest, size):
    # The mean is rounded in double precision, whatever the rows are.
    return largest > np.maximum(10 * np.finfo(np.float64).eps * size, _SMALLEST)


def _chunks(X):
    """Yield slices of the rows, and the rows in double precision."""
    step = max(1, _CHUNK_ENTRIES // X.shape[1])
    for start in range(0, len(X), step):
        rows = slice(start, start + step)
        yield rows, X[rows].astype(np.float64, copy=False)


def _average(X, sample_weight, function):
    mean, mass = 0.0, 0.0
    for rows, chunk in _chunks(X):
        weight = np.ones(len(chunk)) if sample_weight is None else sample_weight[rows]
        part = np.average(function(chunk), axis=0, weights=weight)
        total = float(weight.sum(dtype=np.float64))
        mass += total
        mean = mean + (part - mean) * (total / mass)
    return mean


def _largest(X, function):
    return np.max(
        [np.abs(function(rows)).max(axis=0) for _, rows in _chunks(X)], axis=0
    )

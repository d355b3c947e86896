"""Bounds of columns: what a parameter says, and what they leave of samples."""

from collections.abc import Mapping
from decimal import Decimal
from numbers import Real

import numpy as np


def as_bounds(bounds, n_features, names=None):
    """Return the parameter `bounds` as a pair for each column, None for no bound."""
    columns = [*(range(n_features) if names is None else names)]
    if isinstance(bounds, Mapping):
        unknown = [key for key in bounds if key not in columns]
        if unknown:
            raise ValueError(
                f"bounds={bounds!r} has {unknown[0]!r}, which is none of the columns "
                f"{columns}. Use these, or a list with a pair or None for each column."
            )
        bounds = [bounds.get(column) for column in columns]
    if len(bounds) != n_features:
        raise ValueError(
            f"bounds={bounds!r} has {len(bounds)} entries, but X has {n_features} "
            "columns. Give (low, high) or None for each of them, or a dict of those "
            "that have bounds."
        )
    pairs = zip(columns, bounds, strict=True)
    return [_as_pair(column, pair) for column, pair in pairs]


def _as_pair(column, pair):
    """Return a lower and an upper bound as floats, None for none."""
    try:
        ends = (None, None) if pair is None else pair
        good = all(end is None or isinstance(end, Real | Decimal) for end in ends)
        ((low, high),) = limits([ends])
    except (TypeError, ValueError):
        good = False
    if not (good and low < high):
        raise ValueError(
            f"bounds: {pair!r} of column {column!r} must be None or a pair (low, high) "
            "of numbers with low < high, in which None stands for no bound."
        )
    return tuple(float(end) if np.isfinite(end) else None for end in (low, high))


def limits(bounds):
    """Return pairs as an array (n_features, 2), infinite where there is no bound."""
    pairs = [
        (-np.inf if low is None else low, np.inf if high is None else high)
        for low, high in bounds
    ]
    return np.array(pairs, np.float64)


class ColumnBounds:
    """Bounds of columns, pairs in which None is no bound, and samples inside."""

    def __init__(self, pairs, names=None):
        self.pairs, self._names = pairs, names
        self.array = limits(pairs)

    @classmethod
    def asked(cls, estimator, X, weight=None):
        """Return what a parameter says of samples to learn from, None for nothing."""
        if estimator.bounds is None:
            return None
        names = getattr(estimator, "feature_names_in_", None)
        bounds = cls(as_bounds(estimator.bounds, X.shape[1], names), names)
        bounds.check(X, weight)
        return bounds

    @classmethod
    def fitted(cls, estimator):
        """Return those of a fitted estimator, None without."""
        # Files of before have no bounds.
        pairs = getattr(estimator, "bounds_", None)
        names = getattr(estimator, "feature_names_in_", None)
        return None if pairs is None else cls(pairs, names)

    def check(self, X, weight=None):
        """Raise if a value that counts is on a bound or beyond; NaN is missing."""
        outside = ~(self.contain(X) | np.isnan(X))
        if weight is not None:
            outside &= (weight > 0)[:, None]
        if not outside.any():
            return
        i, j = (int(index[0]) for index in np.nonzero(outside))
        low, high = self.array[j].tolist()
        many = outside.any(axis=1).sum()
        raise ValueError(
            f"Sample {i} of X, one of {many}, has the value {X[i, j]:.6g} in column "
            f"{self.name(j)}, which is not inside of its bounds, {low:g} and {high:g}. "
            "Correct or drop such samples, or set wider bounds: also on a bound there "
            "is no density."
        )

    def name(self, j):
        """Return what a message calls a column."""
        return f"{j} (counted from 0)" if self._names is None else repr(self._names[j])

    def contain(self, X):
        """Return which values are inside of the bounds of their column, not on them."""
        return (X > self.array[:, 0]) & (X < self.array[:, 1])

    def clip(self, X):
        """Return values that rounding has put on a bound as the next inside."""
        low, high = self.array.T.astype(X.dtype)
        return np.clip(X, np.nextafter(low, np.inf), np.nextafter(high, -np.inf))

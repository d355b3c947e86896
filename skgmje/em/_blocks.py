"""Samples in blocks, and sums over them by a fixed tree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property, partial, reduce
from typing import Any, NamedTuple

import numpy as np

from skgmje._backend import from_tensor, to_numpy, unmasked
from skgmje.gaussian._checks import check_sample_weight

# Results that are merged at a time.
FAN_IN = 8

# Samples of a block that are looked at in double precision at a time.
_CHUNK_ROWS = 8192


class RowBlocks(ABC):
    """Samples in blocks that an engine holds, reached by functions that are sent there.

    The estimators that fit Dask collections fit any subclass. To write one for
    another engine, implement :meth:`reduce` and ``__iter__``. Results are
    merged along a tree that the blocks alone decide, so that they have the same
    bits for any number of workers, whichever of them had to begin again.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import GaussianMixture
    >>> from skgmje.em import RowBlocks, tree_reduce
    >>> class Blocks(RowBlocks):
    ...     def __init__(self, blocks):
    ...         self.blocks = blocks
    ...     def reduce(self, function, merge):
    ...         results = [function(i, X, None) for i, X in enumerate(self.blocks)]
    ...         return tree_reduce(merge, results)
    ...     def __iter__(self):
    ...         return iter((X, None) for X in self.blocks)
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> mixture = GaussianMixture().fit(Blocks([X[:70], X[70:]]))
    >>> bool(np.allclose(mixture.means_, X.mean(axis=0)))
    True
    """

    @abstractmethod
    def reduce(self, function: Callable[..., Any], merge: Callable[..., Any]) -> Any:
        """Apply a function to each block, and merge the results.

        Parameters
        ----------
        function : callable
            Gets the number of a block, its samples and their weights (or None); it
            can be pickled.

        merge : callable
            ``merge(*results)`` of neighbouring blocks; it can be pickled. Its
            groups must not depend on anything but the number of blocks, as those
            of :func:`tree_reduce`.

        Returns
        -------
        result : object
            The merged result.
        """

    @abstractmethod
    def __iter__(self):
        """Yield the samples of each block and their weights (or None), in order."""

    def beside(self, noise: Any) -> RowBlocks:
        """Return the samples with the entries of their noise as further columns.

        Parameters
        ----------
        noise : collection
            Variances or covariances of the measurement errors, which the engine
            holds in the same blocks, or an array.

        Returns
        -------
        blocks : RowBlocks
            Of as many blocks. An engine that overrides this takes noise.

        Raises
        ------
        TypeError
            If the engine does not.
        """
        raise TypeError(
            f"noise does not go with X as {type(self).__name__}. Give arrays, or a "
            "Dask collection."
        )

    @property
    def header(self) -> Any:
        """A table without samples, which has the columns and their names."""
        return np.empty((0, len(self.overview.mean)))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of samples with a positive weight, and of features."""
        return sum(self.overview.n_rows.values()), len(self.overview.mean)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the samples."""
        return self.overview.dtype

    @cached_property
    def overview(self) -> Overview:
        """What one pass tells of the samples, an ``Overview``."""
        return self.over_rows(_look, _merge_overviews)

    def _digest(self):
        """Return arrays that tell these samples from others."""
        known = self.overview
        counts = np.array(sorted(known.n_rows.items()))
        return counts, known.mean, known.squares, known.smallest, known.largest

    def over_rows(self, function: Callable[..., Any], merge: Callable[..., Any]) -> Any:
        """Reduce as :meth:`reduce`, with blocks as arrays of samples that count.

        Parameters
        ----------
        function : callable
            Gets a number, an ndarray with one sample or more, and positive weights.

        merge : callable
            ``merge(first, second)`` of two results.

        Returns
        -------
        result : object
            The merged result.

        Raises
        ------
        ValueError
            If no sample has a positive weight.
        """
        result = self.reduce(partial(_on_rows, function), partial(_merge_any, merge))
        if result is None:
            raise ValueError(
                "X has no rows with a positive weight, in none of its blocks. Check "
                "the filters of X, and sample_weight."
            )
        return result

    def _sample(self, n_rows, random_state):
        """Return random samples and weights, of each block in proportion."""
        counts = self.overview.n_rows
        blocks = sorted(counts)
        ends = np.cumsum([counts[i] for i in blocks])
        seed = 0
        if ends[-1] > n_rows:
            seed = int(random_state.randint(2**31 - 1))
            ends = ends * n_rows // ends[-1]
        quotas = dict(zip(blocks, np.diff(ends, prepend=0).tolist(), strict=True))
        parts = self.over_rows(partial(_draw, quotas, seed), list.__add__)
        X, weights = zip(*parts, strict=True)
        weight = None if weights[0] is None else np.concatenate(weights)
        return np.concatenate(X), weight


class Overview(NamedTuple):
    """What one pass tells of samples."""

    n_rows: dict
    weight: Any
    mean: Any
    squares: Any
    smallest: Any
    largest: Any
    has_missing: bool
    dtype: Any

    @property
    def variance(self):
        """Weighted variance of the observed entries; 0 if there are none."""
        return self.squares / np.where(self.weight > 0, self.weight, 1.0)


class BlocksWithValues(RowBlocks):
    """Samples less those that have no value, which tell nothing."""

    def __init__(self, blocks):
        self.blocks = blocks

    @property
    def header(self):
        return self.blocks.header

    def reduce(self, function, merge):
        return self.blocks.reduce(partial(_on_values, function), merge)

    def __iter__(self):
        for X, weight in self.blocks:
            yield _with_values(X, weight)


def tree_reduce(merge: Callable[..., Any], results: list[Any]) -> Any:
    """Merge results in groups of eight neighbours until one is left.

    Parameters
    ----------
    merge : callable
        ``merge(*results)``, or what has an engine do so.

    results : list
        In the order of the blocks; promises of an engine will do.

    Returns
    -------
    result : object
        What the last merge returned.

    Examples
    --------
    >>> from skgmje.em import tree_reduce
    >>> tree_reduce(lambda *parts: "(" + "".join(parts) + ")", list("abcdefghij"))
    '((abcdefgh)(ij))'
    """
    while len(results) > 1:
        groups = range(0, len(results), FAN_IN)
        results = [merge(*results[i : i + FAN_IN]) for i in groups]
    return results[0]


def as_rows(X):
    """Return a block as an array of floats."""
    X = np.asarray(unmasked(X))
    if X.ndim != 2 or X.dtype.kind not in "fiub":
        raise ValueError(
            f"A block of X is an array of shape {X.shape} and type {X.dtype}; it must "
            "be a table of real numbers. Convert its columns, or drop some."
        )
    single = X.dtype == np.float32
    return X if single else X.astype(np.float64, copy=False)


def _on_rows(function, index, X, sample_weight):
    """Call a function on the samples of a block that have weight."""
    X = as_rows(X)
    if sample_weight is not None:
        sample_weight = _as_weights(sample_weight, X)
        if not sample_weight.all():
            counts = sample_weight > 0
            X, sample_weight = X[counts], sample_weight[counts]
    return function(index, X, sample_weight) if len(X) else None


def _as_weights(sample_weight, X):
    """Return the weights of a block, one for each sample."""
    weight = np.asarray(from_tensor(sample_weight), np.float64)
    if weight.shape != (len(X),):
        raise ValueError(
            f"A block of sample_weight has shape {weight.shape}, but that of X has "
            f"{len(X)} rows. Give both the same chunks."
        )
    return check_sample_weight(weight, X, may_be_zero=True)


def _merge_any(merge, *results):
    """Merge the results that are not None."""
    known = [result for result in results if result is not None]
    return reduce(merge, known) if known else None


def _on_values(function, index, X, sample_weight):
    """Call a function on the samples of a block that have any value."""
    return function(index, *_with_values(X, sample_weight))


def _with_values(X, sample_weight):
    """Return the samples that have any value, and their weights."""
    X = as_rows(X)
    valued = ~np.isnan(X).all(axis=1)
    if valued.all():
        return X, sample_weight
    weight = None if sample_weight is None else to_numpy(sample_weight)[valued]
    return X[valued], weight


def _draw(quotas, seed, index, X, sample_weight):
    """Draw the block's quota of samples, without replacement."""
    if not quotas[index]:
        return None
    rows = slice(None)
    if quotas[index] < len(X):
        source = np.random.default_rng([seed, index])
        rows = np.sort(source.choice(len(X), quotas[index], replace=False))
    return [(X[rows], None if sample_weight is None else sample_weight[rows])]


def _look(index, X, sample_weight):
    """Return the overview of a block, without a copy of all of it."""
    parts = []
    for start in range(0, len(X), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        weight = None if sample_weight is None else sample_weight[rows]
        parts.append(_look_at(X[rows].astype(np.float64, copy=False), weight, X.dtype))
    return reduce(_merge_overviews, parts)._replace(n_rows={index: len(X)})


@np.errstate(over="ignore")  # Whoever learns from them says that they are large.
def _look_at(rows, weight, dtype):
    if np.isinf(rows).any():
        raise ValueError(
            "X contains infinity. Drop such rows, or clip them where they are made."
        )
    missing = np.isnan(rows)
    has_missing = bool(missing.any())
    observed = np.broadcast_to(~missing, rows.shape)
    weights = observed * (1.0 if weight is None else weight[:, None])
    total = weights.sum(axis=0)
    safe = np.where(total > 0, total, 1.0)
    mean = (weights * np.where(missing, 0.0, rows)).sum(axis=0) / safe
    differences = np.where(missing, 0.0, rows - mean)
    return Overview(
        {},
        total,
        mean,
        (weights * differences**2).sum(axis=0),
        np.where(missing, np.inf, rows).min(axis=0),
        np.where(missing, -np.inf, rows).max(axis=0),
        has_missing,
        dtype,
    )


@np.errstate(over="ignore")
def _merge_overviews(first, second):
    """Return the overview of two blocks together."""
    weight = first.weight + second.weight
    safe = np.where(weight > 0, weight, 1.0)
    delta = second.mean - first.mean
    between = delta**2 * (first.weight * second.weight / safe)
    return Overview(
        first.n_rows | second.n_rows,
        weight,
        first.mean + delta * (second.weight / safe),
        first.squares + second.squares + between,
        np.minimum(first.smallest, second.smallest),
        np.maximum(first.largest, second.largest),
        first.has_missing or second.has_missing,
        np.result_type(first.dtype, second.dtype),
    )

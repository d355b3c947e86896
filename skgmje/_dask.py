"""Dask collections as blocks of samples; imported when such samples are given."""

import dask
import dask.array as da
import numpy as np
from dask.utils import is_dataframe_like

from skgmje.em._blocks import RowBlocks, tree_reduce


class DaskRows(RowBlocks):
    """The partitions of a Dask array or dataframe."""

    def __init__(self, X, sample_weight=None):
        self.array = _check_chunks(_as_array(X))
        self._header = (
            np.empty((0, self.array.shape[1])) if X is self.array else X._meta
        )
        # Each is a promise of one block: the data themselves stay where they are.
        self._parts = self.array.to_delayed().ravel().tolist()
        self._weights = [None] * len(self._parts)
        if sample_weight is not None:
            weights = _weights_like(self.array, sample_weight)
            self._weights = weights.to_delayed().ravel().tolist()

    @property
    def header(self):
        return self._header

    def reduce(self, function, merge):
        # As values of the graph they are sent to each worker once.
        function, merge = map(dask.delayed(_Shared, pure=False), (function, merge))
        results = [
            _call(function, index, X, weight)
            for index, (X, weight) in enumerate(
                zip(self._parts, self._weights, strict=True)
            )
        ]
        merged = tree_reduce(lambda *parts: _call(merge, *parts), results)
        return merged.compute()

    def __iter__(self):
        for parts in zip(self._parts, self._weights, strict=True):
            X, weight = dask.compute(*parts)
            if hasattr(self.header, "columns"):
                X = type(self.header)(X, columns=self.header.columns)
            yield X, weight

    def map(self, answer, shape, dtype):
        """Return the answers to all rows as a lazy Dask array."""
        rows = self.array
        if dtype is None:
            dtype = rows.dtype if rows.dtype == np.float32 else np.float64
        shared = dask.delayed(_Shared, pure=False)(answer)
        meta = np.empty((0,) * (1 + len(shape)), dtype)
        chunks = (rows.chunks[0], *((n,) for n in shape))
        drop_axis = [] if shape else [1]
        return rows.map_blocks(
            _answer,
            shared,
            meta,
            shape,
            dtype=dtype,
            meta=meta,
            chunks=chunks,
            drop_axis=drop_axis,
        )


class _Shared:
    """A callable that is no task, but a value that many tasks take."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *args):
        return self.function(*args)


@dask.delayed(pure=False)
def _call(function, *args):
    """Call a function in a worker."""
    return function(*args)


def _answer(rows, answer, empty, shape):
    """Return the answer to the samples of a block, which may have none."""
    return answer(rows) if len(rows) else empty.reshape(0, *shape)


def _as_array(X):
    """Return a Dask collection as an array."""
    if isinstance(X, da.Array):
        return X
    if is_dataframe_like(X):
        return X.to_dask_array()
    raise TypeError(
        f"X is a {type(X).__name__}, which has no rows and columns. Make it a Dask "
        "array or a Dask dataframe."
    )


def _check_chunks(X):
    """Check that blocks of samples hold all features, and how many there are."""
    if X.ndim != 2:
        raise ValueError(
            f"X has {X.ndim} dimensions, but must have rows and columns. Call "
            "X.reshape(-1, 1) for a single feature."
        )
    if X.numblocks[1] != 1 or np.isnan(X.shape[1]):
        raise ValueError(
            f"X has {X.numblocks[1]} chunks of columns (their widths are "
            f"{X.chunks[1]}), but each block needs whole rows. Call "
            "X.rechunk({1: -1})."
        )
    if X.dtype.kind not in "fiub":
        raise ValueError(
            f"X has the type {X.dtype}; it must hold real numbers. Convert its "
            "columns, or drop some."
        )
    return X


def _weights_like(X, sample_weight):
    """Return the weights as a Dask array with the chunks of the rows."""
    if hasattr(sample_weight, "to_dask_array"):
        sample_weight = sample_weight.to_dask_array()
    if not isinstance(sample_weight, da.Array):
        sample_weight = np.asarray(sample_weight)
        if sample_weight.shape != X.shape[:1]:
            raise ValueError(
                f"sample_weight of shape {sample_weight.shape} does not fit X of shape "
                f"{X.shape}. Give it as a Dask array with the chunks of X."
            )
        return da.from_array(sample_weight, chunks=X.chunks[:1])
    same = len(sample_weight.chunks[0]) == len(X.chunks[0]) and all(
        a == b or np.isnan(a + b)
        for a, b in zip(sample_weight.chunks[0], X.chunks[0], strict=True)
    )
    if sample_weight.ndim != 1 or not same:
        raise ValueError(
            f"sample_weight of shape {sample_weight.shape} has other chunks than the "
            f"rows of X of shape {X.shape}. Call sample_weight.rechunk(X.chunks[:1])."
        )
    return sample_weight

"""Dask collections as blocks of samples; imported when such samples are given."""

import dask
import dask.array as da
import numpy as np
from dask.utils import is_dataframe_like

from skgmje.em._blocks import RowBlocks, tree_reduce
from skgmje.em._noise import check_noise_names, check_noise_type


class DaskRows(RowBlocks):
    """The partitions of a Dask array or dataframe."""

    header = None

    def __init__(self, X, sample_weight=None):
        self.array = _check_chunks(_as_array(X))
        self.header = X._meta
        if X is self.array:
            self.header = np.empty((0, self.array.shape[1]))
        # Each is a promise of one block: the data themselves stay where they are.
        self._parts = self.array.to_delayed().ravel().tolist()
        self._weights = [None] * len(self._parts)
        if sample_weight is not None:
            weights = _beside(self.array, sample_weight, "sample_weight", 1)
            self._weights = weights.to_delayed().ravel().tolist()

    def beside(self, noise):
        check_noise_names(noise, getattr(self.header, "columns", None))
        noise = _beside(self.array, noise, "noise", 2, 3)
        check_noise_type(noise)
        d = self.array.shape[1]
        if noise.shape[1:] not in ((d,), (d, d)):
            raise ValueError(
                f"noise has the shape {noise.shape}; it must hold {d} variances, or a "
                f"{d} x {d} covariance, of each sample."
            )
        n_columns = d ** (noise.ndim - 1)
        drop = [*range(2, noise.ndim)]
        chunks = self.array.chunks[0], (n_columns,)
        noise = noise.map_blocks(_flat, dtype=np.float64, drop_axis=drop, chunks=chunks)
        arrays = self.array.astype(np.float64), noise
        joined = da.concatenate(arrays, axis=1, allow_unknown_chunksizes=True)
        blocks = DaskRows(joined.rechunk({1: -1}))
        blocks._weights = self._weights
        return blocks

    def reduce(self, function, merge):
        # As values of the graph they are sent to each worker once.
        function, merge = map(dask.delayed(_Shared, pure=False), (function, merge))
        parts = zip(self._parts, self._weights, strict=True)
        results = [_call(function, i, *part) for i, part in enumerate(parts)]
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
        drop_axis, new_axis = [] if shape else [1], [*range(2, 1 + len(shape))]
        return rows.map_blocks(
            _answer,
            shared,
            meta,
            shape,
            dtype=dtype,
            meta=meta,
            chunks=chunks,
            drop_axis=drop_axis,
            new_axis=new_axis or None,
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


def _flat(noise):
    """Return the noise of a block as a table."""
    return np.asarray(noise, np.float64).reshape(len(noise), -1)


def _beside(X, values, name, *n_axes):
    """Return values of the rows as a Dask array with their chunks."""
    if hasattr(values, "to_dask_array"):
        values = values.to_dask_array()
    lazy = isinstance(values, da.Array)
    values = values if lazy else np.asarray(values)
    fits = values.ndim in n_axes and values.shape[0] == X.shape[0]
    if not (fits or (lazy and np.isnan(values.shape[0] + X.shape[0]))):
        raise ValueError(
            f"{name} of shape {values.shape} does not fit X of shape {X.shape}. Give "
            "one entry for each sample, as a Dask array with the chunks of X."
        )
    if not lazy:
        return da.from_array(values, chunks=(X.chunks[0], *values.shape[1:]))
    same = len(values.chunks[0]) == len(X.chunks[0]) and all(
        a == b or np.isnan(a + b)
        for a, b in zip(values.chunks[0], X.chunks[0], strict=True)
    )
    if values.ndim not in n_axes or not same:
        chunks = "X.chunks[:1]" if values.ndim == 1 else "{0: X.chunks[0]}"
        raise ValueError(
            f"{name} of shape {values.shape} has other chunks than the rows of X of "
            f"shape {X.shape}. Call {name}.rechunk({chunks})."
        )
    return values.rechunk(dict.fromkeys(range(1, values.ndim), -1))

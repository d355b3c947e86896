"""Products of pairs of points, tile by tile."""

import numpy as np

from skgmje._backend import (
    as_double,
    asarray_like,
    detach,
    is_at_hand,
    is_torch,
    namespace,
)

# An exponent from a product loses about ten units of the last place of
# (radius / bandwidth)^2; that must not show.
_LIMITS = {32: 30.0, 64: 1e5}

# Stands for the logarithm of 0: infinities have no products.
_LEAST = -1e30


class Products:
    """Features of two sets of kernels whose products are weighted log-correlations."""

    @classmethod
    def of(cls, arrays, blocks, ladder=None):
        """Return the products, or None where they do not exist or are inaccurate."""
        if not is_at_hand(arrays[0]):
            # Each tile would have to be waited for.
            return None
        X, v, Y, w, *logs = map(raw, arrays)
        n_shared = 0 if blocks is None else 1
        if v.ndim > n_shared and w.ndim > n_shared:
            return None
        units = _Units(X, blocks)
        xp, v, w = units.xp, units.of_variance(v), units.of_variance(w)
        x = units.of_points(X)
        y = x if Y is X else units.of_points(Y)
        xx = units.per_block(x * x)
        yy = xx if y is x else units.per_block(y * y)
        radius = (xp.max(xx, axis=1) + xp.max(yy, axis=1)) / xp.min(v + w, axis=1)
        radius = float(xp.sum(radius)) * (max(ladder.powers) if ladder else 1)
        if not radius <= _LIMITS[64]:
            return None
        if not radius <= _LIMITS[xp.finfo(X.dtype).bits]:
            x, v, y, w = map(as_double, (x, v, y, w))
            xx, yy = units.per_block(x * x), units.per_block(y * y)
            logs = [z if z is None else as_double(z) for z in logs]
        return cls(units, (x, xx, v), (y, yy, w), *map(finite_logs, logs), ladder)

    def __init__(self, units, rows, columns, row_logs, column_logs, ladder=None):
        xp, self.ladder = units.xp, ladder
        self.units, self.rows, self.columns = units, rows, columns
        self.by_rows = rows[2].shape[1] > 1
        equal = ladder is not None
        self.has_row_logs = self.by_rows or row_logs is not None
        if self.by_rows:
            of_rows, own = units.carrier(*self.rows, self.columns[2], equal=equal)
            of_columns = self.columns[:2]
            row_logs = own if row_logs is None else own + row_logs
        else:
            of_columns, own = units.carrier(*self.columns, self.rows[2], equal=equal)
            of_rows = self.rows[:2]
            column_logs = own if column_logs is None else own + column_logs
        ones = [xp.ones_like(z[:1]) for z in (of_rows[0], of_columns[0])]
        if column_logs is None:
            column_logs = xp.zeros_like(ones[1][0])
        if self.has_row_logs:
            of_rows = *of_rows, row_logs[None]
            of_columns = *of_columns, ones[1]
        self.features = (
            xp.concat([*of_rows, ones[0]], axis=0),
            xp.concat([*of_columns, column_logs[None]], axis=0),
        )

    def needed(self, wanted):
        """Tell by which features a gradient is needed for those by the arrays."""
        X, v, Y, w, row_logs, column_logs = wanted
        rows = X or row_logs or (self.by_rows and (v or w))
        columns = Y or column_logs or (not self.by_rows and (v or w))
        return rows, columns

    def gradients(self, of_rows, of_columns):
        """Return the gradients by the arrays, given those by the features."""
        if self.ladder:
            return self._gradients_of_ladder(of_rows, of_columns)
        by_logs = [
            of_rows[-2] if of_rows is not None and self.has_row_logs else None,
            of_columns[-1] if of_columns is not None else None,
        ]
        units, rows, columns = self.units, self.rows, self.columns
        if self.by_rows:
            by_y = units.by_plain(*columns, of_columns)
            by_x, by_v, by_w = units.by_carrier(*rows, columns[2], of_rows, by_logs[0])
        else:
            by_x = units.by_plain(*rows, of_rows)
            by_y, by_w, by_v = units.by_carrier(
                *columns, rows[2], of_columns, by_logs[1]
            )
        return [by_x, by_v, by_y, by_w, *by_logs]

    def _gradients_of_ladder(self, of_rows, of_columns):
        """Return those by points and weights; the features know nothing of weights."""
        units, rows, columns = self.units, self.rows, self.columns
        by_x = units.by_plain(*rows, of_rows)
        own = None if of_columns is None else of_columns[-2]
        by_y, _, _ = units.by_carrier(*columns, rows[2], of_columns, own)
        by_logs = [None if z is None else z[-1] for z in (of_rows, of_columns)]
        return [by_x, None, by_y, None, *by_logs]


class _Units:
    """Columns of the blocks around a center, and what is one number for each block."""

    def __init__(self, X, blocks):
        self.xp = namespace(X)
        self.center = self.xp.mean(X, axis=0)
        self.n_columns, self.order = X.shape[1], None
        self.sizes = asarray_like([[float(X.shape[1])]], X)
        if blocks is not None:
            sizes = [len(block) for block in blocks]
            self.sizes = asarray_like(sizes, X)[:, None]
            self.order = np.concatenate(blocks)
            self.index = np.repeat(np.arange(len(blocks)), sizes)
            self.ends = np.cumsum([0, *sizes]).tolist()

    def of_points(self, X):
        """Return the centered columns, block by block."""
        X = X - self.center
        return np.ascontiguousarray(X.T if self.order is None else X.T[self.order])

    def of_variance(self, variance):
        """Return one number, or one per point, for each block."""
        if variance.ndim == 0:
            return variance + self.xp.zeros_like(self.sizes)
        return variance.reshape(-1, len(self.sizes)).T

    def per_column(self, values):
        """Repeat for the columns what is one number for each block."""
        return values if self.order is None else values[self.index]

    def per_block(self, values):
        """Sum over the columns of each block."""
        if self.order is None:
            return self.xp.sum(values, axis=0, keepdims=True)
        parts = zip(self.ends[:-1], self.ends[1:], strict=True)
        sums = [self.xp.sum(values[start:end], axis=0) for start, end in parts]
        return self.xp.stack(sums, axis=0)

    def carrier(self, y, yy, w, v, *, equal=False):
        """Return the features of points that carry the variance, and an exponent."""
        xp, t = self.xp, v + w
        halves = -0.5 / t
        own = yy * halves
        halves = halves + xp.zeros_like(own)
        if not equal:
            # Half the log ratio of the arithmetic to the geometric mean: 0 if v = w,
            # but for the last place, which large powers of it would show.
            shift = xp.log(t / (2 * xp.sqrt(v) * xp.sqrt(w))) / 2
            own = own - shift * self.sizes
        own = xp.sum(own, axis=0)
        return (y / self.per_column(t), halves), own

    def by_plain(self, x, xx, v, gradient):
        """Return the gradient by the points, given that by their features."""
        if gradient is None:
            return None
        d, n_blocks = x.shape[0], len(self.sizes)
        by_squares = self.per_column(gradient[d : d + n_blocks])
        return self.of_all_columns(gradient[:d] + 2 * x * by_squares)

    def by_carrier(self, y, yy, w, v, gradient, by_own):
        """Return the gradients by points and variances, given those by features."""
        if gradient is None:
            return None, None, None
        xp, (d, n_blocks) = self.xp, (y.shape[0], len(self.sizes))
        t = v + w
        by_scaled, by_halves = gradient[:d], gradient[d : d + n_blocks]
        by_y = (by_scaled - y * by_own) / self.per_column(t)
        by_t = by_halves - 2 * self.per_block(by_scaled * y) + yy * by_own
        with np.errstate(over="ignore"):  # of a square without a place the limit is 0
            by_t = by_t / (2 * t * t) - by_own * self.sizes / (2 * t)
        by_pair = [by_t + by_own * self.sizes / (4 * u) for u in (w, v)]
        by_pair = [
            xp.sum(by_u, axis=1) if u.shape[1] == 1 else by_u.T
            for u, by_u in zip((w, v), by_pair, strict=True)
        ]
        return self.of_all_columns(by_y), *by_pair

    def of_all_columns(self, x):
        """Return the columns where they were, and 0 in those of no block."""
        if self.order is not None:
            back = np.full(self.n_columns, len(self.order))
            back[self.order] = np.arange(len(self.order))
            x = self.xp.concat([x, self.xp.zeros_like(x[:1])], axis=0)[back]
        return x.T


def finite_logs(logs):
    """Return logarithms with a finite one of zero."""
    return logs if logs is None else np.maximum(logs, _LEAST)


def raw(array):
    """Return a tensor of the CPU as a NumPy array, whose loops are faster there."""
    array = detach(array)
    return array.numpy() if is_torch(array) and is_at_hand(array) else array

"""Changes of variables, and those that map each column for itself."""

from abc import ABC, abstractmethod
from copy import copy

import numpy as np
from scipy import stats
from scipy.special import boxcox, ndtri, xlog1py, xlogy

WHOLE_LINE = np.array([[-np.inf, np.inf]])
# scikit-learn's QuantileTransformer is flat where this little is left.
_FLAT = 1e-7


class Bijection(ABC):
    """A fitted transformer with its log-determinant and its image.

    Parameters
    ----------
    transformer : fitted transformer
        Asked for rows as plain arrays.

    log_det : callable, dict or None
        Log-determinants of the functions of a `FunctionTransformer`.
    """

    def __init__(self, transformer, log_det):
        self._transformer = _plain(transformer)

    @abstractmethod
    def forward(self, X):
        """Return images and log-determinants of rows.

        Where a row is outside the domain, its image is not finite or its
        log-determinant is -inf.
        """

    def forward_training(self, X):
        """Return images and log-determinants of the rows that were fitted to.

        They differ from :meth:`forward` where a row may have decided its own image.
        """
        return self.forward(X)

    def inverse(self, Z):
        """Return the rows whose images are `Z`, rows of the image."""
        return np.asarray(self._transformer.inverse_transform(Z))

    def intervals(self, n_features):
        """Return the image as sorted, disjoint intervals (m, 2) of each column.

        None if it is no product of such.
        """
        return [WHOLE_LINE] * n_features

    def contains(self, Z):
        """Tell which rows are in the image."""
        inside = np.ones(len(Z), bool)
        for column, edges in zip(Z.T, self.intervals(Z.shape[1]), strict=True):
            # An odd number of edges below.
            inside &= np.searchsorted(edges.ravel(), column) % 2 == 1
        return inside


class Counted(Bijection):
    """A transformer of ours, which knows its log-determinant."""

    def forward(self, X):
        return self._transformer._forward(X)


class LeftOut(Counted):
    """One whose training rows have images of their own."""

    def forward_training(self, X):
        return self._transformer._forward_left_out(X)


def _plain(transformer):
    """Return a copy that takes arrays, leaves them alone and has no names to ask."""
    plain = copy(transformer)
    vars(plain).pop("feature_names_in_", None)
    vars(plain)["copy"] = True
    return plain


class Power(Bijection):
    r"""Box-Cox or Yeo-Johnson, column by column.

    The derivatives are :math:`x^{\lambda - 1}` and
    :math:`(1 + |x|)^{\pm(\lambda - 1)}`, with the sign of x.
    """

    def __init__(self, transformer, log_det):
        super().__init__(transformer, log_det)
        self._lambdas = np.asarray(transformer.lambdas_, np.float64)
        self._method = _POWERS[transformer.method]
        self._loc, self._scale = np.zeros_like(self._lambdas), 1.0
        if transformer.standardize:
            self._loc, self._scale = (
                transformer._scaler.mean_,
                transformer._scaler.scale_,
            )

    def forward(self, X):
        # Not transform, which refuses rows beyond the domain, or whose image
        # overflows.
        power, log_slope, _ = self._method
        pairs = [*zip(X.T.astype(np.float64), self._lambdas, strict=True)]
        Z = np.column_stack([power(column, lmbda) for column, lmbda in pairs])
        log_det = sum(log_slope(column, lmbda) for column, lmbda in pairs)
        Z = (Z - self._loc) / self._scale
        log_det = log_det - np.log(self._scale * np.ones(len(pairs))).sum()
        return Z.astype(X.dtype), np.where(log_det < np.inf, log_det, -np.inf)

    def intervals(self, n_features):
        _, _, image = self._method
        bounds = np.array([image(lmbda) for lmbda in self._lambdas])
        bounds = (bounds - self._loc[:, None]) / np.reshape(self._scale, (-1, 1))
        return [*bounds[:, None, :]]


def _yeo_johnson_log_slope(x, lmbda):
    return np.copysign(1.0, x) * xlog1py(lmbda - 1, np.abs(x))


def _yeo_johnson_image(lmbda):
    lower = 1 / (2 - lmbda) if lmbda > 2 else -np.inf
    return lower, -1 / lmbda if lmbda < 0 else np.inf


def _box_cox_log_slope(x, lmbda):
    return np.where(x > 0, xlogy(lmbda - 1, x), -np.inf)


def _box_cox_image(lmbda):
    lower = -1 / lmbda if lmbda > 0 else -np.inf
    return lower, -1 / lmbda if lmbda < 0 else np.inf


class Quantile(Bijection):
    r"""Normal scores of a piecewise linear distribution function F.

    The derivative is :math:`F'(x) / \phi(z)`. Ties of the quantiles are jumps of
    F, which leave gaps in the image.
    """

    def __init__(self, transformer, log_det):
        super().__init__(transformer, log_det)
        if transformer.output_distribution != "normal":
            raise ValueError(
                f"output_distribution={transformer.output_distribution!r} of "
                "QuantileTransformer: densities fitted on a box leave it. Set "
                "output_distribution='normal'."
            )
        levels = np.asarray(transformer.references_, np.float64)
        self._columns = [
            _Steps(np.asarray(quantiles, np.float64), levels, j)
            for j, quantiles in enumerate(transformer.quantiles_.T)
        ]

    def forward(self, X):
        Z = np.asarray(self._transformer.transform(X))
        log_det = sum(
            steps.log_slope(X[:, j].astype(np.float64), Z[:, j].astype(np.float64))
            for j, steps in enumerate(self._columns)
        )
        return Z, log_det

    def intervals(self, n_features):
        return [steps.image for steps in self._columns]


class _Steps:
    """The piecewise linear distribution function of a column, without its ties."""

    def __init__(self, quantiles, levels, column):
        knots, first = np.unique(quantiles, return_index=True)
        if len(knots) < 2:
            raise ValueError(
                f"Column {column} is constant to QuantileTransformer: its map is flat "
                "and has no density. Drop the column, or set n_quantiles to at least 2."
            )
        last = np.append(first[1:] - 1, len(quantiles) - 1)
        rise = levels[first[1:]] - levels[last[:-1]]
        self._knots = knots
        self._log_slopes = np.log(rise) - np.log(np.diff(knots))
        # It is flat close to the ends, by a margin of x and by one of F.
        ends = np.interp([knots[0] + _FLAT, knots[-1] - _FLAT], quantiles, levels)
        lower, upper = np.clip(ends, _FLAT, 1 - _FLAT)
        edges = np.column_stack([levels[last[:-1]], levels[first[1:]]])
        edges = np.clip(edges, lower, max(lower, upper))
        # Intervals that touch are one.
        gap = edges[1:, 0] > edges[:-1, 1]
        starts = np.append(True, gap)
        stops = np.append(gap, True)
        self.image = ndtri(np.column_stack([edges[starts, 0], edges[stops, 1]]))

    def log_slope(self, x, z):
        at = np.searchsorted(self._knots, x, side="right") - 1
        at = np.clip(at, 0, len(self._log_slopes) - 1)
        log_slope = self._log_slopes[at] - stats.norm.logpdf(z)
        # The ends themselves have the limit from inside: rows to fit are there.
        first, last = self._knots[0], self._knots[-1]
        flat = (z <= self.image[0, 0]) | (z >= self.image[-1, 1])
        flat &= (x != first) & (x != last)
        return np.where(flat | (x < first) | (x > last), -np.inf, log_slope)


_POWERS = {
    "box-cox": (boxcox, _box_cox_log_slope, _box_cox_image),
    "yeo-johnson": (stats.yeojohnson, _yeo_johnson_log_slope, _yeo_johnson_image),
}

"""Normal scores of each column, by a smooth density of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri_exp, stdtr, stdtrit
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skgmje._callbacks import EstimatorMixin, FitTask
from skgmje._sklearn import _fit_context
from skgmje._standardize import drop_weightless
from skgmje._typing import ArrayLike, NDArray, Self
from skgmje._validation import TIE_SHARE, check_rows, check_weights
from skgmje.compose._bounds import ColumnBounds
from skgmje.em._select import pool_weights

LOG_SQRT_2PI = 0.5 * np.log(2 * np.pi)

# Edges of the table: so many evenly spaced, and so many quantiles.
_N_EVEN, _N_QUANTILES, _FEWEST_EVEN = 133, 267, 33

# So many cells beyond them towards a bound, each twice as wide as the one before.
_N_DOUBLED = 20

# Cells are no narrower, in standard deviations: in a column with ties they would
# shrink to the ties, and the density would have no bound.
_SMALLEST_CELL, _SMALLEST_TIED_CELL = 1e-6, 1e-3

# Values further away, in standard deviations, are taken as this far; bounds further
# from the samples have no mass beyond them.
_FURTHEST, _FAR_BOUND = 1e300, 1e3

# Bandwidths at 1000 samples, in standard deviations, and what a block costs, in nats.
_BANDWIDTHS = (0.02, 0.05, 0.12, 0.3)
_BLOCK_COSTS = (3.0, 7.0)

# Samples that each block is given beforehand.
_BLOCK_PRIOR = 0.3
_N_FOLDS = 3
_LEAST_DENSITY = 1e-12

# Tails are Student's t with three degrees of freedom, which hold the mass of so
# many samples.
_DF, _TAIL_ROWS, _TAIL_SCALE = 3, 2.0, 1.5

# Log-probabilities from which its tails are powers, to ten digits.
_FAR_TAIL = -35.0
_LOG_TAIL = np.log(2 * np.sqrt(3) / np.pi)


class Shift:
    """A constant column, moved to zero; it has no scale."""

    def __init__(self, loc):
        self._loc = loc

    def forward(self, x):
        """Return images and logarithms of the slope."""
        return x - self._loc, np.zeros(len(x))

    def inverse(self, z):
        """Return the values whose images are `z`."""
        return z + self._loc


class ColumnDensity:
    """Density of one column: a table inside, Student tails where it has no bounds."""

    def __init__(self, units, edges, mass, loc, scale, tail_mass, bounds):
        self._units = units
        self._bounds = [float(b) if np.isfinite(b) else None for b in bounds]
        self._edges, self._loc, self._scale = edges, loc, scale
        t = (edges - loc) / scale
        below, above = stdtr(_DF, t), stdtr(_DF, -t)
        tail = np.where(t[1:] > 0, -np.diff(above), np.diff(below))
        # What would be beyond a bound is spread over what is inside.
        beyond = np.where(np.isfinite(bounds), 0.0, [below[0], above[-1]])
        share, tail_mass = tail_mass, tail_mass / (tail.sum() + beyond.sum())
        self._log_tail = np.log(tail_mass)
        self._mass = (1 - share) * mass + tail_mass * np.maximum(tail, 0.0)
        self._log_height = np.log(self._mass) - np.log(np.diff(edges))
        inner = np.cumsum(self._mass)
        outer = np.cumsum(self._mass[::-1])[::-1]
        self._cdf = tail_mass * beyond[0] + np.append(0.0, inner)
        self._sf = tail_mass * beyond[1] + np.append(outer, 0.0)

    def forward(self, x):
        """Return normal scores and logarithms of the slope."""
        mean, unit = self._units
        given, places = x, self._places
        with np.errstate(over="ignore"):
            x = np.clip((given - mean) / unit, -_FURTHEST, _FURTHEST)
            cell = np.searchsorted(self._edges, x, side="right") - 1
            cell = np.clip(cell, 0, len(self._mass) - 1)
            width = unit * (self._edges[cell + 1] - self._edges[cell])
            rise = np.clip((given - places[cell]) / width, 0.0, 1.0)
            fall = np.clip((places[cell + 1] - given) / width, 0.0, 1.0)
        log_cdf = _log(self._cdf[cell] + rise * self._mass[cell])
        log_sf = _log(self._sf[cell + 1] + fall * self._mass[cell])
        log_density = self._log_height[cell]
        # Beyond bounds there are no tails.
        below = (x < self._edges[0]) & (self._cdf[0] > 0)
        outside = below | ((x > self._edges[-1]) & (self._sf[-1] > 0))
        if outside.any():
            t = (x[outside] - self._loc) / self._scale
            log_tail = self._log_tail + _log_t_tail(np.abs(t))
            log_cdf[outside] = np.where(t < 0, log_tail, 0.0)
            log_sf[outside] = np.where(t < 0, 0.0, log_tail)
            log_density[outside] = self._log_tail + _log_t_pdf(t) - np.log(self._scale)
        lower = log_cdf < log_sf
        z = ndtri_exp(np.where(lower, log_cdf, log_sf))
        z = np.where(lower, z, -z)
        return z, log_density + 0.5 * z**2 + (LOG_SQRT_2PI - np.log(unit))

    def inverse(self, z):
        """Return the values whose normal scores are `z`, shape (n_samples,)."""
        lower = z < 0
        tail = ndtr(-np.abs(z))
        last = len(self._mass) - 1
        from_left = np.searchsorted(self._cdf, tail, side="right") - 1
        from_right = last + 1 - np.searchsorted(self._sf[::-1], tail, side="right")
        cell = np.clip(np.where(lower, from_left, from_right), 0, last)
        rise = np.where(lower, tail - self._cdf[cell], tail - self._sf[cell + 1])
        part = np.clip(rise / self._mass[cell], 0.0, 1.0)
        mean, unit = self._units
        width = unit * (self._edges[cell + 1] - self._edges[cell])
        x = self._places[cell + ~lower] + np.where(lower, part, -part) * width
        outside = tail < np.where(lower, self._cdf[0], self._sf[-1])
        if outside.any():
            log_tail = log_ndtr(-np.abs(z[outside])) - self._log_tail
            t = np.where(lower[outside], -1.0, 1.0) * _t_quantile(log_tail)
            x[outside] = mean + unit * (self._loc + self._scale * t)
        return x

    @property
    def _places(self):
        """Edges in the units of the column, where bounds are as they were given."""
        mean, unit = self._units
        places = mean + unit * self._edges
        # Files of before have no bounds.
        for end, bound in zip((0, -1), getattr(self, "_bounds", ()), strict=False):
            if bound is not None:
                places[end] = bound
        return places


def _log(p):
    """Return logarithms, of zero that of the smallest number."""
    return np.log(np.maximum(p, np.finfo(float).smallest_subnormal))


def _log_t_pdf(t):
    """Compute the log-density of Student's t, without overflow of squares."""
    log_growth = 2 * np.log(np.hypot(1.0, t / np.sqrt(_DF)))
    return np.log(2 / (np.pi * np.sqrt(_DF))) - 2 * log_growth


def _log_t_tail(t):
    """Compute log P(T > t) of positive t, by its power where the digits allow."""
    with np.errstate(divide="ignore"):
        power = _LOG_TAIL - 3 * np.log(t)
        near = np.log(stdtr(_DF, -t))
    return np.where(power < _FAR_TAIL, power, near)


def _t_quantile(log_tail):
    """Return the t of which :func:`_log_t_tail` is `log_tail`."""
    power = np.exp(np.minimum((_LOG_TAIL - log_tail) / 3, np.log(_FURTHEST)))
    near = -stdtrit(_DF, np.exp(np.maximum(log_tail, _FAR_TAIL)))
    return np.where(log_tail < _FAR_TAIL, power, near)


def fit_column(x, sample_weight=None, bounds=(-np.inf, np.inf)):
    """Fit the density of a column: kernels and blocks, stacked."""
    values, index = np.unique(x, return_inverse=True)
    counts = np.bincount(index, sample_weight).astype(float)
    n_rows = counts.sum()
    loc = values @ counts / n_rows
    scale = np.abs(values - loc).max()
    if scale <= 8 * np.finfo(float).eps * np.abs(values).max():
        return Shift(loc)
    scale *= np.sqrt(((values - loc) / scale) ** 2 @ counts / n_rows)
    values = (values - loc) / scale
    tied = 1 - len(values) / n_rows > TIE_SHARE
    cell = _SMALLEST_TIED_CELL if tied else _SMALLEST_CELL
    is_atom = tied & (counts > max(1, TIE_SHARE * n_rows))
    quartiles = _quantiles(values, counts, np.array([0.25, 0.5, 0.75]))
    ends = (np.asarray(bounds) - loc) / scale
    far = np.abs(ends - values[[0, -1]]) > _FAR_BOUND
    ends, bounds = (np.where(far, [-np.inf, np.inf], pair) for pair in (ends, bounds))
    pad = 0.5 * (n_rows / 100) ** -0.5
    edges = _edges(values, counts, cell, ends, is_atom, pad)
    mass = _stacked_mass(values, counts, edges, ends, is_atom)
    # Far from the samples there are but tails, be there a bound or not.
    low, high = values[[0, -1]] + [-1.5 * pad, 1.5 * pad]
    mass[(edges[1:] < low) | (edges[:-1] > high)] = 0.0
    mass /= mass.sum()
    spread = max((quartiles[2] - quartiles[0]) / 1.35, 0.25)
    return ColumnDensity(
        (float(loc), float(scale)),
        edges,
        mass,
        float(quartiles[1]),
        float(_TAIL_SCALE * spread),
        float(min(_TAIL_ROWS / n_rows, 0.5)),
        bounds,
    )


def _quantiles(values, counts, levels):
    """Return quantiles of sorted values, each of which stands for `counts` samples."""
    cumulative = np.cumsum(counts) - 0.5 * counts
    return np.interp(levels * counts.sum(), cumulative, values)


def _edges(values, counts, smallest, bounds, is_atom, pad):
    """Return the edges of the table; a bound is the first, or the last."""
    # Few values need no fine table.
    even = min(_N_EVEN, _FEWEST_EVEN + len(values) // 2)
    even = np.linspace(values[0] - pad, values[-1] + pad, even)
    levels = np.linspace(0, 1, min(_N_QUANTILES, len(values) + 1))
    edges = np.append(even, _quantiles(values, counts, levels))
    # Up to a distant bound tails fall off.
    low, high = bounds
    steps = pad * 2.0 ** np.arange(_N_DOUBLED)
    edges = np.append(edges, even[0] - steps if np.isfinite(low) else [])
    edges = np.append(edges, even[-1] + steps if np.isfinite(high) else [])
    # The score of a cell's middle is that of what many samples share.
    gaps = np.diff(np.concatenate([[low], values, [high]]))
    half = 0.5 * np.minimum(np.minimum(gaps[1:], gaps[:-1]), even[1] - even[0])
    half = np.maximum(half, 0.5001 * smallest)[is_atom]
    atoms = values[is_atom]
    near = np.abs(edges[:, None] - atoms) < half + smallest
    edges = np.concatenate([edges[~near.any(axis=1)], atoms - half, atoms + half])
    edges = _apart(np.sort(edges), smallest)
    if edges[-1] <= values[-1]:
        edges = np.append(edges, even[-1] + smallest)
    gap = np.minimum(smallest, 0.5 * np.array([values[0] - low, high - values[-1]]))
    edges = edges[(edges > low + gap[0]) & (edges < high - gap[1])]
    return np.concatenate([[low], edges, [high]])[~np.isinf([low, *edges, high])]


def _apart(edges, smallest):
    """Return those of sorted edges that are further from the one kept before."""
    kept = [edges[0]]
    for edge in edges[1:]:
        if edge - kept[-1] > smallest:
            kept.append(edge)
    return np.array(kept)


def _stacked_mass(values, counts, edges, bounds, is_atom):
    """Return the masses of the cells under the stack of all kinds."""
    n_cells = len(edges) - 1
    # Rounding may put a value on the last edge.
    cell = np.searchsorted(edges, values, side="right") - 1
    cell = np.minimum(cell, n_cells - 1)
    # Always the same folds: nothing but the values decides. What many samples share
    # is in all of them, as it will be in new samples.
    fold = np.random.RandomState(0).permutation(len(values)) % _N_FOLDS
    shares = np.where(is_atom, 1 / _N_FOLDS, np.arange(_N_FOLDS)[:, None] == fold)
    tables = np.zeros((_N_FOLDS, n_cells))
    np.add.at(tables, (slice(None), cell), shares * counts)
    total = tables.sum(axis=0)
    # All samples first, then all but those of each fold.
    seen = np.vstack([total, total - tables])
    seen = seen[seen.sum(axis=1) > 0]
    if len(seen) <= _N_FOLDS:
        seen = np.repeat(total[None], _N_FOLDS + 1, axis=0)
    kernels = _kernel_masses(edges, seen, bounds[np.isfinite(bounds)])
    masses = np.stack([*kernels, *_block_masses(edges, seen)])
    masses = np.concatenate([masses, _normal_masses(edges, seen)[None]])
    widths = np.diff(edges)
    masses = np.maximum(masses, _LEAST_DENSITY * widths)
    held_out = np.log(masses[:, 1:] / widths).reshape(len(masses), -1).T
    weights = pool_weights(held_out, tables.ravel(), max_iter=100)
    return weights @ masses[:, 0]


def _kernel_masses(edges, seen, bounds):
    """Spread the counts of cells by normal distributions, reflected at bounds."""
    middle = 0.5 * (edges[1:] + edges[:-1])
    shares = (seen / seen.sum(axis=1, keepdims=True)).T
    for bandwidth in _BANDWIDTHS:
        width = bandwidth * (seen[0].sum() / 1000) ** -0.2
        centers = [middle, *(2 * bound - middle for bound in bounds)]
        spread = sum(
            np.diff(ndtr((edges[:, None] - center) / width), axis=0) @ shares
            for center in centers
        )
        yield (spread / spread.sum(axis=0)).T


def _block_masses(edges, seen):
    """Find the blocks of equal height that are most likely, of any number."""
    n_cells = len(edges) - 1
    costs = np.array(_BLOCK_COSTS)[:, None, None]
    rows = np.append(np.zeros((len(seen), 1)), np.cumsum(seen, axis=1), axis=1)
    total = rows[:, -1:]
    best = np.zeros((len(costs), len(seen), n_cells + 1))
    first = np.zeros((len(costs), len(seen), n_cells + 1), int)
    for j in range(1, n_cells + 1):
        inside = rows[:, j : j + 1] - rows[:, :j]
        density = np.maximum(inside, 1e-12) / (total * (edges[j] - edges[:j]))
        worth = best[:, :, :j] + inside * np.log(density) - costs
        first[:, :, j] = worth.argmax(axis=2)
        best[:, :, j] = worth.max(axis=2)
    return [
        np.stack([_heights(edges, *pair) for pair in zip(rows, starts, strict=True)])
        for starts in first
    ]


def _heights(edges, rows, first):
    """Return the masses of the cells in the blocks that end at the last edge."""
    widths = np.diff(edges)
    mass, stop = np.empty(len(widths)), len(widths)
    while stop > 0:
        start = first[stop]
        count = rows[stop] - rows[start] + _BLOCK_PRIOR
        mass[start:stop] = count / (edges[stop] - edges[start]) * widths[start:stop]
        stop = start
    return mass / mass.sum()


def _normal_masses(edges, seen):
    """Return the masses of the cells under normal densities of the same moments."""
    middle = 0.5 * (edges[1:] + edges[:-1])
    shares = seen / seen.sum(axis=1, keepdims=True)
    mean = shares @ middle
    spread = np.sqrt(np.maximum(shares @ middle**2 - mean**2, 1e-6))
    scores = (edges - mean[:, None]) / spread[:, None]
    mass = np.maximum(np.diff(ndtr(scores), axis=1), 1e-300)
    return mass / mass.sum(axis=1, keepdims=True)


class CoordinatesMixin(EstimatorMixin, OneToOneFeatureMixin, TransformerMixin, ABC):
    """A change of coordinates whose map and log-determinant come together.

    ``set_output`` changes only what the class that defines `transform` inherits
    it for.
    """

    @abstractmethod
    def _fit(self, X, sample_weight):
        """Fit to checked samples."""

    @abstractmethod
    def _forward(self, X):
        """Return coordinates and log-determinants of checked samples."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn the coordinates.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self : object
            The fitted transformer.
        """
        with FitTask(self, X, y, sample_weight) as task:
            self._fit(check_rows(self, X, reset=True), sample_weight)
            task.end()
        return self

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Return the coordinates of the samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_features)
            Their coordinates.
        """
        check_is_fitted(self)
        return self._forward(check_rows(self, X, reset=False))[0]

    @abstractmethod
    def inverse_transform(self, Z: ArrayLike) -> NDArray[Any]:
        """Return the samples whose coordinates are given.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_features)
            Coordinates.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The samples.
        """

    def log_det(self, X: ArrayLike) -> NDArray[Any]:
        r"""Compute the log-determinant of the Jacobian.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        log_det : ndarray of shape (n_samples,)
            :math:`\log |\det dz / dx|` of each sample.
        """
        check_is_fitted(self)
        return self._forward(check_rows(self, X, reset=False))[1]


class MarginalGaussianizer(CoordinatesMixin, BaseEstimator):
    r"""Map each column to normal scores, with an exact Jacobian.

    .. math:: z_j = \Phi^{-1}(F_j(x_j)), \qquad
        \log \frac{dz_j}{dx_j} = \log f_j(x_j) - \log \phi(z_j)

    The density :math:`f_j` of a column is a stack, by held-out likelihood, of
    kernel estimates of four bandwidths, Bayesian blocks [1]_ of two costs, and a
    Gaussian, on a table of some 400 cells; Student tails (three degrees of freedom,
    the mass of two samples) make it positive everywhere. So the map is one of the
    whole line (or what is inside of its bounds) onto the line, unlike that of
    :class:`~sklearn.preprocessing.QuantileTransformer`, which is flat outside of the
    samples it has seen.

    Parameters
    ----------
    bounds : sequence or dict, default=None
        Bounds of the columns: for each a pair (low, high), in which None stands for no
        bound, or None for neither; or a dict of those that have bounds, by name, or by
        number of columns without names. At bounds kernels are reflected, and there are
        no tails beyond.

    Attributes
    ----------
    columns_ : list
        What maps each column, with ``forward(x)`` and ``inverse(z)``.

    bounds_ : list of (float, float)
        Lower and upper bound of each column, None for no bound; None without `bounds`.

    n_features_in_, feature_names_in_ : int and ndarray of str
        Number and names of the features seen during :term:`fit`; the latter if all
        names are strings.

    See Also
    --------
    TransformedDensity : Counts the Jacobian of this and other transformers.
    ResidualCoordinates : Removes what other columns predict of a column.
    sklearn.preprocessing.QuantileTransformer : Empirical distribution functions.

    Notes
    -----
    A constant column is moved to zero and keeps its scale. In a column where more
    than 5 % of the values repeat others, cells are at least a thousandth of a
    standard deviation wide, a millionth elsewhere, so that the density has a bound. A
    value that more than 5 % of the samples share is the middle of a cell, and its score
    that of the middle of its probability. Bounds more than 1000 standard deviations
    from the samples leave the tails as they are.

    References
    ----------
    .. [1] J. D. Scargle et al., "Studies in astronomical time series analysis VI:
       Bayesian block representations", 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.compose import MarginalGaussianizer
    >>> X = np.random.default_rng(0).exponential(size=(500, 1))
    >>> gaussianizer = MarginalGaussianizer().fit(X)
    >>> Z = gaussianizer.transform(X)
    >>> bool(abs(Z.mean()) < 0.05), bool(abs(Z.std() - 1) < 0.05)
    (True, True)
    >>> np.allclose(gaussianizer.inverse_transform(Z), X)
    True
    """

    columns_: list[Any]
    bounds_: list[Any]

    _parameter_constraints: dict = {"bounds": [list, tuple, Mapping, np.ndarray, None]}

    def __init__(self, *, bounds: Any = None) -> None:
        self.bounds = bounds

    def _fit(self, X, sample_weight):
        weight = check_weights(sample_weight, X)
        bounds = ColumnBounds.asked(self, X, weight)
        self.bounds_ = bounds and bounds.pairs
        pairs = [(-np.inf, np.inf)] * X.shape[1] if bounds is None else bounds.array
        rows, weight = drop_weightless(X, weight)
        columns = zip(rows.T.astype(np.float64), pairs, strict=True)
        self.columns_ = [fit_column(column, weight, pair) for column, pair in columns]

    def inverse_transform(self, Z: ArrayLike) -> NDArray[Any]:
        check_is_fitted(self)
        Z = check_rows(self, Z, reset=False)
        columns = zip(self.columns_, Z.T.astype(np.float64), strict=True)
        X = np.column_stack([density.inverse(z) for density, z in columns])
        X = X.astype(Z.dtype, copy=False)
        bounds = ColumnBounds.fitted(self)
        return X if bounds is None else bounds.clip(X)

    def _forward(self, X):
        """Return scores and log-determinants of checked samples."""
        columns = zip(self.columns_, X.T.astype(np.float64), strict=True)
        with np.errstate(divide="ignore"):
            pairs = [density.forward(x) for density, x in columns]
        Z = np.column_stack([z for z, _ in pairs])
        bounds = ColumnBounds.fitted(self)
        if bounds is not None:
            Z[~bounds.contain(X)] = np.nan
        return Z.astype(X.dtype, copy=False), sum(slope for _, slope in pairs)

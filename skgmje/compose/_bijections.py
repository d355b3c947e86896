"""Fitted transformers as maps with a Jacobian."""

from abc import ABC, abstractmethod
from copy import copy
from functools import partial

import numpy as np
from scipy import stats
from scipy.special import boxcox, ndtri, xlog1py, xlogy
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from skgmje.compose._marginal_gaussianizer import MarginalGaussianizer
from skgmje.compose._residual_coordinates import ResidualCoordinates

WHOLE_LINE = np.array([[-np.inf, np.inf]])

# scikit-learn's QuantileTransformer is flat where this little is left.
_FLAT = 1e-7


class Bijection(ABC):
    """A fitted transformer with its log-determinant and its image."""

    def __init__(self, transformer, log_det):
        self._transformer = _plain(transformer)

    @abstractmethod
    def forward(self, X, *, training=False):
        """Return images and log-determinants; training samples may have others."""

    def inverse(self, Z):
        """Return the samples whose images are `Z`, samples of the image."""
        return np.asarray(self._transformer.inverse_transform(Z))

    def select(self, columns):
        """Return the map of some columns, in their order, if each goes its own way."""
        names = _COLUMN_STATE.get(type_of(self._transformer))
        if names is None:
            raise TypeError(
                f"{self._transformer!r} is not known to act on columns one by one, so "
                "that marginals and conditionals have no closed form. By Monte Carlo: "
                "draw with sample(n_samples), and keep the samples that are close to "
                "the condition. Or use a transformer of columns, such as "
                "MarginalGaussianizer(), or one for each of them in a "
                "ColumnTransformer."
            )
        return type(self)(_columns_of(self._transformer, names, columns), None)

    def places(self, columns):
        """Return the columns of the image that belong to columns of the samples."""
        return columns

    def intervals(self, n_features):
        """Return the image of each column, sorted intervals (m, 2); None if unknown."""
        return [WHOLE_LINE] * n_features

    def contains(self, Z):
        """Return which samples are in the image, shape (n_samples,)."""
        inside = np.ones(len(Z), bool)
        for column, edges in zip(Z.T, self.intervals(Z.shape[1]), strict=True):
            # An odd number of edges below.
            inside &= np.searchsorted(edges.ravel(), column) % 2 == 1
        return inside


class Counted(Bijection):
    """A transformer of ours, which knows its log-determinant."""

    def forward(self, X, *, training=False):
        return self._transformer._forward(X)


class LeftOut(Bijection):
    """One whose training samples have images of their own."""

    def forward(self, X, *, training=False):
        part = self._transformer
        return part._forward_left_out(X) if training else part._forward(X)


def _plain(transformer):
    """Return a copy of arrays alone, which it leaves as they are."""
    plain = copy(transformer)
    vars(plain).pop("feature_names_in_", None)
    # As set_output does, whose dict is not copied.
    vars(plain)["_sklearn_output_config"] = {"transform": "default"}
    vars(plain)["copy"] = True
    return plain


def _columns_of(transformer, names, columns):
    """Return a fitted transformer of some columns, whose state has the names."""
    part = copy(transformer)
    part.n_features_in_ = len(columns)
    for name in names:
        state = getattr(part, name, None)
        if isinstance(state, StandardScaler):
            state = _columns_of(state, _COLUMN_STATE[StandardScaler], columns)
        elif isinstance(state, list):
            state = [state[j] for j in columns]
        elif state is not None:
            state = state[..., columns]
        setattr(part, name, state)
    return part


class Power(Bijection):
    """Box-Cox or Yeo-Johnson, column by column."""

    def __init__(self, transformer, log_det):
        super().__init__(transformer, log_det)
        self._lambdas = np.asarray(transformer.lambdas_, np.float64)
        self._method = _POWERS[transformer.method]
        self._loc = np.zeros_like(self._lambdas)
        self._scale = np.ones_like(self._lambdas)
        if transformer.standardize:
            scaler = transformer._scaler
            self._loc, self._scale = scaler.mean_, scaler.scale_

    def forward(self, X, *, training=False):
        # Not transform, which refuses samples beyond the domain, or whose image
        # overflows.
        power, log_slope, _ = self._method
        pairs = [*zip(X.T.astype(np.float64), self._lambdas, strict=True)]
        Z = np.column_stack([power(column, lmbda) for column, lmbda in pairs])
        log_det = sum(log_slope(column, lmbda) for column, lmbda in pairs)
        log_det = log_det - np.log(self._scale).sum()
        Z = (Z - self._loc) / self._scale
        return Z.astype(X.dtype), np.where(log_det < np.inf, log_det, -np.inf)

    def intervals(self, n_features):
        _, _, lowest = self._method
        lower = [lowest(lmbda) for lmbda in self._lambdas]
        upper = [-1 / lmbda if lmbda < 0 else np.inf for lmbda in self._lambdas]
        bounds = np.column_stack([lower, upper])
        bounds = (bounds - self._loc[:, None]) / self._scale[:, None]
        return [*bounds[:, None, :]]


def _yeo_johnson_log_slope(x, lmbda):
    """Return the log-derivative of the map."""
    return np.copysign(1.0, x) * xlog1py(lmbda - 1, np.abs(x))


def _box_cox_log_slope(x, lmbda):
    """Return the log-derivative of the map, -inf where it is not defined."""
    return np.where(x > 0, xlogy(lmbda - 1, x), -np.inf)


# The map, its log-derivative, and the lower end of its image; the upper end is common.
_POWERS = {
    "box-cox": (
        boxcox,
        _box_cox_log_slope,
        lambda lmbda: -1 / lmbda if lmbda > 0 else -np.inf,
    ),
    "yeo-johnson": (
        stats.yeojohnson,
        _yeo_johnson_log_slope,
        lambda lmbda: 1 / (2 - lmbda) if lmbda > 2 else -np.inf,
    ),
}


class Quantile(Bijection):
    """Normal scores of a piecewise linear distribution function F."""

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

    def forward(self, X, *, training=False):
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
        # The ends themselves have the limit from inside: samples to fit are there.
        first, last = self._knots[0], self._knots[-1]
        flat = (z <= self.image[0, 0]) | (z >= self.image[-1, 1])
        flat &= (x != first) & (x != last)
        return np.where(flat | (x < first) | (x > last), -np.inf, log_slope)


# Largest relative error of a way forth and back.
_ROUND_TRIP = 1e-6


class Linear(Bijection):
    """An affine map: one log-determinant for all samples."""

    def __init__(self, transformer, log_det):
        super().__init__(transformer, log_det)
        self._log_det = float(_LINEAR_LOG_DETS[type_of(transformer)](transformer))

    def forward(self, X, *, training=False):
        Z = np.asarray(self._transformer.transform(X))
        return Z, np.full(len(X), self._log_det)


class Function(Bijection):
    """A function of the user's, with its log-determinant."""

    def __init__(self, transformer, log_det):
        super().__init__(transformer, log_det)
        self._name = getattr(transformer.func, "__name__", repr(transformer.func))
        is_dict = isinstance(log_det, dict)
        self._log_det = log_det.get(transformer.func) if is_dict else log_det
        if self._log_det is None:
            raise TypeError(
                f"The log-determinant of FunctionTransformer({self._name}) is not "
                "known. Give log_det, a function that takes samples and returns log "
                "|det| of the Jacobian for each; or a dict with an entry for "
                f"{self._name}."
            )
        if transformer.inverse_func is None:
            raise ValueError(
                f"FunctionTransformer({self._name}) has inverse_func=None, which tells "
                "neither its image nor how to sample. Give inverse_func."
            )

    def forward(self, X, *, training=False):
        Z = np.asarray(self._transformer.transform(X))
        log_det = np.asarray(self._log_det(X), np.float64)
        if Z.shape != X.shape or log_det.shape != (len(X),):
            raise ValueError(
                f"FunctionTransformer({self._name}) returns the shape {Z.shape}, and "
                f"log_det {log_det.shape}; for samples of shape {X.shape}, {X.shape} "
                f"and {X.shape[:1]} are needed."
            )
        return Z, np.where(np.isfinite(log_det), log_det, -np.inf)

    def intervals(self, n_features):
        return [None] * n_features

    def contains(self, Z):
        X = self.inverse(Z)
        known = np.isfinite(X).all(axis=1)
        back = np.full(Z.shape, np.nan)
        back[known] = self._transformer.transform(X[known])
        return (np.abs(back - Z) <= _ROUND_TRIP * (1 + np.abs(Z))).all(axis=1)


class Chain(Bijection):
    """Maps one after the other, such as the steps of a pipeline; or none."""

    def __init__(self, steps):
        self._steps = steps

    def select(self, columns):
        parts = []
        for step in self._steps:
            parts.append(step.select(columns))
            columns = step.places(columns)
        return Chain(parts)

    def places(self, columns):
        for step in self._steps:
            columns = step.places(columns)
        return columns

    def forward(self, X, *, training=False):
        log_det = np.zeros(len(X))
        for step in self._steps:
            known = np.isfinite(X).all(axis=1)
            Z = np.full(X.shape, np.nan, X.dtype)
            if known.any():
                Z[known], log_dets = step.forward(X[known], training=training)
                log_det[known] += log_dets
            X = Z
        return X, log_det

    def inverse(self, Z):
        for step in reversed(self._steps):
            Z = step.inverse(Z)
        return Z

    def intervals(self, n_features):
        images = [step.intervals(n_features) for step in self._steps]
        # What steps before leave out, the last one would move.
        if not all(map(is_everywhere, images[:-1])):
            return [None] * n_features
        return images[-1] if images else [WHOLE_LINE] * n_features

    def contains(self, Z):
        inside = np.ones(len(Z), bool)
        for step in reversed(self._steps):
            inside[inside] = step.contains(Z[inside])
            if not inside.any():
                break
            Z = Z.copy()
            Z[inside] = step.inverse(Z[inside])
            inside &= np.isfinite(Z).all(axis=1)
        return inside


class Blocks(Bijection):
    """Groups of columns, each with its own map: (columns, those of the image, map)."""

    def __init__(self, blocks):
        self._blocks = blocks

    def select(self, columns):
        blocks, columns = [], [*columns]
        for used, _, block in self._blocks:
            inner = [i for i, column in enumerate(used) if column in columns]
            at = np.array([columns.index(used[i]) for i in inner], int)
            if not inner:
                continue
            # Of all its columns, they may go together.
            if len(inner) == len(used):
                blocks.append((at, at[np.argsort(block.places(inner))], block))
            else:
                blocks.append((at, at, block.select(inner)))
        return Blocks(blocks)

    def places(self, columns):
        found = {}
        for used, out, block in self._blocks:
            place = block.places([*range(len(used))])
            found |= dict(zip(used, np.asarray(out)[place], strict=True))
        return [int(found[column]) for column in columns]

    def forward(self, X, *, training=False):
        Z, log_det = np.empty(X.shape, X.dtype), np.zeros(len(X))
        for columns, out, block in self._blocks:
            Z[:, out], log_dets = block.forward(X[:, columns], training=training)
            log_det += log_dets
        return Z, log_det

    def inverse(self, Z):
        X = np.empty_like(Z)
        for columns, out, block in self._blocks:
            X[:, columns] = block.inverse(Z[:, out])
        return X

    def intervals(self, n_features):
        columns = [None] * n_features
        for used, out, block in self._blocks:
            for j, edges in zip(out, block.intervals(len(used)), strict=True):
                columns[j] = edges
        return columns

    def contains(self, Z):
        inside = [block.contains(Z[:, out]) for _, out, block in self._blocks]
        return np.logical_and.reduce(inside)


def is_everywhere(intervals):
    """Return whether an image is known to be the whole space."""
    return all(np.array_equal(edges, WHOLE_LINE) for edges in intervals)


def _scaled(scaler, sign=-1):
    """Return the log-determinant of a scaler that divides; of sign 1, multiplies."""
    if getattr(scaler, "clip", False):
        raise ValueError(
            f"clip=True of {type(scaler).__name__} makes its map flat outside the "
            "data, where no density is left. Set clip=False."
        )
    return 0.0 if scaler.scale_ is None else sign * np.log(scaler.scale_).sum()


def _whitened(pca):
    """Return the log-determinant of a rotation."""
    if pca.n_components_ < pca.n_features_in_:
        raise ValueError(
            f"PCA keeps {pca.n_components_} of {pca.n_features_in_} directions; what "
            "it drops has no density. Keep all: n_components=None, and at least as "
            "many samples as columns."
        )
    if not pca.whiten:
        return 0.0
    variances = pca.explained_variance_
    if variances[-1] <= 10 * np.finfo(variances.dtype).eps * variances[0]:
        raise ValueError(
            "PCA(whiten=True) has a direction of variance "
            f"{variances[-1]:.3g} beside one of {variances[0]:.3g}: columns depend on "
            "each other. Drop them, or set whiten=False."
        )
    return -0.5 * np.log(variances).sum()


def _function(transformer, log_det):
    """Return the bijection of a FunctionTransformer."""
    return Chain([]) if transformer.func is None else Function(transformer, log_det)


def _chain(transformer, log_det):
    """Return the bijection of a Pipeline."""
    return Chain([bijection(step, log_det) for _, step in transformer.steps])


def _blocks(transformer, log_det):
    """Return the bijection of a ColumnTransformer."""
    blocks = []
    for name, part, _ in transformer.transformers_:
        columns = np.asarray(transformer._transformer_to_input_indices[name], int)
        if len(columns) and part != "drop":
            out = range(transformer.n_features_in_)[transformer.output_indices_[name]]
            blocks.append((columns, np.array(out), bijection(part, log_det)))
    used = [c for columns, _, _ in blocks for c in columns]
    if sorted(used) != [*range(transformer.n_features_in_)]:
        raise ValueError(
            f"ColumnTransformer uses the columns {sorted(map(int, used))} of "
            f"{transformer.n_features_in_}; a density needs each of them once. Set "
            "remainder='passthrough', and let no two transformers share columns."
        )
    return Blocks(blocks)


def type_of(transformer):
    """Return the class in :data:`BIJECTIONS` that a transformer is one of."""
    for cls in type(transformer).__mro__:
        if cls in BIJECTIONS:
            return cls
    known = ", ".join(cls.__name__ for cls in BIJECTIONS)
    raise TypeError(
        f"The log-determinant of {transformer!r} is not known. Use one of {known}; or "
        "FunctionTransformer(func, inverse_func=...) with log_det, a function that "
        "returns it for each sample."
    )


def bijection(transformer, log_det=None):
    """Return a fitted transformer as a change of variables."""
    if transformer is None or transformer == "passthrough":
        return Chain([])
    return BIJECTIONS[type_of(transformer)](transformer, log_det)


_LINEAR_LOG_DETS = {
    MaxAbsScaler: _scaled,
    MinMaxScaler: partial(_scaled, sign=1),
    PCA: _whitened,
    RobustScaler: _scaled,
    StandardScaler: _scaled,
}

# What the transformers that act on columns one by one know of each.
_COLUMN_STATE = {
    MarginalGaussianizer: ("columns_", "bounds_"),
    MaxAbsScaler: ("scale_",),
    MinMaxScaler: ("scale_", "min_"),
    PowerTransformer: ("lambdas_", "_scaler"),
    QuantileTransformer: ("quantiles_",),
    RobustScaler: ("center_", "scale_"),
    StandardScaler: ("mean_", "scale_"),
}

BIJECTIONS = {
    StandardScaler: Linear,
    MinMaxScaler: Linear,
    MaxAbsScaler: Linear,
    RobustScaler: Linear,
    PCA: Linear,
    PowerTransformer: Power,
    QuantileTransformer: Quantile,
    MarginalGaussianizer: Counted,
    ResidualCoordinates: LeftOut,
    FunctionTransformer: _function,
    ColumnTransformer: _blocks,
    Pipeline: _chain,
}

"""scikit-learn's transformers as changes of variables."""

import numpy as np
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

from skgmje.compose._columns import (
    WHOLE_LINE,
    Bijection,
    Counted,
    LeftOut,
    Power,
    Quantile,
)
from skgmje.compose._marginal_gaussianizer import MarginalGaussianizer
from skgmje.compose._residual_coordinates import ResidualCoordinates

# Largest relative error of a way forth and back.
_ROUND_TRIP = 1e-6


class Identity(Bijection):
    """What is passed through."""

    def __init__(self, transformer, log_det):
        pass

    def forward(self, X):
        return X, np.zeros(len(X))

    def inverse(self, Z):
        return Z


class Linear(Bijection):
    """An affine map: one log-determinant for all rows."""

    def __init__(self, transformer, log_det):
        super().__init__(transformer, log_det)
        self._log_det = float(_LINEAR_LOG_DETS[type_of(transformer)](transformer))

    def forward(self, X):
        Z = np.asarray(self._transformer.transform(X))
        return Z, np.full(len(X), self._log_det)


class Function(Bijection):
    """A function of the user's, with its log-determinant."""

    def __init__(self, transformer, log_det):
        super().__init__(transformer, log_det)
        name = getattr(transformer.func, "__name__", repr(transformer.func))
        self._log_det = log_det.get(transformer.func) if _is_dict(log_det) else log_det
        if self._log_det is None:
            raise TypeError(
                f"The log-determinant of FunctionTransformer({name}) is not known. "
                "Give log_det, a function that takes rows and returns log |det| of "
                f"the Jacobian for each; or a dict with an entry for {name}."
            )
        if transformer.inverse_func is None:
            raise ValueError(
                f"FunctionTransformer({name}) has inverse_func=None, which tells "
                "neither its image nor how to sample. Give inverse_func."
            )
        self._name = name

    def forward(self, X):
        Z = np.asarray(self._transformer.transform(X))
        log_det = np.asarray(self._log_det(X), np.float64)
        if Z.shape != X.shape or log_det.shape != (len(X),):
            raise ValueError(
                f"FunctionTransformer({self._name}) makes {Z.shape}, and log_det "
                f"{log_det.shape}, of rows {X.shape}; {X.shape} and {X.shape[:1]} "
                "are needed."
            )
        return Z, np.where(np.isfinite(log_det), log_det, -np.inf)

    def intervals(self, n_features):
        return None

    def contains(self, Z):
        X = self.inverse(Z)
        known = np.isfinite(X).all(axis=1)
        back = np.full(Z.shape, np.nan)
        back[known] = self._transformer.transform(X[known])
        return (np.abs(back - Z) <= _ROUND_TRIP * (1 + np.abs(Z))).all(axis=1)


class Chain(Bijection):
    """The steps of a pipeline, one after the other."""

    def __init__(self, transformer, log_det):
        self._steps = [bijection(step, log_det) for _, step in transformer.steps]

    def forward(self, X):
        return self._each(X, lambda step, rows: step.forward(rows))

    def forward_training(self, X):
        return self._each(X, lambda step, rows: step.forward_training(rows))

    def _each(self, X, forward):
        log_det = np.zeros(len(X))
        for step in self._steps:
            known = np.isfinite(X).all(axis=1)
            Z = np.full(X.shape, np.nan, X.dtype)
            if known.any():
                Z[known], log_dets = forward(step, X[known])
                log_det[known] += log_dets
            X = Z
        return X, log_det

    def inverse(self, Z):
        for step in reversed(self._steps):
            Z = step.inverse(Z)
        return Z

    def intervals(self, n_features):
        *first, last = [step.intervals(n_features) for step in self._steps]
        # What steps before leave out, the last one would move.
        return last if all(map(is_everywhere, first)) else None

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
    """Groups of columns, each with its own transformer."""

    def __init__(self, transformer, log_det):
        self._blocks = []
        for name, part, _ in transformer.transformers_:
            columns = np.asarray(transformer._transformer_to_input_indices[name], int)
            if len(columns) and part != "drop":
                out = transformer.output_indices_[name]
                self._blocks.append((columns, out, bijection(part, log_det)))
        used = [c for columns, _, _ in self._blocks for c in columns]
        if sorted(used) != [*range(transformer.n_features_in_)]:
            raise ValueError(
                f"ColumnTransformer uses the columns {sorted(map(int, used))} of "
                f"{transformer.n_features_in_}; a density needs each of them once. Set "
                "remainder='passthrough', and let no two transformers share columns."
            )

    def forward(self, X):
        return self._each(X, lambda block, rows: block.forward(rows))

    def forward_training(self, X):
        return self._each(X, lambda block, rows: block.forward_training(rows))

    def _each(self, X, forward):
        Z, log_det = np.empty(X.shape, X.dtype), np.zeros(len(X))
        for columns, out, block in self._blocks:
            Z[:, out], log_dets = forward(block, X[:, columns])
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
            known = block.intervals(len(used))
            if known is None:
                return None
            columns[out] = known
        return columns

    def contains(self, Z):
        answers = [block.contains(Z[:, out]) for _, out, block in self._blocks]
        return np.logical_and.reduce(answers)


def is_everywhere(intervals):
    """Tell whether an image is known to be the whole space."""
    return intervals is not None and all(
        np.array_equal(edges, WHOLE_LINE) for edges in intervals
    )


def _is_dict(log_det):
    return isinstance(log_det, dict)


def _refuse_clip(scaler):
    if getattr(scaler, "clip", False):
        raise ValueError(
            f"clip=True of {type(scaler).__name__} makes its map flat outside the "
            "data, where no density is left. Set clip=False."
        )


def _divided(scaler):
    _refuse_clip(scaler)
    return 0.0 if scaler.scale_ is None else -np.log(scaler.scale_).sum()


def _multiplied(scaler):
    _refuse_clip(scaler)
    return np.log(scaler.scale_).sum()


def _whitened(pca):
    if pca.n_components_ < pca.n_features_in_:
        raise ValueError(
            f"PCA keeps {pca.n_components_} of {pca.n_features_in_} directions; what "
            "it drops has no density. Keep all: n_components=None, and no fewer rows "
            "than columns."
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
    known = Identity if transformer.func is None else Function
    return known(transformer, log_det)


def type_of(transformer):
    """Return the class in :data:`BIJECTIONS` that a transformer is one of."""
    for cls in type(transformer).__mro__:
        if cls in BIJECTIONS:
            return cls
    known = ", ".join(cls.__name__ for cls in BIJECTIONS)
    raise TypeError(
        f"The log-determinant of {transformer!r} is not known. Use one of {known}; or "
        "FunctionTransformer(func, inverse_func=...) with log_det, a function that "
        "returns it for each row."
    )


def bijection(transformer, log_det=None):
    """Return a fitted transformer as a change of variables.

    Parameters
    ----------
    transformer : fitted transformer, 'passthrough' or None
        One of those in :data:`BIJECTIONS`.

    log_det : callable, dict or None, default=None
        Log-determinant of the function of a `FunctionTransformer`, or a dict from
        such functions to their log-determinants.

    Returns
    -------
    bijection : Bijection
        The change of variables.

    Raises
    ------
    TypeError
        If its log-determinant is not known.

    ValueError
        If it has none, because the map is flat or drops columns.
    """
    if transformer is None or transformer == "passthrough":
        return Identity(transformer, log_det)
    return BIJECTIONS[type_of(transformer)](transformer, log_det)


_LINEAR_LOG_DETS = {
    MaxAbsScaler: _divided,
    MinMaxScaler: _multiplied,
    PCA: _whitened,
    RobustScaler: _divided,
    StandardScaler: _divided,
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
    ColumnTransformer: Blocks,
    Pipeline: Chain,
}

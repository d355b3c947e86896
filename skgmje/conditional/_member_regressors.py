"""Regressors of the user's as members of a stack: of numbers or of distributions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone, is_regressor
from sklearn.linear_model import QuantileRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from skgmje._bridges import find_last
from skgmje._sklearn import _safe_indexing
from skgmje.conditional._members import (
    Member,
    MemberFit,
    Prediction,
    in_order,
    log_std,
    moments,
    places,
    plain,
)
from skgmje.gaussian._mixture import Mixture

# Of the quantiles that a distribution is asked for, and of regressors of one quantile.
LEVELS = (np.arange(20) + 0.5) / 20
FEW_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


class EachQuantile(RegressorMixin, BaseEstimator):
    """A regressor of one quantile, cloned for each of several."""

    def __init__(self, regressor):
        self.regressor = regressor

    def fit(self, X, y, sample_weight=None):
        params = {} if sample_weight is None else {"sample_weight": sample_weight}
        self.regressors_ = [
            clone(self.regressor)
            .set_params(**{_level_name(self.regressor): level})
            .fit(X, y, **params)
            for level in FEW_LEVELS
        ]
        return self

    def predict_each(self, X):
        """Return the quantiles, (n_samples, n_levels)."""
        return np.stack([np.ravel(each.predict(X)) for each in self.regressors_], -1)


def _level_name(regressor):
    """Return the parameter that is the level of one quantile, or None."""
    last, prefix = _innermost(regressor)
    params = last.get_params(deep=False)
    if not isinstance(last, QuantileRegressor) and params.get("loss") != "quantile":
        return None
    return prefix + ("quantile" if "quantile" in params else "alpha")


def _innermost(regressor):
    """Return what pipelines and searches end in, and the prefix of its parameters."""
    parts = []
    if isinstance(regressor, Pipeline):
        parts = regressor.steps[-1:]
    elif isinstance(regressor, BaseEstimator):
        params = regressor.get_params(deep=False)
        parts = [(n, params.get(n)) for n in ("estimator", "regressor")]
        parts = [(n, part) for n, part in parts if isinstance(part, BaseEstimator)]
    if not parts:
        return regressor, ""
    last, prefix = _innermost(parts[0][1])
    return last, f"{parts[0][0]}__{prefix}"


def _check_shape(name, values, *wanted):
    """Raise unless an answer has a row for each sample."""
    if values.shape != wanted:
        raise ValueError(
            f"{name} returned an array of shape {values.shape}; expected {wanted}, a "
            "row for each sample."
        )


def _of_bars(regressor, X):
    """Return levels and quantiles of bars, within which the density is constant."""
    edges, bars = map(np.asarray, regressor.predict_bars(X))
    n, n_bars = X.shape[0], bars.shape[-1:]
    _check_shape("predict_bars", bars, n, *n_bars)
    if edges.ndim > 1:
        _check_shape("predict_bars", edges, n, n_bars[0] + 1)
    parts = Mixture.from_histogram(edges, bars)  # which checks them
    upper = np.cumsum(parts.weights, axis=-1)
    edges = np.broadcast_to(edges, (len(bars), edges.shape[-1]))
    pairs = zip(upper, edges, strict=True)
    return LEVELS, np.stack([np.interp(LEVELS, np.append(0, u), e) for u, e in pairs])


def _of_object(regressor, X):
    """Return levels and quantiles of an object with a method ``ppf``."""
    found = regressor.pred_dist(X)
    return LEVELS, np.stack([np.ravel(found.ppf(level)) for level in LEVELS], axis=-1)


# What a regressor may know of the distribution of its target, and how it is asked.
ANSWERS = {
    "predict_mixture": lambda regressor, X: regressor.predict_mixture(X),
    "predict_quantiles": lambda regressor, X: (
        LEVELS,
        np.asarray(regressor.predict_quantiles(X, LEVELS)),
    ),
    "predict_bars": _of_bars,
    "pred_dist": _of_object,
    "predict_each": lambda regressor, X: (FEW_LEVELS, regressor.predict_each(X)),
}


def is_member(value):
    """Return whether a value is a regressor, or can be asked for a distribution."""
    # Not all of these have tags, and scikit-learn raises for what has none.
    return isinstance(value, BaseEstimator) and (_tells(value) or is_regressor(value))


def _tells(regressor):
    """Return whether a regressor can be asked for a distribution."""
    return any(hasattr(_innermost(regressor)[0], name) for name in ANSWERS)


@dataclass(frozen=True)
class Units:
    """Location and scale of each target, and the smallest width in these."""

    loc: Any
    scale: Any
    min_scale: float

    def ask(self, regressor, X, target):
        """Return means (n,) or mixtures of a target, in standard units."""
        loc, scale = self.loc[target], self.scale[target]
        asked, X = find_last(regressor, X)
        n = X.shape[0]
        for name, read in ANSWERS.items():
            if hasattr(asked, name):
                answer = read(asked, X)
                break
        else:
            means = np.ravel(asked.predict(X))
            _check_shape("predict", means, n)
            return (means - loc) / scale
        if isinstance(answer, Mixture):
            _check_shape(name, answer.mean, n, 1)
            return answer.to_numpy().affine(1 / scale, -loc / scale)
        levels, values = answer
        _check_shape(name, values, n, len(levels))
        # Quantiles that cross are put in order, equal ones a smallest width apart.
        ramp = self.min_scale * np.arange(len(levels))
        rest = np.sort((values - loc) / scale, axis=-1) - ramp
        values = np.maximum.accumulate(rest, axis=-1) + ramp
        return Mixture.from_quantiles(levels, values)


@dataclass(frozen=True)
class RegressorMember(Member):
    """Regressors of the user's, one for each target, fitted to all samples."""

    regressors: tuple
    units: Units

    def predict(self, X, raw):
        each = enumerate(self.regressors)
        return _prediction([self.units.ask(r, raw, target) for target, r in each])


@dataclass(frozen=True)
class RegressorFit:
    """Fits a regressor of the user's, in the units of the data."""

    regressor: Any
    units: tuple

    def __call__(self, rows, network, seed):
        """Predict each fold by a clone fitted to the others, then fit all rows."""
        units = Units(*self.units, network.min_scale)
        regressor, weights = self.regressor, {}
        takes_weights = has_fit_parameter(regressor, "sample_weight")
        if not _tells(regressor) and _level_name(regressor):
            regressor = EachQuantile(regressor)
        each = np.arange(len(rows.Y))
        if rows.weighted and takes_weights:
            weights = {"sample_weight": rows.weight}
        elif rows.weighted:
            # What takes no weights is shown the copies.
            each = np.repeat(each, rows.copies)

        def learn(kept, y):
            params = {name: weight[kept] for name, weight in weights.items()}
            X = _safe_indexing(rows.raw, kept)
            return clone(regressor).fit(X, y[kept], **params)

        held_out, regressors = [], []
        for target, y in enumerate((rows.Y * units.scale + units.loc).T):
            parts = []
            for k in range(rows.n_folds):
                fitted = learn(each[rows.fold[each] != k], y)
                unseen = _safe_indexing(rows.raw, np.flatnonzero(rows.fold == k))
                parts.append(units.ask(fitted, unseen, target))
            held_out.append(_joined(parts, rows.fold))
            regressors.append(learn(each, y))
        member = RegressorMember(tuple(regressors), units)
        return MemberFit(member, _prediction(held_out))


def _joined(parts, fold):
    """Return what is predicted of each fold in the order of the samples."""
    if isinstance(parts[0], Mixture):
        return in_order(parts, fold)
    return np.concatenate(parts)[places(fold)]


def _prediction(columns):
    """Return the prediction of means or mixtures, one for each target."""
    if not isinstance(columns[0], Mixture):
        means = np.stack(columns, axis=1)
        return Prediction(means[..., None])
    if len(columns) == 1:
        return moments(plain(columns[0]))
    means = np.concatenate([column.mean for column in columns], axis=1)
    variances = np.concatenate([column.covariance[:, 0] for column in columns], axis=1)
    return Prediction(means[..., None], log_std(np.sqrt(variances)))

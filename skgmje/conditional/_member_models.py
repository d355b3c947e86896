"""Boosted trees, networks, joint mixtures and regressors as members."""

from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.utils.validation import has_fit_parameter

from skgmje._sklearn import boosted_nodes
from skgmje.conditional._joint import fit_prototypes
from skgmje.conditional._member import (
    Answer,
    Expert,
    ExpertFit,
    Nodes,
    join_trees,
    log_std,
)
from skgmje.conditional._models import join_mixtures
from skgmje.gaussian._mixture import Mixture

# Numbers of trees at which to look whether more are wanted: the best number was
# among the last few of those that are tried.
N_TREES, EVERY, PATIENCE = (100, 300, 500), 10, 3


BOOSTING = {"learning_rate": 0.08, "l2_regularization": 1.0, "max_features": 0.7}


# Above so many features, looks and bins are fewer: each costs time by the features.
MANY_FEATURES, FEW_LOOKS, FEW_BINS = 30, 2, 63


# Rows above which the trees have more leaves, and larger ones.
MANY_LEAVES_ROWS, LARGE_LEAVES_ROWS = 3000, 1500


# Rows whose leaves exist at a time.
CHUNK_ROWS = 1000


# Of networks that are one expert of many.
MANY_ROWS, MOST_STEPS = 5000, 3000


@dataclass(frozen=True)
class Boosted:
    """Boosted trees of several models of one target."""

    nodes: Nodes
    value: Any
    start: float
    n_models: int

    def predict(self, X):
        """Return the models' mean predictions, shape (n_samples,)."""
        parts = [
            self.value[self.nodes.leaf(X[i : i + CHUNK_ROWS])].sum(axis=1)
            for i in range(0, len(X), CHUNK_ROWS)
        ]
        return self.start + np.concatenate(parts) / self.n_models


@dataclass(frozen=True)
class BoostingExpert(Expert):
    """Boosted trees of each target, of one model for each fold."""

    targets: tuple

    def answer(self, X, raw):
        means = np.stack([boosted.predict(X) for boosted in self.targets], axis=1)
        return Answer(means[..., None], np.empty((len(X), 0)))


def fit_boosting(rows, settings, seed):
    """Boost trees on all folds but one; choose their number by all folds together."""
    fits = [_boost(rows, y, seed) for y in rows.Y.T]
    targets, held_out = zip(*fits, strict=True)
    means = np.stack(held_out, axis=1)[..., None]
    answer = Answer(means, np.empty((len(means), 0)))
    return ExpertFit(BoostingExpert(targets), answer)


def _boost(rows, y, seed):
    """Return the trees of a model for each fold, and what they hold out."""
    models = _boosters(rows, seed)
    looks = FEW_LOOKS if rows.X.shape[1] > MANY_FEATURES else len(N_TREES)
    for n_trees in N_TREES[:looks]:
        stages = np.empty((n_trees // EVERY, len(y)))
        for k, model in enumerate(models):
            own = rows.fold == k
            model.set_params(max_iter=n_trees)
            model.fit(rows.X[~own], y[~own], rows.weight[~own])
            staged = model.staged_predict(rows.X[own])
            stages[:, own] = list(islice(staged, EVERY - 1, None, EVERY))
        errors = np.average((stages - y) ** 2, axis=1, weights=rows.weight)
        best = int(errors.argmin())
        if best < len(errors) - PATIENCE:
            break
    return _join(models, (best + 1) * EVERY), stages[best]


def _boosters(rows, seed):
    """Return one model for each fold, which grows when it is fitted again."""
    n, n_features = rows.X.shape
    return [
        HistGradientBoostingRegressor(
            max_bins=FEW_BINS if n_features > MANY_FEATURES else 255,
            max_leaf_nodes=15 if n < MANY_LEAVES_ROWS else 31,
            min_samples_leaf=5 if n < LARGE_LEAVES_ROWS else 10,
            early_stopping=False,
            warm_start=True,
            random_state=(seed + k) % 2**32,
            **BOOSTING,
        )
        for k in range(rows.n_folds)
    ]


def _join(models, n_trees):
    """Return the first trees of all models."""
    found, starts = zip(*map(boosted_nodes, models), strict=True)
    trees = [tree for own in found for tree in own[:n_trees]]
    names = ("feature_idx", "num_threshold", "left", "right", "is_leaf")
    nodes = join_trees(
        [tuple(tree[name].astype(float) for name in names) for tree in trees], float
    )
    value = np.concatenate([tree["value"] for tree in trees])
    return Boosted(nodes, value, float(np.mean(starts)), len(models))


@dataclass(frozen=True)
class NetworkExpert(Expert):
    """An ensemble of mixture density networks, on contexts alone."""

    model: Any

    def answer(self, X, raw):
        return _moments(self.model.predict_mixture(X))


def fit_networks(rows, settings, seed):
    """Train a network on all folds but one, for each fold."""
    from skgmje.conditional._network_fit import held_out_mixture, train_network

    if settings.max_iter == "auto" and len(rows.X) > MANY_ROWS:
        settings = replace(settings, max_iter=MOST_STEPS)
    model, unseen, training, steps = train_network(
        rows.X, rows.Y, rows.fold, settings, rows.weight, np.random.RandomState(seed)
    )
    held_out = _moments(held_out_mixture(model, rows.X, unseen))
    return ExpertFit(NetworkExpert(model), held_out, training.trouble, steps)


def _moments(mixture):
    """Return means and spreads of a density beside it."""
    variance = np.diagonal(mixture.covariance, axis1=-2, axis2=-1)
    return Answer(mixture.mean[..., None], log_std(np.sqrt(variance)), mixture)


@dataclass(frozen=True)
class RegressorExpert(Expert):
    """Regressors of the user's, one for each target, fitted to all rows."""

    regressors: tuple
    units: tuple

    def answer(self, X, raw):
        means = [np.ravel(regressor.predict(raw)) for regressor in self.regressors]
        return _standardised(means, self.units)


@dataclass(frozen=True)
class RegressorFit:
    """Fits a regressor of the user's, in the units of the data."""

    regressor: Any
    units: tuple

    def __call__(self, rows, settings, seed):
        """Predict each fold by a clone fitted to the others, then fit all rows."""
        params = {}
        if rows.weighted and has_fit_parameter(self.regressor, "sample_weight"):
            params = {"sample_weight": rows.weight}
        held_out, regressors = [], []
        loc, scale = self.units
        for y in (rows.Y * scale + loc).T:
            predicted = cross_val_predict(
                clone(self.regressor),
                rows.raw,
                y,
                cv=PredefinedSplit(rows.fold),
                params=params or None,
            )
            held_out.append(np.ravel(predicted))
            regressors.append(clone(self.regressor).fit(rows.raw, y, **params))
        expert = RegressorExpert(tuple(regressors), self.units)
        return ExpertFit(expert, _standardised(held_out, self.units))


def _standardised(means, units):
    loc, scale = units
    means = (np.stack(means, axis=1) - loc) / scale
    return Answer(means[..., None], np.empty((len(means), 0)))


# Columns of contexts and targets together, up to which joint mixtures are strong.
MOST_COLUMNS = 4


@dataclass(frozen=True)
class JointExpert(Expert):
    """The conditional of a joint mixture."""

    model: Any

    def answer(self, X, raw):
        return _answer(_plain(self.model.predict_mixture(X)))


def fit_joint_mixture(rows, settings, seed):
    """Fit a joint mixture, its size by held-out conditional likelihood."""
    random_state = np.random.RandomState(seed)
    free = replace(
        settings,
        n_components="auto",
        covariance_type="full",
        max_iter="auto",
        reg_covar=settings.min_scale**2,
    )
    fit = fit_prototypes(rows.X, rows.Y, free, rows.weight, random_state)
    model = fit.model
    chosen = replace(
        free,
        n_components=model.mixture.n_components,
        shrinkage=fit.info["shrinkage"],
    )
    parts, order = [], []
    for k in range(rows.n_folds):
        own = np.flatnonzero(rows.fold == k)
        kept = rows.fold != k
        size = min(chosen.n_components, int(kept.sum()))
        part = fit_prototypes(
            rows.X[kept],
            rows.Y[kept],
            replace(chosen, n_components=size),
            rows.weight[kept],
            random_state,
        )
        parts.append(_padded(_plain(part.model.predict_mixture(rows.X[own])), chosen))
        order.append(own)
    back = np.argsort(np.concatenate(order))
    arrays = ("weights", "means", "covariances")
    joined = [np.concatenate([getattr(p, a) for p in parts])[back] for a in arrays]
    held_out = Mixture(*joined, parts[0].covariance_type)
    return ExpertFit(JointExpert(model), _answer(held_out))


def _plain(mixture):
    """Return a mixture whose rows share nothing."""
    return join_mixtures([(1.0, mixture)], len(mixture.means))


def _padded(mixture, chosen):
    """Return a mixture of as many components as others, the last ones of no weight."""
    n_missing = chosen.n_components - mixture.n_components
    if n_missing == 0:
        return mixture
    parts = [
        np.concatenate([part, np.repeat(part[:, :1], n_missing, axis=1)], axis=1)
        for part in (mixture.weights, mixture.means, mixture.covariances)
    ]
    parts[0][:, mixture.n_components :] = 0.0
    return Mixture(*parts, mixture.covariance_type)


def _answer(mixture):
    return Answer(mixture.mean[..., None], np.empty((len(mixture.means), 0)), mixture)

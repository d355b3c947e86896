"""Fitted conditional densities as values: joint mixtures and pools."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from skgmje.gaussian._checks import patterns
from skgmje.gaussian._covariance import COVARIANCE_TYPES, common_type
from skgmje.gaussian._mixture import Mixture


class Conditional(ABC):
    """A conditional density that is one Gaussian mixture for each context."""

    @abstractmethod
    def predict_mixture(self, X):
        """Return the mixtures of the targets."""


class Fit(NamedTuple):
    """A fitted conditional density and what was learned on the way."""

    model: Conditional
    held_out: Any = None
    info: Any = {}
    trouble: str = ""


@dataclass(frozen=True)
class JointConditional(Conditional):
    """The conditional of a joint mixture, in closed form."""

    mixture: Mixture
    n_context: int
    n_targets: int = field(init=False)

    def __post_init__(self):
        n_targets = self.mixture.n_features - self.n_context
        object.__setattr__(self, "n_targets", n_targets)

    def predict_mixture(self, X):
        missing = np.isnan(X)
        if not missing.any():
            return self.mixture.condition(range(self.n_context), X)
        return self._given_observed(X)

    def _given_observed(self, X):
        """Condition each row on what it shows: missing entries are integrated out."""
        n, k, d = len(X), self.mixture.n_components, self.n_targets
        weights, means = np.empty((n, k)), np.empty((n, k, d))
        covariances = np.empty((n, k, d, d))
        targets = list(range(self.n_context, self.mixture.n_features))
        for rows, observed in patterns(X):
            seen = np.flatnonzero(observed)
            part = self.mixture.marginal([*seen, *targets])
            if len(seen):
                part = part.condition(range(len(seen)), X[np.ix_(rows, seen)])
            weights[rows], means[rows] = part.weights, part.means
            dense = COVARIANCE_TYPES[part.covariance_type].dense
            covariances[rows] = dense(part.covariances, k, d)
        return Mixture(weights, means, covariances)


def conditional_log_prob(mixture, rows, n_context):
    """Compute ``log p(y | x)`` of joint rows under a joint mixture."""
    context = slice(0, n_context)
    marginal = mixture.marginal(context)
    return mixture.log_prob(rows, missing="marginal") - marginal.log_prob(
        rows[:, context], missing="marginal"
    )


# Models of less weight cost more time than they are worth.
SMALLEST_WEIGHT = 0.02


MAX_ITER = 1000


TOL = 1e-7


@dataclass(frozen=True)
class PooledConditional(Conditional):
    """A weighted mean of conditional densities, which is again a mixture."""

    weights: Any
    models: tuple

    @property
    def n_context(self):
        return self.models[0].n_context

    @property
    def n_targets(self):
        return self.models[0].n_targets

    def predict_mixture(self, X):
        missing = np.isnan(X).any(axis=1)
        weights = np.tile(self.weights, (len(X), 1))
        if missing.any():
            joint = [isinstance(model, JointConditional) for model in self.models]
            weights[missing] = np.arange(len(joint)) == joint.index(True)
        # What the others say of incomplete rows has no weight.
        filled = np.nan_to_num(X)
        parts = []
        for weight, model in zip(weights.T, self.models, strict=True):
            rows = X if isinstance(model, JointConditional) else filled
            if weight.any():
                parts.append((weight[:, None], model.predict_mixture(rows)))
        return join_mixtures(parts, len(X))


def pool_weights(log_densities, sample_weight=None):
    """Find the weights of the linear pool that predicts held-out rows best."""
    n_rows, n_models = log_densities.shape
    weight = np.ones(n_rows) if sample_weight is None else sample_weight
    top = log_densities.max(axis=1)
    rows = np.isfinite(top) & (weight > 0)
    densities = np.exp(log_densities[rows] - top[rows, None])
    if not rows.any():
        return np.full(n_models, 1 / n_models)
    pool = _maximize(densities, weight[rows] / weight[rows].sum())
    kept = pool >= min(SMALLEST_WEIGHT, pool.max())
    pool[~kept] = 0.0
    if not kept.all():
        pool[kept] = pool_weights(log_densities[:, kept], weight)
    return pool


def _maximize(densities, weight):
    """Run EM until no model gains or loses weight."""
    pool = np.full(densities.shape[1], 1 / densities.shape[1])
    for _ in range(MAX_ITER):
        joint = densities * pool
        new = weight @ (joint / joint.sum(axis=1, keepdims=True))
        if np.abs(new - pool).max() < TOL:
            break
        pool = new
    return pool / pool.sum()


def join_mixtures(parts, n_rows):
    """Return one diag or full mixture per sample, with the components of all."""
    weights = [np.broadcast_to(np.ravel(weight), n_rows) for weight, _ in parts]
    return Mixture.mix([_as_plain(mixture) for _, mixture in parts], weights)


def _as_plain(mixture):
    """Return a mixture whose covariances are diag, if that holds them, or full."""
    k, d = mixture.n_components, mixture.n_features
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    as_diag = d == 1 or common_type(mixture.covariance_type, "diag") == "diag"
    read, name = (kind.diagonal, "diag") if as_diag else (kind.dense, "full")
    if name == mixture.covariance_type:
        return mixture
    covariances = read(mixture.covariances, k, d)
    return Mixture(mixture.weights, mixture.means, covariances, name)

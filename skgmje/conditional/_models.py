"""Fitted conditional densities as values: joint mixtures and pools."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from skgmje.gaussian._checks import patterns
from skgmje.gaussian._covariance import COVARIANCE_TYPES
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
        return join_mixtures(parts, len(X), self.n_targets)


def join_mixtures(parts, n_rows, n_targets):
    """Return one mixture per row with the components of all."""
    types = {mixture.covariance_type for _, mixture in parts}
    as_diag = n_targets == 1 or types <= {"diag", "spherical"}
    weights, means, covariances = [], [], []
    for weight, mixture in parts:
        k = mixture.n_components
        kind = COVARIANCE_TYPES[mixture.covariance_type]
        read = kind.diagonal if as_diag else kind.dense
        part = read(mixture.covariances, k, n_targets)
        tail = (n_targets,) if as_diag else (n_targets, n_targets)
        weights.append(np.broadcast_to(weight * mixture.weights, (n_rows, k)))
        means.append(np.broadcast_to(mixture.means, (n_rows, k, n_targets)))
        covariances.append(np.broadcast_to(part, (n_rows, k, *tail)))
    joined = (
        np.concatenate(arrays, axis=1) for arrays in (weights, means, covariances)
    )
    return Mixture(*joined, "diag" if as_diag else "full")

"""Fitted conditional densities as values: joint mixtures and pools."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from skgmje.gaussian._checks import patterns
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._mixture import Mixture


class Conditional(ABC):
    """A conditional density that is one Gaussian mixture for each context.

    Implementations are frozen, hold NumPy arrays only, and have the attributes
    `n_context` and `n_targets`.
    """

    @abstractmethod
    def predict_mixture(self, X):
        """Return the mixtures of the targets.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_context)
            Contexts.

        Returns
        -------
        mixture : Mixture
            One for each row, over the targets.
        """


class Fit(NamedTuple):
    """A fitted conditional density and what was learned on the way.

    Parameters
    ----------
    model : Conditional
        The density.

    held_out : ndarray of shape (n_samples,) or None
        Log-density of each training row by models that have not seen it; NaN
        where there is none.

    info : dict
        Further results, such as ``n_iter`` or ``loss_curve``.

    trouble : str
        What a user should know, in sentences; empty if there is nothing.
    """

    model: Conditional
    held_out: Any = None
    info: Any = {}
    trouble: str = ""


@dataclass(frozen=True)
class JointConditional(Conditional):
    r"""The conditional of a joint mixture, in closed form.

    .. math:: p(y | x) = p(x, y) / p(x)

    Parameters
    ----------
    mixture : Mixture
        Over contexts and targets, in this order.

    n_context : int
        Number of context features.
    """

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
    """Compute ``log p(y | x)`` of joint rows under a joint mixture.

    Parameters
    ----------
    mixture : Mixture
        Over contexts and targets.

    rows : ndarray of shape (n_samples, n_context + n_targets)
        Rows; NaN means missing.

    n_context : int
        Number of context features.

    Returns
    -------
    log_prob : ndarray of shape (n_samples,)
        In nats.
    """
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
    r"""A weighted mean of conditional densities, which is again a mixture.

    .. math:: p(y | x) = \sum_j v_j\, p_j(y | x)

    Parameters
    ----------
    weights : ndarray of shape (n_models,)
        Not negative, summing to one. Models of weight zero are not asked.

    models : tuple of Conditional
        Of the same contexts and targets. Rows with missing contexts are left to
        the first that is a :class:`JointConditional`, whatever its weight.
    """

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


def pool_weights(log_densities, sample_weight=None):
    r"""Find the weights of the linear pool that predicts held-out rows best.

    .. math:: \max_v \sum_i c_i \log \sum_j v_j\, p_j(y_i | x_i)

    The problem is concave, and EM from equal weights solves it. Models that get
    less than 0.02 are left out.

    Parameters
    ----------
    log_densities : ndarray of shape (n_samples, n_models)
        Of each row by models that have not seen it.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights c of the rows.

    Returns
    -------
    weights : ndarray of shape (n_models,)
        Not negative, summing to one; equal if no row has a density.
    """
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


def join_mixtures(parts, n_rows, n_targets):
    """Return one mixture per row with the components of all.

    Parameters
    ----------
    parts : list of (weight, Mixture)
        Weights, numbers or of shape (n_rows, 1), and mixtures, one for each row.

    n_rows : int
        Number of rows.

    n_targets : int
        Number of features of the mixtures.

    Returns
    -------
    mixture : Mixture
        Of type 'diag' if all parts are, else 'full'.
    """
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

"""Linear pools of conditional densities."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skgmje._joint._models import Conditional, JointConditional
from skgmje.gaussian import COVARIANCE_TYPES, Mixture

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

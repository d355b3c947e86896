"""Joint densities of embeddings, and densities of codes."""

from typing import Any, NamedTuple

import numpy as np

from skgmje._standardize import Units
from skgmje.conditional._models import JointConditional
from skgmje.em._select import ROWS_PER_COMPONENT, fit_selected
from skgmje.gaussian._mixture import Mixture

# Relative to the variances, so that collapsed embeddings too have a density.
RELATIVE_FLOOR = 1e-6


# What one view never tells of a direction of the other, as a share of its variance.
_LEAST_UNEXPLAINED = 1e-3


# Rows that stand side by side at a time.
_CHUNK_ROWS = 2**16


class LatentDensity(NamedTuple):
    """Densities of context and target embeddings."""

    conditional: Any
    marginal: Any
    context_units: Any
    target_units: Any

    def predict_mixture(self, z_context):
        """Return the mixtures of the targets, one for each row."""
        loc, scale = self.target_units[:2]
        rows = self.context_units.standardise(z_context)
        return self.conditional.predict_mixture(rows).affine(scale, loc)

    def log_prob(self, z_context, z_target):
        """Compute the joint log-density by the chain rule."""
        conditional = self.predict_mixture(z_context).log_prob(z_target)
        return self.marginal.log_prob(z_context) + conditional


def embedding_units(Z):
    """Return the units of embeddings; a floor holds for dimensions that collapsed."""
    scale = Z.std(axis=0)
    top = scale.max()
    return Units(Z.mean(axis=0), np.maximum(scale, 1e-6 * top) if top else scale + 1.0)


def gaussian(*views):
    """Return the Gaussian of views side by side: moments, with a relative floor."""
    loc = np.concatenate([Z.mean(axis=0) for Z in views])
    total = np.zeros((len(loc), len(loc)))
    for start in range(0, len(views[0]), _CHUNK_ROWS):
        chunk = slice(start, start + _CHUNK_ROWS)
        diff = np.hstack([Z[chunk] for Z in views]) - loc
        total += diff.T @ diff
    matrix = total / len(views[0])
    variance = np.diagonal(matrix)
    floor = RELATIVE_FLOOR * np.where(variance > 0, variance, variance.max() or 1.0)
    matrix = matrix + np.diag(floor)
    return Mixture(np.ones(1), loc[None], matrix[None])


def latent_density(
    model, z_context, context_units, target_units, settings=None, random_state=None
):
    """Complete a conditional density by the marginal of its contexts."""
    if isinstance(model, JointConditional):
        marginal = model.mixture.marginal(slice(0, model.n_context))
    else:
        rows = context_units.standardise(z_context)
        marginal = _fit_marginal(rows, settings, random_state)
    loc, scale = context_units[:2]
    marginal = marginal.affine(scale, loc)
    return LatentDensity(model, marginal, context_units, target_units)


def _fit_marginal(rows, settings, random_state):
    """Fit a mixture to contexts by EM."""
    chosen = settings.n_components, settings.covariance_type, settings.shrinkage
    steps = {"tol": settings.tol, "reg_covar": settings.reg_covar}
    fit = fit_selected(rows, chosen, random_state, selecting={}, **steps)
    return fit.result.mixture


class PairMoments(NamedTuple):
    """Gaussians of both views and of the pair."""

    context: Any
    target: Any
    joint: Any

    @classmethod
    def from_pairs(cls, z_context, z_target):
        """Take the moments of training pairs, and discount what they owe to chance."""
        joint = gaussian(z_context, z_target)
        matrix, (n, d) = joint.covariances[0].copy(), z_context.shape
        context, target = joint.marginal(slice(0, d)), joint.marginal(slice(d, None))
        left, right = (
            np.linalg.cholesky(part.covariances[0]) for part in (context, target)
        )
        cross = np.linalg.solve(left, matrix[:d, d:])
        U, cosines, V = np.linalg.svd(np.linalg.solve(right, cross.T).T)
        unexplained = (1 - cosines**2) * (n + d) / max(n - d, 1)
        cosines = np.sqrt(1 - np.clip(unexplained, _LEAST_UNEXPLAINED, 1.0))
        matrix[:d, d:] = left @ (U * cosines) @ V @ right.T
        matrix[d:, :d] = matrix[:d, d:].T
        return cls(context, target, Mixture(joint.weights, joint.means, matrix[None]))

    def information(self, z_context, z_target):
        """Compute the pointwise mutual information of pairs, shape (n_pairs,)."""
        pair = np.hstack([z_context, z_target])
        return (
            self.joint.log_prob(pair)
            - self.context.log_prob(z_context)
            - self.target.log_prob(z_target)
        )


_KIND = "full"


# Samples that each component borrows from all, and a floor, in standard units.
_SHRINKAGE, _FLOOR = 2.0, 1e-4


# Iterations of EM, and of those that candidates for the number of components get.
_N_STEPS, _N_SELECTION_STEPS = 200, 100


# Codes are trained to have unit variance; what varies less is rounding.
_LEAST_STD = 1e-4


def fit_codes(codes, n_components, random_state, task):
    """Fit a mixture to codes by expectation-maximisation."""
    loc, scale = codes.mean(axis=0), codes.std(axis=0)
    varies = scale > _LEAST_STD
    scale = np.where(varies, scale, _LEAST_STD)
    rows = np.where(varies, (codes - loc) / scale, 0.0)
    if n_components == "auto" and task.when:
        n_components = 1
    selecting = None
    if n_components == "auto":
        selecting = {"max_iter": _N_SELECTION_STEPS}
    else:
        n_components = max(1, min(n_components, len(rows) // ROWS_PER_COMPONENT))
    result = fit_selected(
        rows,
        (n_components, _KIND, _SHRINKAGE),
        random_state,
        selecting=selecting,
        work=task,
        max_iter=_N_STEPS,
        reg_covar=_FLOOR,
    ).result
    trouble = ""
    if not result.converged:
        trouble = (
            f"The mixture of codes did not converge in {_N_STEPS} steps. Decrease "
            "n_components."
        )
    return result.mixture.affine(scale, loc), trouble

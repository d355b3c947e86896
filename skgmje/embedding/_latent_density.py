"""Densities of embeddings and of codes, and the collapse of embeddings."""

import warnings
from typing import Any, NamedTuple

import numpy as np

from skgmje._standardize import plain_standardization
from skgmje.conditional._models import JointConditional
from skgmje.em._select import ROWS_PER_COMPONENT, fit_selected
from skgmje.embedding._losses import covariance
from skgmje.gaussian._mixture import Mixture

# Relative to the variances, so that collapsed embeddings too have a density.
_VARIANCE_FLOOR = 1e-6

# Of the scales, as a share of the largest one.
_LEAST_SCALE = 1e-6

# Variance of a direction that the other view never explains, as a share.
_LEAST_UNEXPLAINED = 1e-3

# Samples that stand side by side at a time.
_CHUNK_ROWS = 2**16


class LatentDensity(NamedTuple):
    """Densities of context and target embeddings."""

    conditional: Any
    marginal: Any
    context_units: Any
    target_units: Any

    def predict_mixture(self, z_context):
        """Return the mixtures of the targets, one for each sample."""
        loc, scale = self.target_units[:2]
        rows = self.context_units.forward(z_context)
        return self.conditional.predict_mixture(rows).affine(scale, loc)

    def log_prob(self, z_context, z_target):
        """Compute the joint log-density by the chain rule."""
        conditional = self.predict_mixture(z_context).log_prob(z_target)
        return self.marginal.log_prob(z_context) + conditional


def standardize_views(*views):
    """Return the standardizations of embeddings, with a floor for collapsed ones."""
    return [plain_standardization(Z, least_share=_LEAST_SCALE) for Z in views]


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
    floor = _VARIANCE_FLOOR * np.where(variance > 0, variance, variance.max() or 1.0)
    matrix = matrix + np.diag(floor)
    return Mixture(np.ones(1), loc[None], matrix[None])


def latent_density(
    model, z_context, context_units, target_units, settings=None, random_state=None
):
    """Complete a conditional density by the marginal of its contexts."""
    if isinstance(model, JointConditional):
        marginal = model.mixture.marginal(slice(0, model.n_context))
    else:
        rows = context_units.forward(z_context)
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
    units = plain_standardization(codes, least=_LEAST_STD)
    rows = np.where(units.scale > _LEAST_STD, units.forward(codes), 0.0)
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
    return result.mixture.affine(units.scale, units.loc), trouble


# A direction without any spread counts as this variance.
_SMALLEST_VARIANCE = 1e-20

# Share of the dimensions that are used, spread of an embedding, and fall of a
# marginal log-determinant in nats, in all and for each dimension, beyond which a
# representation has collapsed. Contrastive losses lower it by one for each.
LEAST_RANK_SHARE = 0.1
LEAST_STD = 1e-2
LARGEST_DROP = 5.0
LARGEST_DROP_PER_DIMENSION = 3.0


class CollapseWarning(UserWarning):
    """The embeddings use few directions or hardly vary, or few samples are learned.

    See Also
    --------
    diagnose : The figures, for any samples.

    Examples
    --------

    >>> issubclass(CollapseWarning, UserWarning)
    True
    """


def spectrum(Z):
    """Return the eigenvalues of the samples' covariance, not negative."""
    return np.maximum(np.linalg.eigvalsh(covariance(Z)[1]), 0.0)


def log_det(Z):
    """Return the log-determinant of the samples' covariance, finite."""
    return float(np.log(spectrum(Z) + _SMALLEST_VARIANCE).sum())


def effective_rank(Z):
    """Return the exponential of the entropy of the eigenvalues' shares."""
    values = spectrum(Z)
    if not values.sum():
        return 0.0
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def measure(Z):
    """Return effective rank, standard deviations and log-determinant of samples."""
    return {
        "effective_rank": effective_rank(Z),
        "std": Z.std(axis=0),
        "logdet": log_det(Z),
    }


def describe(figures, n_rows, drop=0.0):
    """Say in sentences what has collapsed; empty if nothing has."""
    dim, rank = len(figures["std"]), figures["effective_rank"]
    std = float(figures["std"].mean())
    findings = []
    if std < LEAST_STD:
        findings.append(
            f"All samples have nearly the same embedding: its standard deviation is "
            f"{std:.2g} on average."
        )
    most = min(dim, n_rows - 1)
    if rank < LEAST_RANK_SHARE * most:
        findings.append(
            f"The embeddings lie along {rank:.1f} directions of {most}, however far "
            "they spread."
        )
    if drop > max(LARGEST_DROP, LARGEST_DROP_PER_DIMENSION * dim):
        findings.append(
            f"The volume that a view fills shrank in training: the log-determinant of "
            f"its covariance fell by {drop:.3g} nats."
        )
    if findings:
        findings.append(
            "Use loss='gje' with logdet_weight=1 (or loss='pmi'), which keeps the "
            "directions apart; if it is in use, lower embedding_dim or learning_rate."
        )
    return " ".join(findings)


def warn_of_collapse(name, words):
    """Warn that the embeddings of estimator `name` collapsed, if there are words."""
    if words:
        message = f"The embeddings of {name} have collapsed. {words}"
        warnings.warn(message, CollapseWarning, stacklevel=5)


def diagnose(estimator, X):
    """Diagnose whether the embeddings of some samples have collapsed.

    The standard deviation alone does not show it: on a sphere, or before a
    normalising layer, all samples may lie along one direction and still spread.

    Parameters
    ----------
    estimator : GJEEmbedder or GMJEEmbedder
        Fitted.

    X : array-like of shape (n_samples, n_features)
        Samples, at least two.

    Returns
    -------
    diagnosis : dict
        ``effective_rank``, the exponential of the entropy of the covariance's
        eigenvalues; ``std`` of shape (embedding_dim,); ``logdet`` of the
        covariance; ``logdet_drop``, by how much the marginal log-determinants
        fell in training, shape (2,); ``collapsed``, a bool; ``words``, findings
        and remedy, empty if all is well.

    Raises
    ------
    TypeError
        If `estimator` is no embedder.

    ValueError
        If there is only one sample.

    See Also
    --------
    CollapseWarning : What ``fit`` says of the training samples.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skgmje import GJEEmbedder
    >>> X, _ = load_digits(return_X_y=True)
    >>> embedder = GJEEmbedder(embedding_dim=8, max_iter=50, random_state=0).fit(X)
    >>> diagnose(embedder, X)["collapsed"]
    False
    """
    if not hasattr(estimator, "transform_target"):
        raise TypeError(
            f"{estimator!r} is no embedder. Pass a fitted GJEEmbedder or GMJEEmbedder; "
            "of a pipeline its step."
        )
    Z = estimator._embed(X)
    if len(Z) < 2:
        raise ValueError("X has one sample, whose embedding has no spread. Pass more.")
    figures = measure(Z)
    words = describe(figures, len(Z), estimator.logdet_drop_.max())
    figures["logdet_drop"] = estimator.logdet_drop_
    return {**figures, "collapsed": bool(words), "words": words}

"""Whether embeddings have collapsed, and how far from a Gaussian they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from skgmje._typing import ArrayLike
from skgmje.embedding._losses import covariance
from skgmje.embedding._normality import normality

# A direction without any spread counts as this variance.
_NO_VARIANCE = 1e-20

# Share of the dimensions that are used, spread of an embedding, and fall of a
# marginal log-determinant in nats, in all and for each dimension, beyond which a
# representation has collapsed. Contrastive losses lower it by one for each.
_LEAST_RANK_SHARE = 0.1
_LEAST_STD = 1e-2
_LARGEST_DROP = 5.0
_LARGEST_DROP_PER_DIMENSION = 3.0


class CollapseWarning(UserWarning):
    """The embeddings use few directions or hardly vary, or few samples are learned.

    :func:`diagnose` returns the figures, for any samples.

    Examples
    --------
    >>> from skgmje.embedding import CollapseWarning
    >>> issubclass(CollapseWarning, UserWarning)
    True
    """


def spectrum(Z):
    """Return the eigenvalues of the samples' covariance, not negative."""
    return np.maximum(np.linalg.eigvalsh(covariance(Z)[1]), 0.0)


def log_det(Z):
    """Return the log-determinant of the samples' covariance, finite."""
    return float(np.log(spectrum(Z) + _NO_VARIANCE).sum())


def _perplexity(values):
    """Return the exponential of the entropy of the values' shares; 0 of nothing."""
    if not values.sum():
        return 0.0
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _shape(Z):
    """Return condition, RankMe and normality of samples, and what they leave open."""
    values = spectrum(Z) + _NO_VARIANCE
    statistic, pvalue, n_axes = normality(Z)
    shape = {
        "condition": float(values.max() / values.min()),
        "rankme": _perplexity(np.linalg.svd(Z, compute_uv=False)),
        "normality": statistic,
        "normality_pvalue": pvalue,
    }
    n, d = Z.shape
    if n < d + 2:
        return shape, (
            f"Of {n} samples in {d} dimensions condition and normality tell nothing, "
            f"whatever they are: pass {d + 2} or more, better several times as many."
        )
    if n_axes < d:
        return shape, (
            f"The normality is that of {n_axes} of {d} directions: the variance of the "
            "others is less than 1e-10 of the largest."
        )
    return shape, ""


def measure(Z):
    """Return effective rank, standard deviations and log-determinant of samples."""
    return {
        "effective_rank": _perplexity(spectrum(Z)),
        "std": Z.std(axis=0),
        "logdet": log_det(Z),
    }


def describe(figures, n_rows, drop=0.0):
    """Say in sentences what has collapsed; empty if nothing has."""
    dim, rank = len(figures["std"]), figures["effective_rank"]
    std = float(figures["std"].mean())
    findings = []
    if std < _LEAST_STD:
        findings.append(
            f"All samples have nearly the same embedding: its standard deviation is "
            f"{std:.2g} on average."
        )
    most = min(dim, n_rows - 1)
    if rank < _LEAST_RANK_SHARE * most:
        findings.append(
            f"The embeddings lie along {rank:.1f} directions of {most}, however far "
            "they spread."
        )
    if drop > max(_LARGEST_DROP, _LARGEST_DROP_PER_DIMENSION * dim):
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


def diagnose(estimator: Any, X: ArrayLike) -> dict[str, Any]:
    r"""Diagnose whether the embeddings of some samples have collapsed.

    The standard deviation alone does not show it: all samples may lie along one
    direction and still spread. How far embeddings are from a Gaussian is the statistic
    of Baringhaus, Henze, Epps and Pulley [2]_,

    .. math:: n \int \Bigl| \tfrac1n \sum_j e^{i t^T y_j} - e^{-\|t\|^2/2} \Bigr|^2
        N(t; 0, I / d) \, dt

    of at most 500 whitened embeddings y. Invertible linear maps do not change it.

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
        fell in training, shape (2,); ``condition``, the largest eigenvalue over the
        least; ``rankme``, as the effective rank, but of the singular values of the
        embeddings, which are not centered [1]_; ``normality``, the statistic;
        ``normality_pvalue``, the share of 199 sets of as many Gaussian samples, and of
        this one, with no smaller statistic, 1 unless there are at least two samples
        more than dimensions; ``collapsed``, a bool; ``words``, findings and remedy, and
        what cannot be told, empty if all is well.

    Raises
    ------
    TypeError
        If `estimator` is no embedder.

    ValueError
        If there is only one sample.

    References
    ----------
    .. [1] Q. Garrido, R. Balestriero, L. Najman and Y. LeCun, "RankMe: Assessing the
       Downstream Performance of Pretrained Self-Supervised Representations by Their
       Rank", ICML 2023. :arxiv:`2210.02885`
    .. [2] L. Baringhaus and N. Henze, "A consistent test for multivariate normality
       based on the empirical characteristic function", Metrika 35, 1988.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skgmje import GJEEmbedder
    >>> from skgmje.embedding import diagnose
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
    figures, drop = measure(Z), estimator.logdet_drop_
    words = describe(figures, len(Z), drop.max())
    shape, limits = _shape(Z)
    said = {"collapsed": bool(words), "words": f"{words} {limits}".strip()}
    return {**figures, "logdet_drop": drop, **shape, **said}

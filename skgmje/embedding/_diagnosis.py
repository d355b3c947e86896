"""Collapse and effective rank of embeddings."""

import warnings

import numpy as np

from skgmje.embedding._losses import covariance

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
    """The embeddings use few directions or hardly vary, or few rows are learned.

    See Also
    --------
    diagnose : The figures, for any rows.

    Examples
    --------

    >>> issubclass(CollapseWarning, UserWarning)
    True
    """


def spectrum(Z):
    """Return the eigenvalues of the rows' covariance, not negative."""
    return np.maximum(np.linalg.eigvalsh(covariance(Z)[1]), 0.0)


def log_det(Z):
    """Return the log-determinant of the rows' covariance, finite."""
    return float(np.log(spectrum(Z) + _SMALLEST_VARIANCE).sum())


def effective_rank(Z):
    """Return the exponential of the entropy of the eigenvalues' shares."""
    values = spectrum(Z)
    if not values.sum():
        return 0.0
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def measure(Z):
    """Return effective rank, standard deviations and log-determinant of rows."""
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
            f"All rows have nearly the same embedding: its standard deviation is "
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
    """Tell whether the embeddings of some rows have collapsed.

    The standard deviation alone does not show it: on a sphere, or before a
    normalising layer, all rows may lie along one direction and still spread.

    Parameters
    ----------
    estimator : GJEEmbedder or GMJEEmbedder
        Fitted.

    X : array-like of shape (n_samples, n_features)
        Rows, at least two.

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
        If there is only one row.

    See Also
    --------
    CollapseWarning : What ``fit`` says of the training rows.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skgmje.embedding._gje import GJEEmbedder
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
        raise ValueError("X has one row, and one embedding has no spread. Pass more.")
    figures = measure(Z)
    words = describe(figures, len(Z), estimator.logdet_drop_.max())
    figures["logdet_drop"] = estimator.logdet_drop_
    return {**figures, "collapsed": bool(words), "words": words}

"""Surprise of the columns of a sample, each alone or given the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from skgmje._bridges import as_mixture
from skgmje._settings import own_errors
from skgmje._typing import ArrayLike, NDArray
from skgmje._validation import check_numbers

# Samples whose conditional densities exist at a time.
CHUNK_ROWS = 4096


@own_errors
def feature_surprise(
    density: Any, X: ArrayLike, *, relative: bool = True
) -> NDArray[Any]:
    r"""Compute how unlikely each value is, whatever the other columns say.

    .. math:: s_{ij} = \max_t \log p_j(t) - \log p_j(x_{ij})

    with the marginal :math:`p_j` of each column: the nats that lie between the
    value and the most likely one. Under a normal density it is half the squared
    z-score.

    Parameters
    ----------
    density : Mixture or fitted estimator
        Whatever :func:`skgmje.as_mixture` takes.

    X : array-like of shape (n_samples, n_features)
        Samples; NaN means missing.

    relative : bool, default=True
        Whether to subtract from the most likely value's log-density. Otherwise
        the surprise is :math:`-\log p_j(x_{ij})`, which depends on the units of
        the column.

    Returns
    -------
    surprise : ndarray of shape (n_samples, n_features)
        In nats; 0 for a missing value. If relative, not negative, and the same in
        any units.

    Raises
    ------
    TypeError
        If the density is not one Gaussian mixture.

    ValueError
        If `X` does not fit the density.

    See Also
    --------
    conditional_surprise : Given the other columns of the sample.

    Examples
    --------
    The sample lies in the middle of each column, but not where the two together are:

    >>> from skgmje import Mixture
    >>> from skgmje.metrics import conditional_surprise, feature_surprise
    >>> mixture = Mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.99], [0.99, 1.0]]])
    >>> feature_surprise(mixture, [[1.0, -1.0]])
    array([[0.5, 0.5]])
    >>> conditional_surprise(mixture, [[1.0, -1.0]]).round(1)
    array([[99.5, 99.5]])
    """
    return _each_pattern(density, X, _marginal_surprise, relative)


@own_errors
def conditional_surprise(density: Any, X: Any, *, relative: Any = True) -> NDArray[Any]:
    r"""Compute how unlikely each value is, given the other columns of its sample.

    .. math:: s_{ij} = \max_t \log p(t \mid x_{i,-j})
        - \log p(x_{ij} \mid x_{i,-j})

    These are the nats that the sample's log-density would gain if this one column had
    the value that fits the others best. A sample that none of the columns can repair
    alone has several wrong values.

    Parameters
    ----------
    density, X, relative : Mixture, array-like and bool
        As those of :func:`feature_surprise`; if an entry is missing, the others are
        conditioned on what is there.

    Returns
    -------
    surprise : ndarray of shape (n_samples, n_features)
        In nats; 0 for a missing value. If relative, not negative, and the same in
        any units.

    Raises
    ------
    TypeError
        If the density is not one Gaussian mixture.

    ValueError
        If `X` does not fit the density.

    See Also
    --------
    feature_surprise : Each column by itself.
    mutual_information : How much columns tell about each other on average.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import conditional_surprise
    >>> mixture = Mixture([1.0], [[0.0, 0.0, 0.0]], [1.0], "spherical")
    >>> conditional_surprise(mixture, [[0.0, 4.0, 1.0]])
    array([[0. , 8. , 0.5]])
    """
    return _each_pattern(density, X, _conditional_surprise, relative)


def _each_pattern(density, X, function, relative):
    """Apply `function` to samples that lack the same columns, and to what they have."""
    mixture = as_mixture(density).to_numpy()
    X = _check_rows(mixture, X)
    surprise = np.zeros(X.shape)
    patterns, owner = np.unique(~np.isnan(X), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        if not pattern.any():
            continue
        columns = np.flatnonzero(pattern)
        marginal = mixture.marginal(columns.tolist())
        rows = np.flatnonzero(owner.ravel() == number)
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = np.ix_(rows[start : start + CHUNK_ROWS], columns)
            surprise[chunk] = function(marginal, X[chunk], relative)
    return surprise


def _check_rows(mixture, X):
    X = check_numbers(X, "X", ensure_all_finite="allow-nan")
    if X.shape[1] != mixture.n_features:
        raise ValueError(
            f"X has {X.shape[1]} columns but the density has {mixture.n_features} "
            "features. Give one column for each of them."
        )
    return X


def _marginal_surprise(mixture, X, relative):
    """Return the surprise of each column alone, (n, d)."""
    columns = [mixture.marginal([j]) for j in range(mixture.n_features)]
    parts = [_gap(p, X[:, [j]], relative) for j, p in enumerate(columns)]
    return np.stack(parts, axis=1)


def _conditional_surprise(mixture, X, relative):
    """Return the surprise of each column given the others, (n, d)."""
    if mixture.n_features == 1:
        return _marginal_surprise(mixture, X, relative)
    parts = []
    for j in range(mixture.n_features):
        others = [i for i in range(mixture.n_features) if i != j]
        given = mixture.condition(others, X[:, others])
        parts.append(_gap(given, X[:, [j]], relative))
    return np.stack(parts, axis=1)


def _gap(mixture, values, relative):
    """Return how far the log-density of values is below the top, or below zero."""
    logs = mixture.log_prob(values)
    if not relative:
        return -logs
    # The search for the top may miss it by a little.
    return np.maximum(mixture.log_prob(mixture.mode()) - logs, 0.0)

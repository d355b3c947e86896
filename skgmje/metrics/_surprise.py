"""Surprise of the columns of a sample, each alone or given the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from skgmje._bridges import as_mixture
from skgmje._settings import own_errors
from skgmje._typing import ArrayLike, NDArray
from skgmje._validation import check_numbers
from skgmje.gaussian._checks import patterns

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
    return _surprise(density, X, _marginal, relative)


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
        As that of :func:`feature_surprise`.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import conditional_surprise
    >>> mixture = Mixture([1.0], [[0.0, 0.0, 0.0]], [1.0], "spherical")
    >>> conditional_surprise(mixture, [[0.0, 4.0, 1.0]])
    array([[0. , 8. , 0.5]])
    """
    return _surprise(density, X, _conditional, relative)


def _surprise(density, X, density_of, relative):
    """Return the surprise of each entry under the density of its column, (n, d)."""
    mixture = as_mixture(density).to_numpy()
    X = check_numbers(X, "X", ensure_all_finite="allow-nan")
    if X.shape[1] != mixture.n_features:
        raise ValueError(
            f"X has {X.shape[1]} columns but the density has {mixture.n_features} "
            "features. Give one column for each of them."
        )
    surprise = np.zeros(X.shape)
    for rows, observed in patterns(X):
        columns = np.flatnonzero(observed)
        known = mixture.marginal(columns) if len(columns) else None
        for part in np.split(rows, range(CHUNK_ROWS, len(rows), CHUNK_ROWS)):
            values = X[np.ix_(part, columns)]
            for j, column in enumerate(columns):
                one = density_of(known, values, j)
                gap = -one.log_prob(values[:, [j]])
                if relative:
                    # The search for the mode may miss it by a little.
                    gap = np.maximum(one.log_prob(one.mode()) + gap, 0.0)
                surprise[part, column] = gap
    return surprise


def _marginal(mixture, X, j):
    """Return the density of a column."""
    return mixture.marginal([j])


def _conditional(mixture, X, j):
    """Return the densities of a column given the others, one for each sample."""
    others = [i for i in range(mixture.n_features) if i != j]
    return mixture.condition(others, X[:, others]) if others else mixture

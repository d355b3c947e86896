"""Where expectation-maximisation begins."""

import numpy as np
from sklearn.cluster import kmeans_plusplus
from sklearn.metrics import pairwise_distances_argmin

from skgmje._selection import kmeans_labels
from skgmje.adaptation import start_mixture
from skgmje.adaptation._e_step import has_missing, row_mean

# K-means copies its rows; a start on more of them than this would not be better.
MAX_START_ENTRIES = 2**21
ROWS_PER_COMPONENT = 64


def _from_kmeans(X, weight, n_components, random_state):
    labels = kmeans_labels(
        X, n_components, sample_weight=weight, random_state=random_state
    )
    return X, labels, weight


def _from_scaled_kmeans(X, weight, n_components, random_state):
    labels = kmeans_labels(
        X, n_components, sample_weight=weight, random_state=random_state, scale=True
    )
    return X, labels, weight


def _from_plusplus(X, weight, n_components, random_state):
    rows = kmeans_plusplus(
        _complete(X, weight),
        n_components,
        sample_weight=weight,
        random_state=random_state,
    )[1]
    return _from_rows(X, weight, rows)


def _from_data(X, weight, n_components, random_state):
    share = None if weight is None else weight / weight.sum()
    if share is not None and np.count_nonzero(share) < n_components:
        share = None
    rows = random_state.choice(len(X), size=n_components, replace=False, p=share)
    return _from_rows(X, weight, rows)


def _from_rows(X, weight, rows):
    """Begin at some rows; where entries are missing, with all rows nearest to them.

    Of what one row lacks it would tell nothing.
    """
    labels = np.arange(len(rows))
    if not has_missing(X):
        return X[rows], labels, None
    filled = _complete(X, weight)
    nearest = pairwise_distances_argmin(filled, filled[rows])
    nearest[rows] = labels
    return X, nearest, weight


def _from_random(X, weight, n_components, random_state):
    resp = random_state.uniform(size=(len(X), n_components))
    return X, resp / resp.sum(axis=1, keepdims=True), weight


def _complete(X, weight):
    mean = np.nan_to_num(row_mean(X, weight))
    return np.where(np.isnan(X), mean, X)


def _some_rows(X, weight, n_components, random_state):
    """Return a random part of very many rows: a start needs no more."""
    n_rows = max(MAX_START_ENTRIES // X.shape[1], ROWS_PER_COMPONENT * n_components)
    rows = slice(None)
    if n_rows < len(X):
        rows = np.sort(random_state.randint(len(X), size=n_rows))
    # In double precision, because weights are divided by their sum.
    return X[rows], None if weight is None else weight[rows].astype(float, copy=False)


# Each returns rows, labels or responsibilities, and row weights for one M-step.
STARTS = {
    "kmeans": _from_kmeans,
    "k-means++": _from_plusplus,
    "random": _from_random,
    "random_from_data": _from_data,
    "kmeans-scaled": _from_scaled_kmeans,
}


def draw_start(X, weight, n_components, init_params, random_state, **step_params):
    """Return a first mixture.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows; NaN means missing.

    weight : ndarray of shape (n_samples,) or None
        Weights of the rows.

    n_components : int
        Number of components; fewer come back if rows repeat.

    init_params : str
        Key of :data:`STARTS`.

    random_state : RandomState instance
        Source of randomness.

    **step_params : dict
        Parameters of :func:`skgmje.adaptation.start_mixture`.

    Returns
    -------
    mixture : Mixture
        Where expectation-maximisation begins.
    """
    X, weight = _some_rows(X, weight, n_components, random_state)
    rows, resp, row_weight = STARTS[init_params](X, weight, n_components, random_state)
    return start_mixture(rows, resp, sample_weight=row_weight, **step_params)

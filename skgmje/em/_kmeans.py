"""Starts from the samples: k-means, k-means++ and random responsibilities."""

import numpy as np
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.metrics import pairwise_distances_argmin
from threadpoolctl import threadpool_limits

from skgmje.em._e_step import has_missing, row_mean
from skgmje.em._start import start_mixture

# Squares of much larger numbers, or their inverses, overflow in single precision.
LARGEST_SQUARED = 1e15


def kmeans_labels(X, n_clusters, *, sample_weight=None, random_state=None, scale=False):
    """Return k-means labels of the rows; missing entries count as feature means."""
    labels = _kmeans(X, n_clusters, sample_weight, random_state, scale)[0]
    return np.unique(labels, return_inverse=True)[1].ravel()


def kmeans_centers(X, n_clusters, *, sample_weight=None, random_state=None):
    """Return k-means centres of the rows, shape (n_clusters, n_features)."""
    return _kmeans(X, n_clusters, sample_weight, random_state, scale=False)[1]


def _kmeans(X, n_clusters, sample_weight, random_state, scale):
    if np.isnan(X).any() or scale:
        mean = np.nan_to_num(row_mean(X, sample_weight))
        X = np.where(np.isnan(X), mean, X)
    if scale:
        spread = np.sqrt(row_mean((X - mean) ** 2, sample_weight))
        X = (X - mean) / np.where(spread > 0, spread, 1.0)
    largest = max(float(X.max()), -float(X.min()))
    if largest and not 1 / LARGEST_SQUARED < largest < LARGEST_SQUARED:
        X = X.astype(np.float64) / largest
    if sample_weight is not None:
        sample_weight = sample_weight / sample_weight.max()
    n_clusters = min(n_clusters, count_distinct(X, n_clusters))
    kmeans = KMeans(n_clusters, n_init=1, random_state=random_state)
    # The order in which threads add partial sums is not the same in every run.
    with threadpool_limits(1, user_api="openmp"):
        kmeans.fit(X, sample_weight=sample_weight)
    return kmeans.labels_, kmeans.cluster_centers_


def count_distinct(X, enough):
    """Count distinct rows, as far as `enough`."""
    n_rows = 16 * enough
    n_distinct = int(_distinct(X[:n_rows]).max()) + 1
    if n_distinct >= enough or n_rows >= len(X):
        return n_distinct
    return int(_distinct(X).max()) + 1


def _distinct(X):
    """Number the distinct rows from 0, by a random projection of them."""
    directions = np.random.RandomState(0).standard_normal((2, X.shape[1]))
    missing = np.isnan(X)
    finite = np.where(missing, 0.0, X)
    scale = max(float(finite.max()), -float(finite.min())) or 1.0
    projection = (finite / scale) @ directions[0] + missing @ directions[1]
    return np.unique(projection, return_inverse=True)[1].ravel()


def scaled_kmeans_labels(X, n_clusters, sample_weight, random_state):
    """Return k-means labels of the rows in standard units."""
    return kmeans_labels(
        X,
        n_clusters,
        sample_weight=sample_weight,
        random_state=random_state,
        scale=True,
    )


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
    """Begin at some rows; where entries are missing, with all rows nearest to them."""
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
    """Return a first mixture."""
    X, weight = _some_rows(X, weight, n_components, random_state)
    rows, resp, row_weight = STARTS[init_params](X, weight, n_components, random_state)
    return start_mixture(rows, resp, sample_weight=row_weight, **step_params)

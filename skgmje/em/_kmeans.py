"""k-means labels and centers."""

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from skgmje.em._e_step import row_mean

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

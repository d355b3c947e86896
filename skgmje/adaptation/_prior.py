"""Towards what the M-step shrinks covariances."""

import numpy as np

# Components whose scatter is pooled into a neighbourhood's target.
N_NEIGHBORS = 8


def pooled_target(scatter, counts, means, pool):
    """Return the pooled within-covariance: the same target for every component.

    Parameters
    ----------
    scatter : ndarray of shape (n_components, ...)
        Second moments about the means.

    counts : ndarray of shape (n_components,)
        Sum of the responsibilities.

    means : ndarray of shape (n_components, n_features)
        Means of the components.

    pool : ndarray
        Sum of `scatter` over the components, divided by the number of rows.

    Returns
    -------
    target : ndarray
        Broadcasts against `scatter`.
    """
    return pool


def neighbors_target(scatter, counts, means, pool):
    """Return the pooled covariance of the components around each component.

    The eight nearest components (itself included, in the metric of the pool)
    give :math:`T_k = (\\sum S_j + 2 d P) / (\\sum N_j + 2 d)`. Up to eight
    components, all are neighbours and the target is the pool itself.

    Parameters
    ----------
    scatter : ndarray of shape (n_components, ...)
        Second moments about the means.

    counts : ndarray of shape (n_components,)
        Sum of the responsibilities.

    means : ndarray of shape (n_components, n_features)
        Means of the components.

    pool : ndarray
        Sum of `scatter` over the components, divided by the number of rows.

    Returns
    -------
    target : ndarray of the shape of `scatter`
        One target for each component.
    """
    n_components, n_features = means.shape
    if n_components <= N_NEIGHBORS:
        return pool
    white = _whiten(means, pool)
    squares = (white**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * white @ white.T
    nearest = np.argpartition(distances, N_NEIGHBORS, axis=1)[:, :N_NEIGHBORS]
    extra = 2 * n_features
    trailing = (1,) * (scatter.ndim - 1)
    count = (counts[nearest].sum(axis=1) + extra).reshape(-1, *trailing)
    return (scatter[nearest].sum(axis=1) + extra * pool) / count


def _whiten(means, pool):
    if pool.ndim < 2:
        return means / np.sqrt(np.maximum(pool, np.finfo(float).tiny))
    # Only the order of distances matters: rounding may leave a pool that is not
    # positive definite, and the floor just keeps the order defined.
    values, vectors = np.linalg.eigh(pool)
    floor = max(1e-9 * values[-1], np.finfo(float).tiny)
    return means @ vectors / np.sqrt(np.maximum(values, floor))


SHRINKAGE_TARGETS = {"pooled": pooled_target, "neighbors": neighbors_target}

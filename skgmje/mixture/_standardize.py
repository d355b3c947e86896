"""Units in which features compare."""

import numpy as np

# Features that vary less are constant: their squares would underflow.
_SMALLEST = 1e-140


def drop_weightless(X, sample_weight):
    """Return the rows that count, and their weights unless all are one.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows.

    sample_weight : ndarray of shape (n_samples,) or None
        Weights of the rows, not all zero.

    Returns
    -------
    X : ndarray of shape (n_rows, n_features)
        Rows of positive weight.

    sample_weight : ndarray of shape (n_rows,) or None
        Their weights.
    """
    if sample_weight is None:
        return X, None
    counts = sample_weight > 0
    X, sample_weight = X[counts], sample_weight[counts]
    return X, None if (sample_weight == 1).all() else sample_weight


def standardization(X, sample_weight, *, per_feature):
    """Return location and scale of the rows, without overflow on the way.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows.

    sample_weight : ndarray of shape (n_samples,) or None
        Weights of the rows.

    per_feature : bool
        Whether each feature has its own scale. Otherwise all share one, which
        keeps the geometry of the rows.

    Returns
    -------
    loc : ndarray of shape (n_features,)
        Means of the features.

    scale : ndarray of shape (n_features,) or ()
        Standard deviations, or the root of their mean square; 1 where the
        feature, or everything, is constant.
    """
    loc = np.average(X.astype(np.float64, copy=False), axis=0, weights=sample_weight)
    diff = X - loc
    largest = np.abs(diff).max(axis=0)
    rounding = 10 * np.finfo(X.dtype).eps * np.abs(X).max(axis=0)
    varies = largest > np.maximum(rounding, _SMALLEST)
    unit = np.where(varies, largest, 1.0)
    scale = unit * np.sqrt(
        np.average((diff / unit) ** 2, axis=0, weights=sample_weight)
    )
    if per_feature:
        return loc, np.where(varies, scale, 1.0)
    top = scale.max(where=varies, initial=0.0)
    if top == 0.0:
        return loc, np.float64(1.0)
    return loc, top * np.sqrt(np.mean((np.where(varies, scale, 0.0) / top) ** 2))

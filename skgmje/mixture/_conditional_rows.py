"""Rows of contexts and targets, and the units they are learned in."""

import warnings

import numpy as np
from sklearn.utils.validation import validate_data

from skgmje._backend import from_tensor
from skgmje._base import LARGEST, check_magnitude, check_weights
from skgmje._row_blocks import check_values, refuse_blocks
from skgmje.adaptation._e_step import observed_moments

# Above this share of repeated targets a likelihood says little.
TIE_SHARE = 0.05
# Rounding leaves a constant feature a relative variance of this size.
_CONSTANT = 1e-28


def check_pairs(estimator, X, y, sample_weight, *, allow_nan):
    """Return checked contexts, targets as they came, and the weights; rows that count.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose ``n_features_in_`` is set.

    X : array-like of shape (n_samples, n_features)
        Contexts.

    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Targets.

    sample_weight : array-like of shape (n_samples,) or None
        Weights of the rows.

    allow_nan : bool
        Whether NaN in `X` means missing.

    Returns
    -------
    X : ndarray of shape (n_rows, n_features)
        Contexts of positive weight.

    y : ndarray of shape (n_rows,) or (n_rows, n_targets)
        Their targets, float64.

    sample_weight : ndarray of shape (n_rows,) or None
        Their weights.

    Raises
    ------
    ValueError
        If an entry cannot be used, or fewer than two rows count.
    """
    refuse_blocks(estimator, X)
    X, y = validate_data(
        estimator,
        from_tensor(X),
        from_tensor(y),
        dtype=[np.float64, np.float32],
        multi_output=True,
        y_numeric=True,
        ensure_min_samples=2,
        ensure_all_finite="allow-nan" if allow_nan else True,
    )
    check_magnitude(X)
    y = np.asarray(y, np.float64)
    if np.abs(y).max() > LARGEST:
        raise ValueError(
            f"y has an entry of size {np.abs(y).max():.3g}; the squares of entries "
            f"above {LARGEST:g} overflow. Rescale y."
        )
    sample_weight = check_weights(sample_weight, X)
    if sample_weight is None or sample_weight.all():
        check_values(estimator, X)
        return X, y, sample_weight
    counts = sample_weight > 0
    if counts.sum() < 2:
        raise ValueError(
            "sample_weight: only one row has a positive weight, which tells nothing "
            "of the spread. Give at least two."
        )
    check_values(estimator, X[counts])
    return X[counts], y[counts], sample_weight[counts]


def location_scale(X, sample_weight):
    """Return means and standard deviations of the columns; 1 for constant ones.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows; NaN means missing.

    sample_weight : ndarray of shape (n_samples,) or None
        Weights of the rows.

    Returns
    -------
    loc, scale : ndarray of shape (n_features,)
        Of what is not missing.
    """
    loc, variance = observed_moments(X, sample_weight)
    varies = variance > _CONSTANT * loc**2
    return loc, np.sqrt(np.where(varies, variance, 1.0))


def warn_about_ties(y, name):
    """Warn if many targets repeat: their likelihood is one of the resolution."""
    for j, column in enumerate(y.T):
        _, counts = np.unique(column, return_counts=True)
        share = 1 - len(counts) / len(column)
        if share > TIE_SHARE and len(counts) > 1:
            warnings.warn(
                f"{name}: {share:.0%} of the values of target {j} repeat others. A "
                "log-likelihood of ties measures how narrow the components may be "
                "(min_scale, reg_covar): compare models by CRPS, see skgmje.metrics.",
                UserWarning,
                stacklevel=3,
            )

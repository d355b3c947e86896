"""Samples that a fit of a mixture takes, checked."""

import numpy as np

from skgmje._validation import (
    as_blocks,
    check_blocks,
    check_rows,
    check_values,
    check_weights,
)
from skgmje.em._blocks import BlocksWithValues
from skgmje.em._missing import has_missing


def fit_rows(estimator, X, sample_weight, *, reset=True):
    """Return checked samples and weights, without those of no weight or no value."""
    blocks = as_blocks(X, sample_weight)
    if blocks is not None:
        X, weight = check_blocks(estimator, blocks, allow_nan=True), None
        if X.overview.has_missing:
            X = BlocksWithValues(X)
    else:
        least = 2 if reset else 1
        X = check_rows(
            estimator, X, reset=reset, allow_nan=True, min_samples=least, fitting=True
        )
        weight = check_weights(sample_weight, X)
        if weight is not None and not weight.all():
            X, weight = X[weight > 0], weight[weight > 0]
        given, (X, weight) = X, _with_values(X, weight)
        if reset or not len(X):
            check_values(estimator, given)
    n_components, n_samples = estimator.n_components, X.shape[0]
    if reset and n_components != "auto" and n_samples < n_components:
        raise ValueError(
            f"n_components={n_components} is larger than the number of samples with "
            f"positive weight, n_samples={n_samples}. Lower n_components or add "
            "samples."
        )
    return X, weight


def _with_values(X, weight):
    """Return the samples that have a value, and their weights."""
    if not has_missing(X):
        return X, weight
    valued = ~np.isnan(X).all(axis=1)
    if valued.all():
        return X, weight
    return X[valued], None if weight is None else weight[valued]

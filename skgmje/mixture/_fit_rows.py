"""Samples that a fit of a mixture takes, checked."""

from functools import partial

import numpy as np

from skgmje._backend import from_tensor
from skgmje._validation import (
    as_blocks,
    check_blocks,
    check_numbers,
    check_rows,
    check_values,
    check_weights,
)
from skgmje.em._blocks import BlocksWithValues, RowBlocks
from skgmje.em._missing import has_missing, observed_moments
from skgmje.em._noise import (
    check_noise,
    check_noise_names,
    precision_weights,
    split_noise,
    unjoin,
)
from skgmje.em._select import part_of
from skgmje.mixture._few_samples import warn_of_large_noise


def fit_rows(estimator, X, sample_weight, noise=None, *, reset=True):
    """Return checked samples, weights, noise, without those of no weight or value."""
    blocks = as_blocks(X, sample_weight)
    if blocks is not None:
        X, weight = check_blocks(estimator, blocks, allow_nan=True), None
        if noise is not None:
            noise = blocks.beside(noise)
            noise.over_rows(partial(_check_block, X.shape[1]), min)
        if X.overview.has_missing:
            X = BlocksWithValues(X)
    else:
        least = 2 if reset else 1
        X = check_rows(
            estimator, X, reset=reset, allow_nan=True, min_samples=least, fitting=True
        )
        weight = check_weights(sample_weight, X)
        noise = read_noise(estimator, noise, X, weight)
        if noise is not None and not noise.any():
            noise = None
        if weight is not None and not weight.all():
            X, weight, noise = some(weight > 0, X, weight, noise)
        given, (X, weight, noise) = X, _with_values(X, weight, noise)
        if reset or not len(X):
            check_values(estimator, given)
    if reset:
        check_size(estimator, X)
    return X, weight, noise


def check_size(estimator, X):
    """Raise if there are fewer samples that count than components."""
    n_components, n_samples = estimator.n_components, X.shape[0]
    if n_components != "auto" and n_components > n_samples:
        raise ValueError(
            f"n_components={n_components} is larger than the n_samples={n_samples} "
            "samples with a positive weight. Lower n_components or add samples."
        )


def read_noise(estimator, noise, X, weight=None):
    """Return the noise of checked samples, checked and read as they are; None stays."""
    if noise is None:
        return None
    check_noise_names(noise, getattr(estimator, "feature_names_in_", None))
    values = np.asarray(from_tensor(noise))
    if values.dtype.kind == "O":
        # As frames with types of their own have it.
        how = {"ensure_all_finite": False, "ensure_2d": False, "allow_nd": True}
        values = check_numbers(noise, "noise", **how)
    return check_noise(values, X, weight)


def some(rows, *arrays):
    """Return some rows of arrays; None stays."""
    return tuple(None if array is None else array[rows] for array in arrays)


def _with_values(X, *others):
    """Return the samples that have a value, and their weights and noise."""
    if not has_missing(X):
        return X, *others
    valued = ~np.isnan(X).all(axis=1)
    return (X, *others) if valued.all() else some(valued, X, *others)


def first_part(estimator, X, weight, noise, random_state, least):
    """Return samples and weights that a fit looks at first, its start's, and noise."""
    if noise is None or not isinstance(X, RowBlocks):
        part = part_of(X, weight, random_state, least)
    else:
        joined = part_of(noise, weight, random_state, least)
        rows, noise, weight = unjoin(*joined, X.shape[1])
        part = rows, weight
    if noise is None:
        return part, part, None
    warn_of_large_noise(estimator, part[0], noise, part[1])
    return part, (part[0], precision_weights(*part, noise)), noise


def check_takes_noise(estimator, X, automatic):
    """Raise where there is no fit to samples with noise."""
    if estimator.background:
        raise ValueError(
            "noise does not go with background=True. Set background=False."
        )
    name = None
    if estimator.criterion != "held-out":
        name = f"criterion={estimator.criterion!r}"
    elif isinstance(X, RowBlocks):
        name = "what is 'auto' of a Dask collection"
    if automatic and name is not None:
        raise ValueError(
            f"noise does not go with {name}. Set numbers in place of 'auto', which a "
            "grid search chooses by score(X, noise=noise)."
        )


def chunks_of(blocks, noise):
    """Yield the samples of each block, their weights and their noise."""
    if noise is None:
        for X, weight in blocks:
            yield X, weight, None
        return
    for (X, weight), (joined, _) in zip(blocks, blocks.beside(noise), strict=True):
        yield X, weight, split_noise(joined, X.shape[1])[1]


def _check_block(n_features, index, joined, sample_weight):
    """Check the noise of a block; return how many samples it has."""
    X, noise = split_noise(joined, n_features)
    return len(check_noise(noise, X, block=f" of block {index}"))


# reg_covar="auto" is this share of each feature's variance.
RELATIVE_REGULARISATION = 1e-6


def regularisation(reg_covar, X, weight):
    """Return what is added to each variance, shape (n_features,)."""
    if reg_covar != "auto":
        return np.full(X.shape[1], float(reg_covar))
    center, variance = map(np.nan_to_num, observed_moments(X, weight))
    # Rounding leaves a constant feature a variance, but not one of its size.
    return relative_regularisation(variance, variance > 1e-28 * center**2)


def relative_regularisation(variance, varies):
    """Return what "auto" adds to variances; constant features count as typical ones."""
    typical = variance[varies].mean() if varies.any() else 1.0
    return RELATIVE_REGULARISATION * np.where(varies, variance, typical)

"""Say with figures that so few samples do not tell so many covariances."""

import warnings

import numpy as np

from skgmje._kernels._kernel import FEW_ROWS_PER_FEATURE, lost_correlation
from skgmje.adaptation._e_step import make_kernel
from skgmje.gaussian import COVARIANCE_TYPES

# What is left of a component's mass or covariance without a sample is never below.
LEAST_LEFT = 1e-9
# Nats by which a diagonal Gaussian must be better: per feature, and at least.
FAR_PER_FEATURE, FAR = 0.1, 5.0
KINDS = ("full", "tied")


def warn_of_few_samples(X, weight, mixture, shrinkage, reg_covar):
    """Warn if a diagonal Gaussian would predict samples left out far better.

    Nothing is looked at from ten samples per feature and component on, nor of
    missing entries or of samples that an engine holds.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), or RowBlocks
        The samples.

    weight : ndarray of shape (n_samples,) or None
        Their weights, in samples.

    mixture : Mixture
        What was fitted to them.

    shrinkage : float
        With which pseudo-count.

    reg_covar : ndarray of shape (n_features,)
        What was added to the variances.
    """
    n_samples, n_features = X.shape
    ample = FEW_ROWS_PER_FEATURE * n_features * mixture.n_components
    few = n_samples < ample and mixture.covariance_type in KINDS and n_features > 1
    if not few or not isinstance(X, np.ndarray) or np.isnan(X).any():
        return
    weight = np.ones(n_samples) if weight is None else weight
    X = X.astype(np.float64, copy=False)
    with np.errstate(all="ignore"):
        own = leave_one_out(X, weight, mixture, shrinkage)
        diagonal = diagonal_leave_one_out(X, weight, reg_covar)
    own, diagonal = (np.average(part, weights=weight) for part in (own, diagonal))
    # Of rows so large that these are NaN nothing is said.
    if not own < diagonal - max(FAR, FAR_PER_FEATURE * n_features):
        return
    warnings.warn(
        f"n_samples={n_samples} are few for n_features={n_features} and "
        f"{mixture.n_components} {mixture.covariance_type!r} covariance(s): the "
        f"log-likelihood of a sample left out is about {own:.4g} nats, that of a "
        f"diagonal Gaussian {diagonal:.4g}. Set covariance_type='auto' and "
        "shrinkage='auto'.",
        UserWarning,
        stacklevel=3,
    )


def leave_one_out(X, weight, mixture, shrinkage):
    r"""Compute log-densities of samples without their own share of the fit.

    Responsibilities stay; without a sample of share r a component of N samples has
    the mean :math:`m - r\delta / (N - r)` and one rank less of scatter,
    :math:`\delta \delta^\top r N / (N - r)`. Of one component that is exact.

    Parameters
    ----------
    X, weight : ndarrays
        Samples and their weights.

    mixture : Mixture
        Full or tied covariances.

    shrinkage : float
        Pseudo-count that they were fitted with.

    Returns
    -------
    log_prob : ndarray of shape (n_samples,)
        In nats.
    """
    d, center = X.shape[1], np.average(X, axis=0, weights=weight)
    kernel = make_kernel(mixture, center)
    distances = kernel.squared_distances((X - center).T)
    log_det = np.linalg.slogdet(
        COVARIANCE_TYPES[mixture.covariance_type].dense(
            mixture.covariances, *mixture.means.shape
        )
    )[1][:, None]
    total = weight.sum()
    # A weight of two stands for two samples, of which one is left out.
    share = mixture.responsibilities(X).T * np.minimum(weight, 1.0)
    count = total * mixture.weights[:, None]
    left = np.maximum(count - share, LEAST_LEFT)
    behind = count if mixture.covariance_type == "full" else total
    behind = behind + shrinkage
    factor = behind / np.maximum(behind - share, LEAST_LEFT)
    lost = share * count / left * distances / behind
    lost = lost * (1 - lost_correlation(total, d, shrinkage))
    kept = np.maximum(1 - lost, LEAST_LEFT)
    square = (count / left) ** 2 * distances / factor / kept
    log_joint = np.log(left / (total - 1)) - 0.5 * (
        square + d * np.log(2 * np.pi * factor) + log_det + np.log(kept)
    )
    return np.logaddexp.reduce(log_joint, axis=0)


def diagonal_leave_one_out(X, weight, reg_covar):
    """Compute the same of a diagonal Gaussian, with a floor of `reg_covar`.

    Parameters
    ----------
    X, weight : ndarrays
        Samples and their weights.

    reg_covar : ndarray of shape (n_features,)
        Added to the variances.

    Returns
    -------
    log_prob : ndarray of shape (n_samples,)
        In nats.
    """
    mean = np.average(X, axis=0, weights=weight)
    total, share = weight.sum(), np.minimum(weight, 1.0)[:, None]
    left = np.maximum(total - share, LEAST_LEFT)
    squares = (X - mean) ** 2
    scatter = weight @ squares - share * total / left * squares
    floor = np.maximum(reg_covar, np.finfo(float).tiny)
    variance = np.maximum(scatter / left, 0.0) + floor
    squares = squares * (total / left) ** 2
    return -0.5 * (squares / variance + np.log(2 * np.pi * variance)).sum(axis=1)

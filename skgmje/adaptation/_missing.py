"""The exact E-step when entries are missing at random."""

import numpy as np

from skgmje._kernels import KERNELS, from_sums, responsibilities
from skgmje._kernels import log_prob as kernel_log_prob
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.gaussian._checks import patterns


def missing_stats(
    kernel, covariance_type, weights, X, sample_weight, temper=1.0, reg_covar=0.0
):
    """Take the exact E-step of rows with missing entries.

    Given the observed part :math:`x_o`, component k expects the missing part
    at :math:`m_m + S_{mo} S_{oo}^{-1} (x_o - m_o)` with covariance
    :math:`S_{mm} - S_{mo} S_{oo}^{-1} S_{om}`; both enter the moments.

    Parameters
    ----------
    kernel : Kernel
        The current mixture, with its means as origins.

    covariance_type : str
        Key of :data:`skgmje.gaussian.COVARIANCE_TYPES`.

    weights : ndarray of shape (n_components,)
        Weights of the components.

    X : ndarray of shape (n_samples, n_features)
        Rows; NaN means missing.

    sample_weight : ndarray of shape (n_samples,)
        Weights of the rows.

    temper : float, default=1.0
        Power of the joint densities before they become responsibilities.

    reg_covar : float or ndarray of shape (n_features,), default=0.0
        What the M-step adds to the variances. What is missing has it from the last
        step already, and must not get it again and again.

    Returns
    -------
    stats : Statistics
        As from :func:`skgmje._kernels.block_stats`.
    """
    kind = COVARIANCE_TYPES[covariance_type]
    n_components, n_features = kernel.means.shape
    dense = kind.dense(kernel.covariances, n_components, n_features)
    counts = np.zeros(n_components)
    sums = np.zeros((n_components, n_features))
    second = np.zeros((n_components, n_features, n_features))
    log_likelihood = 0.0
    reg_covar = np.broadcast_to(np.asarray(reg_covar, np.float64), (n_features,))
    if covariance_type == "spherical":
        reg_covar = np.full(n_features, reg_covar.mean())
    for rows, observed in patterns(X):
        weight = sample_weight[rows]
        log_norm, resp = _observed(
            kernel, kind, covariance_type, weights, X[rows], observed, temper
        )
        log_likelihood += float((log_norm * weight).sum())
        resp = resp * weight[:, None]
        counts += resp.sum(axis=0)
        for k in range(n_components):
            diff, spread = _complete(X[rows], observed, kernel.means[k], dense[k])
            np.fill_diagonal(spread, np.diagonal(spread) - reg_covar * ~observed)
            weighted = diff * resp[:, k, None]
            sums[k] += weighted.sum(axis=0)
            second[k] += weighted.T @ diff + resp[:, k].sum() * spread
    totals = [counts, sums, *kernel.pack(second)]
    weight = float(sample_weight.sum(dtype=np.float64))
    return from_sums(kernel, totals, log_likelihood, weight)


def _observed(kernel, kind, covariance_type, weights, X, observed, temper):
    if not observed.any():
        return np.zeros(len(X)), np.tile(weights, (len(X), 1))
    indices = np.flatnonzero(observed)
    marginal = KERNELS[covariance_type](
        weights,
        kernel.means[:, indices],
        kind.marginal(kernel.covariances, indices),
        kernel.center[indices],
    )
    X = X[:, indices]
    log_norm = kernel_log_prob(marginal, X)
    return log_norm, responsibilities(marginal, X, temper=temper)


def _complete(X, observed, mean, covariance):
    """Return expected rows less `mean`, and the covariance of what is missing."""
    n_features = len(mean)
    diff = np.zeros(X.shape)
    spread = np.zeros((n_features, n_features))
    o, m = np.flatnonzero(observed), np.flatnonzero(~observed)
    diff[:, o] = X[:, o] - mean[o]
    if len(m) and len(o):
        gain = np.linalg.solve(covariance[np.ix_(o, o)], covariance[np.ix_(o, m)])
        diff[:, m] = diff[:, o] @ gain
        spread[np.ix_(m, m)] = (
            covariance[np.ix_(m, m)] - gain.T @ covariance[np.ix_(o, m)]
        )
    elif len(m):
        spread[:] = covariance
    return diff, spread

"""Kernel ridge regression on landmarks."""

from typing import Any, NamedTuple

import numpy as np

# Bandwidths, in roots of the number of features, and pseudo-counts of the prior.
BANDWIDTHS = (0.7, 1.4, 2.8)
RIDGES = (0.01, 0.1, 1.0, 10.0)

# Prior precisions, per ridge, of the kernel's jitter, slopes and the constant.
_JITTER, _SLOPES, _CONSTANT = 1e-6, 1e-2, 1e-6

# Samples whose features exist at a time.
_CHUNK_ROWS = 4096

# A sample that decides its own prediction has a residual that says nothing.
_LEAST_FREEDOM = 0.05
_LOWEST_EXPONENT = -80.0


class KernelRidge(NamedTuple):
    """A regression, linear in kernels of landmarks, slopes and a constant."""

    landmarks: Any
    bandwidth: float
    ridge: float
    coef: Any
    residuals: Any
    error: float

    def predict(self, X):
        """Return predictions for samples, shape (n_samples,)."""
        parts = [
            _features(chunk, self.landmarks, self.bandwidth) @ self.coef
            for chunk in _chunks(X)
        ]
        return np.concatenate(parts) if parts else np.empty(0)


def fit_kernel_ridge(X, y, landmarks, sample_weight=None, bandwidths=BANDWIDTHS):
    """Fit the regression of least leave-one-out error."""
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    best = None
    for factor in bandwidths:
        bandwidth = factor * np.sqrt(X.shape[1])
        values, basis = _diagonalise(X, weight, landmarks, bandwidth)
        design = [_features(x, landmarks, bandwidth) @ basis for x in _chunks(X)]
        design = np.concatenate(design)
        moments = (weight * y) @ design
        shrunk = 1 / (values[:, None] + np.array(RIDGES))
        fitted = design @ (moments[:, None] * shrunk)
        np.multiply(design, design, out=design)
        freedom = 1 - weight[:, None] * (design @ shrunk)
        residuals = (y[:, None] - fitted) / np.maximum(freedom, _LEAST_FREEDOM)
        errors = weight @ residuals**2 / weight.sum()
        i = int(errors.argmin())
        if best is None or errors[i] < best.error:
            coef = basis @ (moments * shrunk[:, i])
            error = float(errors[i])
            best = KernelRidge(
                landmarks, bandwidth, RIDGES[i], coef, residuals[:, i], error
            )
    return best


def _diagonalise(X, weight, landmarks, bandwidth):
    """Return the basis in which prior and data are both diagonal."""
    n_landmarks, n_features = landmarks.shape
    prior = np.diag(np.full(n_landmarks + n_features + 1, _SLOPES))
    prior[-1, -1] = _CONSTANT
    kernel = _features(landmarks, landmarks, bandwidth)[:, :n_landmarks]
    prior[:n_landmarks, :n_landmarks] = kernel + _JITTER * np.eye(n_landmarks)
    gram = 0.0
    for start in range(0, len(X), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        features = _features(X[rows], landmarks, bandwidth)
        gram = gram + (features.T * weight[rows]) @ features
    inverse = np.linalg.inv(np.linalg.cholesky(prior))
    values, vectors = np.linalg.eigh(inverse @ gram @ inverse.T)
    return np.maximum(values, 0.0), inverse.T @ vectors


def _features(X, landmarks, bandwidth):
    """Return kernels, the inputs and a constant."""
    n_landmarks = len(landmarks)
    out = np.empty((len(X), n_landmarks + X.shape[1] + 1))
    kernel = out[:, :n_landmarks]
    np.matmul(X, landmarks.T, out=kernel)
    kernel -= 0.5 * (X**2).sum(axis=1)[:, None]
    kernel -= 0.5 * (landmarks**2).sum(axis=1)
    kernel /= bandwidth**2
    np.maximum(kernel, _LOWEST_EXPONENT, out=kernel)
    np.exp(kernel, out=kernel)
    out[:, n_landmarks:-1] = X
    out[:, -1] = 1.0
    return out


def _chunks(X):
    return [X[start : start + _CHUNK_ROWS] for start in range(0, len(X), _CHUNK_ROWS)]

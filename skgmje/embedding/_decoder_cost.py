"""The cost of a KernelDecoder: kernels of whole samples or of patches of images."""

import math
from typing import Any, NamedTuple

from skgmje._backend import logsumexp, namespace
from skgmje.embedding._views import check_image_shape, check_size


class Patches(NamedTuple):
    """How a sample is cut into patches; one pixel of all features is no cut at all."""

    height: int
    width: int
    n_channels: int
    size: int

    @property
    def n_patches(self):
        """Number of patches of a sample."""
        return self.height * self.width // self.size**2

    def split(self, rows):
        """Cut samples of shape (n, k, n_features) into (n, n_patches, k, n_pixels)."""
        xp, (n, k, _) = namespace(rows), rows.shape
        size, down, across = (
            self.size,
            self.height // self.size,
            self.width // self.size,
        )
        grid = xp.reshape(rows, (n, k, down, size, across, size, self.n_channels))
        grid = xp.permute_dims(grid, (0, 2, 4, 1, 3, 5, 6))
        return xp.reshape(grid, (n, down * across, k, size * size * self.n_channels))


class KernelTerms(NamedTuple):
    """Logarithms of both terms of the Schwarz bound, for kernels of height 1."""

    log_fit: Any
    log_norm: Any

    @property
    def log_ratio(self):
        """Log of the squared fit over the norm, at most 0, shape as the terms."""
        return 2 * self.log_fit - self.log_norm


def kernel_terms(X, centers, variance, patches):
    """Compute both terms of the conditional Schwarz bound, by Gram products."""
    xp, n_centers = namespace(X, centers), centers.shape[1]
    # Seen from the sample, one Gram matrix has the distances of both kinds.
    residuals = patches.split(centers - X[:, None, :])
    gram = residuals @ xp.permute_dims(residuals, (0, 1, 3, 2))
    squares = xp.linalg.diagonal(gram)
    pairs = squares[..., :, None] + squares[..., None, :] - 2 * gram
    pairs = xp.reshape(xp.clip(pairs, 0.0), (*squares.shape[:2], n_centers**2))
    share = variance / patches.n_patches
    log_fit = logsumexp(-squares / (2 * share), -1) - math.log(n_centers)
    log_norm = logsumexp(-pairs / (4 * share), -1) - 2 * math.log(n_centers)
    return KernelTerms(log_fit, log_norm)


def sample_objective(terms):
    """Compute the mean over samples of the gap to each sample's own bound."""
    return -namespace(terms.log_fit).mean(terms.log_ratio)


def batch_objective(terms):
    """Compute the gap to the bound of the conditional density of all samples."""
    log_n = math.log(terms.log_fit.shape[0])
    fit, norm = logsumexp(terms.log_fit, 0), logsumexp(terms.log_norm, 0)
    return namespace(fit).mean(log_n - 2 * fit + norm)


OBJECTIVES = {"sample": sample_objective, "batch": batch_objective}


def _shape(estimator, n_features, found):
    """Return height, width and channels, or None; raise if samples are not of it."""
    shape = found or check_image_shape(estimator.image_shape)
    if shape is not None:
        check_size(shape, n_features)
    return shape


def _whole(estimator, n_features, found=None):
    """Return the cut of a kernel that compares whole samples."""
    _shape(estimator, n_features, found)
    return Patches(1, 1, n_features, 1)


def _patches(estimator, n_features, found=None):
    """Return the cut of one that compares patches; raise if there is none."""
    shape, size = _shape(estimator, n_features, found), estimator.patch_size
    if shape is None:
        raise ValueError(
            "image_shape=None must be (height, width) or (height, width, channels) "
            "with kernel='patches'. Set it, pass X of shape (n_samples, height, "
            "width[, channels]), or use kernel='isotropic'."
        )
    height, width, channels = shape
    if height % size or width % size:
        raise ValueError(
            f"patch_size={size} must divide height and width of "
            f"image_shape={shape!r}. Use a common divisor of the two."
        )
    return Patches(height, width, channels, int(size))


KERNELS = {"isotropic": _whole, "patches": _patches}

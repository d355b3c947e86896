"""The cost of a KernelDecoder: kernels of whole samples or of patches of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple

from skgmje._backend import logsumexp, namespace
from skgmje._options import Options
from skgmje._sklearn import Interval, StrOptions
from skgmje._validation import positive_numbers
from skgmje.embedding._views import agree_on_shape, check_size


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
        xp, (n, k, _), size = namespace(rows), rows.shape, self.size
        down, across = self.height // size, self.width // size
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


def kernel_terms(X, centers, variances, patches):
    """Compute both terms of the conditional Schwarz bound, means over kernels."""
    xp, n_centers = namespace(X, centers), centers.shape[1]
    # Seen from the sample, one Gram matrix has the distances of both kinds.
    residuals = patches.split(centers - X[:, None, :])
    gram = residuals @ xp.permute_dims(residuals, (0, 1, 3, 2))
    squares = xp.linalg.diagonal(gram)
    pairs = squares[..., :, None] + squares[..., None, :] - 2 * gram
    pairs = xp.reshape(xp.clip(pairs, 0.0), (*squares.shape[:2], n_centers**2))
    shares = [variance / patches.n_patches for variance in variances]
    fits = [logsumexp(-squares / (2 * share), -1) for share in shares]
    norms = [logsumexp(-pairs / (4 * share), -1) for share in shares]
    log_fit, log_norm = (
        logsumexp(xp.stack(logs), 0) - math.log(len(shares)) for logs in (fits, norms)
    )
    log_n = math.log(n_centers)
    return KernelTerms(log_fit - log_n, log_norm - 2 * log_n)


def sample_objective(terms):
    """Compute the mean over samples of the gap to each sample's own bound."""
    return -namespace(terms.log_fit).mean(terms.log_ratio)


def batch_objective(terms):
    """Compute the gap to the bound of the conditional density of all samples."""
    log_n = math.log(terms.log_fit.shape[0])
    fit, norm = logsumexp(terms.log_fit, 0), logsumexp(terms.log_norm, 0)
    return namespace(fit).mean(log_n - 2 * fit + norm)


OBJECTIVES = {"sample": sample_objective, "batch": batch_objective}

_POSITIVE = Interval(Real, 0, None, closed="neither")

# Widths of the kernels by what the words stand for, in units of the running variance.
LADDERS = {"auto": (1.0,), "multiscale": (0.25, 1.0, 4.0, 16.0, 64.0)}


class KernelOptions(Options):
    """What the options of both kinds of kernels have in common."""

    _parameter_constraints: dict = {
        "variance": [_POSITIVE, StrOptions(set(LADDERS)), "array-like"],
        "kappa": [_POSITIVE],
    }

    def check(self) -> None:
        """Raise if a parameter has a value that it must not have."""
        super().check()
        self._widths(1.0)

    def _widths(self, unit):
        """Return the narrowest variance, None if it is to follow, and all relative."""
        if isinstance(self.variance, str):
            return None, LADDERS[self.variance]
        meaning = "Each is the variance of one kernel of whole samples."
        variances = positive_numbers(self.variance, "variance", meaning)
        least = min(variances)
        return least / unit, tuple(variance / least for variance in variances)


class IsotropicKernel(KernelOptions):
    """One kernel of whole samples, as the `kernel` of a decoder.

    Parameters
    ----------
    variance : float, sequence of floats or {'auto', 'multiscale'}, default='auto'
        Variance v, in squared units of `X` (of standardized features with the decoder's
        `standardize`). 'auto' is `kappa` times the running mean of the squared distance
        of samples to their nearest centers. Of several variances the kernels are added
        up; 'multiscale' is five, 1/4, 1, 4, 16 and 64 times 'auto'.

    kappa : float, default=0.5
        See `variance`; smaller values keep centers apart.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skgmje.embedding import IsotropicKernel, KernelDecoder
    >>> X, _ = load_digits(return_X_y=True)
    >>> kernel = IsotropicKernel(kappa=0.1)
    >>> decoder = KernelDecoder(2, n_centers=4, kernel=kernel, max_iter=5)
    >>> decoder.fit(X).decode([[0.0, 0.0]]).means.shape
    (1, 4, 64)
    """

    def __init__(
        self,
        variance: float | Sequence[float] | Literal["auto", "multiscale"] = "auto",
        *,
        kappa: float = 0.5,
    ) -> None:
        self.variance = variance
        self.kappa = kappa

    def _cut(self, n_features, image_shape):
        """Return how samples are cut: not at all."""
        return Patches(1, 1, n_features, 1)


class PatchKernel(KernelOptions):
    """One kernel for each patch of an image, as the `kernel` of a decoder.

    The costs of the patches are averaged: every patch may choose its center.

    Parameters
    ----------
    size : int, default=4
        Pixels along the side of a patch; it divides height and width.

    image_shape : tuple of int or None, default=None
        Height, width and maybe channels, last, if the samples are images as rows.

    variance, kappa : default='auto' and 0.5
        As those of :class:`IsotropicKernel`; each patch has its share of the variance.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skgmje.embedding import KernelDecoder, PatchKernel
    >>> images = load_digits().images
    >>> decoder = KernelDecoder(2, n_centers=4, kernel=PatchKernel(2), max_iter=5)
    >>> decoder.fit(images).reconstruct(images).shape
    (1797, 8, 8)
    """

    _parameter_constraints: dict = {
        "size": [Interval(Integral, 1, None, closed="left")],
        "image_shape": ["array-like", None],
        **KernelOptions._parameter_constraints,
    }

    def __init__(
        self,
        size: int = 4,
        *,
        image_shape: tuple[int, ...] | None = None,
        variance: float | Sequence[float] | Literal["auto", "multiscale"] = "auto",
        kappa: float = 0.5,
    ) -> None:
        self.size = size
        self.image_shape = image_shape
        self.variance = variance
        self.kappa = kappa

    def _cut(self, n_features, image_shape):
        """Return how samples are cut; raise if they cannot be."""
        shape = agree_on_shape(self.image_shape, image_shape)
        if shape is None:
            raise ValueError(
                "image_shape=None of kernel='patches' must be (height, width) or "
                "(height, width, channels). Set it: PatchKernel(image_shape=...), pass "
                "X of shape (n_samples, height, width[, channels]), or use "
                "kernel='isotropic'."
            )
        check_size(shape, n_features)
        height, width, channels = shape
        if height % self.size or width % self.size:
            raise ValueError(
                f"size={self.size} of the patches must divide height and width of "
                f"image_shape={shape!r}. Use a common divisor of the two."
            )
        return Patches(height, width, channels, int(self.size))


KERNELS = {"isotropic": IsotropicKernel, "patches": PatchKernel}

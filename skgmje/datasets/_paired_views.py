"""Pairs of views of generated samples and of digits."""

import numpy as np
from scipy.ndimage import map_coordinates
from sklearn.datasets import load_digits

from skgmje._backend import as_generator
from skgmje._validation import check_count


def make_paired_views(
    n_samples=1000,
    n_features=20,
    *,
    n_latents=3,
    n_classes=4,
    class_sep=1.5,
    noise=0.1,
    random_state=None,
):
    r"""Draw two noisy, non-linear views of the same latent vectors.

    .. math::

        z = c_{label} + \epsilon, \qquad
        x = A_x \tanh(B_x z) + \sigma \epsilon_x, \qquad
        y = A_y \tanh(B_y z) + \sigma \epsilon_y

    What the views share is the latent vector; the noise is their own.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of pairs.

    n_features : int, default=20
        Width of each view.

    n_latents : int, default=3
        Width of the latent vectors.

    n_classes : int, default=4
        Number of classes, drawn with equal probability.

    class_sep : float, default=1.5
        Standard deviation of the classes' centers; that of the vectors around
        them is one half.

    noise : float, default=0.1
        Standard deviation of the noise; that of the features is a little below one.

    random_state : int, numpy.random.Generator, RandomState or None
        Source of randomness, of the views' maps too.

    Returns
    -------
    X, Y : ndarray of shape (n_samples, n_features)
        The views.

    labels : ndarray of int of shape (n_samples,)
        The classes.

    Raises
    ------
    ValueError
        If a number is not positive, or `noise` or `class_sep` negative.

    See Also
    --------
    make_digit_views : Two views of real images.

    Examples
    --------
    >>> from skgmje.datasets import make_paired_views
    >>> X, Y, labels = make_paired_views(100, 8, random_state=0)
    >>> X.shape, Y.shape, sorted(set(labels.tolist()))
    ((100, 8), (100, 8), [0, 1, 2, 3])
    """
    check_count(n_samples=n_samples, n_features=n_features)
    check_count(n_latents=n_latents, n_classes=n_classes)
    _check_not_negative(class_sep=class_sep, noise=noise)
    generator = as_generator(random_state)
    centers = class_sep * generator.standard_normal((n_classes, n_latents))
    labels = generator.integers(n_classes, size=n_samples)
    latents = generator.standard_normal((n_samples, n_latents))
    latents = centers[labels] + 0.5 * latents
    views = [
        _view(latents, n_features, generator)
        + noise * generator.standard_normal((n_samples, n_features))
        for _ in range(2)
    ]
    return *views, labels


def _view(latents, n_features, generator):
    """Map latent vectors by a random layer of 64 units."""
    n_latents, width = latents.shape[1], 64
    inner = generator.standard_normal((n_latents, width)) / n_latents**0.5
    outer = generator.standard_normal((width, n_features)) / width**0.5
    return np.tanh(latents @ inner) @ outer


def make_digit_views(
    *,
    rotation=0.3,
    scale=0.2,
    shift=0.25,
    brightness=0.2,
    noise=0.1,
    random_state=None,
):
    """Make two randomly changed views of each of scikit-learn's digits.

    Each view of each image has its own rotation, scale, shift, brightness and
    noise. The images come with scikit-learn; nothing is loaded from a network.

    Parameters
    ----------
    rotation : float, default=0.3
        Largest angle, in radians.

    scale : float, default=0.2
        Sizes lie between ``1 - scale`` and ``1 + scale``.

    shift : float, default=0.25
        Largest shift along each axis, in half widths of the image.

    brightness : float, default=0.2
        Factors lie between ``1 - brightness`` and ``1 + brightness``.

    noise : float, default=0.1
        Standard deviation of the noise of each pixel, where white is one.

    random_state : int, numpy.random.Generator, RandomState or None
        Source of randomness. Several calls give several pairs of views.

    Returns
    -------
    X, Y : ndarray of shape (1797, 64)
        The views, samples of 8 x 8 pixels.

    labels : ndarray of int of shape (1797,)
        The digits.

    Raises
    ------
    ValueError
        If a size is negative, or `scale` not below one.

    See Also
    --------
    make_paired_views : Views of any size and width.

    Examples
    --------
    >>> from skgmje.datasets import make_digit_views
    >>> X, Y, labels = make_digit_views(random_state=0)
    >>> X.shape, Y.shape, labels.shape
    ((1797, 64), (1797, 64), (1797,))
    """
    sizes = {
        "rotation": rotation,
        "scale": scale,
        "shift": shift,
        "brightness": brightness,
        "noise": noise,
    }
    _check_not_negative(**sizes)
    if not scale < 1:
        raise ValueError(f"scale={scale!r} must be below 1, or images vanish.")
    generator = as_generator(random_state)
    digits = load_digits()
    images = digits.images / 16.0
    views = [_change(images, generator, **sizes) for _ in range(2)]
    return *views, digits.target


def _change(images, generator, *, rotation, scale, shift, brightness, noise):
    """Return one changed copy of each image, as rows of pixels."""
    n, size, _ = images.shape
    uniform = generator.uniform(-1.0, 1.0, (5, n, 1, 1))
    angle, factor = rotation * uniform[0], 1 + scale * uniform[1]
    cos, sin = factor * np.cos(angle), factor * np.sin(angle)
    # Centers of the pixels, between -1 and 1.
    axis = (2 * np.arange(size) + 1) / size - 1
    row, column = axis[:, None], axis[None, :]
    at = [
        cos * row + sin * column + shift * uniform[2],
        cos * column - sin * row + shift * uniform[3],
    ]
    pixels = [(size * (position + 1) - 1) / 2 for position in at]
    number = np.broadcast_to(np.arange(n)[:, None, None], images.shape)
    moved = map_coordinates(images, [number, *pixels], order=1, mode="grid-constant")
    moved = moved * (1 + brightness * uniform[4])
    return (moved + noise * generator.standard_normal(moved.shape)).reshape(n, -1)


def _check_not_negative(**sizes):
    """Check that sizes are finite and at least 0."""
    for name, size in sizes.items():
        if not 0 <= size < np.inf:
            raise ValueError(f"{name}={size!r} must be a number that is not negative.")

"""Pairs of views of digits."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import map_coordinates
from sklearn.datasets import load_digits

from skgmje._backend import as_generator
from skgmje._typing import NDArray, RandomState


def make_digit_views(
    *,
    rotation: float = 0.3,
    scale: float = 0.2,
    shift: float = 0.25,
    brightness: float = 0.2,
    noise: float = 0.1,
    random_state: RandomState = None,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
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
    for name, size in sizes.items():
        if not 0 <= size < np.inf:
            raise ValueError(f"{name}={size!r} must be a number that is not negative.")
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

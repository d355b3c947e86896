"""Images as rows: their shapes, channels last, and what is wrong with them."""

from numbers import Integral
from typing import NamedTuple

import numpy as np

from skgmje._backend import from_tensor

# Numbers of channels by which an image with channels first is recognised.
_USUAL_CHANNELS = (1, 2, 3, 4)


class ImageFormat(NamedTuple):
    """What the images of a fit were, so that later ones are the same.

    Parameters
    ----------
    shape : tuple of int
        Height, width and channels.

    is_integer : bool
        Whether the values were integers.

    largest : float
        Largest absolute value.
    """

    shape: tuple
    is_integer: bool
    largest: float

    @property
    def n_features(self):
        """Number of values of an image."""
        return int(np.prod(self.shape))

    def rows(self, X, name="X"):
        """Return further images as rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width[, channels]) or \
                (n_samples, n_features)
            Images, or rows of images.

        name : str, default="X"
            Its name in messages.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features)
            Single precision, channels last. What is no array of numbers is left as
            it is.

        Raises
        ------
        ValueError
            If shape or scale are not those of the fit.
        """
        X = _as_array(X)
        if X is None or X.ndim < 2:
            return X
        if X.ndim > 2:
            _check_layout(X, name)
            if _shape_of(X) != self.shape:
                raise ValueError(
                    f"{name} holds images of shape {_shape_of(X)}, but those of fit "
                    f"had {self.shape} (height, width, channels). Resize them."
                )
        _check_scale(X, self, name)
        return _flat(X)


def read_images(X, image_shape=None, name="X"):
    """Return the rows of images to learn from, and their format.

    Parameters
    ----------
    X : array-like of shape (n_samples, height, width[, channels]) or \
            (n_samples, n_features)
        Images; with `image_shape` maybe rows of images.

    image_shape : tuple of int or None, default=None
        Height, width and, if there are several, channels; needed for rows only.

    name : str, default="X"
        Its name in messages.

    Returns
    -------
    rows : ndarray of shape (n_samples, n_features)
        Single precision, channels last; `X` itself if it holds no images.

    image_format : ImageFormat or None
        What to ask of further images; None if `X` holds none.

    Raises
    ------
    ValueError
        If these are no images, or not of this shape.
    """
    shape = check_image_shape(image_shape)
    images = _as_array(X)
    if images is None or images.ndim < (3 if shape is None else 2):
        return X, None
    if images.ndim == 2 and np.prod(shape) != images.shape[1]:
        raise ValueError(
            f"image_shape={image_shape!r} has {np.prod(shape)} values, but {name} has "
            f"{images.shape[1]} columns. Their product must be the number of columns."
        )
    if images.ndim > 2:
        _check_layout(images, name)
        if shape not in (None, _shape_of(images)):
            raise ValueError(
                f"image_shape={image_shape!r}, but {name} holds images of shape "
                f"{_shape_of(images)} (height, width, channels). Leave it None."
            )
        shape = _shape_of(images)
    rows = _flat(images)
    largest = float(np.abs(rows).max(initial=0.0))
    return rows, ImageFormat(shape, images.dtype.kind in "iub", largest)


def check_image_shape(image_shape):
    """Return height, width and channels of a parameter, or None.

    Parameters
    ----------
    image_shape : array-like of int or None
        Height, width and maybe channels.

    Returns
    -------
    shape : tuple of int or None
        Always with channels.

    Raises
    ------
    ValueError
        If it is no such shape.
    """
    if image_shape is None:
        return None
    sizes = tuple(image_shape)
    whole = all(isinstance(size, Integral) and size > 0 for size in sizes)
    if len(sizes) not in (2, 3) or not whole:
        raise ValueError(
            f"image_shape={image_shape!r} must be (height, width) or (height, width, "
            "channels), positive integers."
        )
    return tuple(map(int, (*sizes, 1)[:3]))


def _as_array(X):
    """Return an array of numbers, or None for what others have to look at."""
    X = from_tensor(X)
    if not hasattr(X, "dtype"):
        try:
            X = np.asarray(X)
        except ValueError:
            return None
    is_array = isinstance(X, np.ndarray) and X.dtype.kind in "iubf"
    return X if is_array else None


def _shape_of(X):
    return (*X.shape[1:], 1)[:3]


def _check_layout(X, name):
    """Raise unless the axes are rows, height, width and maybe channels."""
    if X.ndim > 4:
        raise ValueError(
            f"{name} has {X.ndim} axes; images have shape (n_samples, height, width) "
            "or (n_samples, height, width, channels)."
        )
    if 0 in X.shape[1:]:
        raise ValueError(f"{name} of shape {X.shape} holds images without pixels.")
    if X.ndim == 4:
        first, height, last = X.shape[1:]
        if first in _USUAL_CHANNELS and last not in _USUAL_CHANNELS and first < height:
            raise ValueError(
                f"{name} of shape {X.shape} seems to have its channels first; images "
                "have shape (n_samples, height, width, channels). Pass "
                f"{name}.transpose(0, 2, 3, 1)."
            )


def _check_scale(X, known, name):
    """Raise if integers from 0 to 255 meet floats from 0 to 1."""
    is_integer = X.dtype.kind in "iub"
    if is_integer == known.is_integer:
        return
    largest = float(np.abs(X).max(initial=0))
    if known.is_integer and known.largest > 1 and 0 < largest <= 1:
        raise ValueError(
            f"{name} holds floats up to {largest:.3g}, but fit saw integers up to "
            f"{known.largest:.4g}. Scale them the same way, for example as integers "
            "from 0 to 255."
        )
    if not known.is_integer and known.largest <= 1 < largest:
        raise ValueError(
            f"{name} holds integers up to {largest:.4g}, but fit saw floats up to "
            f"{known.largest:.3g}. Divide them by 255."
        )


def _flat(X):
    n_features = int(np.prod(X.shape[1:]))
    return X.reshape(len(X), n_features).astype(np.float32, copy=False)

"""Other views of images: geometry by one resampling, then blur, light and noise."""

import math
from dataclasses import dataclass

from skgmje._backend import as_float


@dataclass(frozen=True)
class ImageAugmentation:
    r"""Draw another view of each image of a batch.

    .. math:: x' = m + b\, (g(y_a) - m) + c + s \epsilon, \qquad
        y_a = (1 - a)\, y + a\, \bar y, \quad y(u) = x(A u)

    The map A of pixel coordinates u flips, turns and crops, by one resampling;
    :math:`\bar y` are means over 3 x 3 pixels; g is a power of brightness between
    the darkest and the brightest value of an image; b is the contrast around the mean
    m of what g gives, c the brightness; noise :math:`\epsilon` is standard normal. It
    is what ``augmentation="aligned"`` and ``"scene"`` of :class:`GJEEmbedder` do.

    Parameters
    ----------
    flip : bool, default=False
        Whether half of the images are mirrored, left to right.

    turn : bool, default=False
        Whether images are turned by 0, 90, 180 or 270 degrees. Images that are not
        square are turned by 0 or 180.

    crop : float, default=1.0
        Least share of the area that is cut out and enlarged again. One side may be
        cut more than the other, by a ratio up to 4/3.

    blur : float, default=0.0
        Largest share a of the means over neighbouring pixels, at most one.

    gamma : float, default=0.0
        The logarithm of the power of brightness lies between minus and plus this.

    contrast : float, default=0.0
        Contrast lies between one minus and one plus this, brightness between minus
        and plus half of it.

    noise : float, default=0.0
        Largest standard deviation of the noise of an image; each has its own.

    See Also
    --------
    GJEEmbedder : Learns from two views of each image.

    Notes
    -----
    It sees standardised images, so that contrast and noise are shares of a standard
    deviation. Crops and shifts help where objects may be anywhere, as in satellite
    images, and hurt where they are aligned, because size and position tell classes
    apart then. So do flips where mirrored objects are others, as digits and letters.

    Examples
    --------
    >>> import torch
    >>> from skgmje.embedding import ImageAugmentation
    >>> augment = ImageAugmentation(flip=True, noise=0.1)
    >>> images = torch.zeros(5, 1, 8, 8)
    >>> augment(images, torch.Generator().manual_seed(0)).shape
    torch.Size([5, 1, 8, 8])
    """

    flip: bool = False
    turn: bool = False
    crop: float = 1.0
    blur: float = 0.0
    gamma: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0

    def __post_init__(self):
        if not 0 < self.crop <= 1:
            raise ValueError(
                f"crop={self.crop!r} must be a share of the area in (0, 1]."
            )
        if not 0 <= self.blur <= 1:
            raise ValueError(f"blur={self.blur!r} must be a share in [0, 1].")
        for name in ("gamma", "contrast", "noise"):
            value = getattr(self, name)
            if not (0 <= value < math.inf):
                raise ValueError(f"{name}={value!r} must be finite and at least 0.")

    @property
    def moves(self):
        """Whether views show objects elsewhere, or turned."""
        return self.turn or self.crop < 1

    def __call__(self, images, generator):
        """Return views.

        Parameters
        ----------
        images : tensor of shape (n_samples, channels, height, width)
            Standardised images.

        generator : torch.Generator
            The source of randomness, on the images' device.

        Returns
        -------
        views : tensor of shape (n_samples, channels, height, width)
            Another view of each.
        """
        images = as_float(images)
        draw = _Draw(images, generator)
        if self.flip or self.moves:
            images = self._resample(images, draw)
        if self.blur:
            images = images.lerp(_soft(images), self.blur * draw.uniform(1, 1, 1))
        if self.gamma:
            low = images.amin((1, 2, 3), keepdim=True)
            span = images.amax((1, 2, 3), keepdim=True) - low + 1e-3
            power = (self.gamma * draw.signed(1, 1, 1)).exp()
            images = ((images - low) / span).pow(power) * span + low
        if self.contrast:
            mean = images.mean((1, 2, 3), keepdim=True)
            factor = 1 + self.contrast * draw.signed(1, 1, 1)
            shift = self.contrast / 2 * draw.signed(1, 1, 1)
            images = (images - mean) * factor + mean + shift
        if self.noise:
            images = images + self.noise * draw.uniform(1, 1, 1) * draw.normal()
        return images

    def _resample(self, images, draw):
        """Flip, turn and crop by one resampling."""
        import torch
        from torch.nn import functional

        area = self.crop + (1 - self.crop) * draw.uniform()
        # Neither side is longer than that of the image, and the area stays.
        limit = (-area.log()).clamp(max=math.log(4 / 3))
        ratio = (limit * draw.signed()).exp()
        width, height = (area * ratio).sqrt(), (area / ratio).sqrt()
        x, y = draw.signed() * (1 - width), draw.signed() * (1 - height)
        if self.flip:
            width = torch.where(draw.uniform() < 0.5, -width, width)
        quarters = torch.zeros_like(x)
        if self.turn:
            is_square = images.shape[2] == images.shape[3]
            quarters = (4 if is_square else 2) * draw.uniform()
            quarters = quarters.floor() * (1 if is_square else 2)
        angle = quarters * (math.pi / 2)
        # Whole numbers, so that pixels fall upon pixels.
        cos, sin = angle.cos().round(), angle.sin().round()
        rows = [cos * width, -sin * height, x, sin * width, cos * height, y]
        maps = torch.stack(rows, dim=1).view(-1, 2, 3)
        grid = functional.affine_grid(maps, images.shape, align_corners=False)
        return functional.grid_sample(
            images, grid, padding_mode="border", align_corners=False
        )


def _soft(images):
    """Return means over 3 x 3 pixels."""
    from torch.nn import functional

    return functional.avg_pool2d(images, 3, 1, padding=1, count_include_pad=False)


class _Draw:
    """Random numbers, one or more for each image of a batch."""

    def __init__(self, images, generator):
        self.shape = images.shape
        self.options = {
            "generator": generator,
            "dtype": images.dtype,
            "device": images.device,
        }

    def uniform(self, *axes):
        import torch

        return torch.rand((self.shape[0], *axes), **self.options)

    def signed(self, *axes):
        return 2 * self.uniform(*axes) - 1

    def normal(self):
        import torch

        return torch.randn(self.shape, **self.options)


AUGMENTATIONS = {
    "aligned": ImageAugmentation(
        flip=True, blur=1.0, gamma=1.0, contrast=0.5, noise=0.3
    ),
    "scene": ImageAugmentation(flip=True, turn=True, crop=0.4),
}


def find_augmentation(own, image_shape):
    """Return what a parameter stands for.

    Parameters
    ----------
    own : str, callable or None
        Key of :data:`AUGMENTATIONS`, or a function.

    image_shape : tuple of int or None
        Height, width and channels, if rows are images.

    Returns
    -------
    augmentation : callable or None
        What makes views.

    Raises
    ------
    ValueError
        If it is for images, and there are none.
    """
    found = AUGMENTATIONS[own] if isinstance(own, str) else own
    if isinstance(found, ImageAugmentation) and image_shape is None:
        raise ValueError(
            f"augmentation={own!r} is for images, but X holds rows. Pass X of shape "
            "(n_samples, height, width[, channels]), or say which image_shape its "
            "rows have."
        )
    return found

"""Views of samples and images: pairs, formats, augmentations, and joint moments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_consistent_length

from skgmje._backend import (
    FLOATS,
    as_float,
    as_floats,
    from_tensor,
    is_torch,
    namespace,
)
from skgmje._standardize import channel_standardization
from skgmje._validation import check_magnitude, check_numbers, check_rows
from skgmje.gaussian._mixture import Mixture

# Neighbours are sought in this many principal directions, among this many samples.
_MAX_DIRECTIONS = 50
_N_NEIGHBORS = 10


def as_views(z_context, z_target, *, same_width=True):
    """Return two views of the same samples as floats, and their namespace."""
    z_context, z_target = as_floats(z_context, z_target)
    first, second = tuple(z_context.shape), tuple(z_target.shape)
    fit = len(first) == len(second) == 2 and first[0] == second[0] > 0
    if not fit or (same_width and first != second):
        wanted = "of one shape" if same_width else "of as many samples"
        raise ValueError(
            f"z_context has shape {first} and z_target {second}: give two views of the "
            f"same samples, (n_samples, embedding_dim) each, {wanted}."
        )
    return z_context, z_target, namespace(z_context, z_target)


class Pairs(NamedTuple):
    """Samples of two views, and their standardizations."""

    views: Any
    context: Any
    target: Any
    context_units: Any
    target_units: Any

    def standardized(self, dtype):
        """Return the standardized samples of both views."""
        context = self.context_units.forward(self.context, dtype)
        if self.target is self.context:
            return context, context
        return context, self.target_units.forward(self.target, dtype)

    def part(self, rows):
        """Return the pairs of some samples."""
        context = self.context[rows]
        target = context if self.target is self.context else self.target[rows]
        return self._replace(context=context, target=target)

    def stacked(self):
        """Return both views side by side, in single precision; once if they are one."""
        context, target = self.standardized(np.float32)
        return context if target is context else np.hstack([context, target])


class AugmentedViews:
    """Two augmentations of one sample; the base of other ways to pair samples."""

    needs_y = False

    def fit(self, X, y):
        """Learn from the training samples how to pair samples."""
        check_varies(X, "X")
        return self

    def pairs(self, X, y):
        """Return the samples of both views."""
        return X, X


class NeighborViews(AugmentedViews):
    """A sample and its nearest mutual neighbour along the principal directions."""

    def fit(self, X, y):
        super().fit(X, y)
        n_directions = min(*X.shape, _MAX_DIRECTIONS)
        self.pca_ = PCA(n_directions, random_state=0).fit(X.astype(np.float64))
        return self

    def pairs(self, X, y):
        """Pair samples that are each among the ten nearest of the other."""
        if len(X) < 2:
            raise ValueError(
                "views='neighbors' pairs samples with each other, so it needs at least "
                f"2 of them, got {len(X)}."
            )
        # A table, if scikit-learn is configured so.
        Z = np.ascontiguousarray(self.pca_.transform(X))
        n_neighbors = min(_N_NEIGHBORS, len(Z) - 1)
        index = NearestNeighbors(n_neighbors=n_neighbors).fit(Z)
        neighbors = index.kneighbors(return_distance=False)
        rows = np.arange(len(Z))[:, None]
        mutual = (neighbors[neighbors] == rows[..., None]).any(axis=2)
        paired = mutual.any(axis=1) if mutual.any() else np.ones(len(Z), bool)
        partner = neighbors[rows[:, 0], mutual.argmax(axis=1)]
        return X[paired], X[partner[paired]]


class GivenViews(AugmentedViews):
    """A sample of X and the same sample of y."""

    needs_y = True

    def fit(self, X, y):
        context, target = self.pairs(X, y)
        super().fit(context, y)
        check_varies(target, "y")
        check_magnitude(target, "y")
        self.n_targets_in_ = target.shape[1]
        if context.shape == target.shape and np.array_equal(context, target):
            raise ValueError(
                "views='pair': X and y are identical, so there is nothing to learn: "
                "their mutual information has no bound. Pass two different views, or "
                "use views='augment'."
            )
        return self

    def pairs(self, X, y):
        if y is None:
            raise ValueError(
                "views='pair' requires y to be passed, but the target y is None. Pass "
                "the second view as y, or use views='augment'."
            )
        y = check_target(y, getattr(self, "n_targets_in_", None))
        check_consistent_length(X, y)
        return X, y


def check_target(y, n_targets):
    """Return the target view as a float array, shape (n_samples, n_targets)."""
    y = check_numbers(y, "y", dtype=FLOATS, ensure_2d=False)
    if y.ndim == 1:
        raise ValueError(
            f"y of shape {y.shape} is no view, which has one row per sample. "
            "Reshape it to (n_samples, n_targets). If it holds labels, leave it out; "
            "in fit, views='augment' ignores it."
        )
    if n_targets not in (None, y.shape[1]):
        raise ValueError(
            f"y has {y.shape[1]} features, but the target view had {n_targets} in fit."
        )
    return y


def check_varies(X, name):
    """Raise ValueError if all samples are identical."""
    if not (X != X[:1]).any():
        raise ValueError(
            f"All {len(X)} samples in {name} are identical; views carry no "
            "information. Pass data that vary."
        )


VIEWS: dict[str, Any] = {
    "augment": AugmentedViews,
    "neighbors": NeighborViews,
    "pair": GivenViews,
}

# Numbers of channels by which an image with channels first is recognised.
_USUAL_CHANNELS = (1, 2, 3, 4)
# Fractions above this are no pixels from 0 to 1 that have been standardized.
_BRIGHT = 64.0
_LARGEST = 1e15
_CHUNK_ENTRIES = 2**22


class ImageFormat(NamedTuple):
    """What the images of a fit were, so that later ones are the same."""

    shape: tuple
    is_whole: bool
    largest: float

    @classmethod
    def of(cls, rows, shape, name="X"):
        """Return the format of samples with this shape."""
        check_size(shape, rows.shape[1], name)
        return cls(tuple(shape), _is_whole(rows), _check_largest(rows, name))

    def flatten(self, X, name="X"):
        """Return further images as rows; raise ValueError if of another shape."""
        rows, shape = flatten_images(X, name)
        agree_on_shape(self.shape, shape, name)
        return rows

    def checked(self, rows, name="X"):
        """Return further samples in single precision, shape (n_samples, n_features)."""
        whole, largest = _is_whole(rows), _check_largest(rows, name)
        bright = self.largest > (1 if self.is_whole else _BRIGHT)
        if bright and 0 < largest <= 1 and not whole:
            raise ValueError(
                f"{name} holds fractions up to {largest:.3g}, but fit saw values up "
                f"to {self.largest:.4g}. Give both the same scale, for example "
                "multiply these by 255."
            )
        if not self.is_whole and self.largest <= 1 < largest and whole:
            raise ValueError(
                f"{name} holds whole numbers up to {largest:.4g}, but fit saw "
                f"fractions up to {self.largest:.3g}. Give both the same scale, for "
                "example divide these by 255."
            )
        return rows.astype(np.float32, copy=False)

    def standardization(self, rows, *, per_channel):
        """Return location and scale of the channels, for each value of an image."""
        return channel_standardization(rows, self.shape[2], per_channel=per_channel)


def flatten_images(X, name="X"):
    """Return images as rows, and their shape; rows as they are."""
    images = _as_array(X)
    if images is None or images.ndim < 3:
        return X, None
    if images.ndim > 4:
        raise ValueError(
            f"{name} has {images.ndim} axes; images have shape (n_samples, height, "
            "width) or (n_samples, height, width, channels)."
        )
    if 0 in images.shape[1:]:
        raise ValueError(f"{name} of shape {images.shape} holds images without pixels.")
    if _has_channels_first(images.shape[1:]):
        raise ValueError(
            f"{name} of shape {images.shape} seems to have its channels first; images "
            "have shape (n_samples, height, width, channels). Pass "
            f"{name}.transpose(0, 2, 3, 1)."
        )
    shape = (*images.shape[1:], 1)[:3]
    rows = images.reshape(len(images), math.prod(shape))
    return rows if rows.dtype.kind == "f" else rows.astype(np.float32), shape


def check_like_fit(estimator, X, known):
    """Return samples like those of a fit to images of a known format, or to samples."""
    if known is None:
        return check_rows(estimator, X, reset=False)
    return known.checked(check_rows(estimator, known.flatten(X), reset=False))


def check_image_shape(image_shape):
    """Return height, width and channels of a parameter, or None."""
    if image_shape is None:
        return None
    sizes = tuple(image_shape)
    whole = all(isinstance(size, Integral) and size > 0 for size in sizes)
    if len(sizes) not in (2, 3) or not whole:
        raise ValueError(
            f"image_shape={image_shape!r} must be (height, width) or (height, width, "
            "channels), positive integers."
        )
    if _has_channels_first(sizes):
        raise ValueError(
            f"image_shape={image_shape!r} seems to have its channels first; it is "
            "(height, width, channels), and so is the order of values in a row. "
            "Transpose the images before they become rows."
        )
    return tuple(map(int, (*sizes, 1)[:3]))


def check_size(shape, n_features, name="X"):
    """Raise ValueError if samples have not as many features as images have values."""
    if math.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={shape} has {math.prod(shape)} values, but {name} has "
            f"n_features={n_features}. Both must be the same."
        )


def agree_on_shape(wanted, found, name="X"):
    """Return the shape of images, of which one or both or neither is known."""
    wanted = check_image_shape(wanted)
    if None not in (wanted, found) and wanted != found:
        raise ValueError(
            f"{name} holds images of shape {found} (height, width, channels), but "
            f"{wanted} is expected. Resize them, or change image_shape before fit."
        )
    return wanted or found


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


def _has_channels_first(sizes):
    """Return whether the sizes of an image look like channels, height, width."""
    if len(sizes) < 3:
        return False
    first, height, last = sizes
    return first in _USUAL_CHANNELS and last not in _USUAL_CHANNELS and first < height


def _is_whole(rows):
    """Return whether all entries are whole numbers."""
    step = max(1, _CHUNK_ENTRIES // rows.shape[1])
    parts = (rows[start : start + step] for start in range(0, len(rows), step))
    return all((part == np.rint(part)).all() for part in parts)


def _check_largest(rows, name):
    """Return the largest absolute value that single precision can square."""
    largest = max(float(rows.max(initial=0.0)), -float(rows.min(initial=0.0)))
    if largest > _LARGEST:
        raise ValueError(
            f"{name} has a pixel of size {largest:.3g}; images are of single "
            f"precision, where squares of values above {_LARGEST:g} overflow. "
            "Rescale it."
        )
    return largest


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

    Notes
    -----
    It sees standardized images, so that contrast and noise are shares of a standard
    deviation. Crops help where objects may be anywhere, and hurt where they are
    aligned, because size and position tell classes apart then. So do flips where
    mirrored objects are others, as digits and letters.

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
    def moves(self) -> bool:
        """Whether views show objects elsewhere, or turned."""
        return self.turn or self.crop < 1

    def __call__(self, images, generator):
        """Return views, shape (n_samples, channels, height, width)."""
        import torch
        from torch.nn import functional

        images = as_float(images)
        options = _options(images, generator)

        def uniform(*axes):
            return torch.rand((len(images), *axes), **options)

        if self.flip or self.moves:
            images = self._resample(images, uniform)
        if self.blur:
            means = functional.avg_pool2d(
                images, 3, 1, padding=1, count_include_pad=False
            )
            images = images.lerp(means, self.blur * uniform(1, 1, 1))
        if self.gamma:
            low = images.amin((1, 2, 3), keepdim=True)
            span = images.amax((1, 2, 3), keepdim=True) - low + 1e-3
            power = (self.gamma * (2 * uniform(1, 1, 1) - 1)).exp()
            images = ((images - low) / span).pow(power) * span + low
        if self.contrast:
            mean = images.mean((1, 2, 3), keepdim=True)
            factor = 1 + self.contrast * (2 * uniform(1, 1, 1) - 1)
            shift = self.contrast / 2 * (2 * uniform(1, 1, 1) - 1)
            images = (images - mean) * factor + mean + shift
        if self.noise:
            scale = self.noise * uniform(1, 1, 1)
            images = images + scale * torch.randn(images.shape, **options)
        return images

    def _resample(self, images, uniform):
        """Flip, turn and crop by one resampling."""
        import torch
        from torch.nn import functional

        def signed():
            return 2 * uniform() - 1

        area = self.crop + (1 - self.crop) * uniform()
        # Neither side is longer than that of the image, and the area stays.
        limit = (-area.log()).clamp(max=math.log(4 / 3))
        ratio = (limit * signed()).exp()
        width, height = (area * ratio).sqrt(), (area / ratio).sqrt()
        x, y = signed() * (1 - width), signed() * (1 - height)
        if self.flip:
            width = torch.where(uniform() < 0.5, -width, width)
        quarters = torch.zeros_like(x)
        if self.turn:
            is_square = images.shape[2] == images.shape[3]
            quarters = (4 if is_square else 2) * uniform()
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


def _options(batch, generator):
    """Return how random numbers for a batch are drawn."""
    return {"generator": generator, "dtype": batch.dtype, "device": batch.device}


AUGMENTATIONS = {
    "aligned": ImageAugmentation(
        flip=True, blur=1.0, gamma=1.0, contrast=0.5, noise=0.3
    ),
    "scene": ImageAugmentation(flip=True, turn=True, crop=0.4),
}


def find_augmentation(own, image_shape):
    """Return what a parameter stands for."""
    found = AUGMENTATIONS[own] if isinstance(own, str) else own
    if isinstance(found, ImageAugmentation) and image_shape is None:
        raise ValueError(
            f"augmentation={own!r} is for images, but X holds rows. Pass X of shape "
            "(n_samples, height, width[, channels]), or an encoder that says which "
            "image_shape its rows have."
        )
    return found


def to_images(X, shape):
    """Return rows as images with channels first, without a copy."""
    return X.unflatten(1, shape).permute(0, 3, 1, 2)


def to_rows(images):
    """Return images with channels first as rows with channels last."""
    return images.permute(0, 2, 3, 1).flatten(1)


class OnImages:
    """A function of images as one of rows."""

    def __init__(self, function, shape):
        self.function = function
        self.shape = shape

    def __call__(self, batch, random_state):
        return to_rows(self.function(to_images(batch, self.shape), random_state))


def jitter(batch, random_state):
    """Augment standardized samples: noise, a random gain, features set to the mean."""
    import torch

    options = _options(batch, random_state)
    kept = torch.rand(batch.shape, **options) < 0.8
    gain = 1 + 0.1 * torch.randn((len(batch), 1), **options)
    return batch * kept * gain + 0.8 * torch.randn(batch.shape, **options)


def augmented(views, augmentations, random_state):
    """Return views of standardized samples, each made by its augmentation, if any."""
    return tuple(
        view if augment is None else augment(view, random_state)
        for view, augment in zip(views, augmentations, strict=True)
    )


class OwnAugmentation:
    """A user's augmentation, of samples as they came, in single precision."""

    def __init__(self, function, units, image_shape=None):
        self.function = function
        self.units = units
        self.on_rows = self._checked
        if image_shape is not None:
            self.on_rows = OnImages(self._checked, image_shape)

    def __call__(self, batch, random_state):
        import torch

        loc, scale = (torch.as_tensor(u).to(batch) for u in self.units[:2])
        # What training gives it; its own tensors may mix with no other.
        rows = (batch * scale + loc).float()
        # Nothing that it has learned is learned here.
        view = self.on_rows(rows, random_state).detach()
        return (view.to(batch) - loc) / scale

    def _checked(self, batch, random_state):
        view = self.function(batch, random_state)
        if not is_torch(view) or view.shape != batch.shape:
            found = tuple(getattr(view, "shape", ())) or type(view).__name__
            raise ValueError(
                f"augmentation={self.function!r} turned a batch of shape "
                f"{tuple(batch.shape)} into {found}. It must return a tensor of the "
                "same shape."
            )
        return view


def augmentations_of(estimator, pairs):
    """Return what makes views of standardized samples in training, for both views."""
    shape = estimator._shapes[0]
    own = find_augmentation(estimator.augmentation, shape)
    if own is None:
        return jitter, jitter
    if isinstance(own, ImageAugmentation):
        own = OnImages(own, shape)
    else:
        own = OwnAugmentation(own, pairs.context_units, shape)
    return own, None if pairs.views.needs_y else own


# Relative to the variances, so that collapsed embeddings too have a density.
_VARIANCE_FLOOR = 1e-6
# Variance of a direction that the other view never explains, as a share.
_LEAST_UNEXPLAINED = 1e-3
# Samples that stand side by side at a time.
_CHUNK_ROWS = 2**16


def gaussian(*views):
    """Return the Gaussian of views side by side: moments, with a relative floor."""
    loc = np.concatenate([Z.mean(axis=0) for Z in views])
    total = np.zeros((len(loc), len(loc)))
    for start in range(0, len(views[0]), _CHUNK_ROWS):
        chunk = slice(start, start + _CHUNK_ROWS)
        diff = np.hstack([Z[chunk] for Z in views]) - loc
        total += diff.T @ diff
    matrix = total / len(views[0])
    variance = np.diagonal(matrix)
    floor = _VARIANCE_FLOOR * np.where(variance > 0, variance, variance.max() or 1.0)
    matrix = matrix + np.diag(floor)
    return Mixture(np.ones(1), loc[None], matrix[None])


class PairMoments(NamedTuple):
    """Gaussians of both views and of the pair."""

    context: Any
    target: Any
    joint: Any

    @classmethod
    def from_pairs(cls, z_context, z_target):
        """Take the moments of training pairs, and discount what they owe to chance."""
        joint = gaussian(z_context, z_target)
        matrix, (n, d) = joint.covariances[0].copy(), z_context.shape
        context, target = joint.marginal(slice(0, d)), joint.marginal(slice(d, None))
        left, right = (
            np.linalg.cholesky(part.covariances[0]) for part in (context, target)
        )
        cross = np.linalg.solve(left, matrix[:d, d:])
        U, cosines, V = np.linalg.svd(np.linalg.solve(right, cross.T).T)
        unexplained = (1 - cosines**2) * (n + d) / max(n - d, 1)
        cosines = np.sqrt(1 - np.clip(unexplained, _LEAST_UNEXPLAINED, 1.0))
        matrix[:d, d:] = left @ (U * cosines) @ V @ right.T
        matrix[d:, :d] = matrix[:d, d:].T
        return cls(context, target, Mixture(joint.weights, joint.means, matrix[None]))

    def information(self, z_context, z_target):
        """Compute the pointwise mutual information of pairs, shape (n_pairs,)."""
        pair = np.hstack([z_context, z_target])
        return (
            self.joint.log_prob(pair)
            - self.context.log_prob(z_context)
            - self.target.log_prob(z_target)
        )

"""Networks that embed samples and images."""

import copy
import math
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from skgmje._standardize import FURTHEST
from skgmje._training._hardware import fast_training, resolve_device
from skgmje.embedding._images import ImageAugmentation, find_augmentation
from skgmje.modules._generators import mlp


def normalised_relu(width):
    """Return what stands behind a linear map: a batch normalisation and ReLU units."""
    return [nn.BatchNorm1d(width), nn.ReLU()]


def hidden_layers(sizes, random_state):
    """Return hidden layers: linear maps, batch normalisations and ReLU units."""
    linear = [m for m in mlp(sizes, random_state) if isinstance(m, nn.Linear)]
    return [part for m in linear for part in (m, *normalised_relu(m.out_features))]


def perceptron_layers(sizes, random_state):
    """Return the layers of a perceptron with batch normalisation before its ReLUs."""
    return hidden_layers(sizes, random_state)[:-2]


class Perceptron(nn.Sequential):
    """Hidden layers, each of a linear map, batch normalisation and ReLU units."""

    def __init__(self, sizes, random_state):
        layers = hidden_layers(sizes, random_state)
        super().__init__(nn.BatchNorm1d(sizes[0], affine=False), *layers)
        self.width = sizes[-1]

    def multi(self, X):
        """Return all hidden layers side by side."""
        found = []
        for layer in self:
            X = layer(X)
            if isinstance(layer, nn.ReLU):
                found.append(X)
        return torch.cat(found, dim=1)


# Channels of the first maps, and the sides of those that dense layers see.
_WIDTH = 24


_SIDE = 4


# Some processors get strided convolutions of bfloat16 wrong whose input is one or two
# pixels wide; the last of ours sees a quarter.
_NARROW = 8


# Sides to which the maps of the stages are pooled, to be put side by side.
_POOLED = (3, 3, 2)


class AsImages(nn.Module):
    """A network of images as one of rows with channels last."""

    def __init__(self, network, shape):
        super().__init__()
        self.network = network
        self.shape = shape

    def forward(self, X):
        return self.network(to_images(X, self.shape))


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


class ConvNet(nn.Module):
    """Four strided convolutions in three stages, and dense layers on their maps."""

    def __init__(self, shape, hidden_layer_sizes, side, random_state):
        super().__init__()
        self.shape = shape
        width, channels = _WIDTH, shape[2]
        widths = (channels, width, 2 * width, 4 * width, 4 * width)
        kernels, strides = (5, 3, 3, 3), (2, 2, 1, 2)
        blocks = [
            _convolution(*pair, kernel, stride, random_state)
            for *pair, kernel, stride in zip(
                widths, widths[1:], kernels, strides, strict=False
            )
        ]
        last = nn.Sequential(*blocks[2:])
        self.stages = nn.ModuleList([*blocks[:2], last])
        size = [math.ceil(length / math.prod(strides)) for length in shape[:2]]
        self.size = [min(side, length) for length in size]
        sizes = (4 * width * math.prod(self.size), *hidden_layer_sizes)
        self.top = nn.Sequential(*hidden_layers(sizes, random_state))
        self.width = sizes[-1]
        self.to(memory_format=torch.channels_last)

    def maps(self, X):
        """Return the maps of the stages."""
        maps = [to_images(X, self.shape)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]

    def forward(self, X):
        wide = min(self.shape[:2]) > _NARROW
        with fast_training(self, X) if wide else nullcontext():
            hidden = self.top(_pooled(self.maps(X)[-1], self.size))
        return hidden.to(X.dtype)

    def multi(self, X):
        """Return pooled maps of all stages side by side."""
        found = []
        for stage, side in zip(self.maps(X), _POOLED, strict=True):
            size = [min(side, length) for length in stage.shape[2:]]
            found.append(_pooled(stage, size))
        return torch.cat(found, dim=1)


def _pooled(maps, size):
    """Return maps as rows, pooled to a size."""
    # Pooling costs a tenth of a step even where it changes nothing.
    if list(maps.shape[2:]) != size:
        maps = functional.adaptive_avg_pool2d(maps, size)
    return to_rows(maps)


def _convolution(n_in, n_out, kernel, stride, random_state):
    """Return a convolution, its normalisation and ReLU units."""
    # Its own start would draw from the random state that torch keeps for all.
    sizes = (n_in, n_out, kernel, stride, kernel // 2)
    layer = nn.utils.skip_init(nn.Conv2d, *sizes, bias=False)
    bound = 1 / math.sqrt(n_in * kernel**2)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=random_state)
    return nn.Sequential(layer, nn.BatchNorm2d(n_out), nn.ReLU())


def side_of(augmentation, shape):
    """Return the side of the maps that dense layers see."""
    found = find_augmentation(augmentation, shape)
    return 1 if isinstance(found, ImageAugmentation) and found.moves else _SIDE


# Rows and values that are embedded at a time.
_CHUNK_ROWS = 8192


_CHUNK_ENTRIES = 2**20


# Hidden layers, unless the user says which.
_LAYERS = (256, 128)


_LAYERS_ON_MAPS = (512,)


class Sphere(nn.Module):
    """Rows of the length that a standard normal has on average."""

    def forward(self, z):
        return nn.functional.normalize(z) * z.shape[1] ** 0.5


NORMS = {
    None: lambda width: nn.Identity(),
    "sphere": lambda width: Sphere(),
    "batch": lambda width: nn.BatchNorm1d(width, affine=False),
}


class View(NamedTuple):
    """What an encoder is built for."""

    parameter: str
    n_features: int
    image_shape: Any

    def zeros(self):
        """Return two rows, or images, of nothing."""
        if self.image_shape is None:
            return torch.zeros(2, self.n_features)
        height, width, channels = self.image_shape
        return torch.zeros(2, channels, height, width)


class Encoder(nn.Module):
    """A body that learns, a head that is dropped if the hidden layer is wanted."""

    def __init__(self, body, head):
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, X):
        return self.head(self.body(X))


class Multi(nn.Module):
    """All layers of a body side by side."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, X):
        return self.body.multi(X)


def is_ours(body):
    """Tell whether a body was built here, and so has layers that are known."""
    return hasattr(body, "multi")


def _all_layers(encoder):
    if not is_ours(encoder.body):
        raise ValueError(
            "embedding_layer='multi' puts the layers of 'mlp' or 'convnet' side by "
            "side; of an encoder of your own nobody knows them. Use "
            "embedding_layer='hidden'."
        )
    return Multi(encoder.body)


LAYERS = {
    "output": lambda encoder: encoder,
    "hidden": lambda encoder: encoder.body,
    "multi": _all_layers,
}


class Beside(nn.Module):
    """What a network puts out, and linear features of the row itself."""

    def __init__(self, network, directions):
        super().__init__()
        self.network = network
        directions = torch.as_tensor(directions, dtype=precision(network))
        self.register_buffer("directions", directions)

    def forward(self, X):
        return torch.cat([self.network(X), X @ self.directions], dim=1)


class InUnits(nn.Module):
    """A network of standardised rows as one of rows in their own units."""

    def __init__(self, network, units):
        super().__init__()
        self.network = network
        self.register_buffer("loc", torch.as_tensor(units.loc))
        self.register_buffer("scale", torch.as_tensor(units.scale))
        self.dtype = precision(network)

    def forward(self, X):
        Z = ((X.double() - self.loc) / self.scale).clamp(-FURTHEST, FURTHEST)
        return self.network(Z.to(self.dtype)).to(X.dtype)


def precision(network):
    """Return the data type of a network's parameters, single precision without."""
    return next(network.parameters(), torch.zeros(())).dtype


def _build_perceptron(view, estimator, random_state):
    sizes = [view.n_features, *_hidden_sizes(estimator, _LAYERS)]
    return Perceptron(sizes, random_state)


def _build_convnet(view, estimator, random_state):
    if view.image_shape is None:
        raise ValueError(
            f"{view.parameter}='convnet' is for images, but {_DATA[view.parameter]} "
            "holds rows. Pass images of shape (n_samples, height, width[, channels])"
            + (", or image_shape." if view.parameter == "encoder" else ".")
        )
    # Other views are those of X.
    moved = estimator.augmentation if view.parameter == "encoder" else None
    side = side_of(moved, view.image_shape)
    sizes = _hidden_sizes(estimator, _LAYERS_ON_MAPS)
    return ConvNet(view.image_shape, sizes, side, random_state)


_DATA = {"encoder": "X", "target_encoder": "y"}


ENCODERS = {"mlp": _build_perceptron, "convnet": _build_convnet}


def _hidden_sizes(estimator, default):
    sizes = estimator.hidden_layer_sizes
    return default if isinstance(sizes, str) else sizes


def build_encoder(view, embedding_dim, estimator, random_state, *, on_top):
    """Return the encoder of a view, on the CPU, float32."""
    own = getattr(estimator, view.parameter)
    norm = NORMS[estimator.norm](embedding_dim)
    if own is None:
        own = "mlp" if view.image_shape is None else "convnet"
    if isinstance(own, str):
        body = ENCODERS[own](view, estimator, random_state)
        head = mlp([body.width, embedding_dim], random_state)
        return Encoder(body, nn.Sequential(*head, norm))
    body = _build_foreign(view, own, embedding_dim)
    answer = _answer(body, view)
    _check_answer(view, own, answer, None if on_top else embedding_dim)
    if view.image_shape is not None:
        body = AsImages(body, view.image_shape)
    head = []
    if on_top:
        # A body of others may end anywhere.
        width = answer.shape[1]
        linear = mlp([width, embedding_dim], random_state)
        head = [*normalised_relu(width), *linear]
    encoder = Encoder(body, nn.Sequential(*head, norm))
    if view.parameter == "encoder":
        LAYERS[estimator.embedding_layer](encoder)
    return encoder


def _build_foreign(view, own, embedding_dim):
    if isinstance(own, nn.Module):
        body = copy.deepcopy(own)
    else:
        body = own(view.n_features, embedding_dim)
    if not isinstance(body, nn.Module):
        raise ValueError(
            f"{view.parameter}={own!r} built {type(body).__name__}; it must return a "
            "torch.nn.Module when called with (n_features, embedding_dim)."
        )
    return body.to("cpu", torch.float32)


def _answer(body, view):
    """Return what a user's module makes of two rows, or its error."""
    training = body.training
    try:
        with torch.no_grad():
            return body.eval()(view.zeros())
    except (RuntimeError, ValueError, TypeError) as error:
        return error
    finally:
        body.train(training)


def _check_answer(view, own, answer, embedding_dim):
    """Raise if a user's module does not put out embeddings."""
    width = "any width" if embedding_dim is None else embedding_dim
    shape = tuple(getattr(answer, "shape", ()))
    if len(shape) == 2 and shape[0] == 2 and embedding_dim in (None, shape[1]):
        return
    found = f"shape {shape}" if torch.is_tensor(answer) else repr(answer)
    rows = "rows" if view.image_shape is None else "images"
    raise ValueError(
        f"{view.parameter}={own!r} maps {rows} of shape {tuple(view.zeros().shape)} to "
        f"{found}, but embeddings have shape (2, {width}). Change its layers, set "
        "embedding_dim, or use embedding_layer='hidden', which takes any width."
    )


def embed(network, rows, device, units=None, *, max_rows=_CHUNK_ROWS):
    """Return the outputs of a network in evaluation mode, float64."""
    device = _present_device(device)
    step = max(1, min(max_rows, _CHUNK_ENTRIES // rows.shape[1]))
    chunks = [rows[i : i + step] for i in range(0, len(rows), step)]
    if device.type != "mps":
        try:
            return _evaluate(network, chunks, device, units, torch.float64)
        except RuntimeError:
            if precision(network) == torch.float64:
                raise
    return _evaluate(network, chunks, device, units, torch.float32)


def _evaluate(network, chunks, device, units, dtype):
    """Return the outputs of a network for chunks of rows in one precision."""
    if device.type != "cpu" or precision(network) != dtype:
        network = copy.deepcopy(network).to(device, dtype)
    parts = []
    with torch.inference_mode():
        for chunk in chunks:
            rows = chunk if units is None else units.standardise(chunk)
            rows = torch.tensor(rows, dtype=dtype)
            parts.append(network(rows.to(device)).cpu().double().numpy())
    return np.concatenate(parts)


def _present_device(name):
    try:
        return resolve_device(name)
    except ValueError:
        return torch.device("cpu")

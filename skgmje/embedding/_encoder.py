"""Networks that embed rows. Imports torch: import it late."""

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from skgmje._units import FURTHEST
from skgmje.embedding._convnet import AsImages, ConvNet, side_of
from skgmje.embedding._perceptron import Perceptron, normalised_relu
from skgmje.modules import mlp
from skgmje.modules._device import resolve_device

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
    """What an encoder is built for.

    Parameters
    ----------
    parameter : {'encoder', 'target_encoder'}
        The parameter of the estimator that says what to build.

    n_features : int
        Width of a row.

    image_shape : tuple of int or None
        Height, width and channels, if rows are images.
    """

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
    """A body that learns, a head that is dropped if the hidden layer is wanted.

    Parameters
    ----------
    body : nn.Module
        From rows to the hidden layer.

    head : nn.Module
        From the hidden layer to the embedding.
    """

    def __init__(self, body, head):
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, X):
        return self.head(self.body(X))


class Multi(nn.Module):
    """All layers of a body side by side.

    Parameters
    ----------
    body : nn.Module
        With a method `multi`.
    """

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
    """What a network puts out, and linear features of the row itself.

    Parameters
    ----------
    network : nn.Module
        Of standardised rows.

    directions : ndarray of shape (n_features, n_directions)
        Linear features.
    """

    def __init__(self, network, directions):
        super().__init__()
        self.network = network
        directions = torch.as_tensor(directions, dtype=precision(network))
        self.register_buffer("directions", directions)

    def forward(self, X):
        return torch.cat([self.network(X), X @ self.directions], dim=1)


class InUnits(nn.Module):
    """A network of standardised rows as one of rows in their own units.

    Parameters
    ----------
    network : nn.Module
        Of standardised rows.

    units : Units
        Of the rows.
    """

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
    """Return the encoder of a view, on the CPU, float32.

    Parameters
    ----------
    view : View
        What it sees, and which parameter of the estimator says what to build: a key
        of :data:`ENCODERS`; None is 'convnet' for images and 'mlp' else; a module is
        copied; a callable builds one from ``(n_features, embedding_dim)``.

    embedding_dim : int
        Width of the embedding.

    estimator : EmbedderMixin
        Its parameters are read.

    random_state : torch.Generator
        The source of randomness, on the CPU.

    on_top : bool
        Whether a module of the user's is a hidden layer, and needs a head.

    Returns
    -------
    encoder : Encoder
        Body and head.

    Raises
    ------
    ValueError
        If a user's module does not map rows to embeddings.
    """
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
    """Return the outputs of a network in evaluation mode, float64.

    They are computed in double precision, whatever that of the parameters: in
    single precision the place of a row in the batch shows. Who knows single precision
    only, such as a user's network that asks for it and Apple's devices, computes so.

    Parameters
    ----------
    network : nn.Module
        On the CPU; a copy goes to another device.

    rows : ndarray of shape (n_samples, n_features)
        Rows, standardised unless there are units.

    device : str
        Name of a device. If it is not there any more, the CPU is taken.

    units : Units or None, default=None
        To standardise rows in.

    max_rows : int, default=8192
        Rows that are embedded at a time, at most.

    Returns
    -------
    Z : ndarray of shape (n_samples, n_outputs)
        Outputs.
    """
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

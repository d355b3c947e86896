"""Networks that embed rows. Imports torch: import it late."""

import copy

import numpy as np
import torch
from torch import nn

from skgmje._units import FURTHEST
from skgmje.modules import mlp
from skgmje.modules._device import resolve_device

# Rows that are embedded at a time.
_CHUNK_ROWS = 8192


class Sphere(nn.Module):
    """Rows of the length that a standard normal has on average."""

    def forward(self, z):
        return nn.functional.normalize(z) * z.shape[1] ** 0.5


NORMS = {
    None: lambda width: nn.Identity(),
    "sphere": lambda width: Sphere(),
    "batch": lambda width: nn.BatchNorm1d(width, affine=False),
}


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


def perceptron(sizes, random_state):
    """Return a perceptron with batch normalisation before its ReLU units.

    What comes in is normalised too: augmented rows have other variances than
    rows.

    Parameters
    ----------
    sizes : sequence of int
        Widths of the input, the hidden layers and the output.

    random_state : torch.Generator
        The source of randomness, on the CPU.

    Returns
    -------
    network : nn.Sequential
        The perceptron.
    """
    layers = [nn.BatchNorm1d(sizes[0], affine=False)]
    widths = iter(sizes[1:])
    for layer in mlp(sizes, random_state):
        if isinstance(layer, nn.ReLU):
            layers.append(nn.BatchNorm1d(next(widths)))
        layers.append(layer)
    return nn.Sequential(*layers)


def projection(width, embedding_dim, random_state):
    """Return what maps a hidden layer to the embedding."""
    linear = mlp([width, embedding_dim], random_state)
    return [nn.BatchNorm1d(width), nn.ReLU(), *linear]


def build_encoder(name, n_features, embedding_dim, estimator, random_state):
    """Return the encoder of a view, on the CPU, float32.

    Parameters
    ----------
    name : {'encoder', 'target_encoder'}
        Which parameter of the estimator says what to build: None is a
        perceptron; a module is copied; a callable builds one from
        ``(n_features, embedding_dim)``.

    n_features : int
        Width of a row.

    embedding_dim : int
        Width of the embedding.

    estimator : EmbedderMixin
        Its parameters are read.

    random_state : torch.Generator
        The source of randomness, on the CPU.

    Returns
    -------
    encoder : Encoder
        Body and head.

    Raises
    ------
    ValueError
        If a user's module does not map rows to embeddings.
    """
    foreign = getattr(estimator, name)
    norm = NORMS[estimator.norm](embedding_dim)
    if foreign is None:
        sizes = [n_features, *estimator.hidden_layer_sizes]
        head = projection(sizes[-1], embedding_dim, random_state)
        body = perceptron(sizes, random_state)
        return Encoder(body, nn.Sequential(*head, norm))
    hidden = estimator.embedding_layer == "hidden"
    body = _build_foreign(name, foreign, n_features, embedding_dim)
    answer = _answer(body, n_features)
    _check_answer(name, foreign, n_features, answer, None if hidden else embedding_dim)
    head = []
    if hidden:
        head = projection(answer.shape[1], embedding_dim, random_state)
    return Encoder(body, nn.Sequential(*head, norm))


def _build_foreign(name, foreign, n_features, embedding_dim):
    if isinstance(foreign, nn.Module):
        body = copy.deepcopy(foreign)
    else:
        body = foreign(n_features, embedding_dim)
    if not isinstance(body, nn.Module):
        raise ValueError(
            f"{name}={foreign!r} built {type(body).__name__}; it must return a "
            "torch.nn.Module when called with (n_features, embedding_dim)."
        )
    return body.to("cpu", torch.float32)


def _answer(body, n_features):
    """Return what a user's module makes of two rows, or its error."""
    training = body.training
    try:
        with torch.no_grad():
            return body.eval()(torch.zeros(2, n_features))
    except (RuntimeError, ValueError, TypeError) as error:
        return error
    finally:
        body.train(training)


def _check_answer(name, foreign, n_features, answer, embedding_dim):
    """Raise if a user's module does not put out embeddings."""
    width = "any width" if embedding_dim is None else embedding_dim
    shape = tuple(getattr(answer, "shape", ()))
    if len(shape) == 2 and shape[0] == 2 and embedding_dim in (None, shape[1]):
        return
    found = f"shape {shape}" if torch.is_tensor(answer) else repr(answer)
    raise ValueError(
        f"{name}={foreign!r} maps rows of shape (2, {n_features}) to {found}, but "
        f"embeddings have shape (2, {width}). Change its layers, set embedding_dim, or "
        "use embedding_layer='hidden', which takes any width."
    )


def embed(network, rows, device):
    """Return the outputs of a network in evaluation mode, float64.

    Parameters
    ----------
    network : nn.Module
        On the CPU; a copy goes to another device.

    rows : ndarray of shape (n_samples, n_features)
        Standardised rows.

    device : str
        Name of a device. If it is not there any more, the CPU is taken.

    Returns
    -------
    Z : ndarray of shape (n_samples, n_outputs)
        Outputs.
    """
    device = _present_device(device)
    dtype = precision(network)
    if device.type != "cpu":
        # Apple's devices have no double precision.
        dtype = torch.float32 if device.type == "mps" else dtype
        network = copy.deepcopy(network).to(device, dtype)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), _CHUNK_ROWS):
            chunk = torch.tensor(rows[start : start + _CHUNK_ROWS], dtype=dtype)
            parts.append(network(chunk.to(device)).cpu().double().numpy())
    return np.concatenate(parts)


def _present_device(name):
    try:
        return resolve_device(name)
    except ValueError:
        return torch.device("cpu")

"""The networks of a kernel decoder. Imports torch: import it late."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from skgmje.embedding._perceptron import perceptron_layers
from skgmje.modules._device import fast_training, load_tensors
from skgmje.modules._group import by_rows

# Share of its past that the running error keeps in each step.
_DECAY = 0.98
# Least kernel variance for each feature, in units of the features' variance.
_LEAST_VARIANCE = 1e-8
# Spread of the weights that tell centres apart at first.
_SPREAD = 0.02


class Range(nn.Module):
    """Keep values between two borders by a sigmoid.

    Parameters
    ----------
    low, high : array of shape (n_features,)
        The borders.
    """

    def __init__(self, low, high):
        super().__init__()
        self.register_buffer("low", torch.as_tensor(low, dtype=torch.float32))
        width = torch.as_tensor(np.subtract(high, low), dtype=torch.float32)
        self.register_buffer("width", width)

    def forward(self, values):
        return self.low + self.width * torch.sigmoid(values)

    def start(self):
        """Return what becomes 0, the mean, or is as near to it as helps."""
        share = -self.low / torch.where(self.width > 0, self.width, 1.0)
        return torch.logit(share.clamp(0.01, 0.99))


class Decoder(nn.Module):
    """Decode codes to centres, side by side in one row.

    Parameters
    ----------
    shared : nn.Sequential
        From codes to what all centres have in common.

    own : nn.Sequential or None
        From codes to what is added for each centre; None if there is one.

    output : nn.Module
        What brings values into their range.
    """

    def __init__(self, shared, own, output):
        super().__init__()
        self.shared = shared
        self.own = own
        self.output = output

    def forward(self, codes):
        values = self.shared(codes)[:, None]
        if self.own is not None:
            own = self.own(codes)
            values = values + own.view(len(own), -1, values.shape[-1])
        return self.output(values).flatten(1)


def build_networks(estimator, n_features, random_state, bounds=None):
    """Return the encoder and the decoder, on the CPU, float32.

    Parameters
    ----------
    estimator : KernelDecoder
        Its parameters are read.

    n_features : int
        Width of a row.

    random_state : torch.Generator
        The source of randomness, on the CPU.

    bounds : tuple of array of shape (n_features,), default=None
        Least and largest values of standardised rows; None where a file has them.

    Returns
    -------
    encoder : nn.Sequential
        From standardised rows to standardised codes.

    decoder : Decoder
        From codes to standardised rows.
    """
    hidden, width = list(estimator.hidden_layer_sizes), estimator.code_dim
    layers = perceptron_layers([n_features, *hidden, width], random_state)
    encoder = nn.Sequential(*layers, nn.BatchNorm1d(width, affine=False))
    layers = perceptron_layers([width, *hidden[::-1], n_features], random_state)
    shared = nn.Sequential(*layers)
    output = nn.Identity()
    nn.init.zeros_(shared[-1].bias)
    if estimator.bounded:
        output = Range(*(bounds or (np.zeros(n_features), np.ones(n_features))))
        with torch.no_grad():
            shared[-1].bias.copy_(output.start())
    return encoder, Decoder(shared, _own(estimator, n_features, random_state), output)


def _own(estimator, n_features, random_state):
    n_centers, last = estimator.n_centers, estimator.hidden_layer_sizes[-1]
    if n_centers == 1:
        return None
    sizes = [estimator.code_dim, last, max(1, last // 2), n_centers * n_features]
    layers = perceptron_layers(sizes, random_state)
    nn.init.zeros_(layers[-1].bias)
    with torch.no_grad():
        layers[-1].weight.normal_(std=_SPREAD, generator=random_state)
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class Decoded:
    """What the cost sees of a batch.

    Parameters
    ----------
    centers : tensor of shape (n_samples, n_centers, n_features)
        What the codes are decoded to.

    variance : tensor of shape ()
        Variance of the kernel.
    """

    centers: Any
    variance: Any


class Autoencoder(nn.Module):
    """Encode rows, add noise, decode; and tune the variance of the kernel.

    Training multiplies bfloat16 where the processor does so faster; codes, centres
    and costs are of single precision.

    Parameters
    ----------
    encoder, decoder : nn.Module
        The networks.

    estimator : KernelDecoder
        Its parameters are read.

    variance : float or None
        Variance of the kernel; None tunes it.

    random_state : torch.Generator
        The source of the noise, on the batches' device.
    """

    remembered = ("random_state",)

    def __init__(self, encoder, decoder, estimator, variance, random_state):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.n_centers = estimator.n_centers
        self.code_noise = estimator.code_noise
        self.kappa = estimator.kappa
        self.fixed = variance
        self.random_state = random_state
        # Running mean of the squared distance to the nearest centre.
        self.register_buffer("error", torch.zeros(()))

    @property
    def variance(self):
        """Variance of the kernel of whole standardised rows."""
        if self.fixed is None:
            return self.kappa * self.error
        return torch.full_like(self.error, self.fixed)

    def forward(self, X):
        with fast_training(self, X):
            codes = by_rows(self.encoder, X).to(X.dtype)
        if self.training:
            options = {"dtype": X.dtype, "device": X.device}
            noise = torch.randn(codes.shape, generator=self.random_state, **options)
            codes = codes + self.code_noise * noise
        with fast_training(self, X):
            centers = by_rows(self.decoder, codes).to(X.dtype)
        centers = centers.unflatten(1, (self.n_centers, -1))
        if self.training:
            self._follow(X, centers.detach())
        least = _LEAST_VARIANCE * X.shape[1]
        return Decoded(centers, self.variance.clamp(min=least))

    def _follow(self, X, centers):
        error = (centers - X[:, None]).square().sum(-1).amin(1).mean()
        known = torch.where(self.error > 0, self.error, error)
        self.error.copy_(_DECAY * known + (1 - _DECAY) * error)

    def update(self, batch, random_state):
        """Do nothing: all that is learned is learned by the gradient."""


def restore_networks(estimator):
    """Return encoder and decoder from the tensors that a file has of them.

    Parameters
    ----------
    estimator : KernelDecoder
        Whose `encoder_` and `decoder_` are such tensors by name.

    Returns
    -------
    encoder, decoder : nn.Module
        On the CPU, in evaluation mode.
    """
    networks = build_networks(estimator, estimator.n_features_in_, torch.Generator())
    tensors = estimator.encoder_, estimator.decoder_
    return tuple(map(load_tensors, networks, tensors))

"""Networks, cost and training of a KernelDecoder."""

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from skgmje._training._hardware import by_rows, fast_training, load_tensors
from skgmje._training._loop import draw_rows, share_rows
from skgmje._training._schedule import Schedule, Training
from skgmje.embedding._decoder_cost import OBJECTIVES, KernelTerms, kernel_terms
from skgmje.embedding._encoder import check_training, run_training, standardized
from skgmje.gaussian._checks import check_layers
from skgmje.modules._generators import hidden_layers

# Share of its past that the running error keeps in each step.
_DECAY = 0.98
# Least kernel variance for each feature, in units of the features' variance.
_LEAST_VARIANCE = 1e-8
# Spread of the weights that tell centers apart at first.
_SPREAD = 0.02


class Range(nn.Module):
    """Keep values between two borders by a sigmoid."""

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
    """Decode codes to centers, side by side in one row."""

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
    """Return the encoder and the decoder, on the CPU, float32."""
    hidden, width = list(estimator.hidden_layer_sizes), estimator.code_dim
    layers = hidden_layers([n_features, *hidden, width], random_state)[:-2]
    encoder = nn.Sequential(*layers, standardized(width))
    layers = hidden_layers([width, *hidden[::-1], n_features], random_state)[:-2]
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
    layers = hidden_layers(sizes, random_state)[:-2]
    nn.init.zeros_(layers[-1].bias)
    with torch.no_grad():
        layers[-1].weight.normal_(std=_SPREAD, generator=random_state)
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class Decoded:
    """What the cost sees of a batch."""

    centers: Any
    variances: Any
    unit: Any


class Autoencoder(nn.Module):
    """Encode samples, add noise, decode; and tune the variance of the kernel."""

    remembered = ("random_state",)

    def __init__(self, encoder, decoder, estimator, kernel, random_state):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.n_centers = estimator.n_centers
        self.code_noise = estimator.code_noise
        self.kappa = kernel.kappa
        self.fixed, self.widths = kernel._widths(estimator._unit)
        self.random_state = random_state
        # Running mean of the squared distance to the nearest center.
        self.register_buffer("error", torch.zeros((), dtype=torch.float32))

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
        variance = self.kappa * self.error
        if self.fixed is not None:
            variance = torch.full_like(self.error, self.fixed)
        variance = variance.clamp(min=_LEAST_VARIANCE * X.shape[1])
        mean = sum(1 / width for width in self.widths) / len(self.widths)
        return Decoded(centers, [w * variance for w in self.widths], variance / mean)

    def _follow(self, X, centers):
        """Let the running error follow a batch."""
        error = (centers - X[:, None]).square().sum(-1).amin(1).mean()
        known = torch.where(self.error > 0, self.error, error)
        self.error.copy_(_DECAY * known + (1 - _DECAY) * error)

    def update(self, batch, random_state):
        """Do nothing: all that is learned is learned by the gradient."""


def restore_networks(estimator):
    """Return encoder and decoder from the tensors that a file has of them."""
    n_features = estimator.n_features_in_
    networks = build_networks(estimator._asked, n_features, torch.Generator())
    tensors = estimator.encoder_, estimator.decoder_
    return tuple(map(load_tensors, networks, tensors))


# Copies of a batch of centers, and of the weights of the last layer, in a step.
_COPIES = 6


class Objective:
    """The cost of a batch times the variance for each feature.

    Of several variances it is the harmonic mean: with one center the cost of small
    errors is then their square.
    """

    def __init__(self, objective, patches):
        self.function = OBJECTIVES[objective]
        self.patches = patches

    def __call__(self, decoded, X):
        terms = kernel_terms(X, decoded.centers, decoded.variances, self.patches)
        return self.function(terms) * (decoded.unit / X.shape[1])

    def effective_samples(self, decoded, X):
        """Return how many samples of a batch carry the gradient, a float."""
        terms = kernel_terms(X, decoded.centers, decoded.variances, self.patches)
        # Not every device has double precision.
        log_fit, log_norm = (part.detach().cpu().double() for part in terms)
        terms = KernelTerms(log_fit.requires_grad_(), log_norm)
        (weights,) = torch.autograd.grad(self.function(terms), log_fit)
        weights = weights / weights.abs().amax(0)
        return float((weights.sum(0).square() / weights.square().sum(0)).mean())


@dataclass(frozen=True)
class Trained:
    """Networks on the CPU, in evaluation mode."""

    encoder: Any
    decoder: Any
    training: Training
    variances: list
    effective_samples: float
    batch_size: int


def train_decoder(estimator, rows, bounds, kernel, patches, device, seed, task):
    """Train encoder and decoder."""
    random_state = torch.Generator().manual_seed(seed)
    networks = build_networks(estimator, rows.shape[1], random_state, bounds)
    noise = torch.Generator(device).manual_seed(seed)
    module = Autoencoder(*networks, estimator, kernel, noise).to(device)
    objective = Objective(estimator.objective, patches)
    batch_size = min(estimator.batch_size, len(rows))
    rows = share_rows(rows, device)
    max_iter = count_steps(estimator.max_iter, len(rows))
    schedule = Schedule(max_iter, batch_size, estimator.learning_rate)
    what = module, objective, rows, schedule, random_state, device
    training = run_training(estimator, task, *what, remedy="Check the scale of X.")

    def look():
        sample = rows[draw_rows(len(rows), batch_size, random_state).to(device)][0]
        with torch.no_grad():
            decoded = module.eval()(sample)
        variances = list(map(float, decoded.variances))
        return objective.effective_samples(decoded, sample), variances

    effective, variances = task.finish(look)
    module.cpu()
    found = training, variances, effective, batch_size
    return Trained(module.encoder, module.decoder, *found)


def count_steps(max_iter, n_samples=np.inf):
    """Return the number of gradient steps, at most if it is not told of samples."""
    return max(100, min(800, 8 * n_samples)) if max_iter == "auto" else max_iter


def check_decoder(estimator, X):
    """Return the device and the trainer; what can fail should do so before any work."""
    device, trainer = check_training(estimator)
    check_layers(estimator.hidden_layer_sizes, (512, 256), may_be_empty=False)
    n_rows, n_features = min(estimator.batch_size, len(X)), X.shape[1]
    width = max(1, estimator.hidden_layer_sizes[-1] // 2)
    n_centers = estimator.n_centers
    entries = n_features * (n_rows + width) + n_centers * n_rows
    needed, there = 4 * _COPIES * n_centers * entries, _total_memory(device)
    if needed > there:
        raise ValueError(
            f"n_centers={n_centers} needs about {needed:.3g} bytes for a step with "
            f"batches of {n_rows} samples of {n_features} features, and the memory of "
            f"{device} has {there:.3g}. Decrease n_centers or batch_size."
        )
    return device, trainer


def _total_memory(device):
    """Return the bytes that a device has, infinity if it does not say."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return math.inf

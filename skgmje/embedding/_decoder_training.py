"""Networks, cost and training of a KernelDecoder."""

import math
import os
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from skgmje._backend import logsumexp, namespace
from skgmje._training._hardware import by_rows, fast_training, load_tensors
from skgmje._training._loop import check_engine, draw_rows, share_rows, train
from skgmje._training._schedule import Hooks, Progress, Schedule, Training
from skgmje.embedding._encoder import perceptron_layers
from skgmje.embedding._views import check_image_shape, check_size


class Patches(NamedTuple):
    """How a sample is cut into patches; one pixel of all features is no cut at all."""

    height: int
    width: int
    n_channels: int
    size: int

    @property
    def n_patches(self):
        """Number of patches of a sample."""
        return self.height * self.width // self.size**2

    def split(self, rows):
        """Cut samples of shape (n, k, n_features) into (n, n_patches, k, n_pixels)."""
        xp, (n, k, _) = namespace(rows), rows.shape
        size, down, across = (
            self.size,
            self.height // self.size,
            self.width // self.size,
        )
        grid = xp.reshape(rows, (n, k, down, size, across, size, self.n_channels))
        grid = xp.permute_dims(grid, (0, 2, 4, 1, 3, 5, 6))
        return xp.reshape(grid, (n, down * across, k, size * size * self.n_channels))


class KernelTerms(NamedTuple):
    """Logarithms of both terms of the Schwarz bound, for kernels of height 1."""

    log_fit: Any
    log_norm: Any

    @property
    def log_ratio(self):
        """Log of the squared fit over the norm, at most 0, shape as the terms."""
        return 2 * self.log_fit - self.log_norm


def kernel_terms(X, centers, variance, patches):
    """Compute both terms of the conditional Schwarz bound, by Gram products."""
    xp, n_centers = namespace(X, centers), centers.shape[1]
    # Seen from the sample, one Gram matrix has the distances of both kinds.
    residuals = patches.split(centers - X[:, None, :])
    gram = residuals @ xp.permute_dims(residuals, (0, 1, 3, 2))
    squares = xp.linalg.diagonal(gram)
    pairs = squares[..., :, None] + squares[..., None, :] - 2 * gram
    pairs = xp.reshape(xp.clip(pairs, 0.0), (*squares.shape[:2], n_centers**2))
    share = variance / patches.n_patches
    log_fit = logsumexp(-squares / (2 * share), -1) - math.log(n_centers)
    log_norm = logsumexp(-pairs / (4 * share), -1) - 2 * math.log(n_centers)
    return KernelTerms(log_fit, log_norm)


def sample_objective(terms):
    """Compute the mean over samples of the gap to each sample's own bound."""
    return -namespace(terms.log_fit).mean(terms.log_ratio)


def batch_objective(terms):
    """Compute the gap to the bound of the conditional density of all samples."""
    log_n = math.log(terms.log_fit.shape[0])
    fit, norm = logsumexp(terms.log_fit, 0), logsumexp(terms.log_norm, 0)
    return namespace(fit).mean(log_n - 2 * fit + norm)


OBJECTIVES = {"sample": sample_objective, "batch": batch_objective}


def _shape(estimator, n_features, found):
    """Return height, width and channels, or None; raise if samples are not of it."""
    shape = found or check_image_shape(estimator.image_shape)
    if shape is not None:
        check_size(shape, n_features)
    return shape


def _whole(estimator, n_features, found=None):
    """Return the cut of a kernel that compares whole samples."""
    _shape(estimator, n_features, found)
    return Patches(1, 1, n_features, 1)


def _patches(estimator, n_features, found=None):
    """Return the cut of one that compares patches; raise if there is none."""
    shape, size = _shape(estimator, n_features, found), estimator.patch_size
    if shape is None:
        raise ValueError(
            "image_shape=None must be (height, width) or (height, width, channels) "
            "with kernel='patches'. Set it, pass X of shape (n_samples, height, "
            "width[, channels]), or use kernel='isotropic'."
        )
    height, width, channels = shape
    if height % size or width % size:
        raise ValueError(
            f"patch_size={size} must divide height and width of "
            f"image_shape={shape!r}. Use a common divisor of the two."
        )
    return Patches(height, width, channels, int(size))


KERNELS = {"isotropic": _whole, "patches": _patches}

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
    """Decode codes to centres, side by side in one row."""

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
    """What the cost sees of a batch."""

    centers: Any
    variance: Any


class Autoencoder(nn.Module):
    """Encode samples, add noise, decode; and tune the variance of the kernel."""

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
        # Running mean of the squared distance to the nearest center.
        self.register_buffer("error", torch.zeros(()))

    @property
    def variance(self):
        """Variance of the kernel of whole standardized samples."""
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
    """Return encoder and decoder from the tensors that a file has of them."""
    networks = build_networks(estimator, estimator.n_features_in_, torch.Generator())
    tensors = estimator.encoder_, estimator.decoder_
    return tuple(map(load_tensors, networks, tensors))


# Copies of a batch of centers, and of the weights of the last layer, in a step.
_COPIES = 6


class Objective:
    """The cost of a batch times the kernel's variance for each feature."""

    def __init__(self, objective, patches):
        self.function = OBJECTIVES[objective]
        self.patches = patches

    def __call__(self, decoded, X):
        terms = kernel_terms(X, decoded.centers, decoded.variance, self.patches)
        return self.function(terms) * (decoded.variance / X.shape[1])

    def effective_samples(self, decoded, X):
        """Return how many samples of a batch carry the gradient, a float."""
        terms = kernel_terms(X, decoded.centers, decoded.variance, self.patches)
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
    variance: float
    effective_samples: float
    batch_size: int


def train_decoder(estimator, rows, bounds, variance, patches, device, seed, task):
    """Train encoder and decoder."""
    random_state = torch.Generator().manual_seed(seed)
    networks = build_networks(estimator, rows.shape[1], random_state, bounds)
    noise = torch.Generator(device).manual_seed(seed)
    module = Autoencoder(*networks, estimator, variance, noise).to(device)
    objective = Objective(estimator.objective, patches)
    batch_size = min(estimator.batch_size, len(rows))
    rows = share_rows(rows, device)
    hooks = _hooks(estimator, task)
    schedule = Schedule(estimator.max_iter, batch_size, estimator.learning_rate)
    plan = schedule, hooks, random_state, device
    training = task.learn(Training, train, module, objective, rows, *plan)

    def look():
        sample = rows[draw_rows(len(rows), batch_size, random_state).to(device)][0]
        with torch.no_grad():
            decoded = module.eval()(sample)
        return objective.effective_samples(decoded, sample), float(decoded.variance)

    effective, variance = task.finish(look)
    module.cpu()
    return Trained(
        module.encoder,
        module.decoder,
        training,
        variance,
        effective,
        batch_size,
    )


def _hooks(estimator, task):
    progress = Progress(type(estimator).__name__, estimator.max_iter, estimator.verbose)

    def on_epoch(losses):
        progress(losses)
        return task.end_epoch()

    return Hooks(
        on_epoch=on_epoch,
        callbacks=estimator.callbacks,
        net_params=estimator.net_params,
        remedy="Check the scale of X.",
        checkpoint=task.checkpoint,
        memories=(progress,),
    )


def check_decoder(estimator, X):
    """Return the device; what can fail should do so before any work."""
    device = check_engine(estimator, (512, 256))
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
    return device


def _total_memory(device):
    """Return the bytes that a device has, infinity if it does not say."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return math.inf

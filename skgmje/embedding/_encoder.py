"""Encoders of samples and images: their networks and their training."""

import copy
import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from skgmje._settings import own_settings
from skgmje._standardize import FURTHEST
from skgmje._training._hardware import (
    by_rows,
    fast_training,
    load_tensors,
    own_random_state,
    resolve_device,
)
from skgmje._training._loop import (
    DefaultGenerator,
    check_trainer,
    draw_rows,
    share_rows,
    train,
)
from skgmje._training._schedule import Hooks, Progress, Schedule, Training, read_trainer
from skgmje.embedding._collapse import log_det
from skgmje.embedding._embedder_options import (
    INPUT,
    MLP,
    ConvNet,
    Encoder,
    encoders_of,
    has_foreign_parts,
    layers_of,
    loss_of,
)
from skgmje.embedding._losses import Embeddings, covariance
from skgmje.embedding._views import (
    ImageAugmentation,
    PairMoments,
    augmentations_of,
    augmented,
    find_augmentation,
    to_images,
    to_rows,
)
from skgmje.modules._generators import (
    draw_parameters,
    hidden_layers,
    mlp,
    normalized_relu,
    output_width,
    own_network,
)
from skgmje.modules._prototypes import Prototypes


def standardized(width):
    """Return a batch normalisation that has nothing to learn."""
    return nn.BatchNorm1d(width, affine=False, dtype=torch.float32)


class Perceptron(nn.Sequential):
    """Hidden layers, each of a linear map, batch normalisation and ReLU units."""

    def __init__(self, sizes, random_state):
        layers = hidden_layers(sizes, random_state)
        super().__init__(standardized(sizes[0]), *layers)
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


class Convolutions(nn.Module):
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
    sizes = (n_in, n_out, kernel, stride, kernel // 2)
    layer = nn.utils.skip_init(nn.Conv2d, *sizes, bias=False, dtype=torch.float32)
    norm = nn.BatchNorm2d(n_out, dtype=torch.float32)
    return nn.Sequential(draw_parameters(layer, random_state), norm, nn.ReLU())


# Samples and values that are embedded at a time.
_CHUNK_ROWS, _CHUNK_ENTRIES = 8192, 2**20


class Sphere(nn.Module):
    """Samples of the length that a standard normal has on average."""

    def forward(self, z):
        return nn.functional.normalize(z) * z.shape[1] ** 0.5


NORMS = {
    None: lambda width: nn.Identity(),
    "sphere": lambda width: Sphere(),
    "batch": standardized,
}


class View(NamedTuple):
    """What an encoder is built for: samples of X, or of y."""

    name: str
    n_features: int
    image_shape: Any
    augmentation: Any = None

    def zeros(self):
        """Return two samples, or images, of nothing."""
        if self.image_shape is None:
            return torch.zeros(2, self.n_features, dtype=torch.float32)
        height, width, channels = self.image_shape
        return torch.zeros(2, channels, height, width, dtype=torch.float32)


class Trunk(nn.Module):
    """A body that learns, a head that is dropped if the hidden layer is wanted."""

    def __init__(self, body, head):
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, X):
        return self.head(self.body(X))


def _is_ours(body):
    """Return whether a body was built here, and so has known layers."""
    return hasattr(body, "multi")


class Layers(nn.Module):
    """What `output` names of an encoder and of the sample itself, side by side."""

    def __init__(self, encoder, names, directions=None):
        super().__init__()
        self.encoder = encoder
        self.names = names
        if "multi" in names and not _is_ours(encoder.body):
            raise ValueError(
                "output='multi' puts the layers of 'mlp' or 'convnet' side by side; "
                "those of an encoder of your own are unknown. Use output='hidden'."
            )
        if directions is not None:
            options = {"dtype": precision(encoder), "device": "cpu"}
            directions = torch.as_tensor(directions, **options)
        self.register_buffer("directions", directions)

    def forward(self, X):
        body = self.encoder.body
        layers = {
            "embedding": self.encoder,
            "hidden": body,
            "multi": getattr(body, "multi", None),
            INPUT: lambda X: X @ self.directions,
        }
        return torch.cat([layers[name](X) for name in self.names], dim=1)


class Standardizing(nn.Module):
    """A network of standardized samples, behind their standardization."""

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
    return next((p.dtype for p in network.parameters()), torch.float32)


def build_encoders(asked, shapes, widths, embedding_dim, random_state):
    """Return the encoder of X, and that of the other view or None if it is shared."""
    own, target_own = encoders_of(asked)
    settings = embedding_dim, random_state
    on_top = "hidden" in layers_of(asked.output)
    view = View("X", widths[0], shapes[0], asked.augmentation)
    context = build_encoder(view, own, *settings, on_top=on_top)
    if asked.views == "pair":
        view = View("y", widths[1], shapes[1])
        return context, build_encoder(view, target_own, *settings, on_top=on_top)
    return context, copy.deepcopy(context) if own.target == "ema" else None


def build_encoder(view, options, embedding_dim, random_state, *, on_top):
    """Return the encoder of a view, on the CPU, float32."""
    norm = NORMS[options.norm](embedding_dim)
    if options._is_own:
        own = options.network
        body, head = _own(view, own, embedding_dim, random_state, on_top=on_top)
    else:
        if isinstance(options, Encoder):
            options = MLP() if view.image_shape is None else ConvNet()
        if isinstance(options, MLP):
            body = Perceptron([view.n_features, *options._sizes], random_state)
        else:
            body = _convolutions(view, options._sizes, random_state)
        head = mlp([body.width, embedding_dim], random_state)
    return Trunk(body, nn.Sequential(*head, norm))


def _convolutions(view, hidden_layer_sizes, random_state):
    """Return the network of convolutions of a view of images."""
    shape = view.image_shape
    if shape is None:
        raise ValueError(
            f"encoder='convnet' is for images, but {view.name} holds rows. Pass images "
            "of shape (n_samples, height, width[, channels]), say which they are by "
            "ConvNet(image_shape=...), or give X and y an encoder each."
        )
    found = find_augmentation(view.augmentation, shape)
    side = 1 if isinstance(found, ImageAugmentation) and found.moves else _SIDE
    return Convolutions(shape, hidden_layer_sizes, side, random_state)


def _own(view, own, embedding_dim, random_state, *, on_top):
    """Return a network of the user's, and layers on top of it if it ends anywhere."""
    given = f"encoder={own!r} for {view.name}"
    sizes = {"n_features": view.n_features, "embedding_dim": embedding_dim}
    body = own_network(own, given, torch.float32, **sizes)
    what = "samples" if view.image_shape is None else "images", "embeddings"
    wanted = None if on_top else embedding_dim
    remedy = (
        "Change its layers, set embedding_dim, use output='hidden', which takes any "
        "width, or give X and y an encoder each."
    )
    width = output_width(body, given, view.zeros(), what, wanted, remedy)
    if view.image_shape is not None:
        body = AsImages(body, view.image_shape)
    if not on_top:
        return body, []
    return body, [*normalized_relu(width), *mlp([width, embedding_dim], random_state)]


def embed(network, rows, device, units=None, *, max_rows=_CHUNK_ROWS):
    """Return the outputs of a network in evaluation mode, float64."""
    try:
        device = resolve_device(device)
    except ValueError:  # Without that of the training.
        device = torch.device("cpu")
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
    """Return the outputs of a network for chunks of samples in one precision."""
    if device.type != "cpu" or precision(network) != dtype:
        network = copy.deepcopy(network).to(device, dtype)
    parts = []
    with own_settings(), torch.inference_mode():
        for chunk in chunks:
            rows = chunk if units is None else units.forward(chunk)
            rows = torch.tensor(rows, dtype=dtype)
            parts.append(network(rows.to(device)).cpu().double().numpy())
    return np.concatenate(parts)


# The teacher keeps this share of itself in each step.
_EMA_DECAY = 0.99


def _learns(module):
    """Return whether a module has parameters that are trained."""
    return any(parameter.requires_grad for parameter in module.parameters())


class ViewPair(nn.Module):
    """Embed two views of each sample of a batch."""

    remembered = ("random_state",)

    def __init__(
        self,
        context,
        target,
        *,
        follows,
        augmentations,
        n_context,
        random_state,
        mixture=None,
    ):
        super().__init__()
        self.context = context
        self.target = target
        self.mixture = mixture
        self.follows = follows
        self.augmentations = augmentations
        self.n_context = n_context
        self.random_state = random_state
        self.moment_decay = 0.0
        bodies = [part.body for part in (context, target) if part is not None]
        self.frozen = [body for body in bodies if not _learns(body)]
        if follows:
            target.requires_grad_(False)  # noqa: FBT003

    def keep_moments(self, moments, decay):
        """Average both views' covariances from now on, beginning with `moments`."""
        self.register_buffer("moments", moments)
        self.moment_decay = decay

    def train(self, mode=True):  # noqa: FBT002
        """Switch to training, but for encoders that are used as they are."""
        super().train(mode)
        for body in self.frozen:
            body.eval()
        return self

    def views(self, batch):
        """Return the samples of both views."""
        context, target = batch[:, : self.n_context], batch[:, self.n_context :]
        views = context, target if target.shape[1] else context
        return augmented(views, self.augmentations, self.random_state)

    def forward(self, batch):
        context, target = self.views(batch)
        encoder = self.context if self.target is None else self.target
        with torch.no_grad() if self.follows else nullcontext():
            z_target = by_rows(encoder, target)
        z_context = by_rows(self.context, context)
        mixture = None if self.mixture is None else self.mixture()
        moments = self._average(z_context, z_target) if self.moment_decay else None
        return Embeddings(z_context, z_target, mixture, moments, self.random_state)

    def _average(self, *views):
        """Return both views' covariances: averages, with the gradients of the batch."""
        own = torch.stack([covariance(z)[1] for z in views])
        with torch.no_grad():
            average = torch.lerp(own, self.moments, self.moment_decay)
            if self.training:
                self.moments.copy_(average)
        return tuple(average + (own - own.detach()))

    @torch.no_grad()
    def update(self, batch, random_state):
        if self.follows:
            known = self.context.parameters()
            for teacher, student in zip(self.target.parameters(), known, strict=True):
                teacher.lerp_(student, 1 - _EMA_DECAY)


# Samples on which marginal entropies are compared before and after training, and values
# of samples that are wider; never fewer samples than a batch.
_SAMPLE_ROWS = 2000
_SAMPLE_ENTRIES = 2**23
# Samples of which both views exist at a time.
_DRAWN_ROWS = 2**16
_DRAWN_ENTRIES = 2**22
# Batches after which the normalisations of a network have settled.
_SETTLING_STEPS = 30


@dataclass(frozen=True)
class Trained:
    """Encoders on the CPU, in evaluation mode."""

    context: Any
    target: Any
    training: Training
    logdet_drop: np.ndarray
    information: np.ndarray


@dataclass(frozen=True)
class Snapshot:
    """What the embeddings of some training samples are like at some time."""

    log_dets: np.ndarray
    information: float
    moments: torch.Tensor


def train_encoders(estimator, pairs, size, device, seed, task):
    """Train the encoders of an estimator."""
    with foreign_random_state(estimator, seed, device):
        random_state = torch.Generator().manual_seed(seed)
        module = _build(estimator, pairs, size, device, seed)
        rows = share_rows(pairs.stacked(), device)
        sample = _draw_sample(rows, size.batch_size, random_state)
        module.to(device)
        _check_views(estimator, module, sample)
        before = _look(estimator, module, sample, seed)
        training = Training(np.empty(0))
        # A frozen encoder is used as it is.
        n_more = 0
        if _learns(module):
            loss, n_steps = loss_of(estimator), estimator.max_iter
            if loss.moment_decay:
                module.keep_moments(before.moments, loss.moment_decay)
            if n_steps:
                schedule = Schedule(n_steps, size.batch_size, estimator.learning_rate)
                what = module, loss._objective(), rows, schedule, random_state, device
                training = run_training(
                    estimator,
                    task,
                    *what,
                    remedy="Check what encoder, augmentation and loss return.",
                    memories=[DefaultGenerator()] * has_foreign_parts(estimator),
                )
            n_more = _SETTLING_STEPS - n_steps

        def settle_and_look():
            _settle(module, rows, n_more, size.batch_size, random_state)
            return _look(estimator, module, sample, seed)

        after = task.finish(settle_and_look)
    module.eval().cpu()
    target = module.context if module.target is None else module.target
    information = np.array([before.information, after.information])
    drop = before.log_dets - after.log_dets
    return Trained(module.context, target, training, drop, information)


def _draw_sample(rows, batch_size, random_state):
    """Return some samples, so few that both views fit into memory like a batch does."""
    n_features = rows[:1][0].shape[1]
    n_rows = max(batch_size, min(_SAMPLE_ROWS, _SAMPLE_ENTRIES // n_features))
    return rows[draw_rows(len(rows), n_rows, random_state).to(rows.device)][0]


def foreign_random_state(estimator, seed, device):
    """Guard torch's global random state where code of the user's may draw from it."""
    if has_foreign_parts(estimator):
        return own_random_state(seed, device)
    return nullcontext()


def _build(estimator, pairs, size, device, seed):
    random_state = torch.Generator().manual_seed(seed)
    embedding_dim = size.embedding_dim
    widths = pairs.context.shape[1], pairs.target.shape[1]
    settings = estimator._shapes, widths, embedding_dim, random_state
    context, target = build_encoders(estimator, *settings)
    names = [name for name in layers_of(estimator.output) if name != INPUT]
    Layers(context, names)
    loss, mixture = loss_of(estimator), None
    if "mixture" in loss._objective().named:
        n_components = loss.n_components
        if n_components == "auto":
            n_components = estimator._n_prototypes
        mixture = _prototypes(n_components, embedding_dim, random_state)
    return ViewPair(
        context,
        target,
        follows=target is not None and not pairs.views.needs_y,
        augmentations=augmentations_of(estimator, pairs),
        n_context=widths[0],
        random_state=torch.Generator(device).manual_seed(seed),
        mixture=mixture,
    )


def _prototypes(n_components, embedding_dim, random_state):
    """Return components whose centers are the same in both views."""
    prototypes = Prototypes(
        n_components, 2 * embedding_dim, random_state, covariance_type="tied"
    )
    with torch.no_grad():
        prototypes.means[:, embedding_dim:] = prototypes.means[:, :embedding_dim]
    return prototypes


def _check_views(estimator, module, sample):
    """Raise if the two views of the first samples are no views."""
    context, target = module.views(sample[:256])
    for view in (context, target):
        if not torch.isfinite(view).all():
            raise ValueError(
                f"augmentation={estimator.augmentation!r} makes values that are not "
                "finite. Check it on a batch of your samples."
            )
    if context.shape == target.shape and torch.equal(context, target):
        raise ValueError(
            f"views={estimator.views!r}: both views of every sample are identical, so "
            "their mutual information has no bound and there is nothing to learn. Use "
            "an augmentation that changes these samples, by draws from its generator."
        )


def _look(estimator, module, sample, seed):
    """Return a snapshot of both views, with the batch's normalisation."""
    state = {key: value.clone() for key, value in module.state_dict().items()}
    module.random_state.manual_seed(seed)
    with torch.no_grad():
        embeddings = module.train()(sample)
    module.load_state_dict(state)
    views = embeddings.context, embeddings.target
    for z in views:
        if not torch.isfinite(z).all():
            raise ValueError(
                f"encoder={estimator.encoder!r} makes embeddings that are not finite. "
                "Check it on a batch of standardized samples."
            )
    arrays = [z.cpu().double().numpy() for z in views]
    return Snapshot(
        np.array([log_det(z) for z in arrays]),
        float(PairMoments.from_pairs(*arrays).information(*arrays).mean()),
        torch.stack([covariance(z)[1] for z in views]),
    )


def run_training(estimator, task, *what, **hooks):
    """Train a module as an estimator asks for it; `what` are arguments of `train`."""
    module, objective, rows, schedule, *source = what
    progress = Progress(type(estimator).__name__, schedule.max_iter, estimator.verbose)
    trainer = read_trainer(estimator.trainer)
    hooks |= {"checkpoint": task.checkpoint}
    hooks = Hooks.of(trainer, progress, task.end_epoch, **hooks)
    plan = module, objective, rows, schedule, hooks, *source
    return task.learn(Training, train, *plan)


def _settle(module, rows, n_steps, batch_size, random_state):
    """Let our networks see more batches, for the statistics that they normalise by."""
    module.train()
    for encoder in (module.context, module.target or module.context):
        encoder.body.train(_is_ours(encoder.body))
    with torch.no_grad():
        for _ in range(n_steps):
            drawn = draw_rows(len(rows), batch_size, random_state)
            module(rows[drawn.to(rows.device)][0])


def restore_encoders(estimator):
    """Return the encoders of both views from the tensors that a file has of them."""
    widths = estimator.n_features_in_, getattr(estimator._views, "n_targets_in_", None)
    settings = estimator._shapes, widths, estimator.embedding_dim_, torch.Generator()
    with foreign_random_state(estimator._asked, 0, torch.device("cpu")):
        context, target = build_encoders(estimator._asked, *settings)
    load_tensors(context, estimator.encoder_)
    if target is None:
        return context, context
    return context, load_tensors(target, estimator.target_encoder_)


def embed_views(estimator, pairs, seed):
    """Embed two views of each sample, drawn by `seed`; given views are as they are."""
    encoders = estimator.encoder_, estimator.target_encoder_
    augmentations = None, None
    if not pairs.views.needs_y:
        augmentations = augmentations_of(estimator, pairs)
    random_state = torch.Generator().manual_seed(seed)
    parts = []
    dtype = np.float64 if precision(encoders[0]) == torch.float64 else np.float32
    step = min(_DRAWN_ROWS, max(1, _DRAWN_ENTRIES // pairs.context.shape[1]))
    with own_settings(), foreign_random_state(estimator, seed, torch.device("cpu")):
        for start in range(0, len(pairs.context), step):
            rows = pairs.part(slice(start, start + step)).standardized(dtype)
            views = augmented(map(torch.from_numpy, rows), augmentations, random_state)
            parts.append(
                [
                    embed(encoder, view.numpy(), estimator.device)
                    for encoder, view in zip(encoders, views, strict=True)
                ]
            )
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def check_training(estimator):
    """Return the device, and what is asked of the training beside its schedule."""
    trainer = check_trainer(estimator.trainer)
    if "max_bytes" in (estimator.trainer or {}):
        raise ValueError(
            f"trainer['max_bytes']={trainer.max_bytes!r} is for estimators that read "
            f"their samples batch by batch; {type(estimator).__name__} has them in "
            "memory. Leave it out."
        )
    return resolve_device(estimator.device), trainer

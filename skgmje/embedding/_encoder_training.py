"""Training of the encoders of two views."""

import copy
import inspect
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from skgmje._training._batches import draw_rows, share_rows
from skgmje._training._hardware import by_rows, load_tensors, own_random_state
from skgmje._training._loop import DefaultGenerator, check_engine, train
from skgmje._training._schedule import Hooks, Progress, Schedule, Training
from skgmje.embedding._diagnosis import log_det
from skgmje.embedding._encoder import (
    OnImages,
    View,
    build_encoder,
    embed,
    is_ours,
    precision,
)
from skgmje.embedding._images import ImageAugmentation, find_augmentation
from skgmje.embedding._latent_density import PairMoments
from skgmje.embedding._losses import LOSSES, covariance
from skgmje.modules._prototypes import Prototypes

# The teacher keeps this share of itself in each step.
_EMA_DECAY = 0.99


@dataclass(frozen=True)
class Embeddings:
    """What the losses see of a batch."""

    context: Any
    target: Any
    mixture: Any = None
    moments: Any = None


def jitter(batch, random_state):
    """Augment standardised rows: noise, a random gain, and features set to their
    mean.
    """
    options = {"generator": random_state, "dtype": batch.dtype, "device": batch.device}
    kept = torch.rand(batch.shape, **options) < 0.8
    gain = 1 + 0.1 * torch.randn((len(batch), 1), **options)
    return batch * kept * gain + 0.8 * torch.randn(batch.shape, **options)


def augmented(views, augmentations, random_state):
    """Return views of standardised rows, each made by its augmentation, if any."""
    pairs = zip(views, augmentations, strict=True)
    return tuple(
        view if augment is None else augment(view, random_state)
        for view, augment in pairs
    )


class OwnAugmentation:
    """A user's augmentation, which sees rows in their own units, single precision."""

    def __init__(self, function, units, image_shape=None):
        self.function = function
        self.units = units
        self.image_shape = image_shape

    def __call__(self, batch, random_state):
        loc, scale = (torch.as_tensor(u).to(batch) for u in self.units[:2])
        # What training gives it; its own tensors may mix with no other.
        rows = (batch * scale + loc).float()
        on_rows = self._checked
        if self.image_shape is not None:
            on_rows = OnImages(self._checked, self.image_shape)
        # Nothing that it has learned is learned here.
        view = on_rows(rows, random_state).detach()
        return (view.to(batch) - loc) / scale

    def _checked(self, batch, random_state):
        view = self.function(batch, random_state)
        if not torch.is_tensor(view) or view.shape != batch.shape:
            found = tuple(getattr(view, "shape", ())) or type(view).__name__
            raise ValueError(
                f"augmentation={self.function!r} turned a batch of shape "
                f"{tuple(batch.shape)} into {found}. It must return a tensor of the "
                "same shape."
            )
        return view


def _learns(parameter):
    return parameter.requires_grad


class ViewPair(nn.Module):
    """Embed two views of each row of a batch."""

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
        self.frozen = [b for b in bodies if not any(map(_learns, b.parameters()))]
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
        """Return the rows of both views."""
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
        return Embeddings(z_context, z_target, mixture, moments)

    def _average(self, *views):
        """Return both views' covariances: averages, with the gradients of the batch."""
        own = torch.stack([covariance(z)[1] for z in views])
        with torch.no_grad():
            average = torch.lerp(own, self.moments, self.moment_decay)
            if self.training:
                self.moments.copy_(average)
        return tuple(average + (own - own.detach()))

    def update(self, batch, random_state):
        if not self.follows:
            return
        with torch.no_grad():
            pairs = zip(
                self.target.parameters(), self.context.parameters(), strict=True
            )
            for teacher, student in pairs:
                teacher.lerp_(student, 1 - _EMA_DECAY)


class Objective:
    """A loss as a function of what the module puts out."""

    def __init__(self, loss, **params):
        self.loss = loss
        self.function = loss if callable(loss) else LOSSES[loss]
        self.named = set(inspect.signature(self.function).parameters)
        self.params = {k: v for k, v in params.items() if k in self.named}

    def __call__(self, embeddings, batch):
        params = dict(self.params)
        for name in self.named & {"mixture", "moments"}:
            params[name] = getattr(embeddings, name)
        value = self.function(embeddings.context, embeddings.target, **params)
        if not (torch.is_tensor(value) and value.numel() == 1):
            raise ValueError(
                f"loss={self.loss!r} must return one number, a tensor made from the "
                f"embeddings by torch operations, got {value!r}."
            )
        return value.reshape(())


# Rows on which marginal entropies are compared before and after training, and values
# of rows that are wider; never fewer rows than a batch.
_SAMPLE_ROWS = 2000


_SAMPLE_ENTRIES = 2**23


# Rows of which both views exist at a time.
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
    """What the embeddings of some training rows are like at some time."""

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
        if any(p.requires_grad for p in module.parameters()):
            if estimator.moment_decay:
                module.keep_moments(before.moments, estimator.moment_decay)
            if estimator.max_iter:
                settings = (size, random_state, device, task)
                training = task.learn(
                    Training, _run, estimator, module, rows, *settings
                )
            n_more = _SETTLING_STEPS - estimator.max_iter
        batches = rows, n_more, size.batch_size, random_state
        after = task.finish(_settle_and_look, estimator, module, sample, seed, batches)
    module.eval().cpu()
    target = module.context if module.target is None else module.target
    return Trained(
        module.context,
        target,
        training,
        before.log_dets - after.log_dets,
        np.array([before.information, after.information]),
    )


def _draw_sample(rows, batch_size, random_state):
    """Return some rows, so few that both views fit into memory like a batch does."""
    n_features = rows[:1][0].shape[1]
    n_rows = max(batch_size, min(_SAMPLE_ROWS, _SAMPLE_ENTRIES // n_features))
    return rows[draw_rows(len(rows), n_rows, random_state).to(rows.device)][0]


def foreign_random_state(estimator, seed, device):
    """Guard torch's global random state where code of the user's may draw from it."""
    if has_foreign_parts(estimator):
        return own_random_state(seed, device)
    return nullcontext()


def has_foreign_parts(estimator):
    """Tell whether code of the user's takes part in the training."""
    parts = estimator.encoder, estimator.target_encoder, estimator.augmentation
    return not all(isinstance(p, str | ImageAugmentation | None) for p in parts)


def augmentations_of(estimator, pairs):
    """Return what makes views of standardised rows in training, for both views."""
    shape = estimator._shapes[0]
    own = find_augmentation(estimator.augmentation, shape)
    if own is None:
        return jitter, jitter
    if isinstance(own, ImageAugmentation):
        own = OnImages(own, shape)
    else:
        own = OwnAugmentation(own, pairs.context_units, shape)
    return own, None if pairs.views.needs_y else own


def _build(estimator, pairs, size, device, seed):
    random_state = torch.Generator().manual_seed(seed)
    n_context, embedding_dim = pairs.context.shape[1], size.embedding_dim
    common = (embedding_dim, estimator, random_state)
    shape, target_shape = estimator._shapes
    on_top = estimator.embedding_layer == "hidden"
    context = build_encoder(View("encoder", n_context, shape), *common, on_top=on_top)
    target = None
    if pairs.views.needs_y:
        view = View("target_encoder", pairs.target.shape[1], target_shape)
        target = build_encoder(view, *common, on_top=on_top)
    elif estimator.target == "ema":
        target = copy.deepcopy(context)
    mixture = None
    if "mixture" in Objective(estimator.loss).named:
        mixture = _prototypes(estimator._n_prototypes, embedding_dim, random_state)
    return ViewPair(
        context,
        target,
        follows=estimator.target == "ema",
        augmentations=augmentations_of(estimator, pairs),
        n_context=n_context,
        random_state=torch.Generator(device).manual_seed(seed),
        mixture=mixture,
    )


def _prototypes(n_components, embedding_dim, random_state):
    """Return components whose centres are the same in both views."""
    prototypes = Prototypes(
        n_components, 2 * embedding_dim, random_state, covariance_type="tied"
    )
    with torch.no_grad():
        prototypes.means[:, embedding_dim:] = prototypes.means[:, :embedding_dim]
    return prototypes


def _check_views(estimator, module, sample):
    """Raise if the two views of the first rows are no views."""
    context, target = module.views(sample[:256])
    for view in (context, target):
        if not torch.isfinite(view).all():
            raise ValueError(
                f"augmentation={estimator.augmentation!r} makes values that are not "
                "finite. Check it on a batch of your rows."
            )
    if context.shape == target.shape and torch.equal(context, target):
        raise ValueError(
            f"views={estimator.views!r}: both views of every row are identical, so "
            "their mutual information has no bound and there is nothing to learn. Use "
            "an augmentation that changes these rows, by draws from its generator."
        )


def _look(estimator, module, sample, seed):
    """Return a snapshot of both views, with the batch's normalisation."""
    state = {key: value.clone() for key, value in module.state_dict().items()}
    module.random_state.manual_seed(seed)
    with torch.no_grad():
        embeddings = module.train()(sample)
    module.load_state_dict(state)
    views = embeddings.context, embeddings.target
    names = "encoder", "encoder" if module.target is None else "target_encoder"
    for name, z in zip(names, views, strict=True):
        if not torch.isfinite(z).all():
            raise ValueError(
                f"{name}={getattr(estimator, name)!r} makes embeddings that are not "
                "finite. Check it on a batch of standardised rows."
            )
    arrays = [z.cpu().double().numpy() for z in views]
    return Snapshot(
        np.array([log_det(z) for z in arrays]),
        float(PairMoments.from_pairs(*arrays).information(*arrays).mean()),
        torch.stack([covariance(z)[1] for z in views]),
    )


def _run(estimator, module, rows, size, random_state, device, task):
    schedule = Schedule(estimator.max_iter, size.batch_size, estimator.learning_rate)
    progress = Progress(type(estimator).__name__, estimator.max_iter, estimator.verbose)
    foreign = has_foreign_parts(estimator)

    def on_epoch(losses):
        progress(losses)
        return task.end_epoch()

    hooks = Hooks(
        on_epoch=on_epoch,
        callbacks=estimator.callbacks,
        net_params=estimator.net_params,
        remedy="Check what encoder, augmentation and loss return.",
        checkpoint=task.checkpoint,
        memories=(progress, DefaultGenerator()) if foreign else (progress,),
    )
    objective = Objective(
        estimator.loss, rho=estimator.rho, logdet_weight=estimator.logdet_weight
    )
    return train(module, objective, rows, schedule, hooks, random_state, device)


def _settle_and_look(estimator, module, sample, seed, batches):
    _settle(module, *batches)
    return _look(estimator, module, sample, seed)


def _settle(module, rows, n_steps, batch_size, random_state):
    """Let our networks see more batches, for the statistics that they normalise by."""
    if n_steps <= 0:
        return
    module.train()
    for encoder in (module.context, module.target or module.context):
        encoder.body.train(is_ours(encoder.body))
    with torch.no_grad():
        for _ in range(n_steps):
            drawn = draw_rows(len(rows), batch_size, random_state)
            module(rows[drawn.to(rows.device)][0])


def restore_encoders(estimator):
    """Return the encoders of both views from the tensors that a file has of them."""
    pair = estimator.views == "pair"
    shape, target_shape = estimator._shapes
    view = View("encoder", estimator.n_features_in_, shape)
    wanted = [(view, estimator.encoder_)]
    if pair:
        n_targets = estimator._views.n_targets_in_
        target = View("target_encoder", n_targets, target_shape)
        wanted.append((target, estimator.target_encoder_))
    elif estimator.target == "ema":
        wanted.append((view, estimator.target_encoder_))
    encoders = []
    with foreign_random_state(estimator, 0, torch.device("cpu")):
        for view, tensors in wanted:
            settings = (estimator.embedding_dim_, estimator, torch.Generator())
            # The layer may be another one by now.
            encoder = build_encoder(view, *settings, on_top="head.0.weight" in tensors)
            encoders.append(load_tensors(encoder, tensors))
    return encoders[0], encoders[-1]


def embed_views(estimator, pairs, seed):
    """Embed two views of each row, drawn by `seed`; given views are as they are."""
    encoders = estimator.encoder_, estimator.target_encoder_
    augmentations = None, None
    if not pairs.views.needs_y:
        augmentations = augmentations_of(estimator, pairs)
    random_state = torch.Generator().manual_seed(seed)
    parts = []
    dtype = np.float64 if precision(encoders[0]) == torch.float64 else np.float32
    step = min(_DRAWN_ROWS, max(1, _DRAWN_ENTRIES // pairs.context.shape[1]))
    with foreign_random_state(estimator, seed, torch.device("cpu")):
        for start in range(0, len(pairs.context), step):
            rows = pairs.part(slice(start, start + step)).standardised(dtype)
            views = augmented(map(torch.from_numpy, rows), augmentations, random_state)
            parts.append(
                [
                    embed(encoder, view.numpy(), estimator.device)
                    for encoder, view in zip(encoders, views, strict=True)
                ]
            )
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def check_settings(estimator):
    """Return the device; what depends on the engine should fail before any work."""
    device = check_engine(estimator, (256, 128))
    find_augmentation(estimator.augmentation, estimator._shapes[0])
    if estimator.moment_decay and "moments" not in Objective(estimator.loss).named:
        raise ValueError(
            f"moment_decay={estimator.moment_decay!r} is for losses with covariances "
            "of each view alone, 'gje' and 'joint', and for your own that take "
            f"moments; loss={estimator.loss!r} takes none. Leave it 0."
        )
    pair = estimator.views == "pair"
    if pair and estimator.target == "ema":
        raise ValueError(
            "target='ema' follows the encoder of X, but with views='pair' y has one of "
            "its own. Use target='shared', which then changes nothing."
        )
    if estimator.target_encoder is not None and not pair:
        raise ValueError(
            f"target_encoder={estimator.target_encoder!r} is for views='pair'; with "
            f"views={estimator.views!r} both views share encoder. Leave it None."
        )
    return device

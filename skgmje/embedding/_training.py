"""Train encoders on pairs of views. Imports torch: import it late."""

import copy
import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from skgmje._engine import check_engine
from skgmje._net import Training, train
from skgmje._progress import Progress
from skgmje.embedding._diagnosis import log_det
from skgmje.embedding._encoder import build_encoder, embed
from skgmje.embedding._view_pair import (
    Objective,
    OwnAugmentation,
    ViewPair,
    augmented,
    jitter,
)
from skgmje.modules import Prototypes
from skgmje.modules._batches import draw_rows, load_rows
from skgmje.modules._device import load_tensors, own_random_state
from skgmje.modules._memory import DefaultGenerator
from skgmje.modules._schedule import Hooks, Schedule

# Rows on which marginal entropies are compared before and after training.
_SAMPLE_ROWS = 2000
# Rows of which both views exist at a time.
_DRAWN_ROWS = 2**16


@dataclass(frozen=True)
class Trained:
    """Encoders on the CPU, in evaluation mode.

    Parameters
    ----------
    context : Encoder
        Of the first view.

    target : Encoder
        Of the second view, maybe the same.

    training : Training
        The loss curve, and what went wrong.

    logdet_drop : ndarray of shape (2,)
        By how much the log-determinants of both views fell in training.
    """

    context: Any
    target: Any
    training: Training
    logdet_drop: np.ndarray


def train_encoders(estimator, pairs, size, device, seed, task):
    """Train the encoders of an estimator.

    Parameters
    ----------
    estimator : EmbedderMixin
        Its parameters are read.

    pairs : Pairs
        Rows of both views and their units.

    size : Size
        Width of the embedding and rows per step.

    device : torch.device
        Where to train.

    seed : int
        Of encoders, batches and augmentations.

    task : FitTask
        Hears of epochs.

    Returns
    -------
    trained : Trained
        The encoders.
    """
    with foreign_random_state(estimator, seed, device):
        random_state = torch.Generator().manual_seed(seed)
        module = _build(estimator, pairs, size.embedding_dim, device, seed)
        rows = load_rows([pairs.stacked()], np.float32, device, math.inf)
        sample = rows[draw_rows(len(rows), _SAMPLE_ROWS, random_state).to(device)][0]
        module.to(device)
        _check_views(estimator, module, sample)
        before = _log_dets(estimator, module, sample, seed)
        training = Training(np.empty(0))
        # A frozen encoder is used as it is.
        if any(p.requires_grad for p in module.parameters()):
            training = _run(estimator, module, rows, size, random_state, device, task)
        after = _log_dets(estimator, module, sample, seed)
    module.eval().cpu()
    target = module.context if module.target is None else module.target
    return Trained(module.context, target, training, before - after)


def foreign_random_state(estimator, seed, device):
    """Guard torch's global random state where code of the user's may draw from it."""
    if has_foreign_parts(estimator):
        return own_random_state(seed, device)
    return nullcontext()


def has_foreign_parts(estimator):
    """Tell whether code of the user's takes part in the training."""
    foreign = estimator.encoder, estimator.target_encoder, estimator.augmentation
    return any(part is not None for part in foreign)


def augmentations_of(estimator, pairs):
    """Return what makes views of standardised rows in training, for both views."""
    own = estimator.augmentation
    if own is not None:
        own = OwnAugmentation(own, pairs.context_units)
        return own, None if pairs.views.needs_y else own
    return jitter, jitter


def _build(estimator, pairs, embedding_dim, device, seed):
    random_state = torch.Generator().manual_seed(seed)
    n_context, n_targets = pairs.context.shape[1], pairs.target.shape[1]
    common = (embedding_dim, estimator, random_state)
    context = build_encoder("encoder", n_context, *common)
    target = None
    if pairs.views.needs_y:
        target = build_encoder("target_encoder", n_targets, *common)
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
            "an augmentation that draws from the generator it is given."
        )


def _log_dets(estimator, module, sample, seed):
    """Return the log-determinants of both views, with the batch's normalisation."""
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
    return np.array([log_det(z.cpu().double().numpy()) for z in views])


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


def restore_encoders(estimator):
    """Return the encoders of both views from the tensors that a file has of them.

    Parameters
    ----------
    estimator : EmbedderMixin
        Whose `encoder_` and `target_encoder_` are such tensors by name.

    Returns
    -------
    context, target : Encoder
        On the CPU, in evaluation mode; the same where the views share one.
    """
    pair = estimator.views == "pair"
    wanted = [("encoder", estimator.n_features_in_, estimator.encoder_)]
    if pair:
        n_targets = estimator._views.n_targets_in_
        wanted.append(("target_encoder", n_targets, estimator.target_encoder_))
    elif estimator.target == "ema":
        wanted.append(("encoder", estimator.n_features_in_, estimator.target_encoder_))
    encoders = []
    with foreign_random_state(estimator, 0, torch.device("cpu")):
        for name, n_features, tensors in wanted:
            size = (n_features, estimator.embedding_dim_)
            encoder = build_encoder(name, *size, estimator, torch.Generator())
            encoders.append(load_tensors(encoder, tensors))
    return encoders[0], encoders[-1]


def embed_views(estimator, pairs, seed):
    """Embed two views of each row, drawn by `seed`; given views are as they are.

    Parameters
    ----------
    estimator : EmbedderMixin
        Fitted encoders and parameters are read.

    pairs : Pairs
        Rows of both views and their units.

    seed : int
        Of the augmentations.

    Returns
    -------
    z_context, z_target : ndarray of shape (n_pairs, embedding_dim)
        Embeddings, float64.
    """
    encoders = estimator.encoder_, estimator.target_encoder_
    augmentations = None, None
    if not pairs.views.needs_y:
        augmentations = augmentations_of(estimator, pairs)
    random_state = torch.Generator().manual_seed(seed)
    parts = []
    with foreign_random_state(estimator, seed, torch.device("cpu")):
        for start in range(0, len(pairs.context), _DRAWN_ROWS):
            rows = pairs.part(slice(start, start + _DRAWN_ROWS)).standardised()
            views = augmented(map(torch.from_numpy, rows), augmentations, random_state)
            parts.append(
                [
                    embed(encoder, view.numpy(), estimator.device)
                    for encoder, view in zip(encoders, views, strict=True)
                ]
            )
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def check_settings(estimator):
    """Return the device; what depends on the engine should fail before any work.

    Parameters
    ----------
    estimator : EmbedderMixin
        Its parameters are read.

    Returns
    -------
    device : torch.device
        Where to train.

    Raises
    ------
    ValueError
        If parameters cannot be used here, or not together.
    """
    device = check_engine(estimator, (256, 128))
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

"""Two views of a batch, embedded and judged. Imports torch: import it late."""

import inspect
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from skgmje.embedding._convnet import OnImages
from skgmje.embedding._losses import LOSSES
from skgmje.embedding._moments import covariance
from skgmje.modules._group import by_rows

# The teacher keeps this share of itself in each step.
_EMA_DECAY = 0.99


@dataclass(frozen=True)
class Embeddings:
    """What the losses see of a batch.

    Parameters
    ----------
    context : tensor of shape (n_samples, embedding_dim)
        Embeddings of one view.

    target : tensor of shape (n_samples, embedding_dim)
        Embeddings of the other.

    mixture : Mixture or None, default=None
        Joint density of both, if the loss has one.

    moments : tuple of two tensors or None, default=None
        Covariances of both views over several batches, if these are small.
    """

    context: Any
    target: Any
    mixture: Any = None
    moments: Any = None


def jitter(batch, random_state):
    """Augment standardised rows: noise, a random gain, and features set to their mean.

    Parameters
    ----------
    batch : tensor of shape (n_samples, n_features)
        Standardised rows.

    random_state : torch.Generator
        The source of randomness, on the batch's device.

    Returns
    -------
    view : tensor of shape (n_samples, n_features)
        Augmented rows.
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
    """A user's augmentation, which sees rows in their own units, single precision.

    Parameters
    ----------
    function : callable
        Gets a batch and a generator.

    units : Units
        Of the rows.

    image_shape : tuple of int or None, default=None
        Height, width and channels, if rows are images.
    """

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
    """Embed two views of each row of a batch.

    Parameters
    ----------
    context : Encoder
        Of the first view.

    target : Encoder or None
        Of the second view; None shares the first.

    follows : bool
        Whether the target follows the context as a moving average, without a
        gradient.

    augmentations : tuple of callable or None
        What makes views of standardised rows, for either view.

    n_context : int
        Columns of the first view; if a batch has no others, both views are
        made of the same rows.

    random_state : torch.Generator
        The source of augmentations, on the batches' device.

    mixture : MixtureModule or None, default=None
        Joint density of both embeddings.
    """

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
        """Average both views' covariances from now on, beginning with `moments`.

        They keep the share `decay` of themselves in each step.
        """
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
    """A loss as a function of what the module puts out.

    Parameters
    ----------
    loss : str or callable
        Key of :data:`LOSSES`, or a function of both views' embeddings. It gets
        those of `rho`, `logdet_weight`, `mixture` and `moments` that it names.

    **params : dict
        Values of these.
    """

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

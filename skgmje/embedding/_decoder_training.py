"""Train a kernel decoder. Imports torch: import it late."""

import math
import os
from dataclasses import dataclass
from typing import Any

import torch

from skgmje._engine import check_engine
from skgmje._net import Training, train
from skgmje._progress import Progress
from skgmje.embedding._decoder_cost import OBJECTIVES, KernelTerms, kernel_terms
from skgmje.embedding._decoder_net import Autoencoder, build_networks
from skgmje.modules._batches import draw_rows, share_rows
from skgmje.modules._schedule import Hooks, Schedule

# Copies of a batch of centres, and of the weights of the last layer, in a step.
_COPIES = 6


class Objective:
    """The cost of a batch times the kernel's variance for each feature.

    So its values compare while the variance is tuned; with one centre it is the
    mean squared error.

    Parameters
    ----------
    objective : str
        Key of :data:`OBJECTIVES`.

    patches : Patches
        How rows are cut.
    """

    def __init__(self, objective, patches):
        self.function = OBJECTIVES[objective]
        self.patches = patches

    def __call__(self, decoded, X):
        terms = kernel_terms(X, decoded.centers, decoded.variance, self.patches)
        return self.function(terms) * (decoded.variance / X.shape[1])

    def effective_samples(self, decoded, X):
        """Return how many rows of a batch carry the gradient, a float.

        By the derivatives w of the cost by each row's log-fit: the square of
        their sum over the sum of their squares, on average over patches.
        """
        terms = kernel_terms(X, decoded.centers, decoded.variance, self.patches)
        # Not every device has double precision.
        log_fit, log_norm = (part.detach().cpu().double() for part in terms)
        terms = KernelTerms(log_fit.requires_grad_(), log_norm)
        (weights,) = torch.autograd.grad(self.function(terms), log_fit)
        weights = weights / weights.abs().amax(0)
        return float((weights.sum(0).square() / weights.square().sum(0)).mean())


@dataclass(frozen=True)
class Trained:
    """Networks on the CPU, in evaluation mode.

    Parameters
    ----------
    encoder, decoder : nn.Module
        The networks.

    training : Training
        The loss curve, and what went wrong.

    variance : float
        Variance of the kernel of whole standardised rows.

    effective_samples : float
        How many rows of a batch carry the gradient in the end.

    batch_size : int
        Rows of a batch.
    """

    encoder: Any
    decoder: Any
    training: Training
    variance: float
    effective_samples: float
    batch_size: int


def train_decoder(estimator, rows, bounds, variance, patches, device, seed, task):
    """Train encoder and decoder.

    Parameters
    ----------
    estimator : KernelDecoder
        Its parameters are read.

    rows : ndarray of shape (n_samples, n_features)
        Standardised rows, single precision; on the CPU shared.

    bounds : tuple of array of shape (n_features,)
        Their least and largest values.

    variance : float or None
        Variance of the kernel of such rows; None tunes it.

    patches : Patches
        How rows are cut.

    device : torch.device
        Where to train.

    seed : int
        Of networks, batches and noise.

    task : FitTask
        Hears of epochs.

    Returns
    -------
    trained : Trained
        The networks.
    """
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
    """Return the device; what can fail should do so before any work.

    Parameters
    ----------
    estimator : KernelDecoder
        Its parameters are read.

    X : ndarray of shape (n_samples, n_features)
        Rows.

    Returns
    -------
    device : torch.device
        Where to train.

    Raises
    ------
    ValueError
        If parameters cannot be used here, or a step needs more memory than the
        device has.
    """
    device = check_engine(estimator, (512, 256))
    n_rows, n_features = min(estimator.batch_size, len(X)), X.shape[1]
    width = max(1, estimator.hidden_layer_sizes[-1] // 2)
    n_centers = estimator.n_centers
    entries = n_features * (n_rows + width) + n_centers * n_rows
    needed, there = 4 * _COPIES * n_centers * entries, _total_memory(device)
    if needed > there:
        raise ValueError(
            f"n_centers={n_centers} needs about {needed:.3g} bytes for a step with "
            f"batches of {n_rows} rows of {n_features} features, and the memory of "
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

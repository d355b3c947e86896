"""Modules of the user as sources of components."""

import copy
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch

from skgmje._interrupt import Interrupted, learn_then
from skgmje._training import _loop as _net
from skgmje._training._batches import TensorBatches, TensorRows
from skgmje._training._hardware import load_tensors
from skgmje._training._schedule import Hooks, Schedule
from skgmje.conditional._models import Conditional, Fit, JointConditional
from skgmje.modules import MixtureModule

MAX_ITER = 1000


BATCH_SIZE = 256


# Losses of different batches differ by chance, in nats.
NOISE = 0.1


@dataclass(frozen=True)
class ModuleConditional(Conditional):
    """The mixtures that a trained module makes of its contexts."""

    module: Any
    n_context: int
    n_targets: int

    def predict_mixture(self, X):
        with torch.no_grad():
            mixture = self.module(_tensor(X, _precision(self.module))).to_numpy()
        weights = np.broadcast_to(mixture.weights, (len(X), mixture.n_components))
        return replace(mixture, weights=weights)


def fit_module(module, X, Y, settings, sample_weight=None, random_state=None):
    """Train a module by gradient steps on the negative log-likelihood."""
    n_context, n_targets = X.shape[1], Y.shape[1]
    joint = _width(module, X) == n_context + n_targets
    if not joint and _width(module, X) != n_targets:
        raise ValueError(
            f"mixture={type(module).__name__} makes mixtures of {_width(module, X)} "
            f"features; they must be over the {n_targets} targets, or over contexts "
            f"and targets, {n_context + n_targets} features."
        )
    context = np.hstack([X, Y]) if joint else X
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    tensors = tuple(_tensor(part) for part in (context, Y, weight / weight.mean()))

    def criterion(mixture, context, targets, weight):
        return -(weight * mixture.log_prob(context if joint else targets)).mean()

    module = copy.deepcopy(module)

    def describe(training):
        model = ModuleConditional(_in_double(module.cpu(), X), n_context, n_targets)
        if joint:
            with torch.no_grad():
                model = JointConditional(model.module().to_numpy(), n_context)
        n_iter = len(training.loss_curve)
        info = {"loss_curve": training.loss_curve, "n_iter": n_iter}
        return Fit(model, None, info, training.trouble)

    data = module, criterion, tensors, settings, random_state
    return learn_then(describe, _net.Training, _train, *data)


def restore_module(model, module):
    """Return the model of a file with a copy of the user's module in it."""
    module = load_tensors(copy.deepcopy(module), model.module)
    return replace(model, module=_in_double(module, np.zeros((1, model.n_context))))


def _width(module, X):
    """Return the number of features of a module's mixtures."""
    if not isinstance(module, MixtureModule):
        raise ValueError(
            f"mixture={module!r} is neither a word nor a skgmje.modules.MixtureModule. "
            "Subclass that, and implement forward."
        )
    with torch.no_grad():
        return module(_tensor(X[:2])).n_features


def _train(module, criterion, tensors, settings, random_state):
    """Train a module in place, by gradient if it has one."""
    schedule = Schedule(
        MAX_ITER if settings.max_iter == "auto" else settings.max_iter,
        BATCH_SIZE if settings.batch_size == "auto" else settings.batch_size,
        settings.learning_rate,
        tol=NOISE,
    )
    generator = torch.Generator().manual_seed(random_state.randint(2**31 - 1))
    if not any(parameter.requires_grad for parameter in module.parameters()):
        return _follow(module, criterion, tensors, schedule, generator)
    hooks = Hooks(
        on_epoch=settings.on_epoch,
        callbacks=settings.callbacks,
        net_params=settings.net_params,
    )
    device = settings.device or torch.device("cpu")
    return _net.train(module, criterion, tensors, schedule, hooks, generator, device)


def _follow(module, criterion, tensors, schedule, random_state):
    """Hand batches to the module's own rule; return the losses before each."""
    rows = TensorRows(*tensors)
    batches = TensorBatches(
        rows, schedule.batch_size, schedule.max_iter, random_state=random_state
    )
    losses = []
    try:
        with torch.no_grad():
            for batch, others in batches:
                loss = float(criterion(module(batch), batch, *others))
                module.update(batch, random_state)
                losses.append(loss)
    except KeyboardInterrupt as stop:
        if not losses:
            raise
        when = f"after {len(losses)} of {schedule.max_iter} batches"
        raise Interrupted(when, _net.Training(np.array(losses))) from stop
    return _net.Training(np.array(losses))


def _in_double(module, X):
    """Return a module in double precision, or as it is if it knows another only."""
    double = copy.deepcopy(module).double()
    try:
        with torch.no_grad():
            mixture = double(_tensor(X[:1], np.float64))
    except RuntimeError:  # torch's word for data types that do not meet
        return module
    return double if mixture.means.dtype == torch.float64 else module


def _precision(module):
    """Return the data type of a module's parameters; double precision without."""
    known = chain(module.parameters(), module.buffers())
    parameter = next(known, torch.zeros((), dtype=torch.float64))
    return np.float64 if parameter.dtype == torch.float64 else np.float32


def _tensor(array, dtype=np.float32):
    return torch.from_numpy(np.asarray(array, dtype))

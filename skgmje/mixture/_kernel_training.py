"""Training of the centers of a KernelMixtureDensity."""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from skgmje._backend import to_numpy
from skgmje._settings import own_settings
from skgmje._training._hardware import load_tensors, own_random_state
from skgmje._training._loop import (
    DefaultGenerator,
    NonFiniteLossError,
    draw_rows,
    load_rows,
    train,
)
from skgmje._training._schedule import Hooks, Plateau, Progress, Training
from skgmje.costs import effective_rank, pair_ess
from skgmje.costs._autograd import FreshScalarCost
from skgmje.costs._costs import as_cost
from skgmje.em._bandwidth import Kernels
from skgmje.gaussian import Mixture, grams
from skgmje.mixture._kernel_generators import read_generator
from skgmje.mixture._kernel_recipe import Recipe
from skgmje.modules._generators import draw_centers

# Steps in which the variance falls.
_N_STAGES = 20


class Objective:
    """The cost of a mixture on a batch of weighted samples, at a falling variance."""

    def __init__(self, cost, kernels, fresh=None):
        self.cost = cost
        self.evaluate = as_cost(cost)
        self.fresh = fresh
        self.remedy = "Increase bandwidth, or scale the input data."
        if callable(cost):
            self.remedy = f"Check what cost={cost!r} returns."
        self.kernels = kernels
        self.factor = kernels.ratio
        self._last = (None, None, None)

    def set_progress(self, fraction):
        """Cool down geometrically in the first half of the run, in stages."""
        stage = np.floor(2 * _N_STAGES * fraction) / _N_STAGES
        self.factor = self.kernels.ratio ** float(max(0.0, 1.0 - stage))

    def __call__(self, mixture, X, sample_weight=None):
        if self.fresh is not None:
            return self.fresh(X, mixture.means, sample_weight)
        return self.gap(mixture, X, sample_weight)

    def gap(self, mixture, X, sample_weight=None):
        """Return the cost by the Gram matrices."""
        weights = mixture.weights if self.kernels.learn_weights else None
        grams = self.grams(mixture, X, sample_weight)
        value = self.evaluate(grams, weights)
        return self._checked(value, grams) if callable(self.cost) else value

    def _checked(self, value, grams):
        """Return what a callable returned, if it is one number with a gradient."""
        if not (torch.is_tensor(value) and value.numel() == 1):
            raise ValueError(
                f"cost={self.cost!r} must return one number, a tensor made from the "
                f"Grams by torch operations, got {value!r}."
            )
        if grams.centers.requires_grad and not value.requires_grad:
            raise ValueError(
                f"cost={self.cost!r} returned a tensor without a gradient by the "
                "centers. Make it from log_xy or log_yy of the Grams, without detach."
            )
        return value.reshape(())

    def model_weights(self, mixture, *rows):
        """Return the weights of the model: learned, equal or in closed form."""
        closed_form = self.evaluate.optimal_weights
        if closed_form is None:
            return mixture.weights
        # As far as they are a density's.
        weights = closed_form(self.grams(mixture, *rows)).clamp(min=0)
        return torch.where(weights.sum() > 0, weights, torch.ones_like(weights))

    def grams(self, mixture, X, sample_weight=None):
        """Return the Gram matrices; what only depends on the samples is shared."""
        model_bandwidth = None
        if self.kernels.learn_variance:
            model_bandwidth = (self.factor * mixture.covariances[0]) ** 0.5
            if not model_bandwidth > 0:
                raise NonFiniteLossError(f"model bandwidth {model_bandwidth:.3g}")
        rows, factor, last = self._last
        if rows is not X or factor != self.factor:
            logs = None if sample_weight is None else sample_weight.log()
            bandwidths = self.kernels.widened(self.factor)
            last = grams(X, mixture.means, bandwidths, log_data_weights=logs)
        last = last.with_centers(mixture.means, model_bandwidth)
        self._last = (X, self.factor, last)
        return last


# Samples on which the gap is reported: on a batch it would depend on its size.
_N_REPORTED = 2000


@dataclass(frozen=True)
class Placement:
    """What :func:`train_centers` found, in units of the standardized data."""

    model: Mixture
    diagnostics: dict
    network: Any
    training: Training


def train_centers(estimator, data, dtype, n_components, recipe, task, device):
    """Train the estimator's network on its cost, and tell those who listen."""
    dtype = np.float32 if device.type == "mps" or recipe.units else dtype
    fresh = recipe.units and _fresh_cost(recipe.units, dtype, device)
    objective, trainer = Objective(recipe.cost, recipe.kernels, fresh), recipe.trainer
    max_iter, warmup = recipe.schedule.max_iter, recipe.schedule.warmup
    name = type(estimator).__name__
    progress = Progress(name, max_iter, estimator.verbose, word="cost")
    plateau = Plateau(max_iter, estimator.tol, warmup)

    def on_epoch(losses):
        progress(losses)
        return task.end_epoch() or plateau(losses)

    foreign = [DefaultGenerator()] * recipe.generator._is_foreign
    hooks = Hooks(
        objective.set_progress,
        on_epoch,
        trainer.callbacks,
        trainer.net_params,
        objective.remedy,
        checkpoint=task.checkpoint,
        memories=(progress, plateau, *foreign),
    )
    arrays = data.training
    n_rows = len(arrays[0])
    whole = (recipe.schedule.batch_size or n_rows) >= n_rows
    max_bytes = math.inf if whole else trainer.max_bytes
    rows = load_rows(arrays, dtype, device, max_bytes)
    return _place(rows, n_components, objective, hooks, recipe, device, task)


def _fresh_cost(units, dtype, device):
    """Return the cost of fresh centers, on the device."""
    tensors = [(torch.from_numpy(own.astype(dtype)).to(device), h) for own, h in units]
    return FreshScalarCost(tensors)


def _place(rows, n_components, objective, hooks, recipe, device, task):
    """Train the module, and return the placement that it found."""
    schedule, seed, generator = recipe.schedule, recipe.seed, recipe.generator
    random_state = torch.Generator().manual_seed(seed)
    foreign = generator._is_foreign
    with own_random_state(seed, device) if foreign else nullcontext():
        first = rows[:1][0]
        module = generator._build(first.shape[1], recipe, random_state, first.dtype)
        plan = schedule, hooks, random_state, device
        training = task.learn(Training, train, module, objective, rows, *plan)
        own = generator._draws_noise
        size = n_components if own else None
        found = module, objective, rows, size, random_state
        model, diagnostics = task.finish(_look, *found)
    network = module.network.cpu() if own else None
    return Placement(model, diagnostics, network, training)


def _look(module, objective, rows, n_components, random_state):
    """Return the model and diagnostics; `n_components` are drawn unless it is None."""
    with torch.no_grad():
        some = slice(None)
        if len(rows) > _N_REPORTED:
            some = draw_rows(len(rows), _N_REPORTED, random_state)
        X, others = rows[some]
        sample = [X, *others]
        diagnostics = _diagnose(objective, module(), sample)
        model = module()
        if n_components is not None:
            model = _draw_model(module, n_components, random_state)
        weights = objective.model_weights(model, *sample)
    weights, centers = (to_numpy(a).astype(np.float64) for a in (weights, model.means))
    variances = np.full(len(centers), float(model.covariances[0]))
    model = Mixture(weights / weights.sum(), centers, variances, "spherical")
    return model, diagnostics


def _draw_model(module, n_components, random_state):
    """Return a model whose centers are drawn once and for all."""
    given = module.network, n_components, module.code_dim, random_state
    centers = draw_centers(*given, module.log_weights)
    variances = torch.exp(module.log_variance).expand(n_components)
    weights = torch.full_like(centers[:, 0], 1 / n_components)
    return Mixture(weights, centers, variances, "spherical")


def restore_network(estimator):
    """Return the map from noise to centers from the tensors that a file has of it."""
    generator = read_generator(estimator._asked.generator)
    start, known = None, estimator.generator_
    if generator._starts_as_cells:
        start = known["centers"], torch.ones(len(known["centers"])), known["spread"]
    recipe = Recipe(generator, None, 1, Kernels((1.0,), 1.0), start=start)
    args = estimator.n_features_in_, recipe, torch.Generator(), torch.float32
    with own_random_state(0):
        module = generator._build(*args)
    return load_tensors(module.network, known)


def sample_network(network, n_samples, code_dim, seed):
    """Return fresh outputs of a network, an ndarray (n_samples, n_features)."""
    random_state = torch.Generator().manual_seed(seed)
    like = next(network.parameters())
    with own_settings(), torch.inference_mode():
        return draw_centers(network, n_samples, code_dim, random_state, like).numpy()


def _diagnose(objective, mixture, rows):
    """Tell how good a model is, and whether its gradient is alive."""
    objective.set_progress(1.0)
    grams = objective.grams(mixture, *rows)
    weights = mixture.weights if objective.kernels.learn_weights else None
    return {
        "bound_gap": float(objective.gap(mixture, *rows)),
        "pair_ess": float(pair_ess(grams, weights)),
        "n_pairs": grams.log_xy.shape[0] * grams.log_xy.shape[1],
        "effective_rank": float(effective_rank(grams)),
    }

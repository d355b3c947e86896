"""Data, automatic settings and refinement of a KernelMixtureDensity."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skgmje._standardize import drop_weightless
from skgmje._training._schedule import Schedule
from skgmje._validation import as_blocks, check_blocks, check_rows, check_weights
from skgmje.costs._costs import as_cost
from skgmje.em import (
    EMResult,
    RowBlocks,
    expectation_maximization,
    start_mixture,
    weights_only,
)
from skgmje.em._bandwidth import (
    Bumps,
    cell_variance,
    loo_variance,
    nearest_centers,
    residual_variance,
    total_variance,
    wide_variance,
)
from skgmje.em._select import Selection, kmeans_centers, select_mixture
from skgmje.gaussian import Mixture

# Entries of the part that stands for larger data where a part will do.
MAX_ENTRIES = 2**20
SAMPLES_PER_COMPONENT = 64


@dataclass(frozen=True)
class Data:
    """Standardized samples, and the part of them that stands for all."""

    X: Any
    sample_weight: Any
    part: np.ndarray
    part_weight: Any
    resolution: float

    @property
    def training(self):
        """Samples that a network is trained on, and their weights, a list of arrays."""
        arrays = [self.X, self.sample_weight]
        if isinstance(self.X, RowBlocks):
            arrays = [self.part, self.part_weight]
        return arrays[: 1 if arrays[1] is None else 2]

    @property
    def weights(self):
        """Weights of the samples of `part`, ones if there are none."""
        ones = self.part_weight is None
        return np.ones(len(self.part)) if ones else self.part_weight


def training_samples(estimator, X, sample_weight):
    """Return checked samples that count, and their weights; blocks have their own."""
    blocks = as_blocks(X, sample_weight)
    if blocks is not None:
        return check_blocks(estimator, blocks), None
    X = check_rows(estimator, X, reset=True, min_samples=2)
    return drop_weightless(X, check_weights(sample_weight, X))


def standardized_data(X, sample_weight, units, n_components, random_state):
    """Return samples in standardized units, without a copy of very many."""
    per_component = (
        0 if n_components == "auto" else SAMPLES_PER_COMPONENT * n_components
    )
    n_rows = max(MAX_ENTRIES // X.shape[1], per_component)
    if isinstance(X, RowBlocks):
        rows = units.lazy(X)
        part, part_weight = X.sample(n_rows, random_state)
        part = units.lazy(part)[:]
        return Data(rows, None, part, part_weight, units.resolution)
    rows = units.lazy(X)
    if len(X) <= n_rows:
        part = rows[:]
        sample_weight = _some(sample_weight, slice(None))
        return Data(part, sample_weight, part, sample_weight, units.resolution)
    drawn = np.sort(random_state.randint(len(X), size=n_rows))
    part_weight = _some(sample_weight, drawn)
    return Data(rows, sample_weight, rows[drawn], part_weight, units.resolution)


def _some(sample_weight, rows):
    """Return the weights of some samples in double precision."""
    if sample_weight is None:
        return None
    return sample_weight[rows].astype(np.float64, copy=False)


# The M-steps of the refinement; more would change the density little.
_MAX_ITER = 200


class Refined(NamedTuple):
    """The density that a refinement makes."""

    mixture: Mixture
    n_parameters: int
    trouble: str = ""


def refine_by_em(data, model, settings, estimator, task):
    """Fit means, weights and covariances by MAP-EM from the centers."""
    kind, rank, tol = settings.covariance_type, estimator.rank, estimator.tol
    shared = {"shrinkage": settings.shrinkage, "reg_covar": estimator.reg_covar}
    nearest = nearest_centers(data.part, model.means)[0]
    labels = np.unique(nearest, return_inverse=True)[1].ravel()
    start = start_mixture(
        data.part, labels, kind, rank=rank, sample_weight=data.part_weight, **shared
    )
    result = task.learn(
        EMResult,
        expectation_maximization,
        data.X,
        start,
        tol=tol,
        max_iter=1 if task.when else _MAX_ITER,
        sample_weight=data.sample_weight,
        **shared,
    )
    trouble = ""
    if not result.converged:
        gain = float(np.diff(result.lower_bounds[-2:]).sum())
        trouble = (
            f"The refinement still gained {gain:.2g} nats in iteration {result.n_iter} "
            f"(tol={tol:g}). Increase tol."
        )
    return Refined(result.mixture, result.mixture.n_parameters, trouble)


def refine_weights(data, model, settings, estimator, task):
    """Fit the weights and one shared variance by likelihood; keep the centers."""
    return _of_equal_spheres(
        weights_only(data.part, model.means, sample_weight=data.part_weight)
    )


def keep_model(data, model, settings, estimator, task):
    """Return the model as it stands."""
    return _of_equal_spheres(model)


def _of_equal_spheres(mixture):
    """Return a mixture of spheres that share one variance, and its parameters."""
    # Weights that sum to one, means, and the one variance.
    return Refined(mixture, mixture.n_components - 1 + mixture.means.size + 1)


REFINEMENTS = {"em": refine_by_em, "weights": refine_weights, None: keep_model}

# Up to this many samples every step sees all.
FULL_BATCH_SAMPLES = 2000

# Fresh centers per step: the kernel costs see a density, not single centers.
MAX_DRAWN = 64

# A bandwidth this many times wider or narrower than the data has no gradient.
MAX_RATIO = 1e15


def check_size(n_components, n_samples):
    """Raise if there are fewer samples than components."""
    if n_components != "auto" and n_components > n_samples:
        raise ValueError(
            f"n_components={n_components} is more than the n_samples={n_samples} "
            "samples with a positive weight. Decrease n_components, or pass 'auto'."
        )


def choose_settings(estimator, data, random_state):
    """Choose number of components, covariance type and shrinkage."""
    settings = {"n_components": estimator.n_components}
    if estimator.polish == "em":
        settings |= {
            "covariance_type": estimator.covariance_type,
            "shrinkage": estimator.shrinkage,
        }
    else:
        settings |= {"covariance_type": "spherical", "shrinkage": 2.0}
    if "auto" not in settings.values():
        return Selection(**settings, cv_results=None)
    return select_mixture(
        data.part,
        **settings,
        sample_weight=data.part_weight,
        random_state=random_state,
        reg_covar=estimator.reg_covar,
        rank=estimator.rank,
    )


@dataclass(frozen=True)
class Recipe:
    """How the centers are to be placed."""

    n_centers: int
    base: Any
    bumps: Bumps
    schedule: Any
    seed: int


def choose_recipe(estimator, data, *, n_components, unit, random_state):
    """Choose how the centers are to be placed."""
    n_samples = len(data.training[0])
    n_centers = _count_centers(estimator, n_components, n_samples)
    start = estimator.init_params if estimator.generator == "codes" else "noise"
    cost = as_cost(estimator.cost)
    is_raw_density = estimator.polish is None and cost.is_density
    rule = estimator.bandwidth
    if rule == "auto":
        rule = cost.bandwidth or _bandwidth_rule(estimator, is_raw_density)
    cells = None
    if start == "k-means++" or rule in CELL_RULES:
        cells = kmeans_centers(
            data.part,
            n_centers,
            sample_weight=data.part_weight,
            random_state=random_state,
        )
        # Fewer distinct samples than centers: some centers coincide.
        cells = np.resize(cells, (n_centers, cells.shape[1]))
    variance = (
        VARIANCES[rule](data, cells, random_state)
        if isinstance(rule, str)
        else _given_variance(rule, unit)
    )
    base = FIRST_CENTERS[start](data, cells, n_centers, random_state)
    bumps = Bumps(
        variance,
        total_variance(data.part, data.weights) if base is None else variance,
        learn_weights=cost.learns_weights,
        learn_variance=is_raw_density or cost.learns_variance,
    )
    schedule = Schedule(
        estimator.max_iter,
        _batch_size(estimator, n_centers, n_samples),
        estimator.learning_rate,
        fast_parameters=("log_weights", "log_variance"),
        warmup=0.5 if bumps.ratio > 1 else 0.0,
        tol=estimator.tol,
    )
    return Recipe(
        n_centers, base, bumps, schedule, int(random_state.randint(2**31 - 1))
    )


def _bandwidth_rule(estimator, is_raw_density):
    """Return the key of `VARIANCES` that suits the estimator's settings."""
    if is_raw_density:
        return "loo"
    return "cell" if estimator.generator == "codes" else "wide"


def _given_variance(bandwidth, unit):
    """Return the user's bandwidth as a variance that single precision can hold."""
    ratio = bandwidth / unit
    if not 1 / MAX_RATIO < ratio < MAX_RATIO:
        raise ValueError(
            f"bandwidth={bandwidth:g} is {ratio:.3g} times the scale of the data, "
            f"beyond {1 / MAX_RATIO:g} to {MAX_RATIO:g}. Use bandwidth='auto', or a "
            "number near 1 with standardize=True."
        )
    return ratio**2


VARIANCES = {
    "cell": cell_variance,
    "loo": loo_variance,
    "residual": residual_variance,
    "wide": wide_variance,
}

CELL_RULES = ("cell", "residual", "wide")


def _draw_samples(data, cells, n_centers, random_state):
    """Return samples drawn by their weights, shape (n_centers, n_features)."""
    share = data.weights / data.weights.sum()
    return data.part[random_state.choice(len(data.part), n_centers, p=share)]


FIRST_CENTERS = {
    "k-means++": lambda data, cells, *rest: cells,
    "noise": lambda *rest: None,
    "random_from_data": _draw_samples,
}


def _count_centers(estimator, n_components, n_samples):
    """Return the number of centers per step: up to 64 if they are fresh ones."""
    if estimator.generator == "codes":
        return n_components
    return max(n_components, min(MAX_DRAWN, n_samples // 4))


def _batch_size(estimator, n_centers, n_samples):
    """Return the number of samples per step: all of few, or enough for the centers."""
    if estimator.batch_size != "auto":
        return estimator.batch_size
    if n_samples <= FULL_BATCH_SAMPLES and estimator.generator == "codes":
        return None
    return min(n_samples, max(256, 4 * n_centers))

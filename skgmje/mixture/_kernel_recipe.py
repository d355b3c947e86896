"""Automatic settings and refinement of a KernelMixtureDensity."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skgmje.em._bandwidth import (
    Bumps,
    cell_variance,
    loo_variance,
    nearest_centers,
    residual_variance,
    total_variance,
    wide_variance,
)
from skgmje.em._em import (
    EMResult,
    expectation_maximization,
    start_mixture,
    weights_only,
)
from skgmje.em._select import Selection, kmeans_centers, select_mixture
from skgmje.gaussian._mixture import Mixture

# The M-steps of the polish; more would change the density little.
_MAX_ITER = 200


class Polished(NamedTuple):
    """The density that a polish makes."""

    mixture: Mixture
    n_parameters: int
    trouble: str = ""


def polish_em(data, model, settings, estimator, task):
    """Fit means, weights and covariances by MAP-EM from the centres."""
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
            f"The polish still gained {gain:.2g} nats in iteration {result.n_iter} "
            f"(tol={tol:g}). Increase tol."
        )
    return Polished(result.mixture, result.mixture.n_parameters, trouble)


def polish_weights(data, model, settings, estimator, task):
    """Fit the weights and one shared variance by likelihood; keep the centres."""
    return _of_equal_spheres(
        weights_only(data.part, model.means, sample_weight=data.part_weight)
    )


def keep(data, model, settings, estimator, task):
    """Return the model as it stands."""
    return _of_equal_spheres(model)


def _of_equal_spheres(mixture):
    # Weights that sum to one, means, and the one variance.
    return Polished(mixture, mixture.n_components - 1 + mixture.means.size + 1)


POLISHES = {"em": polish_em, "weights": polish_weights, None: keep}


# Costs that compare densities: their variance is a density's, and learnable.
DENSITY_COSTS = ("likelihood", "scalar", "vector-matrix")


# Costs in which the weights of the components are learned.
WEIGHTED_COSTS = ("likelihood", "scalar", "svd")


# Up to this many rows every step sees all.
FULL_BATCH_ROWS = 2000


# Fresh centres per step: the kernel costs see a density, not single centres.
MAX_DRAWN = 64


# A bandwidth this many times wider or narrower than the data has no gradient.
MAX_RATIO = 1e15


def check_size(n_components, n_samples):
    """Raise if there are fewer rows than components."""
    if n_components != "auto" and n_components > n_samples:
        raise ValueError(
            f"n_components={n_components} is more than the n_samples={n_samples} rows "
            "with a positive weight. Decrease n_components, or pass 'auto'."
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
    """How the centres are to be placed."""

    n_centers: int
    base: Any
    bumps: Bumps
    schedule: Any
    seed: int


def choose_recipe(estimator, data, *, n_components, unit, random_state):
    """Choose how the centres are to be placed."""
    from skgmje._training._schedule import Schedule

    n_samples = len(data.training[0])
    n_centers = _count_centers(estimator, n_components, n_samples)
    start = estimator.init_params if estimator.generator == "codes" else "noise"
    rule = _bandwidth_rule(estimator)
    cells = None
    if start == "k-means++" or rule in CELL_RULES:
        cells = kmeans_centers(
            data.part,
            n_centers,
            sample_weight=data.part_weight,
            random_state=random_state,
        )
        # Fewer distinct rows than centres: some centres coincide.
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
        learn_weights=estimator.cost in WEIGHTED_COSTS,
        learn_variance=_is_raw_density(estimator) or estimator.cost == "likelihood",
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


def _is_raw_density(estimator):
    return estimator.polish is None and estimator.cost in DENSITY_COSTS


def _bandwidth_rule(estimator):
    """Return a key of `VARIANCES`, or the user's number."""
    if estimator.bandwidth != "auto":
        return estimator.bandwidth
    if estimator.cost == "likelihood":
        return "residual"
    if _is_raw_density(estimator):
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


def _draw_rows(data, cells, n_centers, random_state):
    share = data.weights / data.weights.sum()
    return data.part[random_state.choice(len(data.part), n_centers, p=share)]


FIRST_CENTERS = {
    "k-means++": lambda data, cells, *rest: cells,
    "noise": lambda *rest: None,
    "random_from_data": _draw_rows,
}


def _count_centers(estimator, n_components, n_samples):
    """Return the number of centres per step: up to 64 if they are fresh ones."""
    if estimator.generator == "codes":
        return n_components
    return max(n_components, min(MAX_DRAWN, n_samples // 4))


def _batch_size(estimator, n_centers, n_samples):
    """Return the number of rows per step: all of few, or enough for the centres."""
    if estimator.batch_size != "auto":
        return estimator.batch_size
    if n_samples <= FULL_BATCH_ROWS and estimator.generator == "codes":
        return None
    return min(n_samples, max(256, 4 * n_centers))

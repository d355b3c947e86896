"""Data and automatic settings of a KernelMixtureDensity."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skgmje._standardize import drop_weightless
from skgmje._training._schedule import Schedule
from skgmje._validation import (
    as_blocks,
    check_blocks,
    check_rows,
    check_weights,
    positive_numbers,
)
from skgmje.costs._costs import as_cost
from skgmje.em import RowBlocks, multiscale_bandwidths
from skgmje.em._bandwidth import (
    Kernels,
    cell_spread,
    cell_variance,
    loo_variance,
    multiscale_variances,
    neighbor_variance,
    residual_variance,
    total_variance,
    wide_variance,
)
from skgmje.em._select import Selection, kmeans_centers, select_mixture
from skgmje.gaussian import Bandwidths

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
    size = 0 if n_components == "auto" else n_components
    n_rows = max(MAX_ENTRIES // X.shape[1], SAMPLES_PER_COMPONENT * size)
    rows = units.lazy(X)
    if isinstance(X, RowBlocks):
        part, part_weight = X._sample(n_rows, random_state)
        part = units.lazy(part)[:]
        return Data(rows, None, part, part_weight, units.resolution)
    few = len(X) <= n_rows
    drawn = slice(None)
    if not few:
        drawn = np.sort(random_state.randint(len(X), size=n_rows))
    part, part_weight = rows[drawn], sample_weight
    if sample_weight is not None:
        part_weight = sample_weight[drawn].astype(np.float64, copy=False)
    everyone = (part, part_weight) if few else (rows, sample_weight)
    return Data(*everyone, part, part_weight, units.resolution)


# Up to this many samples every step sees all.
FULL_BATCH_SAMPLES = 2000

# A bandwidth this many times wider or narrower than the data has no gradient.
MAX_RATIO = 1e15


def choose_settings(estimator, data, refinement, random_state):
    """Choose number of components, covariance type and shrinkage."""
    em = refinement.mixture
    settings = {
        "n_components": estimator.n_components,
        "covariance_type": em.covariance_type,
        "shrinkage": em.shrinkage,
    }
    if "auto" not in settings.values():
        return Selection(**settings, cv_results=None)
    return select_mixture(
        data.part,
        **settings,
        sample_weight=data.part_weight,
        random_state=random_state,
        shrinkage_target=em.shrinkage_target,
        reg_covar=refinement.reg_covar(data),
        rank=em.rank,
        fixed_means=refinement.fixed_means,
    )


def read_bandwidth(estimator, generator, cost, unit):
    """Return the word of a rule, or checked bandwidths in standardized units."""
    rule = estimator.bandwidth
    if not isinstance(rule, str):
        rule = _given_bandwidths(rule, unit)
    elif rule == "auto":
        rule = cost.bandwidth or _bandwidth_rule(estimator, generator, cost)
    several = rule == "multiscale" if isinstance(rule, str) else len(rule.values) > 1
    if several:
        _check_one_variance(estimator, cost)
    return rule


def _bandwidth_rule(estimator, generator, cost):
    """Return the word that 'auto' stands for."""
    if estimator.refine is None:
        return "loo" if cost.is_density else "cell"
    several = generator._draws_noise and not cost.learns_variance
    return "multiscale" if several else "neighbor"


def _given_bandwidths(bandwidth, unit):
    """Return a user's bandwidths in standardized units; raise if they have none."""
    values, weights = bandwidth, None
    if isinstance(bandwidth, Bandwidths):
        values, weights = bandwidth.values, bandwidth.weights
    meaning = (
        "Each is one standard deviation of a kernel for all features; features get "
        "widths of their own by scaling X, as standardize=True does."
    )
    values = positive_numbers(values, "bandwidth", meaning)
    for h in values:
        if not 1 / MAX_RATIO < h / unit < MAX_RATIO:
            raise ValueError(
                f"bandwidth={h:g} is {h / unit:.3g} times the scale of the data, "
                f"beyond {1 / MAX_RATIO:g} to {MAX_RATIO:g}. Use bandwidth='auto', or "
                "a number near 1 with standardize=True."
            )
    return Bandwidths([h / unit for h in values], weights)


def _check_one_variance(estimator, cost):
    """Raise if a variance is asked of the model where there are several kernels."""
    if estimator.refine is None:
        raise ValueError(
            f"refine=None reports the variance of the kernel, and bandwidth="
            f"{estimator.bandwidth!r} has several. Use refine='weights', which finds "
            "the likeliest one, or one bandwidth."
        )
    if cost.learns_variance:
        raise ValueError(
            f"cost={estimator.cost!r} learns the variance of one kernel, and bandwidth="
            f"{estimator.bandwidth!r} has several. Give one bandwidth, or use another "
            "cost."
        )


@dataclass(frozen=True)
class Recipe:
    """How the centers are to be placed."""

    generator: Any
    cost: Any
    n_centers: int
    kernels: Kernels
    base: Any = None
    schedule: Any = None
    trainer: Any = None
    seed: int = 0
    start: Any = None
    units: Any = None


def choose_recipe(
    estimator, data, generator, cost, trainer, n_components, rule, scale, random_state
):
    """Choose how the centers are to be placed."""
    n_samples = len(data.training[0])
    n_centers = generator._count(n_components, n_samples)
    start, cells, units = None, None, None
    of_cells = isinstance(rule, str) and rule in CELL_RULES
    if generator.init == "k-means++" or of_cells or generator._starts_as_cells:
        n_cells = generator._n_cells(n_centers, len(data.part))
        how = {"sample_weight": data.part_weight, "random_state": random_state}
        cells = kmeans_centers(data.part, n_cells, **how)
        # Fewer distinct samples than centers: some centers coincide.
        cells = np.resize(cells, (n_cells, cells.shape[1]))
    if generator._starts_as_cells:
        start = (cells, *cell_spread(data.part, cells, data.part_weight))
    if generator._draws_noise and estimator.cost == "auto" and rule == "multiscale":
        n_centers, units = FRESH_CENTERS, _fresh_units(data, cells, scale)
    if isinstance(rule, str):
        variances = np.atleast_1d(VARIANCES[rule](data, cells, random_state))
        weights = None
    else:
        variances, weights = (h**2 for h in rule.values), rule.weights
    base = FIRST_CENTERS[generator.init](data, cells, n_centers, random_state)
    total, known = total_variance(data.part, data.weights), as_cost(cost)
    kernels = Kernels(
        tuple(variances),
        total if base is None and start is None else 0.0,
        weights,
        learn_weights=known.learns_weights,
        learn_variance=known.learns_variance
        or (estimator.refine is None and known.is_density),
    )
    schedule = Schedule(
        estimator.max_iter,
        _batch_size(estimator, generator, n_centers, n_samples),
        estimator.learning_rate,
        fast_parameters=("log_weights", "log_variance"),
        warmup=0.5 if kernels.ratio > 1 else 0.0,
        tol=max(estimator.tol, _FRESH_NOISE) if units else estimator.tol,
    )
    seed = int(random_state.randint(2**31 - 1))
    how = generator, cost, n_centers, kernels, base, schedule, trainer, seed
    return Recipe(*how, start, units)


# Per step where centers are compared as draws of a distribution, whose cost then
# varies by several hundredths: a rise of less means nothing.
FRESH_CENTERS = 256
_FRESH_NOISE = 0.1
_WIDEST_RATIO = 1e12


def _fresh_units(data, cells, scale):
    """Return what features are divided by, in each of two units, and bandwidths."""
    # Distances between samples as they came tell neighbors apart; in units of their
    # spread, features that vary little count too.
    mean = np.average(data.part, axis=0, weights=data.weights)
    variances = np.average((data.part - mean) ** 2, axis=0, weights=data.weights)
    if not variances.any():
        return [(np.ones(len(mean)), Bandwidths([1.0]))]
    deviations = np.where(variances > 0, variances, 1.0) ** 0.5
    scale = np.broadcast_to(scale, deviations.shape)
    own = np.exp(np.log(scale).mean()) / scale
    # In single precision, squares of larger ratios overflow.
    units = [own] if np.ptp(np.log(deviations / own)) < np.log(_WIDEST_RATIO) else []
    if not (units and np.allclose(own, deviations)):
        units.append(deviations)
    weights = data.part_weight
    return [
        (own, multiscale_bandwidths(data.part / own, cells / own, weights))
        for own in units
    ]


VARIANCES = {
    "cell": cell_variance,
    "loo": loo_variance,
    "multiscale": multiscale_variances,
    "neighbor": neighbor_variance,
    "residual": residual_variance,
    "wide": wide_variance,
}

CELL_RULES = ("cell", "multiscale", "neighbor", "residual", "wide")


def _draw_samples(data, cells, n_centers, random_state):
    """Return samples drawn by their weights, shape (n_centers, n_features)."""
    share = data.weights / data.weights.sum()
    return data.part[random_state.choice(len(data.part), n_centers, p=share)]


FIRST_CENTERS = {
    "k-means++": lambda data, cells, *rest: cells,
    "noise": lambda *rest: None,
    "random_from_data": _draw_samples,
}


def _batch_size(estimator, generator, n_centers, n_samples):
    """Return the number of samples per step: all of few, or enough for the centers."""
    if estimator.batch_size != "auto":
        return estimator.batch_size
    if n_samples <= FULL_BATCH_SAMPLES and not generator._draws_noise:
        return None
    least = 2 * n_centers if generator._draws_noise else 4 * n_centers
    return min(n_samples, max(256, least))

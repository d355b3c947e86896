"""What ``"auto"`` means for a network of centres, in standardised units."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skgmje._selection import Selection, kmeans_centers, select_mixture
from skgmje.mixture._bandwidth import Bumps, cell_variance, loo_variance, total_variance

# Costs that compare densities: their variance is a density's, and learnable.
DENSITY_COSTS = ("likelihood", "scalar", "vector-matrix")
# Costs in which the weights of the components are learned.
WEIGHTED_COSTS = ("likelihood", "scalar", "svd")

# Up to this many rows every step sees all.
FULL_BATCH_ROWS = 2000
# Fresh centres per step: the kernel costs see a density, not single centres.
MAX_DRAWN = 64
# From this many features on, noise needs bumps so wide that most see each other.
MANY_FEATURES = 16
# A bandwidth this many times wider or narrower than the data has no gradient.
MAX_RATIO = 1e15


def check_size(n_components, n_samples):
    """Raise if there are fewer rows than components."""
    if n_components != "auto" and n_components > n_samples:
        raise ValueError(
            f"n_components={n_components} is more than the n_samples={n_samples} rows "
            "with a positive weight. Decrease n_components, or pass 'auto'."
        )


def choose_settings(estimator, X, sample_weight, random_state):
    """Choose number of components, covariance type and shrinkage.

    The density is spherical unless the polish fits covariances; then only the
    number of components is open.

    Parameters
    ----------
    estimator : KernelMixtureDensity
        Its parameters are read.

    X : ndarray of shape (n_samples, n_features)
        Rows.

    sample_weight : ndarray of shape (n_samples,) or None
        Weights of the rows.

    random_state : RandomState
        Source of the folds.

    Returns
    -------
    selection : Selection
        The settings; its table is None if there was nothing to choose.
    """
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
        X,
        **settings,
        sample_weight=sample_weight,
        random_state=random_state,
        reg_covar=estimator.reg_covar,
        rank=estimator.rank,
    )


@dataclass(frozen=True)
class Recipe:
    """How the centres are to be placed.

    Parameters
    ----------
    n_centers : int
        Number of centres per step.

    base : ndarray of shape (n_centers, n_features) or None
        First centres; None: noise.

    bumps : Bumps
        How wide they are, and what is learned.

    schedule : Schedule
        When to do what.

    seed : int
        Seed of what torch draws.
    """

    n_centers: int
    base: Any
    bumps: Bumps
    schedule: Any
    seed: int


def choose_recipe(estimator, X, sample_weight, *, n_components, unit, random_state):
    """Choose how the centres are to be placed.

    Parameters
    ----------
    estimator : KernelMixtureDensity
        Its parameters are read.

    X : ndarray of shape (n_samples, n_features)
        Rows.

    sample_weight : ndarray of shape (n_samples,) or None
        Weights of the rows.

    n_components : int
        Number of components.

    unit : float
        What a numeric `bandwidth` is divided by to be in the units of `X`.

    random_state : RandomState
        Source of the start.

    Returns
    -------
    recipe : Recipe
        The choices.
    """
    from skgmje.modules._schedule import Schedule

    weights = np.ones(len(X)) if sample_weight is None else sample_weight
    n_centers = _count_centers(estimator, n_components, len(X))
    start = estimator.init_params if estimator.generator == "codes" else "noise"
    rule = _bandwidth_rule(estimator)
    cells = None
    if start == "k-means++" or rule in CELL_RULES:
        cells = kmeans_centers(
            X, n_centers, sample_weight=sample_weight, random_state=random_state
        )
        # Fewer distinct rows than centres: some centres coincide.
        cells = np.resize(cells, (n_centers, X.shape[1]))
    variance = (
        VARIANCES[rule](X, cells, weights, random_state)
        if isinstance(rule, str)
        else _given_variance(rule, unit)
    )
    base = FIRST_CENTERS[start](X, cells, weights, n_centers, random_state)
    bumps = Bumps(
        variance,
        total_variance(X, weights) if base is None else variance,
        learn_weights=estimator.cost in WEIGHTED_COSTS,
        learn_variance=_is_raw_density(estimator) or estimator.cost == "likelihood",
    )
    schedule = Schedule(
        estimator.max_iter,
        _batch_size(estimator, n_centers, len(X)),
        estimator.learning_rate,
        fast_parameters=("log_weights", "log_variance"),
        warmup=0.5 if bumps.ratio > 1 else 0.0,
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


def _cell_variance(X, cells, weights, random_state):
    return cell_variance(X, cells, weights)


def _loo_variance(X, cells, weights, random_state):
    return loo_variance(X, weights, random_state)


def _residual_variance(X, cells, weights, random_state):
    """Return the variance of a feature within the cells, the likeliest one."""
    return 2 * cell_variance(X, cells, weights) / X.shape[1]


def _wide_variance(X, cells, weights, random_state):
    """Return the cells' variance, 16 times that in many dimensions."""
    factor = 16.0 if X.shape[1] >= MANY_FEATURES else 1.0
    return factor * cell_variance(X, cells, weights)


VARIANCES = {
    "cell": _cell_variance,
    "loo": _loo_variance,
    "residual": _residual_variance,
    "wide": _wide_variance,
}
CELL_RULES = ("cell", "residual", "wide")


def _draw_rows(X, cells, weights, n_centers, random_state):
    share = weights / weights.sum()
    return X[random_state.choice(len(X), n_centers, p=share)]


FIRST_CENTERS = {
    "k-means++": lambda X, cells, *rest: cells,
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

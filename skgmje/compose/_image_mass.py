"""The mass of fitted densities on the image of a map."""

import inspect
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from skgmje._bridges import as_mixture
from skgmje.compose._bijections import is_everywhere
from skgmje.gaussian._covariance import COVARIANCE_TYPES

# Independently scrambled sets of Sobol points; their scatter is the error.
_REPLICATES = 8
_LOG2_POINTS = 13

# Of all or none inside, the standard error is no smaller than one of them.
_N_POINTS = _REPLICATES * 2**_LOG2_POINTS

# Below, samples inside the image are too rare to wait for.
SMALLEST_MASS = 1e-6

# Draws that samples inside the image may take, in all or for each of them.
_MOST_DRAWS, _MOST_FOR_EACH = 2**26, 100

# Coordinates that Sobol's sequence has.
_MAX_NORMALS = 20_000


class Mass(NamedTuple):
    """A probability and its standard error."""

    value: float
    error: float


def mixture_or_none(density):
    """Return a fitted density as a mixture if it is one."""
    try:
        return as_mixture(density)
    except TypeError:
        return None


def image_mass(density, bijection, n_features):
    """Compute the probability of the image of a map under a fitted density."""
    intervals = bijection.intervals(n_features)
    if is_everywhere(intervals):
        return Mass(1.0, 0.0)
    mixture = mixture_or_none(density)
    if mixture is None:
        return _monte_carlo(density, bijection)
    exact = box_mass(mixture, intervals)
    if exact is not None:
        return Mass(float(exact), 0.0)
    return _quasi_monte_carlo(mixture, bijection)


def box_mass(mixture, intervals):
    """Return the mass of each mixture in the intervals, None without a closed form."""
    if is_everywhere(intervals):
        return np.ones(mixture.means.shape[:-2])
    boxes = {j: e for j, e in enumerate(intervals) if not is_everywhere([e])}
    independent = COVARIANCE_TYPES[mixture.covariance_type].independent
    unknown = any(edges is None for edges in intervals)
    if unknown or (len(boxes) > 1 and not independent):
        return None
    mass = mixture.weights
    for j, edges in boxes.items():
        column = mixture.marginal([j])
        kind = COVARIANCE_TYPES[column.covariance_type]
        scales = kind.diagonal(column.covariances, column.n_components, 1) ** 0.5
        scores = (edges - column.means[..., None]) / scales[..., None]
        # Of a box far above take the upper tails, which are small too.
        flip = np.where(scores[..., :1] > 0, -1.0, 1.0)
        mass = mass * np.abs(np.diff(ndtr(flip * scores), axis=-1))[..., 0].sum(axis=-1)
    return mass.sum(axis=-1)


def _quasi_monte_carlo(mixture, bijection):
    """Count Sobol points of the mixture that are in the image."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    n_normals = kind.n_normals(mixture.covariances, mixture.n_features)
    if n_normals > _MAX_NORMALS:
        raise ValueError(
            f"The image's mass takes {n_normals} coordinates; at most {_MAX_NORMALS} "
            "can be. Use covariance_type='diag', or a transformer onto the whole space."
        )
    root = kind.root(mixture.covariances)
    levels = np.cumsum(mixture.weights)
    means = np.asarray(mixture.means)
    shares = []
    for generator in np.random.default_rng(0).spawn(_REPLICATES):
        points = qmc.Sobol(n_normals + 1, seed=generator).random_base2(_LOG2_POINTS)
        # Scrambled points may be 0, which no normal number maps to.
        points = np.clip(points, 2.0**-40, 1 - 2.0**-40)
        component = np.searchsorted(levels, points[:, 0] * levels[-1])
        noise = kind.noise(root, component, ndtri(points[:, 1:]))
        shares.append(share_inside(bijection, means[component] + noise))
    error = np.std(shares, ddof=1) / np.sqrt(_REPLICATES)
    return Mass(float(np.mean(shares)), max(float(error), 1 / _N_POINTS))


def _monte_carlo(density, bijection):
    """Count samples of a density that is no Gaussian mixture."""
    share = float(share_inside(bijection, draw(density, _N_POINTS, 0)[0]))
    error = float(np.sqrt(share * (1 - share) / _N_POINTS))
    return Mass(share, max(error, 1 / _N_POINTS))


def share_inside(bijection, Z):
    """Return the share of points (n, ..., d) that lie in the image, of each n."""
    with np.errstate(all="ignore"):
        inside = bijection.contains(Z.reshape(-1, Z.shape[-1]))
    return inside.reshape(Z.shape[:-1]).mean(axis=0)


def count_draws(n_samples, n_missing, n_drawn, mass):
    """Return how many draws missing samples take, by the mass and the draws so far."""
    share = (n_samples - n_missing + 1) / (n_drawn + 1)
    return n_missing / np.minimum(share, mass)


def check_draws(n_samples, share):
    """Raise if samples inside an image of such a mass take too many draws."""
    n_draws = n_samples / share
    if n_draws > max(_MOST_DRAWS, _MOST_FOR_EACH * n_samples):
        raise ValueError(
            f"{n_samples} samples would take about {n_draws:.2g} draws, more than "
            f"{_MOST_DRAWS:.2g}: of those of the density only the share {share:.2g} "
            "has a finite sample under the transformer. Draw fewer samples, use a "
            "density that fits its samples, or a transformer onto the whole space."
        )


def draw(density, n_samples, seed):
    """Draw from any fitted density, and never from the global random state."""
    method = getattr(density, "sample", None)
    if method is not None and "random_state" in inspect.signature(method).parameters:
        drawn = method(n_samples, random_state=seed)
    else:
        mixture = mixture_or_none(density)
        if mixture is None:
            raise TypeError(
                f"{density!r} has no method sample(n_samples, random_state), which "
                "sampling, and a transformer whose image is not the whole space, need."
            )
        drawn = mixture.sample(n_samples, seed)
    if isinstance(drawn, tuple):
        return drawn
    return drawn, np.zeros(n_samples, np.intp)

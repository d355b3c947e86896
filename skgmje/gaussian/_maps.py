"""Marginals, conditionals, affine images and samples of mixtures."""

import math
from numbers import Integral

import numpy as np

from skgmje._backend import (
    as_generator,
    asarray_like,
    eye_like,
    is_torch,
    namespace,
    to_numpy,
)
from skgmje.gaussian._arrays import take_components
from skgmje.gaussian._checks import check_indices, check_map, check_rows, find_missing
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._density import block_rows
from skgmje.gaussian._fast import fingerprint


def marginal(mixture, indices):
    """Return weights, means and covariances of some features."""
    indices = check_indices(indices, mixture.n_features)
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    covariances = kind.marginal(mixture.covariances, indices)
    return mixture.weights, mixture.means[..., indices], covariances


def condition(mixture, indices, values):
    """Return weights, means and covariances given the values of some features."""
    given = check_indices(indices, mixture.n_features)
    rest = [i for i in range(mixture.n_features) if i not in set(given)]
    if not rest:
        raise ValueError(
            f"indices={indices!r} name every feature; leave at least one to describe."
        )
    if mixture.means.ndim == 2 and np.ndim(values) == 2:
        return _condition_all(mixture, given, rest, values)
    part = mixture.marginal(given)
    values = check_rows(values, part, "values")
    find_missing(values, "raise", "values")
    diff = values[..., None, :] - part.means
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    shift, covariances = kind.conditional(mixture.covariances, given, rest, diff)
    weights = part.responsibilities(values)
    means = mixture.means[..., rest] + shift
    means = namespace(means).broadcast_to(means, (*weights.shape, len(rest)))
    return weights, means, covariances


def _condition_all(mixture, given, rest, values):
    """Condition one mixture on many rows: the means are linear in the values."""
    part, center, maps, constant, covariances = _linear_maps(mixture, given, rest)
    values = check_rows(values, part, "values")
    find_missing(values, "raise", "values")
    xp = namespace(constant)
    means = xp.reshape((values - center) @ maps, (-1, *constant.shape))
    # A second array of this size would cost more than the product.
    means += constant
    return part.responsibilities(values), means, covariances


def _linear_maps(mixture, given, rest):
    """Return what conditioning needs, remembered for the last features."""
    if is_torch(mixture.means):
        return _compute_maps(mixture, given, rest)
    mark = fingerprint(mixture), tuple(given)
    if vars(mixture).get("_linear_maps", (None,))[0] != mark:
        maps = _compute_maps(mixture, given, rest)
        vars(mixture)["_linear_maps"] = mark, maps
    return vars(mixture)["_linear_maps"][1]


def _compute_maps(mixture, given, rest):
    xp = namespace(mixture.means)
    part = mixture.marginal(given)
    n_components, n_given = part.means.shape
    center = part.mean
    # The images of the unit vectors, then that of the centre's differences.
    units = xp.broadcast_to(
        eye_like(part.means)[:, None, :], (n_given, n_components, n_given)
    )
    probes = xp.concat([units, (center - part.means)[None]], axis=0)
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    shift, covariances = kind.conditional(mixture.covariances, given, rest, probes)
    # Without correlations the shift is just zero.
    shift = shift + xp.zeros_like(probes[..., :1])
    shift = xp.broadcast_to(shift, (n_given + 1, n_components, len(rest)))
    maps = xp.reshape(shift[:n_given], (n_given, -1))
    return part, center, maps, mixture.means[:, rest] + shift[n_given], covariances


def affine(mixture, A, b):
    """Return the parameters of the density of ``A x + b``."""
    A, b = check_map(A, b, mixture)
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    change = (kind.scale, kind.stretch, kind.transform)[A.ndim]
    covariance_type, covariances = change(mixture.covariances, A)
    xp = namespace(A)
    means = mixture.means @ xp.matrix_transpose(A) if A.ndim == 2 else mixture.means * A
    means = means + (b[..., None, :] if b.ndim else b)
    return mixture.weights, means, covariances, covariance_type


def sample(mixture, n_samples, random_state):
    """Draw samples and their components; see `Mixture.sample`."""
    if not isinstance(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"n_samples={n_samples!r} must be a positive integer.")
    generator = as_generator(random_state)
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    means = mixture.means
    leading = tuple(means.shape[:-2])
    # Drawn in float64 by NumPy, so that both libraries see the same samples.
    component = _draw_components(mixture.weights, generator, (n_samples, *leading))
    n_normals = kind.n_normals(mixture.covariances, mixture.n_features)
    normals = generator.standard_normal((n_samples, *leading, n_normals))
    normals = asarray_like(normals, means)
    if is_torch(means):
        component = namespace(means).asarray(component, device=means.device)
    root = kind.root(mixture.covariances)
    # A full type gathers one matrix for each sample.
    step = block_rows(math.prod(leading) * mixture.n_features * n_normals)
    blocks = [slice(i, i + step) for i in range(0, n_samples, step)]
    noise = [kind.noise(root, component[rows], normals[rows]) for rows in blocks]
    X = take_components(means, component) + namespace(means).concat(noise, axis=0)
    return X, component


def _draw_components(weights, generator, shape):
    """Draw component numbers by the inverse of the cumulated weights."""
    total = np.cumsum(to_numpy(weights).astype(np.float64), axis=-1)
    # Below the total even after rounding: uniforms end one ulp before one.
    uniform = generator.random(shape) * total[..., -1]
    if total.ndim == 1:
        return np.searchsorted(total, uniform, side="right")
    return np.sum(uniform[..., None] >= total, axis=-1)

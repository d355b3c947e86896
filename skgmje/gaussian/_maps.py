"""Marginals, conditionals, affine images and samples of a mixture."""

import math
from numbers import Integral

import numpy as np

from skgmje._backend import as_generator, asarray_like, is_torch, namespace, to_numpy
from skgmje.gaussian._arrays import take_components
from skgmje.gaussian._checks import (
    check_indices,
    check_map,
    check_rows,
    find_missing,
)
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._density import block_rows, responsibilities


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
    part = mixture.marginal(given)
    values = check_rows(values, part, "values")
    find_missing(values, "raise", "values")
    weights = responsibilities(part, values)
    diff = values[..., None, :] - mixture.means[..., given]
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    shift, covariances = kind.conditional(mixture.covariances, given, rest, diff)
    xp = namespace(weights)
    means = mixture.means[..., rest] + shift
    return weights, xp.broadcast_to(means, (*weights.shape, len(rest))), covariances


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

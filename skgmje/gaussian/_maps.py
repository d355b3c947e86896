"""Marginals, conditionals, affine images, mixtures and samples of mixtures."""

import math
from functools import reduce
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
from skgmje.gaussian._checks import (
    check_indices,
    check_map,
    check_partner,
    check_rows,
    convert,
    find_missing,
)
from skgmje.gaussian._covariance import COVARIANCE_TYPES, common_type, widen
from skgmje.gaussian._covariance_type import take_components
from skgmje.gaussian._density import block_rows


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
    features, maps = vars(mixture).get("_linear_maps", (None, None))
    if features != given:
        maps = _compute_maps(mixture, given, rest)
        vars(mixture)["_linear_maps"] = given, maps
    return maps


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


def mix(kind, mixtures, weights):
    """Return the parameters of a mixture of mixtures; see `Mixture.mix`."""
    mixtures = tuple(mixtures)
    known = [mixture for mixture in mixtures if isinstance(mixture, kind)]
    partner = max(known, key=lambda mixture: mixture.means.ndim, default=None)
    if partner is None:
        raise ValueError("mixtures must hold at least one Mixture.")
    for mixture in mixtures:
        check_partner(partner, mixture)
    xp = namespace(partner.means)
    like = xp.concat([xp.reshape(mixture.means, (-1,)) for mixture in mixtures])
    weights = convert(weights, like, "weights")
    if weights.shape[:1] != (len(mixtures),):
        raise ValueError(
            f"weights has shape {tuple(weights.shape)}; its first axis must hold the "
            f"weights of {len(mixtures)} mixtures."
        )
    own, others = tuple(partner.means.shape[:-2]), tuple(weights.shape[1:])
    if own and others and own != others:
        raise ValueError(
            f"weights has leading axes {others} but the mixtures have {own}. Give "
            "weights of shape (n_mixtures,), or one row for each mixture."
        )
    leading = own or others

    def join(arrays, n_core):
        if n_core > 1:
            last = max(array.shape[-1] for array in arrays)
            arrays = [_with_columns(array, last) for array in arrays]
        arrays = [xp.broadcast_to(a, (*leading, *a.shape[-n_core:])) for a in arrays]
        joined = xp.concat(arrays, axis=-n_core)
        # The order in memory decides the last bit of sums.
        return joined if is_torch(joined) else np.ascontiguousarray(joined)

    shares = [
        weight[..., None] * mixture.weights
        for weight, mixture in zip(weights, mixtures, strict=True)
    ]
    shares = [xp.broadcast_to(share, (*leading, share.shape[-1])) for share in shares]
    covariance_type = _joined_type(mixtures)
    covariances = [widen(mixture, covariance_type) for mixture in mixtures]
    shape = COVARIANCE_TYPES[covariance_type].shape(1, partner.n_features)
    if isinstance(shape[0], tuple):
        columns = zip(zip(*covariances, strict=True), shape, strict=True)
        covariances = tuple(join(arrays, len(core)) for arrays, core in columns)
    else:
        covariances = join(covariances, len(shape))
    means = join([mixture.means for mixture in mixtures], 2)
    return xp.concat(shares, axis=-1), means, covariances, covariance_type


def _joined_type(mixtures):
    """Return the narrowest type that can hold the matrices of all components."""
    name = reduce(common_type, (mixture.covariance_type for mixture in mixtures))
    kind = COVARIANCE_TYPES[name]
    if len(mixtures) > 1 and kind.shape(1, 2) == kind.shape(2, 2):
        # One matrix for all components of a mixture.
        name = next(wider for wider in kind.wider if wider != name)
    return name


def _with_columns(array, n_columns):
    """Return an array with zeros after its last axis, which has then that length."""
    missing = n_columns - array.shape[-1]
    if not missing:
        return array
    xp = namespace(array)
    zeros = 0 * xp.sum(array, axis=-1, keepdims=True)  # there may be no column
    return xp.concat([array, *[zeros] * missing], axis=-1)


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

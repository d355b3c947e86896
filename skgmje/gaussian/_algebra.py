"""Algebra of mixtures: marginals, conditionals, affine images, products and sums."""

import math
from functools import reduce

import numpy as np

from skgmje._backend import (
    eye_like,
    is_torch,
    logsumexp,
    namespace,
    row_blocks,
    softmax,
    transpose,
)
from skgmje.gaussian._checks import (
    check_indices,
    check_map,
    check_partner,
    check_rows,
    convert,
    find_missing,
    is_checked,
)
from skgmje.gaussian._covariance import COVARIANCE_TYPES, common_type, widen
from skgmje.gaussian._covariance_type import flatten_pairs, map_arrays, once
from skgmje.gaussian._density import gaussian_log_prob, log_weights


def _shared(mixture):
    """Return the covariances, those of all mixtures of a batch once."""
    return once(mixture.covariances, mixture.means.ndim - 2)


def marginal(mixture, indices):
    """Return the parameters of the density of some features."""
    indices = check_indices(indices, mixture.n_features)
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    covariances = kind.marginal(_shared(mixture), indices)
    means = mixture.means[..., indices]
    return mixture.weights, means, covariances, mixture.covariance_type


def condition(mixture, indices, values):
    """Return the parameters of the density given the values of some features."""
    given = check_indices(indices, mixture.n_features)
    rest = [i for i in range(mixture.n_features) if i not in set(given)]
    if not rest:
        raise ValueError(
            f"indices={indices!r} name every feature; leave at least one to describe."
        )
    if mixture.means.ndim == 2 and np.ndim(values) in (1, 2):
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
    return weights, means, covariances, mixture.covariance_type


def _condition_all(mixture, given, rest, values):
    """Condition one mixture on rows: the means are linear in the values."""
    part, center, maps, constant, covariances = _linear_maps(mixture, given, rest)
    values = check_rows(values, part, "values")
    find_missing(values, "raise", "values")
    xp = namespace(constant)
    rows = xp.reshape(values, (-1, len(given)))
    # What overflows the mixture itself refuses.
    with np.errstate(over="ignore", invalid="ignore"):
        means = xp.reshape((rows - center) @ maps, (-1, *constant.shape))
        # A second array of this size would cost more than the product.
        means += constant
    weights = part.responsibilities(rows)
    if values.ndim == 1:
        weights, means = weights[0], means[0]
    return weights, means, covariances, mixture.covariance_type


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
    """Return a marginal, its mean, linear maps of differences and what they add to."""
    xp = namespace(mixture.means)
    part = mixture.marginal(given)
    n_components, n_given = part.means.shape
    center = part.mean
    # The images of the unit vectors, then that of the center's differences.
    units = eye_like(part.means)[:, None, :]
    units = xp.broadcast_to(units, (n_given, n_components, n_given))
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
    covariance_type, covariances = change(_shared(mixture), A)
    means = mixture.means @ transpose(A) if A.ndim == 2 else mixture.means * A
    means = means + (b[..., None, :] if b.ndim else b)
    return mixture.weights, means, covariances, covariance_type


def flat_pairs(first, second):
    """Compute ``log w_i w'_j N(m_i - m'_j; S_i + S'_j)``, shape (..., I * J)."""
    covariance_type = common_type(first.covariance_type, second.covariance_type)
    kind = COVARIANCE_TYPES[covariance_type]
    left, right = (widen(mixture, covariance_type) for mixture in (first, second))
    size = second.n_components, second.n_features
    entries = max(math.prod(kind.shapes(*size)[0]), math.prod(size))
    xp = namespace(first.means)
    blocks = []
    for rows in row_blocks(first.n_components, entries):
        covariances = kind.pair_sum(kind.select(left, rows), right)
        centers = first.means[..., rows, :]
        blocks.append(
            gaussian_log_prob(kind, second.means[..., None, :, :], covariances, centers)
        )
    scores = xp.concat(blocks, axis=-2)
    logs = log_weights(first.weights)[..., :, None]
    scores = scores + logs + log_weights(second.weights)[..., None, :]
    return flatten_pairs(scores, 0)


def select(mixture, indices):
    """Return the parameters of some components, with rescaled weights."""
    size = mixture.n_components
    try:
        chosen = np.arange(size)[indices].reshape(-1).tolist()
    except IndexError as error:
        raise ValueError(
            f"indices={indices!r} are not components of a mixture with {size}. Use "
            f"integers from 0 to {size - 1}."
        ) from error
    if not chosen:
        raise ValueError(f"indices={indices!r} must name at least one component.")
    weights = mixture.weights[..., chosen]
    total = namespace(weights).sum(weights, axis=-1, keepdims=True)
    if is_checked(weights) and not (total > 0).all():
        raise ValueError(
            f"The components indices={indices!r} have no weight. Choose others: "
            "weights of zero cannot be rescaled."
        )
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    covariances = kind.select(_shared(mixture), chosen)
    means = mixture.means[..., chosen, :]
    return weights / total, means, covariances, mixture.covariance_type


def product(first, second):
    """Return the parameters of the product of two densities, scaled to one."""
    check_partner(first, second)
    covariance_type = common_type(first.covariance_type, second.covariance_type)
    diff = second.means[..., None, :, :] - first.means[..., :, None, :]
    shift, covariances = COVARIANCE_TYPES[covariance_type].product(
        widen(first, covariance_type), widen(second, covariance_type), diff
    )
    means = flatten_pairs(first.means[..., :, None, :] + shift, 1)
    weights = softmax(flat_pairs(first, second), axis=-1)
    return weights, means, covariances, covariance_type


def convolve(first, second):
    """Return the parameters of the sum of two independent variables."""
    check_partner(first, second)
    covariance_type = common_type(first.covariance_type, second.covariance_type)
    kind = COVARIANCE_TYPES[covariance_type]
    pairs = kind.pair_sum(widen(first, covariance_type), widen(second, covariance_type))
    means = first.means[..., :, None, :] + second.means[..., None, :, :]
    weights = first.weights[..., :, None] * second.weights[..., None, :]
    xp, leading = namespace(means), tuple(means.shape[:-3])
    size, d = means.shape[-3] * means.shape[-2], means.shape[-1]
    shapes = kind.shapes(size, d, kind.rank(pairs))
    pairs = map_arrays(lambda a, shape: xp.reshape(a, leading + shape), pairs, shapes)
    weights = xp.reshape(weights, (*leading, size))
    return weights, xp.reshape(means, (*leading, size, d)), pairs, covariance_type


def log_inner(first, second):
    """Compute the logarithm of the inner product; see `Mixture.log_inner`."""
    check_partner(first, second)
    # In one sum: a row of zero weight alone has no gradient.
    return logsumexp(flat_pairs(first, second), axis=-1)


def exp(values):
    """Compute ``exp(values)``, inf where it overflows."""
    with np.errstate(over="ignore"):
        return namespace(values).exp(values)


def l2_distance(first, second):
    """Compute the L2 distance; see `Mixture.l2_distance`."""
    own, cross, others = _log_inners(first, second)
    xp = namespace(cross)
    top = xp.maximum(own, others)
    rest = xp.exp(own - top) + xp.exp(others - top) - 2 * xp.exp(cross - top)
    apart = rest > 0
    # Where the square root is 0 its gradient would be NaN.
    root = xp.where(apart, rest, xp.ones_like(rest)) ** 0.5
    return exp(0.5 * top) * xp.where(apart, root, xp.zeros_like(rest))


def cauchy_schwarz_divergence(first, second):
    """Compute the divergence; see `Mixture.cauchy_schwarz_divergence`."""
    own, cross, others = _log_inners(first, second)
    divergence = own + others - 2 * cross
    zero = namespace(divergence).zeros_like(divergence)
    return namespace(divergence).where(divergence > 0, divergence, zero)


def _log_inners(first, second):
    """Return <p, p>, <p, q> and <q, q>, in logs."""
    pairs = (first, first), (first, second), (second, second)
    return [log_inner(*pair) for pair in pairs]


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

    pairs = zip(weights, mixtures, strict=True)
    shares = join([share[..., None] * mixture.weights for share, mixture in pairs], 1)
    covariance_type = _joined_type(mixtures)
    covariances = [widen(mixture, covariance_type) for mixture in mixtures]
    n_axes = map(len, COVARIANCE_TYPES[covariance_type].shapes(1, partner.n_features))
    if isinstance(covariances[0], tuple):
        covariances = tuple(map(join, zip(*covariances, strict=True), n_axes))
    else:
        covariances = join(covariances, *n_axes)
    means = join([mixture.means for mixture in mixtures], 2)
    return shares, means, covariances, covariance_type


def _joined_type(mixtures):
    """Return the narrowest type that can hold the matrices of all components."""
    name = reduce(common_type, (mixture.covariance_type for mixture in mixtures))
    kind = COVARIANCE_TYPES[name]
    if len(mixtures) > 1 and kind.shared:
        name = next(w for w in kind.wider if not COVARIANCE_TYPES[w].shared)
    return name


def _with_columns(array, n_columns):
    """Return an array with zeros after its last axis, which has then that length."""
    missing = n_columns - array.shape[-1]
    if not missing:
        return array
    xp = namespace(array)
    zeros = 0 * xp.sum(array, axis=-1, keepdims=True)  # there may be no column
    return xp.concat([array, *[zeros] * missing], axis=-1)

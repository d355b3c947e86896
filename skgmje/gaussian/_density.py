"""Densities, marginals, conditionals, affine images and samples of a mixture."""

import math
from functools import cache, partial, reduce
from operator import attrgetter

import numpy as np

from skgmje._backend import (
    LOG_2PI,
    eye_like,
    is_torch,
    logsumexp,
    namespace,
    softmax,
    unmasked,
)
from skgmje.gaussian import _passes
from skgmje.gaussian._checks import (
    MISSING,
    check_indices,
    check_map,
    check_missing,
    check_partner,
    check_rows,
    convert,
    find_missing,
    is_checked,
    patterns,
)
from skgmje.gaussian._covariance import COVARIANCE_TYPES, common_type, widen
from skgmje.gaussian._covariance_type import (
    collapse,
    is_shared,
    map_arrays,
)

# Entries of a temporary array: 4 MB of float64, so that memory stays bounded.
BLOCK_SIZE = 2**19

# Densities of components from which the maps are worth moving to the device.
DEVICE_WORK = 2**16


def log_weights(weights):
    """Return ``log(weights)``; zero gives -inf without a warning or a NaN gradient."""
    xp = namespace(weights)
    positive = weights > 0
    logs = xp.log(xp.where(positive, weights, xp.ones_like(weights)))
    return xp.where(positive, logs, xp.full_like(weights, -np.inf))


def block_rows(row_size):
    """Return how many rows of `row_size` entries make one block."""
    return max(1, BLOCK_SIZE // max(1, row_size))


def in_blocks(function, X, n_leading, row_size):
    """Apply `function` to blocks along the first axis of `X`."""
    if X.ndim < n_leading + 2:
        return function(X)
    row_size *= max(1, int(np.prod(X.shape[1:-1])))
    step = block_rows(row_size)
    if len(X) <= step:
        return function(X)
    blocks = [function(X[i : i + step]) for i in range(0, len(X), step)]
    return namespace(X).concat(blocks, axis=0)


def gaussian_log_prob(kind, means, covariances, X):
    """Compute ``log N(x; means_k, covariances_k)`` of complete rows."""
    xp = namespace(means)
    n_components, n_features = means.shape[-2:]
    factor = kind.precisions_cholesky(covariances)
    log_norm = kind.log_det(factor, n_features) - 0.5 * n_features * LOG_2PI

    def block(rows):
        white = kind.whiten(rows[..., None, :] - means, factor)
        return log_norm - 0.5 * xp.sum(white * white, axis=-1)

    with np.errstate(over="ignore", invalid="ignore"):
        result = in_blocks(block, X, means.ndim - 2, n_components * n_features)
    # The parameters are finite, so NaN is an overflow: inf - inf in a product.
    return result if is_torch(result) else np.where(np.isnan(result), -np.inf, result)


def component_log_prob(mixture, X):
    """Compute log-densities of the components at complete samples, (..., K)."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    return gaussian_log_prob(kind, mixture.means, mixture.covariances, X)


def joint_log_prob(mixture, X):
    """Compute ``log w_k N_k(x)`` at complete samples, (..., K)."""
    return log_weights(mixture.weights) + component_log_prob(mixture, X)


def responsibilities(mixture, X):
    """Compute the posterior weights of complete rows, shape (..., n_components)."""
    joint = joint_log_prob(mixture, X)
    xp = namespace(joint)
    far_scores = cache(partial(_far_scores, mixture))
    n_features = mixture.n_features
    limit = -1e-3 / xp.finfo(joint.dtype).eps

    def block(both):
        rows, joint = both[..., :n_features], both[..., n_features:]
        # Written so that NaN counts as lost, too.
        lost = ~(xp.max(joint, axis=-1) > limit)
        if bool(xp.any(lost)):
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                scores = far_scores()(rows)
            joint = xp.where(lost[..., None], scores, joint)
        return softmax(joint, axis=-1)

    X = xp.broadcast_to(X, (*joint.shape[:-1], n_features))
    row_size = mixture.n_components * n_features
    return in_blocks(
        block, xp.concat([X, joint], axis=-1), mixture.means.ndim - 2, row_size
    )


def _far_scores(mixture):
    """Return a function that scores components far away, but for a common term."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    factor = kind.precisions_cholesky(mixture.covariances)
    means, weights = mixture.means, mixture.weights
    xp = namespace(means)
    big = xp.finfo(means.dtype).max / 4
    tol = (8 + mixture.n_features**0.5) * xp.finfo(means.dtype).eps
    white_means = kind.whiten(means, factor)
    constant = log_weights(weights) + kind.log_det(factor, mixture.n_features)
    size_of_means = xp.max(xp.max(xp.abs(means), axis=-1), axis=-1)

    def squared(white):
        total = xp.sum(white * white, axis=-1)
        return xp.where(total > big, big, total)

    def score(rows):
        size = xp.maximum(xp.max(xp.abs(rows), axis=-1), size_of_means)[..., None]
        scaled_means = means / size[..., None]
        scaled = rows[..., None, :] / size[..., None] + xp.zeros_like(scaled_means)
        square = squared(kind.whiten(scaled - scaled_means, factor))
        square = xp.where(weights > 0, square, big)
        gap = square - xp.min(square, axis=-1, keepdims=True)
        ties = gap <= tol * (square - gap)
        order = -2 * xp.sum(kind.whiten(scaled, factor) * white_means, axis=-1)
        order = order - xp.min(xp.where(ties, order, np.inf), axis=-1, keepdims=True)
        rest = squared(white_means) + xp.zeros_like(order)
        noise = tol * ((square - gap) * xp.max(rest, axis=-1, keepdims=True)) ** 0.5
        order = xp.where(order > noise, order, 0.0)
        best = xp.where(ties & (order == 0), rest, big)
        rest = rest - xp.min(best, axis=-1, keepdims=True)
        among_ties = size * order + rest
        return constant - 0.5 * xp.where(ties, among_ties, size * (size * gap))

    return score


def grad_log_prob(mixture, X):
    """Compute the gradient of the log-density in complete rows, shape of `X`."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    factor = kind.precisions_cholesky(mixture.covariances)
    means, n_features = mixture.means, mixture.n_features
    xp = namespace(means)
    posterior = responsibilities(mixture, X)
    X = xp.broadcast_to(X, (*posterior.shape[:-1], n_features))

    def block(rows):
        pull = kind.solve(means - rows[..., None, :n_features], factor)
        return (rows[..., None, n_features:] @ pull)[..., 0, :]

    both = xp.concat([X, posterior], axis=-1)
    return in_blocks(block, both, means.ndim - 2, mixture.n_components * n_features)


def is_plain(mixture, X):
    """Return whether rows of one NumPy mixture are asked for, which has hot loops."""
    if not isinstance(mixture.means, np.ndarray) or mixture.means.ndim != 2:
        return False
    if not isinstance(X, np.ndarray | list | tuple):
        return False  # the general path knows torch, and refuses the rest
    try:
        return np.ndim(X) == 2
    except ValueError:  # ragged: the general path says what is wrong
        return False


def make_kernel(mixture, weights):
    """Return the hot loops of one NumPy mixture, in double precision."""
    return COVARIANCE_TYPES[mixture.covariance_type].loops(
        np.asarray(weights, np.float64),
        np.asarray(mixture.means, np.float64),
        map_arrays(lambda part: np.asarray(part, np.float64), mixture.covariances),
        np.asarray(mixture.mean, np.float64),
    )


def unweighted_kernel(mixture):
    """Return the hot loops of the components alone."""
    return make_kernel(mixture, np.ones(mixture.n_components))


def score_plain(
    mixture, X, missing, score, nothing, *, far=None, kernel=attrgetter("_kernel")
):
    """Score rows of one NumPy mixture by a function of blocks; `far` mends NaN."""
    if missing not in MISSING:
        check_missing(missing)
    if type(X) is not np.ndarray:
        X = np.asarray(unmasked(X))
    rescore = partial(
        score_plain,
        missing=missing,
        score=score,
        nothing=nothing,
        far=far,
        kernel=kernel,
    )
    if X.dtype.kind != "f" or X.shape[1] != mixture.n_features:
        step = max(1024, BLOCK_SIZE // max(1, X.shape[1]))
        parts = [X[i : i + step] for i in range(0, max(1, len(X)), step)]
        parts = [rescore(mixture, check_rows(part, mixture)) for part in parts]
        return np.concatenate(parts)
    loops = kernel(mixture)
    out = np.empty((len(X), *np.shape(nothing)), mixture.means.dtype)
    fill = partial(_passes.fill_scores, loops, X, out, score)
    _passes.map_chunks(fill, *_passes.chunks_of(loops, X))
    # Rows are not searched for NaN and infinity beforehand: they show here.
    odd = np.flatnonzero(~np.isfinite(out if out.ndim == 1 else out[:, 0]))
    if len(odd):
        out[odd] = _score_odd(mixture, X[odd], out[odd], missing, nothing, far, rescore)
    return out


def _score_odd(mixture, X, scores, missing, nothing, far, rescore):
    """Score rows with gaps; refuse infinite ones; let `far` score what is far away."""
    X = check_rows(X, mixture)
    find_missing(X, missing)
    for rows, observed in patterns(X):
        seen = np.flatnonzero(observed)
        if not len(seen):
            scores[rows] = nothing
        elif len(seen) < len(observed):
            scores[rows] = rescore(mixture.marginal(seen), X[np.ix_(rows, seen)])
        elif far is not None:
            scores[rows] = far(mixture, X[rows])
    return scores


def is_large_on_device(mixture, X):
    """Return whether many rows of one mixture of tensors are asked for, no gradient."""
    if not (is_torch(X) and is_torch(mixture.means)) or mixture.means.ndim != 2:
        return False
    large = X.ndim == 2 and X.shape[0] * mixture.n_components >= DEVICE_WORK
    tensors = (mixture.weights, mixture.means, X)
    loops = COVARIANCE_TYPES[mixture.covariance_type].loops
    return large and loops.on_device and not any(t.requires_grad for t in tensors)


def device_log_prob(mixture, X):
    """Compute the log-density of many rows of a tensor, on its device."""
    host = mixture.to_numpy()
    kernel = make_kernel(host, host.weights)
    rows = check_rows(X, mixture)
    if not kernel.expands_all:
        return logsumexp(joint_log_prob(mixture, rows), axis=-1)
    find_missing(rows, "raise")
    return _passes.device_log_prob(kernel, rows)


def score_rows(mixture, X, missing, score, nothing):
    """Score complete rows directly and the others by their pattern of gaps."""
    X = check_rows(X, mixture)
    mask = find_missing(X, missing)
    if mask is None:
        return score(mixture, X)
    xp = namespace(X)
    leading = np.broadcast_shapes(X.shape[:-1], tuple(mixture.means.shape[:-2]))
    X = xp.reshape(xp.broadcast_to(X, (*leading, X.shape[-1])), (-1, X.shape[-1]))
    mask = np.broadcast_to(mask, (*leading, mask.shape[-1])).reshape(X.shape)
    owner = _owner(mixture, leading)
    nothing = xp.reshape(nothing, (-1, mixture.n_components))
    shown, group = np.unique(mask, axis=0, return_inverse=True)
    order, parts = [], []
    for number, pattern in enumerate(shown):
        rows = np.flatnonzero(group.reshape(-1) == number)
        seen = np.flatnonzero(~pattern).tolist()
        order.append(rows)
        if seen:
            part = _take_mixtures(mixture, owner[rows]).marginal(seen)
            parts.append(score(part, X[_index(rows, X)][:, seen]))
        else:
            parts.append(nothing[_index(owner[rows], X)])
    back = np.argsort(np.concatenate(order))
    joined = xp.concat(parts, axis=0)[_index(back, X)]
    return xp.reshape(joined, (*leading, mixture.n_components))


def _index(numbers, like):
    """Return integers as an index into arrays of the library of `like`."""
    if is_torch(like):
        return namespace(like).asarray(numbers, device=like.device)
    return numbers


def _owner(mixture, leading):
    """Return the number of the mixture that each flattened row goes with."""
    own = tuple(mixture.means.shape[:-2])
    number = np.arange(int(np.prod(own))).reshape(own)
    return np.broadcast_to(number, leading).reshape(-1)


def _take_mixtures(mixture, owner):
    """Return the mixtures of some rows; one that has no leading axis serves all."""
    n_leading = mixture.means.ndim - 2
    if not n_leading:
        return mixture
    index = np.unravel_index(owner, tuple(mixture.means.shape[:-2]))
    index = tuple(_index(axis, mixture.means) for axis in index)

    def take(array):
        shared = collapse(array, array.ndim - n_leading)
        if is_shared(shared, array.ndim - n_leading):
            return shared[(0,) * n_leading]
        return array[index]

    return mixture._of(
        mixture.weights[index],
        mixture.means[index],
        map_arrays(take, mixture.covariances),
        mixture.covariance_type,
    )


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
    return weights, means, covariances


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
    return weights, means, covariances


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
    # The images of the unit vectors, then that of the center's differences.
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


def flat_pairs(first, second):
    """Compute ``log w_i w'_j N(m_i - m'_j; S_i + S'_j)``, shape (..., I * J)."""
    covariance_type = common_type(first.covariance_type, second.covariance_type)
    kind = COVARIANCE_TYPES[covariance_type]
    left, right = (widen(mixture, covariance_type) for mixture in (first, second))
    shape = kind.shape(second.n_components, second.n_features)
    entries = math.prod(shape[0] if isinstance(shape[0], tuple) else shape)
    entries = max(entries, second.n_components * second.n_features)
    step = block_rows(entries)
    xp = namespace(first.means)
    blocks = []
    for start in range(0, first.n_components, step):
        rows = slice(start, start + step)
        covariances = kind.pair_sum(kind.select(left, rows), right)
        centers = first.means[..., rows, :]
        blocks.append(
            gaussian_log_prob(kind, second.means[..., None, :, :], covariances, centers)
        )
    scores = xp.concat(blocks, axis=-2)
    logs = log_weights(first.weights)[..., :, None]
    scores = scores + logs + log_weights(second.weights)[..., None, :]
    return xp.reshape(scores, (*scores.shape[:-2], -1))


def select(mixture, indices):
    """Return weights, means and covariances of some components, rescaled."""
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
    covariances = kind.select(mixture.covariances, chosen)
    return weights / total, mixture.means[..., chosen, :], covariances


def product(first, second):
    """Return the parameters of the product of two densities, scaled to one."""
    check_partner(first, second)
    covariance_type = common_type(first.covariance_type, second.covariance_type)
    diff = second.means[..., None, :, :] - first.means[..., :, None, :]
    xp = namespace(diff)
    shift, covariances = COVARIANCE_TYPES[covariance_type].product(
        widen(first, covariance_type), widen(second, covariance_type), diff
    )
    means = first.means[..., :, None, :] + shift
    means = xp.reshape(means, (*means.shape[:-3], -1, means.shape[-1]))
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
    xp, leading = namespace(means), means.shape[:-3]
    size, d = means.shape[-3] * means.shape[-2], means.shape[-1]
    shapes = kind.shape(size, d, kind.rank(pairs))
    if isinstance(pairs, tuple):
        each = zip(pairs, shapes, strict=True)
        pairs = tuple(xp.reshape(part, (*leading, *shape)) for part, shape in each)
    else:
        pairs = xp.reshape(pairs, (*leading, *shapes))
    weights = xp.reshape(weights, (*leading, size))
    return weights, xp.reshape(means, (*leading, size, d)), pairs, covariance_type


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

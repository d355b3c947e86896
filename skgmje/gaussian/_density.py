"""Log-densities, responsibilities and gradients of a mixture."""

import math
from functools import cache, partial
from operator import attrgetter

import numpy as np

from skgmje._backend import (
    LOG_2PI,
    block_rows,
    is_torch,
    logsumexp,
    namespace,
    row_blocks,
    slices,
    softmax,
    to_numpy,
    unmasked,
)
from skgmje.gaussian import _passes
from skgmje.gaussian._checks import (
    check_missing,
    check_rows,
    find_missing,
    patterns,
)
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._covariance_type import (
    EXPANSION_LIMIT,
    collapse,
    is_shared,
    map_arrays,
)

# Densities of components from which the maps are worth moving to the device.
DEVICE_WORK = 2**16


def log_weights(weights):
    """Return ``log(weights)``; zero gives -inf without a warning or a NaN gradient."""
    xp = namespace(weights)
    positive = weights > 0
    logs = xp.log(xp.where(positive, weights, xp.ones_like(weights)))
    return xp.where(positive, logs, xp.full_like(weights, -np.inf))


def in_blocks(function, n_leading, row_size, *arrays):
    """Apply `function` to blocks along the first axis of arrays of as many rows."""
    X = arrays[0]
    if X.ndim < n_leading + 2:
        return function(*arrays)
    blocks = row_blocks(len(X), row_size * max(1, math.prod(X.shape[1:-1])))
    if len(blocks) < 2:
        return function(*arrays)
    parts = [function(*(array[rows] for array in arrays)) for rows in blocks]
    return namespace(X).concat(parts, axis=0)


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
        result = in_blocks(block, means.ndim - 2, n_components * n_features, X)
    # The parameters are finite, so NaN is an overflow: inf - inf in a product.
    return result if is_torch(result) else np.where(np.isnan(result), -np.inf, result)


def log_prob(mixture, X, missing):
    """Compute the log-density; see `Mixture.log_prob`."""
    if is_plain(mixture, X):
        return score_plain(mixture, X, missing, _passes.block_log_prob, 0.0)
    if missing == "raise" and is_large_on_device(mixture, X):
        return device_log_prob(mixture, X)
    nothing = log_weights(mixture.weights)
    return logsumexp(score_rows(mixture, X, missing, _joint, nothing), axis=-1)


def component_log_prob(mixture, X, missing):
    """Compute the log-densities of components; see `Mixture.component_log_prob`."""
    nothing = namespace(mixture.weights).zeros_like(mixture.weights)
    if is_plain(mixture, X):
        score, kernel = _passes.block_joint_log_prob, _unweighted_kernel
        return score_plain(mixture, X, missing, score, nothing, kernel=kernel)
    return score_rows(mixture, X, missing, _of_components, nothing)


def responsibilities(mixture, X, missing):
    """Compute the posterior weights; see `Mixture.responsibilities`."""
    nothing = mixture.weights
    if is_plain(mixture, X):
        score = partial(_passes.block_responsibilities, mark_far=True)
        return score_plain(mixture, X, missing, score, nothing, far=_posterior)
    return score_rows(mixture, X, missing, _posterior, nothing)


def grad_log_prob(mixture, X):
    """Compute the gradient of the log-density; see `Mixture.grad_log_prob`."""
    X = check_rows(X, mixture)
    find_missing(X, "raise")
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    factor = kind.precisions_cholesky(mixture.covariances)

    def block(rows, posterior):
        pull = kind.solve(mixture.means - rows[..., None, :], factor)
        return (posterior[..., None, :] @ pull)[..., 0, :]

    return _in_blocks_with(block, mixture, X, _posterior(mixture, X))


def _of_components(mixture, X):
    """Compute the log-densities of components at complete samples, (..., K)."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    return gaussian_log_prob(kind, mixture.means, mixture.covariances, X)


def _joint(mixture, X):
    """Compute ``log w_k N_k(x)`` at complete samples, (..., K)."""
    return log_weights(mixture.weights) + _of_components(mixture, X)


def _posterior(mixture, X):
    """Compute the posterior weights of complete samples, (..., K)."""
    joint = _joint(mixture, X)
    xp = namespace(joint)
    far_scores = cache(partial(_far_scores, mixture))
    limit = -1e-3 / xp.finfo(joint.dtype).eps

    def block(rows, joint):
        # Written so that NaN counts as lost, too.
        lost = ~(xp.max(joint, axis=-1) > limit)
        if bool(xp.any(lost)):
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                scores = far_scores()(rows)
            joint = xp.where(lost[..., None], scores, joint)
        return softmax(joint, axis=-1)

    return _in_blocks_with(block, mixture, X, joint)


def _in_blocks_with(function, mixture, X, of_components):
    """Apply `function` to blocks of samples and of arrays (..., K) of them."""
    xp = namespace(X)
    X = xp.broadcast_to(X, (*of_components.shape[:-1], X.shape[-1]))
    row_size = mixture.n_components * mixture.n_features
    return in_blocks(function, mixture.means.ndim - 2, row_size, X, of_components)


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


def is_plain(mixture, X):
    """Return whether rows of one NumPy mixture are asked for, which has hot loops."""
    # The general path knows torch, and refuses the rest.
    known = isinstance(mixture.means, np.ndarray) and mixture.means.ndim == 2
    if not known or not isinstance(X, np.ndarray | list | tuple):
        return False
    try:
        return np.ndim(X) == 2
    except ValueError:  # ragged: the general path says what is wrong
        return False


def make_kernel(mixture, weights):
    """Return the hot loops of one NumPy mixture, in double precision."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    means = np.asarray(mixture.means, np.float64)
    covariances = map_arrays(partial(np.asarray, dtype=np.float64), mixture.covariances)
    center = _middle(mixture.weights, means, kind.diagonal(covariances, *means.shape))
    return kind.loops(np.asarray(weights, np.float64), means, covariances, center)


def _middle(weights, means, variances):
    """Return the mean, or what fewer components are too many deviations away from."""
    alive = weights > 0
    weights, means, variances = weights[alive, None], means[alive], variances[alive]
    # Near the components that are narrow in a feature, as where it is constant.
    precise = weights * (variances.min(axis=0) / variances)
    centers = [(w * means).sum(axis=0) / w.sum(axis=0) for w in (weights, precise)]
    squares = (((means - c) ** 2 / variances).sum(axis=1) for c in centers)
    n_far = [np.count_nonzero(square > EXPANSION_LIMIT) for square in squares]
    return centers[int(n_far[1] < n_far[0])]


def _unweighted_kernel(mixture):
    """Return the hot loops of the components alone."""
    return make_kernel(mixture, np.ones(mixture.n_components))


def score_plain(
    mixture, X, missing, score, nothing, *, far=None, kernel=attrgetter("_kernel")
):
    """Score rows of one NumPy mixture by a function of blocks; `far` mends NaN."""
    check_missing(missing)
    if type(X) is not np.ndarray:
        X = np.asarray(unmasked(X))

    def rescore(mixture, X):
        return score_plain(mixture, X, missing, score, nothing, far=far, kernel=kernel)

    if X.dtype.kind != "f" or X.shape[1] != mixture.means.shape[1]:
        blocks = slices(max(1, len(X)), max(1024, block_rows(X.shape[1])))
        parts = [rescore(mixture, check_rows(X[rows], mixture)) for rows in blocks]
        return np.concatenate(parts)
    loops = kernel(mixture)
    out = np.empty((len(X), *np.shape(nothing)), mixture.means.dtype)
    fill = partial(_passes.fill_scores, loops, X, out, score)
    _passes.map_chunks(fill, *_passes.chunks_of(loops, X))
    # Rows are not searched for NaN and infinity beforehand: they show here.
    finite = np.isfinite(out if out.ndim == 1 else out[:, 0])
    if finite.all():
        return out
    odd = np.flatnonzero(~finite)
    X = check_rows(X[odd], mixture)
    find_missing(X, missing)
    for rows, observed in patterns(X):
        seen = np.flatnonzero(observed)
        if not len(seen):
            out[odd[rows]] = nothing
        elif len(seen) < len(observed):
            part = mixture.marginal(seen)
            out[odd[rows]] = rescore(part, X[np.ix_(rows, seen)])
        elif far is not None:
            out[odd[rows]] = far(mixture, X[rows])
    return out


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
        return logsumexp(_joint(mixture, rows), axis=-1)
    find_missing(rows, "raise")
    return _passes.device_log_prob(kernel, rows)


def score_rows(mixture, X, missing, score, nothing):
    """Score complete rows directly and the others by their pattern of gaps."""
    X = check_rows(X, mixture)
    if find_missing(X, missing) is None:
        return score(mixture, X)
    xp = namespace(X)
    leading = np.broadcast_shapes(X.shape[:-1], tuple(mixture.means.shape[:-2]))
    X = xp.reshape(xp.broadcast_to(X, (*leading, X.shape[-1])), (-1, X.shape[-1]))
    own = tuple(mixture.means.shape[:-2])
    owner = np.arange(math.prod(own)).reshape(own)
    owner = np.broadcast_to(owner, leading).reshape(-1)
    nothing = xp.reshape(nothing, (-1, mixture.n_components))
    order, parts = [], []
    for rows, observed in patterns(to_numpy(X)):
        seen = np.flatnonzero(observed).tolist()
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


def _take_mixtures(mixture, owner):
    """Return the mixtures of some rows; one that has no leading axis serves all."""
    n_leading = mixture.means.ndim - 2
    if not n_leading:
        return mixture
    axes = np.unravel_index(owner, tuple(mixture.means.shape[:-2]))
    index = tuple(_index(axis, mixture.means) for axis in axes)

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

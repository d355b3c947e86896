"""Distribution functions and quantiles of mixtures of one feature."""

import math

import numpy as np
from scipy.special import ndtr, ndtri

from skgmje._backend import asarray_like, is_torch, namespace, row_blocks
from skgmje.gaussian._checks import as_batch, convert, find_missing, take_rows
from skgmje.gaussian._covariance import COVARIANCE_TYPES

# What Newton leaves of the standard score, a few roundings of it.
TOLERANCE = 1e-14

# Bisection of the longest interval of float64 ends sooner.
MAX_STEPS = 1200


def cdf(mixture, y):
    """Compute P(Y <= y); see `Mixture.cdf`."""
    _check_one_feature(mixture, "cdf")
    y = _check_values(mixture, y)
    xp = namespace(y)
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    shape = mixture.n_components, 1
    scales = kind.diagonal(mixture.covariances, *shape)[..., 0] ** 0.5
    means, weights = mixture.means[..., 0], mixture.weights
    leading = tuple(mixture.means.shape[:-2])
    n_rows = math.prod(y.shape[: y.ndim - len(leading)])
    flat = xp.reshape(y, (n_rows, *leading)) if y.ndim else y[None]
    blocks = []
    for rows in row_blocks(flat.shape[0], math.prod(means.shape)):
        diff = flat[rows, ..., None] - means
        with np.errstate(over="ignore"):
            below = _ndtr(diff / scales)
        blocks.append(xp.sum(weights * below, axis=-1) / xp.sum(weights, axis=-1))
    shape = np.broadcast_shapes(tuple(y.shape), tuple(means.shape[:-1]))
    return xp.reshape(xp.concat(blocks, axis=0), shape)


def _ndtr(scores):
    """Return the standard normal's distribution function, exact in its tail."""
    if is_torch(scores):
        import torch

        # Its own ndtr is 0 from 8 standard deviations on.
        return 0.5 * torch.special.erfc(-(0.5**0.5) * scores)
    return ndtr(scores)


def quantile(mixture, q):
    """Invert the distribution function; see `Mixture.quantile`."""
    _check_one_feature(mixture, "quantile")
    levels = _check_levels(q)
    batch = as_batch(mixture)
    n, n_components = batch.means.shape[:2]
    scales = batch.scales()[..., 0]
    values = np.empty(levels.size * n)
    for block in row_blocks(len(values), n_components):
        pair = np.arange(block.start, block.stop)
        rows = pair % n
        values[pair] = _invert(
            levels.ravel()[pair // n],
            take_rows(batch.weights, rows),
            take_rows(batch.means, rows)[..., 0],
            take_rows(scales, rows),
        )
    shape = (*levels.shape, *mixture.means.shape[:-2])
    return asarray_like(values.reshape(shape), mixture.means)


def _invert(levels, weights, means, scales):
    """Solve for one value per level, in mixtures (m or 1, K)."""
    # Quantiles of the upper half are mirrored, where 1 - q is exact.
    upper = levels > 0.5
    side = np.where(upper, -1.0, 1.0)
    target = ndtri(np.where(upper, 1.0 - levels, levels))
    weights = weights / weights.sum(-1, keepdims=True)
    means = side[:, None] * means
    weights, scales = (np.broadcast_to(a, means.shape) for a in (weights, scales))
    with np.errstate(all="ignore"):
        return side * _solve(target, weights, means, scales)


def _solve(target, weights, means, scales):
    r"""Solve :math:`\Phi^{-1}(F(x)) = t` by Newton's method between bounds."""
    limit = np.finfo(np.float64).max / 4
    ends = np.clip(means + scales * target[:, None], -limit, limit)
    low = np.where(weights > 0, ends, np.inf).min(axis=-1)
    high = np.where(weights > 0, ends, -np.inf).max(axis=-1)
    x = np.clip((weights * ends).sum(axis=-1), low, high)
    answer, left = x.copy(), np.arange(len(x))
    last = np.full(len(x), np.inf)
    for _ in range(MAX_STEPS):
        gap, newton = _newton(x, target, weights, means, scales)
        low, high = np.where(gap < 0, x, low), np.where(gap < 0, high, x)
        halved = np.abs(gap) <= 0.5 * last
        fits = halved & (newton >= low) & (newton <= high)
        x = np.where(fits, newton, 0.5 * (low + high))
        answer[left] = x
        width = high - low
        close = np.abs(gap) <= TOLERANCE * (1 + np.abs(target))
        open_ = ~close & (width > 4e-16 * np.abs(x))
        if not open_.any():
            break
        last = np.abs(gap)
        keep = (left, x, low, high, last, target, weights, means, scales)
        left, x, low, high, last, target, weights, means, scales = (
            array[open_] for array in keep
        )
    return answer


def _newton(x, target, weights, means, scales):
    """Return the distance to the target and the proposed value."""
    scores = (x[:, None] - means) / scales
    level = ndtri(np.minimum((weights * ndtr(scores)).sum(axis=-1), 1.0))
    density = (weights / scales * np.exp(-0.5 * scores * scores)).sum(axis=-1)
    gap = level - target
    return gap, x - gap * np.exp(-0.5 * level * level) / density


def _check_one_feature(mixture, name):
    """Refuse a mixture of several features."""
    if mixture.n_features != 1:
        raise ValueError(
            f"{name} needs a mixture of one feature, and this one has "
            f"{mixture.n_features}. Take the marginal of one, `marginal([0])`."
        )


def _check_values(mixture, y):
    """Return values in the library of the mixture, as many as it has mixtures."""
    y = convert(y, mixture.means, "y")
    leading = tuple(mixture.means.shape[:-2])
    if y.ndim and leading and tuple(y.shape[-len(leading) :]) != leading:
        raise ValueError(
            f"y has shape {tuple(y.shape)} but there is one mixture for each of "
            f"{leading} samples. Give a number or an array whose last axes have that "
            "length; `y.ravel()` makes a column a row."
        )
    find_missing(y, "raise", "y")
    return y


def _check_levels(q):
    """Return levels between 0 and 1 as an array."""
    try:
        levels = np.asarray(q, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"q={q!r} cannot be read as numbers between 0 and 1.") from (
            error
        )
    if not np.all((levels > 0) & (levels < 1)):
        raise ValueError(
            f"q={q!r} must lie strictly between 0 and 1: the density has no ends."
        )
    return levels

"""Mixtures from quantiles, histograms and samples, and as distributions of torch."""

from numbers import Real

import numpy as np
from scipy.stats import norm

from skgmje._backend import as_floats, asarray_like, check_torch, namespace, to_numpy
from skgmje.gaussian._checks import convert, is_checked, spreads
from skgmje.gaussian._covariance import widen
from skgmje.gaussian._covariance_type import map_arrays
from skgmje.gaussian._density import log_weights

# Standard deviation of a component in widths of its bar. Of all factors this one leaves
# the least CRPS between a mixture and the histogram of 3 to 30 bars of a Gaussian,
# within a tenth of its best; 12^-1/2, which keeps the variance, leaves 2 to 6 times it.
_WIDTH = 0.36

# What tells equal numbers apart, by a smallest difference that only the user knows.
_RAMP = "width * np.arange({}), with a small width"


def from_histogram(edges, probabilities):
    """Return weights, means and variances of bars; see `Mixture.from_histogram`."""
    edges, bars = _read(edges, "edges"), _read(probabilities, "probabilities")
    if bars.shape[-1:] != (edges.shape[-1] - 1,) or not bars.shape[-1]:
        raise ValueError(
            f"edges has shape {edges.shape} and probabilities {bars.shape}; the last "
            "axis of edges must be one longer than that of probabilities, which needs "
            "at least one bar."
        )
    remedy = f"Bars of no width are mended by edges + {_RAMP.format('n_edges')}."
    widths = _check_ascending(edges, "edges", remedy)
    total = bars.sum(axis=-1, keepdims=True)
    if not ((bars >= 0).all() and (total > 0).all()):
        raise ValueError(
            f"probabilities has a least entry of {bars.min():g} and a least sum of "
            f"{total.min():g}. No bar may be negative, and one must not be empty."
        )
    weights, widths, means = np.broadcast_arrays(bars / total, widths, _middle(edges))
    return _as_given(probabilities, weights, means, _WIDTH * widths)


def from_quantiles(levels, values):
    """Return weights, means and variances; see `Mixture.from_quantiles`."""
    given, levels, values = values, _read(levels, "levels"), _read(values, "values")
    if levels.ndim != 1 or len(levels) < 2 or values.shape[-1:] != levels.shape:
        raise ValueError(
            f"levels has shape {levels.shape} and values {values.shape}; give at least "
            "two levels, shape (n_levels,), and one value for each in the last axis."
        )
    _check_ascending(levels, "levels", "Sort both, without repetitions.")
    if not (levels[0] > 0 and levels[-1] < 1):
        raise ValueError(
            f"levels={levels} must lie strictly between 0 and 1: give edges and "
            "probabilities to from_histogram if the density has ends."
        )
    remedy = "Quantiles that cross are mended by np.sort(values), equal ones by adding "
    remedy += f"{_RAMP.format('n_levels')} to that."
    widths = _check_ascending(values, "values", remedy)
    shape = (*values.shape[:-1], 1)
    below, above = _tail(levels, values), _tail(1 - levels[::-1], -values[..., ::-1])
    means = [below[0].reshape(shape), _middle(values), -above[0].reshape(shape)]
    scales = [below[1].reshape(shape), _WIDTH * widths, above[1].reshape(shape)]
    means, scales = np.concatenate(means, -1), np.concatenate(scales, -1)
    weights, scales = _weigh(levels, values, means, scales)
    weights = np.maximum(weights, 0)
    weights /= weights.sum(axis=-1, keepdims=True)
    return _as_given(given, weights, means, scales)


def _weigh(levels, values, means, scales):
    """Return weights that solve P(y <= quantile) = level, and scales that have some."""
    rows = norm.cdf((values[..., :, None] - means[..., None, :]) / scales[..., None, :])
    rows = np.concatenate([rows, np.ones_like(rows[..., :1, :])], axis=-2)
    wanted = np.broadcast_to(np.append(levels, 1.0), means.shape)[..., None]
    weights = np.linalg.solve(rows, wanted)[..., 0]
    bad = (weights < -1e-12).any(axis=-1)
    if bad.any():
        # Narrower ones overlap less; those without overlap have the gaps' weights.
        parts = values[bad], means[bad], 0.9 * scales[bad]
        weights[bad], scales[bad] = _weigh(levels, *parts)
    return weights, scales


def _tail(levels, values):
    """Return mean and deviation below the first quantile of a Gaussian through two."""
    first, second = norm.ppf(levels[:2])
    unit = (values[..., 1] - values[..., 0]) / (second - first)
    hazard = norm.pdf(first) / levels[0]
    deviation = np.sqrt(1 - hazard * (first + hazard))
    return values[..., 0] - unit * (first + hazard), unit * deviation


def _read(values, name):
    """Return finite numbers."""
    values = convert(values, np.empty(0), name)
    if not values.ndim or not np.isfinite(values).all():
        raise ValueError(f"{name}={values} must be an array of finite numbers.")
    return values


def _as_given(given, weights, means, scales):
    """Return parameters in single precision if that is what was given."""
    dtype = np.result_type(getattr(given, "dtype", float), np.float32)
    arrays = weights, means[..., None], scales**2
    return *(array.astype(dtype) for array in arrays), "spherical"


def _middle(edges):
    """Return the middles between edges."""
    return edges[..., 1:] / 2 + edges[..., :-1] / 2


def _check_ascending(values, name, remedy):
    """Return the differences of values; raise if one is not positive."""
    widths, sizes = np.diff(values, axis=-1), np.spacing(np.abs(values))
    # A middle needs room between the ends.
    if not (widths > 16 * np.maximum(sizes[..., 1:], sizes[..., :-1])).all():
        row = np.unravel_index(widths.argmin(), widths.shape)[:-1]
        place = f" in row {', '.join(map(str, row))}" if row else ""
        raise ValueError(
            f"{name} must ascend, and a difference{place} is {widths.min():g}. {remedy}"
        )
    return widths


def from_samples(X, sample_weight, bandwidth):
    """Return a kernel for each sample; see `Mixture.from_samples`."""
    (X,) = as_floats(X)
    if X.ndim < 2 or not X.shape[-2]:
        raise ValueError(
            f"X has shape {tuple(X.shape)}; expected (n_samples, n_features), or one "
            "more axis before for one mixture per sample. Use X[:, None] for a column."
        )
    xp = namespace(X)
    if is_checked(X) and not bool(xp.all(xp.isfinite(X))):
        raise ValueError("X has NaN or infinite entries. Remove or impute them.")
    weights = _shares(X, sample_weight)
    if bandwidth is not None:
        is_number = isinstance(bandwidth, Real) and not isinstance(bandwidth, bool)
        if not (is_number and 0 < bandwidth < float("inf")):
            raise ValueError(
                f"bandwidth={bandwidth!r} must be a positive number, or None."
            )
        return weights, X, bandwidth**2 * xp.ones_like(weights), "spherical"
    # As many samples of equal weight say as much.
    size = 1 / xp.sum(weights**2, axis=-1)
    diff = X - xp.sum(weights[..., None] * X, axis=-2, keepdims=True)
    scatter = xp.matrix_transpose(weights[..., None] * diff) @ diff
    _check_spread(X, weights, size, scatter)
    factor = size / (size - 1) * size ** (-2 / (X.shape[-1] + 4))
    return weights, X, factor[..., None, None] * scatter, "tied"


def _shares(X, sample_weight):
    """Return the weights of samples, of sum one."""
    xp = namespace(X)
    ones = xp.ones_like(X[..., 0])
    if sample_weight is not None:
        weight = convert(sample_weight, X, "sample_weight")
        if not spreads(tuple(weight.shape), tuple(ones.shape), 1):
            raise ValueError(
                f"sample_weight has shape {tuple(weight.shape)}; X of shape "
                f"{tuple(X.shape)} takes {tuple(ones.shape)}, one for each sample."
            )
        ones = ones * weight
    total = xp.sum(ones, axis=-1, keepdims=True)
    sums = (total > 0) & xp.isfinite(total)
    if is_checked(ones) and not (bool((ones >= 0).all()) and bool(sums.all())):
        raise ValueError(
            f"sample_weight has a least entry of {float(xp.min(ones)):g} and a least "
            f"sum of {float(xp.min(total)):g}. None may be negative or infinite, and "
            "one must not be zero."
        )
    return ones / total


def _check_spread(X, weights, size, scatter):
    """Raise if the covariance of samples has no inverse."""
    d = X.shape[-1]
    regular = X.shape[-2] > d
    if regular and is_checked(scatter):
        rows, scatter, size = map(to_numpy, (X, scatter, size))
        # In units of the deviations, none where rounding of a mean looks like one.
        scales = np.sqrt(np.diagonal(scatter, axis1=-2, axis2=-1))
        least = 8 * np.spacing(np.abs(rows).max(axis=-2)) + np.finfo(rows.dtype).tiny
        inverse = np.where(scales > least, 1 / np.maximum(scales, least), 0.0)
        unit = scatter * inverse[..., :, None] * inverse[..., None, :]
        tolerance = 16 * d * np.finfo(unit.dtype).eps
        ranks = np.linalg.matrix_rank(unit, tol=tolerance, hermitian=True)
        regular = (size > 1).all() and (ranks == d).all()
    if not regular:
        n_samples = int(namespace(X).min(namespace(X).sum(weights > 0, axis=-1)))
        raise ValueError(
            "bandwidth=None takes the covariance of the samples, which needs more "
            "samples than features, no constant feature and none that is a combination "
            f"of others: X has {n_samples} samples of positive weight and {d} "
            "features. Give a bandwidth."
        )


def to_torch(mixture):
    """Return the distribution of torch; see `Mixture.to_torch`."""
    check_torch("Mixture.to_torch", ["torch"])
    import torch
    from torch import distributions

    kind = mixture.covariance_type
    like = torch.empty(0, dtype=getattr(torch, str(mixture.means.dtype).split(".")[-1]))

    def tensor(array):
        return array if torch.is_tensor(array) else asarray_like(array.copy(), like)

    weights, means = tensor(mixture.weights), tensor(mixture.means)
    if kind == "low-rank":
        factors = map_arrays(tensor, mixture.covariances)
        parts = distributions.LowRankMultivariateNormal(means, *factors)
    elif kind in ("diag", "spherical"):
        scales = tensor(widen(mixture, "diag")) ** 0.5
        parts = distributions.Independent(distributions.Normal(means, scales), 1)
    else:
        covariances = tensor(widen(mixture, "full"))
        parts = distributions.MultivariateNormal(means, covariances)
    shares = distributions.Categorical(logits=log_weights(weights))
    return distributions.MixtureSameFamily(shares, parts)

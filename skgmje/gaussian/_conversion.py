"""Mixtures from quantiles, histograms and samples, and as distributions of torch."""

from numbers import Real

import numpy as np
from scipy.optimize import nnls
from scipy.stats import norm

from skgmje._backend import as_floats, asarray_like, check_torch, namespace
from skgmje.gaussian._checks import convert, is_checked
from skgmje.gaussian._covariance import widen
from skgmje.gaussian._covariance_type import map_arrays
from skgmje.gaussian._density import log_weights

# Standard deviation of a component in widths of its bar. Of all factors this one leaves
# the least CRPS between a mixture and the histogram of 3 to 30 bars of a Gaussian,
# within a tenth of its best; 12^-1/2, which keeps the variance, leaves 2 to 6 times it.
_WIDTH = 0.36


def from_histogram(edges, probabilities):
    """Return weights, means and variances of bars; see `Mixture.from_histogram`."""
    edges, bars = _read(edges, "edges"), _read(probabilities, "probabilities")
    if bars.shape[-1:] != (edges.shape[-1] - 1,) or not bars.shape[-1]:
        raise ValueError(
            f"edges has shape {edges.shape} and probabilities {bars.shape}; the last "
            "axis of edges must be one longer than that of probabilities, which needs "
            "at least one bar."
        )
    widths = _check_ascending(edges, "edges", "Drop bars of no width.")
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
    remedy = "Quantiles that cross are mended by np.sort(values); drop equal ones."
    widths = _check_ascending(values, "values", remedy)
    shape = (*values.shape[:-1], 1)
    below, above = _tail(levels, values), _tail(1 - levels[::-1], -values[..., ::-1])
    means = [below[0].reshape(shape), _middle(values), -above[0].reshape(shape)]
    scales = [below[1].reshape(shape), _WIDTH * widths, above[1].reshape(shape)]
    means, scales = np.concatenate(means, -1), np.concatenate(scales, -1)
    # As many weights as there are quantiles and a sum: P(y <= quantile) = level.
    rows = norm.cdf((values[..., :, None] - means[..., None, :]) / scales[..., None, :])
    rows = np.concatenate([rows, np.ones((*shape[:-1], 1, means.shape[-1]))], axis=-2)
    wanted = np.append(levels, 1.0)
    weights = np.linalg.solve(rows, np.broadcast_to(wanted, means.shape)[..., None])
    weights = weights[..., 0]
    for place in map(tuple, np.argwhere((weights < 0).any(axis=-1))):
        weights[place] = nnls(rows[place], wanted)[0]
    weights /= weights.sum(axis=-1, keepdims=True)
    return _as_given(given, weights, means, scales)


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
    widths = np.diff(values, axis=-1)
    if not (widths > 0).all():
        raise ValueError(
            f"{name} must ascend, and a difference is {widths.min():g}. {remedy}"
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
    ones = xp.ones_like(X[..., 0])
    if sample_weight is not None:
        ones = ones * convert(sample_weight, X, "sample_weight")
    total = xp.sum(ones, axis=-1, keepdims=True)
    if is_checked(ones) and not (bool((ones >= 0).all()) and bool((total > 0).all())):
        raise ValueError(
            f"sample_weight has a least entry of {float(xp.min(ones)):g} and a least "
            f"sum of {float(xp.min(total)):g}. None may be negative, and one must not "
            "be zero."
        )
    weights = ones / total
    if bandwidth is not None:
        if not (isinstance(bandwidth, Real) and bandwidth > 0):
            raise ValueError(
                f"bandwidth={bandwidth!r} must be a positive number, or None."
            )
        return weights, X, bandwidth**2 * xp.ones_like(ones), "spherical"
    if X.shape[-2] == 1:
        raise ValueError("bandwidth=None needs a spread, and X has one sample only.")
    # As many samples of equal weight say as much.
    size = 1 / xp.sum(weights**2, axis=-1)
    diff = X - xp.sum(weights[..., None] * X, axis=-2, keepdims=True)
    scatter = xp.matrix_transpose(weights[..., None] * diff) @ diff
    factor = size / (size - 1) * size ** (-2 / (X.shape[-1] + 4))
    return weights, X, factor[..., None, None] * scatter, "tied"


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

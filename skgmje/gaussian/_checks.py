"""Parameters, samples and indices, checked and in one form."""

import math
from collections.abc import Sequence
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from skgmje._backend import (
    as_float,
    asarray_like,
    is_at_hand,
    is_torch,
    namespace,
    to_numpy,
    unmasked,
)
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._covariance_type import collapse, is_shared, map_arrays, once, own


def is_checked(array):
    """Return whether looking at the values of `array` is cheap and harmless."""
    return is_at_hand(array) and not getattr(array, "requires_grad", False)


def convert(values, like, name):
    """Return `values` as an array of the library, dtype and device of `like`."""
    if is_torch(values):
        if not is_torch(like):
            raise TypeError(
                f"{name} is a torch tensor but the mixture holds NumPy arrays. Call "
                f"`{name}.numpy(force=True)`, or build the mixture from tensors."
            )
        return values.to(dtype=like.dtype, device=like.device)
    values = _as_numbers(values, name)
    with np.errstate(over="ignore"):
        return asarray_like(values, like)


def _as_numbers(values, name):
    """Return a NumPy array of real numbers, single precision if it was given so."""
    try:
        values = np.asarray(unmasked(values))
        if values.dtype.kind in "cMm":
            raise TypeError(f"they are of the type {values.dtype}")
        single = values.dtype == np.float32
        return values.astype(np.float32 if single else np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} cannot be read as real numbers: {error}. Give a dense array."
        ) from error


def check_layers(sizes, example=(64, 64), *, may_be_empty=True):
    """Return the sizes of hidden layers as a tuple of positive integers."""
    known = isinstance(sizes, Sequence | np.ndarray) and getattr(sizes, "ndim", 1) == 1
    known = known and (may_be_empty or len(sizes) > 0)
    if not known or not all(
        isinstance(size, Integral) and not isinstance(size, bool) and size > 0
        for size in sizes
    ):
        least = "" if may_be_empty else " and at least one"
        raise ValueError(
            f"hidden_layer_sizes={sizes!r} must hold positive integers, one "
            f"per layer{least}, for example {example}."
        )
    return tuple(map(int, sizes))


def check_type(covariance_type):
    """Raise if there is no such covariance type."""
    if covariance_type not in COVARIANCE_TYPES:
        raise ValueError(
            f"covariance_type={covariance_type!r} is not known. "
            f"Choose one of {sorted(COVARIANCE_TYPES)}."
        )


def check_parameters(weights, means, covariances, covariance_type):
    """Return the four parameters of a mixture as arrays that fit together."""
    check_type(covariance_type)
    means = as_float(means) if is_torch(means) else _as_numbers(means, "means")
    if means.ndim < 2:
        raise ValueError(
            f"means has shape {tuple(means.shape)}; expected (n_components, "
            "n_features), or one more axis before for one mixture per sample."
        )
    weights = convert(weights, means, "weights")
    covariances = _check_structure(covariances, covariance_type)
    covariances = map_arrays(lambda c: convert(c, means, "covariances"), covariances)
    covariances = map_arrays(own, covariances)
    means, weights = own(means), own(weights)
    shapes = _core_shapes(means, covariances, covariance_type)
    spread = partial(_spread, means, covariance_type)
    weights = spread("weights", weights, (means.shape[-2],))
    covariances = map_arrays(partial(spread, "covariances"), covariances, shapes)
    if is_checked(means) and is_checked(weights):
        _check_values(weights, means, covariances, covariance_type)
    return weights, means, covariances


def _core_shapes(means, covariances, covariance_type):
    """Return the expected shapes without leading axes, one for each array."""
    first = _arrays(covariances)[0]
    rank = first.shape[-1] if first.ndim else 1
    if rank == 0:
        raise ValueError(
            f"covariances has an array of shape {tuple(first.shape)} without entries. "
            "Use at least one factor, or covariance_type='diag'."
        )
    return COVARIANCE_TYPES[covariance_type].shapes(*means.shape[-2:], rank)


def _arrays(covariances):
    """Return the arrays of covariances as a tuple."""
    return covariances if isinstance(covariances, tuple) else (covariances,)


def _check_structure(covariances, covariance_type):
    """Return `covariances` as one array, or as a tuple of them."""
    n_arrays = len(COVARIANCE_TYPES[covariance_type].shapes(1, 1))
    if n_arrays == 1 and not isinstance(covariances, tuple):
        return covariances
    several = n_arrays > 1 and isinstance(covariances, tuple | list)
    if several and len(covariances) == n_arrays:
        return tuple(covariances)
    expected = f"{n_arrays} arrays" if n_arrays > 1 else "one array"
    raise ValueError(
        f"covariances must be {expected} for covariance_type={covariance_type!r}; "
        f"got {type(covariances).__name__}. A low-rank type takes the pair (factors, "
        "diagonal), other types one array."
    )


def _spread(means, covariance_type, name, array, shape):
    """Check the shape of an array; give what the mixtures share their leading axes."""
    target = tuple(means.shape[:-2]) + shape
    if not spreads(tuple(array.shape), target, len(shape)):
        raise ValueError(
            f"{name} has shape {tuple(array.shape)}; with means of shape "
            f"{tuple(means.shape)} and covariance_type={covariance_type!r} it "
            f"must be {target}. Reshape it or change covariance_type."
        )
    # NumPy's views are read-only, so none is made without need.
    if tuple(array.shape) == target:
        return array
    return namespace(array).broadcast_to(array, target)


def spreads(shape, target, n_core):
    """Return whether `shape` has the core of `target` and can take its leading axes."""
    if len(shape) < n_core or shape[len(shape) - n_core :] != target[-n_core:]:
        return False
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def _check_values(weights, means, covariances, covariance_type):
    """Check that the parameters are finite and those of a mixture."""
    xp = namespace(means)
    # What all mixtures share is looked at once.
    weights, covariances = (once(a, means.ndim - 2) for a in (weights, covariances))
    for name, arrays in (("means", (means,)), ("covariances", _arrays(covariances))):
        if not all(bool(xp.all(xp.isfinite(array))) for array in arrays):
            raise ValueError(
                f"{name} has NaN or infinite entries; they must be finite."
            )
    kind = COVARIANCE_TYPES[covariance_type]
    variances = kind.variances(covariances)
    if not bool(xp.all(variances > 0)):
        least = float(to_numpy(xp.min(variances)))
        raise ValueError(
            f"covariances has a variance of {least:g}; variances must be positive. "
            "Add a small number to them, as reg_covar of an estimator does."
        )
    kind.check(covariances)
    if not bool(xp.all(weights >= 0)):
        raise ValueError(
            f"weights has an entry of {float(xp.min(weights)):g}; weights must be "
            "non-negative numbers. Use a softmax, or clip and divide by the sum."
        )
    gaps = xp.abs(xp.sum(weights, axis=-1) - 1)
    limit = 1e-5 if xp.finfo(weights.dtype).eps < 1e-10 else 1e-3
    if not bool(xp.all(gaps <= limit)):
        raise ValueError(
            f"weights must sum to one over the components; they are off by "
            f"{float(xp.max(gaps)):g}. Divide them by their sum."
        )


def check_rows(X, mixture, name="X"):
    """Return `X` as an array of shape (..., n_features) that fits `mixture`."""
    means = mixture.means
    X = convert(X, means, name)
    if X.ndim == 0 or X.shape[-1] != means.shape[-1]:
        raise ValueError(
            f"{name} has shape {tuple(X.shape)}; its last axis must hold the "
            f"{means.shape[-1]} features of the mixture. Use `{name}.reshape(-1, "
            f"{means.shape[-1]})` or select columns."
        )
    leading = tuple(means.shape[:-2])
    try:
        np.broadcast_shapes(tuple(X.shape[:-1]), leading)
    except ValueError:
        raise ValueError(
            f"{name} has shape {tuple(X.shape)} but there is one mixture for each of "
            f"{leading} samples: sample i goes with mixture i. Give as many samples as "
            "mixtures; further axes before them broadcast."
        ) from None
    xp = namespace(X)
    if is_checked(X) and not _all_finite(X) and bool(xp.any(xp.isinf(X))):
        raise ValueError(
            f"{name} has entries that are infinite in {X.dtype}. Remove those samples, "
            "clip or scale them."
        )
    return X


def _all_finite(X):
    """Return whether all entries are finite; False may also mean a huge sum."""
    xp = namespace(X)
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(xp.isfinite(xp.sum(X)))


def check_sample_weight(sample_weight, X, name="sample_weight", *, may_be_zero=False):
    """Return weights of samples, or raise if they are none."""
    if sample_weight is None:
        return None
    xp, shape, n = namespace(sample_weight), tuple(sample_weight.shape), X.shape[0]
    low = high = 0.0
    if math.prod(shape):
        low, high = float(xp.min(sample_weight)), float(xp.max(sample_weight))
    # Written so that NaN is none, too.
    is_valid = 0 <= low <= high < np.inf and (high > 0 or may_be_zero)
    if shape != (n,) or not is_valid:
        zero = "" if may_be_zero else ", not all zero"
        raise ValueError(
            f"{name} must be {n} finite numbers, not negative{zero}, one for each "
            f"sample; it has the shape {shape}, and entries from {low:g} to {high:g}. "
            "Clip weights, or drop such samples."
        )
    return sample_weight


def check_missing(missing):
    """Raise if `missing` is not a word for what NaN means."""
    if missing not in ("raise", "marginal"):
        raise ValueError(f"missing={missing!r}; choose 'raise' or 'marginal'.")


def find_missing(X, missing, name="X"):
    """Return the NaN mask of `X` as a NumPy array, or None if nothing is missing."""
    check_missing(missing)
    if missing == "raise" and not is_checked(X):
        return None
    mask = None if _all_finite(X) else to_numpy(namespace(X).isnan(X))
    if mask is None or not mask.any():
        return None
    if missing == "raise":
        raise ValueError(
            f"{name} has {int(mask.sum())} NaN in {int(mask.any(-1).sum())} rows. "
            "Remove or impute them, or pass missing='marginal' where it is offered "
            "to score those samples under the marginal of what they show."
        )
    return mask


def patterns(X):
    """Yield ``(rows, observed)`` for each pattern of missing entries."""
    masks, inverse = np.unique(np.isnan(X), axis=0, return_inverse=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    counts = np.bincount(inverse.ravel(), minlength=len(masks))
    for mask, rows in zip(masks, np.split(order, np.cumsum(counts)[:-1]), strict=True):
        yield rows, ~mask


def check_indices(indices, n_features):
    """Return `indices` as a list of distinct, non-negative Python integers."""
    axis = np.arange(n_features)
    wanted = indices if isinstance(indices, slice) else np.asarray(indices)
    try:
        chosen = np.atleast_1d(axis[wanted])
    except IndexError as error:
        raise ValueError(
            f"indices={indices!r} are not features of a mixture with {n_features} "
            f"features. Use integers from 0 to {n_features - 1}."
        ) from error
    if chosen.ndim > 1 or not 0 < len(chosen) == len(np.unique(chosen)):
        raise ValueError(
            f"indices={indices!r} must name at least one feature, none of them twice."
        )
    return chosen.tolist()


def check_partner(first, second):
    """Raise if two mixtures do not live in the same space."""
    if not isinstance(second, type(first)):
        raise TypeError(
            f"other is a {type(second).__name__}; it must be a Mixture. "
            "skgmje.as_mixture makes one of a fitted estimator."
        )
    if is_torch(first.means) != is_torch(second.means):
        raise TypeError(
            "other holds arrays of another library than this mixture. Convert one "
            "of them: both NumPy arrays, or both torch tensors."
        )
    if first.n_features != second.n_features:
        raise ValueError(
            f"other has {second.n_features} features but this mixture has "
            f"{first.n_features}. Take a marginal of one of them."
        )
    own, others = (tuple(mixture.means.shape[:-2]) for mixture in (first, second))
    if own and others and own != others:
        raise ValueError(
            f"other has leading axes {others} but this mixture has {own}. Give one "
            "mixture for each of this one's, or one without leading axes."
        )


def check_single(mixture):
    """Return a mixture; raise if it is one for each of several samples."""
    leading = tuple(mixture.means.shape[:-2])
    if leading:
        raise ValueError(
            f"There are several mixtures of shape {leading}, one for each sample, "
            "where one is meant. Index one sample: mixture[0] is that of the first."
        )
    return mixture


def check_map(A, b, mixture):
    """Return the two parts of an affine map as arrays that fit `mixture`."""
    means, d = mixture.means, mixture.n_features
    A, b = convert(A, means, "A"), convert(b, means, "b")
    fits = (A.ndim == 0, A.shape == (d,), A.ndim == 2 and A.shape[0] <= d == A.shape[1])
    if not any(fits):
        raise ValueError(
            f"A has shape {tuple(A.shape)}; it must be a scalar, have shape ({d},), or "
            f"be a matrix of shape (m, {d}) with m <= {d}."
        )
    n_out = A.shape[0] if A.ndim == 2 else d
    if b.ndim and b.shape[-1] != n_out:
        raise ValueError(
            f"b has shape {tuple(b.shape)}; it must be a scalar or have shape "
            f"({n_out},), the features of the result."
        )
    if is_checked(A) and _loses_rank(to_numpy(A)):
        raise ValueError(
            "A must have full row rank, else the result has no density. Remove "
            "zero factors, or rows that are combinations of others."
        )
    return A, b


def _loses_rank(A):
    """Return whether a linear map is not invertible."""
    if A.ndim < 2:
        return not np.all(A != 0)
    return np.linalg.matrix_rank(A) < len(A)


class Batch(NamedTuple):
    """Arrays of n mixtures; what all of them share has length one instead of n."""

    weights: Any
    means: Any
    covariances: Any
    covariance_type: str

    @property
    def kind(self):
        """The covariance type."""
        return COVARIANCE_TYPES[self.covariance_type]

    def take(self, rows):
        """Return some of the mixtures, by a slice or an array of their numbers."""
        return self._replace(
            weights=take_rows(self.weights, rows),
            means=self.means[rows],
            covariances=map_arrays(lambda c: take_rows(c, rows), self.covariances),
        )

    def scales(self):
        """Return the standard deviations of the features, (n or 1, K, d)."""
        shape = self.means.shape[-2:]
        return self.kind.diagonal(self.covariances, *shape) ** 0.5


def take_rows(array, rows):
    """Select along the first axis, unless it has length one and serves all."""
    return array if len(array) == 1 else array[rows]


def as_batch(mixture):
    """Return the arrays of a mixture, or of one for each sample, flattened."""
    mixture = mixture.to_numpy()
    n_leading = mixture.means.ndim - 2
    size = math.prod(mixture.means.shape[:-2])

    def flat(array):
        n_core = array.ndim - n_leading
        own = collapse(array, n_core) if n_leading else array
        core = array.shape[n_leading:]
        if n_leading and is_shared(own, n_core):
            return np.asarray(own, np.float64).reshape(1, *core)
        return np.asarray(array, np.float64).reshape(size, *core)

    return Batch(
        flat(mixture.weights),
        np.asarray(mixture.means, np.float64).reshape(size, *mixture.means.shape[-2:]),
        map_arrays(flat, mixture.covariances),
        mixture.covariance_type,
    )

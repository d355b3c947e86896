"""Gram matrices of two Gaussian kernel densities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from skgmje._backend import (
    LOG_2PI,
    as_array_of,
    detach,
    is_at_hand,
    is_torch,
    logsumexp,
    namespace,
    to_numpy,
)
from skgmje._settings import own_errors
from skgmje._typing import Array
from skgmje.gaussian._pairs import (
    Scales,
    as_points,
    check_variance,
    column_sums,
    each_scale,
    log_correlation,
    sum_over_columns,
)

_OF_DATA_ALONE = {
    "log_xx",
    "log_xx_diagonal",
    "log_correlation_xx",
    "log_row_masses",
    "log_data_scale",
    "log_data_norm",
}


@dataclass(frozen=True, eq=False)
class Bandwidths:
    r"""Several bandwidths at once: a sum of kernels from narrow to wide.

    Handed to :func:`grams` in place of one bandwidth. A function around x then has
    one part for each scale s, a Gaussian kernel of unit norm and share w of the
    whole, so that the inner product of two functions is

    .. math:: k(x, y) = h_p h_q \sum_s w_s \frac{N(x - y; v_{p,s} + v_{q,s})}
        {\sqrt{N(0; 2 v_{p,s}) N(0; 2 v_{q,s})}}, \qquad
        h = \prod_s N(0; 2 v_s)^{w_s / 2},

    which is :math:`h^2 \sum_s w_s \exp(-\|x - y\|^2 / 4 v_s)` where data and model
    have equal bandwidths. Kernels of one height are summed, not densities, of which
    the narrowest alone would count in many dimensions; weights proportional to
    :math:`N(0; 2 v_s)` give the sum of densities back. The constants h cancel from
    the costs.

    Parameters
    ----------
    values : sequence of S bandwidths
        One for each scale, in any order. Each is what :func:`grams` takes as
        `bandwidth`: a float, an array, or a tuple (data, model) of them.

    weights : sequence of S floats, default=None
        Positive weights of the scales; their sum does not matter. None: all
        equal.

    Raises
    ------
    ValueError
        If there is no bandwidth, or weights that are not one positive, finite
        number for each.

    See Also
    --------
    skgmje.em.multiscale_bandwidths : Five of them or more, from the data.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`
       The costs. Several bandwidths in them were added here.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import scalar_cost
    >>> from skgmje.gaussian import Bandwidths, grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(scalar_cost(grams(X, X[:2], Bandwidths([0.25, 0.5, 1.0])))), 3)
    0.208
    """

    values: Any
    weights: Any = None

    def __post_init__(self):
        if not (np.iterable(self.values) and len(self.values)):
            raise ValueError(
                f"values must hold one bandwidth or more, got {self.values!r}. Give a "
                "sequence, as [0.5, 1.0, 2.0]."
            )
        weights, shape = self._weights, (len(self.values),)
        positive = (weights > 0) & (weights < np.inf)
        if not (weights.shape == shape and np.all(positive)):
            raise ValueError(
                f"weights must be {shape[0]} positive, finite numbers, one for each "
                f"bandwidth, got {self.weights!r}. Leave out a bandwidth that must not "
                "count."
            )

    @property
    def _weights(self):
        """Weights as an array of doubles."""
        if self.weights is None:
            return np.ones(len(self.values))
        return np.asarray(to_numpy(self.weights), dtype=np.float64)

    @property
    def log_shares(self) -> Array:
        """Logarithms of the weights scaled to a sum of 1, S floats."""
        logs = np.log(self._weights)
        return tuple((logs - logsumexp(logs, axis=0)).tolist())


@dataclass(frozen=True, eq=False, repr=False)
class Grams:
    """Gram matrices of the kernels around n data points and k centers, in logs.

    Built by :func:`grams`, which says more: entry (i, j) of a Gram matrix is the
    logarithm of the inner product of two kernels. A matrix is computed when first
    asked for, and kept with its autograd history: each gradient step asks
    :func:`grams` or :meth:`with_centers` for new ones.

    Parameters
    ----------
    X : array of shape (n, d)
        Data.

    centers : array of shape (k, d)
        Centers of the model.

    data_variance : array of shape () or (n,)
        Variance of the kernels around the data; with `blocks` of shape (),
        (T,) or (n, T). Of several bandwidths a tuple of the variances, and of the
        logarithms of their shares.

    model_variance : array of shape () or (k,)
        The same of the kernels around the centers.

    blocks : tuple of T arrays of column indices, default=None
        Blocks of the product kernel.

    log_data_weights : array of shape (n,), default=None
        Logarithms of the weights of the data, which sum to 1; None: all equal.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> g = grams(X, centers=X[:2], bandwidth=0.5)
    >>> g.log_xx.shape, g.log_xy.shape, g.log_yy.shape
    ((3, 3), (3, 2), (2, 2))
    """

    X: Array
    centers: Array
    data_variance: Array
    model_variance: Array
    blocks: tuple[Array, ...] | None = None
    log_data_weights: Array = None

    def __post_init__(self):
        X, centers = as_points(self.X, self.centers)
        of_points, logs = partial(as_array_of, like=X), self.log_data_weights
        vars(self).update(
            X=X,
            centers=centers,
            data_variance=each_scale(of_points, self.data_variance),
            model_variance=each_scale(of_points, self.model_variance),
            log_data_weights=None if logs is None else of_points(logs),
        )

    @cached_property
    def log_xx(self) -> Array:
        """Log Gram matrix of the data, shape (n, n)."""
        half = self.log_xx_diagonal / 2
        return self.log_correlation_xx + half[:, None] + half

    @cached_property
    def log_xy(self) -> Array:
        """Log cross Gram matrix of data and centers, shape (n, k)."""
        rows, columns = self.log_xx_diagonal / 2, self.log_yy_diagonal / 2
        return self.log_correlation_xy + rows[:, None] + columns

    @cached_property
    def log_yy(self) -> Array:
        """Log Gram matrix of the centers, shape (k, k)."""
        half = self.log_yy_diagonal / 2
        return self.log_correlation_yy + half[:, None] + half

    @cached_property
    def log_xx_diagonal(self) -> Array:
        """Diagonal of `log_xx`, without the matrix, shape (n,)."""
        return _log_squared_norms(*self._data, self.blocks)

    @cached_property
    def log_yy_diagonal(self) -> Array:
        """Diagonal of `log_yy`, without the matrix, shape (k,)."""
        return _log_squared_norms(*self._model, self.blocks)

    @cached_property
    def log_correlation_xx(self) -> Array:
        """Matrix `log_xx` of kernels scaled to unit norm, with diagonal 0, (n, n)."""
        return log_correlation(self._data, self._data, self.blocks)

    @cached_property
    def log_correlation_xy(self) -> Array:
        """Matrix `log_xy` of kernels scaled to unit norm, at most 0, shape (n, k)."""
        return log_correlation(self._data, self._model, self.blocks)

    @cached_property
    def log_correlation_yy(self) -> Array:
        """Matrix `log_yy` of kernels scaled to unit norm, with diagonal 0, (k, k)."""
        return log_correlation(self._model, self._model, self.blocks)

    @cached_property
    def log_row_masses(self) -> Array:
        """Log-weights of the data's unit kernels, less `log_data_scale`, shape (n,)."""
        logs = self.log_xx_diagonal / 2 - self.log_data_scale
        if self.log_data_weights is None:
            return logs - math.log(self.X.shape[0])
        return logs + self.log_data_weights

    @cached_property
    def log_data_scale(self) -> Array:
        """Log norm of the data's narrowest kernel, a constant, a scalar."""
        return namespace(self.X).max(detach(self.log_xx_diagonal)) / 2

    @cached_property
    def log_data_norm(self) -> Array:
        """Log squared norm of the data density, relative to `log_data_scale`."""
        xp = namespace(self.X)
        common, logs = split_row_masses(self)
        sums, scale = column_sums(self._data, self._data, self.blocks, logs, logs)
        norm = xp.astype(xp.log(xp.sum(sums)) + scale, self.X.dtype)
        return norm + 2 * common

    def with_centers(
        self, centers: Array, model_bandwidth: float | Array | None = None
    ) -> Grams:
        """Return the Gram matrices of the same data and other centers.

        What is known about the data alone is shared.

        Parameters
        ----------
        centers : array of shape (k, d)
            Centers of the model.

        model_bandwidth : float or array, default=None
            Standard deviation of the model's kernels, of several bandwidths a
            sequence of one for each; None: as before.

        Returns
        -------
        grams : Grams
            Gram matrices with the new centers.
        """
        centers = as_array_of(centers, self.X)
        _check_points(self.X, centers)
        variance = self.model_variance
        if model_bandwidth is not None and isinstance(variance, Scales):
            variance = _variance_of_scales(model_bandwidth, centers, *variance)
        elif model_bandwidth is not None:
            variance = _as_variance(model_bandwidth, centers, "model")
        _check_shape(variance, centers, self.blocks, "model")
        new = replace(self, centers=centers, model_variance=variance)
        known = _OF_DATA_ALONE & vars(self).keys()
        vars(new).update({name: vars(self)[name] for name in known})
        return new

    @property
    def _data(self):
        return self.X, self.data_variance

    @property
    def _model(self):
        return self.centers, self.model_variance


def split_row_masses(grams):
    """Return a number, and the rest of `log_row_masses` or None where that is 0."""
    n_shared = 0 if grams.blocks is None else 1
    variances = getattr(grams.data_variance, "variances", [grams.data_variance])
    if any(variance.ndim > n_shared for variance in variances):
        return 0.0, grams.log_row_masses
    common = grams.log_xx_diagonal[0] / 2 - grams.log_data_scale
    if grams.log_data_weights is None:
        return common - math.log(grams.X.shape[0]), None
    return common, grams.log_data_weights


def _log_squared_norms(points, variance, blocks):
    """Return the log inner product of each kernel with itself, (n,)."""
    if isinstance(variance, Scales):
        pairs = zip(*variance, strict=True)
        norms = ((_log_squared_norms(points, v, blocks), w) for v, w in pairs)
        return sum(norm * math.exp(w) for norm, w in norms)
    xp = namespace(points)
    logs = -(LOG_2PI + xp.log(2 * variance)) / 2
    return sum_over_columns(logs, points, blocks) + xp.zeros_like(points[:, 0])


@own_errors
def grams(
    X: Array,
    centers: Array,
    bandwidth: Any,
    blocks: Sequence[Array] | None = None,
    log_data_weights: Array | None = None,
) -> Grams:
    r"""Compute the Gram matrices that the kernel costs read, in log space.

    Data and model are mixtures of Gaussian kernels,

    .. math:: p(x) = \sum_i a_i N(x - x_i; v_p), \qquad
        q(x) = \sum_k w_k N(x - c_k; v_q),

    and the inner products of the kernels are closed forms,

    .. math:: (K_{xx})_{ij} = N(x_i - x_j; 2 v_p), \quad
        (K_{xy})_{ik} = N(x_i - c_k; v_p + v_q), \quad
        (K_{yy})_{kl} = N(c_k - c_l; 2 v_q).

    Parameters
    ----------
    X : array of shape (n, d)
        Data.

    centers : array of shape (k, d)
        Centers, of the same array library as `X`.

    bandwidth : float, array, tuple (data, model) of them, or Bandwidths
        Standard deviation, the root of v; it may be a tensor that is learned. In a
        tuple each may be an array with one entry per sample of `X`, per center. With
        `blocks` a one-dimensional bandwidth has one entry per block, a
        two-dimensional one a row per point. Several at once, whose kernels are added
        up, are a :class:`Bandwidths`.

    blocks : sequence of T arrays of column indices, default=None
        Disjoint blocks of columns for the product kernel

        .. math:: \log K_{ij} = \sum_t \log N(x^t_i - y^t_j; v_t),

        the product over blocks t of the kernels of their columns: the Gaussian
        whose covariance has :math:`v_t I` in block t. This is our reading of
        the paper's multivariate form, whose formula was not at hand.

    log_data_weights : array of shape (n,), default=None
        Logarithms of the weights a of the data, up to a constant. A sample of
        weight 2 counts as two. None: all samples count alike.

    Returns
    -------
    grams : Grams
        Gram matrices `log_xx` (n, n), `log_xy` (n, k) and `log_yy` (k, k),
        each computed when first asked for.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> g = grams(X, centers=X[:2], bandwidth=0.5)
    >>> g.log_xy.round(2)
    array([[-0.57, -1.57],
           [-1.57, -0.57],
           [-4.57, -1.57]])
    """
    X, centers = as_points(X, centers)
    _check_points(X, centers)
    _check_data(X)
    if log_data_weights is not None:
        log_data_weights = _check_log_weights(log_data_weights, X)
    blocks = None if blocks is None else _check_blocks(blocks, X.shape[1])
    several = isinstance(bandwidth, Bandwidths)
    scales = bandwidth.values if several else [bandwidth]
    scales = [scale if isinstance(scale, tuple) else (scale, scale) for scale in scales]
    both = []
    for side, points, name in zip((0, 1), (X, centers), ("data", "model"), strict=True):
        variances = tuple(_as_variance(scale[side], points, name) for scale in scales)
        one = len(variances) == 1
        both.append(variances[0] if one else Scales(variances, bandwidth.log_shares))
        _check_shape(both[-1], points, blocks, name)
    return Grams(X, centers, *both, blocks, log_data_weights)


def _check_points(X, centers):
    """Check that data and centers have as many columns."""
    if X.ndim != 2 or centers.ndim != 2 or X.shape[1] != centers.shape[1]:
        raise ValueError(
            "X and centers must be two-dimensional with as many columns, got "
            f"shapes {tuple(X.shape)} and {tuple(centers.shape)}."
        )


def _check_data(X):
    """Check that there are data, and of those at hand that all are numbers."""
    if X.shape[0] == 0:
        raise ValueError("X has no samples, and a kernel density needs at least one.")
    # On another device the answer would have to be waited for.
    if is_at_hand(X) and not bool(namespace(X).all(namespace(X).isfinite(X))):
        raise ValueError(
            "X has missing (NaN) or infinite values, of which no kernel has a product. "
            "Drop or impute such samples."
        )


def _check_log_weights(log_data_weights, X):
    """Return one weight for each sample, of sum one, in logs."""
    logs = as_array_of(log_data_weights, X)
    if logs.shape != X.shape[:1]:
        raise ValueError(
            f"log_data_weights must have one entry for each of the {X.shape[0]} "
            f"samples of X, got shape {tuple(logs.shape)}."
        )
    return logs - logsumexp(logs, axis=0)


def _check_blocks(blocks, n_features):
    """Return blocks of columns as arrays, which hold none twice."""
    blocks = tuple(np.atleast_1d(np.asarray(block)) for block in blocks)
    columns = [column for block in blocks for column in block.tolist()]
    valid = all(block.size for block in blocks) and len(set(columns)) == len(columns)
    if not (columns and valid and set(columns) <= set(range(n_features))):
        raise ValueError(
            f"blocks must not be empty and hold each of the {n_features} columns at "
            f"most once, got {[block.tolist() for block in blocks]}."
        )
    return blocks


def _as_variance(bandwidth, like, name):
    """Return the square of a positive bandwidth."""
    if isinstance(bandwidth, Bandwidths):
        raise ValueError(
            f"The {name} bandwidth must be one bandwidth, got {bandwidth}. Give one "
            "Bandwidths for both densities, whose values may be tuples (data, model)."
        )
    # Numbers are looked at before they go to a device.
    moves = is_torch(like) and not is_torch(bandwidth)
    near = like.new_empty(0, device="cpu") if moves else like
    bandwidth = as_array_of(bandwidth, near)
    if is_at_hand(bandwidth) and not bool((bandwidth > 0).all()):
        raise ValueError(
            f"The {name} bandwidth is a standard deviation and must be positive, got "
            f"{to_numpy(bandwidth)}."
        )
    with np.errstate(over="ignore", under="ignore"):
        variance = bandwidth**2
    variance = check_variance(variance, f"The square of the {name} bandwidth")
    return variance.to(like.device) if moves else variance


def _variance_of_scales(bandwidths, centers, variances, log_shares):
    """Return the squares of as many bandwidths of the model as there were."""
    n_scales = len(variances)
    if not (np.iterable(bandwidths) and len(bandwidths) == n_scales):
        raise ValueError(
            f"model_bandwidth must be a sequence of {n_scales} bandwidths, one for "
            f"each scale, got {bandwidths!r}."
        )
    variances = tuple(_as_variance(h, centers, "model") for h in bandwidths)
    return Scales(variances, log_shares)


def _check_shape(variance, points, blocks, name):
    """Check that a variance is one, or one for each block, point or both."""
    if isinstance(variance, Scales):
        for of_scale in variance.variances:
            _check_shape(of_scale, points, blocks, name)
        return
    shared = () if blocks is None else (len(blocks),)
    shapes = [(), shared, (points.shape[0], *shared)]
    if tuple(variance.shape) not in shapes:
        raise ValueError(
            f"The {name} bandwidth must have one of the shapes {sorted(set(shapes))}, "
            f"got {tuple(variance.shape)}. Only a tuple gives data and model a "
            "bandwidth each, only a Bandwidths several at once."
        )

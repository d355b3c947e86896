"""The kernel costs: what each computes, and what it is and needs."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, NamedTuple

from skgmje._backend import logsumexp, namespace, solve_triangular
from skgmje._settings import own_errors
from skgmje._typing import Array
from skgmje.costs._values import (
    center_factor,
    density_bound,
    log_center_masses,
    log_component_weights,
    log_explained,
    log_nuclear_norm,
    log_relative_scalar,
    log_relative_vector_matrix,
    log_row_weights,
    matrix_matrix_value,
    nuclear_bound,
    optimal_weights,
    ridge_factor,
    scalar_value,
    svd_value,
    trace_bound,
    unit_optimum,
    vector_matrix_value,
)
from skgmje.gaussian import Grams, gaussian_log_gram, grams


@dataclass(frozen=True)
class Cost:
    r"""A function to minimize, and what a training must know of it.

    It is called as the function is, ``cost(grams, weights=None, jitter=None)``.
    :class:`~skgmje.mixture.KernelMixtureDensity` takes one as its `cost`. The four
    of the papers are the gaps between a value and its upper bound:

    .. math::

        \text{scalar:} \quad & \langle p, q \rangle^2 / \langle q, q \rangle
            \le \langle p, p \rangle \\
        \text{vector-matrix:} \quad & b^\top R^{-1} b \le \langle p, p \rangle \\
        \text{matrix-matrix:} \quad & \operatorname{tr}(P R^{-1} P^\top)
            \le \operatorname{tr} K_{xx} \\
        \text{svd:} \quad & \|P\|_* / \sqrt{n k} \le
            \sqrt{\operatorname{tr} K_{xx} \operatorname{tr} K_{yy} / n k}

    with :math:`b_k = \langle p, q_k \rangle`, P the cross Gram matrix of n data
    points and k centers, and R that of the centers.

    Parameters
    ----------
    function : callable
        ``function(grams, weights, jitter)`` returns a scalar array. `weights` is
        None unless `learns_weights`.

    is_density : bool or None
        Whether densities are compared, so that the variance of the components is
        that of a density, and is learned where no likelihood follows. None: this
        is not known; the variance is not learned.

    learns_weights : bool
        Whether the weights of the components are learned. Otherwise they stay
        equal, or are set by `optimal_weights`.

    learns_variance : bool, default=False
        Whether the variance is learned even where a likelihood follows.

    value, bound : callable or None, default=None
        What the papers maximize, ``value(grams, weights=None, jitter=None,
        log=False)``, and its upper bound, ``bound(grams, weights=None, log=False)``;
        None: the cost is not the gap between them.

    optimal_weights : callable or None, default=None
        Best weights for given Gram matrices, once the training is over.

    bandwidth : str or None, default=None
        What ``bandwidth="auto"`` means ('cell', 'neighbor', 'loo', 'multiscale',
        'residual', 'wide'); None: it depends on the other settings.

    identity : callable or None, default=None
        Approximation of the identity for :func:`approximate_identity`.

    Examples
    --------
    >>> from skgmje.gaussian import grams
    >>> import numpy as np
    >>> from skgmje.costs import COSTS, Cost, scalar_cost, svd_cost
    >>> def both(grams, weights=None, jitter=None):
    ...     return scalar_cost(grams, weights) + svd_cost(grams, weights, jitter)
    >>> cost = Cost(both, is_density=False, learns_weights=True)
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> pairs = grams(X, X[:2], bandwidth=0.5)
    >>> round(float(cost(pairs)), 3)
    0.403
    >>> svd = COSTS["svd"]
    >>> round(float(svd.value(pairs) / svd.bound(pairs)), 3)
    0.846
    """

    function: Callable
    _: KW_ONLY
    is_density: bool | None
    learns_weights: bool
    learns_variance: bool = False
    value: Callable | None = None
    bound: Callable | None = None
    optimal_weights: Callable | None = None
    bandwidth: str | None = None
    identity: Callable | None = None

    def __call__(self, grams, weights=None, jitter=None):
        return self.function(grams, weights, jitter)

    @property
    def __name__(self):
        return self.function.__name__

    @property
    def label(self) -> str:
        """What an axis of its values is called."""
        return "loss" if self.bound is None else "gap to the bound"


def as_cost(cost):
    """Return the cost of a name, or of a callable of which nothing else is known."""
    if isinstance(cost, Cost):
        return cost
    if isinstance(cost, str):
        return TRAINING_COSTS[cost]
    return Cost(
        lambda grams, weights, jitter: cost(grams),
        is_density=None,
        learns_weights=False,
    )


@own_errors
def scalar_cost(
    grams: Grams, weights: Array | None = None, jitter: None = None
) -> Array:
    r"""Compute the Cauchy-Schwarz divergence of data and model.

    .. math:: \log \langle p, p \rangle - 2 \log \langle p, q \rangle
        + \log \langle q, q \rangle

    Data attract centers, and centers repel each other. It is 0 where the two
    densities are equal, and else positive.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centers.

    weights : array of shape (k,), default=None
        Weights of the centers; their scale does not matter. None: all equal.

    jitter : None
        Not used: no matrix is inverted.

    Returns
    -------
    cost : scalar array
        Gap to the bound, in logarithms.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, 2025. :arxiv:`2509.24076`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import scalar_cost
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(scalar_cost(grams(X, X[:2], bandwidth=0.5))), 3)
    0.235
    """
    return grams.log_data_norm - log_relative_scalar(grams, weights)


@own_errors
def vector_matrix_cost(
    grams: Grams, weights: Array | None = None, jitter: float | None = None
) -> Array:
    r"""Compute how much of the data density no combination of the kernels explains.

    With :math:`b_k = \langle p, q_k \rangle` and R the Gram matrix of the kernels
    :math:`q_k` around the centers,

    .. math:: \log \langle p, p \rangle - \log(b^\top R^{-1} b).

    It is 0 where the data density is in the span of the kernels: more centers
    never hurt. The combination behind it is that of :func:`optimal_weights`.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centers.

    weights : array of shape (k,), default=None
        Not used: the span of the kernels does not depend on weights.

    jitter : float, default=None
        Ridge on R scaled to unit diagonal. It can only raise the cost. None:
        1e-6, in single precision 1e-4.

    Returns
    -------
    cost : scalar array
        Gap to the bound, in logarithms.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, 2025. :arxiv:`2509.24076`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import vector_matrix_cost
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(vector_matrix_cost(grams(X, X[:2], bandwidth=0.5))), 3)
    0.209
    """
    return grams.log_data_norm - log_relative_vector_matrix(grams, jitter)


@own_errors
def matrix_matrix_cost(
    grams: Grams, weights: Array | None = None, jitter: float | None = None
) -> Array:
    r"""Compute the share of the data's kernels that no combination explains.

    With P the cross Gram matrix of data and centers and R that of the centers,
    both of kernels scaled to unit norm,

    .. math:: 1 - \frac1n \operatorname{tr}(P R^{-1} P^\top),

    the mean trace of a Schur complement, between 0 and 1. It is 0 where every
    data kernel is in the span of the centers' kernels: more centers never hurt.
    It is a mean over data points, so a batch estimates it without bias.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centers.

    weights : array of shape (k,), default=None
        Not used: the span of the kernels does not depend on weights.

    jitter : float, default=None
        Ridge on R. It can only raise the cost. None: 1e-6, in single precision
        1e-4.

    Returns
    -------
    cost : scalar array
        Gap to the bound, relative to the bound.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, 2025. :arxiv:`2509.24076`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import matrix_matrix_cost
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(matrix_matrix_cost(grams(X, X[:2], bandwidth=0.5))), 3)
    0.283
    """
    xp = namespace(grams.centers)
    return 1 - xp.sum(xp.exp(log_explained(grams, jitter) + log_row_weights(grams)))


@own_errors
def svd_cost(
    grams: Grams, weights: Array | None = None, jitter: float | None = None
) -> Array:
    r"""Compute minus the log-fidelity of the operators of data and model.

    With P the cross Gram matrix of kernels scaled to unit norm, a the weights of
    the data and w those of the centers,

    .. math:: -\log \big\|\operatorname{diag}(a)^{1/2} P
        \operatorname{diag}(w)^{1/2}\big\|_*,

    where the nuclear norm is the sum of the singular values. If data and model
    have one bandwidth, it is 0 where data and centers are the same points with
    the same weights in any order, so superfluous and duplicated centers cost;
    with two bandwidths it stays positive. Nothing is inverted.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centers.

    weights : array of shape (k,), default=None
        Weights of the centers; their scale does not matter. None: all equal.

    jitter : float, default=None
        Singular values below about `jitter` times the Frobenius norm are
        smoothed, which keeps the gradient finite. It can only raise the cost.
        None: 1e-6, in single precision 1e-4.

    Returns
    -------
    cost : scalar array
        Gap to the bound, in logarithms.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, 2025. :arxiv:`2509.24076`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import svd_cost
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(svd_cost(grams(X, X[:2], bandwidth=0.5))), 3)
    0.167
    """
    columns = log_component_weights(grams, weights) / 2
    if grams.log_data_weights is None:
        columns = columns - math.log(grams.X.shape[0]) / 2
        return -log_nuclear_norm(grams, None, columns, jitter)
    return -log_nuclear_norm(grams, grams.log_data_weights / 2, columns, jitter)


def _likelihood(grams, weights, jitter):
    """Compute minus the mean log-likelihood of the samples."""
    if isinstance(grams.model_variance, tuple):
        raise ValueError(
            "The likelihood is that of one density and takes one bandwidth, got "
            f"{len(grams.model_variance.variances)}. Give one, or use another cost."
        )
    xp = namespace(weights)
    log_joint = gaussian_log_gram(grams.X, grams.centers, grams.model_variance)
    log_prob = logsumexp(log_joint + xp.log(weights), axis=1)
    if grams.log_data_weights is None:
        return -xp.mean(log_prob)
    return -xp.sum(xp.exp(grams.log_data_weights) * log_prob)


@own_errors
def logdet_cost(
    grams: Grams, weights: Array | None = None, jitter: float | None = None
) -> Array:
    r"""Compute the summed log squared sine of the principal angles.

    .. math:: \log \det \begin{pmatrix} K_{xx} & K_{xy} \\ K_{yx} & K_{yy}
        \end{pmatrix} - \log \det K_{xx} - \log \det K_{yy}
        = \sum_j \log(1 - \cos^2 \theta_j)

    It is at most 0, and bounded below by the jitter only: it is not a gap to a
    bound. Minus a half of it is the mutual information of two Gaussian vectors
    with these covariances.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centers.

    weights : array of shape (k,), default=None
        Not used: a span does not depend on weights, neither on the data's.

    jitter : float, default=None
        Ridge on the Gram matrices scaled to unit diagonal. It can only raise
        the cost. None: 1e-6, in single precision 1e-4.

    Returns
    -------
    cost : scalar array
        Log-determinant of the identity minus the squared cosines.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, 2025. :arxiv:`2509.24076`
       This variant is known from earlier work of the authors.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import logdet_cost
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(logdet_cost(grams(X, X[:2] + 0.5, bandwidth=0.5))), 3)
    -5.303
    """
    xp = namespace(grams.centers)
    cross = xp.exp(grams.log_correlation_xy)
    left = xp.concat([xp.exp(grams.log_correlation_xx), cross.T], axis=0)
    right = xp.concat([cross, xp.exp(grams.log_correlation_yy)], axis=0)
    joint = xp.concat([left, right], axis=1)
    factor = ridge_factor(joint, jitter, "The joint Gram matrix of data and centers")
    # Its first rows are the factor of the data's matrix, whose determinant cancels.
    schur = xp.linalg.diagonal(factor)[grams.X.shape[0] :]
    own = xp.linalg.diagonal(center_factor(grams, jitter))
    return 2 * xp.sum(xp.log(schur) - xp.log(own))


@own_errors
def principal_cosines(grams: Grams, jitter: float | None = None) -> Array:
    r"""Compute the cosines of the angles between the spans of two sets of kernels.

    They are the singular values of :math:`K_{xx}^{-1/2} K_{xy} K_{yy}^{-1/2}`,
    the canonical correlations of the data's and the centers' kernels. Weights do not
    change a span, so neither do they change these. One minus the mean of their squares
    is the whitened variant of the matrix-matrix cost, one minus their mean that of the
    SVD cost.

    Parameters
    ----------
    grams : Grams
        Gram matrices of n data points and k centers.

    jitter : float, default=None
        Ridge on the Gram matrices scaled to unit diagonal. It can only lower
        the cosines. None: 1e-6, in single precision 1e-4.

    Returns
    -------
    cosines : array of shape (min(n, k),)
        Cosines in descending order, between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import principal_cosines
    >>> from skgmje.gaussian import grams
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> principal_cosines(grams(X, X[:2] + 0.5, bandwidth=0.5)).round(3)
    array([0.991, 0.855])
    """
    xp = namespace(grams.centers)
    name = "The Gram matrix of the data"
    rows = ridge_factor(xp.exp(grams.log_correlation_xx), jitter, name)
    half = solve_triangular(rows, xp.exp(grams.log_correlation_xy))
    # The cross Gram matrix in orthonormal bases of both spans.
    cross = solve_triangular(center_factor(grams, jitter), half.T).T
    return xp.linalg.svdvals(cross)


def _scalar_identity(pairs, weights, jitter):
    """Return the identity through the model density, shape (n, n)."""
    xp = namespace(pairs.centers)
    return _on_one_function(pairs, xp.exp(log_center_masses(pairs, weights)))


def _vector_matrix_identity(pairs, weights, jitter):
    """Return the identity through the projected density, shape (n, n)."""
    best, _ = unit_optimum(pairs, jitter)
    return _on_one_function(pairs, best)


def _on_one_function(pairs, coefficients):
    """Return the projection on one combination of unit kernels, shape (n, n)."""
    xp = namespace(coefficients)
    function = xp.exp(pairs.log_correlation_xy) @ coefficients
    norm = coefficients @ (xp.exp(pairs.log_correlation_yy) @ coefficients)
    return function[:, None] * function / norm


def _matrix_matrix_identity(pairs, weights, jitter):
    """Return the identity on the span of the centers' kernels, shape (n, n)."""
    xp = namespace(pairs.centers)
    cross = xp.exp(pairs.log_correlation_xy)
    half = solve_triangular(center_factor(pairs, jitter), cross.T)
    return half.T @ half


def _svd_identity(pairs, weights, jitter):
    """Return the root of the operator of the centers, shape (n, n)."""
    xp = namespace(pairs.centers)
    logs = pairs.log_correlation_xy + log_component_weights(pairs, weights) / 2
    left, values, _ = xp.linalg.svd(xp.exp(logs), full_matrices=False)
    return pairs.X.shape[0] ** 0.5 * (left * values) @ left.T


COSTS = {
    "scalar": Cost(
        scalar_cost,
        is_density=True,
        learns_weights=True,
        value=scalar_value,
        bound=density_bound,
        identity=_scalar_identity,
    ),
    "vector-matrix": Cost(
        vector_matrix_cost,
        is_density=True,
        learns_weights=False,
        value=vector_matrix_value,
        bound=density_bound,
        optimal_weights=optimal_weights,
        identity=_vector_matrix_identity,
    ),
    "matrix-matrix": Cost(
        matrix_matrix_cost,
        is_density=False,
        learns_weights=False,
        value=matrix_matrix_value,
        bound=trace_bound,
        identity=_matrix_matrix_identity,
    ),
    "svd": Cost(
        svd_cost,
        is_density=False,
        learns_weights=True,
        value=svd_value,
        bound=nuclear_bound,
        identity=_svd_identity,
    ),
}

# No gap to a bound, but what a network may be trained on beside the others.
LIKELIHOOD = Cost(
    _likelihood,
    is_density=True,
    learns_weights=True,
    learns_variance=True,
    bandwidth="residual",
)

# A view: it has what is registered later.
TRAINING_COSTS = ChainMap({"likelihood": LIKELIHOOD}, COSTS)


class IdentityApproximation(NamedTuple):
    """Approximation of the identity function on n points, and its errors."""

    approximation: Any
    gram: Any
    gram_error: Any
    identity_error: Any


@own_errors
def approximate_identity(
    X: Array,
    centers: Array,
    bandwidth: Any,
    method: Literal["scalar", "vector-matrix", "matrix-matrix", "svd"] = "svd",
    weights: Array | None = None,
    jitter: float | None = None,
) -> IdentityApproximation:
    r"""Approximate the identity function 1{X = X'} by Gaussian kernels at centers.

    On n points the Gram matrix :math:`K_{xx}` of kernels of unit norm becomes the
    identity function as the bandwidth goes to 0. Each cost sees it through the
    kernels of the centers. With P the cross Gram matrix and R that of the centers,
    the approximations are

    ================= ===================================================== =======
    `method`          approximation A                                       rank
    ================= ===================================================== =======
    `"scalar"`        :math:`P w w^\top P^\top / w^\top R w`                1
    `"vector-matrix"` the same with :math:`w = R^{-1} b`                    1
    `"matrix-matrix"` :math:`P R^{-1} P^\top`                               up to k
    `"svd"`           :math:`(\tfrac{n}{k} P P^\top)^{1/2}`                 up to k
    ================= ===================================================== =======

    The value of each cost is a functional of its A: the mean over all pairs for
    the first two, the mean diagonal for the others. The first two compare two
    functions, the data density and the model; only the others can approximate a
    matrix well.

    Parameters
    ----------
    X : array of shape (n, d)
        Points.

    centers : array of shape (k, d)
        Centers, of the same array library as `X`.

    bandwidth : float or tuple (data, model)
        Standard deviation of the kernels, as in :func:`skgmje.gaussian.grams`.

    method : {"scalar", "vector-matrix", "matrix-matrix", "svd"}, default="svd"
        The cost whose view is taken.

    weights : array of shape (k,), default=None
        Weights of the centers, which `"scalar"` and `"svd"` read.

    jitter : float, default=None
        Ridge on R scaled to unit diagonal; None: 1e-6, in single precision 1e-4.

    Returns
    -------
    result : named tuple
        The `approximation` (n, n); the `gram` matrix of the data's kernels of unit
        norm; and the Frobenius norms of the differences from it and from the identity
        function, 1 where two points are equal, relative to theirs: `gram_error` and
        `identity_error`.

    Raises
    ------
    ValueError
        If `method` is not a cost that approximates the identity.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, 2025. :arxiv:`2509.24076`
       It names the experiment; the formulas are our reading.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs import COSTS, approximate_identity
    >>> X = np.linspace(0, 9, 10)[:, None]
    >>> for method in COSTS:
    ...     result = approximate_identity(X, X[::2], 1.0, method)
    ...     print(f"{method:13} {result.gram_error:.2f}")
    scalar        0.74
    vector-matrix 0.74
    matrix-matrix 0.10
    svd           0.11
    """
    known = {name: cost.identity for name, cost in COSTS.items() if cost.identity}
    if method not in known:
        raise ValueError(f"method must be one of {sorted(known)}, got {method!r}.")
    pairs = grams(X, centers, bandwidth)
    xp = namespace(pairs.X)
    approximation = known[method](pairs, weights, jitter)
    gram = xp.exp(pairs.log_correlation_xx)
    equal = xp.all(pairs.X[:, None, :] == pairs.X[None, :, :], axis=-1)
    identity = xp.astype(equal, gram.dtype)
    return IdentityApproximation(
        approximation,
        gram,
        _relative_error(approximation, gram),
        _relative_error(approximation, identity),
    )


def _relative_error(approximation, target):
    """Return the Frobenius norm of the error, relative to that of the target."""
    norm = namespace(target).linalg.matrix_norm
    return norm(approximation - target) / norm(target)

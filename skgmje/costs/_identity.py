"""The approximation of the identity by kernels."""

from typing import Any, NamedTuple

from skgmje._backend import namespace, solve_triangular
from skgmje.costs._terms import (
    center_factor,
    log_center_masses,
    log_component_weights,
    unit_optimum,
)
from skgmje.gaussian._grams import grams


class IdentityApproximation(NamedTuple):
    """Approximation of the identity function on n points, and its errors.

    Parameters
    ----------
    approximation : array of shape (n, n)
        Value at every pair of points.

    gram : array of shape (n, n)
        Gram matrix of the data's bumps, scaled to unit norm, which becomes the
        identity function as the bandwidth goes to 0.

    gram_error : scalar array
        Frobenius norm of ``approximation - gram`` over that of `gram`.

    identity_error : scalar array
        The same against the identity function itself: 1 where two points are
        equal, else 0.

    Examples
    --------
    >>> import numpy as np

    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> result = approximate_identity(X, X, bandwidth=0.1)
    >>> round(float(result.identity_error), 6)
    0.0
    """

    approximation: Any
    gram: Any
    gram_error: Any
    identity_error: Any


def approximate_identity(
    X, centers, bandwidth, method="svd", weights=None, jitter=None
):
    r"""Approximate the identity function 1{X = X'} by Gaussian bumps at centres.

    On n points the Gram matrix :math:`K_{xx}` of bumps of unit norm becomes the
    identity function as the bandwidth goes to 0. Each cost sees it through the
    bumps of the centres. With P the cross Gram matrix and R that of the centres,
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
        Centres, of the same array library as `X`.

    bandwidth : float or tuple (data, model)
        Standard deviation of the bumps, as in :func:`skgmje.gaussian.grams`.

    method : {"scalar", "vector-matrix", "matrix-matrix", "svd"}, default="svd"
        The cost whose view is taken.

    weights : array of shape (k,), default=None
        Weights of the centres, which `"scalar"` and `"svd"` read.

    jitter : float, default=None
        Ridge on R scaled to unit diagonal; None: 1e-6, in single precision 1e-4.

    Returns
    -------
    result : IdentityApproximation
        The approximation, what it approximates, and the relative errors.

    Raises
    ------
    ValueError
        If `method` is none of the four.

    References
    ----------
    .. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
       Multiple-Output Mixture Neural Networks", 2025. :arxiv:`2509.24076`
       The paper names the experiment; the formulas are our reading.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.costs._costs import COSTS
    >>> X = np.linspace(0, 9, 10)[:, None]
    >>> for method in COSTS:
    ...     result = approximate_identity(X, X[::2], 1.0, method)
    ...     print(f"{method:13} {result.gram_error:.2f}")
    scalar        0.74
    vector-matrix 0.74
    matrix-matrix 0.10
    svd           0.11
    """
    if method not in IDENTITY_APPROXIMATIONS:
        raise ValueError(
            f"method must be one of {sorted(IDENTITY_APPROXIMATIONS)}, got {method!r}."
        )
    pairs = grams(X, centers, bandwidth)
    xp = namespace(pairs.X)
    approximation = IDENTITY_APPROXIMATIONS[method](pairs, weights, jitter)
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
    norm = namespace(target).linalg.matrix_norm
    return norm(approximation - target) / norm(target)


def _scalar(pairs, weights, jitter):
    xp = namespace(pairs.centers)
    return _on_one_function(pairs, xp.exp(log_center_masses(pairs, weights)))


def _vector_matrix(pairs, weights, jitter):
    best, _ = unit_optimum(pairs, jitter)
    return _on_one_function(pairs, best)


def _on_one_function(pairs, coefficients):
    """Project on one combination of the centres' unit bumps."""
    xp = namespace(coefficients)
    function = xp.exp(pairs.log_correlation_xy) @ coefficients
    norm = coefficients @ (xp.exp(pairs.log_correlation_yy) @ coefficients)
    return function[:, None] * function / norm


def _matrix_matrix(pairs, weights, jitter):
    xp = namespace(pairs.centers)
    cross = xp.exp(pairs.log_correlation_xy)
    half = solve_triangular(center_factor(pairs, jitter), cross.T)
    return half.T @ half


def _svd(pairs, weights, jitter):
    xp = namespace(pairs.centers)
    logs = pairs.log_correlation_xy + log_component_weights(pairs, weights) / 2
    left, values, _ = xp.linalg.svd(xp.exp(logs), full_matrices=False)
    return pairs.X.shape[0] ** 0.5 * (left * values) @ left.T


IDENTITY_APPROXIMATIONS = {
    "scalar": _scalar,
    "vector-matrix": _vector_matrix,
    "matrix-matrix": _matrix_matrix,
    "svd": _svd,
}

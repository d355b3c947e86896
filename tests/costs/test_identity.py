"""Approximation of 1{X = X'}: formulas, limits, and what the costs say of it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import sqrtm

from skgmje.costs import COSTS, approximate_identity, optimal_weights
from skgmje.gaussian import grams

MATRICES = ["matrix-matrix", "svd"]


def test_formulas(xp, points, weights, naive):
    K = naive(*points, 0.7, 0.7)
    P, R = (matrix / K.xx[0, 0] for matrix in (K.xy, K.yy))
    best = optimal_weights(grams(*points, 0.7))
    projections = {"scalar": weights, "vector-matrix": best}
    expected = {
        name: np.outer(P @ a, P @ a) / (a @ R @ a) for name, a in projections.items()
    }
    expected["matrix-matrix"] = P @ np.linalg.solve(R, P.T)
    expected["svd"] = np.real(sqrtm(12 * (P * weights) @ P.T))
    X, C = map(xp.asarray, points)
    for name in COSTS:
        result = approximate_identity(X, C, 0.7, name, xp.asarray(weights))
        assert_allclose(result.approximation, expected[name], atol=1e-5)
        assert_allclose(result.gram, K.xx / K.xx[0, 0], rtol=1e-10)
        for target, error in [
            (result.gram, result.gram_error),
            (np.eye(12), result.identity_error),
        ]:
            difference = np.asarray(result.approximation) - np.asarray(target)
            ratio = np.linalg.norm(difference) / np.linalg.norm(target)
            assert_allclose(error, ratio, rtol=1e-10)


@pytest.mark.parametrize("name", COSTS)
def test_costs_are_functionals_of_the_approximations(name, points):
    result = approximate_identity(*points, 0.7, name, jitter=1e-9)
    cost = COSTS[name](grams(*points, 0.7), None, 1e-9)
    share = {
        "scalar": -np.log(result.approximation.mean() / result.gram.mean()),
        "vector-matrix": -np.log(result.approximation.mean() / result.gram.mean()),
        "matrix-matrix": 1 - np.diag(result.approximation).mean(),
        "svd": -np.log(np.diag(result.approximation).mean()),
    }
    assert_allclose(share[name], cost, rtol=1e-5)


@pytest.mark.parametrize("name", MATRICES)
def test_exact_where_the_centers_are_the_points(name, rng):
    X = rng.normal(size=(10, 2))
    result = approximate_identity(X, X[rng.permutation(10)], 0.5, name, jitter=1e-10)
    assert result.gram_error < 1e-6
    result = approximate_identity(X, X[rng.permutation(10)], 1e-3, name)
    assert result.identity_error < 1e-5


@pytest.mark.parametrize("name", MATRICES)
def test_equal_points_are_identical(name, rng):
    X = rng.normal(size=(6, 2))[[0, 1, 2, 3, 4, 5, 5]]
    result = approximate_identity(X, X, 1e-3, name, jitter=1e-10)
    assert result.identity_error < 1e-5


def test_more_centers_approximate_better(rng):
    X, C = rng.normal(size=(30, 2)), rng.normal(size=(12, 2))
    errors = [
        approximate_identity(X, C[:k], 0.7, "matrix-matrix").gram_error
        for k in range(1, 13)
    ]
    assert np.all(np.diff(errors) < 1e-9)


def test_unknown_method(points):
    with pytest.raises(ValueError, match=r"method must be one of .*, got 'nuclear'"):
        approximate_identity(*points, 0.7, "nuclear")

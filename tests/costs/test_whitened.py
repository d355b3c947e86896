"""Whitened variants: principal angles, the log-determinant, invariances."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.linalg import sqrtm, subspace_angles

from skgmje.costs import logdet_cost, principal_cosines
from skgmje.gaussian import grams


def whitened_trace_cost(pairs, weights=None, jitter=None):
    return 1 - (principal_cosines(pairs, jitter) ** 2).mean()


def whitened_svd_cost(pairs, weights=None, jitter=None):
    return 1 - principal_cosines(pairs, jitter).mean()


VARIANTS = {
    "trace": whitened_trace_cost,
    "svd": whitened_svd_cost,
    "logdet": logdet_cost,
}


@pytest.fixture(params=VARIANTS)
def name(request):
    return request.param


@pytest.fixture
def cost(name):
    return VARIANTS[name]


def test_formulas(xp, points, naive):
    K = naive(*points, 0.7, 0.6)
    pairs = grams(*map(xp.asarray, points), (0.7, 0.6))
    trace = np.trace(np.linalg.solve(K.xx, K.xy) @ np.linalg.solve(K.yy, K.xy.T))
    assert_allclose(whitened_trace_cost(pairs, None, 0), 1 - trace / 5, rtol=1e-8)
    roots = [np.linalg.inv(np.real(sqrtm(matrix))) for matrix in (K.xx, K.yy)]
    nuclear = np.linalg.norm(roots[0] @ K.xy @ roots[1], "nuc")
    assert_allclose(whitened_svd_cost(pairs, None, 0), 1 - nuclear / 5, rtol=1e-8)
    joint = np.block([[K.xx, K.xy], [K.xy.T, K.yy]])
    logdets = [np.linalg.slogdet(matrix)[1] for matrix in (joint, K.xx, K.yy)]
    expected = logdets[0] - logdets[1] - logdets[2]
    assert_allclose(logdet_cost(pairs, None, 0), expected, rtol=1e-8)


def test_cosines_of_principal_angles(xp, points, naive):
    X, C = points
    both = np.concatenate([X, C])
    factor = np.real(sqrtm(naive(both, both, 0.7, 0.7).xx))
    angles = subspace_angles(factor[:12].T, factor[12:].T)
    pairs = grams(xp.asarray(X), xp.asarray(C), 0.7)
    cosines = principal_cosines(pairs, jitter=0)
    assert_allclose(cosines, np.cos(angles)[::-1], rtol=1e-7)


def test_the_log_determinant_is_a_function_of_the_cosines(points):
    pairs = grams(*points, 0.6)
    s = principal_cosines(pairs)
    assert_allclose(logdet_cost(pairs), np.sum(np.log1p(-(s**2))), rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_bounds(name, cost, seed):
    rng = np.random.default_rng(seed)
    n, k = rng.integers(2, 9, size=2)
    X, C = rng.normal(size=(n, 3)), rng.normal(size=(k, 3))
    value = cost(grams(X, C, (rng.uniform(0.3, 0.8), rng.uniform(0.3, 0.8))))
    assert value < 0 if name == "logdet" else 0 < value < 1


def test_zero_where_one_span_holds_the_other(name, cost, rng):
    X = rng.normal(size=(9, 2))
    inside = [grams(X, X[3:7], 0.5), grams(X[3:7], X, 0.5)]
    for pairs in inside:
        value = cost(pairs)
        assert value < -40 if name == "logdet" else abs(value) < 1e-4


def test_numpy_and_torch_agree(cost, points):
    tensors = [torch.as_tensor(array) for array in points]
    assert_allclose(cost(grams(*tensors, 0.7)), cost(grams(*points, 0.7)), rtol=1e-10)


@pytest.mark.parametrize("n_centers", [3, 11])
def test_gradient(cost, rng, n_centers):
    X = torch.as_tensor(rng.normal(size=(12, 2)))
    C = torch.as_tensor(rng.normal(size=(n_centers, 2))).requires_grad_()
    h = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    # Singular values that meet 1 need a larger ridge for finite differences.
    assert torch.autograd.gradcheck(
        lambda C, h: cost(grams(X, C, h), None, 1e-3), (C, h)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_is_finite_where_points_coincide(cost, rng, dtype):
    X = torch.as_tensor(rng.normal(size=(15, 3)), dtype=dtype)[[0, 0, *range(15)]]
    C = X[:4].clone().requires_grad_()
    cost(grams(X, C, 0.7)).backward()
    assert torch.all(torch.isfinite(C.grad))


def test_jitter_only_raises_the_cost(cost, points):
    pairs = grams(*points, 0.7)
    values = [cost(pairs, None, jitter) for jitter in (0, 1e-6, 1e-4, 1e-2)]
    assert np.all(np.diff(values) >= -1e-10)


def test_weights_and_copies_do_not_matter(cost, points, weights):
    X, C = points
    expected = cost(grams(X, C, 0.7))
    logs = np.linspace(0.0, 2.0, 12)
    assert cost(grams(X, C, 0.7, log_data_weights=logs), weights) == expected


def test_logdet_is_minus_twice_the_mutual_information(points, naive):
    """Of two Gaussian vectors, by the chain rule of entropies."""
    K = naive(*points, 0.7, 0.7)
    conditional = K.yy - K.xy.T @ np.linalg.solve(K.xx, K.xy)
    information = (np.linalg.slogdet(K.yy)[1] - np.linalg.slogdet(conditional)[1]) / 2
    value = logdet_cost(grams(*points, 0.7), jitter=0)
    assert_allclose(value, -2 * information, rtol=1e-7)

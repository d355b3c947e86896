"""Values and bounds as the paper states them, and how the costs follow from them."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.linalg import sqrtm

from skgmje.costs import COSTS, optimal_weights
from skgmje.gaussian import grams

VALUES = {name: (cost.value, cost.bound) for name, cost in COSTS.items()}
scalar_value, density_bound = VALUES["scalar"]
vector_matrix_value, _ = VALUES["vector-matrix"]
matrix_matrix_value, trace_bound = VALUES["matrix-matrix"]
svd_value, nuclear_bound = VALUES["svd"]
BANDWIDTHS = (0.8, np.linspace(0.5, 0.9, 5))


@pytest.fixture(params=VALUES)
def name(request):
    return request.param


def test_formulas(xp, points, weights, naive):
    K, w = naive(*points, *BANDWIDTHS), xp.asarray(weights)
    pairs = grams(*map(xp.asarray, points), BANDWIDTHS)
    sc = (K.xy.mean(axis=0) @ weights) ** 2 / (weights @ K.yy @ weights)
    assert_allclose(scalar_value(pairs, w), sc, rtol=1e-10)
    b = K.xy.mean(axis=0)
    vm = b @ np.linalg.solve(K.yy, b)
    assert_allclose(vector_matrix_value(pairs, w, 0), vm, rtol=1e-10)
    mm = np.trace(K.xy @ np.linalg.solve(K.yy, K.xy.T))
    assert_allclose(matrix_matrix_value(pairs, w, 0), mm, rtol=1e-10)
    nuclear = np.linalg.norm(K.xy * np.sqrt(weights / 12), "nuc")
    assert_allclose(svd_value(pairs, w, 0), nuclear, rtol=1e-10)
    assert_allclose(density_bound(pairs), K.xx.mean(), rtol=1e-10)
    assert_allclose(trace_bound(pairs), np.trace(K.xx), rtol=1e-10)
    bound = np.sqrt(np.trace(K.xx) / 12 * (weights @ np.diag(K.yy)))
    assert_allclose(nuclear_bound(pairs, w), bound, rtol=1e-10)


def test_equal_weights_and_one_bandwidth(points, naive):
    K, pairs = naive(*points, 0.7, 0.7), grams(*points, 0.7)
    nuclear = np.linalg.norm(K.xy, "nuc") / np.sqrt(12 * 5)
    assert_allclose(svd_value(pairs, jitter=0), nuclear, rtol=1e-10)
    assert_allclose(nuclear_bound(pairs), (4 * np.pi * 0.49) ** -1.5, rtol=1e-12)
    assert_allclose(trace_bound(pairs), 12 * (4 * np.pi * 0.49) ** -1.5, rtol=1e-12)
    assert_allclose(scalar_value(pairs), K.xy.mean() ** 2 / K.yy.mean(), rtol=1e-10)


@pytest.mark.parametrize("n_features", [1, 2])
def test_scalar_value_by_quadrature(rng, n_features, weights):
    X, C = rng.normal(size=(4, n_features)), rng.normal(size=(5, n_features))
    axis = np.arange(-7.0, 7.0, 0.05)
    grid = np.stack(np.meshgrid(*[axis] * n_features), axis=-1).reshape(-1, n_features)

    def mixture(means, weights, h):
        squares = ((grid[:, None] - means) ** 2).sum(axis=-1)
        return (
            np.exp(-squares / (2 * h**2))
            @ weights
            / (2 * np.pi * h**2) ** (n_features / 2)
        )

    p, q = mixture(X, np.full(4, 0.25), 0.5), mixture(C, weights, 0.6)
    cell = 0.05**n_features
    pairs = grams(X, C, (0.5, 0.6))
    value = (p @ q * cell) ** 2 / (q @ q * cell)
    assert_allclose(scalar_value(pairs, weights), value, rtol=1e-9)
    assert_allclose(density_bound(pairs), p @ p * cell, rtol=1e-9)


def test_density_bound_is_an_expectation_over_pairs(rng):
    """The general inner product: both centers are drawn from the prior."""
    X, a = rng.normal(size=(5, 2)), rng.dirichlet(np.ones(5))
    first, second = rng.choice(5, size=(2, 20000), p=a)
    draws = naive_density(X[first] - X[second], 2 * 0.6**2)
    bound = density_bound(grams(X, X, 0.6, log_data_weights=np.log(a)))
    error = draws.std() / np.sqrt(len(draws))
    assert abs(draws.mean() - bound) < 4 * error


def naive_density(x, variance):
    d = x.shape[-1]
    return np.exp(-(x**2).sum(axis=-1) / (2 * variance)) / (2 * np.pi * variance) ** (
        d / 2
    )


def test_logarithms(xp, name, points, weights):
    value, bound = VALUES[name]
    pairs, w = grams(*map(xp.asarray, points), BANDWIDTHS), xp.asarray(weights)
    logs = value(pairs, w, log=True), bound(pairs, log=True)
    assert_allclose(xp.exp(logs[0]), value(pairs, w), rtol=1e-10)
    assert_allclose(xp.exp(logs[1]), bound(pairs), rtol=1e-10)


@pytest.mark.parametrize("seed", range(10))
def test_bounds(name, seed):
    rng = np.random.default_rng(seed)
    n, k, d = rng.integers(2, 9, size=3)
    bandwidth = rng.uniform(0.3, 1.5), rng.uniform(0.3, 1.5, size=k)
    X, C = rng.normal(size=(n, d)), rng.normal(size=(k, d))
    pairs = grams(X, C, bandwidth, log_data_weights=rng.normal(size=n))
    weights = rng.dirichlet(np.ones(k))
    value, bound = VALUES[name]
    assert 0 < value(pairs, weights, 0) <= bound(pairs, weights) * (1 + 1e-12)
    assert value(pairs, weights, 1e-3) <= value(pairs, weights, 0)


@pytest.mark.parametrize("seed", range(5))
def test_order(seed):
    rng = np.random.default_rng(seed)
    X, C = rng.normal(size=(10, 2)), rng.normal(size=(4, 2))
    pairs = grams(X, C, rng.uniform(0.3, 1.0))
    values = [f(pairs, None, 0) for f in (scalar_value, vector_matrix_value)]
    assert 0 < values[0] <= values[1] <= density_bound(pairs)
    assert values[1] <= matrix_matrix_value(pairs, None, 0) / 10


def test_costs_are_gaps_to_the_bounds(name, points, weights):
    """With one variance for the data and one for the model, equal for svd."""
    value, bound = VALUES[name]
    pairs = grams(*points, 0.7 if name == "svd" else (0.7, 0.9))
    gap = bound(pairs, log=True) - value(pairs, weights, log=True)
    expected = -np.expm1(-gap) if name == "matrix-matrix" else gap
    assert_allclose(COSTS[name](pairs, weights), expected, rtol=1e-10)


def test_values_scale_with_the_constants_only(name, points):
    """Normalised and un-normalised bumps differ by a power of their ratio."""
    X, C = points
    wide = [np.hstack([Z, np.zeros((len(Z), 4))]) for Z in (X, C)]
    value, _ = VALUES[name]
    v, w = 0.49, 0.81
    a = -2 * np.log(2 * np.pi * (v + w))  # log factor of K_xy for 4 more dimensions
    b = -2 * np.log(4 * np.pi * w)  # and of K_yy
    expected = a if name == "svd" else 2 * a - b
    ratio = value(grams(*wide, (0.7, 0.9)), log=True) - value(
        grams(X, C, (0.7, 0.9)), log=True
    )
    assert_allclose(ratio, expected, rtol=1e-10)


def test_logarithms_do_not_underflow(name, rng):
    X = rng.normal(size=(20, 3072)).astype("float32")
    pairs = grams(X, X[:5] + np.float32(180), 1.0)
    value, bound = VALUES[name]
    assert value(pairs) == 0
    assert np.isfinite(value(pairs, log=True))
    assert np.isfinite(bound(pairs, log=True))


def test_gradient(name, points, weights):
    value, bound = VALUES[name]
    X, C = map(torch.as_tensor, points)
    h, g, w = (
        torch.as_tensor(z, dtype=torch.float64).requires_grad_()
        for z in (*BANDWIDTHS, weights)
    )

    def evaluate(C, h, g, w):
        pairs = grams(X, C, (h, g))
        return value(pairs, w), bound(pairs)

    assert torch.autograd.gradcheck(evaluate, (C.clone().requires_grad_(), h, g, w))


def test_gradient_of_the_scalar_value_in_closed_form(points, naive):
    X, C = points
    K, v, w = naive(X, C, 0.7, 0.6), 0.49, 0.36
    pq, qq = K.xy.mean(), K.yy.mean()
    to_data = np.einsum("ik,ikd->kd", K.xy, X[:, None] - C) / (12 * 5 * (v + w))
    to_centers = np.einsum("kl,kld->kd", K.yy, C[None] - C[:, None]) / (2 * w)
    expected = 2 * pq / qq * to_data - (pq / qq) ** 2 * 2 / 25 * to_centers
    leaf = torch.tensor(C, requires_grad=True)
    scalar_value(grams(torch.as_tensor(X), leaf, (0.7, 0.6))).backward()
    assert_allclose(leaf.grad, expected, rtol=1e-10)


def test_gradients_by_the_envelope_theorem(points):
    """At the optimum the inverse may be held fixed."""
    X, C = torch.as_tensor(points[0]), torch.tensor(points[1], requires_grad=True)
    pairs = grams(X, C, 0.7)
    P, R = pairs.log_xy.exp(), pairs.log_yy.exp()
    A = torch.linalg.solve(R, P.T).detach()
    mm = 2 * (P @ A).trace() - (A.T @ R @ A).trace()
    b = P.mean(dim=0)
    a = torch.linalg.solve(R, b).detach()
    vm = 2 * a @ b - a @ R @ a
    for value, surrogate in [(matrix_matrix_value, mm), (vector_matrix_value, vm)]:
        exact = value(grams(X, C, 0.7), None, 0)
        assert_allclose(exact.detach(), surrogate.detach(), rtol=1e-10)
        (expected,) = torch.autograd.grad(surrogate, C, retain_graph=True)
        assert_allclose(torch.autograd.grad(exact, C)[0], expected, rtol=1e-9)


def test_nuclear_norm_is_a_procrustes_distance(points, naive, rng):
    """The gap is the distance of two factors after the best rotation."""
    X, C = points
    both = np.concatenate([X, C])
    factor = np.real(sqrtm(naive(both, both, 0.7, 0.7).xx))  # rows: the bumps
    A, B = factor[:12] / np.sqrt(12), factor[12:] / np.sqrt(5)
    pairs = grams(X, C, 0.7)
    gap = 2 * nuclear_bound(pairs) - 2 * svd_value(pairs, jitter=0)
    left, _, right = np.linalg.svd(A @ B.T, full_matrices=False)
    best = np.sum((A - left @ right @ B) ** 2)
    assert_allclose(best, gap, atol=1e-10)
    turn, _ = np.linalg.qr(rng.normal(size=(12, 12)))
    assert np.sum((A - turn[:, :5] @ B) ** 2) >= gap


def test_nuclear_norm_is_the_fidelity_of_two_operators(points, naive):
    X, C = points
    both = np.concatenate([X, C])
    factor = np.real(sqrtm(naive(both, both, 0.7, 0.7).xx))
    A, B = factor[:12] / np.sqrt(12), factor[12:] / np.sqrt(5)
    root = np.real(sqrtm(A.T @ A))
    eigenvalues = np.linalg.eigvalsh(root @ B.T @ B @ root)
    fidelity = np.sqrt(np.maximum(eigenvalues, 0)).sum()
    assert_allclose(svd_value(grams(X, C, 0.7), jitter=0), fidelity, rtol=1e-4)


def test_nuclear_norm_against_trace_and_frobenius_norm(rng, naive):
    X, C = rng.normal(size=(7, 2)), rng.normal(size=(7, 2))
    value = svd_value(grams(X, C, 0.6), jitter=0)
    K = naive(X, C, 0.6, 0.6).xy
    assert_allclose(value, np.real(np.trace(sqrtm(K @ K.T))) / 7, rtol=1e-6)
    assert np.trace(K) / 7 < value
    assert np.linalg.norm(K) / 7 <= value <= np.sqrt(7) * np.linalg.norm(K) / 7
    same = svd_value(grams(X, X, 0.6), jitter=0)
    assert_allclose(same, np.trace(naive(X, X, 0.6, 0.6).xy) / 7, rtol=1e-10)


def test_nuclear_norm_of_collapsed_centers(rng, naive):
    X, C = rng.normal(size=(9, 2)), np.zeros((4, 2))
    column = naive(X, C, 0.6, 0.6).xy[:, 0]
    value = svd_value(grams(X, C, 0.6), jitter=0)
    assert_allclose(value, np.linalg.norm(column) / 3, rtol=1e-6)


def test_nuclear_norm_counts_matches_as_the_bandwidth_vanishes():
    X = np.arange(6.0)[:, None]
    C = np.array([[0.0], [2.0], [2.0], [9.0]])
    pairs = grams(X, C, 1e-3)
    # One match of one center, one of two centers.
    share = svd_value(pairs, jitter=0) / nuclear_bound(pairs)
    assert_allclose(share, (1 + np.sqrt(2)) / np.sqrt(6 * 4), rtol=1e-10)


def test_schur_complement(points, naive):
    pairs, K = grams(*points, (0.7, 0.6)), naive(*points, 0.7, 0.6)
    schur = K.xx - K.xy @ np.linalg.solve(K.yy, K.xy.T)
    assert np.linalg.eigvalsh(schur).min() > -1e-12
    gap = trace_bound(pairs) - matrix_matrix_value(pairs, None, 0)
    assert_allclose(gap, np.trace(schur), rtol=1e-10)


def test_mixing_the_bumps_leaves_their_span(points, naive, rng):
    K = naive(*points, 0.7, 0.6)
    mix = rng.normal(size=(5, 5))
    P, R = K.xy @ mix.T, mix @ K.yy @ mix.T
    pairs = grams(*points, (0.7, 0.6))
    mm = np.trace(P @ np.linalg.solve(R, P.T))
    assert_allclose(matrix_matrix_value(pairs, None, 0), mm, rtol=1e-8)
    b = P.mean(axis=0)
    vm = b @ np.linalg.solve(R, b)
    assert_allclose(vector_matrix_value(pairs, None, 0), vm, rtol=1e-8)


@pytest.mark.parametrize("bandwidth", [0.7, BANDWIDTHS])
def test_optimal_weights(xp, points, naive, bandwidth):
    X, C = points
    pair = bandwidth if isinstance(bandwidth, tuple) else (bandwidth, bandwidth)
    K = naive(X, C, *pair)
    alpha = optimal_weights(grams(xp.asarray(X), xp.asarray(C), bandwidth), jitter=0)
    assert_allclose(alpha, np.linalg.solve(K.yy, K.xy.mean(axis=0)), rtol=1e-8)


def test_optimal_weights_reach_the_vector_matrix_value(points):
    C = points[0][:3]
    weights = np.array([0.2, 0.5, 0.3])
    pairs = grams(C, C, 0.5, log_data_weights=np.log(weights))
    assert_allclose(optimal_weights(pairs, jitter=0), weights, rtol=1e-10)
    assert_allclose(scalar_value(pairs, weights), density_bound(pairs), rtol=1e-12)

"""Laws that every kernel cost obeys, one that a user registers too, and its zeros."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skgmje.costs import (
    COSTS,
    Cost,
    matrix_matrix_cost,
    scalar_cost,
    svd_cost,
    vector_matrix_cost,
)
from skgmje.gaussian import grams

BLOCKS = [np.array([0, 2]), np.array([1])]


def cosine_cost(grams, weights=None, jitter=None):
    """One minus the cosine of the angle between the densities of data and model."""
    return 1 - np.e ** (-scalar_cost(grams, weights) / 2)


FIFTH = Cost(cosine_cost, is_density=True, learns_weights=True)


@pytest.fixture(params=[*COSTS, "fifth"])
def name(request, monkeypatch):
    if request.param == "fifth":
        monkeypatch.setitem(COSTS, "fifth", FIFTH)
    return request.param


@pytest.fixture
def cost(name):
    return COSTS[name]


def tensor(values):
    return torch.as_tensor(values, dtype=torch.float64).requires_grad_()


def test_formulas(xp, points, weights, naive):
    bandwidth = (0.8, np.linspace(0.5, 0.9, 5))
    K = naive(*points, *bandwidth)
    pairs = grams(*map(xp.asarray, points), bandwidth)
    w = xp.asarray(weights)
    pp, pq, qq = K.xx.mean(), K.xy.mean(axis=0) @ weights, weights @ K.yy @ weights
    assert_allclose(scalar_cost(pairs, w), np.log(pp * qq / pq**2), rtol=1e-10)
    b = K.xy.mean(axis=0)
    vm = b @ np.linalg.solve(K.yy, b)
    assert_allclose(vector_matrix_cost(pairs, w, 0), np.log(pp / vm), rtol=1e-10)
    mm = np.trace(K.xy @ np.linalg.solve(K.yy, K.xy.T)) / np.trace(K.xx)
    assert_allclose(matrix_matrix_cost(pairs, w, 0), 1 - mm, rtol=1e-10)
    norms = np.sqrt(np.outer(np.diag(K.xx), np.diag(K.yy)))
    singular = np.linalg.svd(K.xy / norms * np.sqrt(weights / 12), compute_uv=False)
    assert_allclose(svd_cost(pairs, w, 0), -np.log(singular.sum()), rtol=1e-10)


def test_numpy_and_torch_agree(cost, points, weights):
    bandwidth, logs = (0.8, np.linspace(0.5, 0.9, 5)), np.linspace(0.0, 1.0, 12)
    expected = cost(grams(*points, bandwidth, None, logs), weights)
    tensors = [torch.as_tensor(array) for array in points]
    pairs = grams(*tensors, bandwidth, None, torch.as_tensor(logs))
    value = cost(pairs, torch.as_tensor(weights))
    assert value.shape == ()
    assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("jitter", [None, 0])
def test_bound(cost, seed, jitter):
    rng = np.random.default_rng(seed)
    n, k, d = rng.integers(2, 9, size=3)
    X, C = rng.normal(size=(n, d)), rng.normal(size=(k, d))
    bandwidth = rng.uniform(0.3, 1.5), rng.uniform(0.3, 1.5, size=k)
    weights, logs = rng.dirichlet(np.ones(k)), rng.normal(size=n)
    assert cost(grams(X, C, bandwidth), weights, jitter) > 0
    assert cost(grams(X, C, bandwidth, None, logs), None, jitter) > 0
    assert cost(grams(X, X, bandwidth[0]), None, jitter) > -1e-9


@pytest.mark.parametrize("n_features", [2, 40])
@pytest.mark.parametrize("blocks", [None, BLOCKS])
def test_zero_at_a_permutation(xp, cost, rng, n_features, blocks):
    X = rng.normal(size=(12, n_features + 1))
    bandwidth = np.sqrt(n_features) / 2
    C = xp.asarray(X[rng.permutation(12)])
    pairs = grams(xp.asarray(X), C, bandwidth, blocks)
    assert abs(cost(pairs, None, 0)) < 1e-10
    assert abs(cost(pairs)) < 1e-4


def test_zero_at_weighted_points(cost, rng):
    X, a = rng.normal(size=(6, 2)), rng.dirichlet(np.ones(6))
    order = rng.permutation(6)
    pairs = grams(X, X[order], 0.6, log_data_weights=np.log(a))
    assert abs(cost(pairs, a[order], 0)) < 1e-10
    if cost.learns_weights:
        assert cost(pairs, a, 0) > 1e-3


def test_svd_cost_of_two_bandwidths_is_never_zero(rng):
    X = rng.normal(size=(6, 3))
    cost = svd_cost(grams(X, X, (0.5, 0.7)), jitter=0)
    assert cost >= -1.5 * np.log(2 * 0.5 * 0.7 / (0.25 + 0.49)) - 1e-12


def test_zero_where_the_span_holds_the_data(name, rng):
    X = rng.normal(size=(6, 2))
    C = np.concatenate([X, rng.normal(size=(2, 2)) + 3])
    cost = COSTS[name](grams(X, C, 0.6), None, 0)
    assert (abs(cost) < 1e-10) == (not COSTS[name].learns_weights)


@pytest.mark.parametrize("seed", range(5))
def test_order_of_the_costs(seed):
    rng = np.random.default_rng(seed)
    X, C = rng.normal(size=(10, 2)), rng.normal(size=(4, 2))
    pairs = grams(X, C, rng.uniform(0.3, 1.0))
    assert vector_matrix_cost(pairs, None, 0) <= scalar_cost(pairs)


def test_one_center_is_its_own_span(points):
    pairs = grams(points[0], points[1][:1], 0.7)
    assert_allclose(vector_matrix_cost(pairs, None, 0), scalar_cost(pairs), rtol=1e-12)


def test_gradient(cost, points, weights):
    X, C = points
    h, g = tensor(0.8), tensor(np.linspace(0.5, 0.9, 5))

    def evaluate(C, h, g, w):
        return cost(grams(torch.as_tensor(X), C, (h, g)), w)

    leaves = tensor(C), h, g, tensor(weights)
    assert torch.autograd.gradcheck(evaluate, leaves)


def test_gradient_with_respect_to_one_bandwidth_for_both(cost, points):
    X, C = map(torch.as_tensor, points)
    assert torch.autograd.gradcheck(lambda h: cost(grams(X, C, h)), tensor(0.8))


@pytest.mark.parametrize("n_centers", [2, 11])
def test_gradient_of_few_and_of_many_centers(cost, rng, n_centers):
    X = torch.as_tensor(rng.normal(size=(12, 2)))
    C = tensor(rng.normal(size=(n_centers, 2)))
    assert torch.autograd.gradcheck(lambda C: cost(grams(X, C, 0.5)), C)


def test_gradient_of_blocks_and_data_weights(cost, points):
    X, C = torch.as_tensor(points[0]), tensor(points[1])
    h, logs = tensor([0.7, 1.1]), tensor(np.linspace(0.0, 1.0, 12))

    def evaluate(C, h, logs):
        return cost(grams(X, C, h, BLOCKS, logs))

    assert torch.autograd.gradcheck(evaluate, (C, h, logs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_centers", [4, 12])
def test_gradient_is_finite_where_centers_coincide(cost, rng, dtype, n_centers):
    X = torch.as_tensor(rng.normal(size=(15, 3)), dtype=dtype)
    C = X[[0] * n_centers].clone().requires_grad_()
    w = torch.full((n_centers,), 1.0, dtype=dtype)
    w[1] = 0.0
    w.requires_grad_()
    value = cost(grams(X, C, 0.7), w)
    value.backward()
    assert torch.isfinite(value)
    assert torch.all(torch.isfinite(C.grad))
    assert C.grad.norm() > 0
    assert w.grad is None or torch.all(torch.isfinite(w.grad))


def test_order_does_not_matter(cost, points, weights, rng):
    (X, C), rows, columns = points, rng.permutation(12), rng.permutation(5)
    h, g, logs = 0.8, np.linspace(0.5, 0.9, 5), np.linspace(0.0, 1.0, 12)
    expected = cost(grams(X, C, (h, g), None, logs), weights)
    pairs = grams(X[rows], C[columns], (h, g[columns]), None, logs[rows])
    assert_allclose(cost(pairs, weights[columns]), expected, rtol=1e-10)


def test_moves_turns_and_scales_change_nothing(cost, points, weights, rng):
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    X, C = (10 * points @ turn + 5 for points in points)
    expected = cost(grams(*points, (0.8, 0.6)), weights)
    assert_allclose(cost(grams(X, C, (8.0, 6.0)), weights), expected, rtol=1e-8)


def test_scale_of_the_weights_does_not_matter(cost, points, weights):
    pairs = grams(*points, 0.7)
    assert_allclose(cost(pairs, 7 * weights), cost(pairs, weights), rtol=1e-12)


def test_only_spans_ignore_the_weights(name, points, weights):
    pairs = grams(*points, 0.7)
    same = COSTS[name](pairs, weights) == COSTS[name](pairs)
    assert same == (not COSTS[name].learns_weights)


@pytest.mark.parametrize("jitter", [1e-8, 1e-4, 1e-2])
def test_jitter_only_raises_the_cost(cost, points, jitter):
    pairs = grams(*points, 0.9)
    assert cost(pairs, None, jitter) >= cost(pairs, None, 0) - 1e-12
    assert cost(pairs, None, 10 * jitter) >= cost(pairs, None, jitter) - 1e-12


def test_more_centers_never_hurt_a_span(name, rng):
    X, C = rng.normal(size=(20, 2)), rng.normal(size=(8, 2))
    costs = [COSTS[name](grams(X, C[:k], 0.6), None, 0) for k in range(1, 9)]
    assert np.all(np.diff(costs) <= 1e-12) == (not COSTS[name].learns_weights)


def test_a_duplicated_center_hurts_a_density(name, rng):
    X = rng.normal(size=(8, 2))
    C = np.concatenate([X, X[:1]])
    cost = COSTS[name](grams(X, C, 0.6))
    assert (cost > 1e-3) == COSTS[name].learns_weights


def test_copies_of_every_center_change_nothing(cost, points):
    X, C = points
    expected = cost(grams(X, C, 0.7))
    twice = cost(grams(X, np.concatenate([C, C]), 0.7))
    assert_allclose(twice, expected, atol=1e-5)


def test_a_weight_counts_as_copies_of_a_row(xp, cost, points):
    X, C = points
    counts = np.arange(12) % 4
    copied = grams(np.repeat(X, counts, axis=0), C, 0.7)
    kept = counts > 0
    logs = xp.asarray(np.log(counts[kept]))
    weighted = grams(xp.asarray(X[kept]), xp.asarray(C), 0.7, None, logs)
    assert_allclose(cost(weighted), cost(copied), rtol=1e-6)
    logs = np.where(kept, np.log(np.maximum(counts, 1)), -np.inf)
    with_zeros = grams(xp.asarray(X), xp.asarray(C), 0.7, None, xp.asarray(logs))
    assert_allclose(cost(with_zeros), cost(copied), rtol=1e-6)


def test_a_weight_counts_as_copies_of_a_center(cost, points):
    X, C = points
    counts = np.array([1, 3, 2, 1, 2])
    copied = cost(grams(X, np.repeat(C, counts, axis=0), 0.7))
    assert_allclose(cost(grams(X, C, 0.7), counts), copied, atol=1e-5)


def test_batches_estimate_matrix_matrix_without_bias(name, rng):
    X, C = rng.normal(size=(24, 2)), rng.normal(size=(4, 2))
    batches = X[rng.permutation(24)].reshape(6, 4, 2)
    mean = np.mean([COSTS[name](grams(batch, C, 0.5)) for batch in batches])
    unbiased = np.isclose(mean, COSTS[name](grams(X, C, 0.5)), rtol=1e-12)
    assert unbiased == (name == "matrix-matrix")


def test_does_not_read_what_is_expensive(name, points):
    pairs = grams(*points, 0.7)
    COSTS[name](pairs)
    assert not {"log_xx", "log_correlation_xx"} & vars(pairs).keys()
    assert ("log_data_norm" in vars(pairs)) == COSTS[name].is_density


def test_finite_far_away_in_many_dimensions(xp, cost, rng):
    X = rng.normal(size=(20, 3072)).astype("float32")
    C = (X[:6] + 180.0).astype("float32")  # at a distance of 1e4
    value = cost(grams(xp.asarray(X), xp.asarray(C), 1.0))
    assert np.isfinite(np.asarray(value))
    assert np.asarray(value).dtype == "float32"


def test_gradient_in_many_dimensions_is_not_zero(cost, rng):
    X = torch.as_tensor(rng.normal(size=(60, 784)), dtype=torch.float32)
    C = X[:10].clone().requires_grad_()
    bandwidth = 784**0.5
    value = cost(grams(X, C, bandwidth))
    value.backward()
    assert 0 < value < 10
    assert torch.all(C.grad.norm(dim=1) > 1e-7)
    double = cost(grams(X.double(), C.detach().double(), bandwidth), None, 1e-4)
    assert_allclose(value.item(), double, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bandwidth", [1e-3, 1.0, 1e3])
def test_finite_at_every_bandwidth(xp, cost, rng, dtype, bandwidth):
    X, C = (xp.asarray(rng.normal(size=(n, 20)).astype(dtype)) for n in (40, 30))
    value = cost(grams(X, C, bandwidth))
    assert np.isfinite(np.asarray(value))
    assert value > -1e-6
    assert np.asarray(value).dtype == dtype


def test_descends_to_the_data(cost, rng):
    X = torch.as_tensor(rng.normal(size=(8, 2)))
    C = tensor(X.numpy() + 0.1 * rng.normal(size=(8, 2)))
    optimizer = torch.optim.Adam([C], lr=0.02)
    first = cost(grams(X, C, 0.5)).item()
    for _ in range(100):
        optimizer.zero_grad()
        value = cost(grams(X, C, 0.5))
        value.backward()
        optimizer.step()
    assert value.item() < first / 10


@pytest.mark.parametrize("bad", [[1.0, -0.1, 1, 1, 1], [1.0, 1, 1], np.zeros(5)])
@pytest.mark.parametrize("cost", [scalar_cost, svd_cost])
def test_weights_are_checked(xp, cost, points, bad):
    pairs = grams(*map(xp.asarray, points), 0.7)
    with pytest.raises(ValueError, match="weights must be 5 non-negative numbers"):
        cost(pairs, xp.asarray(bad))


def test_singular_without_jitter_says_what_to_do(xp, points):
    X, C = points
    C = np.concatenate([C, C])
    with pytest.raises(ValueError, match=r"Gram matrix of the centers .* jitter"):
        vector_matrix_cost(grams(xp.asarray(X), xp.asarray(C), 0.7), None, 0)

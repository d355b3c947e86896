"""Laws of the growing neural gas, and shapes that it should find."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skgmje.adaptation import (
    GasState,
    adapt_gas,
    expectation_maximization,
    gas_components,
    gas_mixture,
    start_gas,
)
from skgmje.adaptation._neural_gas import GRANULARITIES
from skgmje.gaussian import COVARIANCE_TYPES, Mixture

ANGLES = np.arange(8) * np.pi / 4
RING = Mixture(
    np.full(8, 1 / 8),
    np.column_stack([np.cos(ANGLES), np.sin(ANGLES)]),
    np.full(8, 0.1**2),
    "spherical",
)


def _learn(X, max_nodes, n_rows=20_000, seed=0, **options):
    rng = np.random.default_rng(seed)
    drawn = X[rng.integers(len(X), size=n_rows)]
    return adapt_gas(start_gas(drawn, max_nodes), drawn, **options)


def _degrees(state):
    return (state.ages[state.active] >= 0).sum(axis=1)


def test_invariants_hold_after_every_row(rng):
    X = rng.normal(size=(1500, 2))
    options = {"max_age": 5, "insertion_interval": 20, "error_split": 0.3}
    state, total = start_gas(X, 12), 0
    for i, row in enumerate(X):
        state = adapt_gas(state, row[None], **options)
        total = max(total, state.active.sum())
        assert state.active.sum() <= min(12, 2 + (i + 1) // 20)
        assert _degrees(state).min() >= 1
        assert state.ages.max() <= 5
        assert_array_equal(state.ages, state.ages.T)
        assert (state.ages[~state.active] == -1).all()
        assert (state.ages.diagonal() == -1).all()
        assert np.isfinite(state.errors).all()
        assert state.errors.min() >= 0
    assert total == 12
    assert state.n_seen == 1500


def test_one_node_is_inserted_each_interval(rng):
    X = rng.normal(size=(1000, 2))
    state = start_gas(X, 50)
    for i, chunk in enumerate(np.split(X, 10)):
        state = adapt_gas(state, chunk, max_age=10_000)
        assert state.active.sum() == 3 + i


def test_rows_may_come_in_any_number_of_calls(rng):
    X = rng.normal(size=(700, 3))
    state = start_gas(X, 10)
    once = adapt_gas(state, X)
    for chunk in np.array_split(X, 9):
        state = adapt_gas(state, chunk)
    for one, other in zip(once, state, strict=True):
        assert_array_equal(one, other)


def test_the_old_state_is_left_alone(rng):
    X = rng.normal(size=(700, 3))
    state = start_gas(X, 10)
    copies = [np.array(array) for array in state]
    adapt_gas(state, X)
    for array, copy in zip(state, copies, strict=True):
        assert_array_equal(array, copy)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_learn_the_same(dtype, rng):
    X = torch.asarray(rng.normal(size=(700, 3)), dtype=dtype)
    state = adapt_gas(start_gas(X, 10), X)
    peer = adapt_gas(start_gas(X.double().numpy(), 10), X.double().numpy())
    assert state.nodes.dtype == state.errors.dtype == dtype
    assert_allclose(state.nodes.numpy(), peer.nodes, rtol=1e-6)
    assert_array_equal(state.ages.numpy(), peer.ages)
    assert_array_equal(gas_components(state), gas_components(peer))


def test_winner_and_neighbors_move_by_their_rates():
    nodes = np.array([[0.0], [1.0], [5.0], [0.0]])
    ages = np.full((4, 4), -1)
    ages[0, 2] = ages[2, 0] = ages[1, 2] = ages[2, 1] = 3
    active = np.array([True, True, True, False])
    state = GasState(nodes, active, np.zeros(4), np.zeros(4, int), ages, 0)
    options = {"winner_rate": 0.5, "neighbor_rate": 0.1, "error_decay": 0.9}
    state = adapt_gas(state, np.array([[-2.0]]), **options)
    assert_allclose(state.nodes.ravel(), [-1.0, 1.0, 4.3, 0.0])
    assert_allclose(state.errors, [3.6, 0, 0, 0])
    assert_array_equal(state.hits, [1, 0, 0, 0])
    assert state.ages[0].tolist() == [-1, 0, 4, -1]
    assert state.ages[1, 2] == 3


def test_far_blobs_come_apart(rng):
    X = rng.normal(size=(1000, 2)) + 20 * rng.integers(2, size=(1000, 1))
    state = _learn(X, 10, max_age=100)
    labels = gas_components(state)
    assert_array_equal(np.unique(labels[state.active]), [0, 1])
    assert (labels[~state.active] == -1).all()
    mixture = gas_mixture(state, X, granularity="component")
    assert_allclose(np.sort(mixture.means[:, 0]), [0, 20], atol=0.3)


def test_a_line_becomes_a_chain(rng):
    X = np.column_stack([rng.random(2000) * 10, 0.01 * rng.normal(size=2000)])
    degrees = _degrees(_learn(X, 20))
    assert degrees.max() <= 3
    assert np.median(degrees) == 2


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_conversion_is_a_mixture(granularity, covariance_type, rng):
    X = rng.normal(size=(300, 3)) + 6 * rng.integers(2, size=(300, 1))
    state = _learn(X, 15, 4000)
    mixture = gas_mixture(state, X, covariance_type, granularity=granularity)
    assert mixture.covariance_type == covariance_type
    assert 1 <= mixture.n_components <= state.active.sum()
    assert mixture.weights.sum() == pytest.approx(1.0)
    assert np.isfinite(mixture.log_prob(X)).all()


def test_few_rows_borrow_their_covariance(rng):
    X = np.vstack([rng.normal(size=(500, 2)), [[30.0, 30.0], [30.0, 30.0]]])
    state = start_gas(X[[0, -1]], 2)
    mixture = gas_mixture(state, X, min_hits=1)
    assert mixture.weights.min() == pytest.approx(2 / 502)
    few = mixture.covariances[mixture.weights.argmin()]
    assert_allclose(few, 0.5 * np.cov(X[:-2].T, bias=True), rtol=0.02)


def test_nodes_with_few_rows_are_left_out(rng):
    X = np.vstack([rng.normal(size=(500, 2)), [[30.0, 30.0], [30.0, 30.0]]])
    state = start_gas(X[[0, -1]], 2)
    assert gas_mixture(state, X).n_components == 1
    assert gas_mixture(state, X[:3]).n_components >= 1


def test_row_weights_count_as_copies(rng):
    X = rng.normal(size=(200, 2))
    state, weight = _learn(X, 5, 2000), rng.integers(1, 4, size=200)
    weighted = gas_mixture(state, X, sample_weight=weight)
    copied = gas_mixture(state, np.repeat(X, weight, axis=0))
    assert_allclose(weighted.covariances, copied.covariances)


@pytest.mark.parametrize("max_nodes", [16, 40])
def test_the_ring_is_found(max_nodes):
    X, held_out = RING.sample(20_000, 0)[0], RING.sample(4000, 1)[0]
    truth = RING.log_prob(held_out).mean()
    state = _learn(X, max_nodes)
    mixture = gas_mixture(state, X)
    assert mixture.log_prob(held_out).mean() > truth - 0.15
    polished = expectation_maximization(X, mixture, shrinkage=2.0, max_iter=10)
    assert polished.mixture.log_prob(held_out).mean() > truth - 0.02
    n_components = gas_components(state).max() + 1
    assert 6 <= n_components <= 8
    distances = np.linalg.norm(RING.means[:, None] - state.nodes[state.active], axis=2)
    assert (distances.min(axis=1) < 0.15).all()


def test_a_constant_does_no_harm():
    X = np.ones((500, 2))
    state = adapt_gas(start_gas(X, 5), X)
    assert_array_equal(state.nodes[state.active], 1.0)
    assert gas_mixture(state, X).n_components == 1


@pytest.mark.parametrize(("n_rows", "max_nodes"), [(1, 5), (5, 1)])
def test_a_gas_needs_two_nodes(n_rows, max_nodes):
    with pytest.raises(ValueError, match="two nodes"):
        start_gas(np.zeros((n_rows, 2)), max_nodes)

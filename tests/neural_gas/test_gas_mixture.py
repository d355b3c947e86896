"""What a gas becomes: labels and mixtures."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skgmje.em import expectation_maximization
from skgmje.gaussian import COVARIANCE_TYPES, Mixture
from skgmje.neural_gas import (
    adapt_gas,
    gas_components,
    gas_labels,
    gas_mixture,
    nearest_nodes,
    refine_gas,
    start_gas,
)

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
    return adapt_gas(start_gas(drawn), drawn, max_nodes=max_nodes, **options)


def test_the_nearest_nodes_are_found(rng):
    X, nodes = rng.normal(size=(50, 3)), rng.normal(size=(7, 3))
    distances = np.linalg.norm(X[:, None] - nodes, axis=2)
    first, second, shortest = nearest_nodes(nodes, X)
    assert_array_equal(first, distances.argmin(axis=1))
    assert_array_equal(second, distances.argsort(axis=1)[:, 1])
    assert_allclose(shortest, distances.min(axis=1))
    assert_array_equal(nearest_nodes(nodes[:1], X)[0], 0)


@pytest.mark.parametrize("granularity", ["node", "cluster", "one"])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_conversion_is_a_mixture(granularity, covariance_type, rng):
    X = rng.normal(size=(300, 3)) + 6 * rng.integers(2, size=(300, 1))
    state = _learn(X, 15, 4000)
    mixture = gas_mixture(state, X, covariance_type, granularity=granularity)
    assert mixture.covariance_type == covariance_type
    assert 1 <= mixture.n_components <= len(state.nodes)
    assert mixture.weights.sum() == pytest.approx(1.0)
    assert np.isfinite(mixture.log_prob(X)).all()


def test_far_blobs_are_two_components(rng):
    X = rng.normal(size=(1000, 2)) + 20 * rng.integers(2, size=(1000, 1))
    mixture = gas_mixture(_learn(X, 10, max_age=100), X, granularity="cluster")
    assert_allclose(np.sort(mixture.means[:, 0]), [0, 20], atol=0.3)


def test_few_rows_borrow_their_covariance(rng):
    X = np.vstack([rng.normal(size=(500, 2)), [[30.0, 30.0], [30.0, 30.0]]])
    mixture = gas_mixture(start_gas(X[[0, -1]]), X, min_hits=1)
    assert mixture.weights.min() == pytest.approx(2 / 502)
    few = mixture.covariances[mixture.weights.argmin()]
    assert_allclose(few, 0.5 * np.cov(X[:-2].T, bias=True), rtol=0.02)


def test_nodes_with_few_rows_are_left_out(rng):
    X = np.vstack([rng.normal(size=(500, 2)), [[30.0, 30.0], [30.0, 30.0]]])
    state = start_gas(X[[0, -1]])
    assert gas_mixture(state, X).n_components == 1
    assert gas_mixture(state, X[:3]).n_components >= 1
    assert_array_equal(np.unique(gas_labels(state, X)), [0])


def test_row_weights_count_as_copies(rng):
    X = rng.normal(size=(200, 2))
    state, weight = _learn(X, 5, 2000), rng.integers(1, 4, size=200)
    weighted = gas_mixture(state, X, sample_weight=weight)
    copied = gas_mixture(state, np.repeat(X, weight, axis=0))
    assert_allclose(weighted.covariances, copied.covariances)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_tensors_give_the_same_diagonals(covariance_type, rng):
    X, weight = rng.normal(size=(400, 3)) * [1, 2, 3], rng.random(400)
    tensors = torch.asarray(X)
    state = adapt_gas(start_gas(tensors), tensors, max_nodes=5)
    mixture = gas_mixture(
        state, tensors, covariance_type, sample_weight=torch.asarray(weight)
    )
    arrays = state._replace(nodes=state.nodes.numpy(), edges=state.edges.numpy())
    peer = gas_mixture(arrays, X, covariance_type, sample_weight=weight)
    assert_allclose(mixture.weights, peer.weights)
    assert_allclose(mixture.means, peer.means)
    kind = COVARIANCE_TYPES[covariance_type]
    variances = (kind.diagonal(m.covariances, 5, 3) for m in (mixture, peer))
    assert_allclose(*variances)


@pytest.mark.parametrize("max_nodes", [16, 40])
@pytest.mark.parametrize("mode", ["batch", "sequential"])
def test_the_ring_is_found(mode, max_nodes):
    X, held_out = RING.sample(20_000, 0)[0], RING.sample(4000, 1)[0]
    truth = RING.log_prob(held_out).mean()
    state = _learn(X, max_nodes, mode=mode)
    mixture = gas_mixture(state, X)
    assert mixture.log_prob(held_out).mean() > truth - 0.15
    polished = expectation_maximization(X, mixture, shrinkage=2.0, max_iter=10)
    assert polished.mixture.log_prob(held_out).mean() > truth - 0.02
    distances = np.linalg.norm(RING.means[:, None] - state.nodes, axis=2)
    assert (distances.min(axis=1) < 0.15).all()
    assert gas_components(refine_gas(state, X)).max() + 1 == 8


def test_a_constant_does_no_harm():
    X = np.ones((500, 2))
    state = refine_gas(adapt_gas(start_gas(X), X, max_nodes=5), X)
    assert len(state.nodes) == 2
    assert gas_mixture(state, X).n_components == 1


def test_tensors_of_many_features_are_polished(rng):
    X = rng.normal(size=(400, 12)) + 8 * rng.integers(2, size=(400, 1))
    tensors = torch.asarray(X)
    gas = adapt_gas(start_gas(tensors), tensors, max_nodes=2)
    start = gas_mixture(gas, tensors, shrinkage=2.0)
    result = expectation_maximization(tensors, start, shrinkage=2.0)
    peer = expectation_maximization(X, start, shrinkage=2.0)
    assert_allclose(result.mixture.means, peer.mixture.means)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_words_that_there_are_not_are_named(kind, rng):
    X = rng.normal(size=(50, 2))
    X = X if kind == "numpy" else torch.asarray(X)
    gas = start_gas(X[:2])
    with pytest.raises(ValueError, match=r"granularity='connected' .*'cluster'"):
        gas_mixture(gas, X, granularity="connected")
    with pytest.raises(ValueError, match="covariance_type='ful'"):
        gas_mixture(gas, X, "ful")

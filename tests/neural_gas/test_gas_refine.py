"""Laws of the last passes over the nodes of a gas."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs, make_circles

from skgmje.neural_gas import (
    adapt_gas,
    gas_components,
    nearest_nodes,
    refine_gas,
    start_gas,
)


def _grown(X, max_nodes, n_rows=6000, seed=0):
    rng = np.random.default_rng(seed)
    drawn = X[rng.integers(len(X), size=n_rows)]
    return adapt_gas(start_gas(drawn), drawn, max_nodes=max_nodes, winner_rate=0.2)


def _error(nodes, X, weight=None):
    return np.average(nearest_nodes(nodes, X)[2] ** 2, weights=weight)


@given(
    st.integers(0, 1000),
    st.integers(1, 3),
    st.sampled_from([1, 2, 3, 7, 60, 300]),
    st.integers(2, 20),
    st.integers(1, 60),
)
def test_invariants_hold(seed, n_features, n_rows, max_nodes, max_age):
    rng = np.random.default_rng(seed)
    X = rng.integers(5, size=(n_rows, n_features)).astype(float)
    gas = _grown(X, max_nodes, 600, seed)
    state = refine_gas(gas, X, max_age=max_age)
    k = len(state.nodes)
    assert 2 <= k <= len(gas.nodes)
    assert _error(state.nodes, X) <= _error(gas.nodes, X) + 1e-12
    assert (state.edges[:, 0] < state.edges[:, 1]).all()
    assert np.bincount(state.edges.ravel(), minlength=k).min() >= 1
    assert 0 <= state.ages.min() <= state.ages.max() <= max_age
    assert len(np.unique(state.ids)) == k
    assert state.ids.max() < state.n_born
    assert state.hits.sum() == n_rows
    if k > 2:
        assert state.hits.min() > 0
    # A stream can go on from here.
    after = adapt_gas(state, X, max_nodes=max_nodes)
    assert np.isfinite(after.nodes).all()


def test_it_is_as_good_as_five_starts_of_k_means():
    X, _ = make_blobs(3000, 4, centers=30, random_state=0)
    peer = KMeans(40, n_init=5, random_state=0).fit(X).inertia_ / len(X)
    assert _error(refine_gas(_grown(X, 40), X).nodes, X) < 1.01 * peer


def test_weights_count_as_copies(rng):
    X, weight = rng.normal(size=(300, 2)), rng.integers(0, 4, size=300)
    gas = _grown(X, 12)
    weighted = refine_gas(gas, X, sample_weight=weight)
    copied = refine_gas(gas, np.repeat(X, weight, axis=0))
    assert_allclose(weighted.nodes, copied.nodes)
    assert_array_equal(weighted.edges, copied.edges)
    assert_array_equal(weighted.ages, copied.ages)


def test_tensors_settle_the_same(rng):
    X = rng.normal(size=(500, 3))
    numpy_state = refine_gas(_grown(X, 10), X)
    tensors = torch.asarray(X)
    gas = adapt_gas(start_gas(tensors), tensors, max_nodes=10)
    peer = adapt_gas(start_gas(X), X, max_nodes=10)
    state, peer = refine_gas(gas, tensors), refine_gas(peer, X)
    assert_allclose(state.nodes.numpy(), peer.nodes)
    assert_array_equal(state.edges.numpy(), peer.edges)
    assert state.ages.dtype == gas.ages.dtype
    assert numpy_state.nodes.dtype == X.dtype


def test_rare_pairs_do_not_join_what_lies_apart():
    X, y = make_circles(3000, noise=0.04, factor=0.5, random_state=0)
    bridge = np.column_stack([np.linspace(0.5, 1.0, 9), np.zeros(9)])
    state = refine_gas(_grown(X, 40, 12_000), np.vstack([X, bridge]), max_age=20)
    labels = gas_components(state)[nearest_nodes(state.nodes, X)[0]]
    assert_array_equal(labels == labels[0], y == y[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_data_type_is_kept(dtype, rng):
    X = rng.normal(size=(200, 2)).astype(dtype)
    state = refine_gas(_grown(X, 8), X)
    assert state.nodes.dtype == state.errors.dtype == dtype


@pytest.mark.parametrize("asarray", [np.asarray, torch.asarray])
def test_errors_of_nodes_that_are_the_samples_are_zero(asarray):
    X = asarray(np.array([[0.0], [1e12]]))
    state = adapt_gas(start_gas(X), X + 1e11, max_nodes=2)
    assert float(state.errors.sum()) > 0
    settled = refine_gas(state, X)
    assert_array_equal(settled.nodes, X)
    assert_array_equal(settled.errors, [0.0, 0.0])

"""Mixtures whose components are the nodes of a growing neural gas."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skgmje.gaussian import Mixture
from skgmje.modules import NeuralGasModule

TRUTH = Mixture(
    [0.2, 0.3, 0.5],
    [[-4.0, 0.0], [0.0, 4.0], [4.0, 0.0]],
    [[[1.0, 0.5], [0.5, 1.0]], [[0.5, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 0.3]]],
)


def _seed(seed=0):
    return torch.Generator().manual_seed(seed)


def _learn(n_components, n_batches=60, **params):
    gas = NeuralGasModule(n_components, 2, _seed(), **params)
    for seed in range(n_batches):
        batch = torch.asarray(TRUTH.sample(128, seed)[0], dtype=torch.float32)
        gas.update(batch, _seed(seed))
    return gas


def test_a_stream_is_learned():
    held_out = TRUTH.sample(2000, 999)[0]
    mixture = _learn(12)().to_numpy()
    assert mixture.n_components == 12
    loss = TRUTH.log_prob(held_out).mean() - mixture.log_prob(held_out).mean()
    assert 0 < loss < 0.25


def test_as_many_nodes_as_modes_find_them():
    mixture = _learn(3, 80)().to_numpy()
    order = np.argsort(mixture.means[:, 0])
    assert_allclose(mixture.means[order], TRUTH.means, atol=0.5)
    assert_allclose(mixture.weights[order], TRUTH.weights, atol=0.06)
    assert_allclose(mixture.covariance, TRUTH.covariance, rtol=0.15, atol=0.4)


def test_counts_and_moments_are_those_of_the_rows():
    gas = _learn(6, 10, rate=0.0)
    batch = torch.asarray(TRUTH.sample(200, 7)[0], dtype=torch.float32)
    counts = gas.counts.sum()
    gas.update(batch, _seed())
    assert gas.counts.sum().item() == pytest.approx(counts.item() + 200)
    assert (gas.counts[gas.n_nodes :] == 0).all()
    assert (gas.scatter[gas.n_nodes :] == 0).all()


def test_parameters_of_the_gas_are_handed_on():
    gas = _learn(6, 2, gas_params={"insertion_interval": 10_000})
    assert gas().n_components == 2

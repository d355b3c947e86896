"""Mixture density networks."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skgmje.modules import MixtureDensityNetwork

ROWS, CONTEXT = 6, 3
SMALL = {"n_components": 4, "hidden_layer_sizes": (8, 8), "n_members": 2}


def make_network(n_targets=2, seed=0, **params):
    generator = torch.Generator().manual_seed(seed)
    return MixtureDensityNetwork(CONTEXT, n_targets, generator, **(SMALL | params))


def randomize(network, seed=1):
    """Give the network any parameters, so that nothing is zero by its start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(generator=generator)
    return network


@pytest.fixture
def context(rng):
    return torch.from_numpy(rng.normal(size=(ROWS, CONTEXT)).astype(np.float32))


@pytest.fixture
def targets(rng):
    return torch.from_numpy(rng.normal(size=(ROWS, 2)).astype(np.float32))


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_members_are_components_of_one_mixture(context, targets, covariance_type):
    network = randomize(make_network(covariance_type=covariance_type))
    mixture = network(context)
    assert mixture.covariance_type == covariance_type
    assert mixture.means.shape == (ROWS, 8, 2)
    assert mixture.means.dtype == torch.float64
    each = network.log_prob(context, targets).double()
    expected = each.logsumexp(0) - np.log(2)
    torch.testing.assert_close(mixture.log_prob(targets.double()), expected)


def test_rows_may_differ_between_members(context, targets):
    network = randomize(make_network())
    shared = network.log_prob(context, targets)
    both = torch.stack([context, context.flip(0)])
    each = network.log_prob(both, torch.stack([targets, targets.flip(0)]))
    torch.testing.assert_close(each[0], shared[0])
    torch.testing.assert_close(each[1], shared[1].flip(0))


def test_members_do_not_share_gradients(context, targets):
    network = randomize(make_network())
    network.log_prob(context, targets)[0].sum().backward()
    for parameter in network.parameters():
        assert (parameter.grad[0] != 0).any()
        assert (parameter.grad[1] == 0).all()


def test_gradient_passes_through_the_mixture(context, targets):
    network = randomize(make_network())
    network(context).log_prob(targets.double()).sum().backward()
    assert all((p.grad != 0).any() for p in network.parameters())


def test_start_is_nearly_constant_and_standard(context):
    network = make_network(n_targets=1, n_components=5)
    mixture = network(context).to_numpy()
    means, variances = mixture.means[:, :5, 0], mixture.covariances
    assert_allclose(means.mean(0).tolist(), np.linspace(-1, 1, 5), atol=0.3)
    assert 0.1 < variances.min() < variances.max() < 1


def test_randomness_is_the_generators_own():
    before = torch.get_rng_state()
    one, two, other = (make_network(seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.weights[0], two.weights[0])
    assert not torch.equal(one.weights[0], other.weights[0])


def test_without_hidden_layers_it_is_linear(context, targets):
    network = randomize(make_network(hidden_layer_sizes=()))
    assert len(network.weights) == 1
    assert torch.isfinite(network.log_prob(context, targets)).all()


def test_double_precision():
    network = make_network(dtype=torch.float64)
    assert {p.dtype for p in network.parameters()} == {torch.float64}

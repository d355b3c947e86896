"""Modules whose centers are the output of a network."""

import pytest
import torch
from torch import nn

from skgmje.modules import CodeGenerator, MixtureModule, NoiseGenerator, mlp

GENERATORS = {"codes": CodeGenerator, "noise": NoiseGenerator}
SMALL = {"hidden_layer_sizes": (8,), "dtype": torch.float64}


def _seed(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", GENERATORS)
def test_forward_is_a_mixture_of_equal_spheres(kind):
    mixture = GENERATORS[kind](5, 3, 0.25, _seed(), **SMALL)()
    assert mixture.covariance_type == "spherical"
    assert mixture.means.shape == (5, 3)
    assert mixture.weights.sum().item() == pytest.approx(1.0)
    torch.testing.assert_close(
        mixture.covariances, torch.full((5,), 0.25, dtype=torch.float64)
    )
    assert torch.isfinite(
        mixture.log_prob(torch.zeros(2, 3, dtype=torch.float64))
    ).all()


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("learn_variance", [True, False])
def test_gradients_reach_what_is_learned(kind, learn_variance):
    module = GENERATORS[kind](
        4, 2, 1.0, _seed(), learn_variance=learn_variance, **SMALL
    )
    module().log_prob(torch.ones(3, 2, dtype=torch.float64)).sum().backward()
    assert (module.log_variance.grad is not None) == learn_variance
    assert module.log_weights.grad is None
    assert all(p.grad.abs().sum() > 0 for p in module.network.parameters())


def test_codes_and_weights_are_learned():
    module = CodeGenerator(4, 2, 1.0, _seed(), learn_weights=True, **SMALL)
    module().log_prob(torch.ones(3, 2, dtype=torch.float64)).sum().backward()
    assert module.codes.grad.abs().sum() > 0
    assert module.log_weights.grad.abs().sum() > 0


def test_codes_start_at_their_base():
    base = torch.tensor([[0.0, 1.0], [2.0, 3.0]], dtype=torch.float64)
    module = CodeGenerator(2, 2, 1.0, _seed(), base=base, **SMALL)
    assert torch.equal(module().means, base)
    module().means.sum().backward()
    assert module.network[-1].weight.grad.abs().sum() > 0


def test_noise_is_fresh_and_owes_nothing_to_the_global_state():
    before = torch.get_rng_state()
    modules = [NoiseGenerator(4, 2, 1.0, _seed(7), **SMALL) for _ in range(2)]
    first, second = ([m().means, m().means] for m in modules)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], first[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_takes_a_network():
    module = NoiseGenerator(3, 2, 1.0, _seed(), network=nn.Identity(), code_dim=2)
    assert module().means.shape == (3, 2)


def test_mlp_has_the_range_of_torchs_own_layers():
    network = mlp([100, 50, 1], _seed())
    assert [type(layer) for layer in network] == [nn.Linear, nn.ReLU, nn.Linear]
    assert 0.09 < network[0].weight.abs().max() <= 0.1
    assert torch.equal(mlp([3, 2], _seed(1))[0].bias, mlp([3, 2], _seed(1))[0].bias)


def test_update_does_nothing_by_default():
    module = CodeGenerator(2, 2, 1.0, _seed(), **SMALL)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    module.update(torch.ones(3, 2), _seed())
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_a_module_without_forward_is_abstract():
    class Half(MixtureModule):
        pass

    with pytest.raises(TypeError, match="forward"):
        Half()

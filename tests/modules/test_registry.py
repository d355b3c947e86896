"""Laws of every module that makes mixtures."""

import copy
import pickle

import pytest
import torch

from skgmje import modules
from skgmje.modules import (
    MixtureDensityNetwork,
    MixtureModule,
    Prototypes,
)

N_FEATURES, N_CONTEXT = 3, 2


def _seed(seed=0):
    return torch.Generator().manual_seed(seed)


BUILD = {
    "prototypes": lambda seed, **kw: Prototypes(5, N_FEATURES, _seed(seed), **kw),
    "network": lambda seed, **kw: MixtureDensityNetwork(
        N_CONTEXT, N_FEATURES, _seed(seed), hidden_layer_sizes=(8,), **kw
    ),
}


@pytest.fixture(params=BUILD)
def build(request):
    return BUILD[request.param]


def _rows(n_features, seed, dtype=torch.float32):
    return torch.randn((40, n_features), generator=_seed(seed), dtype=dtype)


def _fed(module, n_batches=4):
    dtype = next(iter(module.state_dict().values())).dtype
    for seed in range(n_batches):
        module.update(_rows(N_FEATURES, seed, dtype), _seed(seed))
    return module


def _score(module):
    dtype = next(iter(module.state_dict().values())).dtype
    context = _rows(N_CONTEXT, 8, dtype)
    mixture = module(context)
    return mixture.log_prob(_rows(N_FEATURES, 9, mixture.means.dtype))


def test_every_module_is_built_here():
    public = [getattr(modules, name) for name in modules.__all__]
    public = {
        cls
        for cls in public
        if isinstance(cls, type) and "Generator" not in cls.__name__
    }
    assert {type(build(0)) for build in BUILD.values()} == public - {MixtureModule}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_batches", [0, 1, 5])
def test_forward_is_a_valid_mixture(build, dtype, n_batches):
    module = _fed(build(0, dtype=dtype), n_batches)
    mixture = module(_rows(N_CONTEXT, 8, dtype))
    assert mixture.n_features == N_FEATURES
    weights = mixture.weights.sum(dim=-1)
    torch.testing.assert_close(weights, torch.ones_like(weights))
    assert torch.isfinite(_score(module)).all()
    # What no gradient passes through is checked entry by entry.
    mixture.to_numpy()


def test_gradients_reach_parameters_and_rows(build):
    module = _fed(build(0))
    mixture = module(_rows(N_CONTEXT, 8))
    rows = _rows(N_FEATURES, 9, mixture.means.dtype).requires_grad_()
    mixture.log_prob(rows).sum().backward()
    assert (rows.grad.abs().sum(dim=1) > 0).all()
    for parameter in module.parameters():
        assert parameter.grad.abs().sum() > 0


def test_an_update_keeps_shapes_and_types(build):
    module = build(0)
    before = {k: (v.shape, v.dtype) for k, v in module.state_dict().items()}
    _fed(module, 30)
    assert {k: (v.shape, v.dtype) for k, v in module.state_dict().items()} == before


def test_a_batch_with_a_gradient_is_followed_without_it(build):
    module = build(0)
    for seed in range(3):
        module.update(_rows(N_FEATURES, seed).requires_grad_(), _seed(seed))
    assert not any(v.requires_grad for v in module.buffers())


def test_state_dict_round_trip(build):
    module, other = _fed(build(0)), build(1)
    assert not torch.equal(_score(module), _score(other))
    other.load_state_dict(module.state_dict())
    assert torch.equal(_score(module), _score(other))
    module.update(_rows(N_FEATURES, 7), _seed(7))
    other.update(_rows(N_FEATURES, 7), _seed(7))
    assert torch.equal(_score(module), _score(other))


def test_copies_are_independent(build):
    module = _fed(build(0))
    before = _score(module)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(_score(other), before)
        _fed(other, 3)
    assert torch.equal(_score(module), before)


def test_the_global_random_state_is_left_alone(build):
    before = torch.get_rng_state()
    _score(_fed(build(0)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("n_rows", [1, 2, 100])
def test_batches_of_any_size(build, n_rows):
    module = build(0)
    for seed in range(3):
        module.update(_rows(N_FEATURES, seed).repeat(3, 1)[:n_rows], _seed(seed))
        assert torch.isfinite(_score(module)).all()

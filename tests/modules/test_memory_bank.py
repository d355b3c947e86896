"""Mixtures whose components are weighted rows of the past."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from skgmje.em import kernel_bandwidth
from skgmje.modules import MemoryBankModule
from skgmje.particles import bank_mixture, start_bank


def _seed(seed=0):
    return torch.Generator().manual_seed(seed)


def _normal(n_rows, seed=0, n_features=2):
    return torch.randn((n_rows, n_features), generator=_seed(seed))


@pytest.mark.parametrize("n_rows", [10, 64, 200])
def test_the_first_batch_fills_it(n_rows):
    bank, batch = MemoryBankModule(64, 2, _seed()), _normal(n_rows, 1)
    bank.update(batch, _seed())
    copies = (bank.particles[:, None] == batch).all(dim=2)
    assert copies.any(dim=1).all()
    assert copies.sum(dim=0).max() <= -(-64 // n_rows)


def test_it_is_a_queue_without_a_rate():
    bank = MemoryBankModule(
        32, 2, _seed(), bandwidth=0.5, rate=0.0, replacement="oldest"
    )
    batches = [_normal(8, seed) for seed in range(10)]
    for batch in batches:
        bank.update(batch, _seed())
    assert torch.equal(bank.particles, torch.cat(batches[-4:]))
    torch.testing.assert_close(bank.weights, torch.full((32,), 1 / 32))
    assert bank.bandwidth == 0.5


def test_the_bandwidth_follows_the_stream():
    bank = MemoryBankModule(200, 2, _seed(), rate=0.1)
    for seed in range(100):
        bank.update(_normal(100, seed), _seed(seed))
    narrow = kernel_bandwidth(_normal(200, 999).double().numpy())
    assert bank.bandwidth.item() == pytest.approx(narrow, rel=0.35)
    for seed in range(100):
        bank.update(10 * _normal(100, seed), _seed(seed))
    assert bank.bandwidth.item() > 3 * narrow


def test_randomness_comes_from_the_generator():
    def last(seed):
        bank = MemoryBankModule(32, 2, _seed(), bandwidth=0.1, rate=0.9)
        for batch in range(10):
            bank.update(_normal(8, batch), _seed(seed))
        return bank.particles

    assert torch.equal(last(3), last(3))
    assert not torch.equal(last(3), last(4))


def _contrast(target_variance, temperature=0.2, n_keys=32, n_features=8):
    """Return the conditional loss of a bank of unit keys, and InfoNCE."""
    keys = normalize(_normal(n_keys, 0, n_features).double())
    query = normalize(_normal(1, 1, n_features).double())
    variances = [temperature] * n_features + [target_variance] * n_features
    root = torch.diag(torch.tensor(variances, dtype=torch.float64).sqrt())
    bank = bank_mixture(start_bank(torch.hstack([keys, keys])), root)
    density = bank.condition(range(n_features), query[0]).log_prob(keys[:1])
    residual = n_features / 2 * np.log(2 * np.pi * target_variance)
    loss = -density - residual
    return loss.item(), cross_entropy(query @ keys.T / temperature, torch.tensor([0]))


def test_info_nce_is_the_limit_of_a_uniform_bank_of_points():
    errors = []
    for target_variance in (0.3, 0.1, 0.03, 0.01):
        loss, info_nce = _contrast(target_variance)
        errors.append(abs(loss - info_nce.item()))
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 1e-6

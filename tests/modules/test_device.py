"""Devices, and the random states that torch keeps for everybody."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from skgmje._training._hardware import (
    naming_batch_size,
    own_random_state,
    resolve_device,
)


def test_auto_is_a_device_that_is_there():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_device("auto").type == expected
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("device", ["no-such-device", "cuda:77", ""])
def test_unusable_device_is_named(device):
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used"):
        resolve_device(device)


def test_layers_depend_on_the_seed_and_the_global_state_stays():
    before = torch.get_rng_state()

    def build(seed):
        with own_random_state(seed):
            return nn.Linear(4, 4).weight

    assert torch.equal(build(3), build(3))
    assert not torch.equal(build(3), build(4))
    assert torch.equal(torch.get_rng_state(), before)


def test_state_is_given_back_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), own_random_state(0):
        torch.rand(1).reshape(2)
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_take_turns():
    def build(seed):
        with own_random_state(seed):
            return nn.Sequential(*(nn.Linear(30, 30) for _ in range(5)))[-1].weight

    seeds = list(range(8)) * 4
    with ThreadPoolExecutor(8) as pool:
        weights = list(pool.map(build, seeds))
    for seed, weight in zip(seeds, weights, strict=True):
        assert torch.equal(weight, build(seed))


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
        RuntimeError("MPS backend out of memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"),
        MemoryError(),
    ],
    ids=["cuda", "mps", "windows", "numpy"],
)
def test_lack_of_memory_names_a_smaller_batch(error):
    with (
        pytest.raises(
            MemoryError, match=r"for batch_size=300.* Try batch_size=150\."
        ) as e,
        naming_batch_size(300),
    ):
        raise error
    assert e.value.__cause__ is error


def test_a_batch_of_one_row_cannot_be_smaller():
    with pytest.raises(MemoryError, match="smaller layers"), naming_batch_size(1):
        torch.empty(2**50)


def test_other_errors_are_left_alone():
    with pytest.raises(RuntimeError, match="shapes"), naming_batch_size(4):
        raise RuntimeError("shapes differ")

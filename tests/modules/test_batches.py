"""Batches of tensors that are already where they are needed."""

import numpy as np
import pytest
import torch

from skgmje._training import _loop as batches_module
from skgmje._training._loop import (
    ArrayRows,
    TensorBatches,
    TensorRows,
    draw_rows,
    load_rows,
)

CPU = torch.device("cpu")


def _batches(n, size, **params):
    X = torch.arange(n, dtype=torch.float64)[:, None]
    rows = TensorRows(X, 10 * X[:, 0])
    generator = torch.Generator().manual_seed(0)
    return TensorBatches(rows, size, random_state=generator, **params), X


def test_full_batch_is_not_copied():
    batches, X = _batches(5, 5, n_steps=3)
    assert len(batches) == 3
    assert all(batch is X for batch, _ in batches)


def test_rows_come_once_before_any_comes_twice():
    batches, X = _batches(12, 4, n_steps=3)
    for _ in range(4):
        seen = torch.cat([batch for batch, _ in batches])
        assert torch.equal(seen.sort(dim=0).values, X)


def test_batches_have_one_size_and_keep_rows_together():
    batches, _ = _batches(10, 4, n_steps=7)
    sizes = [
        len(batch) for batch, (other,) in batches if (10 * batch[:, 0] == other).all()
    ]
    assert sizes == [4] * 7


def test_passes_end_after_the_last_step():
    batches, _ = _batches(10, 4, n_steps=3, max_steps=7)
    assert [len(list(batches)) for _ in range(4)] == [3, 3, 1, 0]


def test_same_seed_same_batches():
    first, second = ([b for b, _ in _batches(9, 2, n_steps=9)[0]] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_tensors_where_they_fit_else_arrays_and_the_same_batches(monkeypatch):
    monkeypatch.setattr(batches_module, "_CHUNK_ENTRIES", 7)
    arrays = [np.arange(24.0).reshape(12, 2), np.arange(12.0)]
    tensors, streamed = (
        load_rows(arrays, np.float32, CPU, size) for size in (144, 143)
    )
    assert isinstance(tensors, TensorRows)
    assert isinstance(streamed, ArrayRows)
    seeds = [torch.Generator().manual_seed(0) for _ in range(2)]
    first, second = (
        TensorBatches(rows, 5, n_steps=6, random_state=seed)
        for rows, seed in zip((tensors, streamed), seeds, strict=True)
    )
    for (X, (y,)), (Z, (z,)) in zip(first, second, strict=True):
        assert X.dtype == Z.dtype == torch.float32
        assert torch.equal(X, Z)
        assert torch.equal(y, z)


def test_very_many_rows_are_drawn_without_a_permutation():
    rows = draw_rows(10**12, 1000, torch.Generator().manual_seed(0))
    assert rows.shape == (1000,)
    assert 0.4e12 < rows.double().mean() < 0.6e12
    few = draw_rows(10, 10, torch.Generator().manual_seed(0))
    assert few.sort().values.tolist() == list(range(10))


@pytest.mark.parametrize("size", [4, 12])
def test_arrays_may_be_read_only(size):
    X = np.arange(24.0).reshape(12, 2)
    X.flags.writeable = False
    rows = ArrayRows(X, dtype=np.float64, device=CPU)
    ((batch, others),) = TensorBatches(rows, size, random_state=torch.Generator())
    assert batch.shape == (size, 2)
    assert others == ()
    assert set(batch[:, 0].tolist()) <= set(X[:, 0])

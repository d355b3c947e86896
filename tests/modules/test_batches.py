"""Batches of tensors that are already where they are needed."""

import torch

from skgmje.modules._batches import TensorBatches, TensorRows


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

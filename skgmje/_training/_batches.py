"""Batches of samples for training."""

import math

import numpy as np
import torch

# Permutations of more samples than these would be as large as the samples.
_MAX_PERMUTED = 2**22

# Entries that are converted at a time.
_CHUNK_ENTRIES = 2**20


class TensorRows(torch.utils.data.Dataset):
    """Tensors that share their samples, already on their device."""

    def __init__(self, X, *others):
        self.X = X
        self.others = others
        self.device = X.device

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        return self.X[rows], tuple(other[rows] for other in self.others)


class ArrayRows(torch.utils.data.Dataset):
    """Arrays that share their samples, read and moved when a batch asks for them."""

    def __init__(self, X, *others, dtype, device):
        self.arrays = (X, *others)
        self.dtype = dtype
        self.device = device

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, rows):
        if torch.is_tensor(rows):
            rows = rows.numpy()
        X, *others = [
            torch.from_numpy(np.array(array[rows], self.dtype)).to(self.device)
            for array in self.arrays
        ]
        return X, tuple(others)


def load_rows(arrays, dtype, device, max_bytes):
    """Return samples for training: tensors if they fit, else arrays."""
    rows = ArrayRows(*arrays, dtype=dtype, device=device)
    size = sum(math.prod(array.shape) for array in arrays) * np.dtype(dtype).itemsize
    if size > max_bytes:
        return rows
    X, others = rows[:1]
    whole = [part.new_empty((len(rows), *part.shape[1:])) for part in (X, *others)]
    step = max(1, _CHUNK_ENTRIES // max(1, X[0].numel()))
    for start in range(0, len(rows), step):
        chunk = slice(start, start + step)
        X, others = rows[chunk]
        for tensor, part in zip(whole, (X, *others), strict=True):
            tensor[chunk] = part
    return TensorRows(*whole)


def share_rows(array, device):
    """Return an array as samples for training, on the CPU without a copy of it."""
    return TensorRows(torch.from_numpy(array).to(device).contiguous())


def draw_rows(n_rows, size, random_state):
    """Return indices of random samples; of very many some may come twice."""
    if n_rows > _MAX_PERMUTED:
        return torch.randint(n_rows, (size,), generator=random_state)
    return torch.randperm(n_rows, generator=random_state)[:size]


class TensorBatches:
    """Iterate over batches of tensors without visiting single samples."""

    remembered = ("left", "source", "n_used")

    def __init__(
        self, dataset, batch_size, n_steps=1, max_steps=None, random_state=None
    ):
        self.dataset = dataset
        self.batch_size = min(batch_size, len(dataset))
        self.n_steps = n_steps
        self.left = math.inf if max_steps is None else max_steps
        self.random_state = random_state
        # The order follows from the state of the generator that it was drawn by.
        self.source = self.order = None
        self.n_used = 0

    def __len__(self):
        return min(self.n_steps, self.left)

    def __iter__(self):
        for _ in range(len(self)):
            self.left -= 1
            yield self._next()

    def _next(self):
        """Return the samples of the next batch."""
        size, n_rows = self.batch_size, len(self.dataset)
        if size == n_rows and isinstance(self.dataset, TensorRows):
            return self.dataset.X, self.dataset.others
        if self.order is None and self.source is not None:
            self.order = self._draw(torch.Generator().set_state(self.source.cpu()))
        if self.order is None or len(self.order) - self.n_used < size:
            self.source = self.random_state and self.random_state.get_state()
            self.order, self.n_used = self._draw(self.random_state), 0
        rows = self.order[self.n_used : self.n_used + size]
        self.n_used += size
        return self.dataset[rows]

    def _draw(self, random_state):
        """Return the next order of the samples; of very many, of one batch."""
        n_rows = len(self.dataset)
        drawn = self.batch_size if n_rows > _MAX_PERMUTED else n_rows
        order = draw_rows(n_rows, drawn, random_state)
        if isinstance(self.dataset, TensorRows):
            order = order.to(self.dataset.device)
        return order

"""Batches of tensors that are already where they are needed."""

import math

import torch


class TensorRows(torch.utils.data.Dataset):
    """Tensors that share their rows, already on their device."""

    def __init__(self, X, *others):
        self.X = X
        self.others = others

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        return self.X[rows], tuple(other[rows] for other in self.others)


class TensorBatches:
    """Iterate over batches of tensors without visiting single rows.

    Each pass yields `n_steps` batches of one size and goes on where the last
    one ended: rows are drawn without replacement until too few are left, then
    shuffled anew. As long as a batch holds all rows, nothing is copied.

    Parameters
    ----------
    dataset : TensorRows
        The tensors.

    batch_size : int
        Rows per batch.

    n_steps : int, default=1
        Number of batches in one pass.

    max_steps : int or None, default=None
        Number of batches after which the passes are empty.

    random_state : torch.Generator, default=None
        The source of randomness, on the CPU.
    """

    def __init__(
        self, dataset, batch_size, n_steps=1, max_steps=None, random_state=None
    ):
        self.dataset = dataset
        self.batch_size = min(batch_size, len(dataset))
        self.n_steps = n_steps
        self.left = math.inf if max_steps is None else max_steps
        self.random_state = random_state
        self.order = torch.empty(0, dtype=torch.long)

    def __len__(self):
        return min(self.n_steps, self.left)

    def __iter__(self):
        for _ in range(len(self)):
            self.left -= 1
            yield self._next()

    def _next(self):
        size = self.batch_size
        if size == len(self.dataset):
            return self.dataset.X, self.dataset.others
        if len(self.order) < size:
            order = torch.randperm(len(self.dataset), generator=self.random_state)
            self.order = order.to(self.dataset.X.device)
        rows, self.order = self.order[:size], self.order[size:]
        return self.dataset[rows]

"""Groups of processes that train together."""

import os
import warnings
import zlib
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

_training = ContextVar("training", default=False)


# Rows by which processes recognise that theirs are the same.
_COMPARED = 256


def group_size():
    """Return how many processes train together; one outside of trainings."""
    return distributed.get_world_size() if _training.get() and _exists() else 1


def _exists():
    return distributed.is_available() and distributed.is_initialized()


@contextmanager
def training_together(module, rows, random_state, device):
    """Let the processes of the default group, if there is one, train together."""
    if not _exists():
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            warnings.warn(
                "WORLD_SIZE is set but torch.distributed is not initialised: each "
                "process trains alone. Call "
                "torch.distributed.init_process_group() before fit.",
                stacklevel=2,
            )
        yield
        return
    token = _training.set(True)
    try:
        _compare(rows, random_state, device)
        with torch.no_grad():
            for tensor in module.state_dict().values():
                distributed.broadcast(tensor, 0)
        yield
    finally:
        _training.reset(token)


def _compare(rows, random_state, device):
    """Raise if the processes do not have the same rows and random states."""
    first, _ = rows[:_COMPARED]
    parts = first.cpu().numpy(), random_state.get_state().numpy()
    sums = [zlib.crc32(np.ascontiguousarray(part)) for part in parts]
    mine = torch.tensor([len(rows), *sums], dtype=torch.float64, device=device)
    known = mine.clone()
    distributed.broadcast(known, 0)
    differs = (mine != known).any().to(mine)
    distributed.all_reduce(differs)
    if differs:
        raise ValueError(
            "The processes of torch.distributed have other rows, or draw other random "
            "numbers. Give each of them the same X, whole and in the same order, and "
            "an integer random_state."
        )


class Gather(torch.autograd.Function):
    """The rows of all processes in each; gradients of all are added up."""

    @staticmethod
    def forward(ctx, own, start, n_rows):
        """Return all rows; `own` are those from `start`, along the axis before last."""
        ctx.share = start, own.shape[-2]
        whole = own.new_zeros((*own.shape[:-2], n_rows, own.shape[-1]))
        whole.narrow(-2, *ctx.share).copy_(own)
        distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx, grad):
        total = grad.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total.narrow(-2, *ctx.share), None, None


def by_rows(network, X):
    """Evaluate a network, in a group each process for its share of the rows."""
    size, n_rows = group_size(), X.shape[-2]
    if size == 1:
        return network(X)
    rank = distributed.get_rank()
    start, stop = n_rows * rank // size, n_rows * (rank + 1) // size
    share = start, stop - start

    def gather(own):
        return Gather.apply(own, start, n_rows)

    modules = network.modules() if isinstance(network, nn.Module) else ()
    hooks = []
    try:
        for module in modules:
            if isinstance(module, _BatchNorm) and module.training:
                hooks += _let_see(module, gather, share)
        return gather(network(X.narrow(-2, *share)))
    finally:
        for hook in hooks:
            hook.remove()


def _let_see(module, gather, share):
    """Give a batch normalisation all rows, and what follows the share of its rows."""

    def see_all(_, args):
        own = args[0]
        return (gather(own.flatten(1)).unflatten(1, own.shape[1:]),)

    yield module.register_forward_pre_hook(see_all)
    yield module.register_forward_hook(lambda _, args, out: out.narrow(0, *share))


def average_gradients(parameters):
    """Replace gradients by their means over the processes, in one message."""
    size = group_size()
    gradients = [p.grad for p in parameters if p.grad is not None]
    if size == 1 or not gradients:
        return
    total = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(total)
    total /= size
    parts = total.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def agree(losses, device):
    """Return the losses of the first process: all must draw the same conclusions."""
    if group_size() == 1:
        return losses
    shared = torch.tensor(losses, dtype=torch.float64, device=device)
    distributed.broadcast(shared, 0)
    return shared.tolist()

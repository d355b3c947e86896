"""Devices, threads, memory and processes of a training run."""

import os
import threading
import zlib
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from skgmje._warnings import warn

_LOCK = threading.RLock()

# What errors say of devices without room, and of processors.
_NO_MEMORY = ("out of memory", "allocate memory", "not enough memory")


def _start_anew():
    """Let torch work in a forked process: its threads have not come along."""
    global _LOCK
    _LOCK = threading.RLock()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def resolve_device(device):
    """Return the torch device that a word names."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # The meta device makes tensors, but they have no values.
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here ({str(error).splitlines()[0]}). "
            "Use device='auto', or 'cpu'."
        ) from error
    return torch.device(device)


def load_tensors(module, tensors):
    """Give a network the parameters and buffers that a file has of it."""
    floats = [part for part in tensors.values() if part.is_floating_point()]
    if floats:
        module.to(floats[0].dtype)
    module.load_state_dict(dict(tensors))
    return module.eval()


@contextmanager
def naming_batch_size(batch_size):
    """Say what to do where the memory of a device does not hold a batch."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        words = str(error).lower()
        if not isinstance(error, MemoryError) and not any(
            part in words for part in _NO_MEMORY
        ):
            raise
        remedy = "Use smaller layers, or device='cpu'."
        if batch_size > 1:
            remedy = f"Try batch_size={batch_size // 2}."
        reason = str(error).partition("\n")[0].strip() or type(error).__name__
        raise MemoryError(
            f"There is not enough memory for batch_size={batch_size}. {remedy} "
            f"({reason})"
        ) from error


@contextmanager
def own_random_state(seed, device=None):
    """Lend torch's default generators a seed, and give their states back."""
    on_cuda = device is not None and device.type == "cuda"
    with _LOCK:
        state = torch.get_rng_state()
        cuda_state = torch.cuda.get_rng_state(device) if on_cuda else None
        try:
            torch.default_generator.manual_seed(seed)
            if on_cuda:
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            yield
        finally:
            torch.set_rng_state(state)
            if on_cuda:
                torch.cuda.set_rng_state(cuda_state, device)


@contextmanager
def fast_training(module, X):
    """Let training multiply bfloat16 where it is faster."""
    if not (module.training and X.dtype == torch.float32 and _has_bfloat16(X.device)):
        yield
        return
    try:
        with torch.autocast(X.device.type, torch.bfloat16):
            yield
    finally:
        # Inside another one it would remember the parameters of this step.
        torch.clear_autocast_cache()


def _has_bfloat16(device):
    """Return whether a device multiplies bfloat16 by itself."""
    if device.type == "cuda":
        # An emulated one is slower than single precision; they came with 8.0.
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Older versions of torch cannot tell.
    is_supported = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)
    return device.type == "cpu" and is_supported()


# Whether the processes of the default group train together.
_training = ContextVar("training", default=False)

# Samples by which processes recognise that theirs are the same.
_COMPARED = 256


def group_size():
    """Return how many processes train together; one outside of trainings."""
    return distributed.get_world_size() if _training.get() and _exists() else 1


def _exists():
    """Return whether there is a group of processes."""
    return distributed.is_available() and distributed.is_initialized()


@contextmanager
def training_together(module, rows, random_state, device):
    """Let the processes of the default group, if there is one, train together."""
    if not _exists():
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            warn(
                "WORLD_SIZE is set but torch.distributed is not initialised: each "
                "process trains alone. Call "
                "torch.distributed.init_process_group() before fit."
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
    """Raise if the processes do not have the same samples and random states."""
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
            "The processes of torch.distributed have other samples, or draw other "
            "random numbers. Give each of them the same X, whole and in the same "
            "order, and an integer random_state."
        )


class Gather(torch.autograd.Function):
    """The samples of all processes in each; gradients of all are added up."""

    @staticmethod
    def forward(ctx, own, start, n_rows):
        """Return all samples; `own` are those from `start`, on the axis before last."""
        ctx.share = start, own.shape[-2]
        whole = own.new_zeros((*own.shape[:-2], n_rows, own.shape[-1]))
        whole.narrow(-2, *ctx.share).copy_(own)
        distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx, grad):
        """Return the gradient by the samples of this process."""
        total = grad.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total.narrow(-2, *ctx.share), None, None


def by_rows(network, X):
    """Evaluate a network, in a group each process for its share of the samples."""
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
    """Give a batch normalisation all samples, and what follows its own share."""

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

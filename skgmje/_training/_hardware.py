"""Devices, threads and memory of a training run."""

import os
import threading
from contextlib import contextmanager, nullcontext

import torch

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


def fast_training(module, X):
    """Return a context in which training multiplies bfloat16, if that is faster
    here.
    """
    if module.training and X.dtype == torch.float32 and _has_bfloat16(X.device):
        return torch.autocast(X.device.type, torch.bfloat16)
    return nullcontext()


def _has_bfloat16(device):
    if device.type == "cuda":
        # An emulated one is slower than single precision; they came with 8.0.
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Older versions of torch cannot tell.
    is_supported = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)
    return device.type == "cpu" and is_supported()

"""Settings of the process, on which no number may depend."""

import sys
from contextlib import ExitStack, contextmanager
from functools import wraps
from inspect import isfunction
from typing import Any

import numpy as np

from skgmje._typing import Class, Function

# Those of NumPy at first.
_ERRORS = {"all": "warn", "under": "ignore"}


@contextmanager
def own_settings():
    """Compute as a fresh process does; other threads see nothing of it."""
    # The default data type is one for all threads: who makes a tensor names its own.
    torch = sys.modules.get("torch")
    with ExitStack() as stack:
        enter = stack.enter_context
        enter(np.errstate(**_ERRORS))
        if torch is not None:
            enter(torch.inference_mode(mode=False))
            enter(torch.enable_grad())
            # Without need it would keep casts of parameters in what is nested in it.
            for kind in filter(_is_cast, ("cpu", "cuda")):
                enter(torch.autocast(kind, enabled=False))
            # Such a context has a price in each operation.
            if torch.empty(0).device.type != "cpu":
                enter(torch.device("cpu"))
        yield


def _is_cast(kind):
    """Return whether torch lowers the precision on a kind of device."""
    torch = sys.modules["torch"]
    try:
        return torch.is_autocast_enabled(kind)
    except TypeError:  # before torch 2.4
        on_cpu = kind == "cpu"
        return (
            torch.is_autocast_cpu_enabled if on_cpu else torch.is_autocast_enabled
        )()


def own_errors(function: Function) -> Function:
    """Let a function meet NumPy's errors as a fresh process does."""

    @wraps(function)
    def settled(*args, **kwargs):
        with np.errstate(**_ERRORS):
            return function(*args, **kwargs)

    return settled  # type: ignore[return-value]


def settle(cls: Class) -> Class:
    """Let all that is public of a class have :func:`own_errors`, but for fits."""
    # Those have all settings; a further call would stand where their warnings point.
    for name, member in [*vars(cls).items()]:
        if name.startswith(("_", "fit", "partial_fit")):
            continue
        if isfunction(member):
            setattr(cls, name, own_errors(member))
        elif isinstance(member, property):
            getter: Any = member.fget
            setattr(cls, name, member.getter(own_errors(getter)))
    return cls

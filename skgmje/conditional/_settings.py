"""Settings of the sources of components."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# One mixture of contexts and targets: they can integrate out what is missing.
CLOSED_FORM = ("memory-bank", "neural-gas", "prototypes")


SOURCES = ("auto", "network", *CLOSED_FORM)


def go_on(losses):
    """Hear of an epoch, and do not stop."""
    return False


@dataclass(frozen=True)
class Settings:
    """Settings of all sources of components; each reads its own."""

    n_components: Any = "auto"
    covariance_type: str = "full"
    shrinkage: Any = "auto"
    reg_covar: float = 1e-6
    max_iter: Any = "auto"
    tol: float = 1e-3
    n_members: int = 5
    hidden_layer_sizes: tuple = (64, 64, 64)
    learning_rate: float = 6e-3
    batch_size: Any = "auto"
    min_scale: float = 5e-3
    warmup: bool = True
    dropout: float = 0.0
    weight_decay: Any = "auto"
    patience: float = 1.0
    checkpoint: Any = None
    judged: bool = False
    device: Any = None
    callbacks: Any = None
    net_params: Any = None
    on_epoch: Callable = go_on

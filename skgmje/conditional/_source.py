"""What a source of components is, and what its fit is told beside its parameters."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skgmje._options import Options


def go_on(losses):
    """Hear of an epoch, and do not stop."""
    return False


@dataclass(frozen=True)
class Settings:
    """How a source is fitted, beside what its parameters say."""

    #: Whether held-out densities are wanted, though nothing is to be chosen.
    judged: bool = False
    #: Where networks are trained, the CPU if None.
    device: Any = None
    verbose: int = 0
    on_epoch: Callable = go_on
    #: State of the training whose trainer has a folder for it.
    checkpoint: Any = None
    # What networks that see the predictions of others do otherwise.
    warmup: bool = True
    dropout: float = 0.0
    weight_decay: Any = "auto"
    patience: float = 1.0


class Source(Options):
    """A source of components: its parameters, and how it is fitted.

    ``_fit`` gets standardized samples and returns a
    :class:`~skgmje.conditional._models.Fit`. Ctrl-C may raise `Interrupted` with one.
    """

    #: Whether contexts may be missing (NaN).
    takes_missing = False
    #: Whether it tells the densities of held-out samples, so that it can be pooled.
    is_judged = True

    def _trainers(self):
        """Return what users ask of its trainings, checked."""
        return []

    @abstractmethod
    def _fit(self, X, Y, settings, sample_weight=None, random_state=None):
        """Learn from standardized samples; return a `Fit`."""

"""Files of models and of unfinished fits: numbers and words, never code."""

from skgmje._persistence._checkpoint import Checkpoint, fingerprint
from skgmje._persistence._model import load, save

__all__ = ["Checkpoint", "fingerprint", "load", "save"]

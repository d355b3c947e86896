"""Files of models and of unfinished fits: numbers and words, never code.

A leaf: it knows the classes of the library by name only. Nothing here is
imported before a file is asked for.
"""

from skgmje._persistence._checkpoint import Checkpoint, fingerprint
from skgmje._persistence._model import load, save

__all__ = ["Checkpoint", "fingerprint", "load", "save"]

"""Fits of joint mixtures to pairs of contexts and targets, one file per source."""

from skgmje._joint._models import Conditional, Fit, JointConditional
from skgmje._joint._settings import Settings

# One mixture of contexts and targets: they can integrate out what is missing.
CLOSED_FORM = ("memory-bank", "neural-gas", "prototypes")
SOURCES = ("auto", "network", *CLOSED_FORM)

__all__ = [
    "CLOSED_FORM",
    "Conditional",
    "Fit",
    "JointConditional",
    "SOURCES",
    "Settings",
]

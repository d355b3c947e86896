"""Conditional densities."""

from skgmje.conditional._conditional_mixture import ConditionalMixtureDensity
from skgmje.conditional._stack import StackingConditionalDensity

__all__ = [
    "ConditionalMixtureDensity",
    "StackingConditionalDensity",
]

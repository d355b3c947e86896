"""Stacks of many densities, with weights by held-out likelihood."""

from skgmje.ensemble._conditional import StackingConditionalDensity
from skgmje.ensemble._stacked_mixture import StackedMixture
from skgmje.ensemble._stacking_density import StackingDensity

__all__ = ["StackedMixture", "StackingConditionalDensity", "StackingDensity"]

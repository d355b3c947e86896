"""Stacks of many densities, with weights by held-out likelihood."""

from skgmje.ensemble._stacked_mixture import StackedMixture
from skgmje.ensemble._stacking_density import StackingDensity

__all__ = ["StackedMixture", "StackingDensity"]


def __getattr__(name):
    # It stands in skgmje.conditional, with all of p(y | x).
    if name == "StackingConditionalDensity":
        from skgmje.conditional import StackingConditionalDensity

        return StackingConditionalDensity
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

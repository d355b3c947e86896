"""Pictures of fitted densities, in the form of scikit-learn's displays.

They need matplotlib: ``pip install "skgmje[plot]"``.
"""

from skgmje.inspection._cluster_displays import ClassificationDisplay, SelectionDisplay
from skgmje.inspection._density_displays import (
    ConditionalDensityDisplay,
    DensityDisplay,
    RegionDisplay,
)
from skgmje.inspection._fit_displays import CalibrationDisplay, LossCurveDisplay
from skgmje.inspection._mixture_display import GraphDisplay, MixtureDisplay

__all__ = [
    "CalibrationDisplay",
    "ClassificationDisplay",
    "ConditionalDensityDisplay",
    "DensityDisplay",
    "GraphDisplay",
    "LossCurveDisplay",
    "MixtureDisplay",
    "RegionDisplay",
    "SelectionDisplay",
]

"""Pictures of fitted densities, in the form of scikit-learn's displays."""

from skgmje.inspection._cluster_displays import ClassificationDisplay, SelectionDisplay
from skgmje.inspection._conditional_display import ConditionalDensityDisplay
from skgmje.inspection._density_display import DensityDisplay
from skgmje.inspection._fit_displays import CalibrationDisplay, LossCurveDisplay
from skgmje.inspection._mixture_display import GraphDisplay, MixtureDisplay
from skgmje.inspection._region_display import RegionDisplay

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

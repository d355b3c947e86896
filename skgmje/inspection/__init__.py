"""Pictures of fitted densities, in the form of scikit-learn's displays."""

from skgmje.inspection._calibration_display import CalibrationDisplay
from skgmje.inspection._conditional_display import ConditionalDensityDisplay
from skgmje.inspection._density_display import DensityDisplay
from skgmje.inspection._graph_display import GraphDisplay
from skgmje.inspection._loss_curve_display import LossCurveDisplay
from skgmje.inspection._mixture_display import MixtureDisplay

__all__ = [
    "CalibrationDisplay",
    "ConditionalDensityDisplay",
    "DensityDisplay",
    "GraphDisplay",
    "LossCurveDisplay",
    "MixtureDisplay",
]

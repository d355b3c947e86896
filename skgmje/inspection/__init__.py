"""Pictures of fitted densities, in the form of scikit-learn's displays."""

from skgmje.inspection._calibration import CalibrationDisplay
from skgmje.inspection._conditional import ConditionalDensityDisplay
from skgmje.inspection._density import DensityDisplay
from skgmje.inspection._graph import GraphDisplay
from skgmje.inspection._loss_curve import LossCurveDisplay
from skgmje.inspection._mixture import MixtureDisplay

__all__ = [
    "CalibrationDisplay",
    "ConditionalDensityDisplay",
    "DensityDisplay",
    "GraphDisplay",
    "LossCurveDisplay",
    "MixtureDisplay",
]

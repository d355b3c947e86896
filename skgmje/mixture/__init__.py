"""Density estimators."""

from skgmje.mixture._classifier import MixtureClassifier
from skgmje.mixture._gas_growth import GasGrowth
from skgmje.mixture._gaussian_mixture import GaussianMixture
from skgmje.mixture._kernel_generators import Codes, Noise
from skgmje.mixture._kernel_mixture import KernelMixtureDensity
from skgmje.mixture._neural_gas_mixture import GrowingNeuralGasMixture
from skgmje.mixture._student_mixture import StudentMixture

__all__ = [
    "Codes",
    "GasGrowth",
    "GaussianMixture",
    "GrowingNeuralGasMixture",
    "KernelMixtureDensity",
    "MixtureClassifier",
    "Noise",
    "StudentMixture",
]


def __getattr__(name):
    # It stands in skgmje.conditional, which builds on this package.
    if name == "ConditionalMixtureDensity":
        from skgmje.conditional import ConditionalMixtureDensity

        return ConditionalMixtureDensity
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

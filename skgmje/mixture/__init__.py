"""Density estimators."""

from skgmje.mixture._conditional_mixture import ConditionalMixtureDensity
from skgmje.mixture._gaussian_mixture import GaussianMixture
from skgmje.mixture._kernel_mixture import KernelMixtureDensity
from skgmje.mixture._neural_gas_mixture import GrowingNeuralGasMixture

__all__ = [
    "ConditionalMixtureDensity",
    "GaussianMixture",
    "GrowingNeuralGasMixture",
    "KernelMixtureDensity",
]

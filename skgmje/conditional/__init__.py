"""Conditional densities, and the sources of their components."""

from skgmje.conditional._conditional_mixture import ConditionalMixtureDensity
from skgmje.conditional._joint_sources import MemoryBank, NeuralGas
from skgmje.conditional._network_sources import MixtureNetwork, TrainedModule
from skgmje.conditional._stack import StackingConditionalDensity

__all__ = [
    "ConditionalMixtureDensity",
    "MemoryBank",
    "MixtureNetwork",
    "NeuralGas",
    "StackingConditionalDensity",
    "TrainedModule",
]

"""Torch modules that make Gaussian mixtures."""

from skgmje.modules._generators import CodeGenerator, MixtureModule, NoiseGenerator, mlp
from skgmje.modules._memory_bank import MemoryBank
from skgmje.modules._network import MixtureDensityNetwork
from skgmje.modules._neural_gas import NeuralGas
from skgmje.modules._prototypes import Prototypes

__all__ = [
    "CodeGenerator",
    "MemoryBank",
    "MixtureDensityNetwork",
    "MixtureModule",
    "NeuralGas",
    "NoiseGenerator",
    "Prototypes",
    "mlp",
]

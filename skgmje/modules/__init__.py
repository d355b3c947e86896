"""Torch modules that make Gaussian mixtures."""

from skgmje.modules._base import MixtureModule
from skgmje.modules._generator import (
    GENERATORS,
    CodeGenerator,
    NoiseGenerator,
    mlp,
)
from skgmje.modules._memory_bank import MemoryBank
from skgmje.modules._network import MixtureDensityNetwork
from skgmje.modules._neural_gas import NeuralGas
from skgmje.modules._prototypes import Prototypes
from skgmje.modules._registry import MIXTURE_MODULES

__all__ = [
    "CodeGenerator",
    "GENERATORS",
    "MIXTURE_MODULES",
    "MemoryBank",
    "MixtureDensityNetwork",
    "MixtureModule",
    "NeuralGas",
    "NoiseGenerator",
    "Prototypes",
    "mlp",
]

"""Torch modules that make Gaussian mixtures."""

from skgmje.modules._base import MixtureModule
from skgmje.modules._generator import (
    GENERATORS,
    CodeGenerator,
    NoiseGenerator,
    mlp,
)
from skgmje.modules._network import MixtureDensityNetwork

__all__ = [
    "CodeGenerator",
    "GENERATORS",
    "MixtureDensityNetwork",
    "MixtureModule",
    "NoiseGenerator",
    "mlp",
]

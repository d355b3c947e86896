"""Torch modules that make Gaussian mixtures."""

from skgmje.modules._base import MixtureModule
from skgmje.modules._generator import (
    GENERATORS,
    CodeGenerator,
    NoiseGenerator,
    mlp,
)

__all__ = ["CodeGenerator", "GENERATORS", "MixtureModule", "NoiseGenerator", "mlp"]

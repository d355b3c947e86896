"""Torch modules that make Gaussian mixtures."""

# ruff: noqa: E402 - the check comes first, so that what is missing has a clear name
from skgmje._backend import check_torch

check_torch("skgmje.modules", ("torch",))

from skgmje.modules._generators import CodeGenerator, MixtureModule, NoiseGenerator, mlp
from skgmje.modules._network import MixtureDensityNetwork
from skgmje.modules._prototypes import Prototypes

__all__ = [
    "CodeGenerator",
    "MixtureDensityNetwork",
    "MixtureModule",
    "NoiseGenerator",
    "Prototypes",
    "mlp",
]

"""Densities in other coordinates."""

from skgmje.compose._marginal_gaussianizer import MarginalGaussianizer
from skgmje.compose._residual_coordinates import ResidualCoordinates
from skgmje.compose._transformed import GaussianMixtureCopula, TransformedDensity
from skgmje.compose._transformed_mixture import TransformedMixture

__all__ = [
    "GaussianMixtureCopula",
    "MarginalGaussianizer",
    "ResidualCoordinates",
    "TransformedDensity",
    "TransformedMixture",
]

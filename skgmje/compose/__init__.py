"""Densities in other coordinates."""

from skgmje.compose._marginal_gaussianizer import MarginalGaussianizer
from skgmje.compose._residual_coordinates import ResidualCoordinates
from skgmje.compose._transformed import TransformedDensity

__all__ = [
    "MarginalGaussianizer",
    "ResidualCoordinates",
    "TransformedDensity",
]

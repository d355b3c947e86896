"""Densities in other coordinates."""

from skgmje.compose._transformed import TransformedDensity

__all__ = ["TransformedDensity"]

"""Density estimators."""

from skgmje.mixture._gaussian_mixture import GaussianMixture

__all__ = ["GaussianMixture"]

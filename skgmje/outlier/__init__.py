"""Outliers: samples that a density makes unlikely, and how sure one can be."""

from skgmje.outlier._detector import DensityOutlierDetector, conformal_p_values

__all__ = ["DensityOutlierDetector", "conformal_p_values"]

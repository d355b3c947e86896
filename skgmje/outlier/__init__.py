"""Outliers: samples that a density makes unlikely, and how sure one can be."""

from skgmje.outlier._conformal import conformal_p_values
from skgmje.outlier._detector import DensityOutlierDetector

__all__ = [
    "DensityOutlierDetector",
    "conformal_p_values",
]

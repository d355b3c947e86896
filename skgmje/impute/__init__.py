"""Missing values: filled in with their uncertainty, and estimates pooled."""

from skgmje.impute._imputer import MixtureImputer
from skgmje.impute._pooling import PooledEstimates, pool_estimates

__all__ = [
    "MixtureImputer",
    "PooledEstimates",
    "pool_estimates",
]

"""Gaussian mixtures and kernels: the algebra."""

from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._grams import Bandwidths, Grams, grams
from skgmje.gaussian._mixture import Mixture
from skgmje.gaussian._pairs import gaussian_log_gram
from skgmje.gaussian._regions import Region

__all__ = [
    "Bandwidths",
    "COVARIANCE_TYPES",
    "Grams",
    "Mixture",
    "Region",
    "gaussian_log_gram",
    "grams",
]

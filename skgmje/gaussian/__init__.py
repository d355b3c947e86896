"""Gaussian mixtures and kernels: the algebra."""

from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._grams import Grams, grams
from skgmje.gaussian._kernel import gaussian_log_gram
from skgmje.gaussian._mixture import Mixture

__all__ = [
    "COVARIANCE_TYPES",
    "Grams",
    "Mixture",
    "gaussian_log_gram",
    "grams",
]

"""Gaussian mixtures and kernels: the algebra."""

from skgmje.gaussian._grams import Grams, grams
from skgmje.gaussian._kernel import gaussian_log_gram

__all__ = ["Grams", "gaussian_log_gram", "grams"]

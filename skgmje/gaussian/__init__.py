"""Gaussian mixtures and kernels: the algebra."""

from skgmje.gaussian._kernel import Grams, gaussian_log_gram, grams

__all__ = ["Grams", "gaussian_log_gram", "grams"]

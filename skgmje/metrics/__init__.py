"""Scores of densities that are one Gaussian mixture for each row."""

from skgmje.metrics._calibration import (
    interval_coverage,
    probability_integral_transform,
)
from skgmje.metrics._crps import crps, crps_samples
from skgmje.metrics._energy import energy_score, energy_score_samples
from skgmje.metrics._points import mean_log_likelihood, rmse
from skgmje.metrics._scorers import (
    coverage_scorer,
    crps_scorer,
    energy_scorer,
    make_mixture_scorer,
    rmse_scorer,
)

__all__ = [
    "coverage_scorer",
    "crps",
    "crps_samples",
    "crps_scorer",
    "energy_score",
    "energy_score_samples",
    "energy_scorer",
    "interval_coverage",
    "make_mixture_scorer",
    "mean_log_likelihood",
    "probability_integral_transform",
    "rmse",
    "rmse_scorer",
]

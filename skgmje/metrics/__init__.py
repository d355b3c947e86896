"""Scores of predicted mixtures, and comparisons of densities."""

from skgmje.metrics._calibration import (
    interval_coverage,
    probability_integral_transform,
)
from skgmje.metrics._crps import crps, crps_samples
from skgmje.metrics._distances import cauchy_schwarz_divergence, l2_distance
from skgmje.metrics._energy import energy_score, energy_score_samples
from skgmje.metrics._monte_carlo import (
    MonteCarloEstimate,
    monte_carlo_cauchy_schwarz,
    monte_carlo_kl,
    monte_carlo_l2,
)
from skgmje.metrics._mutual_information import mutual_information
from skgmje.metrics._points import mean_log_likelihood, rmse
from skgmje.metrics._scorers import (
    coverage_scorer,
    crps_scorer,
    energy_scorer,
    make_mixture_scorer,
    rmse_scorer,
)
from skgmje.metrics._surprise import conditional_surprise, feature_surprise
from skgmje.metrics._two_sample import TwoSampleTest, two_sample_test

__all__ = [
    "MonteCarloEstimate",
    "TwoSampleTest",
    "cauchy_schwarz_divergence",
    "conditional_surprise",
    "coverage_scorer",
    "crps",
    "crps_samples",
    "crps_scorer",
    "energy_score",
    "energy_score_samples",
    "energy_scorer",
    "feature_surprise",
    "interval_coverage",
    "l2_distance",
    "make_mixture_scorer",
    "mean_log_likelihood",
    "monte_carlo_cauchy_schwarz",
    "monte_carlo_kl",
    "monte_carlo_l2",
    "mutual_information",
    "probability_integral_transform",
    "rmse",
    "rmse_scorer",
    "two_sample_test",
]

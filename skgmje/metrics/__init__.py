"""Scores of predicted mixtures, and comparisons of densities."""

from skgmje.metrics._distances import (
    cauchy_schwarz_divergence,
    l2_distance,
    two_sample_test,
)
from skgmje.metrics._divergences import entropy, kl_divergence
from skgmje.metrics._inference import (
    MixtureBootstrap,
    bootstrap_mixture,
    likelihood_ratio_test,
)
from skgmje.metrics._monte_carlo import (
    monte_carlo_cauchy_schwarz,
    monte_carlo_kl,
    monte_carlo_l2,
    mutual_information,
)
from skgmje.metrics._scorers import (
    coverage_scorer,
    crps_scorer,
    energy_scorer,
    make_mixture_scorer,
    rmse_scorer,
)
from skgmje.metrics._scores import (
    crps,
    crps_samples,
    energy_score,
    energy_score_samples,
    interval_coverage,
    mean_log_likelihood,
    probability_integral_transform,
    rmse,
)
from skgmje.metrics._surprise import conditional_surprise, feature_surprise
from skgmje.metrics._transport import TransportMap, transport_map, wasserstein

__all__ = [
    "MixtureBootstrap",
    "TransportMap",
    "bootstrap_mixture",
    "cauchy_schwarz_divergence",
    "conditional_surprise",
    "coverage_scorer",
    "crps",
    "crps_samples",
    "crps_scorer",
    "energy_score",
    "energy_score_samples",
    "energy_scorer",
    "entropy",
    "feature_surprise",
    "interval_coverage",
    "kl_divergence",
    "l2_distance",
    "likelihood_ratio_test",
    "make_mixture_scorer",
    "mean_log_likelihood",
    "monte_carlo_cauchy_schwarz",
    "monte_carlo_kl",
    "monte_carlo_l2",
    "mutual_information",
    "probability_integral_transform",
    "rmse",
    "rmse_scorer",
    "transport_map",
    "two_sample_test",
    "wasserstein",
]

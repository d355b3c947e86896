"""Rules that fit a mixture: pure functions of arrays."""

from skgmje.adaptation._em import EMResult, expectation_maximization
from skgmje.adaptation._resampling import (
    RESAMPLING,
    effective_sample_size,
    multinomial_resampling,
    residual_resampling,
    stratified_resampling,
    systematic_resampling,
)
from skgmje.adaptation._start import start_mixture, weights_only

__all__ = [
    "EMResult",
    "RESAMPLING",
    "effective_sample_size",
    "expectation_maximization",
    "multinomial_resampling",
    "residual_resampling",
    "start_mixture",
    "stratified_resampling",
    "systematic_resampling",
    "weights_only",
]

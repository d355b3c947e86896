"""Rules that fit a mixture: pure functions of arrays."""

from skgmje.adaptation._em import EMResult, expectation_maximization
from skgmje.adaptation._start import start_mixture, weights_only

__all__ = ["EMResult", "expectation_maximization", "start_mixture", "weights_only"]

"""Mixtures of every covariance type."""

import numpy as np
import pytest

from skgmje.gaussian import Mixture


@pytest.fixture
def make_mixture(rng):
    """Return a maker of random mixtures: ``make(covariance_type, k, d, shift)``."""

    def make(covariance_type="full", k=3, d=2, shift=0.0):
        factors = rng.normal(size=(k, d, 1))
        variances = rng.uniform(0.3, 1.0, size=(k, d))
        matrices = factors @ np.swapaxes(factors, -1, -2) + 0.5 * np.eye(d)
        covariances = {
            "full": matrices,
            "tied": matrices[0],
            "diag": variances,
            "spherical": variances[:, 0],
            "low-rank": (factors, variances),
        }[covariance_type]
        means = rng.normal(size=(k, d)) + shift
        return Mixture(rng.dirichlet(np.ones(k)), means, covariances, covariance_type)

    return make

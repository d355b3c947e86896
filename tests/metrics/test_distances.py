"""Closed forms agree with integrals, and refuse what is no mixture."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.neighbors import KernelDensity

from skgmje.gaussian import COVARIANCE_TYPES, Mixture
from skgmje.metrics import cauchy_schwarz_divergence, l2_distance
from skgmje.mixture import GaussianMixture

CLOSED = {
    l2_distance: "monte_carlo_l2",
    cauchy_schwarz_divergence: "monte_carlo_cauchy_schwarz",
}


def _integrals(first, second):
    """Integrate p^2, q^2 and pq on a grid of two features."""
    axis = np.linspace(-12, 12, 801)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    p, q = (np.exp(mixture.log_prob(grid)) for mixture in (first, second))
    cell = (axis[1] - axis[0]) ** 2
    return p @ p * cell, q @ q * cell, p @ q * cell


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_closed_forms_agree_with_integrals(covariance_type, make_mixture):
    first, second = make_mixture(covariance_type), make_mixture("full", k=2)
    pp, qq, pq = _integrals(first, second)
    assert_allclose(l2_distance(first, second), (pp + qq - 2 * pq) ** 0.5, rtol=1e-6)
    divergence = cauchy_schwarz_divergence(first, second)
    assert_allclose(divergence, np.log(pp * qq / pq**2), rtol=1e-6)


@pytest.mark.parametrize("distance", CLOSED)
def test_distance_laws(distance, make_mixture):
    first, second = make_mixture("diag"), make_mixture("low-rank")
    assert isinstance(distance(first, second), float)
    assert_allclose(distance(first, second), distance(second, first))
    assert distance(first, first) < 1e-7 < distance(first, second)


@pytest.mark.parametrize("distance", CLOSED)
def test_estimators_of_both_libraries_and_batches_are_taken(distance, rng):
    X = rng.normal(size=(60, 2))
    ours = GaussianMixture(2, random_state=0).fit(X)
    theirs = SklearnGaussianMixture(2, random_state=0).fit(X)
    kernels = KernelDensity(bandwidth=0.5).fit(X)
    assert distance(ours, theirs) < distance(ours, kernels)
    one_each = ours.condition([0], X[:4, :1])
    assert distance(one_each, ours.marginal([1])).shape == (4,)


@pytest.mark.parametrize(("distance", "instead"), CLOSED.items())
def test_other_densities_are_sent_to_the_monte_carlo_function(distance, instead):
    mixture = Mixture([1.0], [[0.0]], [1.0], "spherical")
    box = KernelDensity(kernel="tophat").fit(np.zeros((1, 1)))
    for pair in [(mixture, box), (box, mixture), ("text", mixture)]:
        with pytest.raises(TypeError, match=re.escape(f"skgmje.metrics.{instead}")):
            distance(*pair)


@pytest.mark.parametrize("distance", CLOSED)
def test_features_must_agree(distance, make_mixture):
    with pytest.raises(ValueError, match="has 3 features"):
        distance(make_mixture(d=2), make_mixture(d=3))

"""Estimates lie within their standard errors of closed forms and integrals."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import StandardScaler

from skgmje.gaussian import COVARIANCE_TYPES, Mixture
from skgmje.metrics import (
    cauchy_schwarz_divergence,
    l2_distance,
    monte_carlo_cauchy_schwarz,
    monte_carlo_kl,
    monte_carlo_l2,
)

ESTIMATES = {
    "cauchy-schwarz": (monte_carlo_cauchy_schwarz, cauchy_schwarz_divergence),
    "l2": (monte_carlo_l2, l2_distance),
}
FUNCTIONS = [monte_carlo_kl, monte_carlo_l2, monte_carlo_cauchy_schwarz]


def _normal(d=1, scale=1.0, shift=0.0):
    return Mixture([1.0], np.full((1, d), shift), [scale**2], "spherical")


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize(("estimate", "exact"), ESTIMATES.values(), ids=ESTIMATES)
def test_estimate_agrees_with_closed_form(
    estimate, exact, covariance_type, make_mixture
):
    first, second = make_mixture(covariance_type), make_mixture("full", shift=0.5)
    value, error = estimate(first, second, n_samples=4000, random_state=0)
    assert abs(value - exact(first, second)) < 4 * error
    assert error < 0.1 * value


def test_kl_of_two_normals():
    value, error = monte_carlo_kl(_normal(3), _normal(3, 2.0, 1.0), random_state=0)
    exact = 3 * (np.log(2) + 2 / 8 - 0.5)
    assert abs(value - exact) < 4 * error < 0.1


@pytest.mark.parametrize("function", FUNCTIONS)
def test_standard_error_is_the_spread_of_repetitions(function, make_mixture):
    first, second = make_mixture("diag"), make_mixture("full", shift=1.0)
    runs = [
        function(first, second, n_samples=400, random_state=seed) for seed in range(200)
    ]
    values, errors = np.array(runs).T
    assert_allclose(np.mean(errors), np.std(values), rtol=0.2)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_equal_densities_are_zero_apart_without_error(function, make_mixture):
    mixture = make_mixture()
    value, error = function(mixture, mixture, random_state=0)
    assert_allclose([value, error], 0, atol=1e-12)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_same_seed_same_value_and_no_global_state(function, make_mixture):
    pair = make_mixture(), make_mixture()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = function(*pair, n_samples=50, random_state=1)
    assert function(*pair, n_samples=50, random_state=1) == first
    assert function(*pair, n_samples=50, random_state=2) != first
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_any_density_that_scores_and_samples_is_taken():
    # A box of height one half on [-1, 1], and one twice as wide.
    first = KernelDensity(kernel="tophat", bandwidth=1.0).fit(np.zeros((1, 1)))
    second = KernelDensity(kernel="tophat", bandwidth=2.0).fit(np.zeros((1, 1)))
    value, error = monte_carlo_kl(first, second, random_state=0)
    assert_allclose([value, error], [np.log(2), 0], atol=1e-12)
    assert monte_carlo_kl(second, first, random_state=0) == (np.inf, np.inf)
    value, error = monte_carlo_l2(first, second, random_state=0)
    assert abs(value - 0.5) < 4 * error
    value, error = monte_carlo_cauchy_schwarz(first, second, random_state=0)
    assert abs(value - np.log(2)) < 4 * error


def test_densities_that_do_not_meet():
    boxes = [
        KernelDensity(kernel="tophat", bandwidth=1.0).fit([[x]]) for x in (0.0, 9.0)
    ]
    infinite = np.inf, np.inf
    assert monte_carlo_cauchy_schwarz(*boxes, random_state=0) == infinite
    assert_allclose(monte_carlo_l2(*boxes, random_state=0).value, 1.0)


def test_an_integral_that_the_draws_miss_is_not_claimed_to_be_known():
    near, far = _normal(shift=2.0), _normal(shift=1e3)
    assert monte_carlo_cauchy_schwarz(_normal(), far, random_state=0)[1] == np.inf
    assert monte_carlo_cauchy_schwarz(_normal(), near, random_state=0)[1] < 0.1
    wide, narrow = _normal(50, 10.0), _normal(50)
    for function in (monte_carlo_l2, monte_carlo_cauchy_schwarz):
        assert function(wide, narrow, n_samples=5, random_state=0)[1] == np.inf


@pytest.mark.filterwarnings("error")
def test_many_dimensions_neither_overflow_nor_become_nan():
    wide, narrow = _normal(2000, 10.0), _normal(2000, 0.1)
    for function in FUNCTIONS:
        assert not np.isnan(function(wide, narrow, n_samples=20, random_state=0)).any()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_faults_are_named(function):
    normal = _normal()
    with pytest.raises(ValueError, match="n_samples=1 "):
        function(normal, normal, n_samples=1)
    with pytest.raises(TypeError, match="lacks score_samples or sample"):
        function(StandardScaler(), normal)
    two = Mixture([1.0], np.zeros((2, 1, 1)), [1.0], "spherical")
    with pytest.raises(ValueError, match="several mixtures"):
        function(two, normal)


def test_a_density_that_contradicts_its_samples_is_named():
    class Liar:
        def score_samples(self, X):
            return np.full(len(X), -np.inf)

        def sample(self, n_samples, random_state):
            return np.zeros((n_samples, 1))

    with pytest.raises(ValueError, match="disagree"):
        monte_carlo_kl(Liar(), _normal())

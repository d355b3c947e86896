"""The mass of an image is what the density says, however it is computed."""

import numpy as np
import pytest
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import PowerTransformer, QuantileTransformer

from skgmje.compose import _transformed as _mass
from skgmje.compose._bijections import bijection
from skgmje.compose._transformed import draw, image_mass
from skgmje.mixture import GaussianMixture

ROWS = np.random.default_rng(0).exponential(size=(400, 2))
SKEWED = PowerTransformer("box-cox", standardize=False)


@pytest.fixture(
    params=[
        PowerTransformer("box-cox", standardize=False),
        QuantileTransformer(n_quantiles=20, output_distribution="normal"),
    ],
    ids=["box-cox", "quantile"],
)
def change(request):
    return bijection(request.param.fit(np.round(ROWS + 0.1, 1)))


def density(covariance_type, n_features=2):
    rng = np.random.default_rng(3)
    return GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(
        rng.normal(-1, 1.5, size=(300, n_features)) @ np.ones((n_features, n_features))
        + rng.normal(size=(300, n_features))
    )


@pytest.mark.parametrize("covariance_type", ["diag", "spherical"])
def test_closed_form_agrees_with_points(change, covariance_type):
    mixture = density(covariance_type).mixture_
    exact = image_mass(mixture, change, 2)
    counted = _mass._quasi_monte_carlo(mixture, change)
    assert exact.error == 0
    assert 0 < counted.error < 1e-3
    assert abs(exact.value - counted.value) < 5 * counted.error


@pytest.mark.parametrize("covariance_type", ["full", "tied", "low-rank"])
def test_points_agree_with_samples(change, covariance_type):
    mixture = density(covariance_type).mixture_
    counted = image_mass(mixture, change, 2)
    sampled = _mass._monte_carlo(mixture, change)
    assert counted.error < sampled.error
    error = np.hypot(counted.error, sampled.error)
    assert abs(counted.value - sampled.value) < 4 * error


def test_points_are_the_same_in_every_run(change):
    mixture = density("full").mixture_
    assert image_mass(mixture, change, 2) == image_mass(mixture, change, 2)


def test_one_bounded_column_has_a_closed_form_under_any_mixture():
    change = bijection(SKEWED.fit(ROWS[:, :1]))
    ((lower, upper),) = change.intervals(1)[0]
    mixture = density("full", 1).mixture_
    mass = image_mass(mixture, change, 1)
    expected = mixture.cdf(min(upper, 1e9)) - mixture.cdf(lower)
    assert mass == pytest.approx((float(expected), 0.0), rel=1e-12)


def test_mass_far_above_the_mean_is_exact():
    change = bijection(SKEWED.fit(ROWS[:, :1]))
    ((lower, _),) = change.intervals(1)[0]
    mixture = GaussianMixture.from_parameters([1.0], [[lower - 9.0]], [[[1.0]]])
    assert image_mass(mixture, change, 1).value == pytest.approx(1.128588e-19)


def test_other_densities_are_sampled(change):
    kde = KernelDensity(kernel="tophat").fit(density("full").sample(200)[0])
    mass = image_mass(kde, change, 2)
    assert 0 < mass.value < 1
    assert 0 < mass.error < 3e-3


def test_density_without_samples():
    class Flat:
        def score_samples(self, X):
            return np.zeros(len(X))

    with pytest.raises(TypeError, match="has no method sample"):
        draw(Flat(), 5, 0)

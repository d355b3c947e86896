"""Distribution functions and quantiles are each other's inverse, to the tails."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from skgmje.gaussian import COVARIANCE_TYPES, Mixture

TYPES = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
LEADING = pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
LEVELS = np.array([1e-300, 1e-12, 0.01, 0.3, 0.5, 0.7, 0.99, 1 - 1e-12])


@TYPES
@LEADING
def test_quantile_inverts_the_distribution(covariance_type, leading, make_mixture, xp):
    mixture = make_mixture(
        covariance_type, n_components=5, n_features=1, leading=leading, xp=xp
    )
    values = mixture.quantile(LEVELS)
    assert values.shape == (len(LEVELS), *leading)
    assert values.dtype == mixture.means.dtype
    levels = np.broadcast_to(LEVELS.reshape(-1, *[1] * len(leading)), values.shape)
    assert_allclose(mixture.cdf(values), levels, rtol=1e-10)
    assert mixture.quantile(0.5).shape == leading
    assert mixture.quantile(np.full((2, 7), 0.5)).shape == (2, 7, *leading)
    assert np.all(np.diff(np.asarray(values), axis=0) > 0)


def test_one_component_agrees_with_scipy(xp):
    mean, scale = np.array([[2.0]]), np.array([9.0])
    mixture = Mixture(
        xp.asarray([1.0]), xp.asarray(mean), xp.asarray(scale), "spherical"
    )
    y = np.linspace(-100, 60, 81)
    assert_allclose(mixture.cdf(xp.asarray(y)), norm(2, 3).cdf(y), rtol=1e-12)
    assert_allclose(mixture.quantile(LEVELS), norm(2, 3).ppf(LEVELS), rtol=1e-13)


@TYPES
def test_distribution_is_the_integral_of_the_density(covariance_type, make_mixture):
    mixture = make_mixture(covariance_type, n_features=1)
    y = np.linspace(-20, 20, 40001)
    density = np.exp(mixture.log_prob(y[:, None]))
    integral = np.cumsum(density) * (y[1] - y[0])
    assert_allclose(mixture.cdf(y), integral, atol=1e-3)


@given(st.integers(0, 2**32 - 1), st.floats(1e-14, 1 - 1e-14), st.integers(-9, 9))
def test_any_mixture_is_inverted(seed, level, exponent):
    generator = np.random.default_rng(seed)
    size = generator.integers(1, 9)
    spread = generator.choice([0.0, 1.0, 1e3])
    weights = generator.dirichlet(np.full(size, generator.choice([0.03, 1.0])), 6)
    means = 10.0**exponent * spread * generator.normal(size=(6, size, 1))
    variances = 10.0 ** (2 * exponent - 4 * generator.random((6, size, 1)))
    mixture = Mixture(weights, means, variances, "diag")
    values = mixture.quantile(level)
    # In a wide gap the distribution is flat up to rounding of the weights.
    assert_allclose(mixture.cdf(values), level, rtol=1e-10, atol=1e-15)


@pytest.mark.filterwarnings("error")
def test_far_components_and_gaps():
    weights = np.array([0.5, 0.25, 0.25, 0.0])
    means = np.array([[0.0], [1e9], [-1e300], [1e308]])
    mixture = Mixture(weights, means, [1e-12, 1.0, 1.0, 1.0], "spherical")
    assert_allclose(mixture.quantile([0.1, 0.9]), [-1e300, 1e9])
    assert_allclose(mixture.quantile(0.5), 0.0, atol=1e-9)
    in_the_gap = Mixture([0.5, 0.5], [[-1e6], [1e6]], [1.0, 1.0], "spherical")
    assert in_the_gap.cdf(in_the_gap.quantile(0.5)) == 0.5


def test_upper_tail_is_exact_by_reflection():
    mixture = Mixture([0.3, 0.7], [[0.0], [1.0]], [1.0, 4.0], "spherical")
    upper = mixture.affine(-1.0).cdf(-30.0)
    assert_allclose(upper, 0.3 * norm.sf(30) + 0.7 * norm(1, 2).sf(30), rtol=1e-12)
    assert mixture.cdf(1e300) == 1
    assert mixture.cdf(-1e300) == 0


def test_rows_do_not_depend_on_their_neighbours(make_mixture):
    joint = make_mixture("full", n_components=6, n_features=3)
    values = joint.sample(2000, 0)[0][:, :2]
    many = joint.condition([0, 1], values).quantile([0.05, 0.95])
    few = joint.condition([0, 1], values[5:8]).quantile([0.05, 0.95])
    assert_allclose(many[:, 5:8], few, rtol=1e-12)


def test_blocks_change_nothing(make_mixture, monkeypatch):
    mixture = make_mixture("diag", n_features=1, leading=(50,))
    y = np.linspace(-2, 2, 150).reshape(3, 50)
    whole = mixture.cdf(y), mixture.quantile([0.2, 0.8]), mixture.mode()
    monkeypatch.setattr("skgmje._backend.BLOCK_SIZE", 16)
    cut = mixture.cdf(y), mixture.quantile([0.2, 0.8]), mixture.mode()
    for one, other in zip(whole, cut, strict=True):
        assert_array_equal(one, other)


def test_of_no_values_and_no_samples(make_mixture):
    mixture = make_mixture("diag", n_features=1)
    none = np.zeros((0, 1))
    scores = mixture.log_prob(none), mixture.exceedance(none)
    for answer in (mixture.cdf(none[:, 0]), mixture.quantile(none[:, 0]), *scores):
        assert answer.shape == (0,)


def test_distribution_has_the_density_as_gradient(make_mixture):
    mixture = make_mixture("full", n_features=1, leading=(4,), xp=torch)
    y = torch.linspace(-1, 1, 4, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(mixture.cdf(y).sum(), y)
    assert_allclose(gradient, mixture.log_prob(y.detach()[:, None]).exp(), rtol=1e-10)


@pytest.mark.parametrize("q", [0.0, 1.0, -0.1, np.nan, [0.5, 2.0], "half"])
def test_refused_levels(q, make_mixture):
    with pytest.raises(ValueError, match="between 0 and 1"):
        make_mixture("full", n_features=1).quantile(q)


def test_refused_mixtures_and_values(make_mixture):
    with pytest.raises(ValueError, match="quantile needs a mixture of one feature"):
        make_mixture("full").quantile(0.5)
    with pytest.raises(ValueError, match="cdf needs a mixture of one feature"):
        make_mixture("full").cdf(0.5)
    mixture = make_mixture("full", n_features=1, leading=(4,))
    with pytest.raises(ValueError, match="y has shape"):
        mixture.cdf(np.zeros((4, 1)))
    with pytest.raises(ValueError, match="NaN"):
        mixture.cdf(np.nan)

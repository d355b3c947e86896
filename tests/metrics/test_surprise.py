"""Surprise follows its laws, and points at the column that was changed."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.neighbors import KernelDensity

from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.metrics import conditional_surprise, feature_surprise

BOTH = [feature_surprise, conditional_surprise]


def test_one_normal_gives_half_the_squared_score(make_mixture, rng):
    normal, X = make_mixture(k=1, d=3), rng.normal(size=(5, 3))
    covariance, diff = normal.covariances[0], X - normal.means[0]
    marginal = 0.5 * diff**2 / np.diag(covariance)
    assert_allclose(feature_surprise(normal, X), marginal)
    precision = np.linalg.inv(covariance)
    conditional = 0.5 * (diff @ precision) ** 2 / np.diag(precision)
    assert_allclose(conditional_surprise(normal, X), conditional, rtol=1e-6)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_absolute_surprise_is_a_difference_of_log_densities(
    covariance_type, make_mixture, rng
):
    mixture, X = make_mixture(covariance_type, d=3), 2 * rng.normal(size=(7, 3))
    marginal = [-mixture.marginal([j]).log_prob(X[:, [j]]) for j in range(3)]
    assert_allclose(feature_surprise(mixture, X, relative=False), np.array(marginal).T)
    rest = [
        mixture.marginal([1, 2]),
        mixture.marginal([0, 2]),
        mixture.marginal([0, 1]),
    ]
    keep = [[1, 2], [0, 2], [0, 1]]
    others = [m.log_prob(X[:, k]) for m, k in zip(rest, keep, strict=True)]
    expected = (np.array(others) - mixture.log_prob(X)).T
    assert_allclose(conditional_surprise(mixture, X, relative=False), expected)


@pytest.mark.parametrize("function", BOTH)
def test_relative_surprise_knows_no_units_and_is_not_negative(
    function, make_mixture, rng
):
    mixture, X = make_mixture(d=3, k=5), rng.normal(size=(20, 3))
    plain = function(mixture, X)
    assert (plain >= 0).all()
    scale = np.array([1e3, -1e-2, 7.0])
    scaled = function(mixture.affine(scale, 4.0), X * scale + 4.0)
    assert_allclose(scaled, plain, rtol=1e-5, atol=1e-6)


def test_conditional_surprise_is_what_the_best_repair_gains(make_mixture):
    mixture, row = make_mixture(k=4), np.array([[2.0, -2.0]])
    values = np.linspace(-10, 10, 20_001)
    repaired = np.stack([np.full_like(values, 2.0), values], axis=1)
    gain = mixture.log_prob(repaired).max() - mixture.log_prob(row)[0]
    assert_allclose(conditional_surprise(mixture, row)[0, 1], gain, atol=1e-5)


def test_the_wrong_column_stands_out(rng):
    # Three columns that say the same: each is usual, but one contradicts.
    X = rng.normal(size=(300, 1)) + 0.1 * rng.normal(size=(300, 3))
    kernels = KernelDensity(bandwidth=0.2).fit(X)
    wrong = np.array([[1.0, 1.0, -1.0]])
    assert conditional_surprise(kernels, wrong).argmax() == 2
    assert np.ptp(feature_surprise(kernels, wrong)) < 1


@pytest.mark.parametrize("function", BOTH)
def test_missing_values_say_nothing(function, make_mixture, rng):
    mixture, X = make_mixture(d=3), rng.normal(size=(6, 3))
    X[[0, 2], 1] = np.nan
    X[4] = np.nan
    surprise = function(mixture, X)
    assert_allclose(surprise[np.isnan(X)], 0)
    pair = function(mixture.marginal([0, 2]), X[[0, 2]][:, [0, 2]])
    assert_allclose(surprise[[0, 2]][:, [0, 2]], pair, atol=1e-9)
    assert_allclose(surprise[1], function(mixture, X[[1]])[0], atol=1e-9)


@pytest.mark.parametrize("function", BOTH)
def test_blocks_and_rows_far_away(function, make_mixture, rng, monkeypatch):
    mixture, X = make_mixture(), rng.normal(size=(9, 2))
    whole = function(mixture, X)
    monkeypatch.setattr("skgmje.metrics._surprise.CHUNK_ROWS", 4)
    assert_allclose(function(mixture, X), whole, atol=1e-9)
    assert not np.isnan(function(mixture, [[1e8, -1e8], [1e100, 0.0]])).any()


@pytest.mark.parametrize("function", BOTH)
def test_faults_are_named(function, make_mixture):
    with pytest.raises(ValueError, match="3 columns"):
        function(make_mixture(), np.zeros((2, 3)))
    with pytest.raises(TypeError, match="not one Gaussian mixture"):
        function("text", np.zeros((2, 3)))

"""The closed form agrees with quadrature, samples and scikit-learn's conventions."""

from inspect import signature

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.mixture import GaussianMixture

from skgmje import metrics
from skgmje.gaussian import COVARIANCE_TYPES, Mixture
from skgmje.metrics import crps, crps_samples


@pytest.fixture
def rows(rng):
    """Forty mixtures of one feature, and a value for each."""
    weights = rng.dirichlet(np.ones(5), size=40)
    means = 2 * rng.normal(size=(40, 5, 1))
    mixture = Mixture(weights, means, rng.uniform(0.1, 1, size=(40, 5)), "spherical")
    return mixture, 2 * rng.normal(size=40)


def test_score_is_the_integral_of_the_squared_distance(rows):
    mixture, y = rows
    for i in range(5):
        one = Mixture(
            mixture.weights[i], mixture.means[i], mixture.covariances[i], "spherical"
        )
        below = quad(lambda t, one=one: one.cdf(t) ** 2, -30, y[i], limit=200)[0]
        above = quad(lambda t, one=one: (1 - one.cdf(t)) ** 2, y[i], 30, limit=200)[0]
        assert_allclose(crps_samples(y[i : i + 1], one)[0], below + above, rtol=1e-6)


def test_score_agrees_with_expectations_over_samples(rows):
    mixture, y = rows
    first, second = (mixture.sample(20_000, seed)[0][..., 0] for seed in (0, 1))
    draws = np.abs(first - y) - 0.5 * np.abs(first - second)
    error = draws.std(axis=0) / len(draws) ** 0.5
    assert np.all(np.abs(crps_samples(y, mixture) - draws.mean(axis=0)) < 4 * error)


def test_one_gaussian_has_the_known_formula():
    y = np.linspace(-5, 5, 11)
    mixture = Mixture([1.0], [[1.0]], [4.0], "spherical")
    z = (y - 1) / 2
    known = 2 * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - np.pi**-0.5)
    assert_allclose(crps_samples(y, mixture), known, rtol=1e-12)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_types_libraries_and_shared_mixtures_agree(covariance_type, rng):
    means = rng.normal(size=(3, 1))
    covariances = {
        "full": np.full((3, 1, 1), 0.25),
        "tied": np.full((1, 1), 0.25),
        "diag": np.full((3, 1), 0.25),
        "spherical": np.full(3, 0.25),
        "low-rank": (np.full((3, 1, 1), 0.5**0.5 / 2), np.full((3, 1), 0.125)),
    }
    y = rng.normal(size=7)
    weights = np.array([0.2, 0.3, 0.5])
    one = Mixture(weights, means, covariances[covariance_type], covariance_type)
    expected = crps_samples(y, Mixture(weights, means, covariances["diag"], "diag"))
    assert_allclose(crps_samples(y, one), expected, rtol=1e-12)
    many = Mixture(
        weights,
        np.tile(means, (7, 1, 1)),
        covariances[covariance_type],
        covariance_type,
    )
    assert_allclose(crps_samples(y, many), expected, rtol=1e-12)
    if covariance_type == "diag":
        tensors = map(torch.asarray, (weights, means, covariances["diag"]))
        assert_allclose(crps_samples(y, Mixture(*tensors, "diag")), expected)


def test_blocks_change_nothing(rows, monkeypatch):
    mixture, y = rows
    whole = crps_samples(y, mixture)
    monkeypatch.setattr("skgmje.metrics._scores.BLOCK_SIZE", 11)
    assert_allclose(crps_samples(y, mixture), whole, rtol=1e-13)


@given(st.integers(0, 2**32 - 1), st.integers(-9, 9), st.floats(-1e3, 1e3))
def test_score_scales_moves_and_is_not_negative(seed, exponent, shift):
    generator = np.random.default_rng(seed)
    means = generator.normal(size=(8, 3, 1))
    variances = 10.0 ** generator.uniform(-12, 1, size=(8, 3))
    weights = generator.dirichlet(np.full(3, 0.3), size=8)
    mixture = Mixture(weights, means, variances, "spherical")
    y = means[:, 0, 0]
    scores = crps_samples(y, mixture)
    assert np.all(scores >= 0)
    factor = 10.0**exponent
    moved = crps_samples(factor * (shift - y), mixture.affine(-factor, factor * shift))
    assert_allclose(moved, factor * scores, rtol=1e-6, atol=1e-9 * factor)


def test_the_truth_scores_best(rng):
    truth = Mixture([0.4, 0.6], [[-2.0], [2.0]], [0.5, 1.0], "spherical")
    y = truth.sample(4000, rng)[0][:, 0]
    best = crps(y, truth)
    for other in (truth.affine(1.3), truth.affine(0.7), truth.affine(1.0, 0.3)):
        assert crps(y, other) > best


def test_far_values_and_narrow_components_stay_finite():
    mixture = Mixture([0.5, 0.5], [[0.0], [0.0]], [1e-300, 1e-300], "spherical")
    y = np.array([0.0, 1e150, -1e150])
    assert_allclose(crps_samples(y, mixture), [0, 1e150, 1e150], atol=1e-149)


def test_conventions_of_metrics(rng):
    mixture = Mixture(
        rng.dirichlet(np.ones(2), size=6),
        rng.normal(size=(6, 2, 3)),
        rng.uniform(0.5, 1, (6, 2, 3)),
        "diag",
    )
    Y = rng.normal(size=(6, 3))
    each = crps_samples(Y, mixture)
    assert each.shape == (6, 3)
    assert_allclose(each[:, 1], crps_samples(Y[:, 1], mixture.marginal([1])))
    assert_array_equal(crps(Y, mixture, multioutput="raw_values"), each.mean(axis=0))
    assert_allclose(crps(Y, mixture), each.mean())
    assert isinstance(crps(Y, mixture), float)
    weighted = crps(Y, mixture, multioutput=[0.0, 0.0, 2.0])
    assert_allclose(weighted, each[:, 2].mean())
    rows = crps(Y, mixture, sample_weight=[1, 1, 0, 0, 0, 0])
    assert_allclose(rows, each[:2].mean())
    fitted = GaussianMixture(2, random_state=0).fit(Y)
    assert crps(Y, fitted) > 0


def of_targets():
    """Return the metrics of targets and a distribution."""
    found = [getattr(metrics, name) for name in metrics.__all__]
    return [f for f in found if [*signature(f).parameters][:1] == ["y_true"]]


@pytest.mark.parametrize("metric", of_targets(), ids=lambda f: f.__name__)
def test_the_other_order_is_refused(metric, rows):
    mixture, y = rows
    with pytest.raises(TypeError, match=r"\(y_true, distribution\)"):
        metric(mixture, y)


def test_refused_arguments(rows):
    mixture, y = rows
    with pytest.raises(ValueError, match="y_true has shape"):
        crps(np.zeros((40, 2)), mixture)
    with pytest.raises(ValueError, match="y_true has 39 samples"):
        crps(y[1:], mixture)
    with pytest.raises(ValueError, match="y_true contains NaN"):
        crps(np.full(40, np.nan), mixture)
    with pytest.raises(ValueError, match="multioutput='mean'"):
        crps(y, mixture, multioutput="mean")
    with pytest.raises(ValueError, match="multioutput has shape"):
        crps(y, mixture, multioutput=[1.0, 1.0])
    with pytest.raises(ValueError, match="sample_weight"):
        crps(y, mixture, sample_weight=np.zeros(40))
    with pytest.raises(TypeError, match="is not one Gaussian mixture"):
        crps(y, "mixture")

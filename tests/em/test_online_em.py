"""Laws of stepwise EM."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import make_blobs

from skgmje.em import expectation_maximization, online_em, start_mixture
from skgmje.gaussian import COVARIANCE_TYPES, Mixture

X, LABELS = make_blobs(600, 3, centers=4, cluster_std=1.5, random_state=1)
REG = {"reg_covar": 1e-4}


@pytest.fixture(params=COVARIANCE_TYPES)
def start(request):
    return start_mixture(X[:100], LABELS[:100], request.param, **REG)


def _same(first, second, tolerance):
    assert_allclose(first.weights, second.weights, atol=tolerance)
    assert_allclose(first.means, second.means, atol=tolerance)
    assert_allclose(first.covariance, second.covariance, atol=tolerance)


def test_rate_zero_changes_nothing(start):
    _same(online_em(start, X, rate=0.0, **REG), start, 1e-9)


def test_rate_one_is_a_step_of_em(start):
    result = expectation_maximization(X, start, max_iter=1, **REG)
    stepped = online_em(start, X, rate=1.0, dead_share=0.0, **REG)
    _same(stepped, result.mixture, 1e-9)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_the_fixed_point_is_that_of_em(kind):
    start = start_mixture(X, LABELS, kind, **REG)
    result = expectation_maximization(X, start, tol=1e-13, max_iter=2000, **REG)
    _same(online_em(result.mixture, X, rate=0.3, **REG), result.mixture, 1e-4)


def test_a_stream_is_learned(start, rng):
    mixture = start
    for _ in range(200):
        mixture = online_em(mixture, X[rng.integers(600, size=64)], **REG)
    best = expectation_maximization(X, start, max_iter=200, tol=1e-6, **REG).mixture
    assert mixture.log_prob(X).mean() > best.log_prob(X).mean() - 0.05


def test_dead_components_move_to_unlikely_rows(start):
    covariances = COVARIANCE_TYPES[start.covariance_type].select(
        start.covariances, np.array([0, 1, 2, 3, 0])
    )
    means = np.vstack([start.means, [[500.0, 500.0, 500.0]]])
    weights = np.append(start.weights * 0.999, 0.001)
    mixture = Mixture(weights, means, covariances, start.covariance_type)
    far = np.vstack([X[:50], [[40.0, 40.0, 40.0]]])
    stepped = online_em(mixture, far, **REG)
    assert_allclose(stepped.means[4], 40.0)
    assert stepped.weights[4] == pytest.approx(0.2 / 1.2, rel=0.01)
    assert stepped.weights.sum() == pytest.approx(1.0)
    kept = online_em(mixture, far, dead_share=0.0, **REG)
    assert_allclose(kept.means[4], 500.0)


def test_more_dead_components_than_rows():
    mixture = Mixture(np.eye(6)[0], np.zeros((6, 2)), np.ones(6), "spherical")
    stepped = online_em(mixture, np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert stepped.n_components == 6
    assert np.isfinite(stepped.log_prob(np.zeros((1, 2)))).all()


def test_single_precision_is_raised():
    start = start_mixture(X, LABELS, "full", **REG)
    parts = (start.weights, start.means, start.covariances)
    single = Mixture(*(part.astype(np.float32) for part in parts))
    stepped = online_em(single, X.astype(np.float32))
    assert stepped.means.dtype == np.float64

"""Joint mixtures that begin as a neural gas."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skgmje.conditional._sources import Settings, fit_neural_gas


def _crossing(n_rows, seed):
    """Return pairs with y = x or y = -x, in nearly standard units."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.7, 1.7, size=(n_rows, 1))
    sign = np.where(rng.random((n_rows, 1)) < 0.5, 1.0, -1.0)
    return X, sign * X + 0.1 * rng.normal(size=(n_rows, 1))


def _truth(X, Y):
    scaled = (Y - X * np.array([1.0, -1.0])) / 0.1
    density = np.exp(-(scaled**2) / 2).mean(axis=1) / (0.1 * np.sqrt(2 * np.pi))
    return np.log(density).mean()


def _fit(X, Y, sample_weight=None, seed=0, **settings):
    random_state = np.random.RandomState(seed)
    return fit_neural_gas(X, Y, Settings(**settings), sample_weight, random_state)


def test_it_comes_near_the_truth_and_knows_by_how_much():
    X, Y = _crossing(1500, 0)
    held_X, held_Y = _crossing(2000, 1)
    fit = _fit(X, Y)
    score = fit.model.predict_mixture(held_X).log_prob(held_Y).mean()
    assert score > _truth(held_X, held_Y) - 0.06
    judged = np.isfinite(fit.held_out)
    assert judged.mean() > 0.3
    assert fit.held_out[judged].mean() == pytest.approx(score, abs=0.1)
    assert len(fit.info["cv_results"]["params"]) > 10


def test_the_same_seed_gives_the_same_mixture():
    X, Y = _crossing(300, 0)
    first, second = (_fit(X, Y, n_components=6, shrinkage=2.0) for _ in range(2))
    assert first.held_out is None
    assert_array_equal(first.model.mixture.means, second.model.mixture.means)


def test_weights_of_zero_count_for_nothing():
    X, Y = _crossing(400, 0)
    weight = (X[:, 0] > 0).astype(float)
    mixture = _fit(X, Y, weight, n_components=5, shrinkage=2.0).model.mixture
    assert mixture.means[:, 0].min() > 0


@pytest.mark.parametrize("covariance_type", ["auto", "tied", "diag", "spherical"])
def test_covariance_types(covariance_type):
    X, Y = _crossing(200, 0)
    fit = _fit(
        X, Y, n_components=4, covariance_type=covariance_type, judged=True, max_iter=5
    )
    wanted = "full" if covariance_type == "auto" else covariance_type
    assert fit.model.mixture.covariance_type == wanted
    assert np.isfinite(fit.held_out).all()


def test_missing_contexts_are_learned_from():
    X, Y = _crossing(300, 0)
    X = np.hstack([X, X**2])
    X[::3, 0] = np.nan
    fit = _fit(X, Y, n_components=5)
    assert np.isfinite(fit.held_out).all()
    assert np.isfinite(fit.model.predict_mixture(X[:9]).log_prob(Y[:9])).all()


@pytest.mark.parametrize("n_rows", [1, 2, 3, 6, 12])
def test_few_rows(n_rows):
    X, Y = _crossing(n_rows, 0)
    fit = _fit(X, Y)
    assert np.isfinite(fit.model.predict_mixture(X).log_prob(Y)).all()


def test_one_component_needs_no_gas():
    X, Y = _crossing(50, 0)
    mixture = _fit(X, Y, n_components=1).model.mixture
    assert_allclose(mixture.means[0], np.hstack([X, Y]).mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"n_components": 6, "shrinkage": 2.0}])
def test_tensors_are_learned_from_on_their_device(settings):
    X, Y = _crossing(600, 0)
    weight = np.random.default_rng(0).random(600)
    fit = _fit(torch.asarray(X), torch.asarray(Y), weight, **settings)
    peer = _fit(X, Y, weight, **settings)
    scores = [f.model.predict_mixture(X).log_prob(Y).mean() for f in (fit, peer)]
    assert scores[0] == pytest.approx(scores[1], abs=0.1)
    assert isinstance(fit.model.mixture.means, np.ndarray)

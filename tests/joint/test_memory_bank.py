"""Joint mixtures that are a memory bank of weighted rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skgmje.conditional._sources import Settings, fit_memory_bank


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
    return fit_memory_bank(X, Y, Settings(**settings), sample_weight, random_state)


def _score(fit, X, Y):
    return fit.model.predict_mixture(X).log_prob(Y).mean()


def test_it_comes_near_the_truth_and_knows_by_how_much():
    X, Y = _crossing(1500, 0)
    held_X, held_Y = _crossing(2000, 1)
    fit = _fit(X, Y)
    score = _score(fit, held_X, held_Y)
    assert score > _truth(held_X, held_Y) - 0.12
    judged = np.isfinite(fit.held_out)
    assert fit.held_out[judged].mean() == pytest.approx(score, abs=0.1)


def test_without_em_it_is_particles_of_one_spherical_kernel():
    X, Y = _crossing(800, 0)
    fit = _fit(X, Y, n_components=200, max_iter=0)
    mixture = fit.model.mixture
    assert fit.held_out is None
    assert mixture.covariance_type == "spherical"
    assert_allclose(mixture.covariances, mixture.covariances[0])
    rows = np.hstack([X, Y])
    assert all((mean == rows).all(axis=1).any() for mean in mixture.means)
    assert mixture.weights.std() > 0


def test_the_stream_sets_better_weights_than_a_queue():
    X, Y = _crossing(3000, 0)
    held_X, held_Y = _crossing(2000, 1)
    bank = _fit(X, Y, n_components=200, max_iter=0)
    queue = _fit(X[:200], Y[:200], n_components=200, max_iter=0)
    assert _score(bank, held_X, held_Y) > _score(queue, held_X, held_Y) + 0.02


def test_the_same_seed_gives_the_same_mixture():
    X, Y = _crossing(300, 0)
    first, second = (_fit(X, Y, n_components=50) for _ in range(2))
    assert first.info["n_iter"] == second.info["n_iter"]
    assert_array_equal(first.model.mixture.means, second.model.mixture.means)


def test_weights_of_zero_count_for_nothing():
    X, Y = _crossing(400, 0)
    weight = (X[:, 0] > 0).astype(float)
    mixture = _fit(X, Y, weight, n_components=50, max_iter=1).model.mixture
    assert mixture.means[:, 0].min() > 0


@pytest.mark.parametrize("covariance_type", ["auto", "full", "diag", "spherical"])
def test_covariance_types(covariance_type):
    X, Y = _crossing(200, 0)
    fit = _fit(
        X,
        Y,
        n_components=40,
        covariance_type=covariance_type,
        judged=True,
        max_iter=2,
    )
    wanted = "full" if covariance_type == "auto" else covariance_type
    assert fit.model.mixture.covariance_type == wanted
    assert np.isfinite(fit.held_out).all()


def test_other_covariance_types_are_refused():
    with pytest.raises(ValueError, match="covariance_type='tied'"):
        _fit(*_crossing(50, 0), covariance_type="tied")


def test_particles_are_complete_rows():
    X, Y = _crossing(300, 0)
    X = np.hstack([X, X**2])
    X[::3, 0] = np.nan
    fit = _fit(X, Y, n_components=50)
    assert np.isfinite(fit.held_out).all()
    assert np.isfinite(fit.model.predict_mixture(X[:9]).log_prob(Y[:9])).all()
    assert fit.trouble == ""


def test_incomplete_contexts_are_said():
    X, Y = _crossing(50, 0)
    X = np.hstack([np.full_like(X, np.nan), X])
    fit = _fit(X, Y)
    assert "complete" in fit.trouble
    assert np.isfinite(fit.model.predict_mixture(X).log_prob(Y)).all()


@pytest.mark.parametrize("n_rows", [1, 2, 3, 6, 12])
def test_few_rows(n_rows):
    X, Y = _crossing(n_rows, 0)
    fit = _fit(X, Y)
    assert np.isfinite(fit.model.predict_mixture(X).log_prob(Y)).all()

"""Linear pools of conditional densities."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skgmje.conditional._models import JointConditional, PooledConditional
from skgmje.conditional._sources import POOLING
from skgmje.em._select import pool_weights as any_pool_weights
from skgmje.gaussian import Mixture

pool_weights = partial(any_pool_weights, **POOLING)


def make_model(rng, n_context, n_targets, covariance_type="full"):
    d = n_context + n_targets
    covariances = {
        "full": np.stack([np.cov(rng.normal(size=(d, 3 * d))) for _ in range(3)]),
        "diag": rng.uniform(0.5, 2, size=(3, d)),
        "spherical": rng.uniform(0.5, 2, size=3),
    }[covariance_type]
    mixture = Mixture(
        np.full(3, 1 / 3), rng.normal(size=(3, d)), covariances, covariance_type
    )
    return JointConditional(mixture, n_context)


@pytest.mark.parametrize("types", [("full", "diag"), ("diag", "spherical")])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_pool_is_the_weighted_mean_of_the_densities(rng, n_targets, types):
    models = tuple(make_model(rng, 2, n_targets, kind) for kind in types)
    pool = PooledConditional(np.array([0.3, 0.7]), models)
    X, Y = rng.normal(size=(5, 2)), rng.normal(size=(5, n_targets))
    each = [np.exp(model.predict_mixture(X).log_prob(Y)) for model in models]
    mixture = pool.predict_mixture(X)
    assert mixture.n_components == 6
    assert_allclose(np.exp(mixture.log_prob(Y)), 0.3 * each[0] + 0.7 * each[1])
    assert (pool.n_context, pool.n_targets) == (2, n_targets)


def test_models_of_no_weight_are_not_asked(rng):
    model = make_model(rng, 2, 1)
    pool = PooledConditional(np.array([1.0, 0.0]), (model, None))
    X = rng.normal(size=(4, 2))
    assert_array_equal(pool.predict_mixture(X).means, model.predict_mixture(X).means)


def test_weights_maximise_the_held_out_density(rng):
    log_densities = rng.normal(size=(300, 2))

    def score(weights):
        return np.log(np.exp(log_densities) @ weights).mean()

    best = pool_weights(log_densities)
    assert best.sum() == pytest.approx(1.0)
    grid = [np.array([w, 1 - w]) for w in np.linspace(0, 1, 101)]
    assert score(best) >= max(map(score, grid)) - 1e-6


def test_small_weights_become_zero(rng):
    good = rng.normal(size=200)
    others = good[:, None] - rng.uniform(1, 2, size=(200, 2))
    weights = pool_weights(np.column_stack([others, good]))
    assert_array_equal(weights, [0.0, 0.0, 1.0])


def test_equal_models_get_equal_weights():
    assert_allclose(pool_weights(np.zeros((10, 4))), 0.25)


def test_row_weights_count_as_copies(rng):
    log_densities = rng.normal(size=(50, 3))
    counts = rng.integers(0, 4, size=50)
    copies = pool_weights(np.repeat(log_densities, counts, axis=0))
    assert_allclose(pool_weights(log_densities, counts), copies, atol=1e-4)


def test_extreme_densities_are_no_trouble():
    log_densities = np.array([[-1e4, -1e4 - 1], [1e4, 0], [-np.inf, 3], [-np.inf] * 2])
    weights = pool_weights(log_densities)
    assert np.isfinite(weights).all()
    assert weights.min() > 0
    assert_allclose(pool_weights(np.full((3, 2), -np.inf)), 0.5)

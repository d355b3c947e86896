"""The energy score agrees with naive sums, and with the closed form in 1-d."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skgmje.gaussian import COVARIANCE_TYPES, Mixture
from skgmje.metrics import crps, crps_samples, energy_score, energy_score_samples


def _mixture(covariance_type, rng, n=6, d=2):
    factors = rng.normal(size=(n, 4, d, 1))
    variances = rng.uniform(0.05, 0.4, size=(n, 4, d))
    matrices = factors @ np.swapaxes(factors, -1, -2) + np.eye(d)
    covariances = {
        "full": matrices,
        "tied": matrices[:, 0],
        "diag": variances,
        "spherical": variances[..., 0],
        "low-rank": (factors, variances),
    }[covariance_type]
    weights = rng.dirichlet(np.ones(4), size=n)
    return Mixture(
        weights, 2 * rng.normal(size=(n, 4, d)), covariances, covariance_type
    )


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_score_agrees_with_naive_sums(covariance_type, rng):
    mixture = _mixture(covariance_type, rng)
    Y = rng.normal(size=(6, 2))
    first, second = (mixture.sample(20_000, seed)[0] for seed in (0, 1))
    error, spread = (np.linalg.norm(first - z, axis=-1) for z in (Y, second))
    naive = error - 0.5 * spread
    score = energy_score_samples(Y, mixture, n_samples=500, random_state=0)
    chance = naive.std(axis=0) / len(naive) ** 0.5
    own = np.sqrt(np.trace(mixture.covariance, axis1=1, axis2=2) / 500)
    assert np.all(np.abs(score - naive.mean(axis=0)) < 4 * chance + 2 * own)


def test_one_target_is_the_closed_form(rng):
    mixture = _mixture("full", rng).marginal([1])
    y = rng.normal(size=6)
    assert_array_equal(energy_score_samples(y, mixture), crps_samples(y, mixture))
    assert_array_equal(energy_score_samples(y[:, None], mixture).shape, (6,))
    assert energy_score(y, mixture) == crps(y, mixture)


def test_draws_have_no_bias_and_the_documented_error(rng):
    mixture = _mixture("full", rng)
    Y = rng.normal(size=(6, 2))
    exact = energy_score_samples(Y, mixture, n_samples=3000, random_state=0)
    draws = [
        energy_score_samples(Y, mixture, n_samples=10, random_state=seed)
        for seed in range(1, 301)
    ]
    bound = np.sqrt(np.trace(mixture.covariance, axis1=1, axis2=2) / 10)
    assert np.all(np.std(draws, axis=0) < bound)
    assert np.all(np.abs(np.mean(draws, axis=0) - exact) < 4 * bound / 300**0.5)


def test_dependence_of_targets_counts(rng):
    truth = Mixture([0.5, 0.5], [[-1.0, -1.0], [1.0, 1.0]], [0.1, 0.1], "spherical")
    wrong = truth.affine([1.0, -1.0])
    Y = truth.sample(500, rng)[0]
    assert_allclose(crps(Y, truth), crps(Y, wrong), atol=0.05)
    right = energy_score(Y, truth, random_state=0)
    assert right + 0.3 < energy_score(Y, wrong, random_state=0)


def test_one_mixture_serves_all_rows_in_blocks(rng, monkeypatch):
    mixture = Mixture([0.3, 0.7], rng.normal(size=(2, 3)), rng.random((2, 3)), "diag")
    Y = rng.normal(size=(20, 3))
    assert energy_score_samples(Y, mixture, random_state=0).shape == (20,)
    whole = energy_score(Y, mixture, n_samples=400, random_state=0)
    monkeypatch.setattr("skgmje._backend.BLOCK_SIZE", 7 * 400**2)
    cut = energy_score(Y, mixture, n_samples=400, random_state=1)
    assert_allclose(cut, whole, atol=0.02)


def test_conventions(rng):
    mixture, Y = _mixture("diag", rng), rng.normal(size=(6, 2))
    first = energy_score_samples(Y, mixture, random_state=3)
    assert_array_equal(energy_score_samples(Y, mixture, random_state=3), first)
    weighted = energy_score(
        Y, mixture, random_state=3, sample_weight=[1, 1, 0, 0, 0, 0]
    )
    assert_allclose(weighted, first[:2].mean())
    assert isinstance(weighted, float)
    with pytest.raises(ValueError, match="n_samples=0"):
        energy_score(Y, mixture, n_samples=0)

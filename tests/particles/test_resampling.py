"""Laws of systematic resampling and of the effective sample size."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skgmje.particles import effective_sample_size
from skgmje.particles import systematic_resampling as systematic


def _counts(indices, n_particles):
    return np.bincount(np.asarray(indices), minlength=n_particles)


def test_counts_have_the_right_expectation(rng):
    weights = rng.dirichlet(np.full(7, 0.5))
    n_samples, n_repeats = 10, 4000
    counts = [_counts(systematic(weights, n_samples, rng), 7) for _ in range(n_repeats)]
    error = np.sqrt(n_samples * weights / n_repeats)
    assert (np.abs(np.mean(counts, axis=0) - n_samples * weights) < 5 * error).all()


def test_weighted_mean_survives(rng):
    weights, particles = rng.dirichlet(np.ones(2000)), rng.normal(size=2000)
    drawn = particles[systematic(weights, 2000, rng)]
    assert abs(drawn.mean() - weights @ particles) < 0.1
    spread = np.sqrt(weights @ (particles - weights @ particles) ** 2)
    assert abs(drawn.std() - spread) < 0.1


def test_both_libraries_draw_the_same(rng):
    weights = rng.dirichlet(np.full(50, 0.3))
    drawn = systematic(torch.asarray(weights), 80, 3)
    assert torch.is_tensor(drawn)
    assert_array_equal(drawn.numpy(), systematic(weights, 80, 3))


def test_scale_of_the_weights_does_not_matter(rng):
    weights = rng.dirichlet(np.ones(20))
    assert_array_equal(
        systematic(weights, 30, 1),
        systematic(weights * 2.0**-40, 30, 1),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zero_weights_are_never_chosen(dtype, rng):
    weights = np.zeros(100, dtype)
    weights[10:90:3] = rng.random(27)
    for seed in range(50):
        assert (weights[systematic(weights, 1000, seed)] > 0).all()


def test_single_precision_sums_below_one_are_safe():
    weights = np.full(9_973, 1 / 9_973, np.float32)
    assert weights.cumsum()[-1] != 1
    for seed in range(20):
        indices = systematic(torch.asarray(weights), 20_000, seed)
        assert indices.shape == (20_000,)
        assert 0 <= int(indices.min()) <= int(indices.max()) < len(weights)


@pytest.mark.parametrize(
    "weights", [[0.0, 0.0], [1.0, -0.1], [1.0, np.nan], [1.0, np.inf]]
)
def test_what_is_no_weight_is_refused(weights):
    with pytest.raises(ValueError, match="weights has entries"):
        systematic(np.array(weights), 3, 0)


@pytest.mark.parametrize("n_samples", [5, 64, 1000])
def test_systematic_counts_are_rounded_expectations(n_samples, rng):
    for _ in range(50):
        weights = rng.dirichlet(np.full(64, 0.4))
        counts = _counts(systematic(weights, n_samples, rng), 64)
        expected = n_samples * weights
        assert (counts >= np.floor(expected)).all()
        assert (counts <= np.ceil(expected)).all()


@pytest.mark.parametrize("n_particles", [1, 7, 1000, 4096])
def test_equal_weights_are_left_alone(n_particles):
    for dtype in (np.float32, np.float64):
        weights = np.full(n_particles, 1 / n_particles, dtype)
        drawn = systematic(weights, n_particles, 5)
        assert_array_equal(drawn, np.arange(n_particles))


def test_effective_sample_size_is_extreme_where_it_should(xp, rng):
    def size(weights):
        return effective_sample_size(xp.asarray(weights)).item()

    assert size(np.full(13, 0.2)) == 13
    assert size(np.eye(5)[2]) == 1
    assert size(np.full(4, 1e-300)) == 4
    for _ in range(100):
        assert 1 < size(rng.dirichlet(np.ones(13))) < 13


def test_effective_sample_size_of_many_at_once(rng):
    weights = rng.dirichlet(np.ones(4), size=3)
    assert_allclose(effective_sample_size(weights), 1 / (weights**2).sum(axis=1))

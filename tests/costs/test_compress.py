"""A kernel density estimate of few centers: how near, laws, bad input."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.datasets import make_moons

from skgmje.costs import compress, scalar_cost
from skgmje.em import kernel_bandwidth, weights_only
from skgmje.gaussian import Mixture, grams


def whole(X, bandwidth, weights=None):
    """Return the kernel density estimate of all samples."""
    weights = np.full(len(X), 1 / len(X)) if weights is None else weights
    return Mixture(weights, X, np.full(len(X), bandwidth**2), "spherical")


def divergence(X, bandwidth, mixture, sample_weight=None):
    """Return the Cauchy-Schwarz divergence of a compressed estimate and the whole."""
    logs = None if sample_weight is None else np.log(sample_weight)
    pair = bandwidth, np.sqrt(mixture.covariances[0])
    return scalar_cost(grams(X, mixture.means, pair, None, logs), mixture.weights)


@pytest.fixture(scope="module")
def moons():
    X, _ = make_moons(500, noise=0.08, random_state=0)
    return X[:300], X[300:]


def test_a_tenth_of_the_centers_predicts_as_well(moons):
    X, held_out = moons
    all_of_them = whole(X, kernel_bandwidth(X)).log_prob(held_out).mean()
    mixture = compress(X, 30, random_state=0)
    assert mixture.means.shape == (30, 2)
    assert np.unique(mixture.covariances).size == 1
    assert_allclose(mixture.weights.sum(), 1.0)
    found = mixture.log_prob(held_out).mean()
    assert found == compress(X, 30, random_state=0).log_prob(held_out).mean()
    assert found > all_of_them - 0.02
    assert found > weights_only(X, X[:30]).log_prob(held_out).mean() + 0.05


def test_nothing_is_lost_where_all_samples_are_centers(rng):
    X = rng.normal(size=(8, 2))
    mixture = compress(X, 8, bandwidth=0.4, random_state=0)
    assert divergence(X, 0.4, mixture) < 1e-9
    x = rng.normal(size=(20, 2))
    assert_allclose(mixture.log_prob(x), whole(X, 0.4).log_prob(x), rtol=1e-5)


def test_repeated_samples_are_centers_of_more_weight():
    X = np.repeat([[0.0, 1.0], [4.0, 0.0], [9.0, 9.0]], [1, 3, 6], axis=0)
    mixture = compress(X, 5, bandwidth=0.5, random_state=0)
    order = np.argsort(mixture.weights)
    assert_allclose(mixture.weights[order], [0.1, 0.3, 0.6], atol=1e-3)
    assert_allclose(mixture.means[order], [[0, 1], [4, 0], [9, 9]], atol=1e-2)
    assert_allclose(mixture.covariances, 0.25, rtol=1e-3)


def test_more_centers_are_nearer(moons):
    X, _ = moons
    gaps = [
        divergence(X, 0.1, compress(X, k, bandwidth=0.1, random_state=0))
        for k in (5, 15, 45)
    ]
    assert np.all(np.diff(gaps) < 0)
    assert gaps[-1] < 0.02


def test_a_weight_counts_as_copies(moons):
    X = moons[0][:60]
    counts = np.arange(60) % 3
    weighted = compress(X, 6, bandwidth=0.2, sample_weight=counts, random_state=0)
    copies = np.repeat(X, counts, axis=0)
    gap = divergence(copies, 0.2, weighted)
    assert_allclose(divergence(X[counts > 0], 0.2, weighted, counts[counts > 0]), gap)
    assert gap < divergence(copies, 0.2, compress(X, 6, bandwidth=0.2, random_state=0))
    ones = compress(X, 6, sample_weight=np.full(60, 3.0), random_state=0)
    assert_allclose(
        ones.log_prob(X), compress(X, 6, random_state=0).log_prob(X), atol=1e-3
    )


@pytest.mark.parametrize("scale", [1e-100, 1e-8, 1e100])
def test_units_and_place_do_not_matter(moons, scale):
    X = moons[0][:100]
    one = compress(X, 10, random_state=0)
    moved = X * scale + 100 * scale
    other = compress(moved, 10, random_state=0)
    expected = one.log_prob(X) - 2 * np.log(scale)
    assert_allclose(other.log_prob(moved), expected, atol=1e-2)


def test_settings_of_the_process_do_not_matter(moons):
    X = moons[0][:80]
    expected = compress(X, 5, random_state=0)
    torch.set_default_dtype(torch.float16)
    try:
        with torch.no_grad():
            found = compress(torch.asarray(X), 5, random_state=0)
    finally:
        torch.set_default_dtype(torch.float32)
    assert np.array_equal(found.means, expected.means)
    assert isinstance(found.means, np.ndarray)


def test_a_bandwidth_of_very_many_samples_is_that_of_some(rng):
    X = rng.normal(size=(6000, 1))
    mixture = compress(X, 10, sample_weight=rng.uniform(size=6000), random_state=0)
    gap = np.mean(mixture.log_prob(X) + X[:, 0] ** 2 / 2 + np.log(2 * np.pi) / 2)
    assert abs(gap) < 0.02


@pytest.mark.parametrize("n_centers", [0, -1, 9, 2.0, True, "many", None])
def test_number_of_centers_is_checked(rng, n_centers):
    weight = np.r_[np.ones(8), 0.0]
    with pytest.raises(ValueError, match=r"n_centers must be .* 8 samples that count"):
        compress(rng.normal(size=(9, 2)), n_centers, sample_weight=weight)


@pytest.mark.parametrize("bandwidth", [0, -1.0, np.nan, np.inf, "wide", [1.0, 2.0]])
def test_bandwidth_is_checked(rng, bandwidth):
    with pytest.raises(ValueError, match="bandwidth must be a positive, finite number"):
        compress(rng.normal(size=(9, 2)), 3, bandwidth=bandwidth)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_must_be_finite(rng, bad):
    X = rng.normal(size=(9, 2))
    X[3, 1] = bad
    with pytest.raises(ValueError, match="X must be samples of finite features"):
        compress(X, 3)


@pytest.mark.parametrize("X", [np.zeros(5), np.zeros((0, 2)), np.zeros((5, 0))])
def test_shape_of_the_samples_is_checked(X):
    with pytest.raises(ValueError, match="X must be samples of finite features"):
        compress(X, 1, bandwidth=1.0)


@pytest.mark.parametrize(
    "weight", [np.ones(8), -np.ones(9), np.zeros(9), np.full(9, np.nan)]
)
def test_weights_are_checked(rng, weight):
    with pytest.raises(ValueError, match="sample_weight must be 9 finite numbers"):
        compress(rng.normal(size=(9, 2)), 3, sample_weight=weight)


def test_equal_samples_need_a_bandwidth():
    X = np.ones((5, 2))
    with pytest.raises(ValueError, match="leave bandwidth=None open"):
        compress(X, 1)
    mixture = compress(X, 1, bandwidth=0.5)
    assert_allclose(mixture.means, 1.0)
    assert_allclose(mixture.covariances, 0.25, rtol=1e-3)

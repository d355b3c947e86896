"""How wide the bumps should be."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.neighbors import KernelDensity

from skgmje.em._bandwidth import cell_variance, loo_variance, total_variance
from skgmje.mixture import KernelMixtureDensity
from skgmje.mixture._kernel_recipe import Data

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 3)) + 3 * RNG.integers(0, 2, size=(150, 1))
ONES = np.ones(len(X))


def data(rows, weights=None, resolution=0.0):
    return Data(rows, weights, rows, weights, resolution)


def test_total_variance_is_half_the_mean_squared_distance():
    squares = ((X[:, None] - X) ** 2).sum(axis=-1)
    assert total_variance(X, ONES) == pytest.approx(squares.mean() / 2)
    assert total_variance(np.ones((4, 2)), np.ones(4)) == 1.0


def test_a_typical_row_has_a_kernel_value_of_one_over_root_e():
    centers = KMeans(6, n_init=1, random_state=0).fit(X).cluster_centers_
    squares = ((X[:, None] - centers) ** 2).sum(axis=-1).min(axis=1)
    variance = cell_variance(data(X), centers)
    # Two bumps of this variance overlap as one of twice the variance.
    assert np.exp(-squares.mean() / (4 * variance)) == pytest.approx(np.exp(-0.5))


def test_weights_count_as_copies():
    counts = np.arange(len(X)) % 3 + 1
    copies = np.repeat(X, counts, axis=0)
    expected = cell_variance(data(copies), X[:6])
    weighted = cell_variance(data(X, counts.astype(float)), X[:6])
    assert weighted == pytest.approx(expected)


def test_rows_that_are_centres_keep_a_width():
    floor = 1e-4 * total_variance(X, ONES)
    assert cell_variance(data(X), X) == pytest.approx(floor)
    assert cell_variance(data(X, resolution=0.5), X) == 0.5


def test_loo_predicts_best():
    def score(bandwidth):
        kde = KernelDensity(bandwidth=bandwidth)
        rows = range(len(X))
        return sum(kde.fit(np.delete(X, i, axis=0)).score(X[i : i + 1]) for i in rows)

    best = loo_variance(data(X), None, None) ** 0.5
    assert score(best) > max(score(0.85 * best), score(1.15 * best))


def test_loo_of_a_sample_follows_the_rate():
    rows = np.random.default_rng(1).normal(size=(4000, 2))
    drawn = np.random.RandomState(0).choice(4000, 1000, replace=False)
    of_sample = loo_variance(data(rows[drawn]), None, None)
    of_all = loo_variance(data(rows), None, np.random.RandomState(0))
    assert of_all == pytest.approx(of_sample * 4 ** (-2 / 6), rel=0.1)


def test_repeated_rows_keep_a_width():
    assert loo_variance(data(np.repeat(X, 2, axis=0)), None, None) > 0


@pytest.mark.parametrize("standardize", [True, False])
def test_a_number_is_in_the_units_of_the_bumps(standardize):
    params = {"covariance_type": "full", "shrinkage": 2.0, "max_iter": 2, "tol": 1e9}

    def fit(factor, bandwidth):
        params["bandwidth"], params["standardize"] = bandwidth, standardize
        return KernelMixtureDensity(2, random_state=0, **params).fit(factor * X)

    first, second = fit(1, 0.5), fit(10, 0.5 if standardize else 5.0)
    assert first.bandwidth_ == pytest.approx(0.5)
    assert second.bandwidth_ == pytest.approx(0.5 if standardize else 5.0)
    assert second.bound_gap_ == pytest.approx(first.bound_gap_, rel=1e-5)

"""The two-sample test keeps its level and sees differences."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.neighbors import KernelDensity

from skgmje.metrics import (
    cauchy_schwarz_divergence,
    l2_distance,
    monte_carlo_kl,
    two_sample_test,
)
from skgmje.mixture import GaussianMixture

STATISTICS = {"l2": l2_distance, "cauchy-schwarz": cauchy_schwarz_divergence}


@pytest.mark.parametrize("statistic", STATISTICS)
def test_level_is_kept(statistic):
    generator = np.random.default_rng(0)
    pvalues = [
        two_sample_test(
            *generator.normal(size=(2, 20, 2)),
            statistic=statistic,
            n_permutations=19,
            random_state=generator,
        ).pvalue
        for _ in range(400)
    ]
    # 20 of 400 are expected; 4 standard deviations are 17.
    assert 3 <= np.sum(np.array(pvalues) <= 0.05) <= 37
    assert_allclose(np.mean(pvalues), 0.525, atol=0.06)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_statistic_is_the_distance_of_kernel_densities(statistic, rng):
    X, Y = rng.normal(size=(30, 2)), rng.normal(size=(20, 2)) + 0.3
    rows = np.concatenate([X, Y])
    X, Y = ((Z - rows.mean(axis=0)) / rows.std(axis=0) for Z in (X, Y))
    fits = [KernelDensity(bandwidth=0.4).fit(Z) for Z in (X, Y)]
    expected = STATISTICS[statistic](*fits)
    if statistic == "l2":
        bump = KernelDensity(bandwidth=0.4).fit(np.zeros((1, 2)))
        expected /= two_norm(bump)
    result = two_sample_test(X, Y, statistic=statistic, bandwidth=0.4)
    assert_allclose(result.statistic, expected)


def two_norm(kernel):
    far = KernelDensity(bandwidth=0.4).fit(np.full((1, 2), 1e3))
    return l2_distance(kernel, far) / 2**0.5


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_differences_are_seen_in_any_units(statistic, scale, rng):
    X, Y = rng.normal(size=(100, 3)), 1.7 * rng.normal(size=(80, 3))
    result = two_sample_test(
        scale * X, scale * Y, statistic=statistic, n_permutations=99, random_state=0
    )
    assert result.pvalue == 0.01
    assert result.null_distribution.shape == (99,)


def test_blocks_make_no_difference(rng, monkeypatch):
    X, Y = rng.normal(size=(2, 30, 2))
    whole = two_sample_test(X, Y, random_state=0)
    monkeypatch.setattr("skgmje.metrics._distances.BLOCK_SIZE", 7 * 60)
    cut = two_sample_test(X, Y, random_state=0)
    assert_allclose(cut.null_distribution, whole.null_distribution, atol=1e-9)
    monkeypatch.setattr("skgmje.metrics._distances.MEDIAN_ROWS", 20)
    assert 0 < two_sample_test(X, Y, random_state=0).pvalue <= 1


@pytest.mark.parametrize("statistic", [*STATISTICS, "callable"])
def test_fitted_densities(statistic, rng):
    def kl(first, second):
        return monte_carlo_kl(first, second, n_samples=200, random_state=0).value

    X, Y = rng.normal(size=(60, 1)), rng.normal(size=(60, 1)) + 1.0
    density = SklearnGaussianMixture(random_state=0)
    result = two_sample_test(
        X,
        Y,
        density=density,
        statistic=kl if statistic == "callable" else statistic,
        n_permutations=19,
        random_state=0,
    )
    assert result.pvalue == 0.05
    assert not hasattr(density, "means_")


def test_missing_values_need_a_density_that_takes_them(rng):
    X, Y = rng.normal(size=(2, 30, 2))
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        two_sample_test(X, Y)
    result = two_sample_test(
        X, Y, density=GaussianMixture(), n_permutations=5, random_state=0
    )
    assert 0 < result.pvalue <= 1


def test_ties_and_constants():
    X, Y = np.zeros((5, 2)), np.zeros((6, 2))
    assert two_sample_test(X, Y, random_state=0).pvalue == 1
    result = two_sample_test(
        X, Y + 1, bandwidth=1e-3, statistic="cauchy-schwarz", random_state=0
    )
    assert result.statistic == np.inf
    assert result.pvalue < 0.05


def test_same_seed_same_answer(rng):
    X, Y = rng.normal(size=(2, 30, 2))
    first, second = (two_sample_test(X, Y, random_state=1) for _ in range(2))
    assert_array_equal(first.null_distribution, second.null_distribution)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"statistic": "kl"}, "statistic='kl'"),
        ({"statistic": l2_distance}, "with `density`"),
        ({"bandwidth": 0.0}, "bandwidth=0.0"),
        ({"bandwidth": "scott"}, "bandwidth='scott'"),
        ({"n_permutations": 0}, "n_permutations=0"),
    ],
)
def test_faults_are_named(kwargs, message, rng):
    with pytest.raises(ValueError, match=message):
        two_sample_test(*rng.normal(size=(2, 5, 1)), **kwargs)
    with pytest.raises(ValueError, match="2 columns but Y has 1"):
        two_sample_test(np.zeros((5, 2)), np.zeros((5, 1)))

"""Regions of highest density hold the probability that is asked for."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from skgmje.gaussian import COVARIANCE_TYPES, Mixture

TYPES = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


@TYPES
@pytest.mark.parametrize("n_features", [1, 3])
def test_coverage(covariance_type, n_features, make_mixture, xp):
    mixture = make_mixture(covariance_type, n_features=n_features, xp=xp)
    region = mixture.region(0.9, random_state=0)
    X, _ = mixture.sample(40_000, random_state=1)
    assert_allclose(np.asarray(region.contains(X)).mean(), 0.9, atol=0.01)
    levels = np.asarray(mixture.exceedance(X[:4000], random_state=2))
    assert_allclose(np.quantile(levels, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03)


@pytest.mark.parametrize("leading", [(), (4,)])
@pytest.mark.parametrize("level", [0.1, 0.5, 0.9, 0.999])
def test_intervals_have_the_probability(leading, level, make_mixture):
    mixture = make_mixture("diag", n_components=5, n_features=1, leading=leading)
    region = mixture.region(level)
    assert len(region.intervals) == max(1, *leading, 0)
    for i, intervals in enumerate(region.intervals):
        own = mixture[i] if leading else mixture
        masses = np.diff(own.cdf(intervals.ravel()).reshape(-1, 2))
        assert_allclose(masses.sum(), level, atol=5e-3)
        ends = intervals.ravel()[:, None]
        border = np.broadcast_to(region.log_threshold, leading or (1,))[i]
        assert_allclose(own.log_prob(ends), border, atol=1e-6)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_many_equal_components_far_apart(level):
    n = 100
    means = 100.0 * np.arange(n)[:, None]
    mixture = Mixture(np.full(n, 1 / n), means, np.ones(n), "spherical")
    intervals = mixture.region(level).intervals[0]
    assert len(intervals) == n
    own = norm.ppf([0.5 - level / 2, 0.5 + level / 2])
    assert_allclose(intervals - means, np.broadcast_to(own, (n, 2)), atol=0.02)
    assert_allclose(mixture.exceedance([[own[1]]]), level, atol=5e-3)


def test_one_component_has_the_central_interval():
    mixture = Mixture([1.0], [[2.0]], [9.0], "spherical")
    ends = mixture.region(0.8).intervals[0].ravel()
    assert_allclose(ends, norm(2, 3).ppf([0.1, 0.9]), atol=3e-3)


def test_branches_are_apart():
    mixture = Mixture([0.7, 0.3], [[-5.0], [5.0]], [0.1, 0.1], "spherical")
    assert mixture.region(0.9).intervals[0].shape == (2, 2)
    assert mixture.region(0.5).intervals[0].shape == (1, 2)


@pytest.mark.parametrize("level", [0.0, 1.0, -1, "x", [0.5, 0.9]])
def test_levels_that_are_none_are_refused(level, make_mixture):
    with pytest.raises(ValueError, match=r"level=.* between 0 and 1"):
        make_mixture("full").region(level)


def test_several_features_have_no_intervals(make_mixture):
    with pytest.raises(ValueError, match="3 features has no intervals"):
        _ = make_mixture("full").region(0.5, n_samples=10).intervals

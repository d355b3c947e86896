"""Predicted regions: shorter than intervals on branches, calibrated by samples."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skgmje import ConditionalMixtureDensity, GaussianMixture


@pytest.fixture(scope="module")
def branches():
    rng = np.random.default_rng(0)
    X = rng.uniform(-3, 3, size=(1500, 1))
    # Two lines that cross.
    y = X[:, 0] * rng.choice([-1, 1], size=1500) + 0.2 * rng.normal(size=1500)
    source = GaussianMixture(6, shrinkage="auto", random_state=0)
    estimator = ConditionalMixtureDensity(source, random_state=0)
    return estimator.fit(X[:500], y[:500]), X, y


def lengths(region):
    return np.array([np.diff(ends).sum() for ends in region.intervals])


def test_a_region_is_shorter_than_the_interval(branches):
    estimator, X, y = branches
    X, y = X[1200:], y[1200:]
    region = estimator.predict_region(X, 0.9)
    lower, upper = estimator.predict_interval(X, 0.9)
    assert lengths(region).mean() < (upper - lower).mean()
    inside = region.contains(y[:, None])
    between = [
        ((ends[:, 0] <= value) & (value <= ends[:, 1])).any()
        for ends, value in zip(region.intervals, y, strict=True)
    ]
    assert np.mean(inside == between) > 0.999


def test_calibrated_regions_cover_what_they_say(branches):
    estimator, X, y = branches
    # Targets with more noise: the density is wrong, the region is not.
    noisy = y + 0.5 * np.random.default_rng(1).normal(size=y.shape)
    target = noisy[1000:, None]
    raw = estimator.predict_region(X[1000:]).contains(target).mean()
    estimator.calibrate(X[500:1000], noisy[500:1000])
    covered = estimator.predict_region(X[1000:]).contains(target).mean()
    assert abs(covered - 0.9) < 0.04 < abs(raw - 0.9)
    with pytest.raises(ValueError, match="calibrate: it takes 999"):
        estimator.predict_region(X, 0.999)
    estimator.fit(X[:500], y[:500])
    assert not hasattr(estimator, "calibration_levels_")


def test_several_targets_have_one_region():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 1))
    Y = np.column_stack([X[:, 0], -X[:, 0]]) + rng.normal(size=(600, 2))
    source = GaussianMixture(1, random_state=0)
    estimator = ConditionalMixtureDensity(source).fit(X[:400], Y[:400])
    region = estimator.predict_region(X[400:], 0.8, random_state=0)
    assert_allclose(region.contains(Y[400:]).mean(), 0.8, atol=0.06)


@pytest.mark.parametrize("coverage", [0.0, 1.0, "x"])
def test_coverages_that_are_none_are_refused(branches, coverage):
    estimator, X, _ = branches
    with pytest.raises(ValueError, match=r"coverage=.* between 0 and 1"):
        estimator.predict_region(X, coverage)

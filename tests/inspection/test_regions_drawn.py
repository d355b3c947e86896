"""Regions of densities and of predictions, drawn."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmje import ConditionalMixtureDensity, GaussianMixture, Mixture
from skgmje.inspection import (
    ConditionalDensityDisplay,
    DensityDisplay,
    RegionDisplay,
)


@pytest.fixture(scope="module")
def branches():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(400, 1))
    y = rng.choice([-1, 1], 400) * (1 + X[:, 0]) + 0.1 * rng.normal(size=400)
    return X, y


def test_regions_of_a_density(rng):
    X = rng.normal(size=(50, 3))
    mixture = Mixture([1.0], np.zeros((1, 3)), [1.0], "spherical")
    display = RegionDisplay.from_estimator(
        mixture, X, features=[0, 1], coverage=[0.9, 0.5]
    )
    assert display.coverage == [0.5, 0.9]
    x, y = np.meshgrid(display.x, display.y)
    # The squared radius is exponential.
    for level, margin in zip([0.5, 0.9], display.margins, strict=True):
        radius = -np.log1p(-level)
        assert_allclose(margin, radius - (x**2 + y**2) / 2, atol=0.1)
    assert len(display.regions_) == 2
    turned = RegionDisplay.from_estimator(mixture, X, features=[2, 0])
    assert turned.ax_.get_xlabel() == "feature 2"
    assert turned.plot(show_data=False).data_ is None


def test_regions_of_targets_of_pipelines_and_searches(branches):
    X, y = branches
    model = ConditionalMixtureDensity(GaussianMixture(4), random_state=0)
    pipeline = make_pipeline(StandardScaler(), model)
    search = GridSearchCV(pipeline, {}, cv=2).fit(X, y)
    pipeline.fit(X, y)
    displays = [
        RegionDisplay.from_estimator(e, X, y, grid_resolution=40)
        for e in (pipeline, search)
    ]
    assert_allclose(displays[0].margins, displays[1].margins)
    # On two branches there are two parts, and nothing between them.
    inside = displays[0].margins[1] >= 0
    last = inside[:, -5]
    assert np.abs(np.diff(last.astype(int))).sum() == 4
    assert len(displays[0].data_.get_offsets()) == 400
    pipeline[-1].calibrate(pipeline[:-1].transform(X), y * 3)
    wider = RegionDisplay.from_estimator(pipeline, X, y, grid_resolution=40)
    assert (wider.margins >= displays[0].margins).all()


def test_one_of_several_targets_and_a_joint_density(rng):
    X = rng.normal(size=(100, 4))
    joint = GaussianMixture().fit(X)
    display = RegionDisplay.from_estimator(joint, X[:, :2], X[:, 2:], target=1)
    assert display.ax_.get_ylabel() == "target 1"
    assert display.data_ is None


def test_faults_are_named(branches):
    X, y = branches
    density = GaussianMixture().fit(np.column_stack([X, y]))
    with pytest.raises(ValueError, match="must lie strictly"):
        RegionDisplay.from_estimator(density, np.c_[X, y], coverage=1.5)
    with pytest.raises(ValueError, match="two axes"):
        RegionDisplay.from_estimator(GaussianMixture().fit(X), X)
    with pytest.raises(TypeError, match="predict_mixture"):
        RegionDisplay.from_estimator(LinearRegression().fit(X, y), X, y)
    with pytest.raises(TypeError, match=r"not one Gaussian mixture.*pass y"):
        RegionDisplay.from_estimator(LinearRegression().fit(X, y), X)
    with pytest.raises(ValueError, match=r"coverage=\[\] must hold"):
        RegionDisplay.from_estimator(density, np.c_[X, y], coverage=[])


@pytest.mark.parametrize("resolution", [0, 1, -3, 2.5, "a", True])
def test_a_grid_has_two_values(resolution, branches):
    X, y = branches
    density = GaussianMixture().fit(np.column_stack([X, y]))
    for display, args in (
        (RegionDisplay, (np.c_[X, y],)),
        (RegionDisplay, (X, y)),
        (DensityDisplay, (np.c_[X, y],)),
        (ConditionalDensityDisplay, (X, y)),
    ):
        with pytest.raises(ValueError, match=r"grid_resolution=.* at least 2"):
            display.from_estimator(density, *args, grid_resolution=resolution)

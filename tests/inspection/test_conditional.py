"""Conditional densities, and whether they come true."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmje import as_mixture
from skgmje.conditional import ConditionalMixtureDensity
from skgmje.inspection import CalibrationDisplay, ConditionalDensityDisplay
from skgmje.metrics import interval_coverage, probability_integral_transform


@pytest.fixture
def joint(rng):
    X = rng.normal(size=(200, 3))
    X[:, 2] += X[:, 0]
    return SklearnGaussianMixture(2, random_state=0).fit(X), X[:, :2], X[:, 2]


@pytest.fixture(scope="module")
def conditional():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 2))
    Y = np.column_stack([X[:, 0], -X[:, 1]]) + 0.3 * rng.normal(size=(150, 2))
    model = ConditionalMixtureDensity("prototypes", random_state=0)
    return make_pipeline(StandardScaler(), model).fit(X, Y), X, Y


def test_slice_of_a_joint_density(joint):
    estimator, X, y = joint
    display = ConditionalDensityDisplay.from_estimator(
        estimator, X, y, feature=1, grid_resolution=9
    )
    contexts = np.column_stack([np.full(9, np.median(X[:, 0])), display.x])
    mixture = as_mixture(estimator).condition([0, 1], contexts)
    assert_allclose(display.mean, mixture.mean[:, 0])
    expected = mixture.log_prob(np.full((9, 1), display.y[4]))
    assert_allclose(display.log_density[4], expected)
    assert_allclose(display.x[[0, -1]], [X[:, 1].min(), X[:, 1].max()])
    assert display.data_ is None
    assert "others at their medians" in display.ax_.get_xlabel()


def test_target_of_a_pipeline(conditional):
    estimator, X, Y = conditional
    display = ConditionalDensityDisplay.from_estimator(
        estimator, X, pd.DataFrame(Y, columns=["a", "b"]), feature=1, target="b"
    )
    assert_allclose(np.polyfit(display.x, display.mean, 1)[0], -1, atol=0.15)
    assert display.ax_.get_ylabel() == "b"


def test_data_of_one_feature_are_shown(rng):
    frame = pd.DataFrame({"x": rng.normal(size=50)})
    y = pd.Series(2 * frame["x"] + 0.1 * rng.normal(size=50), name="y")
    model = ConditionalMixtureDensity("prototypes", random_state=0).fit(frame, y)
    display = ConditionalDensityDisplay.from_estimator(model, frame, y)
    assert_allclose(display.data_.get_offsets(), np.column_stack([frame["x"], y]))
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("x", "y")
    bare = display.plot(show_mean=False, show_data=False)
    assert bare.mean_ is None
    assert bare.ax_.get_legend() is None


def test_conditional_faults_are_named(joint, rng):
    estimator, X, y = joint
    with pytest.raises(ValueError, match="column_stack"):
        ConditionalDensityDisplay.from_estimator(estimator, X[:, :1], y)
    with pytest.raises(ValueError, match="no column 5"):
        ConditionalDensityDisplay.from_estimator(estimator, X, y, feature=5)
    with pytest.raises(TypeError, match="predict_mixture"):
        ConditionalDensityDisplay.from_estimator(LinearRegression().fit(X, y), X, y)


def test_calibration_of_targets(conditional):
    estimator, X, Y = conditional
    mixture = estimator[-1].predict_mixture(estimator[0].transform(X))
    display = CalibrationDisplay.from_estimator(estimator, X, Y, n_bins=5)
    assert_allclose(display.levels, probability_integral_transform(Y, mixture))
    for j, (bars, curve) in enumerate(
        zip(display.histograms_, display.curves_, strict=True)
    ):
        heights = bars.get_data().values
        assert len(heights) == 5
        assert_allclose(heights.mean(), 1)
        stated, observed = curve.get_data()
        share = interval_coverage(Y[:, j], mixture.marginal([j]), coverage=0.7)
        assert_allclose(observed[np.searchsorted(stated, 0.7) - 1], share)
    labels = [text.get_text() for text in display.ax_[1].get_legend().get_texts()]
    assert labels == ["chance (95 %)", "target 0", "target 1"]


def test_calibration_of_a_density_and_of_a_joint_one(joint):
    estimator, X, y = joint
    rows = np.column_stack([X, y])
    display = CalibrationDisplay.from_estimator(estimator, rows)
    expected = probability_integral_transform(rows, estimator)
    assert_allclose(display.levels, expected)
    assert CalibrationDisplay.from_estimator(estimator, X, y).levels.shape == (200, 1)


def test_the_band_holds_what_chance_does(rng):
    levels = rng.random((100, 200))
    display = CalibrationDisplay(levels).plot()
    bars = np.array([bar.get_data().values for bar in display.histograms_])
    band = display.ax_[0].patches[0].get_extents()
    low, high = display.ax_[0].transData.inverted().transform(band)[:, 1]
    inside = (bars >= low) & (bars <= high)
    assert 0.92 < inside.mean() < 0.98
    assert len(display.ax_[1].get_legend().get_texts()) == 2


def test_axes_of_the_calibration(conditional):
    estimator, X, Y = conditional
    _, axes = plt.subplots(2)
    display = CalibrationDisplay.from_estimator(estimator, X, Y, ax=axes)
    assert list(display.ax_) == list(axes)
    free = plt.figure().add_axes([0, 0, 1, 1])
    with pytest.raises(ValueError, match="two axes"):
        display.plot(ax=free)

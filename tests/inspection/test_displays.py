"""What all displays have in common."""

import subprocess
import sys
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from skgmje import inspection
from skgmje.gaussian import Mixture
from skgmje.mixture import GaussianMixture, GrowingNeuralGasMixture


def _density(ax=None):
    X = np.random.default_rng(0).normal(size=(60, 2))
    return inspection.DensityDisplay.from_estimator(GaussianMixture().fit(X), X, ax=ax)


def _mixture(ax=None):
    mixture = Mixture([1.0], [[0.0, 0.0]], [1.0], "spherical")
    return inspection.MixtureDisplay.from_estimator(mixture, ax=ax)


def _conditional(ax=None):
    X = np.random.default_rng(0).normal(size=(60, 2))
    return inspection.ConditionalDensityDisplay.from_estimator(
        GaussianMixture().fit(X), X[:, :1], X[:, 1], ax=ax
    )


def _loss_curve(ax=None):
    X = np.random.default_rng(0).normal(size=(60, 2))
    return inspection.LossCurveDisplay.from_estimator(GaussianMixture().fit(X), ax=ax)


def _graph(ax=None):
    X = np.random.default_rng(0).normal(size=(60, 2))
    gas = GrowingNeuralGasMixture(random_state=0).fit(X)
    return inspection.GraphDisplay.from_estimator(gas, X, ax=ax)


def _calibration(ax=None):
    X = np.random.default_rng(0).normal(size=(60, 2))
    estimator = GaussianMixture().fit(X)
    return inspection.CalibrationDisplay.from_estimator(estimator, X, ax=ax)


def _selection(ax=None):
    X = np.random.default_rng(0).normal(size=(60, 2))
    estimator = GaussianMixture("auto", covariance_type="EII", criterion="bic").fit(X)
    return inspection.SelectionDisplay.from_estimator(estimator, ax=ax)


def _classification(ax=None):
    X = np.random.default_rng(0).normal(size=(60, 2))
    estimator = GaussianMixture(2, random_state=0).fit(X)
    display = inspection.ClassificationDisplay.from_estimator(estimator, X, ax=ax)
    display.names = pd.Index(["a", "b"])  # as a frame has them
    return display.plot(ax=ax)


def _region(ax=None):
    X = np.random.default_rng(0).normal(size=(60, 2))
    return inspection.RegionDisplay.from_estimator(GaussianMixture().fit(X), X, ax=ax)


MAKERS = {
    "CalibrationDisplay": _calibration,
    "ClassificationDisplay": _classification,
    "ConditionalDensityDisplay": _conditional,
    "DensityDisplay": _density,
    "GraphDisplay": _graph,
    "LossCurveDisplay": _loss_curve,
    "MixtureDisplay": _mixture,
    "RegionDisplay": _region,
    "SelectionDisplay": _selection,
}


def test_every_display_is_tested():
    assert sorted(MAKERS) == inspection.__all__


@pytest.mark.parametrize("name", MAKERS)
def test_from_estimator_and_plot(name):
    display = MAKERS[name]()
    assert type(display) is getattr(inspection, name)
    first = display.figure_
    assert {axes.figure for axes in np.ravel(display.ax_)} == {first}
    again = display.plot()
    assert again is display
    assert again.figure_ is not first
    first.canvas.draw()


@pytest.mark.parametrize("name", MAKERS)
def test_axes_that_are_given_are_used(name):
    figure, axes = plt.subplots(1, 2, layout="constrained")
    display = MAKERS[name](ax=axes[0])
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    figure.canvas.draw()


@pytest.mark.parametrize("name", MAKERS)
def test_labels_do_not_overlap(name):
    display = MAKERS[name]()
    figure = display.figure_
    figure.canvas.draw()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [t for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
            labels = [t.label1 for t in ticks if t.label1.get_visible()]
            boxes = [label.get_window_extent() for label in labels if label.get_text()]
            assert not any(a.overlaps(b) for a, b in pairwise(boxes))


def test_missing_matplotlib_is_named():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from skgmje.inspection import LossCurveDisplay\n"
        "try:\n    LossCurveDisplay([1.0]).plot()\n"
        "except ImportError as error:\n    print(error)"
    )
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    message = "LossCurveDisplay.plot needs matplotlib: pip install 'skgmje[plot]'."
    assert answer.stdout.strip() == message

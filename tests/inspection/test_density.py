"""The density drawn is the estimator's."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.mixture import BayesianGaussianMixture
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmje import as_mixture
from skgmje.inspection import DensityDisplay, MixtureDisplay
from skgmje.mixture import GaussianMixture

DENSITIES = [
    GaussianMixture(2, random_state=0),
    SklearnGaussianMixture(2, random_state=0),
    BayesianGaussianMixture(n_components=2, random_state=0),
    KernelDensity(bandwidth=0.5),
    KernelDensity(kernel="tophat", bandwidth=0.5),
    make_pipeline(StandardScaler(), GaussianMixture(2, random_state=0)),
]


@pytest.fixture
def X(rng):
    return rng.normal(size=(80, 2))


@pytest.mark.parametrize("density", DENSITIES, ids=str)
def test_two_features(density, X):
    estimator = density.fit(X)
    display = DensityDisplay.from_estimator(estimator, X, grid_resolution=12)
    x, y = display.grid
    point = np.array([[x[3], y[7]]])
    assert display.log_density.shape == (12, 12)
    assert_allclose(display.log_density[7, 3], estimator.score_samples(point)[0])
    assert x[0] < X[:, 0].min() < X[:, 0].max() < x[-1]
    assert_allclose(display.data_.get_offsets(), X)


def test_one_feature_and_marginals(X):
    estimator = SklearnGaussianMixture(2, random_state=0).fit(X)
    display = DensityDisplay.from_estimator(estimator, X, features=1)
    marginal = as_mixture(estimator).marginal([1])
    assert_allclose(
        display.curve_.get_ydata(), np.exp(marginal.log_prob(display.grid[0][:, None]))
    )
    assert display.ax_.get_xlabel() == "feature 1"
    turned = DensityDisplay.from_estimator(estimator, X, features=[1, 0])
    assert_allclose(turned.data, X[:, ::-1])


def test_data_frames_keep_their_names_and_pipelines_their_columns(X):
    frame = pd.DataFrame(X, columns=["width", "height"])
    frame["depth"] = X.sum(axis=1) + X[:, 0] ** 2
    pair = frame[["width", "height"]]
    for density in DENSITIES:
        display = DensityDisplay.from_estimator(density.fit(pair), pair)
        assert display.ax_.get_ylabel() == "height"
    estimator = GaussianMixture().fit(frame)
    display = DensityDisplay.from_estimator(
        estimator, frame, features=["depth", "width"]
    )
    assert display.ax_.get_xlabel() == "depth"


def test_what_cannot_be_shown_is_named(rng, X):
    X = rng.normal(size=(50, 3))
    with pytest.raises(ValueError, match=r"features=\[0, 1\]"):
        DensityDisplay.from_estimator(GaussianMixture().fit(X), X)
    with pytest.raises(ValueError, match="no column 'age'"):
        DensityDisplay.from_estimator(GaussianMixture().fit(X), X, features="age")
    box = KernelDensity(kernel="tophat").fit(X)
    with pytest.raises(TypeError, match="kernel='gaussian'"):
        DensityDisplay.from_estimator(box, X, features=[0, 1])


def test_many_and_missing_rows(rng):
    X = rng.normal(size=(5000, 2))
    X[0, 0] = np.nan
    estimator = GaussianMixture().fit(X)
    display = DensityDisplay.from_estimator(estimator, X, grid_resolution=5)
    assert len(display.data_.get_offsets()) <= 2000
    assert DensityDisplay.from_estimator(estimator, X, features=0).data_
    bare = display.plot(show_data=False, show_colorbar=False)
    assert bare.data_ is None
    assert len(bare.figure_.axes) == 1


def test_ellipses_hold_the_share_that_they_state(X, rng):
    X = np.column_stack([X, X[:, 0]]) + 0.1 * rng.normal(size=(80, 3))
    estimator = SklearnGaussianMixture(2, random_state=0).fit(X)
    display = MixtureDisplay.from_estimator(
        estimator, X, features=[0, 2], coverage=(0.3, 0.8)
    )
    drawn, component = as_mixture(estimator).marginal([0, 2]).sample(20_000, rng)
    for share, ellipses in zip((0.8, 0.3), display.ellipses_, strict=True):
        for k, path in enumerate(ellipses.get_paths()):
            inside = path.contains_points(drawn[component == k])
            assert_allclose(inside.mean(), share, atol=0.03)
    assert_allclose(display.centers_.get_offsets(), estimator.means_[:, [0, 2]])
    assert_allclose(display.data_.get_offsets(), X[:, [0, 2]])
    (x0, x1), (y0, y1) = display.ax_.get_xlim(), display.ax_.get_ylim()
    corners = np.concatenate([p.vertices for p in display.ellipses_[0].get_paths()])
    assert (corners > [x0, y0]).all()
    assert (corners < [x1, y1]).all()


def test_mixture_faults_are_named(X):
    estimator = GaussianMixture().fit(X)
    with pytest.raises(ValueError, match="coverage="):
        MixtureDisplay.from_estimator(estimator, coverage=(0.5, 1.0))
    with pytest.raises(ValueError, match="room for 2"):
        MixtureDisplay.from_estimator(estimator, features=[0])
    with pytest.raises(TypeError, match="not one Gaussian mixture"):
        MixtureDisplay.from_estimator(StandardScaler().fit(X))

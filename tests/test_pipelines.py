"""Metrics and displays find a density in a pipeline or a search, or say what lacks."""

from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmje import as_mixture, inspection, metrics, to_sklearn
from skgmje.conditional import ConditionalMixtureDensity
from skgmje.mixture import (
    Codes,
    GaussianMixture,
    GrowingNeuralGasMixture,
    KernelMixtureDensity,
)

SCORERS = [name for name in metrics.__all__ if name.endswith("_scorer")]
SCORERS = [name for name in SCORERS if not name.startswith("make_")]
SAMPLES = np.random.default_rng(0).normal(size=(60, 2))
CONDITIONAL = ConditionalMixtureDensity(GaussianMixture(2), random_state=0)
SMALL_KERNEL = KernelMixtureDensity(
    2, max_iter=5, generator=Codes(hidden_layer_sizes=(4,)), random_state=0
)
SMALL_GAS = GrowingNeuralGasMixture(10, random_state=0)


def search(estimator):
    return GridSearchCV(estimator, {}, cv=2)


# What changes nothing of what the estimator says of samples as they are.
WRAPPERS = {
    "alone": lambda estimator: estimator,
    "pipeline of one step": make_pipeline,
    "search": search,
    "search over a pipeline": lambda estimator: search(make_pipeline(estimator)),
    "pipeline of a search": lambda estimator: make_pipeline(search(estimator)),
    "halving search": lambda estimator: HalvingGridSearchCV(
        estimator, {"random_state": [0]}, min_resources="exhaust", cv=2
    ),
}
# What draws or measures a density of samples, with the estimator that it is of.
ON_DENSITIES = {
    "as_mixture": (GaussianMixture(2, random_state=0), lambda e, X: as_mixture(e)),
    "to_sklearn": (GaussianMixture(2, random_state=0), lambda e, X: to_sklearn(e)),
    "theirs": (SklearnGaussianMixture(2, random_state=0), lambda e, X: as_mixture(e)),
    "surprise": (GaussianMixture(2, random_state=0), metrics.feature_surprise),
    "distance": (GaussianMixture(2, random_state=0), metrics.l2_distance),
}
DISPLAYS = {
    "MixtureDisplay": GaussianMixture(2, random_state=0),
    "GraphDisplay": SMALL_GAS,
    "LossCurveDisplay": SMALL_KERNEL,
    "DensityDisplay": GaussianMixture(2, random_state=0),
    "CalibrationDisplay": CONDITIONAL,
    "ConditionalDensityDisplay": CONDITIONAL,
    "RegionDisplay": CONDITIONAL,
    "ClassificationDisplay": GaussianMixture(2, random_state=0),
    "SelectionDisplay": GaussianMixture(
        "auto", covariance_type="diag", criterion="bic", random_state=0
    ),
}


@pytest.fixture
def X():
    return SAMPLES


@cache
def fitted(wrapper, estimator):
    """Return an estimator in a wrapper, fitted to the samples."""
    return WRAPPERS[wrapper](clone(estimator)).fit(SAMPLES, SAMPLES[:, 0])


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def draw(name, estimator, X):
    display = getattr(inspection, name)
    if name in ("LossCurveDisplay", "SelectionDisplay"):
        return display.from_estimator(estimator)
    if any(word in name for word in ("Calibration", "Conditional", "Region")):
        return display.from_estimator(estimator, X, X[:, 0])
    return display.from_estimator(estimator, X)


def shown(display):
    """Return all numbers of a display."""
    numbers = {k: v for k, v in vars(display).items() if not k.endswith("_")}
    return [v for v in numbers.values() if isinstance(v, np.ndarray)]


def test_every_display_is_tested():
    assert set(DISPLAYS) == set(inspection.__all__)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", SCORERS)
def test_scorers_look_through_pipelines_and_searches(name, wrapper, X):
    scorer, y = getattr(metrics, name), X[:, 0]
    expected = scorer(fitted("alone", CONDITIONAL), X, y)
    assert scorer(fitted(wrapper, CONDITIONAL), X, y) == expected
    scaled = make_pipeline(StandardScaler(), fitted(wrapper, CONDITIONAL))
    scaled[0].fit(X)
    moved = scaled[0].inverse_transform(X)
    assert abs(scorer(scaled, moved, y) - expected) < 1e-9


def test_scorers_choose_in_a_search_over_a_pipeline(X):
    pipeline, scoring = make_pipeline(CONDITIONAL), vars(metrics)
    scoring = {name: scoring[name] for name in SCORERS}
    grid = {f"{pipeline.steps[0][0]}__source__n_components": [1, 2]}
    found = GridSearchCV(
        pipeline, grid, scoring=scoring, cv=2, refit=False, error_score="raise"
    ).fit(X, X[:, 0])
    for name in SCORERS:
        assert np.isfinite(found.cv_results_[f"mean_test_{name}"]).all()


@pytest.mark.parametrize("name", SCORERS[:1])
@pytest.mark.parametrize(
    "estimator",
    [
        TransformedTargetRegressor(CONDITIONAL, transformer=StandardScaler()),
        make_pipeline(StandardScaler(), Ridge()),
        search(Ridge()),
        search(CONDITIONAL).set_params(refit=False),
    ],
    ids=["of transformed targets", "pipeline", "search", "search that fits none"],
)
def test_who_predicts_no_mixture_is_told(name, estimator, X):
    estimator = clone(estimator).fit(X, X[:, 0])
    with pytest.raises(TypeError, match="has no method predict_mixture"):
        getattr(metrics, name)(estimator, X, X[:, 0])
    with pytest.raises(TypeError, match="has no method predict_mixture"):
        draw("CalibrationDisplay", estimator, X)


@pytest.mark.parametrize("wrapper", [w for w in WRAPPERS if w != "alone"])
def test_what_is_not_fitted_says_so(wrapper, X):
    with pytest.raises(NotFittedError):
        metrics.crps_scorer(WRAPPERS[wrapper](CONDITIONAL), X, X[:, 0])


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", ON_DENSITIES)
def test_functions_of_densities_look_through_them(name, wrapper, X):
    estimator, function = ON_DENSITIES[name]
    if name == "distance":
        X = estimator.fit(X)
    found = function(fitted(wrapper, estimator), X)
    expected = function(fitted("alone", estimator), X)
    for name in ("means", "means_"):
        found, expected = (getattr(v, name, v) for v in (found, expected))
    assert_array_equal(found, expected)


@cache
def shown_alone(name):
    """Return all numbers of the display of an estimator that is in no wrapper."""
    return shown(draw(name, fitted("alone", DISPLAYS[name]), SAMPLES))


@pytest.mark.parametrize("wrapper", ["pipeline of one step", "pipeline of a search"])
@pytest.mark.parametrize("name", DISPLAYS)
def test_displays_look_through_pipelines_and_searches(name, wrapper, X):
    found = shown(draw(name, fitted(wrapper, DISPLAYS[name]), X))
    assert found
    for array, other in zip(found, shown_alone(name), strict=True):
        assert_array_equal(array, other)


@pytest.mark.parametrize("name", DISPLAYS)
def test_displays_behind_a_scaler(name, X):
    scaled = make_pipeline(StandardScaler(), clone(DISPLAYS[name])).fit(X, X[:, 0])
    if name in ("MixtureDisplay", "GraphDisplay"):
        with pytest.raises(TypeError, match="f a pipeline with transformers"):
            draw(name, scaled, X)
        return
    assert np.isfinite(
        np.concatenate([*map(np.ravel, shown(draw(name, scaled, X)))])
    ).all()


def test_monte_carlo_looks_through_a_search(X):
    box = KernelDensity(kernel="tophat", bandwidth=9.0)
    found = metrics.monte_carlo_kl(search(box).fit(X), box.fit(X), random_state=0)
    assert found == (0.0, 0.0)


def test_displays_say_what_they_need(X):
    one = X[:, :1]
    density, gas = GaussianMixture(2).fit(one), clone(SMALL_GAS).fit(one)
    for features in (None, [0], 0):
        for display, fitted in (("MixtureDisplay", density), ("GraphDisplay", gas)):
            draw = getattr(inspection, display).from_estimator
            with pytest.raises(ValueError, match="'feature 0' is the only one"):
                draw(fitted, one, features=features)
            with pytest.raises(ValueError, match="DensityDisplay draws"):
                draw(fitted, features=features)
    with pytest.raises(TypeError, match="has no method score_samples"):
        inspection.DensityDisplay.from_estimator(Ridge().fit(X, X), X)
    wide = GaussianMixture().fit(X[:, [0, 1, 1]])
    for display, features in (("MixtureDisplay", [1, 0]), ("DensityDisplay", [0])):
        draw = getattr(inspection, display).from_estimator
        with pytest.raises(ValueError, match="X has 2 columns but what is drawn has 3"):
            draw(wide, X, features=features)
    three = X[:, [0, 1, 1]]
    with pytest.raises(ValueError, match="features=None stands for all 3 of 3 columns"):
        inspection.MixtureDisplay.from_estimator(GaussianMixture().fit(three), three)


def test_columns_in_another_order_need_no_mixture(X):
    kernels = KernelDensity(kernel="tophat").fit(X)
    plain = inspection.DensityDisplay.from_estimator(kernels, X)
    turned = inspection.DensityDisplay.from_estimator(kernels, X, features=[1, 0])
    assert_array_equal(turned.log_density, plain.log_density.T)

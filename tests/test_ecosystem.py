"""Data frames, tensors, metadata routing and HTML: every estimator fits in."""

from functools import cache, partial

import numpy as np
import pandas as pd
import pytest
import scipy
import sklearn
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.fixes import parse_version
from sklearn.utils.validation import has_fit_parameter

from skgmje import (
    ConditionalMixtureDensity,
    DensityOutlierDetector,
    GaussianMixture,
    GaussianMixtureCopula,
    GJEEmbedder,
    GMJEEmbedder,
    GrowingNeuralGasMixture,
    KernelDecoder,
    KernelMixtureDensity,
    MixtureClassifier,
    MixtureImputer,
    StackingConditionalDensity,
    StudentMixture,
    TransformedDensity,
)
from skgmje.embedding import MLP
from skgmje.ensemble import StackingDensity
from skgmje.mixture import GasGrowth
from skgmje.utils import all_estimators
from tests.sources import make_source, targets_of

pl = pytest.importorskip("polars")

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skgmje.embedding.CollapseWarning"),
]

needs_dispatch = pytest.mark.skipif(
    parse_version(scipy.__version__) < parse_version("1.14"),
    reason="scikit-learn wants SciPy 1.14 for array-API dispatch",
)
NETWORK = {"max_iter": 5, "hidden_layer_sizes": (8,), "random_state": 0}
ENCODER = {"max_iter": 5, "encoder": MLP((8,)), "random_state": 0}
WEIGHTS = "sample_weight"
# One small setting of each estimator.
SMALL = {
    "ConditionalMixtureDensity": ConditionalMixtureDensity(
        make_source("network", n_members=2, **NETWORK), random_state=0
    ),
    "DensityOutlierDetector": DensityOutlierDetector(random_state=0),
    "GJEEmbedder": GJEEmbedder(2, **ENCODER),
    "GMJEEmbedder": GMJEEmbedder(2, mixture=GaussianMixture(2), **ENCODER),
    "GaussianMixture": GaussianMixture(2, random_state=0),
    "GaussianMixtureCopula": GaussianMixtureCopula(GaussianMixture(2, random_state=0)),
    "GrowingNeuralGasMixture": GrowingNeuralGasMixture(
        10, growth=GasGrowth(insertion_interval=20), random_state=0
    ),
    "KernelDecoder": KernelDecoder(2, **NETWORK),
    "KernelMixtureDensity": KernelMixtureDensity(3, max_iter=5, random_state=0),
    "MixtureClassifier": MixtureClassifier(random_state=0),
    "MixtureImputer": MixtureImputer(GaussianMixture(2), random_state=0),
    "StackingConditionalDensity": StackingConditionalDensity(
        ["gp"], n_members=2, **NETWORK
    ),
    "StackingDensity": StackingDensity(
        estimators=[
            ("one", GaussianMixture()),
            ("two", GaussianMixture(2, random_state=0)),
        ],
        random_state=0,
    ),
    "StudentMixture": StudentMixture(2, random_state=0),
    "TransformedDensity": TransformedDensity(
        StandardScaler(), GaussianMixture(2, random_state=0)
    ),
}
CLASSES = dict(all_estimators())
TRANSFORMERS = [name for name, cls in CLASSES.items() if hasattr(cls, "transform")]
WEIGHTED = [name for name, cls in CLASSES.items() if has_fit_parameter(cls, WEIGHTS)]
SCORED = [name for name in WEIGHTED if hasattr(CLASSES[name], "score")]

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 2))
Y = X[:, 0] + 0.1 * rng.normal(size=60)
WEIGHT = rng.uniform(0.5, 1.5, size=60)

ANSWERS = (
    "score_samples",
    "predict",
    "predict_proba",
    "transform",
    "transform_target",
    "predict_mode",
)


def frame(convert_table, convert_column):
    """Return a function that makes a table or a column of an array."""
    return lambda a: convert_table(a) if a.ndim == 2 else convert_column(a)


def pandas_of(dtype):
    return frame(
        lambda a: pd.DataFrame(a, columns=["a", "b"], dtype=dtype),
        lambda a: pd.Series(a, dtype=dtype),
    )


polars = frame(lambda a: pl.DataFrame(a, schema=["a", "b"]), pl.Series)
FRAMES = {
    "pandas": pandas_of("float64"),
    "nullable": pandas_of("Float64"),
    "polars": polars,
}
RENAME = {"pandas": {"axis": 1}, "nullable": {"axis": 1}, "polars": {}}


def make(name):
    """Return a small estimator, not fitted."""
    return clone(SMALL[name]) if name in SMALL else CLASSES[name]()


def fit(name, convert):
    """Fit a small estimator with everything converted."""
    weights = {WEIGHTS: convert(WEIGHT)} if name in WEIGHTED else {}
    estimator = make(name)
    return estimator.fit(convert(X), convert(targets_of(estimator, Y)), **weights)


def answers(estimator, convert):
    """Return all that the estimator says of the converted rows."""
    found = {
        name: getattr(estimator, name)(convert(X))
        for name in ANSWERS
        if hasattr(estimator, name)
    }
    if hasattr(estimator, "score"):
        targets = targets_of(estimator, Y)
        found["score"] = estimator.score(convert(X), convert(targets))
    if hasattr(estimator, "sample"):
        found["sample"] = estimator.sample(5, random_state=0)[0]
    if hasattr(estimator, "log_prob"):
        found["log_prob"] = estimator.log_prob(convert(X), convert(Y))
    return found


@cache
def expected_answers(name):
    return answers(fit(name, np.asarray), np.asarray)


def assert_same_answers(name, convert):
    """Compare a fit on converted data with one on arrays, and return it."""
    fitted = fit(name, convert)
    found, expected = answers(fitted, convert), expected_answers(name)
    assert found.keys() == expected.keys()
    for method, value in expected.items():
        assert type(found[method]) is type(value), method
        # Sums over columns round otherwise than sums over rows.
        np.testing.assert_allclose(found[method], value, 1e-6, 1e-9, err_msg=method)
    return fitted


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("name", CLASSES)
def test_data_frames_are_rows_with_names(name, library):
    convert = FRAMES[library]
    fitted = assert_same_answers(name, convert)
    assert fitted.feature_names_in_.tolist() == ["a", "b"]
    ask = getattr(fitted, "transform", None)
    if hasattr(fitted, "score"):
        ask = partial(fitted.score, y=convert(targets_of(fitted, Y)))
    with pytest.raises(ValueError, match="feature names should match"):
        ask(convert(X).rename({"a": "c"}, **RENAME[library]))


@pytest.mark.parametrize("name", WEIGHTED)
def test_missing_values_of_nullable_frames_are_nan(name):
    rows = pd.DataFrame(X, columns=["a", "b"], dtype="Float64")
    rows.loc[0, "a"] = pd.NA
    estimator = make(name)
    targets = targets_of(estimator, Y)
    if sklearn.utils.get_tags(estimator).input_tags.allow_nan:
        ask = estimator.fit(rows, targets)
        found = (
            ask.score(rows, targets) if hasattr(ask, "score") else ask.transform(rows)
        )
        assert np.isfinite(found).all()
        return
    with pytest.raises(ValueError, match="contains NaN"):
        estimator.fit(rows, Y)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_output_is_a_data_frame_on_request(name, library):
    fitted = fit(name, FRAMES[library]).set_output(transform=library)
    out = fitted.transform(FRAMES[library](X))
    assert type(out).__module__.startswith(library)
    names = fitted.get_feature_names_out()
    assert list(out.columns) == names.tolist()
    assert out.shape == (len(X), len(names))
    fitted.set_output(transform="default")
    np.testing.assert_array_equal(out.to_numpy(), fitted.transform(FRAMES[library](X)))


@pytest.mark.parametrize("dispatch", [False, pytest.param(True, marks=needs_dispatch)])
@pytest.mark.parametrize("name", CLASSES)
def test_tensors_are_rows_and_answers_are_arrays(name, dispatch):
    with sklearn.config_context(array_api_dispatch=dispatch):
        assert_same_answers(name, torch.from_numpy)


@needs_dispatch
@pytest.mark.parametrize("name", CLASSES)
def test_array_api_dispatch_changes_nothing_for_arrays(name):
    with sklearn.config_context(array_api_dispatch=True):
        assert_same_answers(name, np.asarray)


def test_precision_and_history_of_tensors():
    rows = torch.from_numpy(X).float().requires_grad_()
    density = GaussianMixture().fit(rows)
    assert density.score_samples(rows).dtype == np.float32


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def requesting(name):
    """Return an estimator that asks for weights, and so do its parts."""
    estimator = make(name)
    if type(estimator) is TransformedDensity:
        estimator.density.set_fit_request(sample_weight=True)
        estimator.transformer.set_fit_request(sample_weight=True)
    return estimator.set_fit_request(sample_weight=True).set_score_request(
        sample_weight=True
    )


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("name", SCORED)
def test_routers_pass_weights_on(name):
    estimator, params = requesting(name), {WEIGHTS: WEIGHT}
    y = targets_of(estimator, Y)
    expected = clone(estimator).fit(X, y, **params).score(X, y, **params)
    pipeline = make_pipeline(FunctionTransformer(), estimator).fit(X, y, **params)
    assert pipeline.score(X, y, **params) == pytest.approx(expected)
    whole = [(np.arange(len(X)), np.arange(len(X)))]
    search = GridSearchCV(estimator, {}, cv=whole).fit(X, y, **params)
    assert search.best_score_ == pytest.approx(expected)
    assert search.score(X, y, **params) == pytest.approx(expected)
    result = cross_validate(estimator, X, y, cv=whole, params=params)
    assert result["test_score"][0] == pytest.approx(expected)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("asks", [True, False])
def test_each_part_of_a_transformed_density_says_if_it_wants_weights(asks):
    scaler = StandardScaler().set_fit_request(sample_weight=asks)
    density = GaussianMixture().set_fit_request(sample_weight=True)
    fitted = TransformedDensity(scaler, density).fit(X, sample_weight=WEIGHT)
    mean = np.average(X, axis=0, weights=WEIGHT if asks else None)
    np.testing.assert_allclose(fitted.transformer_.mean_, mean)
    with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="not expli"):
        TransformedDensity(scaler, GaussianMixture()).fit(X, sample_weight=WEIGHT)


@pytest.mark.parametrize("name", CLASSES)
def test_picture_links_to_the_reference(name):
    module = CLASSES[name].__module__.split("._")[0]
    page = f"https://example.org/skgmje/doc/generated/{module}.{name}.html"
    for estimator in (make(name), fit(name, np.asarray)):
        assert estimator._get_doc_link() == page
        assert page in estimator._repr_html_()

"""Parts that choose columns by name get them, and nothing warns where all is right."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler

import skgmje
from skgmje.compose import TransformedDensity
from skgmje.ensemble import StackingConditionalDensity, StackingDensity
from skgmje.gaussian import Mixture
from skgmje.impute import MixtureImputer
from skgmje.metrics import monte_carlo_kl, two_sample_test
from skgmje.mixture import GaussianMixture
from skgmje.outlier import DensityOutlierDetector
from tests.sources import targets_of
from tests.test_common import FIRST

NAMES = ["a", "b", "c"]
FRAMES = {
    "pandas": lambda X: pd.DataFrame(X, columns=NAMES, index=np.arange(len(X)) + 7),
    "polars": lambda X: pl.DataFrame(X, schema=NAMES),
    "Arrow": lambda X: pytest.importorskip("pyarrow").table(
        dict(zip(NAMES, X.T, strict=True))
    ),
}
GAUSS = GaussianMixture(2, random_state=0)
SMALL = {"n_members": 1, "max_iter": 5, "hidden_layer_sizes": (4,), "random_state": 0}


def by(names, density=GAUSS):
    """Return a density of columns that are chosen by what they are called."""
    a, b, c = names
    parts = (StandardScaler(), [a]), (PowerTransformer(), [b, c])
    return TransformedDensity(make_column_transformer(*parts), density)


def regressor(names):
    columns = make_column_transformer((StandardScaler(), names[1:]))
    return make_pipeline(columns, Ridge())


# What holds an estimator that asks for columns, by names or else by numbers.
HOLDERS = {
    "transformed": by,
    "nested": lambda n: TransformedDensity("passthrough", by(n)),
    "nested behind a scaler": lambda n: TransformedDensity(StandardScaler(), by(n)),
    "detector": lambda n: DensityOutlierDetector(by(n)),
    "detector, no mixture": lambda n: DensityOutlierDetector(by(n, KernelDensity())),
    "detector of a search": lambda n: DensityOutlierDetector(
        GridSearchCV(by(n), {"density__n_components": [1, 2]}, cv=2)
    ),
    "detector of a stack": lambda n: DensityOutlierDetector(
        StackingDensity(estimators=[("t", by(n))], random_state=0)
    ),
    "stack": lambda n: StackingDensity(
        estimators=[("t", by(n)), ("gauss", GAUSS)], random_state=0, cv=2
    ),
    "stack, spread": lambda n: StackingDensity(
        estimators=[("t", by(n)), ("k", by(n, KernelDensity()))],
        random_state=0,
        cv=2,
        dequantize=True,
    ),
    "conditional stack": lambda n: StackingConditionalDensity(
        [("names", regressor(n)), ("plain", Ridge())], **SMALL
    ),
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = np.exp(rng.normal(size=(80, 3)))
    X[:20, 1] = np.round(X[:20, 1], 1)
    return X, X[:, 0] + rng.normal(size=80)


def fit(estimator, X, y, **kwargs):
    if isinstance(estimator, StackingConditionalDensity):
        return estimator.fit(X, y, **kwargs)
    return estimator.fit(X, **kwargs)


def answers(estimator, X):
    """Return what an estimator says of samples."""
    methods = ["score_samples", "predict_proba", "predict", "predict_interval"]
    if hasattr(estimator, "baseline_"):
        methods.append("explain")
    asked = [name for name in methods if hasattr(estimator, name)]
    return [np.asarray(getattr(estimator, name)(X)) for name in asked]


# Answers where columns are numbers: they are the same for each kind of frame.
KNOWN = {}


@pytest.mark.filterwarnings("ignore:StackingDensity. many of the values:UserWarning")
@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("name", HOLDERS)
def test_names_are_as_good_as_numbers(name, frame, data):
    X, y = data
    held = X[:9] * 1.1
    given = FRAMES[frame](X)
    names = NAMES
    if name == "nested behind a scaler":
        names = StandardScaler().fit(given).get_feature_names_out()
    weight = np.ones(len(X))
    weight[::5] = 0
    options = [{}]
    if not any(word in name for word in ("no mixture", "search", "spread")):
        options.append({"sample_weight": weight})
    if "stack" in name and "detector" not in name:
        options.append({"groups": np.arange(80) // 8})
    for option in options:
        named = fit(HOLDERS[name](list(names)), given, y, **option)
        case = (name, *option)
        if case not in KNOWN:
            numbered = fit(HOLDERS[name]([0, 1, 2]), X, y, **option)
            KNOWN[case] = answers(numbered, held)
        found, expected = answers(named, FRAMES[frame](held)), KNOWN[case]
        assert found
        # The order in memory decides the last digits, and an optimiser's are many.
        for values, others in zip(found, expected, strict=True):
            assert_allclose(values, others, rtol=1e-6, atol=1e-6)
    assert_array_equal(named.feature_names_in_, NAMES)
    given = FRAMES[frame](held)
    choose = given.__getitem__ if frame == "pandas" else given.select
    turned = choose(["c", "a", "b"])
    with pytest.raises(ValueError, match="feature names"):
        named.predict(turned) if hasattr(named, "predict") else named.score(turned)


DAYS = np.arange("2020-01-01", "2020-03-21", dtype="datetime64[D]")
PANDAS_DATES = {
    "pandas dates": DAYS.astype("datetime64[ns]"),
    "pandas zones": pd.DatetimeIndex(DAYS).tz_localize("UTC"),
    "pandas periods": pd.PeriodIndex(DAYS, freq="D"),
    "pandas spans": DAYS - DAYS[0],
    "pandas objects": pd.Series(DAYS.tolist(), dtype=object),
}
LOST = [None, *DAYS.tolist()[1:]]
DATES = {
    **{
        name: lambda X, days=days: pd.DataFrame({"a": X[:, 0], "day": days})
        for name, days in PANDAS_DATES.items()
    },
    "polars": lambda X: pl.DataFrame({"a": X[:, 0], "day": LOST}),
    "polars spans": lambda X: pl.DataFrame(
        {"a": X[:, 0], "day": (DAYS - DAYS[0]).tolist()}
    ),
    "Arrow": lambda X: pytest.importorskip("pyarrow").table(
        {"a": X[:, 0], "day": LOST}
    ),
    "array": lambda X: np.append(DAYS[1:], np.datetime64("NaT"))[:, None],
    "spans": lambda X: (DAYS - DAYS[0])[:, None],
    "objects": lambda X: DAYS.astype(object)[:, None],
    "list": lambda X: [[day] for day in DAYS],
}


@pytest.mark.parametrize("way", DATES)
def test_dates_are_refused_by_name(way, data):
    rows = DATES[way](data[0])
    named = "'X'" if isinstance(rows, np.ndarray | list) else "'day'"
    for estimator in FIRST if way == "polars" else (GAUSS, MixtureImputer()):
        y = targets_of(estimator, data[1])
        with pytest.raises(ValueError, match=rf"\[{named}\] hold dates.*days since"):
            clone(estimator).fit(rows, y)
    fitted = clone(GAUSS).fit(np.arange(20.0).reshape(-1, 1 + (named == "'day'")))
    with pytest.raises(ValueError, match="hold dates"):
        fitted.score_samples(rows)


def test_lists_in_columns_are_refused(data):
    frame = pl.DataFrame({"a": data[0][:, 0], "pair": data[0][:, 1:].tolist()})
    for rows in (frame, frame.to_pandas()):
        with pytest.raises(ValueError, match=r"\['pair'\] hold lists"):
            clone(GAUSS).fit(rows)
    with pytest.raises(ValueError, match="datetime64"):
        Mixture([1.0], [[0.0]], [1.0], "spherical").log_prob(DAYS[:, None])


@pytest.mark.parametrize("kind", FRAMES)
def test_words_are_refused_by_the_name_of_their_column(kind, data):
    words = np.resize(["low", "high"], len(data[0]))
    frame = pd.DataFrame({"a": data[0][:, 0], "grade": words})
    if kind != "pandas":
        frame = pl.from_pandas(frame)
    rows = frame.to_arrow() if kind == "Arrow" else frame
    for estimator in FIRST if kind == "polars" else (GAUSS, MixtureImputer()):
        y = targets_of(estimator, data[1])
        with pytest.raises(ValueError, match=r"\['grade'\] hold .*words.*ncode"):
            clone(estimator).fit(rows, y)


def test_frames_that_are_not_computed_yet_are_refused(data):
    with pytest.raises(TypeError, match=r"no LazyFrame.*collect\(\)"):
        clone(GAUSS).fit(pl.DataFrame(data[0]).lazy())


def test_types_of_columns_are_kept():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=90), "n": rng.permutation(90)})
    count = make_column_selector(dtype_include="int64")
    number = make_column_selector(dtype_include="float64")
    columns = make_column_transformer(
        (PowerTransformer(), count), (StandardScaler(), number)
    )
    density = TransformedDensity(columns, GAUSS)
    expected = clone(density).fit(frame).score_samples(frame)
    detector = DensityOutlierDetector(density, marginal_weight=0).fit(frame)
    assert_array_equal(detector.score_samples(frame), expected)
    stack = StackingDensity(estimators=[("t", density)], random_state=0).fit(frame)
    assert_array_equal(stack.score_samples(frame), expected)
    counts = make_pipeline(make_column_transformer((StandardScaler(), count)), Ridge())
    stack = StackingConditionalDensity([("counts", counts)], **SMALL)
    assert stack.fit(frame, frame["x"]).member_names_ == ["counts"]


def test_draws_have_no_names_to_miss(data):
    X, _ = data
    frame = pd.DataFrame(X, columns=NAMES)
    density = by(NAMES).fit(frame)
    value, _ = monte_carlo_kl(density, density, n_samples=50, random_state=0)
    assert value == 0

    def distance(first, second):
        return monte_carlo_kl(first, second, n_samples=9, random_state=0).value

    kwargs = {"density": by(NAMES), "statistic": distance, "n_permutations": 1}
    result = two_sample_test(frame[:40], frame[40:], **kwargs, random_state=0)
    assert np.isfinite(result.statistic)


# Those that come first have regressors and densities that files do not know.
STACKS = StackingConditionalDensity, StackingDensity
ESTIMATORS = [
    *(estimator for estimator in FIRST if not isinstance(estimator, STACKS)),
    StackingConditionalDensity(["gp"], **SMALL),
    TransformedDensity("passthrough", GAUSS),
    TransformedDensity(StandardScaler(), TransformedDensity(StandardScaler(), GAUSS)),
    DensityOutlierDetector(TransformedDensity(StandardScaler(), GAUSS)),
    StackingDensity(estimators=[("t", TransformedDensity(PowerTransformer(), GAUSS))]),
]
METHODS = (
    "decision_function",
    "explain",
    "fit_predict",
    "log_density",
    "predict",
    "predict_interval",
    "predict_mixture",
    "predict_mode",
    "predict_proba",
    "predict_uncertainty",
    "sample_y",
    "score_samples",
    "transform",
)


@pytest.mark.filterwarnings("ignore:ConditionalMixtureDensity. Held-out")
@pytest.mark.parametrize("kind", ["array", "pandas"])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_nothing_warns_where_all_is_right(estimator, kind, data, tmp_path):
    X, y = data
    given = FRAMES.get(kind, np.asarray)(X + np.linspace(0, 0.01, 80)[:, None])
    has_targets = hasattr(estimator, "predict_mixture") or is_classifier(estimator)
    target = [targets_of(estimator, y)] if has_targets else []
    estimator = clone(estimator)
    if hasattr(estimator, "random_state"):
        estimator.set_params(random_state=0)
    estimator.fit(given, *target)
    asked = [name for name in METHODS if hasattr(estimator, name)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        repr(estimator), estimator._repr_html_(), clone(estimator)
        estimator.save(tmp_path / "model")
        loaded = skgmje.load(tmp_path / "model")
        for name in asked:
            known = getattr(estimator, name)(given)
            if isinstance(known, np.ndarray) and name not in (
                "sample_y",
                "fit_predict",
            ):
                assert_array_equal(getattr(loaded, name)(given), known)
        if hasattr(estimator, "sample"):
            loaded.sample(3, random_state=0)
    assert asked

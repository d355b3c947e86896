"""What is filled in, drawn and told is what the mixture says given the rest."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.compose import ColumnTransformer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skgmje import (
    GaussianMixture,
    GrowingNeuralGasMixture,
    MixtureImputer,
    StudentMixture,
)
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.impute import pool_estimates

RNG = np.random.default_rng(0)
N = 160
WHOLE = RNG.normal(size=(N, 4)) @ RNG.normal(size=(4, 4))
WHOLE[::2] += [4.0, 0.0, 4.0, -4.0]
HOLES = RNG.random(WHOLE.shape) < 0.25
HOLES[5] = True
X = np.where(HOLES, np.nan, WHOLE)
TWO = GaussianMixture(2, shrinkage=2, random_state=0)
NAMES = ["a", "b", "c", "d"]


def fitted(**params):
    return MixtureImputer(**{"density": TWO, "random_state": 0} | params).fit(X)


@pytest.fixture(scope="module")
def imputer():
    return fitted()


def given_rest(mixture, row):
    """Return the density of what a sample lacks, and where."""
    known = np.flatnonzero(~np.isnan(row))
    given = mixture.condition(known, row[known]) if len(known) else mixture
    return given, np.isnan(row)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("n_features", [4, 18])
def test_means_and_spreads_are_those_of_the_conditional_density(kind, n_features):
    rows = np.random.default_rng(1).normal(size=(60, n_features))
    rows[::2] += 3
    rows[np.random.default_rng(2).random(rows.shape) < 0.3] = np.nan
    rows[4] = np.nan
    density = GaussianMixture(
        2, covariance_type=kind, rank=2, shrinkage=5, reg_covar=0.1, random_state=0
    )
    imputer = MixtureImputer(density, random_state=0).fit(rows)
    filled, std = imputer.transform(rows), imputer.uncertainty(rows)
    assert_allclose(filled, imputer.density_.impute(rows), rtol=1e-8, atol=1e-10)
    for row, values, spread in zip(rows, filled, std, strict=True):
        lacks = np.isnan(row)
        assert_array_equal(values[~lacks], row[~lacks])
        assert_array_equal(spread[~lacks], 0)
        if lacks.any():
            given, _ = given_rest(imputer.mixture_, row)
            assert_allclose(values[lacks], given.mean, rtol=1e-8, atol=1e-10)
            assert_allclose(spread[lacks] ** 2, np.diag(given.covariance), rtol=1e-8)


def test_draws_are_those_of_the_conditional_density(imputer):
    rows = X[HOLES.any(axis=1)][:4]
    tables = imputer.sample_imputations(rows, 1500, proper=False)
    assert tables.shape == (1500, 4, 4)
    for i, row in enumerate(rows):
        given, lacks = given_rest(imputer.mixture_, row)
        assert_array_equal(tables[:, i, ~lacks], np.tile(row[~lacks], (1500, 1)))
        for j, feature in enumerate(np.flatnonzero(lacks)):
            marginal = given.marginal([j])
            levels = marginal.cdf(tables[:, i, feature])
            assert stats.kstest(levels, "uniform").pvalue > 1e-3
        if lacks.sum() > 1:
            found = np.cov(tables[:, i, lacks].T)
            assert_allclose(found, given.covariance, atol=0.15 * np.abs(found).max())


def test_strategies_fill_in_the_mean_the_mode_or_a_draw(imputer):
    filled = {name: fitted(strategy=name).transform(X) for name in ("mode", "sample")}
    for values in filled.values():
        assert_array_equal(values[~HOLES], X[~HOLES])
    log_prob = imputer.mixture_.log_prob
    most = log_prob(filled["mode"])
    for other in (imputer.transform(X), filled["sample"]):
        assert (most >= log_prob(other) - 1e-9).all()
    drawn = imputer.sample_imputations(X, 1, proper=False)[0]
    assert_array_equal(filled["sample"], drawn)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_draw_depends_on_the_sample_and_not_on_its_place(dtype):
    rows = X.astype(dtype)
    imputer = MixtureImputer(TWO, strategy="sample", random_state=0).fit(rows)
    whole = imputer.transform(rows)
    assert whole.dtype == dtype
    order = np.random.default_rng(1).permutation(N)
    tol = 1e-12 if dtype == np.float64 else 1e-5
    assert_allclose(imputer.transform(rows[order]), whole[order], rtol=tol, atol=tol)
    assert_allclose(imputer.transform(rows[7:31]), whole[7:31], rtol=tol, atol=tol)
    fortran = np.asfortranarray(rows)
    assert_allclose(imputer.transform(fortran), whole, rtol=tol, atol=tol)
    other = imputer.set_params(random_state=1).fit(rows).transform(rows)
    assert (other[HOLES] != whole[HOLES]).all()


def test_samples_that_are_alike_get_draws_of_their_own(imputer):
    rows = np.tile([[1.0, np.nan, 0.0, 2.0]], (2000, 1))
    drawn = fitted(strategy="sample").transform(rows)[:, 1]
    given, _ = given_rest(imputer.mixture_, rows[0])
    assert len(np.unique(drawn)) == 2000
    assert stats.kstest(given.cdf(drawn), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.1


def test_tables_of_one_call_differ_and_begin_alike(imputer):
    tables = imputer.sample_imputations(X, 3)
    assert (np.ptp(tables[:, HOLES], axis=0) > 0).all()
    assert_array_equal(imputer.sample_imputations(X, 2), tables[:2])
    assert_array_equal(fitted().sample_imputations(X, 2), tables[:2])
    narrow = imputer.sample_imputations(X, 3, proper=False)
    assert (narrow[0, HOLES] != tables[0, HOLES]).all()


def test_proper_draws_know_that_the_density_is_uncertain():
    few = np.random.default_rng(0).normal(size=(30, 2))
    few[:15, 1] = np.nan
    imputer = MixtureImputer(GaussianMixture(), random_state=0).fit(few)
    far = [[6.0, np.nan]]
    proper, narrow = (
        imputer.sample_imputations(far, 100, proper=proper)[:, 0, 1].std()
        for proper in (True, False)
    )
    assert proper > 1.3 * narrow


def test_automatic_density_fills_in_better_than_regressions_in_turns():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 300)
    ring = np.column_stack([np.cos(angle), np.sin(angle), angle])
    ring += 0.1 * rng.normal(size=ring.shape)
    hidden = rng.random(ring.shape) < 0.2
    rows = np.where(hidden, np.nan, ring)
    errors = [
        np.sqrt(np.mean((imputer.fit_transform(rows) - ring)[hidden] ** 2))
        for imputer in (MixtureImputer(random_state=0), IterativeImputer(tol=0.1))
    ]
    assert errors[0] < 0.85 * errors[1]


def test_weights_are_copies():
    density = GaussianMixture(tol=1e-10, max_iter=1000)
    counts = np.arange(N) % 3
    imputers = (
        MixtureImputer(density).fit(X, sample_weight=counts),
        MixtureImputer(density).fit(np.repeat(X, counts, axis=0)),
    )
    first, second = (imputer.transform(X) for imputer in imputers)
    assert_allclose(first, second, rtol=1e-5, atol=1e-5)


FRAMES = {
    "pandas": lambda: pd.DataFrame(X, columns=NAMES, index=np.arange(N) + 7),
    "polars": lambda: pl.DataFrame(X, schema=NAMES).fill_nan(None),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_keep_their_columns_index_and_types(kind, imputer):
    table = FRAMES[kind]()
    count = np.arange(N)
    if kind == "pandas":
        table["count"] = count
        table["rest"] = pd.array(np.where(HOLES[:, 0], None, count), dtype="Int64")
        table["a"] = table["a"].astype("float32")
    else:
        rest = [None if hole else i for i, hole in enumerate(HOLES[:, 0])]
        table = table.with_columns(
            pl.Series("count", count),
            pl.Series("rest", rest, dtype=pl.Int64),
            pl.col("a").cast(pl.Float32),
        )
    asked = MixtureImputer(TWO, add_indicator=True, random_state=0)
    out = asked.set_output(transform=kind).fit(table).transform(table)
    names = [*NAMES, "count", "rest"]
    flags = [f"missingindicator_{name}" for name in (*NAMES, "rest")]
    assert [*out.columns] == [*names, *flags] == [*asked.get_feature_names_out()]
    types = {name: str(out[name].dtype).lower() for name in names}
    assert types["a"] == "float32"
    assert types["b"] == types["rest"] == "float64"
    assert types["count"] == "int64"
    if kind == "pandas":
        assert_array_equal(out.index, table.index)
    assert_array_equal(out["count"], count)
    assert_array_equal(np.asarray(out["missingindicator_b"]), HOLES[:, 1])
    whole = table[count] if kind == "polars" else table
    assert not np.isnan(np.asarray(asked.transform(whole), np.float64)).any()


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize("dtype", ["int64", "uint64", "Int64", "bool"])
def test_whole_columns_stay_what_they_are(kind, dtype):
    # As a float 2**60 is the same as 2**60 + 1.
    large = np.arange(N) % 2 == 0 if dtype == "bool" else 2**60 + np.arange(N)
    table = pd.DataFrame({"n": pd.array(large, dtype=dtype), "x": X[:, 0]})
    if kind == "polars":
        table = pl.from_pandas(table)
    imputer = MixtureImputer(GaussianMixture(reg_covar="auto"))
    out = imputer.set_output(transform=kind).fit_transform(table)
    assert out["n"].dtype == table["n"].dtype
    assert out["n"].to_list() == large.tolist()


@pytest.mark.parametrize("names", [[0, 1], [("a", 0), ("a", 1)]])
def test_columns_keep_their_types_whatever_they_are_called(names):
    table = pd.DataFrame({"n": np.arange(N), "x": X[:, 0].astype(np.float32)})
    if isinstance(names[0], tuple):
        names = pd.MultiIndex.from_tuples(names)
    table.columns, table.index = names, np.arange(N) // 2
    out = MixtureImputer(TWO).set_output(transform="pandas").fit_transform(table)
    assert [*map(str, out.dtypes)] == ["int64", "float32"]
    assert_array_equal(out.index, table.index)


def test_an_indicator_is_no_second_column_of_a_name():
    table = pd.DataFrame(X[:, :2], columns=["a", "missingindicator_a"])
    with pytest.raises(ValueError, match="second column 'missingindicator_a'"):
        MixtureImputer(TWO, add_indicator=True).fit(table)
    MixtureImputer(TWO).fit(table)


def test_columns_without_a_value_are_left_out_or_filled_with_zero():
    rows = np.insert(X, 1, np.nan, axis=1)
    dropping = MixtureImputer(TWO, random_state=0)
    with pytest.warns(UserWarning, match="no value in column 1 .*keep_empty_features"):
        dropping.fit(rows)
    assert_allclose(dropping.transform(rows), fitted().transform(X))
    assert [*dropping.get_feature_names_out()] == ["x0", "x2", "x3", "x4"]
    keeping = MixtureImputer(TWO, keep_empty_features=True, random_state=0).fit(rows)
    filled, std = keeping.transform(rows), keeping.uncertainty(rows)
    assert_array_equal(filled[:, 1], 0)
    assert_array_equal(std[:, 1], np.inf)
    others = [0, 2, 3, 4]
    assert_allclose(filled[:, others], fitted().transform(X))
    assert_allclose(std[:, others], fitted().uncertainty(X))
    assert keeping.sample_imputations(rows, 2, proper=False).shape == (2, N, 5)


def test_constant_columns_are_filled_with_their_value():
    rows = np.column_stack([X, np.where(HOLES[:, 0], np.nan, 3.0)])
    for strategy in ("mean", "sample"):
        imputer = MixtureImputer(TWO, strategy=strategy, random_state=0).fit(rows)
        assert_array_equal(imputer.transform(rows)[:, 4], 3)
    assert_array_equal(imputer.uncertainty(rows)[:, 4], 0)


def test_a_single_value_is_told_of():
    rows = X.copy()
    rows[1:, 2] = np.nan
    with pytest.warns(UserWarning, match="single value in column 2"):
        assert_array_equal(fitted().fit(rows).transform(rows)[:, 2], rows[0, 2])


def test_fewer_samples_than_columns_are_enough():
    rows = np.random.default_rng(0).normal(size=(12, 30))
    rows[:, :10] += rows[:, 10:11]
    hidden = np.random.default_rng(1).random(rows.shape) < 0.2
    imputer = MixtureImputer(random_state=0).fit(np.where(hidden, np.nan, rows))
    filled = imputer.transform(np.where(hidden, np.nan, rows))
    assert np.abs(filled).max() < 10
    assert imputer.uncertainty(np.where(hidden, np.nan, rows))[hidden].min() > 0.01


def test_far_samples_are_finite(imputer):
    far = [[1e200, np.nan, 0.0, 1.0], [1e100, np.nan, -1e100, np.nan]]
    for answer in (imputer.transform, imputer.uncertainty):
        assert np.isfinite(answer(far)).all()


@pytest.mark.parametrize("size", [1e20, 1e155, 1e200, 1e300])
def test_far_samples_have_the_uncertainty_of_their_component(size, imputer):
    row = [size, np.nan, 0.0, 1.0]
    mixture = imputer.mixture_
    component = mixture.condition([0, 2, 3], [size, 0.0, 1.0]).weights.argmax()
    S = mixture.covariances[component]
    known = [0, 2, 3]
    gain = np.linalg.solve(S[np.ix_(known, known)], S[known, 1])
    variance = S[1, 1] - S[1, known] @ gain
    assert_allclose(imputer.uncertainty([row])[0], [0, np.sqrt(variance), 0, 0])


@pytest.mark.parametrize("strategy", ["mean", "mode", "sample"])
def test_what_no_number_can_hold_is_refused(strategy):
    steep = np.column_stack([WHOLE[:, 0], 9 * WHOLE[:, 0] + 0.1 * WHOLE[:, 1]])
    imputer = MixtureImputer(GaussianMixture(), strategy=strategy).fit(steep)
    single = np.array([[1.0, np.nan], [3e38, np.nan]], np.float32)
    with pytest.raises(ValueError, match=r"sample 1 of X lacks .* float32"):
        imputer.transform(single)
    with pytest.raises(ValueError, match=r"finite|float64"):
        imputer.transform([[1e308, np.nan]])


WORDS = {
    "pandas words": pd.DataFrame({"n": [1.0, np.nan], "city": ["Rome", None]}),
    "pandas categories": pd.DataFrame({"n": [1.0, 2.0], "city": [1, 2]}).astype(
        {"city": "category"}
    ),
    "polars": pl.DataFrame({"n": [1.0, 2.0], "city": ["Rome", None]}),
    "objects": np.array([[1.0, "Rome"], [2.0, None]], dtype=object),
    "lists": [[1.0, "Rome"], [2.0, "Oslo"]],
}


@pytest.mark.parametrize("way", WORDS)
def test_categories_are_refused_with_a_remedy(way):
    named = "city" if way.startswith("p") else "X"
    with pytest.raises(ValueError, match=f"'{named}'.*SimpleImputer.*ColumnTransf"):
        MixtureImputer().fit(WORDS[way])


def test_the_remedy_for_categories_works():
    table = pd.DataFrame(X, columns=NAMES).assign(
        city=["Rome", "Oslo", None, "Rome"] * 40
    )
    both = ColumnTransformer(
        [
            ("numbers", MixtureImputer(TWO), NAMES),
            (
                "words",
                SimpleImputer(strategy="most_frequent"),
                ["city"],
            ),
        ]
    ).set_output(transform="pandas")
    assert not both.fit_transform(table).isna().any(axis=None)


@pytest.mark.parametrize(
    ("params", "rows", "error", "words"),
    [
        ({}, np.full((9, 2), np.nan), ValueError, "no value in columns 0, 1"),
        ({}, np.where(HOLES, np.inf, X), ValueError, "infinity"),
        ({}, X[:1], ValueError, "minimum of 2"),
        ({"density": "full"}, X, TypeError, "density='full' is no estimator"),
        ({"density": 3}, X, TypeError, "density=3 is no estimator"),
        (
            {"density": GrowingNeuralGasMixture()},
            X,
            TypeError,
            "takes no missing values",
        ),
        ({"density": GaussianMixture(background=True)}, X, TypeError, "no Gaussian mi"),
        ({"density": SimpleImputer()}, X, TypeError, "not one Gaussian mixture"),
        ({"strategy": "median"}, X, ValueError, "'strategy'"),
    ],
)
@pytest.mark.filterwarnings("ignore:background=True")
def test_what_cannot_be_is_refused(params, rows, error, words):
    imputer = MixtureImputer(**params)
    with pytest.raises(error, match=words):
        imputer.fit(rows)
    assert not hasattr(imputer, "mixture_")


def test_questions_that_cannot_be_answered_say_so(imputer):
    with pytest.raises(ValueError, match="n_imputations=0"):
        imputer.sample_imputations(X, 0)
    with pytest.raises(ValueError, match="3 features"):
        imputer.transform(X[:, :3])
    with pytest.raises(ValueError, match="infinity"):
        imputer.transform(np.where(HOLES, np.inf, X))


def test_tensors_and_searches(imputer):
    assert_allclose(imputer.transform(torch.tensor(X)), imputer.transform(X))
    y = WHOLE[:, 0] + WHOLE[:, 1]
    pipeline = make_pipeline(MixtureImputer(TWO, random_state=0), LinearRegression())
    grid = {"mixtureimputer__density__n_components": [1, 2]}
    assert GridSearchCV(pipeline, grid, cv=2).fit(X, y).best_score_ > 0.5


def test_a_density_that_is_fitted_to_whole_samples_fills_in_others():
    student = MixtureImputer(StudentMixture(random_state=0)).fit(WHOLE)
    assert np.isfinite(student.transform(X)).all()
    assert_allclose(student.fit(X).transform(X)[~HOLES], X[~HOLES])
    with pytest.raises(TypeError, match="proper=False"):
        MixtureImputer(_Unweighted(), random_state=0).fit(WHOLE).sample_imputations(
            X, 2
        )


class _Unweighted(GaussianMixture):
    def fit(self, X, y=None):
        return super().fit(X)


def test_pooled_estimates_follow_rubins_rules():
    estimates = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    variances = np.tile([4.0, 1.0], (3, 1))
    pooled = pool_estimates(estimates, variances)
    assert_allclose(pooled.estimate, [2.0, 5.0])
    assert_allclose(pooled.within, [4.0, 1.0])
    assert_allclose(pooled.between, [1.0, 0.0])
    assert_allclose(pooled.variance, [4.0 + 4 / 3, 1.0])
    share = (4 / 3) / (4 + 4 / 3)
    assert_allclose(pooled.dof, [2 / share**2, np.inf])
    reach = stats.t.ppf(0.975, pooled.dof) * pooled.standard_error
    assert_allclose(
        pooled.interval(), [pooled.estimate - reach, pooled.estimate + reach]
    )
    assert_allclose(reach[1], stats.norm.ppf(0.975))
    small = pool_estimates(estimates, variances, dof_complete=20)
    observed = 21 / 23 * 20 * (1 - share)
    assert_allclose(small.dof[0], 1 / (share**2 / 2 + 1 / observed))
    assert_allclose(small.dof[1], 21 / 23 * 20)


@pytest.mark.parametrize(
    ("estimates", "variances", "words"),
    [
        ([1.0], [1.0], "minimum of 2"),
        ([1.0, 2.0], [1.0], "minimum of 2"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], r"estimates has shape \(2,\)"),
        ([1.0, 2.0], [1.0, -1.0], "negative"),
        ([1.0, np.nan], [1.0, 1.0], "NaN"),
    ],
)
def test_estimates_that_cannot_be_pooled_are_refused(estimates, variances, words):
    with pytest.raises(ValueError, match=words):
        pool_estimates(estimates, variances)


@pytest.mark.parametrize("dof", [0, -3, np.nan, np.inf, "many"])
def test_degrees_of_freedom_are_positive(dof):
    with pytest.raises(ValueError, match=f"dof_complete={dof!r} must be a positive"):
        pool_estimates([1.0, 2.0], [1.0, 1.0], dof_complete=dof)


def test_what_nothing_is_known_of_has_an_infinite_interval():
    pooled = pool_estimates([[1.0, 1], [2, 1]], [[0, 1], [0, 1]], dof_complete=10)
    assert_array_equal(pooled.interval()[:, 0], [-np.inf, np.inf])
    assert np.isfinite(pooled.interval()[:, 1]).all()


@pytest.mark.slow
def test_pooled_intervals_of_proper_draws_cover():
    inside = {True: [], False: []}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        table = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.7], [0.7, 1.0]], 40)
        table[rng.random(40) < 1 / (1 + np.exp(-2 * table[:, 0])), 1] = np.nan
        imputer = MixtureImputer(GaussianMixture(), random_state=0).fit(table)
        for proper, found in inside.items():
            tables = imputer.sample_imputations(table, 10, proper=proper)
            means, variances = (
                tables[..., 1].mean(1),
                tables[..., 1].var(1, ddof=1) / 40,
            )
            low, high = pool_estimates(means, variances, dof_complete=39).interval()
            found.append(low <= 0 <= high)
    assert np.mean(inside[True]) >= 0.88
    assert np.mean(inside[True]) > np.mean(inside[False])

"""A column without a value is refused by name, by whatever way samples come in."""

import warnings

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from skgmje import (
    ConditionalMixtureDensity,
    GaussianMixture,
    Mixture,
    MixtureClassifier,
    StudentMixture,
)
from skgmje.em import (
    RowBlocks,
    expectation_maximization,
    kernel_bandwidth,
    start_mixture,
    tree_reduce,
    weights_only,
)
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.utils import all_estimators
from tests.sources import make_source, targets_of

RNG = np.random.default_rng(0)
N = 120
X = np.vstack([RNG.normal(0, 1, (N // 2, 3)), RNG.normal(8, 1, (N // 2, 3))])
Y = X[:, 0] + RNG.normal(0, 0.3, N)
NAMES = ["length", "width", "height"]
EMPTY = X.copy()
EMPTY[:, 1] = np.nan

MIXTURE = GaussianMixture(2, random_state=0)
AUTO = GaussianMixture("auto", covariance_type="diag", shrinkage=2, random_state=0)
SOURCES = ("prototypes", "neural-gas", "memory-bank", "auto")
MODELS = {
    "mixture": MIXTURE,
    "automatic": AUTO,
    "student": StudentMixture(2, tol=1e-3, random_state=0),
    "classifier": MixtureClassifier(random_state=0),
    **{
        source: ConditionalMixtureDensity(
            make_source(source, n_components=2, n_members=1, max_iter=10),
            random_state=0,
        )
        for source in SOURCES
    },
}


class Blocks(RowBlocks):
    def __init__(self, *blocks):
        self.blocks = blocks

    def reduce(self, function, merge):
        results = [function(i, *block) for i, block in enumerate(self)]
        return tree_reduce(merge, results)

    def __iter__(self):
        return iter([(rows, None) for rows in self.blocks])


def frame(rows):
    return pd.DataFrame(rows, columns=NAMES)


def words(rows):
    rows = np.asarray(rows)
    return np.where(np.isnan(rows), None, rows).tolist()


def masked(rows):
    # What is under the mask must not be seen.
    return np.ma.array(np.where(np.isnan(rows), -7.0, rows), mask=np.isnan(rows))


IN_MEMORY = {
    "array": (np.array, "column 1"),
    "single precision": (np.float32, "column 1"),
    "by columns": (np.asfortranarray, "column 1"),
    "lists": (np.ndarray.tolist, "column 1"),
    "lists with None": (words, "column 1"),
    "objects": (lambda rows: np.array(words(rows), object), "column 1"),
    "masked": (masked, "column 1"),
    "tensor": (torch.tensor, "column 1"),
    "pandas": (frame, "column 'width'"),
    "pandas with NA": (lambda rows: frame(rows).convert_dtypes(), "column 'width'"),
    "polars": (lambda rows: pl.DataFrame(words(rows), NAMES, orient="row"), "'width'"),
}
IN_BLOCKS = {
    "Dask": (lambda rows: da.from_array(rows, chunks=(50, 3)), "column 1"),
    "Dask frame": (lambda rows: dd.from_pandas(frame(rows), 3), "column 'width'"),
    "blocks": (lambda rows: Blocks(rows[:50], rows[50:]), "column 1"),
    "masked blocks": (lambda rows: Blocks(masked(rows[:50]), rows[50:]), "column 1"),
}
WAYS = IN_MEMORY | IN_BLOCKS


def fitted(model, rows, sample_weight=None):
    """Fit a clone to the rows, and to targets if it is a regressor."""
    model = clone(model)
    if isinstance(model, GaussianMixture):
        return model.fit(rows, sample_weight=sample_weight)
    targets = targets_of(model, Y[: len(rows)])
    return model.fit(rows, targets, sample_weight=sample_weight)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("way", WAYS)
def test_empty_column_is_named(name, way):
    come_in, column = WAYS[way]
    if way in IN_BLOCKS and name not in ("mixture", "automatic"):
        pytest.skip("a regressor takes arrays in memory")
    with pytest.raises(ValueError, match=f"no value in .*{column}.*NaN.*Drop"):
        fitted(MODELS[name], come_in(EMPTY))


def test_all_that_take_missing_entries_are_tried():
    takes = {name for name, cls in all_estimators() if _takes_missing(cls)}
    # It leaves such a column out, with a warning: see tests/impute.
    takes -= {"MixtureImputer"}
    assert takes == {type(model).__name__ for model in MODELS.values()}


def _takes_missing(cls):
    parameters = [name for name in ("density", "estimators") if hasattr(cls, name)]
    try:
        return not parameters and get_tags(cls()).input_tags.allow_nan
    except TypeError:  # It needs parts, which tell what they take.
        return False


@pytest.mark.parametrize("name", MODELS)
def test_values_without_weight_are_none(name):
    weight = np.ones(N)
    weight[:5] = 0
    rows = EMPTY.copy()
    rows[:5, 1] = 1.0
    with pytest.raises(ValueError, match=r"no value in column 1.*positive weight"):
        fitted(MODELS[name], rows, weight)
    weight[:5] = 1
    fitted(MODELS[name], rows, weight)


def test_blocks_are_empty_together_only():
    rows = EMPTY.copy()
    rows[:5, 1] = X[:5, 1]
    blocks = da.from_array(rows, chunks=(40, 3))
    weight = da.from_array((np.arange(N) >= 5).astype(float), chunks=40)
    with pytest.raises(ValueError, match="no value in column 1"):
        clone(MIXTURE).fit(blocks, sample_weight=weight)
    model = fitted(MIXTURE, blocks)
    assert_allclose(model.means_, fitted(MIXTURE, rows).means_, atol=1e-6)


def test_error_counts_what_it_does_not_name():
    rows = np.full((10, 9), np.nan)
    rows[:, 0] = range(10)
    with pytest.raises(ValueError, match="columns 1, 2, 3, 4, 5 and 3 more"):
        GaussianMixture().fit(rows)


@pytest.mark.parametrize(
    "fit",
    [
        lambda: clone(MIXTURE).fit_predict(EMPTY),
        lambda: clone(MIXTURE).partial_fit(EMPTY),
        lambda: clone(MIXTURE).partial_fit(WAYS["Dask"][0](EMPTY)),
        lambda: fitted(MIXTURE, X).set_params(warm_start=True).fit(EMPTY),
        lambda: make_pipeline("passthrough", MIXTURE).fit(EMPTY),
        lambda: start_mixture(EMPTY, np.arange(N) % 2),
    ],
    ids=["fit_predict", "first chunk", "first block", "warm", "pipeline", "start"],
)
def test_other_ways_to_begin_refuse_it(fit):
    with pytest.raises(ValueError, match="no value in column 1"):
        fit()


def test_search_says_which_fold_had_no_value():
    rows = EMPTY.copy()
    rows[-5:, 1] = X[-5:, 1]
    search = GridSearchCV(MIXTURE, {"n_components": [1, 2]}, cv=3)
    with (
        pytest.warns(UserWarning, match="non-finite"),
        pytest.warns(FitFailedWarning, match="no value in column 1"),
    ):
        search.fit(rows)


def test_later_chunks_may_lack_a_column(covariance_type):
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    score = model.score(X)
    for _ in range(3):
        model.partial_fit(EMPTY)
    assert model.score(X) > score - 0.1
    with pytest.raises(ValueError, match="only missing entries"):
        model.partial_fit(np.full((3, 3), np.nan))
    given = GaussianMixture.from_parameters(
        [1.0], [[1.0, 2.0, 3.0]], [[1.0, 4.0, 9.0]], covariance_type="diag"
    )
    given.set_params(reg_covar=0.5).partial_fit(EMPTY)
    assert_allclose([given.means_[0, 1], given.covariances_[0, 1]], [2.0, 4.0])


@pytest.fixture(params=sorted(COVARIANCE_TYPES))
def covariance_type(request):
    return request.param


@pytest.mark.parametrize(
    "init_params", ["k-means++", "kmeans", "random", "random_from_data"]
)
def test_component_without_values_is_as_wide_as_the_feature(
    covariance_type, init_params
):
    """Samples around zero have no second feature: those around eight tell of it."""
    rows = X.copy()
    rows[: N // 2, 1] = np.nan
    model = GaussianMixture(
        2, covariance_type=covariance_type, init_params=init_params, random_state=0
    ).fit(rows)
    marginal = model.marginal([1])
    values = rows[N // 2 :, 1]
    variances = COVARIANCE_TYPES[marginal.covariance_type].diagonal(
        marginal.covariances, 2, 1
    )
    assert_allclose(marginal.means, values.mean(), atol=2.5)
    assert variances.min() > 0.3 * values.var()
    filled = model.impute(rows)
    assert abs(filled[: N // 2, 1] - values.mean()).max() < 4 * values.std()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("n_values", [2, 5])
def test_few_values_invent_nothing_in_folds(name, n_values):
    """Whichever folds lack the feature, complete samples keep a fair density."""
    values = np.linspace(-2.0, 10.0, n_values)
    rows = EMPTY.copy()
    rows[:: N // n_values, 1][:n_values] = values
    model = fitted(MODELS[name], rows)
    if isinstance(model, StudentMixture):
        assert model.score(X) > -25
    elif isinstance(model, GaussianMixture):
        assert model.score(X) > -25
        if hasattr(model, "cv_results_"):
            assert model.cv_results_["mean_test_score"].max() > -8
        assert np.abs(model.impute(EMPTY)[:, 1] - 4).max() < 12
    else:
        assert model.score(EMPTY, targets_of(model, Y)) > -1.0
        assert np.isfinite(model.predict(X)).all()
        assert np.isfinite(model.predict(np.full((1, 3), np.nan))).all()


def test_single_value_is_said_to_have_no_spread():
    rows = frame(EMPTY)
    rows.loc[3, "width"] = 1.0
    for come_in in (lambda table: table, lambda table: dd.from_pandas(table, 3)):
        with pytest.warns(UserWarning, match="single value in column 'width', and 119"):
            model = clone(MIXTURE).fit(come_in(rows))
        assert np.isfinite(model.score(X if come_in is None else frame(X)))
        assert_allclose(model.impute(frame(EMPTY))[:, 1], 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(MIXTURE).fit(np.where(np.arange(3) == 1, 1.0, X))  # constant is known


@pytest.mark.parametrize("come_in", [np.array, IN_BLOCKS["Dask"][0]])
def test_samples_without_a_value_are_as_good_as_absent(come_in, covariance_type):
    rows = X.copy()
    rows[::4, 2] = np.nan
    more = np.vstack([rows, np.full((5 * N, 3), np.nan)])
    more = more[np.random.default_rng(1).permutation(len(more))]
    seen = more[~np.isnan(more).all(axis=1)]
    model = GaussianMixture(
        2, covariance_type=covariance_type, shrinkage=5, random_state=0, n_init=3
    )
    expected, model = clone(model).fit(seen), model.fit(come_in(more))
    assert_allclose(model.score(seen), expected.score(seen), atol=1e-2)
    absent = np.full((1, 3), np.nan)
    assert model.score_samples(absent) == 0
    assert_allclose(model.impute(absent)[0], model.mixture_.mean)
    assert_allclose(model.predict_proba(absent)[0], model.weights_)


def test_masked_entries_are_missing_everywhere():
    rows = np.where(np.random.default_rng(1).random(X.shape) < 0.2, np.nan, X)
    model = fitted(MIXTURE, masked(rows))
    assert_allclose(model.means_, fitted(MIXTURE, rows).means_)
    assert_allclose(model.score_samples(masked(rows)), model.score_samples(rows))
    log_prob = model.mixture_.log_prob(masked(rows), missing="marginal")
    assert_allclose(log_prob, model.score_samples(rows))


def test_em_keeps_what_it_cannot_see(covariance_type):
    """The regularisation is added once, however many steps see no value."""
    full = np.tile(np.diag([1.0, 4.0, 1.0]), (2, 1, 1))
    parts = {
        "full": full,
        "tied": full[0],
        "diag": full[:, range(3), range(3)],
        "spherical": np.full(2, 4.0),
        "low-rank": (np.zeros((2, 3, 1)), full[:, range(3), range(3)]),
    }[covariance_type]
    means = np.array([[0.0, 5.0, 0.0], [8.0, 6.0, 8.0]])
    start = Mixture([0.5, 0.5], means, parts, covariance_type)
    params = {"reg_covar": 0.1, "tol": 0.0, "max_iter": 30}
    end = expectation_maximization(EMPTY, start, **params).mixture
    assert_allclose(end.means[:, 1], [5.0, 6.0], atol=0.2)
    variances = COVARIANCE_TYPES[covariance_type].diagonal(end.covariances, 2, 3)
    if covariance_type != "spherical":  # there the others say it
        assert_allclose(variances[:, 1], 4.0, rtol=1e-6)
    assert variances.max() < 4.1


@pytest.mark.parametrize("function", [kernel_bandwidth, weights_only])
def test_functions_of_complete_samples_say_so(function):
    missing = np.random.default_rng(0).normal(size=(20, 3))
    missing[:, 1] = np.nan
    with pytest.raises(ValueError, match="missing values"):
        function(missing, missing[:3])

"""Dask collections: lazy answers, the fits of arrays, the same bits for any worker."""

import inspect
from itertools import chain

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris

from skgmje.em import RowBlocks, tree_reduce
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.mixture import (
    Codes,
    GaussianMixture,
    GrowingNeuralGasMixture,
    KernelMixtureDensity,
    MixtureClassifier,
)
from skgmje.utils import all_estimators

RNG = np.random.default_rng(0)
X = np.tile(load_iris().data, (4, 1)) + RNG.normal(0, 0.1, (600, 4))
CHUNKS = (250, 4)
LAZY = da.from_array(X, chunks=CHUNKS)
WEIGHT = RNG.uniform(0, 2, len(X)) * (RNG.uniform(size=len(X)) < 0.9)

MIXTURE = GaussianMixture(3, random_state=0)
ESTIMATORS = {
    "mixture": MIXTURE,
    "auto": GaussianMixture(
        "auto", covariance_type="diag", shrinkage=2, reg_covar="auto", random_state=0
    ),
    "codes": KernelMixtureDensity(
        3,
        shrinkage=2,
        max_iter=20,
        generator=Codes(hidden_layer_sizes=(8,)),
        random_state=0,
    ),
    "gas": GrowingNeuralGasMixture(10, shrinkage=2.0, random_state=0),
    "clusters": GrowingNeuralGasMixture(
        10, component="cluster", output="distances", shrinkage=2.0, random_state=0
    ),
}
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Sending large graph:UserWarning"),
]


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(params=ESTIMATORS.values(), ids=ESTIMATORS)
def estimator(request):
    return clone(request.param)


def parameters(estimator):
    """Return all that a fit decides, as bytes."""
    parts = np.atleast_1d(estimator.covariances_)
    return estimator.weights_.tobytes() + estimator.means_.tobytes() + parts.tobytes()


def test_fit_is_that_of_the_array(estimator):
    expected = clone(estimator).fit(X)
    estimator.fit(LAZY)
    assert_allclose(estimator.means_, expected.means_, rtol=1e-9)
    assert_allclose(estimator.score(LAZY), expected.score(X), rtol=1e-9)
    assert estimator.n_features_in_ == 4


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("gap", [None, np.nan], ids=["complete", "missing"])
def test_every_covariance_type_merges(kind, gap):
    rows = X[:300].copy()
    if gap is not None:
        rows[::7, 1] = gap
    settings = {"covariance_type": kind, "rank": 2, "max_iter": 5, "random_state": 0}
    expected = GaussianMixture(2, **settings).fit(rows)
    fitted = GaussianMixture(2, **settings).fit(da.from_array(rows, chunks=(110, 4)))
    assert_allclose(fitted.means_, expected.means_, rtol=1e-8)
    assert_allclose(fitted.lower_bound_, expected.lower_bound_, rtol=1e-9)


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_bits_do_not_depend_on_who_works(scheduler):
    with dask.config.set(scheduler="threads", num_workers=1):
        expected = parameters(clone(MIXTURE).fit(LAZY))
    with dask.config.set(scheduler=scheduler, num_workers=3):
        assert parameters(clone(MIXTURE).fit(LAZY)) == expected


def test_weights_of_the_rows():
    lazy = da.from_array(WEIGHT, chunks=CHUNKS[:1])
    expected = clone(MIXTURE).fit(X, sample_weight=WEIGHT)
    fitted = clone(MIXTURE).fit(LAZY, sample_weight=lazy)
    assert_allclose(fitted.means_, expected.means_, rtol=1e-9)
    score = expected.score(X, sample_weight=WEIGHT)
    assert_allclose(expected.score(LAZY, sample_weight=lazy), score, rtol=1e-12)
    assert_allclose(expected.score(LAZY, sample_weight=WEIGHT), score, rtol=1e-12)


def test_answers_are_lazy_and_have_the_bits_of_arrays(estimator):
    methods = "score_samples predict predict_proba transform predict_node".split()
    estimator.fit(X)
    for method in methods:
        if not hasattr(estimator, method):
            continue
        answer = getattr(estimator, method)
        lazy = answer(LAZY)
        assert isinstance(lazy, da.Array)
        assert lazy.chunks[0] == LAZY.chunks[0]
        expected = answer(X)
        assert (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype)
        assert_array_equal(lazy.compute(), expected)
        narrow = answer(LAZY.astype(np.float32))
        assert narrow.compute().dtype == narrow.dtype


def test_classes_are_lazy():
    classifier = MixtureClassifier(covariance_type="full", shrinkage=2)
    classifier.fit(X, np.array(["a", "b", "c"])[np.tile(load_iris().target, 4)])
    for method in ("predict", "predict_proba", "predict_log_proba"):
        lazy, expected = (getattr(classifier, method)(data) for data in (LAZY, X))
        assert isinstance(lazy, da.Array)
        assert (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype)
        assert_array_equal(lazy.compute(), expected)


def test_nothing_is_computed_before_it_is_asked_for():
    calls = []

    def load(block):
        calls.append(len(block))
        return block

    rows = LAZY.map_blocks(load, meta=np.empty((0, 0)))
    lazy = clone(MIXTURE).fit(X).score_samples(rows)
    assert calls == []
    lazy[:3].compute()
    assert calls == [250]


def test_information_criteria_reduce():
    fitted = clone(MIXTURE).fit(X)
    assert_allclose(fitted.bic(LAZY), fitted.bic(X), rtol=1e-12)
    assert_allclose(fitted.aic(LAZY), fitted.aic(X), rtol=1e-12)


def test_stream_takes_block_after_block():
    for estimator in (
        GrowingNeuralGasMixture(10, random_state=0),
        GaussianMixture(3, random_state=0),
    ):
        lazy = clone(estimator).partial_fit(LAZY)
        for start in range(0, len(X), CHUNKS[0]):
            estimator.partial_fit(X[start : start + CHUNKS[0]])
        assert parameters(lazy) == parameters(estimator)


def test_dataframe_with_unknown_chunks_and_names():
    table = pd.DataFrame(X, columns=list("abcd"))
    lazy = dd.from_pandas(table, npartitions=3)
    fitted = clone(MIXTURE).fit(lazy, sample_weight=lazy["a"])
    assert fitted.feature_names_in_.tolist() == list("abcd")
    expected = clone(MIXTURE).fit(table, sample_weight=table["a"])
    assert_allclose(fitted.means_, expected.means_, rtol=1e-9)
    # The same rows, in the same order, without a warning about names.
    answers = fitted.score_samples(lazy)
    assert np.isnan(answers.shape[0])
    assert_array_equal(answers.compute(), fitted.score_samples(table))
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.score_samples(lazy[list("dcba")])
    gas = GrowingNeuralGasMixture(10, random_state=0).partial_fit(lazy)
    assert gas.feature_names_in_.tolist() == list("abcd")


def test_partitions_may_be_empty():
    table = pd.DataFrame(X, columns=list("abcd"))
    lazy = dd.from_pandas(table, npartitions=4)
    some = lazy.map_partitions(lambda part: part[part.index < 300])
    assert_allclose(
        clone(MIXTURE).fit(some).means_,
        clone(MIXTURE).fit(table[:300]).means_,
        rtol=1e-9,
    )
    assert len(clone(MIXTURE).fit(table).predict_proba(some).compute()) == 300


# Dask itself uses what the newest pandas deprecates.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_parquet(tmp_path):
    table = pd.DataFrame(X, columns=list("abcd"))
    dd.from_pandas(table, npartitions=3).to_parquet(tmp_path)
    lazy = dd.read_parquet(tmp_path)
    expected = clone(MIXTURE).fit(table)
    assert_allclose(clone(MIXTURE).fit(lazy).means_, expected.means_, rtol=1e-9)


def test_fit_of_more_rows_than_the_sample(estimator, monkeypatch):
    monkeypatch.setattr("skgmje.em._select.MAX_SAMPLED", 250 * 4)
    monkeypatch.setattr("skgmje.mixture._kernel_recipe.MAX_ENTRIES", 250 * 4)
    fitted = estimator.fit(LAZY)
    again = clone(estimator).fit(LAZY)
    assert parameters(fitted) == parameters(again)
    exact = clone(estimator).fit(X)
    assert fitted.score(LAZY) > exact.score(X) - 0.5


class Lists(RowBlocks):
    """Blocks in a list: the least engine there is."""

    def __init__(self, *blocks):
        self.blocks = blocks

    def reduce(self, function, merge):
        results = [function(i, *block) for i, block in enumerate(self.blocks)]
        return tree_reduce(merge, results)

    def __iter__(self):
        return iter(self.blocks)


def test_any_engine_will_do(estimator):
    parts = [slice(0, 250), slice(250, 500), slice(500, None)]
    blocks = Lists(*((X[part], None) for part in parts))
    fitted = clone(estimator).fit(blocks)
    assert parameters(fitted) == parameters(clone(estimator).fit(LAZY))
    assert fitted.score(blocks) == fitted.score(LAZY)
    with pytest.raises(TypeError, match="in memory"):
        fitted.score_samples(blocks)
    with pytest.raises(ValueError, match="blocks have weights"):
        fitted.score(blocks, sample_weight=WEIGHT)


@pytest.mark.parametrize("n", [1, 2, 8, 9, 64, 65, 200])
def test_tree_keeps_the_order(n):
    parts = [[i] for i in range(n)]
    joined = tree_reduce(lambda *parts: list(chain(*parts)), parts)
    assert joined == list(range(n))


BAD_ROWS = {
    "columns": (LAZY.rechunk((500, 2)), ValueError, r"X\.rechunk\(\{1: -1\}\)"),
    "vector": (LAZY[:, 0], ValueError, r"X\.reshape\(-1, 1\)"),
    "text": (LAZY.astype(str), ValueError, "real numbers"),
    "complex": (LAZY.astype(complex), ValueError, "real numbers"),
    "promise": (dask.delayed(X), TypeError, "Dask array or a Dask dataframe"),
    "infinite": (da.where(LAZY > 6, np.inf, LAZY), ValueError, "infinity"),
    "missing": (LAZY * np.nan, ValueError, "missing|NaN"),
    "huge": (LAZY * 1e200, ValueError, "Rescale X"),
    "few": (LAZY[:2], ValueError, "n_components=3|minimum|batch|n_samples=2|X with"),
    "none": (LAZY[LAZY[:, 0] > 99], ValueError, "no rows"),
}


@pytest.mark.parametrize(("rows", "error", "words"), BAD_ROWS.values(), ids=BAD_ROWS)
@pytest.mark.parametrize("name", ["mixture", "codes"])
def test_bad_rows(name, rows, error, words):
    with pytest.raises(error, match=words):
        clone(ESTIMATORS[name]).fit(rows)


BAD_WEIGHTS = {
    "chunks": (da.ones(600, chunks=100), r"sample_weight\.rechunk\(X\.chunks\[:1\]\)"),
    "few": (np.ones(7), "does not fit"),
    "negative": (-da.ones(600, chunks=250), "not negative"),
    "zero": (da.zeros(600, chunks=250), "no rows"),
    "NaN": (np.nan * da.ones(600, chunks=250), "finite"),
}


@pytest.mark.parametrize(("weight", "words"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_bad_weights(weight, words):
    with pytest.raises(ValueError, match=words):
        clone(MIXTURE).fit(LAZY, sample_weight=weight)


def test_missing_values_are_refused_where_they_have_no_meaning():
    gaps = da.where(LAZY > 6, np.nan, LAZY)
    clone(MIXTURE).fit(gaps)
    with pytest.raises(ValueError, match="dropna"):
        clone(ESTIMATORS["codes"]).fit(gaps)


@pytest.mark.parametrize(("name", "cls"), all_estimators())
def test_others_say_that_they_need_arrays(name, cls):
    if cls in {type(estimator) for estimator in ESTIMATORS.values()}:
        return
    required = [
        name
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is parameter.empty
    ]
    estimator = cls(**dict.fromkeys(required, MIXTURE))
    with pytest.raises(TypeError, match=r"X\.compute\(\)"):
        estimator.fit(LAZY, LAZY[:, 0])

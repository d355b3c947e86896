"""Checks of samples and weights, standardization, factors, and old scikit-learns."""

import importlib.util
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.neighbors import KernelDensity

import skgmje

# Inside: checks answer to estimators, and users see only their errors.
from skgmje import _callbacks, _sklearn, _standardize, _validation
from skgmje._backend import cholesky, to_numpy
from skgmje._standardize import drop_weightless, standardization
from skgmje._validation import as_blocks
from skgmje.gaussian import COVARIANCE_TYPES

# The bridges to scikit-learn's densities ----------------------------------------------


X = load_iris().data


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_scikit_learn_mixture_there_and_back(kind):
    peer = GaussianMixture(3, covariance_type=kind, random_state=0).fit(X)
    mixture = skgmje.as_mixture(peer)
    assert_allclose(mixture.log_prob(X), peer.score_samples(X), atol=1e-10)
    back = skgmje.to_sklearn(mixture)
    assert_allclose(back.score_samples(X), peer.score_samples(X), atol=1e-10)
    assert_allclose(back.predict_proba(X), peer.predict_proba(X), atol=1e-10)
    assert back.sample(3)[0].shape == (3, 4)
    assert back.bic(X) == pytest.approx(peer.bic(X))


def test_bayesian_mixture_gives_its_expected_parameters():
    peer = BayesianGaussianMixture(n_components=2, random_state=0).fit(X)
    assert_allclose(skgmje.as_mixture(peer).means, peer.means_)


@pytest.mark.parametrize("weights", [None, 1 + np.arange(len(X)) % 3])
def test_kernel_density_is_a_mixture_of_its_rows(weights):
    peer = KernelDensity(bandwidth=0.3, rtol=0, atol=0).fit(X, sample_weight=weights)
    mixture = skgmje.as_mixture(peer)
    assert_allclose(mixture.log_prob(X + 0.1), peer.score_samples(X + 0.1), atol=1e-6)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_our_own_go_to_scikit_learn(kind):
    ours = skgmje.GaussianMixture(2, covariance_type=kind, random_state=0).fit(X)
    peer = skgmje.to_sklearn(ours)
    assert_allclose(peer.score_samples(X), ours.score_samples(X), atol=1e-8)


@pytest.mark.parametrize(
    "thing",
    [PCA(), KernelDensity(kernel="tophat").fit(X), object(), X],
    ids=["transformer", "other kernel", "object", "array"],
)
def test_what_is_no_mixture_is_refused(thing):
    with pytest.raises(TypeError, match=r"mixture|Mixture"):
        skgmje.as_mixture(thing)


@pytest.mark.parametrize(
    "estimator", [GaussianMixture(), KernelDensity(), skgmje.GaussianMixture()]
)
def test_unfitted_is_said(estimator):
    with pytest.raises(NotFittedError):
        skgmje.as_mixture(estimator)


ROWS = {
    "double": np.eye(2),
    "single": np.eye(2, dtype=np.float32),
    "columns": np.asfortranarray(np.eye(2)),
    "of another order": np.eye(2).astype(">f8"),
    "integers": np.eye(2, dtype=int),
    "list": [[1.0, 2.0]],
    "strings": np.array([["a", "b"]]),
    "large": np.full((3, 2), 1.7e308),
    "missing": np.array([[0.0, np.nan]]),
    "infinite": np.array([[np.inf, -np.inf]]),
    "none": np.empty((0, 2)),
    "too many features": np.eye(3),
    "one row": np.zeros(2),
    "matrix": np.eye(2).view(np.ma.MaskedArray),
    "frame": pd.DataFrame({"a": [1.0], "b": [2.0]}),
}


@pytest.mark.parametrize("allow_nan", [False, True])
@pytest.mark.parametrize("fitted_on", ["double", "frame"])
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_quick_look_at_rows_says_what_scikit_learn_says(
    rows, fitted_on, allow_nan, monkeypatch
):
    def look():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                answer = _validation.check_rows(
                    estimator, rows, reset=False, allow_nan=allow_nan
                )
                answer = answer.dtype, answer.tobytes()
            except ValueError as error:
                answer = str(error)
        return answer, [str(w.message) for w in caught]

    estimator = skgmje.GaussianMixture(1)
    _validation.check_rows(estimator, ROWS[fitted_on], reset=True)
    quick = look()
    monkeypatch.setattr(_validation, "_are_plain_rows", lambda *args: False)
    assert quick == look()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_are_not_copied(dtype):
    weight = np.ones(3, dtype)
    assert _validation.check_weights(weight, np.eye(3)) is weight
    assert _validation.check_weights([1, 2, 3], np.eye(3)).dtype == np.float64


def test_single_weights_give_the_same_fit():
    weight = np.random.default_rng(0).integers(1, 9, len(X)) / 8
    double, single = (
        skgmje.GaussianMixture(2, random_state=0).fit(X, sample_weight=w)
        for w in (weight, weight.astype(np.float32))
    )
    assert_allclose(single.means_, double.means_, rtol=1e-12)


# Units in which features compare ------------------------------------------------------


UNITS_X = np.random.default_rng(0).normal(size=(50, 3))


@pytest.mark.parametrize("scale", [1e-130, 1e-3, 1.0, 1e149])
def test_features_get_unit_variance_at_any_scale(scale):
    rows = UNITS_X * [1.0, 2.0, 3.0] * scale
    loc, spread, _ = standardization(rows, None, per_feature=True)
    Z = (rows - loc) / spread
    assert_allclose(Z.mean(axis=0), 0, atol=1e-12)
    assert_allclose(Z.std(axis=0), 1)


def test_one_scale_keeps_ratios():
    loc, spread, _ = standardization(UNITS_X * [1.0, 2.0, 3.0], None, per_feature=False)
    assert spread.shape == ()
    variances = ((UNITS_X * [1.0, 2.0, 3.0] - loc) / spread).var(axis=0)
    assert variances.mean() == pytest.approx(1)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e20])
@pytest.mark.parametrize("per_feature", [True, False])
def test_constant_features_keep_their_units(value, per_feature):
    rows = np.c_[UNITS_X, np.full(50, value)]
    _, spread, _ = standardization(rows, None, per_feature=per_feature)
    if per_feature:
        assert spread[-1] == 1
    assert np.isfinite(spread).all()
    assert_array_equal(
        standardization(np.full((5, 2), value), None, per_feature=per_feature)[1],
        [1.0, 1.0] if per_feature else 1.0,
    )


def test_small_variation_far_away_is_no_constant():
    _, spread, _ = standardization(1e6 + 1e-3 * UNITS_X, None, per_feature=True)
    assert_allclose(spread, 1e-3 * UNITS_X.std(axis=0), rtol=1e-4)


def test_weights_are_copies():
    counts = np.arange(50) % 3
    for mine, copied in zip(
        standardization(UNITS_X, counts, per_feature=True),
        standardization(np.repeat(UNITS_X, counts, axis=0), None, per_feature=True),
        strict=True,
    ):
        assert_allclose(mine, copied, atol=1e-14)


def test_rows_of_no_weight_are_dropped():
    weights = np.array([1.0, 0.0, 1.0])
    rows, rest = drop_weightless(UNITS_X[:3], weights)
    assert_array_equal(rows, UNITS_X[[0, 2]])
    assert rest is None
    assert_array_equal(drop_weightless(UNITS_X[:3], 2 * weights)[1], [2.0, 2.0])
    assert np.shares_memory(drop_weightless(UNITS_X, np.full(50, 3.0))[0], UNITS_X)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_extreme_weights_are_scaled(dtype):
    info = np.finfo(dtype)
    for weight in (info.smallest_subnormal, info.max):
        scaled = drop_weightless(UNITS_X, np.full(50, weight))[1]
        assert 0 < scaled.sum() < 1e32
        assert (scaled == scaled[0]).all()


def test_chunks_change_nothing(monkeypatch):
    weight = np.arange(50.0) + 1
    whole = standardization(UNITS_X, weight, per_feature=True)
    monkeypatch.setattr(_standardize, "_CHUNK_ENTRIES", 21)
    for mine, expected in zip(
        standardization(UNITS_X, weight, per_feature=True), whole, strict=True
    ):
        assert_allclose(mine, expected, rtol=1e-12)


def test_resolution_is_the_variance_of_rounding():
    rows = UNITS_X + 1e4
    units = standardization(rows.astype(np.float32), None, per_feature=True)
    rounding = (rows - rows.astype(np.float32)) / units.scale
    assert units.resolution == pytest.approx((rounding**2).sum(axis=1).mean(), rel=0.3)
    assert standardization(rows, None, per_feature=True).resolution < 1e-20


# The array helpers that choose a library's routine ------------------------------------


def positive_definite(d):
    A = np.random.default_rng(0).normal(size=(d, d))
    return A @ A.T + np.eye(d)


@pytest.mark.parametrize("d", [1, 3, 200])
@pytest.mark.parametrize("asarray", [np.asarray, torch.asarray])
def test_cholesky_of_one_matrix_is_that_of_several(asarray, d):
    matrix = asarray(positive_definite(d))
    factor = cholesky(matrix, "R")
    assert type(factor) is type(matrix)
    assert_allclose(factor, cholesky(matrix[None], "R")[0], atol=1e-12)
    assert_allclose(matrix, positive_definite(d))
    assert_allclose(cholesky(matrix, "R", overwrite=True), factor)


def test_cholesky_records_its_steps_where_they_are_asked_for():
    matrix = torch.tensor(positive_definite(3), requires_grad=True)
    assert torch.autograd.gradcheck(lambda A: cholesky(A + A.T, "R"), (matrix,))


@pytest.mark.parametrize("entry", [(0, 0), (3, 1), (3, 3)])
@pytest.mark.parametrize("value", [np.nan, -1e3])
@pytest.mark.parametrize("asarray", [np.asarray, torch.asarray])
def test_cholesky_refuses_what_has_none(asarray, value, entry):
    matrix = positive_definite(4)
    matrix[entry] = matrix[entry[::-1]] = value
    with pytest.raises(ValueError, match=r"R of shape .* not positive definite"):
        cholesky(asarray(matrix), "R")


def test_cholesky_keeps_single_precision():
    single = cholesky(positive_definite(5).astype(np.float32), "R")
    assert single.dtype == np.float32
    assert_allclose(single, to_numpy(cholesky(positive_definite(5), "R")), rtol=1e-4)


# A fit tells scikit-learn of its steps, where scikit-learn can listen -----------------


def _load(name, module):
    spec = importlib.util.spec_from_file_location(name, module.__file__)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_before_callbacks_existed_nobody_listens(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    old_names = _load("old_names", _sklearn)
    assert old_names.CallbackSupport.__module__ == "old_names"
    monkeypatch.setitem(sys.modules, "skgmje._sklearn", old_names)
    old = _load("old", _callbacks)
    estimator = old.EstimatorMixin()
    task = old.FitTask(estimator, X=None, n_steps=3)
    assert task.end_epoch() is False
    with task.part(estimator, "part"):
        pass
    task.end()
    assert not hasattr(estimator, "set_callbacks")


def test_sample_is_in_proportion_and_without_repetition():
    da = pytest.importorskip("dask.array")
    lazy = da.from_array(np.arange(1000.0)[:, None], chunks=([600, 100, 300], 1))
    blocks = as_blocks(lazy)
    drawn, weight = blocks._sample(100, np.random.RandomState(0))
    assert weight is None
    assert len(np.unique(drawn)) == 100
    counts = np.histogram(drawn, [0, 600, 700, 1000])[0]
    assert counts.tolist() == [60, 10, 30]
    again, _ = blocks._sample(100, np.random.RandomState(0))
    assert_array_equal(drawn, again)
    whole, _ = blocks._sample(1000, None)
    assert_array_equal(whole[:, 0], np.arange(1000.0))

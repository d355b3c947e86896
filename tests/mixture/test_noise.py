"""Measurement errors: the mixture is the density of what was measured, without them."""

import inspect

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmje import (
    GaussianMixture,
    GrowingNeuralGasMixture,
    MixtureClassifier,
    StudentMixture,
)
from skgmje.em import RowBlocks
from skgmje.gaussian import COVARIANCE_TYPES, Mixture

MODELS = ["EII", "EEI", "VEI", "EVI", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV"]
START = {"n_components": 2, "random_state": 0, "rank": 2}
SHORT = START | {"max_iter": 10, "tol": 0}

pytestmark = pytest.mark.filterwarnings(
    "ignore:EM did not converge:sklearn.exceptions.ConvergenceWarning"
)


def draw(n_samples, n_features=3, seed=0):
    """Return measured samples of two clusters, covariances of errors, and the truth."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(n_samples, n_features))
    true[::2] = 0.5 * true[::2] + 4
    factors = 0.6 * rng.normal(size=(n_samples, n_features, n_features))
    errors = np.einsum("nij,nj->ni", factors, rng.normal(size=true.shape))
    return true + errors, factors @ factors.transpose(0, 2, 1), true


X, NOISE, TRUE = draw(300)
# A fifth is missing, and of one sample everything.
GAPS = np.where(np.random.default_rng(1).random(X.shape) < 0.2, np.nan, X)
GAPS[7] = np.nan


@pytest.fixture(scope="module")
def fitted():
    return GaussianMixture(**START, reg_covar=0, tol=1e-6).fit(GAPS, noise=NOISE)


def assert_same(first, second, tol=1e-10):
    """Check that two estimators have found the same mixture, in the same steps."""
    assert_allclose(first.lower_bounds_, second.lower_bounds_, atol=tol)
    assert_allclose(first.weights_, second.weights_, atol=tol)
    assert_allclose(first.means_, second.means_, atol=tol)
    assert_allclose(first.score_samples(X), second.score_samples(X), atol=tol)


def by_definition(estimator, x, noise):
    """Return log-density, responsibilities, expectation and covariance of a sample."""
    seen = np.flatnonzero(~np.isnan(x))
    joint, means, covariances = [], [], []
    for weight, mean, S in zip(
        estimator.weights_, estimator.means_, estimator.covariances_, strict=True
    ):
        total = S[np.ix_(seen, seen)] + noise[np.ix_(seen, seen)]
        gain = np.linalg.solve(total, S[seen]).T
        density = (
            multivariate_normal(mean[seen], total).pdf(x[seen]) if len(seen) else 1
        )
        joint.append(weight * density)
        means.append(mean + gain @ (x[seen] - mean[seen]))
        covariances.append(S - gain @ S[seen])
    resp = np.array(joint) / sum(joint)
    mean = resp @ means
    pairs = zip(resp, means, covariances, strict=True)
    second = sum(r * (C + np.outer(m, m)) for r, m, C in pairs)
    return np.log(sum(joint)), resp, mean, second - np.outer(mean, mean)


@pytest.mark.parametrize("init_params", ["k-means++", "random", "auto"])
def test_errors_of_zero_are_none(init_params):
    fits = [
        GaussianMixture(init_params=init_params, **SHORT).fit(GAPS, noise=noise)
        for noise in (None, np.zeros_like(X))
    ]
    assert_array_equal(*(fit.score_samples(X) for fit in fits))


@pytest.mark.parametrize("data", [X, GAPS], ids=["complete", "missing"])
@pytest.mark.parametrize("kind", [*COVARIANCE_TYPES, *MODELS])
def test_without_errors_the_fit_is_the_ordinary_one(kind, data):
    weight = np.random.default_rng(2).uniform(0, 2, len(data))
    plain = GaussianMixture(covariance_type=kind, **SHORT)
    plain.fit(data, sample_weight=weight)
    none = np.tile(1e-30 * np.eye(3), (len(X), 1, 1))
    own = GaussianMixture(covariance_type=kind, **SHORT)
    own.fit(data, sample_weight=weight, noise=none)
    assert_same(own, plain)
    assert_allclose(plain.predict_proba(data, noise=none), plain.predict_proba(data))
    assert_array_equal(plain.predict(data, noise=none), plain.predict(data))
    score = plain.score(data, sample_weight=weight)
    assert plain.score(data, sample_weight=weight, noise=none) == pytest.approx(score)


def test_one_component_is_the_likeliest_gaussian():
    Z, noise, _ = draw(200, 2, seed=3)

    def unpack(parts):
        lower = np.array([[np.exp(parts[2]), 0], [parts[3], np.exp(parts[4])]])
        return parts[:2], lower @ lower.T

    def loss(parts):
        mean, S = unpack(parts)
        diff, total = Z - mean, S + noise
        white = np.linalg.solve(total, diff[:, :, None])[:, :, 0]
        return np.mean(np.linalg.slogdet(total)[1] + (diff * white).sum(axis=1)) / 2

    best = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-9})
    mean, S = unpack(best.x)
    fit = GaussianMixture(reg_covar=0, tol=1e-15, max_iter=2000).fit(Z, noise=noise)
    assert_allclose(fit.means_[0], mean, atol=1e-6)
    assert_allclose(fit.covariances_[0], S, atol=1e-6)


def test_what_is_missing_has_errors_without_bound():
    some = ~np.isnan(GAPS).all(axis=1)
    Z, noise = GAPS[some], NOISE[some].copy()
    lost = np.isnan(Z)
    noise[lost[:, :, None] | lost[:, None]] = 0.0
    noise[:, np.arange(3), np.arange(3)] += 1e10 * lost
    start = {"means_init": X[:2], "weights_init": [0.5, 0.5]}
    start["precisions_init"] = np.tile(np.eye(3), (2, 1, 1))
    settings = SHORT | start | {"reg_covar": 0}
    limit = GaussianMixture(**settings).fit(np.nan_to_num(Z), noise=noise)
    fit = GaussianMixture(**settings).fit(Z, noise=NOISE[some])
    assert_allclose(fit.means_, limit.means_, atol=1e-7)
    assert_allclose(fit.covariances_, limit.covariances_, atol=1e-7)


def test_answers_are_those_of_the_definition(fitted):
    rows = [0, 1, 2, 7, 8]
    Z, noise = GAPS[rows], NOISE[rows]
    known = [by_definition(fitted, *pair) for pair in zip(Z, noise, strict=True)]
    log_prob, resp, mean, covariance = map(np.stack, zip(*known, strict=True))
    assert_allclose(fitted.score_samples(Z, noise=noise), log_prob)
    assert_allclose(fitted.predict_proba(Z, noise=noise), resp, atol=1e-12)
    found = fitted.denoise(Z, noise, return_cov=True)
    assert_allclose(found[0], mean)
    assert_allclose(found[1], covariance, atol=1e-12)
    assert_allclose(fitted.denoise(Z, noise), mean)


@pytest.mark.parametrize("kind", ["tied", "diag", "spherical", "low-rank"])
def test_types_answer_as_their_full_covariances(kind):
    fit = GaussianMixture(covariance_type=kind, **SHORT).fit(GAPS, noise=NOISE)
    dense = COVARIANCE_TYPES[kind].dense(fit.covariances_, *fit.means_.shape)
    dense = np.broadcast_to(dense, (2, 3, 3))
    full = GaussianMixture.from_parameters(fit.weights_, fit.means_, dense)
    for name in ("score_samples", "predict_proba", "denoise"):
        own, known = (getattr(each, name)(GAPS, noise=NOISE) for each in (fit, full))
        assert_allclose(own, known, atol=1e-10)


def test_the_likelihood_never_falls(fitted):
    bounds = np.array(fitted.lower_bounds_)
    assert len(bounds) > 10
    assert np.diff(bounds).min() > -1e-12
    assert bounds[-1] <= fitted.score(
        np.delete(GAPS, 7, 0), noise=np.delete(NOISE, 7, 0)
    )


@pytest.mark.parametrize("n_kinds", [1, 3, 300], ids=["one", "few", "own"])
def test_variances_are_diagonal_covariances(n_kinds):
    variances = np.random.default_rng(3).uniform(0, 1, (n_kinds, 3))
    variances = variances[np.arange(300) % n_kinds]
    full = variances[:, :, None] * np.eye(3)
    fits = [
        GaussianMixture(**SHORT).fit(GAPS, noise=each) for each in (variances, full)
    ]
    assert_same(*fits)
    # Samples that share a noise are as if alone.
    alone = full + 1e-13 * np.arange(300)[:, None, None] * np.eye(3)
    assert_same(fits[0], GaussianMixture(**SHORT).fit(GAPS, noise=alone), 1e-9)


def test_errors_are_taken_off():
    Z, noise, true = draw(4000, 2, seed=5)
    fit = GaussianMixture(2, random_state=0, tol=1e-5, max_iter=500).fit(Z, noise=noise)
    blurred = GaussianMixture(2, random_state=0).fit(Z)
    order = fit.means_[:, 0].argsort()
    assert_allclose(fit.covariances_[order], [np.eye(2), np.eye(2) / 4], atol=0.15)
    assert fit.score(true) > blurred.score(true) + 0.1
    assert fit.score(Z, noise=noise) > blurred.score(Z)
    mean, covariance = fit.denoise(Z, noise, return_cov=True)
    assert ((mean - true) ** 2).mean() < 0.75 * ((Z - true) ** 2).mean()
    gap = (mean - true)[:, :, None]
    squares = (gap * np.linalg.solve(covariance, gap)).sum(axis=(1, 2))
    assert squares.mean() == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("init_params", ["kmeans", "auto"])
def test_starts_trust_precise_samples(init_params):
    rng = np.random.default_rng(0)
    centers = 4 * rng.normal(size=(4, 2))
    true = centers[rng.integers(0, 4, 600)] + 0.3 * rng.normal(size=(600, 2))
    deviation = np.exp(rng.normal(0, 1.5, (600, 1))) * np.ones(2)
    Z = true + deviation * rng.normal(size=(600, 2))
    settings = {"init_params": init_params, "max_iter": 200, "random_state": 0}
    fit = GaussianMixture(4, **settings).fit(Z, noise=deviation**2)
    gaps = np.linalg.norm(fit.means_ - centers[:, None], axis=2).min(axis=1)
    assert gaps.max() < 0.3


def test_a_number_of_components_is_chosen_without_the_errors():
    rng = np.random.default_rng(0)
    true = np.concatenate([rng.normal(0, 0.2, 400), rng.normal(2, 0.2, 400)])
    noise = np.where(rng.random(800) < 0.5, 0.01, 1.0)[:, None]
    Z = true[:, None] + np.sqrt(noise) * rng.normal(size=(800, 1))
    fit = GaussianMixture("auto", random_state=0).fit(Z, noise=noise)
    plain = GaussianMixture("auto", random_state=0).fit(Z)
    best = Mixture([0.5, 0.5], [[0.0], [2.0]], [[0.04], [0.04]], "diag")
    best = best.log_prob(true[:, None]).mean()
    assert best - fit.score(true[:, None]) < 0.1
    assert best - plain.score(true[:, None]) > 0.3


def test_weights_are_copies_and_order_is_none():
    weight = np.random.default_rng(0).integers(0, 3, len(X))
    settings = SHORT | {"means_init": X[:2]}
    own = GaussianMixture(**settings).fit(GAPS, sample_weight=weight, noise=NOISE)
    rows = np.random.default_rng(1).permutation(np.repeat(np.arange(len(X)), weight))
    copies = GaussianMixture(**settings).fit(GAPS[rows], noise=NOISE[rows])
    # K-means sees another order.
    assert_allclose(own.lower_bound_, copies.lower_bound_, rtol=1e-3)
    means_of = [each.means_[each.means_[:, 0].argsort()] for each in (own, copies)]
    assert_allclose(*means_of, atol=0.1)


def test_streams_see_errors():
    fit = GaussianMixture(**START).partial_fit(X[:100], noise=NOISE[:100])
    first = GaussianMixture(**START).fit(X[:100], noise=NOISE[:100])
    assert_same(fit, first)
    plain = GaussianMixture(**START).fit(X[:100], noise=NOISE[:100])
    for rows in (slice(100, 200), slice(200, 300)):
        fit.partial_fit(GAPS[rows], noise=NOISE[rows])
        plain.partial_fit(GAPS[rows])
    pairs = zip(fit.covariances_, plain.covariances_, strict=True)
    assert all(np.linalg.det(own) < np.linalg.det(other) for own, other in pairs)


@pytest.mark.parametrize("frame", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_dask_gives_the_same(full, frame):
    noise = NOISE if full else NOISE[:, np.arange(3), np.arange(3)]
    weight = np.random.default_rng(0).uniform(0, 1, 300)
    weight[:5] = 0
    lazy = da.from_array(GAPS, chunks=(100, 3))
    errors = da.from_array(noise, chunks=(100, *noise.shape[1:]))
    if frame:
        lazy = dd.from_dask_array(lazy, columns=["a", "b", "c"])
        known = pd.DataFrame(GAPS, columns=["a", "b", "c"])
    else:
        known = GAPS
    shares = da.from_array(weight, chunks=100)
    with dask.config.set(scheduler="synchronous"):
        own = GaussianMixture(**SHORT).fit(lazy, sample_weight=shares, noise=errors)
        fit = GaussianMixture(**SHORT).fit(known, sample_weight=weight, noise=noise)
        assert_allclose(own.means_, fit.means_, atol=1e-10)
        assert_allclose(own.lower_bounds_, fit.lower_bounds_, atol=1e-10)
        score = fit.score(known, sample_weight=weight, noise=noise)
        assert own.score(lazy, sample_weight=shares, noise=errors) == pytest.approx(
            score
        )
        for name in ("score_samples", "predict", "predict_proba", "denoise"):
            answers = getattr(own, name)(lazy, noise=errors)
            assert isinstance(answers, da.Array)
            answers = answers.compute()
            assert_allclose(answers, getattr(fit, name)(known, noise=noise), atol=1e-9)
        both = own.denoise(lazy, errors, return_cov=True)
        for lazily, at_once in zip(
            both, fit.denoise(known, noise, return_cov=True), strict=True
        ):
            assert_allclose(lazily.compute(), at_once, atol=1e-9)
        stream = GaussianMixture(**START).partial_fit(lazy, noise=errors)
    chunks = GaussianMixture(**START)
    for rows in (slice(0, 100), slice(100, 200), slice(200, 300)):
        chunks.partial_fit(known[rows], noise=noise[rows])
    assert_allclose(stream.means_, chunks.means_, atol=1e-10)


def test_single_precision_frames_and_single_samples(fitted):
    single = X.astype(np.float32), NOISE.astype(np.float32)
    assert fitted.score_samples(single[0], noise=single[1]).dtype == np.float32
    fit = GaussianMixture(**START).fit(single[0], noise=single[1])
    assert_allclose(
        fit.means_, GaussianMixture(**START).fit(X, noise=NOISE).means_, 1e-3
    )
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    variances = pd.DataFrame(np.ones_like(X), columns=["a", "b", "c"])
    fit = GaussianMixture(**START).fit(frame, noise=variances)
    known = GaussianMixture(**START).fit(X, noise=np.ones_like(X))
    assert_allclose(fit.means_, known.means_)
    tensors = torch.from_numpy(X), torch.from_numpy(NOISE)
    fit = GaussianMixture(**START).fit(tensors[0], noise=tensors[1])
    assert_array_equal(fit.means_, GaussianMixture(**START).fit(X, noise=NOISE).means_)
    found = fit.denoise(tensors[0], tensors[1])
    assert_array_equal(found, fit.denoise(X, NOISE))
    alone = fitted.score_samples(GAPS[3:4], noise=NOISE[3:4])
    assert_array_equal(alone, fitted.score_samples(GAPS, noise=NOISE)[3:4])
    column = GaussianMixture(tol=1e-12, max_iter=500)
    column.fit(X[:, :1], noise=np.full((300, 1), 0.5))
    assert column.covariances_.item() == pytest.approx(X[:, 0].var() - 0.5, abs=1e-3)
    mean, covariance = column.denoise(X[:2, :1], np.ones((2, 1, 1)), return_cov=True)
    assert (mean.shape, covariance.shape) == ((2, 1), (2, 1, 1))


def test_samples_far_away_have_a_component(fitted):
    far = np.full((2, 3), 1e200)
    assert_array_equal(fitted.score_samples(far, noise=NOISE[:2]), -np.inf)
    resp = fitted.predict_proba(far, noise=NOISE[:2])
    assert_allclose(resp.sum(axis=1), 1.0)
    mean, covariance = fitted.denoise(far, NOISE[:2], return_cov=True)
    assert np.isfinite(mean).all()
    assert not np.isnan(covariance).any()


@pytest.mark.parametrize("size", [1e20, 1e155, 1e300])
def test_far_samples_have_the_covariance_of_their_component(size, fitted):
    far = size * np.array([[1.0, -1.0, 0.5]])
    resp = fitted.predict_proba(far, noise=NOISE[:1])
    assert_array_equal(resp.max(axis=1), 1)
    assert_array_equal(resp.min(axis=1), 0)
    S, E = fitted.covariances_[resp[0].argmax()], NOISE[0]
    covariance = fitted.denoise(far, NOISE[:1], return_cov=True)[1][0]
    assert_allclose(covariance, S - S @ np.linalg.solve(S + E, S), rtol=1e-6)


@pytest.mark.parametrize("kind", ["pandas", "polars", "Dask"])
def test_columns_of_noise_are_those_of_the_samples(kind):
    of = {"pandas": pd.DataFrame, "polars": pl.DataFrame}.get(kind, pd.DataFrame)
    variances = NOISE[:, np.arange(3), np.arange(3)]
    names = ["ra", "dec", "flux"]
    frame, noise, turned = (
        of({name: rows[:, names.index(name)] for name in order})
        for rows, order in [(X, names), (variances, names), (variances, names[::-1])]
    )
    if kind == "Dask":
        frame, noise, turned = (
            dd.from_pandas(each, npartitions=2) for each in (frame, noise, turned)
        )
        variances = noise.to_dask_array()
    with dask.config.set(scheduler="synchronous"):
        fit = GaussianMixture(**START).fit(frame, noise=noise)
        # Without names the place decides.
        plain = GaussianMixture(**START).fit(frame, noise=variances)
        assert_allclose(fit.means_, plain.means_)
        calls = GaussianMixture(**START).fit, fit.score_samples, fit.predict, fit.score
        for call in (*calls, GaussianMixture(**START).partial_fit):
            with pytest.raises(ValueError, match=r"\['flux', 'dec', 'ra'\].*\['ra',"):
                call(frame, noise=turned)


def test_noise_is_read_as_samples_are(fitted):
    variances = NOISE[:, np.arange(3), np.arange(3)]
    known = fitted.score_samples(GAPS, noise=variances)
    lost = pd.DataFrame(np.where(np.isnan(GAPS), np.nan, variances))
    tables = lost.convert_dtypes(), lost.astype(object), pl.DataFrame(lost.to_numpy())
    for noise in tables:
        assert_array_equal(fitted.score_samples(GAPS, noise=noise), known)
    with pytest.raises(ValueError, match="has the type complex128; it must hold real"):
        fitted.predict(X, noise=variances + 0j)
    with pytest.raises(ValueError, match=r"'day'\] hold dates"):
        fitted.predict(X, noise=lost.assign(day=pd.Timestamp("2020-01-01")))


def test_samples_without_weight_need_no_errors():
    weight = np.arange(300) % 3
    noise = np.where(weight[:, None, None] > 0, NOISE, np.nan)
    own = GaussianMixture(**SHORT).fit(GAPS, sample_weight=weight, noise=noise)
    known = GaussianMixture(**SHORT).fit(GAPS, sample_weight=weight, noise=NOISE)
    assert_array_equal(own.means_, known.means_)
    assert own.score(GAPS, None, weight, noise) == own.score(GAPS, None, weight, NOISE)
    with pytest.raises(ValueError, match="noise of sample 1, column 0 is nan"):
        own.fit(GAPS, sample_weight=weight, noise=np.full_like(X, np.nan))


def test_fit_predict_takes_noise():
    labels = GaussianMixture(**SHORT).fit_predict(X, noise=NOISE)
    fit = GaussianMixture(**SHORT).fit(X, noise=NOISE)
    assert_array_equal(labels, fit.predict(X, noise=NOISE))
    assert (labels != fit.predict(X)).any()


@pytest.mark.parametrize("size", [1e2, 1e12])
def test_noise_that_leaves_nothing_to_learn_is_told(size):
    noise = np.ones_like(X)
    noise[:, 1] *= size * X[:, 1].var()
    with pytest.warns(
        UserWarning, match="noise is too large for X in column 1 .*units"
    ):
        GaussianMixture(**START).fit(GAPS, noise=noise)
    lazy, errors = (da.from_array(each, chunks=(100, 3)) for each in (GAPS, noise))
    with dask.config.set(scheduler="synchronous"):
        with pytest.warns(UserWarning, match="noise is too large for X in column 1"):
            GaussianMixture(**START).fit(lazy, noise=errors)


def test_few_samples_with_noise_are_told():
    few = np.random.default_rng(0).normal(size=(8, 10))
    with pytest.warns(UserWarning, match="n_samples=8 are few for n_features=10"):
        GaussianMixture().fit(few, noise=np.full_like(few, 0.01))


def test_metadata_are_routed_to_fit_and_score():
    density, noise = GaussianMixture(random_state=0), NOISE[:, [0, 1, 2], [0, 1, 2]]
    with sklearn.config_context(enable_metadata_routing=True):
        density.set_fit_request(noise=True).set_predict_request(noise=True)
        density.set_score_request(noise=True)
        search = GridSearchCV(density, {"n_components": [1, 2]}, cv=2).fit(
            X, noise=noise
        )
        assert search.best_params_["n_components"] == 2
        scaled = make_pipeline(StandardScaler(), density).fit(X, noise=noise)
        # The scaler knows nothing of noise: it is to be scaled by hand.
        inside = noise / scaled[0].scale_ ** 2
        scaled.fit(X, noise=inside)
        assert_array_equal(
            scaled.predict(X, noise=inside),
            scaled[1].predict(scaled[0].transform(X), noise=inside),
        )
    first, second = (
        GaussianMixture(reg_covar=0).fit(Z, noise=E)
        for Z, E in ((X, noise), (scaled[0].transform(X), inside))
    )
    ratio = first.covariances_[0].diagonal() / second.covariances_[0].diagonal()
    assert_allclose(ratio, scaled[0].scale_ ** 2, rtol=0.05)


NAN, NEGATIVE, ASKEW, INDEFINITE = (NOISE.copy() for _ in range(4))
NAN[3, 0, 0] = np.nan
NEGATIVE[4, 1, 1] = -0.5
ASKEW[5, 0, 1] += 1
INDEFINITE[6] = [[1, 2, 0], [2, 1, 0], [0, 0, 1]]
BAD = {
    "shape": (NOISE[:, 0, 0], r"noise has the shape \(300,\)"),
    "count": (NOISE[1:], r"noise has the shape \(299, 3, 3\)"),
    "words": (np.full(X.shape, "a"), "noise has the type"),
    "nan": (NAN, "noise of sample 3, column 0, column 0 is nan"),
    "infinite": (np.full(X.shape, np.inf), "noise of sample 0, column 0 is inf"),
    "negative": (NEGATIVE, "noise of sample 4, column 1 is -0.5, one of 1 such"),
    "askew": (ASKEW, "noise of sample 5, column 0, column 1"),
    "indefinite": (INDEFINITE, "noise of sample 6 is -1"),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_that_are_none_are_named(case, fitted):
    noise, words = BAD[case]
    for call in (GaussianMixture().fit, fitted.score_samples, fitted.predict):
        with pytest.raises(ValueError, match=words):
            call(X, noise=noise)
    lazy = da.from_array(X, chunks=(100, 3))
    with pytest.raises(ValueError, match="noise"):
        GaussianMixture().fit(lazy, noise=noise)


def test_errors_of_blocks_are_named():
    lazy, errors = (da.from_array(each, chunks=(100, -1)) for each in (X, X**2))
    wrong = {
        # Each block counts its samples from 0.
        r"of sample 0 of block \d, column 0 is -.* 300 such": -errors,
        r"\(200, 3\) does not fit X of shape \(300, 3\)": errors[:200],
        r"noise.rechunk\({0: X.chunks\[0\]}\)": errors.rechunk({0: 50}),
        "noise has the type complex128": errors.astype(complex),
    }
    with dask.config.set(scheduler="synchronous"):
        for words, noise in wrong.items():
            with pytest.raises(ValueError, match=words):
                GaussianMixture().fit(lazy, noise=noise)


def test_what_is_missing_needs_no_errors(fitted):
    noise = np.where(
        np.isnan(GAPS)[:, :, None] | np.isnan(GAPS)[:, None], np.nan, NOISE
    )
    expected = fitted.score_samples(GAPS, noise=NOISE)
    assert_array_equal(fitted.score_samples(GAPS, noise=noise), expected)


class Held(RowBlocks):
    """Blocks of an engine that knows no noise."""

    def reduce(self, function, merge):
        return merge(function(0, X, None))

    def __iter__(self):
        yield X, None


def test_what_takes_no_noise_says_so():
    with pytest.raises(ValueError, match=r"background=True. Set background=False\.$"):
        GaussianMixture(background=True).fit(X, noise=NOISE)
    with pytest.raises(ValueError, match="criterion='bic'"):
        GaussianMixture("auto", criterion="bic").fit(X, noise=NOISE)
    lazy, errors = (da.from_array(each, chunks=(100, -1)) for each in (X, X**2))
    with pytest.raises(ValueError, match="Dask"):
        GaussianMixture("auto").fit(lazy, noise=errors)
    with pytest.raises(TypeError, match="Held"):
        GaussianMixture().fit(Held(), noise=NOISE)
    background = GaussianMixture(background=True, random_state=0).fit(X)
    with pytest.raises(TypeError, match="background=False"):
        background.denoise(X, NOISE)


def test_only_gaussian_mixtures_have_a_parameter_of_noise():
    student = StudentMixture().fit(X)
    assert not hasattr(student, "denoise")
    for name in ("fit", "score_samples", "score", "predict", "predict_proba"):
        assert "noise" in inspect.signature(getattr(GaussianMixture, name)).parameters
        with pytest.raises(TypeError, match="'noise'"):
            getattr(student, name)(X, noise=NOISE)
    with sklearn.config_context(enable_metadata_routing=True):
        with pytest.raises(TypeError, match="noise"):
            student.set_score_request(noise=True)


def test_any_mixture_scores_samples_with_errors():
    mixture = Mixture([0.5, 0.5], [[0.0], [3.0]], [1.0, 2.0], "spherical")
    fit = GaussianMixture.from_parameters(
        mixture.weights, mixture.means, mixture.covariances, "spherical"
    )
    wide = Mixture([0.5, 0.5], [[0.0], [3.0]], [1.5, 2.5], "spherical")
    Z = np.linspace(-3, 6, 20)[:, None]
    found = fit.score_samples(Z, noise=np.full((20, 1), 0.5))
    assert_allclose(found, wide.log_prob(Z))
    y = (X[:, 0] > X[:, 0].mean()).astype(int)
    for fit in (MixtureClassifier().fit(X, y), GrowingNeuralGasMixture().fit(X)):
        found = fit.score_samples(X, noise=0 * X)
        assert_allclose(found, fit.score_samples(X), atol=1e-9)
        assert_allclose(fit.denoise(X, 0 * X), X, atol=1e-9)

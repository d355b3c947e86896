"""The drop-in for scikit-learn's mixture, and what it does beyond."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Peer

from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.mixture import GaussianMixture

X = load_iris().data
BLOBS, LABELS = make_blobs(400, 3, centers=3, random_state=2)
PEER_TYPES = ["full", "tied", "diag", "spherical"]
# One of each M-step.
MODELS = [
    "VEI",
    "EEV",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("EII", "VEE", "VVE")),
]


@pytest.fixture(params=[*COVARIANCE_TYPES, *MODELS])
def covariance_type(request):
    return request.param


@pytest.mark.parametrize("init_params", ["kmeans", "random"])
@pytest.mark.parametrize("kind", PEER_TYPES)
def test_same_seed_gives_scikit_learns_answer(kind, init_params):
    params = {
        "n_components": 3,
        "covariance_type": kind,
        "init_params": init_params,
        "random_state": 0,
    }
    ours, peer = GaussianMixture(**params).fit(X), Peer(**params).fit(X)
    assert ours.n_iter_ == peer.n_iter_
    for name in ("weights_", "means_", "covariances_", "precisions_", "lower_bound_"):
        assert_allclose(getattr(ours, name), getattr(peer, name), rtol=1e-6, atol=1e-6)
    assert_allclose(ours.precisions_cholesky_, peer.precisions_cholesky_, rtol=1e-5)
    assert_allclose(ours.score_samples(X), peer.score_samples(X), atol=1e-8)
    assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-8)
    assert_array_equal(ours.predict(X), peer.predict(X))
    assert ours.bic(X) == pytest.approx(peer.bic(X))
    assert ours.aic(X) == pytest.approx(peer.aic(X))


def test_best_of_several_starts_is_kept():
    params = {"n_components": 6, "n_init": 5, "init_params": "random", "tol": 1e-4}
    ours = GaussianMixture(**params, random_state=0).fit(X)
    peer = Peer(**params, random_state=0).fit(X)
    assert ours.lower_bound_ == pytest.approx(peer.lower_bound_, abs=1e-6)


def test_given_start_is_used():
    params = {
        "n_components": 2,
        "weights_init": [0.3, 0.7],
        "means_init": X[[0, 100]],
        "precisions_init": np.tile(np.eye(4), (2, 1, 1)),
        "tol": 1e-8,
        "max_iter": 1000,
    }
    ours, peer = GaussianMixture(**params).fit(X), Peer(**params).fit(X)
    assert_allclose(ours.means_, peer.means_, atol=1e-6)
    assert_allclose(ours.covariances_, peer.covariances_, atol=1e-6)


def test_parameters_include_scikit_learns():
    assert set(Peer().get_params()) <= set(GaussianMixture().get_params())
    for name, value in Peer().get_params().items():
        assert GaussianMixture().get_params()[name] == value


def test_fit_predict_is_fit_then_predict():
    model = GaussianMixture(3, random_state=0)
    labels = model.fit_predict(X)
    assert_array_equal(labels, model.predict(X))


def test_warm_start_goes_on():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = GaussianMixture(3, max_iter=2, warm_start=True, random_state=0).fit(X)
        first = model.lower_bound_
        assert model.fit(X).lower_bounds_[0] > first


def test_automatic_settings_find_the_blobs():
    model = GaussianMixture(
        "auto",
        covariance_type="auto",
        shrinkage="auto",
        reg_covar="auto",
        random_state=0,
    ).fit(BLOBS)
    table = model.cv_results_
    assert model.n_components_ == len(model.weights_) == 3
    assert model.covariance_type_ in {"full", "tied", "diag", "spherical"}
    best = int(np.argmin(table["rank_test_score"]))
    assert table["mean_test_score"][best] == table["mean_test_score"].max()
    assert table["params"][best]["n_components"] == 3
    assert table["param_shrinkage"][best] == model.shrinkage_


def test_searches_with_gaps_halt_what_is_hopeless(monkeypatch):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(90, 2)) @ [[2.0, 1.5], [0.0, 0.5]]
    rows[::2] += [4.0, -4.0]
    rows[rng.uniform(size=rows.shape) < 0.25] = np.nan
    settings = {"covariance_type": ["full", "diag"], "random_state": 0}
    quick = GaussianMixture("auto", **settings).fit(rows)
    monkeypatch.setattr("skgmje.em._select.HALT", 0.0)
    whole = GaussianMixture("auto", **settings).fit(rows)
    assert_array_equal(quick.means_, whole.means_)
    found, expected = (m.cv_results_["mean_test_score"] for m in (quick, whole))
    moved = np.abs(found - expected) > 0.01
    assert moved.any()
    assert (np.maximum(found, expected)[moved] < expected.max() - 0.02).all()


def test_automatic_settings_do_not_depend_on_units():
    """Selection and start are taken on standardised features."""
    model = GaussianMixture("auto", reg_covar="auto", shrinkage=2, random_state=0)
    scale = np.array([1e-3, 1.0, 1e4])
    here = model.fit(BLOBS).score(BLOBS)
    there = model.fit(BLOBS * scale).score(BLOBS * scale)
    assert here == pytest.approx(there + np.log(scale).sum(), abs=1e-6)


def test_missing_entries_cost_little(covariance_type, rng):
    holes = rng.random(BLOBS.shape) < 0.15
    model = GaussianMixture(3, covariance_type=covariance_type, rank=1, random_state=0)
    full = model.fit(BLOBS).score(BLOBS)
    model.fit(np.where(holes, np.nan, BLOBS))
    assert model.score(BLOBS) > full - 0.1
    filled = model.impute(np.where(holes, np.nan, BLOBS))
    assert_array_equal(filled[~holes], BLOBS[~holes])
    mean_error = np.abs(BLOBS.mean(axis=0) - BLOBS)[holes].mean()
    assert np.abs(filled - BLOBS)[holes].mean() < 0.6 * mean_error
    assert_allclose(model.predict_proba(np.full((1, 3), np.nan))[0], model.weights_)
    assert_allclose(model.impute(np.full((1, 3), np.nan))[0], model.mixture_.mean)


def test_imputed_entry_is_the_conditional_mean():
    model = GaussianMixture(2, random_state=0).fit(X)
    row = X[:1].copy()
    row[0, 2] = np.nan
    given = model.condition([0, 1, 3], row[:, [0, 1, 3]])
    assert_allclose(model.impute(row)[0, 2], given.mean[0, 0])
    assert_allclose(
        model.score_samples(row), model.marginal([0, 1, 3]).log_prob(row[:, [0, 1, 3]])
    )


def test_stream_reaches_the_batch(covariance_type, rng):
    model = GaussianMixture(3, covariance_type=covariance_type, rank=1, random_state=0)
    batch = model.fit(BLOBS).score(BLOBS)
    stream = GaussianMixture(3, covariance_type=covariance_type, rank=1, random_state=0)
    for size in (50, 1, 99, 150, 100) * 6:
        stream.partial_fit(BLOBS[rng.integers(len(BLOBS), size=size)])
        assert np.isfinite(stream.score(BLOBS))
    assert stream.score(BLOBS) > batch - 0.06


def test_stream_follows_a_drift(rng):
    stream = GaussianMixture(2, random_state=0)
    for shift in np.linspace(0, 20, 100):
        stream.partial_fit(rng.normal(size=(50, 2)) + shift)
    assert stream.mixture_.mean.min() > 12


def test_stream_can_be_pickled_between_chunks():
    one = GaussianMixture(2, random_state=0).partial_fit(BLOBS[:100])
    two = pickle.loads(pickle.dumps(one))
    assert_array_equal(
        one.partial_fit(BLOBS[100:]).means_, two.partial_fit(BLOBS[100:]).means_
    )


def test_fit_forgets_the_stream():
    model = GaussianMixture(3, random_state=0).partial_fit(BLOBS[:100]).fit(X)
    assert_array_equal(model.means_, GaussianMixture(3, random_state=0).fit(X).means_)


def test_from_parameters(covariance_type):
    fitted = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    known = GaussianMixture.from_parameters(
        fitted.weights_.tolist(), fitted.means_, fitted.covariances_, covariance_type
    )
    assert_array_equal(known.score_samples(X), fitted.score_samples(X))
    assert known.sample(3, random_state=0)[0].shape == (3, 4)


def test_weights_are_copies():
    counts = np.arange(len(X)) % 3
    params = {
        "n_components": 3,
        "means_init": X[[0, 60, 120]],
        "weights_init": [0.4, 0.3, 0.3],
        "precisions_init": np.tile(np.eye(4), (3, 1, 1)),
    }
    weighted = GaussianMixture(**params).fit(X, sample_weight=counts)
    copied = GaussianMixture(**params).fit(np.repeat(X, counts, axis=0))
    assert_allclose(weighted.means_, copied.means_, rtol=1e-9)
    assert_allclose(weighted.score_samples(X), copied.score_samples(X), rtol=1e-8)
    assert weighted.score(X, sample_weight=counts) == pytest.approx(
        weighted.score(np.repeat(X, counts, axis=0))
    )


def test_float32_in_float32_out():
    model = GaussianMixture(3, random_state=0).fit(X.astype(np.float32))
    for answer in (model.score_samples, model.predict_proba):
        assert answer(X.astype(np.float32)).dtype == np.float32
    double = GaussianMixture(3, random_state=0).fit(X)
    assert model.score(X) == pytest.approx(double.score(X), abs=0.05)


def test_verbose_prints_the_likelihood(capsys):
    GaussianMixture(3, verbose=1, verbose_interval=1, random_state=0).fit(X)
    assert "Iteration 1: log-likelihood" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "rows",
    [
        np.ones((30, 3)),
        np.zeros((30, 2)),
        np.repeat(X[:4], 10, axis=0),
        np.column_stack([X, X[:, 0] * 1e6]),
        np.column_stack([X, np.full(len(X), 5.0)]),
        X[:3],
        X * 1e150 / 10,
        X * 1e-150,
        X * [1e-100, 1, 1e50, 1e100],
        (X * 1e20).astype(np.float32),
        X + 1e8,
        np.random.default_rng(0).normal(size=(10, 16)),
        np.column_stack([X, np.where(np.arange(len(X)) < 2, X[:, 0], np.nan)]),
        np.vstack([X, np.full(X.shape, np.nan)]),
    ],
    ids=[
        "all equal", "all zero", "duplicates", "collinear", "constant column", "n = K",
        "huge", "tiny", "mixed scales", "float32 squares overflow", "far from zero",
        "d > n", "two values in a column", "no value in samples",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:n_samples=10 are few:UserWarning")
def test_ugly_data_give_finite_answers(rows, covariance_type):
    for params in ({}, {"shrinkage": 2, "reg_covar": "auto"}):
        model = GaussianMixture(
            3, covariance_type=covariance_type, random_state=0, **params
        ).fit(rows)
        assert np.isfinite(model.score_samples(rows)).all()
        assert_allclose(model.predict_proba(rows).sum(axis=1), 1.0, rtol=1e-5)
        assert np.isfinite(model.sample(5, random_state=0)[0]).all()


@pytest.mark.parametrize(
    ("rows", "params", "message"),
    [
        (X[:2], {"n_components": 3}, "n_components=3 is larger.*n_samples=2"),
        (X * 1e160, {}, "Rescale X"),
        (np.where(X > 7, np.inf, X), {}, "infinity"),
        (X, {"covariance_type": "round"}, "covariance_type"),
        (X, {"shrinkage": -1}, "shrinkage"),
        (X, {"annealing": 1.5}, "annealing"),
        (X, {"n_components": 0}, "n_components"),
        (X, {"n_components": 2, "means_init": X[:3]}, "means_init of shape"),
        (X, {"n_components": 2, "precisions_init": X[:3]}, "precisions_init of shape"),
        (
            X,
            {"n_components": 2, "weights_init": [0.5, 0.9]},
            "weights_init=.*sum to one",
        ),
    ],
)
def test_bad_input_is_named(rows, params, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(**params).fit(rows)


def test_bad_weights_are_named():
    with pytest.raises(ValueError, match="all weights are zero"):
        GaussianMixture().fit(X, sample_weight=np.zeros(len(X)))
    with pytest.raises(ValueError, match="Negative values"):
        GaussianMixture().fit(X, sample_weight=np.full(len(X), -1.0))


def test_run_that_did_not_converge_says_so_once():
    with pytest.warns(
        ConvergenceWarning, match=r"did not converge in 1 iter"
    ) as record:
        GaussianMixture(3, max_iter=1, random_state=0).fit(X)
    assert len(record) == 1


def test_lost_components_are_said():
    with pytest.warns(ConvergenceWarning, match="dropped"):
        GaussianMixture(5, random_state=0).fit(np.repeat(X[[0, 50, 100]], 10, axis=0))


def test_attributes_set_by_hand_count():
    """scikit-learn's recipe for a mixture without a fit; nobody writes into it."""
    peer = Peer(2, random_state=0).fit(X)
    ours = GaussianMixture(2)
    ours.weights_, ours.means_ = peer.weights_, peer.means_.copy()
    ours.precisions_cholesky_ = peer.precisions_cholesky_
    assert_allclose(ours.score_samples(X), peer.score_samples(X), atol=1e-8)
    with pytest.raises(ValueError, match="read-only"):
        ours.means_[0] += 1
    ours.means_ = ours.means_ + 1
    peer.means_ += 1
    assert_allclose(ours.score_samples(X), peer.score_samples(X), atol=1e-8)
    ours.covariances_ = 9 * peer.covariances_
    peer.precisions_cholesky_ = peer.precisions_cholesky_ / 3
    assert_allclose(ours.score_samples(X), peer.score_samples(X), atol=1e-8)


@pytest.mark.parametrize("kind", ["tied", "diag", "spherical"])
def test_precisions_set_by_hand_count(kind):
    peer = Peer(2, covariance_type=kind, random_state=0).fit(X)
    ours = GaussianMixture(2, covariance_type=kind)
    ours.weights_, ours.means_ = peer.weights_, peer.means_
    ours.precisions_cholesky_ = peer.precisions_cholesky_
    assert_allclose(ours.score_samples(X), peer.score_samples(X), atol=1e-8)


def test_stream_goes_on_from_a_fit(covariance_type):
    model = GaussianMixture(3, covariance_type=covariance_type, rank=1, random_state=0)
    before = model.fit(BLOBS).score(BLOBS)
    assert model.partial_fit(BLOBS[:50]).score(BLOBS) > before - 0.1


def test_stream_goes_on_from_known_parameters(rng):
    means = np.array([[-5.0, 0.0], [5.0, 0.0]])
    known = GaussianMixture.from_parameters([0.5, 0.5], means, [1.0, 1.0], "spherical")
    chunk = rng.normal(size=(40, 2)) + means[np.arange(40) % 2] + 0.5
    assert_allclose(known.partial_fit(chunk).means_, means + 0.5, atol=0.6)


def test_bad_chunk_does_no_harm():
    model = GaussianMixture(2, random_state=0).partial_fit(X)
    before = model.means_
    with pytest.raises(ValueError, match="Rescale X"):
        model.partial_fit(X * 1e200)
    assert_array_equal(model.means_, before)
    model.partial_fit(X)


def test_warm_start_with_other_settings_is_refused():
    model = GaussianMixture(2, warm_start=True, random_state=0).fit(X)
    for rows, params in ((X, {"n_components": 4}), (X[:, :2], {})):
        with pytest.raises(ValueError, match="warm_start=True goes on from"):
            model.set_params(**{"n_components": 2, **params}).fit(rows)
    with pytest.raises(ValueError, match="warm_start"):
        model.set_params(n_components=2, covariance_type="diag").fit(X)


def test_only_missing_entries_are_refused():
    with pytest.raises(ValueError, match="only missing entries"):
        GaussianMixture().fit(np.full((5, 2), np.nan))


def test_table_of_candidates_is_of_the_last_fit():
    model = GaussianMixture("auto", random_state=0).fit(X)
    assert "mean_test_score" in model.cv_results_
    assert not hasattr(model.set_params(n_components=2).fit(X), "cv_results_")


def test_repeated_rows_do_not_get_a_boundless_density(rng):
    rows = np.repeat(rng.normal(size=(3, 4)), 5, axis=0)
    for kind in ("full", "diag", "spherical"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = GaussianMixture(6, covariance_type=kind, reg_covar=0).fit(rows)
        assert -1e3 < model.score(rows) < 1e3


@pytest.mark.parametrize("scale", [1e-30, 1e-310])
def test_tiny_units_say_nothing_foreign(scale):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dtype = np.float32 if scale > 1e-40 else np.float64
        model = GaussianMixture(2, reg_covar="auto", random_state=0)
        model.fit((BLOBS * scale).astype(dtype))
    assert len(model.weights_) == 2


def test_weights_of_any_scale():
    one = GaussianMixture(2, random_state=0).fit(
        X, sample_weight=np.full(len(X), 1e-300)
    )
    assert_allclose(one.means_, GaussianMixture(2, random_state=0).fit(X).means_)


@pytest.mark.filterwarnings("ignore:n_samples=32 are few:UserWarning")
@pytest.mark.parametrize("n_samples", [32, 1600])
def test_searching_for_other_settings_keeps_the_number_of_components(n_samples):
    rows = np.random.default_rng(0).normal(size=(n_samples, 2))
    asked = n_samples - 2 if n_samples < 100 else 4
    model = GaussianMixture(asked, shrinkage="auto", random_state=0).fit(rows)
    assert len(model.weights_) == asked

"""Clusters and models chosen by BIC, ICL and stability."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris, make_blobs
from sklearn.metrics import adjusted_rand_score

from skgmje import GaussianMixture
from skgmje.inspection import SelectionDisplay

IRIS, SPECIES = load_iris(return_X_y=True)
BLOBS, LABELS = make_blobs(120, 2, centers=3, cluster_std=0.8, random_state=4)
TYPE = "covariance_type"
CRITERIA = ["bic", "icl", pytest.param("stability", marks=pytest.mark.slow)]


def search(X, criterion="bic", covariance_type="EEI", n_components="auto", **params):
    return GaussianMixture(
        n_components,
        covariance_type=covariance_type,
        criterion=criterion,
        random_state=0,
        **params,
    ).fit(X)


def test_likelihood_of_classes_is_mclusts():
    """R 4.2.2, mclust 6.0.0: ICL less BIC of VVV with three clusters of iris."""
    mixture = GaussianMixture(3, tol=1e-7, max_iter=500, random_state=0).fit(IRIS)
    assert mixture.icl(IRIS) == pytest.approx(584.05220568, abs=0.05)
    resp = mixture.predict_proba(IRIS).max(axis=1)
    assert mixture.icl(IRIS) == pytest.approx(
        mixture.bic(IRIS) - 2 * np.log(resp).sum(), rel=1e-12
    )


@pytest.mark.parametrize("criterion", CRITERIA)
def test_clusters_are_counted(criterion):
    mixture = search(BLOBS, criterion)
    assert adjusted_rand_score(LABELS, mixture.predict(BLOBS)) > 0.95
    table = mixture.cv_results_
    best = table["rank_test_score"].argmin()
    assert table["params"][best]["n_components"] == 3
    assert mixture.model_ == table["param_covariance_type"][best] == "EEI"
    assert table["mean_test_score"][best] == table["mean_test_score"].max()
    assert ("stability" in table) == (criterion == "stability")
    ranks = np.sort(table["rank_test_score"])
    assert_array_equal(ranks, 1 + np.arange(len(table["params"])))
    assert all(np.isfinite(table[name]).all() for name in ("bic", "icl"))


def test_criterion_finds_what_mclust_finds():
    """Mclust(iris, modelNames="VEV") has two clusters and a BIC of 561.728462."""
    mixture = search(IRIS, covariance_type="VEV", tol=1e-6, max_iter=1000)
    assert len(mixture.weights_) == 2
    assert mixture.bic(IRIS) == pytest.approx(561.728462, abs=0.02)


@pytest.mark.slow
def test_all_models():
    mixture = search(IRIS, covariance_type="auto")
    assert (mixture.model_, len(mixture.weights_)) == ("VEV", 2)
    assert mixture.bic(IRIS) < 561.75
    assert len(mixture.cv_results_["bic"]) == 14 * 9


@pytest.mark.slow
@pytest.mark.parametrize("criterion", ["held-out", ["bic", "held-out", "stability"]])
def test_two_processes(criterion):
    one, two = (
        search(BLOBS[::2], criterion, "models", 2, n_jobs=n_jobs)
        for n_jobs in (None, 2)
    )
    assert one.cv_results_.keys() == two.cv_results_.keys()
    for name, column in one.cv_results_.items():
        assert_array_equal(column, two.cv_results_[name])
    assert one.model_ == two.model_
    assert_array_equal(one.means_, two.means_)


def test_held_out_likelihood_chooses_among_models():
    several = search(BLOBS, "held-out", "models", 3)
    table = several.cv_results_
    assert len(table["params"]) == 14
    assert several.model_ == table["params"][table["held_out"].argmax()][TYPE]
    for model in ("EII", "VVE"):
        own = search(BLOBS, "held-out", [model], 3)
        (place,) = np.flatnonzero(np.array(table[f"param_{TYPE}"]) == model)
        for name in ("held_out", "held_out_error", "n_parameters", "split1_test_score"):
            assert_array_equal(own.cv_results_[name], table[name][place])
        penalty = own.bic(BLOBS) + 2 * own.score(BLOBS) * len(BLOBS)
        n_parameters = own.cv_results_["n_parameters"][0]
        assert penalty == pytest.approx(n_parameters * np.log(len(BLOBS)))


def test_error_of_held_out_likelihood():
    single = search(BLOBS, "held-out", ["EEE"], 1)
    spread = single.score_samples(BLOBS).std() / np.sqrt(len(BLOBS))
    assert single.cv_results_["held_out_error"] == pytest.approx(spread, rel=0.1)
    # In other units densities differ by a constant, and weights in all by a factor.
    other = GaussianMixture(1, covariance_type=["EEE"], reg_covar=0, random_state=0)
    other.fit(8 * BLOBS, sample_weight=np.full(len(BLOBS), 3.0))
    (error,) = other.cv_results_["held_out_error"]
    assert error == pytest.approx(single.cv_results_["held_out_error"][0], rel=1e-3)


def test_first_of_several_criteria_chooses():
    params = {"covariance_type": ["EII", "VVV"], "n_components": 3}
    mixture = search(BLOBS, ["held-out", "icl", "stability"], **params)
    table = mixture.cv_results_
    assert_array_equal(table["mean_test_score"], table["held_out"])
    assert table["rank_test_score"].argmin() == table["held_out"].argmax()
    assert mixture.model_ == table[f"param_{TYPE}"][table["held_out"].argmax()]
    alone = search(BLOBS, "icl", **params).cv_results_
    for name in ("log_likelihood", "n_parameters", "bic", "icl", "sound"):
        assert_array_equal(table[name], alone[name])
    assert np.isfinite([table["stability"], table["held_out_error"]]).all()
    assert "held_out" not in alone


def test_several_criteria_of_few_distinct_samples():
    """Below five distinct samples nothing is held out."""
    X = np.repeat(IRIS[[0, 60, 120], :2], 4, axis=0)
    mixture = search(X, ["held-out", "bic"], ["EII", "EEI"], reg_covar="auto")
    assert np.isnan(mixture.cv_results_["held_out"]).all()
    alone = search(X, "held-out", ["EII", "EEI"], reg_covar="auto")
    assert np.isnan(alone.cv_results_["held_out"]).all()
    with pytest.raises(ValueError, match="No candidate has a finite 'held_out'"):
        SelectionDisplay.from_estimator(mixture)
    assert np.isfinite(mixture.score(X))


def test_models_of_one_feature_are_two():
    for criterion in ("held-out", "bic"):
        table = search(BLOBS[:, :1], criterion, "models", 2).cv_results_
        assert table[f"param_{TYPE}"] == ["EII", "VII"]


def test_fits_go_on_with_the_model_that_was_chosen():
    mixture = search(BLOBS, "held-out", ["EEE", "VVV"], 3)
    chosen = mixture.model_
    assert mixture.partial_fit(BLOBS[:50]).model_ == chosen
    with pytest.raises(ValueError, match=r"but covariance_type=\['VEV'\] is asked"):
        mixture.set_params(covariance_type=["VEV"]).partial_fit(BLOBS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"covariance_type": []},
        {"covariance_type": ["VEV", "auto"]},
        {"covariance_type": [["VEV"]]},
        {"criterion": []},
        {"criterion": ["bic", "aic"]},
    ],
)
def test_wrong_lists_are_told(wrong):
    with pytest.raises(ValueError, match="or a list of such names"):
        GaussianMixture(2, **wrong).fit(BLOBS)


def test_search_tells_how_far_it_is(capsys):
    search(BLOBS, "held-out", ["EII", "EEE"], 3, verbose=2)
    told = capsys.readouterr().out
    assert "[GaussianMixture: settings of n_components=3] step 10/10" in told


def test_more_clusters_than_nine_are_found():
    rng = np.random.default_rng(0)
    centers = 30.0 * np.array([[i, j] for i in range(4) for j in range(3)])
    X = np.repeat(centers, 15, axis=0) + rng.normal(size=(180, 2))
    assert len(search(X, covariance_type="EII").weights_) == 12


def test_model_that_is_behind_at_nine_clusters_may_win():
    X, _ = make_blobs(600, 6, centers=12, cluster_std=0.5, random_state=0)
    model = GaussianMixture(
        "auto", covariance_type=["EII", "EVE"], criterion="bic", random_state=0
    ).fit(X)
    table = model.cv_results_
    nine = [params["n_components"] == 9 for params in table["params"]]
    assert np.argmin(table["bic"][nine]) == 1
    assert (model.n_components_, model.model_) == (12, "EII")


def test_lists_go_beyond_nine_clusters_whatever_chooses():
    X, _ = make_blobs(600, 6, centers=12, cluster_std=0.5, random_state=0)
    model = GaussianMixture(
        "auto", covariance_type=["EII"], criterion=["held-out", "bic"], random_state=0
    ).fit(X)
    assert model.n_components_ >= 12


def test_spikes_are_passed_over():
    """Pairs of equal samples give a likelihood without bound, and no clusters."""
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(60, 2)), [[4.0, 4.0]] * 2])
    mixture = search(X, covariance_type="VVV")
    table = mixture.cv_results_
    assert not table["sound"].all()
    assert len(X) * mixture.weights_.min() > 2.5
    assert table["sound"][table["rank_test_score"].argmin()]


def test_model_alone_is_chosen():
    mixture = search(BLOBS, covariance_type="auto", n_components=3, criterion="icl")
    assert mixture.model_ in ("EII", "VII")
    assert len(mixture.cv_results_["params"]) == 14


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:n_samples=:UserWarning")
@pytest.mark.filterwarnings("ignore:Each of the:UserWarning")
@pytest.mark.parametrize(
    "X",
    [
        IRIS[:4],
        np.ones((20, 2)),
        np.repeat(IRIS[:3], 9, axis=0),
        np.column_stack([BLOBS, np.ones(120)])[:40],
        BLOBS[:40, :1],
        pytest.param(
            np.where(
                np.random.default_rng(0).random((15, 2)) < 0.1, np.nan, BLOBS[:15]
            ),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["few", "all equal", "duplicates", "constant", "one feature", "missing"],
)
def test_ugly_data_give_a_finite_answer(X):
    for model in ("auto", "VEE"):
        params = {"covariance_type": model, "reg_covar": "auto"}
        n_components = 2 if model == "auto" else "auto"
        mixture = search(X, n_components=n_components, **params)
        assert np.isfinite(mixture.score(X))
        assert np.isfinite(mixture.cv_results_["bic"]).all()


def test_no_sound_model_is_said():
    with (
        pytest.warns(UserWarning, match="n_samples=6 are few"),
        pytest.warns(UserWarning, match="Each of the .* models that were tried"),
    ):
        search(np.random.default_rng(0).normal(size=(6, 8)), covariance_type="VVV")


def test_shrinkage_is_not_chosen_by_other_criteria():
    with pytest.raises(ValueError, match="shrinkage='auto' is chosen by held-out"):
        search(IRIS, shrinkage="auto")


def test_weights_are_copies():
    counts = 1 + np.arange(len(BLOBS)) % 3
    one = GaussianMixture("auto", covariance_type="EII", criterion="bic", tol=1e-7)
    two = GaussianMixture("auto", covariance_type="EII", criterion="bic", tol=1e-7)
    one.fit(BLOBS, sample_weight=counts)
    two.fit(np.repeat(BLOBS, counts, axis=0))
    assert len(one.weights_) == len(two.weights_) == 3
    assert_allclose(min(one.cv_results_["bic"]), min(two.cv_results_["bic"]), rtol=1e-4)


@pytest.mark.parametrize(
    "given",
    [
        {"means_init": BLOBS[:3]},
        {"weights_init": [0.2, 0.3, 0.5]},
        {"precisions_init": np.tile(np.eye(2), (3, 1, 1))},
        {"init_params": lambda X: LABELS},
        {"init_params": "random"},
        {"background": True},
    ],
)
@pytest.mark.parametrize("criterion", ["bic", "icl", "stability"])
def test_what_a_search_has_no_use_for_is_refused(given, criterion):
    words = f"{next(iter(given))}.*does not go with criterion='{criterion}'.*held-out"
    with pytest.raises(ValueError, match=words):
        search(BLOBS, criterion, "auto", 3, **given)


@pytest.mark.parametrize("criterion", ["bic", "icl", "stability"])
def test_a_criterion_that_chooses_nothing_is_told(criterion):
    words = f"criterion='{criterion}' chooses nothing.*Set n_components='auto'"
    with pytest.warns(UserWarning, match=words) as told:
        fitted = search(BLOBS, criterion, n_components=3)
    assert len(told) == 1
    assert_array_equal(fitted.means_, search(BLOBS, "held-out", n_components=3).means_)


@pytest.mark.parametrize("criterion", ["held-out", "bic"])
def test_units_that_are_small_are_told(criterion):
    with pytest.warns(UserWarning, match=r"reg_covar=1e-06 .*columns \[0, 1\].*'auto'"):
        search(BLOBS * 1e-4, criterion)
    relative = search(BLOBS * 1e-4, criterion, reg_covar="auto")
    assert len(relative.weights_) == len(search(BLOBS, criterion).weights_) == 3


def test_weights_that_are_shares_are_told_to_be_copies():
    shares = np.full(len(BLOBS), 1 / len(BLOBS))
    with pytest.warns(UserWarning, match="sums to 1 for 120 samples.*so many copies"):
        GaussianMixture("auto", criterion="bic").fit(BLOBS, sample_weight=shares)

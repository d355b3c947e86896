"""Mixtures of classes: discriminant analysis, and labels that are missing."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris, load_wine
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.naive_bayes import GaussianNB

from skgmje import GaussianMixture, MixtureClassifier, load
from skgmje.gaussian import COVARIANCE_TYPES

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]
# Row numbers of MclustSSC's first draw of two labels a class.
KNOWN = np.isin(np.arange(150), [3, 38, 50, 83, 122, 142])
PLAIN = {"shrinkage": 0, "reg_covar": 0, "max_iter": 2}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("kind", "peer"),
    [
        ("tied", LinearDiscriminantAnalysis("lsqr")),
        ("full", QuadraticDiscriminantAnalysis()),
        ("diag", GaussianNB(var_smoothing=0)),
    ],
)
def test_one_component_per_class_is_discriminant_analysis(kind, peer):
    ours = MixtureClassifier(covariance_type=kind, **PLAIN).fit(X, Y)
    peer.fit(X, Y)
    # Its covariances divide by n - 1.
    tol = 0.03 if kind == "full" else 1e-6
    assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=tol)
    assert ours.score(X, Y) == pytest.approx(peer.score(X, Y), abs=0.01)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_labels_of_all_classes_leave_clusters_to_the_others(kind):
    """From the optimum of a plain mixture nothing moves: EM is the same."""
    how = {"covariance_type": kind, "rank": 1, "tol": 1e-5, "max_iter": 500}
    plain = GaussianMixture(3, **how, shrinkage=2, random_state=0).fit(X)
    labels = np.where(KNOWN, Y, -1)
    weight = np.where(KNOWN, 1e-9, 1.0)
    ours = MixtureClassifier(
        **how, shrinkage=2, reg_covar=1e-6, unlabelled_weight=1
    ).fit(X, labels, weight)
    assert ours.lower_bounds_[-1] >= plain.score(X) - 0.01
    assert (np.diff(ours.lower_bounds_) > -1e-4).all()


def test_labelled_samples_stay_in_their_class():
    far = np.array([[100.0, 100, 100, 100]])
    rows, labels = np.vstack([X, far]), np.r_[np.where(KNOWN, Y, -1), 0]
    how = {"covariance_type": "full", "shrinkage": 20, "unlabelled_weight": 1}
    setosa = MixtureClassifier(**how).fit(rows, labels)
    assert setosa.means_[setosa.component_classes_ == 0].max() > 10


@pytest.mark.parametrize("n_each", [1, 3])
def test_unlabelled_samples_help_and_zero_leaves_them_out(n_each):
    labels = np.where(KNOWN, Y, -1)
    how = {"covariance_type": "full", "shrinkage": 2, "reg_covar": 1e-6}
    params = {"n_components_per_class": n_each, "random_state": 0, **how}
    whole = MixtureClassifier(unlabelled_weight=1, **params).fit(X, labels)
    without = MixtureClassifier(unlabelled_weight=0, **params).fit(X, labels)
    alone = MixtureClassifier(**params).fit(X[KNOWN], Y[KNOWN])
    assert_allclose(without.predict_proba(X), alone.predict_proba(X), atol=1e-6)
    assert whole.score(X, Y) > max(0.9, alone.score(X, Y))
    assert set(whole.component_classes_) == {0, 1, 2}


def test_clusters_that_are_no_classes_are_not_believed():
    """Noise around one line of labels: what is unlabelled says nothing of it."""
    rng = np.random.default_rng(0)
    rows = rng.uniform(-1, 1, size=(300, 2)) * [1, 5]
    y = (rows[:, 0] > 0).astype(int)
    labels = np.where(np.arange(300) < 40, y, -1)
    chosen = MixtureClassifier(random_state=0).fit(rows, labels)
    alone = MixtureClassifier(unlabelled_weight=0, random_state=0).fit(rows, labels)
    assert chosen.score(rows[40:], y[40:]) >= alone.score(rows[40:], y[40:]) - 0.01
    params = chosen.cv_results_["params"]
    assert {p["unlabelled_weight"] for p in params} == {0.0, 0.03, 0.1, 0.3, 1.0}
    picked = [p["unlabelled_weight"] for p in params].index(chosen.unlabelled_weight_)
    assert chosen.cv_results_["mean_test_log_proba"].shape == (len(params),)
    assert picked >= 0


@pytest.mark.parametrize("none", [None, np.nan])
def test_words_may_be_missing(none):
    words = NAMES.astype(object)
    words[~KNOWN] = none
    how = {"covariance_type": "full", "shrinkage": 2, "unlabelled_weight": 1}
    ours = MixtureClassifier(**how).fit(X, words)
    numbers = MixtureClassifier(**how).fit(X, np.where(KNOWN, Y, -1))
    assert ours.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert_array_equal(ours.predict(X), ours.classes_[numbers.predict(X)])
    rows, labels = ours.sample(9, y="setosa", random_state=0)
    assert set(labels) == {"setosa"}
    assert (ours.predict(rows) == "setosa").all()
    with pytest.raises(ValueError, match=r"'rose' is no class.*setosa"):
        ours.sample(y="rose")


FEW = {"covariance_type": "full", "shrinkage": 2, "unlabelled_weight": 0.3}


def _holders():
    pandas = pytest.importorskip("pandas")
    return {
        "list": list,
        "object": lambda values: np.array(values, object),
        "series": lambda values: pandas.Series(values, dtype=object),
        "nullable": lambda values: pandas.Series(
            [None if _is_nothing(v) else v for v in values]
        ).convert_dtypes(),
    }


def _is_nothing(value):
    return value is None or value != value or value == -1


@pytest.mark.parametrize("holder", ["list", "object", "series", "nullable"])
@pytest.mark.parametrize("none", [-1, None, np.nan])
@pytest.mark.parametrize("labels", [NAMES, Y, Y > 0, Y + 0.0], ids="UibF")
def test_labels_keep_their_type_whatever_holds_them(holder, none, labels):
    given = labels.tolist()
    given = [v if known else none for v, known in zip(given, KNOWN, strict=True)]
    ours = MixtureClassifier(**FEW).fit(X, _holders()[holder](given))
    expected = np.unique(labels).tolist()
    assert ours.classes_.tolist() == expected
    if holder != "nullable":
        assert [*map(type, ours.classes_.tolist())] == [*map(type, expected)]
    assert set(ours.predict(X).tolist()) <= set(expected)


def test_nan_is_no_number_of_a_class():
    ours = MixtureClassifier(**FEW).fit(X, np.where(KNOWN, Y, np.nan))
    assert ours.classes_.tolist() == [0, 1, 2]
    labels = [True if i < 50 else None for i in range(150)]
    assert MixtureClassifier(**FEW).fit(X, labels).classes_.tolist() == [True]


def test_classes_with_too_few_labels_are_told():
    labels = np.where(np.isin(np.arange(150), [*range(4), *range(50, 150)]), Y, -1)
    how = {"shrinkage": 0, "unlabelled_weight": 0}
    words = r"Classes \[0\] .* fewer than 5 samples \(the least 4\).*shrinkage='auto'"
    with pytest.warns(UserWarning, match=words):
        MixtureClassifier(covariance_type="full", **how).fit(X, labels)
    for kind in ("tied", "diag"):
        MixtureClassifier(covariance_type=kind, **how).fit(X, labels)


def test_words_of_any_array_are_saved(tmp_path):
    for words in (NAMES, NAMES.astype(object), [*NAMES], np.array([*NAMES], object)):
        ours = MixtureClassifier(**FEW).fit(X, words)
        ours.save(tmp_path / "model")
        again = load(tmp_path / "model")
        assert again.classes_.dtype == ours.classes_.dtype
        assert_array_equal(again.predict(X), ours.predict(X))


def test_minus_one_and_one_are_two_classes():
    sign = np.where(Y == 0, -1, 1)
    with pytest.warns(UserWarning, match="no values but -1 and 1"):
        ours = MixtureClassifier().fit(X, sign)
    assert ours.classes_.tolist() == [-1, 1]
    assert ours.score(X, sign) == 1


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.full(150, -1), "no label"),
        (np.linspace(0, 1, 150), "continuous"),
        (["a"] * 149 + [1], "words and others.*'a' and 1"),
        (np.full(150, np.nan), "no label"),
        (np.full(150, np.inf), "infinity"),
        (Y[:100], "inconsistent"),
    ],
)
def test_labels_that_cannot_be_are_named(y, words):
    with pytest.raises(ValueError, match=words):
        MixtureClassifier().fit(X, y)


def test_one_label_in_each_class_says_what_it_leaves_out():
    labels = np.where(np.isin(np.arange(150), [0, 60, 120]), Y, -1)
    with pytest.warns(UserWarning, match="unlabelled_weight=1"):
        ours = MixtureClassifier(random_state=0).fit(X, labels)
    assert ours.unlabelled_weight_ == 0
    assert ours.score(X, Y) > 0.6
    forced = MixtureClassifier(unlabelled_weight=1, random_state=0).fit(X, labels)
    assert forced.score(X, Y) > 0.8


@pytest.mark.parametrize("kind", ["full", "low-rank"])
def test_singular_classes_are_finite_and_say_so(kind):
    few = np.r_[0, 1, 50, 51, 100]  # one sample of the last class
    with pytest.warns(ConvergenceWarning, match="singular"):
        ours = MixtureClassifier(covariance_type=kind, shrinkage=0, reg_covar=0).fit(
            X[few], Y[few]
        )
    assert np.isfinite(ours.predict_proba(X)).all()
    constant = np.hstack([X, np.ones((150, 1))])
    assert MixtureClassifier(random_state=0).fit(constant, Y).score(constant, Y) > 0.9


def test_missing_entries_and_far_samples():
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    labels = np.where(KNOWN | (np.arange(150) % 3 == 0), Y, -1)
    how = {"covariance_type": "full", "shrinkage": 2, "unlabelled_weight": 0.3}
    ours = MixtureClassifier(**how).fit(holes, labels)
    assert ours.score(holes, Y) > 0.88
    assert_allclose(ours.predict_proba(holes).sum(axis=1), 1.0)
    log_proba = ours.predict_log_proba(X)
    assert_allclose(np.exp(log_proba), ours.predict_proba(X), atol=1e-12)
    far = np.full((1, 4), 1e200)
    assert ours.predict_proba(far).sum() == pytest.approx(1)
    assert np.exp(ours.predict_log_proba(far)).sum() == pytest.approx(1)
    # Samples of no class have a low density.
    assert ours.score_samples(X + 20).max() < ours.score_samples(X).min()


def test_several_components_are_chosen_where_a_class_has_parts():
    rng = np.random.default_rng(0)
    centers = np.array([[-6.0, 0], [0, 0], [6, 0]])
    part = rng.integers(3, size=400)
    rows, y = centers[part] + rng.normal(size=(400, 2)), part % 2
    ours = MixtureClassifier("auto", random_state=0).fit(rows, y)
    assert np.bincount(ours.component_classes_)[0] >= 2
    assert ours.score(rows, y) > 0.99


@pytest.mark.slow
def test_few_labels_of_wine():
    rows, y = load_wine(return_X_y=True)
    scores = []
    for seed in range(2):
        rng = np.random.RandomState(seed)
        each = [rng.choice(np.flatnonzero(y == c), 5, replace=False) for c in range(3)]
        known = np.isin(np.arange(len(y)), np.concatenate(each))
        ours = MixtureClassifier(random_state=0).fit(rows, np.where(known, y, -1))
        scores.append(ours.score(rows[~known], y[~known]))
    # LabelSpreading 0.92 and logistic regression 0.93 on the same labels.
    assert np.mean(scores) > 0.94

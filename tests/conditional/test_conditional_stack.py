"""Stacked conditional densities: honesty of what is held out, ugly cases, the API."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity, KNeighborsRegressor
from sklearn.preprocessing import StandardScaler

from skgmje import GaussianMixture
from skgmje.ensemble import StackingConditionalDensity, StackingDensity
from skgmje.metrics import interval_coverage

SMALL = {
    "max_iter": 40,
    "n_members": 5,
    "hidden_layer_sizes": (8,),
    "random_state": 0,
}
QUICK = ["gp", ("ridge", Ridge())]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make_rows(n, seed=0, n_features=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features))
    y = X[:, 0] + np.sin(2 * X[:, 1]) + 0.3 * np.exp(X[:, 2]) * rng.normal(size=n)
    return X, y


@pytest.fixture(scope="module")
def fitted():
    return StackingConditionalDensity(**SMALL).fit(*make_rows(150))


def test_attributes_tell_how_it_went(fitted):
    _, y = make_rows(150)
    # Of few columns, a joint mixture joins the networks.
    assert fitted.member_names_ == ["gp", "trees", "boosting", "network", "joint"]
    assert_allclose(sum(fitted.pool_weights_.values()), 1.0)
    assert min(fitted.pool_weights_.values()) >= 0
    assert set(fitted.member_rmse_) == set(fitted.member_names_)
    assert 0.3 < fitted.member_rmse_["gp"] < y.std()
    assert 0.8 < fitted.oof_coverage_ < 1.0
    assert 0.0 < fitted.oof_crps_ < y.std()
    assert np.isfinite(fitted.oof_nll_)
    assert fitted.tie_share_ == 0.0
    assert fitted.best_steps_["stack"].shape == (5,)
    assert set(fitted.fit_times_) >= {*fitted.member_names_, "stack", "pool"}
    assert 1 / 3 <= fitted.width_ <= 3


def test_what_is_held_out_is_what_new_rows_get(fitted):
    """Estimates on rows held out are about those of rows never seen."""
    X, y = make_rows(2000, seed=1)
    assert abs(-fitted.score(X, y) - fitted.oof_nll_) < 0.25
    share = interval_coverage(y, fitted.predict_mixture(X))
    assert abs(share - fitted.oof_coverage_) < 0.08


def test_density_integrates_to_one(fitted):
    grid = np.linspace(-30, 30, 6001)
    density = np.exp(fitted.log_prob(np.full((len(grid), 3), 0.3), grid))
    assert_allclose(np.trapezoid(density, grid), 1.0, atol=1e-3)


def test_answers_agree_with_each_other(fitted):
    X, _ = make_rows(20, seed=2)
    mean, std = fitted.predict(X, return_std=True)
    mixture = fitted.predict_mixture(X)
    assert_allclose(mixture.mean[:, 0], mean)
    lower, upper = fitted.predict_interval(X, 0.8)
    assert_allclose(mixture.cdf(lower), 0.1, atol=1e-8)
    assert (lower < upper).all()
    assert (std > 0).all()
    assert fitted.sample_y(X, 3, random_state=0).shape == (20, 3)
    found = fitted.predict_uncertainty(X)
    assert_allclose((found.within + found.between)[:, 0, 0], std**2)


def test_answers_do_not_depend_on_the_other_rows(fitted):
    X, y = make_rows(30, seed=2)
    alone = fitted.log_prob(X[7:8], y[7:8])
    assert_allclose(fitted.log_prob(X, y)[7:8], alone, atol=1e-9)


def test_pickle_is_small_and_predicts_without_torch(fitted, tmp_path):
    X, y = make_rows(30, seed=2)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(fitted))
    assert path.stat().st_size < 8e6
    again = pickle.loads(path.read_bytes())
    assert_array_equal(again.log_prob(X, y), fitted.log_prob(X, y))
    code = (
        "import pickle, sys, pathlib, numpy as np\n"
        f"model = pickle.loads(pathlib.Path({str(path)!r}).read_bytes())\n"
        "model.predict(np.zeros((2, 3)))\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_same_seed_same_bits_for_any_number_of_jobs(fitted):
    X, y = make_rows(150)
    before = np.random.mtrand._rand.get_state()[1].copy()
    torch_before = torch.get_rng_state().clone()
    again = clone(fitted).set_params(n_jobs=2).fit(X, y)
    assert_array_equal(again.log_prob(X, y), fitted.log_prob(X, y))
    assert again.oof_nll_ == fitted.oof_nll_
    assert_array_equal(np.random.mtrand._rand.get_state()[1], before)
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_fewer_components_keep_moments(fitted):
    X, y = make_rows(40, seed=2)
    mean, std = fitted.predict(X, return_std=True)
    full = fitted.score(X, y)
    small = pickle.loads(pickle.dumps(fitted)).set_params(max_components=6)
    assert small.predict_mixture(X).n_components == 6
    assert_allclose(small.predict(X), mean)
    assert_allclose(small.predict(X, return_std=True)[1], std)
    assert abs(small.score(X, y) - full) < 0.1


class Memory(RegressorMixin, BaseEstimator):
    """Knows the targets of all rows it has seen, and nothing else."""

    def fit(self, X, y):
        self.known_ = {row.tobytes(): target for row, target in zip(X, y, strict=True)}
        self.other_ = 0.0
        return self

    def predict(self, X):
        return np.array([self.known_.get(row.tobytes(), self.other_) for row in X])


def test_a_regressor_that_memorises_gains_nothing():
    """Its predictions of training rows are those of clones that lack them."""
    X, y = make_rows(120)
    density = StackingConditionalDensity([("memory", Memory())], **SMALL).fit(X, y)
    assert_allclose(density.member_rmse_["memory"], np.sqrt(np.mean(y**2)))
    assert density.oof_nll_ > 1.0


class GroupMemory(Memory):
    """Knows the group, the last column, of the rows it has seen."""

    def fit(self, X, y):
        self.known_ = {g: y[X[:, -1] == g].mean() for g in np.unique(X[:, -1])}
        return self

    def predict(self, X):
        return np.array([self.known_.get(g, 0.0) for g in X[:, -1]])


@pytest.fixture(scope="module")
def grouped():
    """Contexts that name the group but for noise; the group sets the target."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 4)
    place, level = rng.normal(size=(40, 2)), rng.normal(size=40)
    X = np.column_stack([place[groups] + 0.01 * rng.normal(size=(160, 2)), groups])
    return X, level[groups] + 0.05 * rng.normal(size=160), groups


@pytest.mark.parametrize(
    "member",
    [
        *("gp", "trees", "own"),
        *(pytest.param(s, marks=pytest.mark.slow) for s in ("boosting", "network")),
    ],
)
def test_groups_are_left_out_together(grouped, member):
    """A group is all that can be learned here, and nothing is told of a new one."""
    X, y, groups = grouped
    own = ("own", GroupMemory()) if member == "own" else member
    params = SMALL | {"max_iter": 200}
    rows = X if member == "own" else X[:, :2]
    leaky = StackingConditionalDensity([own], **params).fit(rows, y)
    honest = StackingConditionalDensity([own], **params).fit(rows, y, groups=groups)
    assert leaky.member_rmse_[member] < 0.95 * y.std()
    assert honest.member_rmse_[member] > 0.97 * y.std()
    assert honest.oof_nll_ > leaky.oof_nll_ + 0.2


def test_large_groups_are_left_out_by_folds():
    X, y = make_rows(160)
    groups = np.repeat(np.arange(4), 40)
    offset = np.array([0.0, 5.0, -4.0, 3.0])[groups]
    X = np.column_stack([X, groups])
    density = StackingConditionalDensity(["gp"], **SMALL).fit(
        X, y + offset, groups=groups
    )
    assert density.member_rmse_["gp"] > 2.0


@pytest.mark.filterwarnings("ignore:.*of the values of target:UserWarning")
@pytest.mark.parametrize("member", ["gp", "trees", "boosting", "network"])
def test_a_table_of_copies_tells_no_more_of_itself(member):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), rng.normal(size=60)
    density = StackingConditionalDensity([member], **SMALL)
    density.fit(np.tile(X, (3, 1)), np.tile(y, 3))
    assert density.member_rmse_[member] > 0.85 * y.std()


def test_contexts_that_repeat_do_not_give_away_what_is_left_out():
    rng = np.random.default_rng(0)
    X = np.eye(3)[np.arange(240) % 3]
    y, fresh = 3 * X[:, 0] + rng.normal(size=(2, 240))
    stack = StackingConditionalDensity(("gp", "trees"), n_members=1, random_state=0)
    assert abs(stack.fit(X, y).score(X, fresh) + stack.oof_nll_) < 0.15


def test_one_group_is_no_group():
    X, y = make_rows(80)
    with pytest.warns(UserWarning, match="one value only"):
        density = StackingConditionalDensity(QUICK, **SMALL).fit(
            X, y, groups=np.zeros(80)
        )
    assert np.isfinite(density.score(X, y))


class Faulty(RegressorMixin, BaseEstimator):
    """Raises, or predicts NaN."""

    def __init__(self, fault="raise"):
        self.fault = fault

    def fit(self, X, y):
        if self.fault == "raise":
            raise RuntimeError("no licence")
        return self

    def predict(self, X):
        return np.full(len(X), np.nan)


@pytest.mark.parametrize(("fault", "why"), [("raise", "no licence"), ("nan", "NaN")])
def test_a_member_that_fails_is_dropped_with_its_name(fault, why):
    X, y = make_rows(80)
    estimators = [("broken", Faulty(fault)), *QUICK]
    density = StackingConditionalDensity(estimators, **SMALL)
    with pytest.warns(UserWarning, match=f"'broken' was dropped.*{why}"):
        density.fit(X, y)
    assert density.member_names_ == ["gp", "ridge"]
    assert np.isfinite(density.score(X, y))


def test_all_members_may_fail():
    X, y = make_rows(60)
    density = StackingConditionalDensity([("broken", Faulty())], **SMALL)
    with pytest.warns(UserWarning, match="dropped"):
        density.fit(X, y)
    assert density.member_names_ == []
    assert np.isfinite(density.score(X, y))


def test_a_member_that_fails_later_is_named():
    X, y = make_rows(80)
    estimators = [("near", KNeighborsRegressor()), "gp"]
    density = StackingConditionalDensity(estimators, **SMALL).fit(X, y)
    near = density._model.members["near"].regressors[0]
    near.predict = lambda X: np.full(len(X), np.nan)
    with pytest.raises(ValueError, match="'near' predicts NaN"):
        density.predict(X)


@pytest.mark.parametrize(
    "estimators",
    [
        ["forest"],
        ["gp", "gp"],
        [("gp", Ridge())],
        [("stack", Ridge())],
        [("own", object())],
        [KernelDensity()],
    ],
)
def test_unknown_members_are_refused(estimators):
    X, y = make_rows(60)
    with pytest.raises((ValueError, TypeError), match="estimators"):
        StackingConditionalDensity(estimators, **SMALL).fit(X, y)


# Both stacks, and two estimators of the kind that each takes.
BOTH = [
    (StackingDensity, {}, GaussianMixture(2), KernelDensity()),
    (StackingConditionalDensity, SMALL, Ridge(), LinearRegression()),
]


@pytest.mark.parametrize(("stack", "params", "one", "other"), BOTH)
def test_both_stacks_take_estimators_with_and_without_names(stack, params, one, other):
    X, y = make_rows(60)
    names = [type(e).__name__.lower() for e in (one, other)]
    fits = [
        stack(estimators, **(params | {"random_state": 0})).fit(X, y)
        for estimators in (
            [one, other],
            (one, (names[1], other)),
            [[names[0], one], other],
        )
    ]
    scores = [np.append(fit.score(X, y), _names_of(fit)) for fit in fits]
    assert_array_equal(scores[0], scores[1])
    assert_array_equal(scores[0], scores[2])
    assert set(_names_of(fits[0])) <= set(names)
    twice = stack([one, clone(one), ("own", other)], **params).fit(X, y)
    numbered = {f"{names[0]}-1", f"{names[0]}-2", "own"}
    assert set(_names_of(twice)) <= numbered
    grid = {"estimators": [[one], [("own", other), one]]}
    GridSearchCV(stack(**params), grid, cv=2, error_score="raise").fit(X, y)


def _names_of(fit):
    """Return the names of the members of a fitted stack."""
    if isinstance(fit, StackingDensity):
        return [name for name, _ in fit.members_]
    return fit.member_names_


@pytest.mark.parametrize(("stack", "params", "one", "other"), BOTH)
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda one, other: [("a", one, 2)], "must be"),
        (lambda one, other: ["forest", one], "'forest'.*must be"),
        (lambda one, other: [type(one)], "estimators: .* is a class"),
        (lambda one, other: [(3, one)], "must be"),
        (lambda one, other: [None], "must be"),
        (lambda one, other: [("a", one), ("a", other)], "every name once"),
        (lambda one, other: [(type(one).__name__.lower(), other), one], "every name"),
        (lambda one, other: [one, StandardScaler()], "'standardscaler'.* (is|has no)"),
        (lambda one, other: one, "estimators"),
        (lambda one, other: "gp", "estimators"),
    ],
)
def test_both_stacks_refuse_what_is_no_estimator(
    stack, params, one, other, make, match
):
    X, y = make_rows(60)
    with pytest.raises((ValueError, TypeError), match=match):
        stack(make(one, other), **params).fit(X, y)


@pytest.mark.parametrize("estimators", [None, []])
def test_no_members_leave_networks(estimators):
    X, y = make_rows(80)
    density = StackingConditionalDensity(estimators, **SMALL).fit(X, y)
    assert density.pool_weights_ == {"stack": 1.0}
    assert np.isfinite(density.score(X, y))


def ugly(name):
    rng = np.random.default_rng(0)
    X, y = make_rows(70)
    return {
        "two rows": (X[:2], y[:2]),
        "few rows": (X[:12], y[:12]),
        "constant and double columns": (np.c_[X, X, np.ones(70)], y),
        "constant target": (X, np.full(70, 3.0)),
        "tied targets": (X, np.where(rng.uniform(size=70) < 0.88, 0.0, y)),
        "more columns than rows": (rng.normal(size=(60, 90)), y[:60]),
        "equal rows": (np.ones((60, 2)), y[:60]),
        "far units": (1e6 * X + 1e9, 1e-8 * y),
        "an outlier": (X, np.r_[y[:-1], 1e4]),
        "contexts that repeat": (rng.integers(3, size=(70, 1)) * 1.0, y),
    }[name]


@pytest.mark.filterwarnings("ignore:.*of the values of target:UserWarning")
@pytest.mark.parametrize(
    "name",
    [
        *("two rows", "few rows", "constant target", "equal rows", "far units"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                *("constant and double columns", "tied targets", "an outlier"),
                *("more columns than rows", "contexts that repeat"),
            )
        ),
    ],
)
def test_ugly_rows_have_finite_densities(name):
    X, y = ugly(name)
    few = {"max_iter": 5, "n_members": 2}
    density = StackingConditionalDensity(**SMALL | few).fit(X, y)
    log_prob = density.log_prob(np.r_[X, 100 * X], np.r_[y, y + y.std()])
    assert np.isfinite(log_prob).all()
    assert np.isfinite(density.predict(X)).all()
    assert np.isfinite(density.oof_nll_)


def test_ties_are_told():
    X, y = make_rows(60)
    with pytest.warns(UserWarning, match="repeat others"):
        density = StackingConditionalDensity(QUICK, **SMALL).fit(X, y.round())
    assert density.tie_share_ > 0.5


def test_rows_of_weight_zero_are_absent():
    X, y = make_rows(90)
    weight = np.r_[np.ones(70), np.zeros(20)]
    density = StackingConditionalDensity(QUICK, **SMALL)
    groups = np.arange(90) // 2
    first = density.fit(X, y, weight, groups=groups).log_prob(X, y)
    second = clone(density).fit(X[:70], y[:70], groups=groups[:70]).log_prob(X, y)
    assert_allclose(first, second)


@pytest.mark.filterwarnings("ignore:.*of the values of target:UserWarning")
@pytest.mark.parametrize("together", [False, True], ids=["alone", "groups"])
@pytest.mark.parametrize(
    "expert",
    ["gp", "trees", "boosting", "network", ("ridge", Ridge())],
    ids=str,
)
def test_weights_are_copies(expert, together):
    counts = np.random.default_rng(0).integers(0, 5, 70)
    X, y = make_rows(70)
    kept = np.repeat(np.arange(70), counts)
    new = make_rows(50, seed=1)
    density = StackingConditionalDensity([expert], **SMALL)
    groups = {"groups": np.arange(70) // 2} if together else {}
    weighted = density.fit(X, y, counts, **groups)
    groups = {"groups": kept // 2} if together else {}
    copied = clone(density).fit(X[kept], y[kept], **groups)
    # Rounding of the units may move a tree's threshold.
    atol = 0.05 if expert == "trees" else 1e-3
    assert_allclose(copied.log_prob(*new), weighted.log_prob(*new), atol=atol)
    assert copied.oof_nll_ == pytest.approx(weighted.oof_nll_, abs=0.2 * atol)


@pytest.mark.filterwarnings("ignore:.*of the values of target:UserWarning")
def test_regressors_without_weights_are_shown_the_copies():
    X, y = make_rows(60)
    counts = np.where(np.arange(60) < 20, 4, 1)
    kept = np.repeat(np.arange(60), counts)
    near = [("near", KNeighborsRegressor(3))]
    density = StackingConditionalDensity(near, **SMALL).fit(X[kept], y[kept])
    known = density._model.members["near"].regressors[0]
    assert known.n_samples_fit_ == len(kept)
    # No copy has seen another.
    assert density.member_rmse_["near"] > 0.1


@pytest.mark.filterwarnings("ignore:.*of the values of target:UserWarning")
def test_copies_teach_a_process_no_certainty():
    """Repeats of a context have noise between them, copies of a sample have none."""
    rng = np.random.default_rng(0)
    X, new = rng.uniform(-2, 2, size=(2, 150, 2))
    noise = 0.5 * rng.normal(size=(3, 150))
    y, truth = (np.sin(2 * C[:, 0]) + 0.5 * C[:, 1] for C in (X, new))
    density = StackingConditionalDensity(["gp"], **SMALL)
    errors = {}
    for name, targets in (
        ("once", y + noise[0]),
        ("copies", np.tile(y + noise[0], 3)),
        ("repeats", (y + noise).ravel()),
    ):
        density.fit(np.resize(X, (len(targets), 2)), targets)
        errors[name] = np.sqrt(np.mean((density.predict(new) - truth) ** 2))
        assert 0.4 < density.predict(new, return_std=True)[1].mean() < 0.9
    assert errors["copies"] == pytest.approx(errors["once"], rel=1e-3)
    assert errors["repeats"] < errors["once"]


@pytest.mark.filterwarnings("ignore:.*of the values of target:UserWarning")
def test_equal_samples_of_a_table_of_counts_are_no_copies():
    rng = np.random.default_rng(0)
    X = rng.integers(3, size=(300, 1)).astype(float)
    y = rng.poisson(2 + X[:, 0]).astype(float)
    density = StackingConditionalDensity(QUICK, **SMALL).fit(X, y)
    means = [y[X[:, 0] == value].mean() for value in range(3)]
    assert_allclose(density.predict(np.arange(3.0)[:, None]), means, atol=0.3)


def test_weights_count():
    """Of two populations the heavier one is believed."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 1))
    high = np.arange(200) % 2
    y = 3.0 * high + 0.1 * rng.normal(size=200)
    estimators = ["gp", "trees", "boosting", "network", ("line", LinearRegression())]
    density = StackingConditionalDensity(estimators, **SMALL)
    mean = density.fit(X, y, np.where(high, 9.0, 1.0)).predict(X).mean()
    assert_allclose(mean, 2.7, atol=0.3)
    rmse = density.member_rmse_
    assert all(value < 1.2 for value in rmse.values()), rmse


def test_several_targets():
    X, y = make_rows(90)
    Y = np.column_stack([y, y + X[:, 0], -y])
    density = StackingConditionalDensity(**SMALL).fit(X, Y)
    assert density.predict(X).shape == (90, 3)
    assert density.predict(X, return_cov=True)[1].shape == (90, 3, 3)
    assert density.predict_quantile(X[:5], [0.1, 0.5]).shape == (5, 3, 2)
    assert density.member_rmse_["trees"].shape == (3,)
    assert np.isfinite(density.score(X, Y))
    small = density.set_params(max_components=4)
    assert small.predict_mixture(X).n_components == 4
    assert np.isfinite(small.score(X, Y))


def test_units_change_only_the_unit_of_the_density():
    X, y = make_rows(100)
    density = StackingConditionalDensity(QUICK, **SMALL)
    first = density.fit(X, y).score(X, y)
    second = density.fit(1e3 * X - 7, 1e-2 * y + 5).score(1e3 * X - 7, 1e-2 * y + 5)
    assert_allclose(second, first - np.log(1e-2), atol=0.05)


def test_nothing_is_said_where_nothing_is_wrong():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        StackingConditionalDensity(QUICK, **SMALL).fit(*make_rows(60))


def test_of_noise_no_member_gives_away_what_is_left_out():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 2)), rng.normal(size=300)
    stack = StackingConditionalDensity(estimators=["gp"], random_state=0)
    stack.fit(X[:150], y[:150])
    assert 1.3 < stack.oof_nll_ < 1.6
    # That of the truth is 1.42.
    assert stack.score(X[150:], y[150:]) > -1.6

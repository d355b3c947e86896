"""Stacks of densities: that they are densities, honest, and no worse than known."""

import os
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import make_moons
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.model_selection import GroupKFold, KFold, TimeSeriesSplit
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmje import GaussianMixture, Mixture, TransformedDensity, as_mixture
from skgmje.compose import MarginalGaussianizer
from skgmje.ensemble import StackedMixture, StackingDensity
from skgmje.metrics import monte_carlo_kl

EFFORTS = import_module(StackingDensity.__module__).EFFORTS

MOONS = make_moons(120, noise=0.1, random_state=0)[0]
FEW = MOONS[:60]
CLOSED = ("identity", "marginal")
# One coordinate system, for what does not depend on how many there are.
SMALL = {"spaces": ("identity",), "random_state": 0}
REPEATS = "ignore:StackingDensity. .*columns:UserWarning"


def skewed(n_rows, n_features=2, seed=0):
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(size=(n_rows, n_features)))


def grid_integral(density, X, n_points=500, reach=6.0):
    """Integrate over two columns, one point drawn in each cell of a grid."""
    steps = np.linspace(-reach, reach, n_points)
    axes = X.mean(axis=0) + X.std(axis=0) * steps[:, None]
    cell = axes[1] - axes[0]
    points = np.stack(np.meshgrid(*axes.T, indexing="ij"), -1).reshape(-1, 2)
    rng = np.random.default_rng(0)
    points = points + cell * rng.uniform(-0.5, 0.5, size=points.shape)
    return np.exp(density.score_samples(points)).sum() * cell.prod()


@pytest.fixture(scope="module", autouse=True)
def _little_effort():
    """Try one setting of each size: what is tested does not depend on how many."""
    with pytest.MonkeyPatch.context() as patch:
        little = SimpleNamespace(
            n_seeds=1, n_members=4, settings=((2.0, 0.0, True),), max_iter=10
        )
        efforts = {name: little for name in EFFORTS}
        patch.setattr("skgmje.ensemble._stacking_density.EFFORTS", efforts)
        yield


@pytest.fixture(scope="module")
def moons():
    return StackingDensity(random_state=0).fit(MOONS)


@pytest.fixture(scope="module")
def closed():
    return StackingDensity(spaces=CLOSED, random_state=0).fit(skewed(120))


def test_integrates_to_one(moons):
    assert grid_integral(moons, MOONS) == pytest.approx(1, abs=2e-3)


def test_beats_its_members(moons):
    new = make_moons(2000, noise=0.1, random_state=1)[0]
    scores = [member.score(new) for _, member in moons.members_]
    # As good as the best of them, which nobody knows beforehand.
    assert moons.score(new) > max(scores) - 0.05
    assert moons.score(new) > np.mean(scores)


def test_attributes(moons):
    assert moons.weights_.sum() == pytest.approx(1)
    assert len(moons.members_) == len(moons.weights_)
    results = moons.cv_results_
    assert_allclose(np.sum(results["weight"]), 1)
    chosen = {n for n, w in zip(results["name"], results["weight"], strict=True) if w}
    assert chosen == {name for name, _ in moons.members_}
    scores = [
        np.log(weight) + member.score_samples(MOONS)
        for weight, (_, member) in zip(moons.weights_, moons.members_, strict=True)
    ]
    joint = np.logaddexp.reduce(scores)
    assert_allclose(moons.score_samples(MOONS), joint, atol=1e-9)
    assert_allclose(moons.predict_proba(MOONS), np.exp(scores - joint).T, atol=1e-9)
    assert_array_equal(moons.predict(MOONS), np.argmax(scores, axis=0))


def test_weights_recover_a_known_mixture():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2100, 2)), rng.normal(size=(900, 2))
    X = np.concatenate([first * [1, 0.1], second * [0.1, 1]])
    parts = [
        GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], [np.diag(variances)])
        for variances in ([1.0, 0.01], [0.01, 1.0], [25.0, 25.0])
    ]
    estimators = [(str(i), Known(part)) for i, part in enumerate(parts)]
    stack = StackingDensity(estimators=estimators, random_state=0).fit(X)
    weights = dict(zip((n for n, _ in stack.members_), stack.weights_, strict=True))
    assert weights.get("0", 0) == pytest.approx(0.7, abs=0.05)
    assert weights.get("1", 0) == pytest.approx(0.3, abs=0.05)
    assert weights.get("2", 0) < 0.02


class Known(BaseEstimator):
    """A density that learns nothing."""

    def __init__(self, density=None):
        self.density = density

    def fit(self, X, y=None, sample_weight=None):
        self.fitted_ = True
        return self

    def score_samples(self, X):
        return self.density.score_samples(X)

    def __sklearn_clone__(self):
        return type(self)(self.density)


class Memory(BaseEstimator):
    """A density that is very high on the rows it was fitted to."""

    def fit(self, X, y=None):
        self.rows_ = {tuple(row) for row in X}
        return self

    def score_samples(self, X):
        return np.array([30.0 if tuple(row) in self.rows_ else -30.0 for row in X])


class Watcher(TransformerMixin, BaseEstimator):
    """A transformer that leaks: it keeps the rows, and tells whether it knows new ones.

    Fitted inside the fold, it knows none of those held out.
    """

    def __init__(self, log=None):
        self.log = log

    def fit(self, X, y=None):
        self.seen_ = {tuple(row) for row in X}
        return self

    def transform(self, X):
        known = np.array([tuple(row) in self.seen_ for row in X])
        self.log.append(known)
        return X


class Watched(BaseEstimator):
    """A density behind a transformer that sees which rows pass."""

    def __init__(self, log=None):
        self.log = log

    def fit(self, X, y=None):
        self.transformer_ = Watcher(self.log).fit(X)
        self.density_ = GaussianMixture().fit(X)
        return self

    def score_samples(self, X):
        return self.density_.score_samples(self.transformer_.transform(X))

    def __sklearn_clone__(self):
        return type(self)(self.log)


@pytest.mark.filterwarnings(REPEATS)
@pytest.mark.parametrize("cv", [None, 4, KFold(3, shuffle=True, random_state=0)])
def test_fold_never_sees_its_own_rows(cv):
    log = []
    # Copies of rows are no news; a splitter decides alone.
    X = MOONS if isinstance(cv, KFold) else np.repeat(MOONS, 2, axis=0)
    estimators = [
        ("watched", Watched(log)),
        ("memory", Memory()),
        ("g", KernelDensity()),
    ]
    stack = StackingDensity(estimators=estimators, cv=cv, random_state=0).fit(X)
    assert sum(map(len, log)) == len(X)
    assert not np.concatenate(log).any()
    assert "memory" not in dict(stack.members_)


def test_transformer_that_leaks_from_outside_the_folds_is_caught():
    """Had it been fitted to all rows, every held-out row would be known to it."""
    log = []
    leak = Watcher(log).fit(MOONS)
    estimators = [("leak", Leaking(leak)), ("kernels", KernelDensity())]
    StackingDensity(estimators=estimators, cv=3, random_state=0).fit(MOONS)
    assert np.concatenate(log).all()


class Leaking(BaseEstimator):
    """A density behind a transformer that is never fitted inside a fold."""

    def __init__(self, transformer=None):
        self.transformer = transformer

    def fit(self, X, y=None):
        self.density_ = GaussianMixture().fit(X)
        return self

    def score_samples(self, X):
        return self.density_.score_samples(self.transformer.transform(X))

    def __sklearn_clone__(self):
        return type(self)(self.transformer)


def test_groups_are_held_out_together():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 6)
    X = rng.normal(size=(20, 2))[groups] + 1e-3 * rng.normal(size=(120, 2))
    alone = StackingDensity(**SMALL).fit(X)
    grouped = StackingDensity(**SMALL).fit(X, groups=groups.astype(str))
    new = rng.normal(size=(4000, 2))
    assert grouped.score(new) > alone.score(new) + 0.5
    by_splitter = StackingDensity(cv=GroupKFold(5), **SMALL).fit(X, groups=groups)
    assert by_splitter.score(new) > alone.score(new) + 0.5


ALL = np.arange(120)


@pytest.mark.parametrize(
    ("cv", "groups", "match"),
    [
        (None, 0 * ALL, "one group of samples"),
        (5, ALL % 3, "cv=5 must be at least 2 and at most 3"),
        (1, None, "'cv' parameter"),
        ([(ALL[:60], ALL[60:])], ALL % 3, "group it is fitted on"),
        ([(ALL[:60], ALL[50:])], None, "holds out samples it is fitted"),
        ([(ALL[:60], [])], None, "without samples"),
    ],
)
def test_folds_that_leak_or_are_empty(cv, groups, match):
    with pytest.raises(ValueError, match=match):
        StackingDensity(cv=cv).fit(MOONS, groups=groups)


def test_two_groups_are_enough_and_time_series_splits_too():
    stack = StackingDensity(**SMALL).fit(MOONS, groups=ALL % 2)
    assert np.isfinite(stack.score(MOONS))
    stack = StackingDensity(cv=TimeSeriesSplit(3), **SMALL).fit(MOONS)
    assert stack.cv_results_["n_test"].max() == 90


def test_same_bits_for_any_number_of_jobs(moons):
    fitted = clone(moons).set_params(n_jobs=2).fit(MOONS)
    assert_array_equal(fitted.score_samples(MOONS), moons.score_samples(MOONS))


@pytest.mark.slow
def test_same_bits_from_threads(moons):
    with parallel_config("threading", n_jobs=2):
        fitted = clone(moons).fit(MOONS)
    assert_array_equal(fitted.score_samples(MOONS), moons.score_samples(MOONS))


def test_global_random_state_is_untouched():
    # Without a seed it is read, as scikit-learn's estimators do.
    _, before, position, *_ = np.random.mtrand._rand.get_state()
    StackingDensity(**SMALL).fit(MOONS[:60]).sample(3)
    _, after, moved, *_ = np.random.mtrand._rand.get_state()
    assert_array_equal(after, before)
    assert moved == position


def test_members_of_the_users_and_their_randomness():
    estimators = [
        ("theirs", SklearnMixture(4)),
        ("kernels", KernelDensity(bandwidth=0.2)),
        ("scores", TransformedDensity(MarginalGaussianizer(), GaussianMixture(4))),
    ]
    stack = StackingDensity(estimators=estimators, random_state=0)
    scores = [clone(stack).fit(MOONS).score_samples(MOONS) for _ in range(2)]
    assert_array_equal(*scores)
    assert estimators[0][1].random_state is None
    assert stack.fit(MOONS).sample(7, random_state=1)[0].shape == (7, 2)


def test_failing_members_are_dropped_and_named():
    class Failing(GaussianMixture):
        def fit(self, X, y=None, sample_weight=None):
            raise ValueError("no luck today")

    class Infinite(GaussianMixture):
        def score_samples(self, X):
            return np.full(len(X), np.inf)

    good = ("good", GaussianMixture(3, random_state=0))
    stack = StackingDensity(
        estimators=[("bad", Failing()), ("endless", Infinite()), good], random_state=0
    )
    with pytest.warns(UserWarning, match=r"2 of 3 .*bad: ValueError: no luck.*endless"):
        stack.fit(MOONS)
    assert [name for name, _ in stack.members_] == ["good"]
    with pytest.raises(ValueError, match="Every member of the stack failed"):
        StackingDensity(estimators=[("bad", Failing())] * 1 + [("b", Failing())]).fit(
            MOONS
        )


def test_members_without_tails():
    narrow = ("narrow", KernelDensity(kernel="tophat", bandwidth=0.1))
    wide = ("wide", GaussianMixture())
    stack = StackingDensity(estimators=[narrow, wide], random_state=0).fit(MOONS)
    assert np.isfinite(stack.score(MOONS + 1))
    twice = [narrow, ("other", clone(narrow[1]))]
    with pytest.raises(ValueError, match="density zero"):
        StackingDensity(estimators=twice, random_state=0).fit(100 * MOONS[::6])


@pytest.mark.parametrize(
    ("estimators", "error", "match"),
    [
        ([], ValueError, "at least one density"),
        ([("a", GaussianMixture())] * 2, ValueError, "every name once"),
        ([("a", StandardScaler())], TypeError, "no method score_samples"),
        (
            [("a", make_pipeline(StandardScaler(), KernelDensity()))],
            TypeError,
            "drops the Jacobian",
        ),
    ],
)
def test_wrong_estimators(estimators, error, match):
    with pytest.raises(error, match=match):
        StackingDensity(estimators=estimators).fit(MOONS)


def test_weights_must_be_known_to_members():
    stack = StackingDensity(estimators=[("a", SklearnMixture())])
    with pytest.raises(TypeError, match="takes no sample_weight"):
        stack.fit(MOONS, sample_weight=np.ones(len(MOONS)))


@pytest.mark.filterwarnings(REPEATS)
def test_weights_are_copies():
    counts = np.random.default_rng(0).integers(0, 3, len(MOONS))
    stack = StackingDensity(**SMALL)
    weighted = clone(stack).fit(MOONS, sample_weight=counts)
    copied = clone(stack).fit(np.repeat(MOONS, counts, axis=0))
    assert_allclose(weighted.score_samples(MOONS), copied.score_samples(MOONS))


def test_unknown_space():
    with pytest.raises(ValueError, match="spaces="):
        StackingDensity(spaces=("polar",)).fit(MOONS)


def test_one_mixture_if_all_are_in_the_same_coordinates():
    stack = StackingDensity(**SMALL).fit(MOONS)
    mixture = as_mixture(stack)
    assert isinstance(mixture, Mixture)
    assert_allclose(mixture.log_prob(MOONS), stack.score_samples(MOONS))
    assert isinstance(stack.marginal([1]), Mixture)
    assert stack.condition([0], [0.0]).n_features == 1


def test_of_others_one_mixture_if_they_are_mixtures():
    estimators = [
        ("full", SklearnMixture(3, random_state=0)),
        ("diag", GaussianMixture(6, covariance_type="diag", random_state=0)),
        ("kernels", KernelDensity(bandwidth=0.4)),
    ]
    stack = StackingDensity(estimators=estimators, random_state=0).fit(MOONS)
    assert len(stack.members_) > 1
    log_prob = as_mixture(stack).log_prob(MOONS)
    assert_allclose(log_prob, stack.score_samples(MOONS), atol=1e-7)


def test_one_kernel_density_has_conditionals_too():
    stack = StackingDensity([KernelDensity(bandwidth=0.4)], random_state=0).fit(FEW)
    one = stack.condition([0], FEW[0, :1])
    many = stack.condition([0], FEW[:3, :1])
    assert_allclose(one.log_prob(FEW[:1, 1:]), many.log_prob(FEW[:3, 1:])[:1])


def test_no_mixture_elsewhere_but_a_way_to_compare(closed):
    with pytest.raises(TypeError, match="monte_carlo_kl"):
        as_mixture(closed)
    value, error = monte_carlo_kl(closed, closed, n_samples=50, random_state=0)
    assert value == error == 0


def test_no_marginals_of_residuals():
    x = np.random.default_rng(0).uniform(0, 6, size=(150, 1))
    noise = 0.05 * np.random.default_rng(1).normal(size=(150, 1))
    stack = StackingDensity(spaces=("residual",), random_state=0)
    stack.fit(np.hstack([x, np.sin(x) + noise]))
    assert any(name.startswith("residual") for name, _ in stack.members_)
    with pytest.raises(TypeError, match="residual coordinates"):
        stack.marginal([0])


def test_residuals_alone_are_normal_scores_where_nothing_is_predictable():
    stacks = [
        StackingDensity(spaces=(space,), random_state=0).fit(skewed(80))
        for space in ("residual", "marginal")
    ]
    scores = [stack.score(skewed(500, seed=1)) for stack in stacks]
    assert scores[0] == pytest.approx(scores[1], abs=0.2)


def test_marginal_and_conditional_of_several_coordinates(closed):
    X = skewed(50, seed=1)
    marginal, given = closed.marginal([0]), closed.condition([0], X[:, :1])
    assert isinstance(marginal, StackedMixture)
    parts = marginal.log_prob(X[:, :1]) + given.log_prob(X[:, 1:])
    assert_allclose(parts, closed.score_samples(X))
    rows, part = given.sample(2000, random_state=0)
    assert rows.shape == (2000, 50, 1)
    assert part.shape == (2000, 50)
    one = closed.condition([0], X[0, :1])
    assert one.log_prob(X[:, 1:]).shape == (50,)
    assert_allclose(one.log_prob(X[:1, 1:]), given.log_prob(X[:, 1:])[:1])


def test_ties_are_told_and_spread():
    X = np.column_stack([MOONS[:, 0], np.round(MOONS[:, 1])])
    with pytest.warns(UserWarning, match=r"columns 1 \(.*repeat"):
        tied = StackingDensity(**SMALL).fit(X)
    assert tied.tie_share_[1] > 0.8
    assert tied.dequantized_columns_ == []
    spread = StackingDensity(dequantize=True, **SMALL).fit(X)
    assert spread.dequantized_columns_ == [1]
    # What ties seem to be worth is the depth of the regularisation.
    assert tied.score(X) > spread.score(X) + 2


@pytest.mark.filterwarnings(REPEATS)
@pytest.mark.parametrize(
    "X",
    [
        MOONS[:2],
        MOONS[:7],
        MOONS[:30],
        MOONS[:, :1],
        np.column_stack([FEW, np.ones(len(FEW))]),
        np.column_stack([FEW, FEW[:, 0]]),
        FEW.reshape(30, 4) @ np.random.default_rng(0).normal(size=(4, 40)),
        np.repeat(MOONS[:20], 12, axis=0),
        np.ones((40, 2)),
        1e8 + 1e-3 * FEW,
        np.random.default_rng(0).integers(0, 3, size=(200, 4)).astype(float),
    ],
    ids=[
        "two rows",
        "seven rows",
        "thirty rows",
        "one column",
        "constant column",
        "copy of a column",
        "more columns than rows",
        "copies of rows",
        "one row in copies",
        "far away",
        "bits",
    ],
)
def test_ugly_rows(X):
    stack = StackingDensity(random_state=0).fit(X)
    assert np.isfinite(stack.score_samples(X)).all()
    far = X.mean(axis=0) + 1e3 * (X.std(axis=0) + 1)
    assert np.isfinite(stack.score_samples(far[None])).all()
    assert np.isfinite(stack.sample(5, random_state=0)[0]).all()


def test_single_precision():
    X = FEW.astype(np.float32)
    stack = StackingDensity(**SMALL).fit(X)
    assert stack.score_samples(X).dtype == np.float32


def test_progress_is_told(capsys):
    StackingDensity(spaces=("identity",), verbose=1).fit(MOONS[:60])
    assert "[StackingDensity: selection] step" in capsys.readouterr().out


@pytest.mark.slow
def test_more_effort_is_no_worse(monkeypatch):
    monkeypatch.setattr("skgmje.ensemble._stacking_density.EFFORTS", EFFORTS)
    new = make_moons(2000, noise=0.1, random_state=1)[0]
    scores = [
        StackingDensity(effort=effort, **SMALL).fit(MOONS).score(new)
        for effort in ("fast", "thorough")
    ]
    assert scores[1] > scores[0] - 0.03


class Noted(SklearnMixture):
    """A mixture that notes in a folder which process fits it."""

    def __init__(self, folder=None, *, random_state=None):
        super().__init__(2, random_state=random_state)
        self.folder = folder

    def fit(self, X, y=None):
        (self.folder / str(os.getpid())).touch()
        return super().fit(X)


def _processes(folder, n_jobs=2):
    members = [(name, Noted(folder, random_state=0)) for name in "ab"]
    StackingDensity(members, cv=2, n_jobs=n_jobs, random_state=0).fit(MOONS)
    return os.getpid(), {int(path.name) for path in folder.iterdir()}


@pytest.mark.slow
def test_jobs_are_processes_but_workers_start_none(tmp_path):
    own, found = _processes(tmp_path)
    assert own not in found
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    for own, found in Parallel(n_jobs=2)(map(delayed(_processes), folders)):
        assert found == {own}

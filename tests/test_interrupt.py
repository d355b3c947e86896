"""Ctrl-C: what was learned is kept, and whoever called fit stops."""

import pickle
import signal
import sys
import threading
import time
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from joblib import parallel_config
from numpy.testing import assert_array_equal
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback

import skgmje
from skgmje import (
    ConditionalMixtureDensity,
    DensityOutlierDetector,
    GaussianMixture,
    GJEEmbedder,
    GMJEEmbedder,
    GrowingNeuralGasMixture,
    KernelDecoder,
    KernelMixtureDensity,
    MixtureClassifier,
    MixtureImputer,
    StackingConditionalDensity,
    StackingDensity,
    StudentMixture,
    TransformedDensity,
)

# Inside: an interrupt comes in the middle of a step.
from skgmje._callbacks import EstimatorMixin
from skgmje._training._loop import _MixtureNet
from skgmje.compose import (
    GaussianMixtureCopula,
    MarginalGaussianizer,
    ResidualCoordinates,
)
from skgmje.conditional import TrainedModule, _stack_model
from skgmje.em import _em
from skgmje.embedding import MLP
from skgmje.ensemble import _recipe
from skgmje.mixture import _gas_fit, _gaussian_mixture, _neural_gas_mixture
from skgmje.modules import Prototypes
from skgmje.utils import all_estimators
from tests.sources import make_source, targets_of

X = np.random.RandomState(0).normal(size=(120, 3))
y = X[:, 0] + 0.1 * np.random.RandomState(1).normal(size=120)
NET = {"max_iter": 8, "hidden_layer_sizes": (8,), "random_state": 0}
ENCODER = {"max_iter": 8, "encoder": MLP((8,)), "random_state": 0}
# Eight iterations and not one less.
EM = GaussianMixture(3, tol=0, max_iter=8, init_params="random", random_state=0)
FIXED = {"covariance_type": "full", "shrinkage": 2}
TWO = [("two", GaussianMixture(2, random_state=0)), ("three", clone(EM))]
SOURCES = ("auto", "memory-bank", "network", "neural-gas", "prototypes")


def conditional(source):
    params = {"n_components": 2, "n_members": 2, "tol": 0, **FIXED, **NET}
    source = make_source(source, **params) if isinstance(source, str) else source
    return ConditionalMixtureDensity(source, random_state=0)


ALL = {
    "ConditionalMixtureDensity": conditional("network"),
    "DensityOutlierDetector": DensityOutlierDetector(EM, random_state=0),
    "GJEEmbedder": GJEEmbedder(2, **ENCODER),
    "GMJEEmbedder": GMJEEmbedder(2, mixture=GaussianMixture(2), **ENCODER),
    "GaussianMixture": clone(EM).set_params(n_init=2),
    "GaussianMixtureCopula": GaussianMixtureCopula(EM),
    "GrowingNeuralGasMixture": GrowingNeuralGasMixture(8, random_state=0, **FIXED),
    "KernelDecoder": KernelDecoder(2, n_components=2, **NET),
    "KernelMixtureDensity": KernelMixtureDensity(
        4, max_iter=8, random_state=0, **FIXED
    ),
    "MarginalGaussianizer": MarginalGaussianizer(),
    "MixtureClassifier": MixtureClassifier(2, tol=0, max_iter=8, random_state=0),
    "MixtureImputer": MixtureImputer(EM, random_state=0),
    "ResidualCoordinates": ResidualCoordinates(),
    "StackingConditionalDensity": StackingConditionalDensity(
        ["gp"], n_members=1, n_folds=2, **NET
    ),
    "StackingDensity": StackingDensity(estimators=TWO, cv=2, random_state=0),
    "StudentMixture": StudentMixture(3, tol=0, max_iter=8, random_state=0),
    "TransformedDensity": TransformedDensity(MarginalGaussianizer(), EM),
}
FITS = ALL | {f"source-{source}": conditional(source) for source in SOURCES}
JOINT = Prototypes(2, 4, torch.Generator(), covariance_type="diag")
FITS["source-module"] = conditional(TrainedModule(JOINT, max_iter=8))


@pytest.fixture(autouse=True)
def _hears_signals():
    """Let Ctrl-C be heard, which shells tell processes in the background to ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Interrupter:
    """Sends Ctrl-C at given calls of a function, or of any function of the package."""

    def __init__(self, *at):
        self.at, self.n_calls = at, 0

    def tick(self):
        self.n_calls += 1
        if self.n_calls in self.at:
            signal.raise_signal(signal.SIGINT)

    def __call__(self, frame, event, arg):
        if event == "call" and "/skgmje/" in frame.f_code.co_filename:
            self.tick()

    @classmethod
    def of(cls, monkeypatch, owner, name, *at):
        function, self = getattr(owner, name), cls(*at)

        def interrupted(*args, **kwargs):
            self.tick()
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, interrupted)
        return self

    @property
    def has_fired(self):
        return self.n_calls >= self.at[0]


def fit(estimator, data=X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            estimator.fit(data, targets_of(estimator, y))
            if _needs_y(estimator)
            else estimator.fit(data)
        )


def _needs_y(estimator):
    return hasattr(estimator, "log_prob") or is_classifier(estimator)


def profiled(estimator, interrupter, data=X):
    """Fit under the eyes of an interrupter; return the exception, if there is one."""
    sys.setprofile(interrupter)
    try:
        fit(estimator, data)
    except KeyboardInterrupt as stop:
        return stop
    finally:
        sys.setprofile(None)
    return None


def answer(estimator):
    """Return an answer of an estimator that is fitted, or None."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return None
    if hasattr(estimator, "predict_mixture"):
        mixture = estimator.predict_mixture(X[:9])
        # That of an embedder has as many features as the embedding.
        return mixture.log_prob(np.repeat(y[:9, None], mixture.n_features, axis=1))
    if hasattr(estimator, "score_samples"):
        return estimator.score_samples(X[:9])
    return estimator.transform(X[:9])


def check_kept(estimator, tmp_path=None):
    found = answer(estimator)
    assert found is not None
    assert np.isfinite(found).all()
    assert_array_equal(answer(pickle.loads(pickle.dumps(estimator))), found)
    if tmp_path is not None:
        estimator.save(tmp_path / "file")
        assert_array_equal(answer(skgmje.load(tmp_path / "file")), found)


def test_no_estimator_is_left_out():
    assert sorted(ALL) == [name for name, _ in all_estimators()]


# The conditional density of `ALL` is that of a network.
OTHERS = [name for name in FITS if name not in {*ALL, "source-network"}]


@pytest.mark.parametrize(
    "name", [*ALL, *(pytest.param(n, marks=pytest.mark.slow) for n in OTHERS)]
)
def test_wherever_it_comes_all_is_kept_or_all_is_as_before(name):
    count = Interrupter(-1)
    assert profiled(clone(FITS[name]), count) is None
    fitted = fit(clone(FITS[name]), X[::-1] + 1)
    before = answer(fitted)
    for share in (0.3, 0.6, 0.9):
        at = int(share * count.n_calls) + 1
        # The second one comes while the fit ends, or not at all.
        for calls in ((at,), (at, at + 30)):
            fresh, again = clone(FITS[name]), pickle.loads(pickle.dumps(fitted))
            for estimator in (fresh, again):
                interrupter = Interrupter(*calls)
                stop = profiled(estimator, interrupter)
                assert interrupter.has_fired
                assert stop is not None, "Ctrl-C was swallowed"
            if answer(fresh) is None:
                assert "is kept" not in str(stop)
                assert vars(fresh).keys() == vars(clone(FITS[name])).keys()
                assert_array_equal(answer(again), before)
            else:
                assert "nothing" not in str(stop)
                check_kept(fresh)
                assert_array_equal(answer(again), answer(fresh))


@pytest.mark.parametrize(
    ("name", "owner", "function", "when"),
    [
        ("GaussianMixture", _em, "e_step", "after 4 iterations of EM"),
        ("TransformedDensity", _em, "e_step", "after 4 iterations of EM"),
        ("DensityOutlierDetector", _em, "e_step", "after 4 iterations of EM"),
        ("source-prototypes", _em, "e_step", "iterations of EM"),
        ("source-auto", _em, "e_step", ""),
        ("KernelMixtureDensity", _em, "e_step", "after 4 iterations of EM"),
        ("KernelMixtureDensity", _MixtureNet, "_begin_step", "at step 4 of 8"),
        ("GJEEmbedder", _MixtureNet, "_begin_step", "at step 4 of 8"),
        ("GMJEEmbedder", _MixtureNet, "_begin_step", "at step 4 of 8"),
        ("KernelDecoder", _MixtureNet, "_begin_step", "at step 4 of 8"),
        ("source-network", _MixtureNet, "_begin_step", "at step 4 of 8"),
        ("source-auto", _MixtureNet, "_begin_step", "at step 4 of 8"),
        ("source-module", _MixtureNet, "_begin_step", "at step 4 of 8"),
        ("GrowingNeuralGasMixture", _gas_fit, "refine_gas", "that a gas is shown"),
        (
            "StackingDensity",
            _recipe,
            "_fit_estimator",
            "with 1 of 2 tasks",
        ),
        ("StackingConditionalDensity", _stack_model, "train_stack", "a network"),
    ],
)
def test_what_was_learned_is_kept(monkeypatch, tmp_path, name, owner, function, when):
    at = {"refine_gas": 1, "train_stack": 1, "_fit_estimator": 6}.get(function, 5)
    estimator = clone(FITS[name])
    if name == "source-prototypes":
        # Its folds come before.
        with monkeypatch.context() as patch:
            count = Interrupter.of(patch, owner, function, -1)
            fit(clone(estimator))
        at = count.n_calls - 2
    interrupter = Interrupter.of(monkeypatch, owner, function, at)
    if name == "source-auto" and owner is _em:
        # In the search before, or in the first EM after it.
        interrupter.at = (1,)
    with pytest.raises(KeyboardInterrupt) as stop:
        fit(estimator)
    if "nothing" in str(stop.value):
        assert name == "source-auto"
        assert answer(estimator) is None
        return
    assert type(estimator).__name__ in str(stop.value)
    assert when in str(stop.value)
    # A file does not hold the user's module.
    check_kept(estimator, None if name == "source-module" else tmp_path)


def test_of_several_starts_the_best_is_kept(monkeypatch):
    interrupter = Interrupter.of(monkeypatch, _em, "e_step", 9)
    estimator = clone(EM).set_params(n_init=3)
    with pytest.raises(KeyboardInterrupt, match="n_init=3"):
        fit(estimator)
    assert interrupter.n_calls == 9
    assert_array_equal(answer(estimator), answer(fit(clone(EM))))


@pytest.mark.parametrize("owner", [_gaussian_mixture, _neural_gas_mixture])
def test_a_chunk_counts_as_a_whole_or_not_at_all(monkeypatch, owner):
    name, estimator = "node_statistics", clone(ALL["GrowingNeuralGasMixture"])
    if owner is _gaussian_mixture:
        name, estimator = "maximise", GaussianMixture(2, random_state=0)
    estimator.partial_fit(X[:60])
    before = answer(estimator)
    Interrupter.of(monkeypatch, owner, name, 1)
    with pytest.raises(KeyboardInterrupt, match="nothing to keep"):
        estimator.partial_fit(X[60:])
    assert_array_equal(answer(estimator), before)
    undisturbed = clone(estimator).partial_fit(X[:60]).partial_fit(X[60:])
    assert_array_equal(answer(estimator.partial_fit(X[60:])), answer(undisturbed))


SEARCHES = {
    "grid": partial(GridSearchCV, EM, {"n_components": [2, 3]}, cv=2),
    "pipeline": partial(make_pipeline, EM),
    "searched member": lambda: StackingDensity(
        estimators=[("a", GridSearchCV(EM, {"n_components": [2]}, cv=2)), *TWO], cv=2
    ),
    "searched density": lambda: DensityOutlierDetector(
        GridSearchCV(EM, {"n_components": [2]}, cv=2)
    ),
    "selection": lambda: GaussianMixture("auto", random_state=0),
    "joint selection": lambda: conditional("prototypes").set_params(
        source__n_components="auto"
    ),
    "members": lambda: StackingDensity(estimators=TWO, cv=2),
    "members in threads": lambda: StackingDensity(estimators=TWO, cv=2, n_jobs=2),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_stops_and_ranks_nothing(monkeypatch, name):
    interrupter = Interrupter.of(monkeypatch, _em, "e_step", 4)
    search = SEARCHES[name]()
    # Processes do not know what is replaced here.
    with parallel_config("threading"), pytest.raises(KeyboardInterrupt):
        fit(search)
    if name != "members in threads":
        assert interrupter.n_calls == 4
    assert not hasattr(search, "best_score_")
    if isinstance(search, EstimatorMixin):
        with pytest.raises(NotFittedError):
            check_is_fitted(search)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_stack_keeps_its_whole_members(monkeypatch, n_jobs):
    stack = clone(ALL["StackingConditionalDensity"]).set_params(n_jobs=n_jobs)
    Interrupter.of(monkeypatch, _MixtureNet, "_begin_step", 3)
    if n_jobs == 2:
        # Signals reach the first thread only, in which no network is trained.
        def begin(self):
            raise KeyboardInterrupt

        monkeypatch.setattr(_MixtureNet, "_begin_step", begin)
    # Processes do not know what is replaced here.
    with parallel_config("threading"):
        with pytest.raises(KeyboardInterrupt, match="is kept"):
            fit(stack)
    check_kept(stack)
    assert stack.member_names_ == ["gp"]


class Stopped(Ridge):
    """A regressor that Ctrl-C finds at work when the process is done."""

    done = threading.Event()

    def fit(self, X, y):
        assert self.done.wait(60)
        # Until the result of the process has arrived.
        time.sleep(0.3)
        raise KeyboardInterrupt


def test_whole_members_are_kept_whichever_began_first(monkeypatch):
    Stopped.done.clear()

    def fit_processes(*args, known=_stack_model.MEMBERS["gp"]):
        found = known(*args)
        Stopped.done.set()
        return found

    monkeypatch.setitem(_stack_model.MEMBERS, "gp", fit_processes)
    stack = clone(ALL["StackingConditionalDensity"])
    stack.set_params(estimators=[("stopped", Stopped()), "gp"], n_jobs=2)
    with parallel_config("threading"):
        with pytest.raises(KeyboardInterrupt, match="1 of 2 tasks of members"):
            fit(stack)
    check_kept(stack)
    assert stack.member_names_ == ["gp"]


def test_members_in_the_coordinates_before_are_kept(monkeypatch):
    stack = StackingDensity(spaces=("identity", "marginal"), random_state=0)
    with monkeypatch.context() as patch:
        count = Interrupter.of(patch, _recipe, "_fits", -1)
        members = fit(clone(stack), X[:60]).members_
    n_marginal = len({name for name, _ in members if name.startswith("marginal")})
    Interrupter.of(monkeypatch, _recipe, "_fits", count.n_calls - n_marginal + 1)
    with pytest.raises(KeyboardInterrupt, match=r"before one of 2 tasks.*is kept"):
        fit(stack, X[:60])
    check_kept(stack)
    assert n_marginal == 2
    assert [n for n, _ in stack.members_] == [n for n, _ in members if "ident" in n]


def test_an_error_of_what_was_cut_short_is_no_reason_to_go_on(monkeypatch):
    def broken(*args):
        raise ValueError("too little")

    Interrupter.of(monkeypatch, _em, "e_step", 4)
    monkeypatch.setattr("skgmje.compose._transformed.image_mass", broken)
    with pytest.raises(KeyboardInterrupt, match="nothing to keep"):
        fit(clone(ALL["TransformedDensity"]))


def test_errors_leave_an_earlier_fit_alone():
    fitted = fit(clone(EM))
    before = answer(fitted)
    with pytest.raises(ValueError, match="n_samples"):
        fitted.set_params(init_params="kmeans").fit(X[:2, :2])
    assert_array_equal(answer(fitted), before)


def test_gradients_are_recorded_again_after_an_interruption(monkeypatch):
    """Ctrl-C may come while torch leaves a block without gradients."""
    leave = torch.no_grad.__exit__

    def interrupted(self, *args):
        monkeypatch.setattr(torch.no_grad, "__exit__", leave)
        raise KeyboardInterrupt

    estimator = clone(ALL["GJEEmbedder"])
    monkeypatch.setattr(torch.no_grad, "__exit__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X)
    assert torch.is_grad_enabled()


class Slow(Callback):
    """Is interrupted from outside while it works."""

    def on_epoch_end(self, net, **kwargs):
        signal.raise_signal(signal.SIGINT)


def test_a_signal_inside_a_callback_is_no_wish_of_the_callback():
    estimator = clone(ALL["GJEEmbedder"])
    estimator.set_params(trainer={"callbacks": [Slow()]})
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X)

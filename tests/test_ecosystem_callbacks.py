"""Callbacks of scikit-learn 1.9 and of skorch hear of fits, and may end them."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Checkpoint, EarlyStopping, LRScheduler

from skgmje import (
    ConditionalMixtureDensity,
    DensityOutlierDetector,
    GaussianMixture,
    GaussianMixtureCopula,
    GJEEmbedder,
    GMJEEmbedder,
    GrowingNeuralGasMixture,
    KernelDecoder,
    KernelMixtureDensity,
    StackingConditionalDensity,
    TransformedDensity,
)
from skgmje.embedding import MLP
from skgmje.ensemble import StackingDensity
from skgmje.mixture import GasGrowth, MixtureClassifier, StudentMixture
from skgmje.utils import all_estimators
from tests.sources import make_source, targets_of

try:
    from sklearn.callback import ProgressBar, ScoringMonitor
except ImportError:
    ProgressBar = None

needs_callbacks = pytest.mark.skipif(
    ProgressBar is None, reason="callbacks came with scikit-learn 1.9"
)
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skgmje.embedding.CollapseWarning"),
]

NETWORK = {"max_iter": 6, "hidden_layer_sizes": (8,), "random_state": 0}
ENCODER = {"max_iter": 6, "encoder": MLP((8,)), "random_state": 0}
EM = {"tol": 0, "max_iter": 4, "random_state": 0}
TRAINED = {
    "ConditionalMixtureDensity": ConditionalMixtureDensity(
        make_source("network", n_members=2, **NETWORK), random_state=0
    ),
    "GJEEmbedder": GJEEmbedder(2, **ENCODER),
    "GMJEEmbedder": GMJEEmbedder(2, mixture=GaussianMixture(2), **ENCODER),
    "KernelDecoder": KernelDecoder(2, **NETWORK),
    "KernelMixtureDensity": KernelMixtureDensity(3, tol=0, max_iter=6, random_state=0),
}
# Name and number of the steps that a fit tells of.
STEPS = {name: (estimator, "epoch", 6) for name, estimator in TRAINED.items()} | {
    "DensityOutlierDetector": (
        DensityOutlierDetector(random_state=0),
        "fit-density",
        1,
    ),
    "GaussianMixture": (GaussianMixture(3, **EM), "iteration", 4),
    "GrowingNeuralGasMixture": (
        GrowingNeuralGasMixture(
            10,
            refine=GaussianMixture(shrinkage="auto", reg_covar="auto", **EM),
            growth=GasGrowth(insertion_interval=20),
            random_state=0,
        ),
        "iteration",
        4,
    ),
    "MixtureClassifier": (
        MixtureClassifier(
            2, covariance_type="full", shrinkage=2, tol=0, max_iter=4, random_state=0
        ),
        "iteration",
        4,
    ),
    "StackingConditionalDensity": (
        StackingConditionalDensity(["gp"], n_members=2, **NETWORK),
        "part",
        3,
    ),
    "StackingDensity": (
        StackingDensity(
            estimators=[("one", GaussianMixture()), ("two", GaussianMixture(2))],
            random_state=0,
        ),
        "selection",
        1,
    ),
    "StudentMixture": (StudentMixture(3, **EM), "iteration", 4),
    "GaussianMixtureCopula": (
        GaussianMixtureCopula(GaussianMixture()),
        "fit-density",
        1,
    ),
    "TransformedDensity": (
        TransformedDensity(StandardScaler(), GaussianMixture()),
        "fit-density",
        1,
    ),
}

CLASSES = dict(all_estimators())
SCORED = [name for name, cls in CLASSES.items() if hasattr(cls, "score")]

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 2))
y = X[:, 0] + 0.1 * rng.normal(size=60)


class Listener:
    """Count tasks, and ask to stop after some of them."""

    def __init__(self, patience=np.inf):
        self.patience = patience
        self.ended = []
        self.open = 0

    def setup(self, estimator, context):
        self.largest = context.max_subtasks

    def teardown(self, estimator, context):
        assert self.open == 0

    def on_fit_task_begin(self, estimator, context):
        self.open += 1

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.open -= 1
        self.ended.append(context.task_name)
        if fitted_estimator is not None:
            fitted_estimator.score(X, targets_of(fitted_estimator, y))
        return len(self.ended) >= self.patience


def monitor():
    """Return a ScoringMonitor that uses the score of the estimator."""
    return ScoringMonitor(
        scoring=lambda e, X, y, **params: {"score": e.score(X, y, **params)}
    )


@needs_callbacks
@pytest.mark.parametrize("name", STEPS)
def test_listeners_hear_of_each_step(name):
    estimator, step, n_steps = STEPS[name]
    listener = Listener()
    clone(estimator).set_callbacks(listener).fit(X, targets_of(estimator, y))
    assert listener.ended == [step] * n_steps + ["fit"]
    assert listener.largest is None or listener.largest >= n_steps


@needs_callbacks
@pytest.mark.parametrize("name", [*TRAINED, "GaussianMixture"])
def test_listeners_may_end_a_fit(name):
    estimator, step, _ = STEPS[name]
    listener = Listener(patience=3)
    fitted = clone(estimator).set_callbacks(listener).fit(X, y)
    assert listener.ended == [step] * 3 + ["fit"]
    assert fitted.n_iter_ == 3
    assert np.isfinite(fitted.score(X, y))


@needs_callbacks
def test_monitor_scores_each_iteration_of_em():
    scores = monitor()
    density = GaussianMixture(3, **EM).set_callbacks(scores)
    weight = rng.uniform(0.5, 1.5, size=60)
    density.fit(X, y, sample_weight=weight)
    found = [row["score"] for row in scores.get_logs().data]
    assert found[0] == density.score(X, y, weight)  # of the fit
    np.testing.assert_allclose(found[1:4], density.lower_bounds_[1:])
    assert found[4] == found[0]


@needs_callbacks
@pytest.mark.parametrize("name", SCORED)
def test_monitor_and_progress_bar_follow_pipelines_and_searches(name, capsys):
    estimator = clone(STEPS[name][0]) if name in STEPS else CLASSES[name]()
    scores = monitor()
    pipeline = make_pipeline(StandardScaler(), estimator.set_callbacks(scores))
    targets = targets_of(estimator, y)
    pipeline.set_callbacks(ProgressBar()).fit(X, targets)
    assert scores.get_logs().data[0]["task_name"] == "fit"
    assert f"{name} - fit" in capsys.readouterr().out
    pipeline.set_callbacks()
    search = GridSearchCV(pipeline, {}, cv=2).set_callbacks(ProgressBar())
    assert np.isfinite(search.fit(X, targets).score(X, targets))


@needs_callbacks
def test_callbacks_reach_the_density_behind_a_transformer(capsys):
    density = TransformedDensity(StandardScaler(), GaussianMixture())
    density.set_callbacks(ProgressBar()).fit(X)
    assert "fit-density | GaussianMixture - fit" in capsys.readouterr().out


def trained_by(name, **asked):
    """Return an estimator whose training is asked for something else, too."""
    estimator = clone(TRAINED[name])
    params = estimator.get_params()
    key = "source__trainer" if "source__trainer" in params else "trainer"
    return estimator.set_params(**{key: asked})


@pytest.mark.parametrize("name", TRAINED)
def test_early_stopping_ends_a_training(name):
    stop = EarlyStopping("train_loss", patience=2, threshold=10.0)
    fitted = trained_by(name, callbacks=[stop]).fit(X, y)
    assert fitted.n_iter_ == 3
    assert np.isfinite(fitted.score(X, y))


@pytest.mark.parametrize("name", TRAINED)
def test_schedulers_take_the_place_of_the_cosine(name):
    frozen = LRScheduler(torch.optim.lr_scheduler.LambdaLR, lr_lambda=lambda epoch: 0.0)
    steps = {
        schedule: trained_by(name, callbacks=callbacks, optimizer=torch.optim.SGD)
        .fit(X, y)
        .loss_curve_
        for schedule, callbacks in {"cosine": None, "frozen": [frozen]}.items()
    }
    assert not np.array_equal(*steps.values())


@pytest.mark.parametrize("name", TRAINED)
def test_checkpoints_hold_the_parameters(name, tmp_path):
    best = Checkpoint("train_loss_best", dirname=tmp_path, load_best=True)
    trained_by(name, callbacks=[best]).fit(X, y)
    state = torch.load(tmp_path / "params.pt", weights_only=True)
    assert state
    assert all(torch.isfinite(value).all() for value in state.values())

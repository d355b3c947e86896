"""A fit that ended in the middle goes on from its checkpoint; kills are in faults."""

import os

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from skorch.callbacks import EpochTimer

from skgmje import (
    ConditionalMixtureDensity,
    GaussianMixture,
    GJEEmbedder,
    GrowingNeuralGasMixture,
    KernelMixtureDensity,
)
from skgmje._persistence import Checkpoint

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3))
Y = X[:, :1] + 0.1 * RNG.normal(size=(200, 1))
SMALL = {"hidden_layer_sizes": (4,), "random_state": 0}
LEARNERS = {
    "em": GaussianMixture(5, tol=1e-7, n_init=2, annealing=0.5, random_state=0),
    "tied": GaussianMixture(3, covariance_type="tied", tol=1e-7, random_state=0),
    "centres": KernelMixtureDensity(4, batch_size=32, tol=0, max_iter=60, **SMALL),
    "noise": KernelMixtureDensity(
        4, generator="noise", polish="weights", tol=0, max_iter=60, **SMALL
    ),
    "conditional": ConditionalMixtureDensity(
        "network", n_members=2, max_iter=60, **SMALL
    ),
    "embedder": GJEEmbedder(2, batch_size=64, target="ema", max_iter=60, **SMALL),
    "images": GJEEmbedder(
        2,
        image_shape=(3, 1),
        batch_size=64,
        moment_decay=0.5,
        max_iter=60,
        **SMALL,
    ),
    "gas": GrowingNeuralGasMixture(
        30, shrinkage=2.0, insertion_interval=300, random_state=0
    ),
}
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


class Crash(Exception):
    """What ends a fit here."""


@pytest.fixture
def crash_at(monkeypatch):
    """Let the fit crash when it has written its state so many times."""
    write = Checkpoint.write

    def at(number):
        written = []

        def wrapped(self, state):
            write(self, state)
            written.append(state)
            if len(written) == number:
                raise Crash

        monkeypatch.setattr(Checkpoint, "write", wrapped)

    return at


def fit(estimator, folder=None):
    estimator = type(estimator)(**{**estimator.get_params(), "checkpoint_dir": folder})
    if isinstance(estimator, ConditionalMixtureDensity):
        return estimator.fit(X, Y)
    return estimator.fit(X)


@pytest.mark.parametrize("estimator", LEARNERS.values(), ids=LEARNERS)
def test_the_same_bits_after_a_crash(estimator, answers, crash_at, tmp_path):
    expected = fit(estimator)
    crash_at(3)
    with pytest.raises(Crash):
        fit(estimator, tmp_path)
    assert os.listdir(tmp_path)
    found = fit(estimator, tmp_path)
    assert os.listdir(tmp_path) == []
    for method, value in answers(expected).items():
        assert_array_equal(answers(found)[method], value, err_msg=method)
    if hasattr(expected, "loss_curve_"):
        assert_array_equal(found.loss_curve_, expected.loss_curve_)


@pytest.mark.parametrize("name", ["em", "centres"])
def test_a_checkpoint_changes_no_bits(name, answers, tmp_path):
    expected, found = fit(LEARNERS[name]), fit(LEARNERS[name], tmp_path)
    for method, value in answers(expected).items():
        assert_array_equal(answers(found)[method], value)


def test_another_fit_is_refused(crash_at, tmp_path):
    crash_at(2)
    with pytest.raises(Crash):
        GaussianMixture(5, random_state=0, checkpoint_dir=tmp_path).fit(X)
    shared = {"random_state": 0, "checkpoint_dir": tmp_path}
    for other, rows in (
        (GaussianMixture(4, **shared), X),
        (GaussianMixture(5, **shared), X + 1e-9),
        (GaussianMixture(5, tol=1e-4, **shared), X),
    ):
        with pytest.raises(ValueError, match="checkpoint of another fit"):
            other.fit(rows)
    GaussianMixture(5, verbose=0, verbose_interval=3, **shared).fit(X)


def test_a_damaged_checkpoint_is_refused(crash_at, tmp_path):
    crash_at(2)
    mixture = GaussianMixture(5, random_state=0, checkpoint_dir=tmp_path)
    with pytest.raises(Crash):
        mixture.fit(X)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"cannot be read.*Delete it"):
        mixture.fit(X)


def test_what_cannot_be_repeated_is_refused(tmp_path):
    with pytest.raises(ValueError, match="random_state to be an integer, got None"):
        GaussianMixture(checkpoint_dir=tmp_path).fit(X)
    density = KernelMixtureDensity(
        2, callbacks=[EpochTimer()], checkpoint_dir=tmp_path, random_state=0
    )
    with pytest.raises(ValueError, match="does not keep the state of callbacks"):
        density.fit(X)

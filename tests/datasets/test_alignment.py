"""The stated truth of every task is a density, and that of its samples."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import simpson

from skgmje.datasets import ALIGNMENT_TASKS, make_alignment

TASKS = pytest.mark.parametrize("name", ALIGNMENT_TASKS)
MIXTURES = [n for n, t in ALIGNMENT_TASKS.items() if hasattr(t, "predict_mixture")]

# Mean log-density of 2000 samples under the truth, from independent code.
KNOWN = {
    "bishop": 1.247,
    "branch": 0.183,
    "cross": 0.907,
    "high5": 1.102,
    "sqrt": 0.878,
}


def _grid(name):
    """Return points that cover the targets, and the volume of a cell."""
    if name == "bishop":
        return (np.arange(1000)[:, None] + 0.5) / 1000, 1e-3
    n_targets = ALIGNMENT_TASKS[name].n_targets
    step, end = (0.01, 5.0) if n_targets == 1 else (0.08, 7.0)
    axes = np.meshgrid(*[np.arange(-end, end, step)] * n_targets, indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=1), step**n_targets


def _integrals(name, contexts):
    """Return the mass and the mean log-density of each context, by quadrature."""
    task = ALIGNMENT_TASKS[name]
    points, volume = _grid(name)
    answers = []
    for context in contexts:
        X = np.broadcast_to(context, (len(points), task.n_context))
        logs = task.log_prob(X, points)
        density = np.exp(logs) * volume
        finite = np.where(density > 0, logs, 0.0)
        answers.append((density.sum(), (density * finite).sum()))
    return np.array(answers).T


@TASKS
def test_truth_integrates_to_one(name):
    contexts, _ = ALIGNMENT_TASKS[name].sample(20, random_state=1)
    mass, _ = _integrals(name, contexts)
    # The density of 'bishop' may end at a step.
    assert_allclose(mass, 1, rtol=1e-3 if name == "bishop" else 1e-6)


@TASKS
def test_samples_have_the_entropy_of_the_truth(name):
    task = ALIGNMENT_TASKS[name]
    log_prob = task.log_prob(*task.sample(20_000, random_state=0))
    contexts, _ = task.sample(50, random_state=2)
    _, means = _integrals(name, contexts)
    error = np.hypot(log_prob.std() / len(log_prob) ** 0.5, means.std() / 50**0.5)
    assert abs(log_prob.mean() - means.mean()) < 3 * error


@pytest.mark.parametrize("name", KNOWN)
def test_truth_scores_as_known(name):
    task = ALIGNMENT_TASKS[name]
    log_prob = task.log_prob(*task.sample(50_000, random_state=0))
    assert abs(log_prob.mean() - KNOWN[name]) < 3 * log_prob.std() / 2000**0.5


def _bishop(x, y):
    return (
        np.exp(-0.5 * ((x - y - 0.3 * np.sin(2 * np.pi * y)) / 0.05) ** 2)
        * (y >= 0)
        * (y <= 1)
    )


def _ring(x, y):
    angles = np.linspace(0, 2 * np.pi, 300, endpoint=False)[:, None]
    square = (x - np.cos(angles)) ** 2 + (y - np.sin(angles)) ** 2
    return np.exp(-0.5 * square / 0.05**2).mean(axis=0)


@pytest.mark.parametrize(("name", "joint"), [("bishop", _bishop), ("ring", _ring)])
def test_truth_without_a_mixture_agrees_with_the_joint_density(name, joint):
    task = ALIGNMENT_TASKS[name]
    ends = (0, 1) if name == "bishop" else (-2, 2)
    y, fine = np.linspace(*ends, 201), np.linspace(*ends, 20_001)
    for x in (-1.1, -0.4, 0.02, 0.3, 0.95, 1.1):
        conditional = joint(x, y) / simpson(joint(x, fine), x=fine)
        log_prob = task.log_prob(np.full((len(y), 1), x), y)
        assert_allclose(np.exp(log_prob), conditional, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("name", ["bishop", "ring"])
def test_far_contexts_have_finite_densities(name):
    x = np.array([[-10.0], [-3.0], [3.0], [10.0]])
    assert np.all(np.isfinite(ALIGNMENT_TASKS[name].log_prob(x, np.full(4, 0.5))))


def test_no_target_lies_outside_the_inverse_sinusoid():
    log_prob = ALIGNMENT_TASKS["bishop"].log_prob([[0.5], [0.5]], [-0.1, 1.1])
    assert_array_equal(log_prob, -np.inf)


@pytest.mark.parametrize("name", MIXTURES)
def test_mixtures_are_the_truth(name):
    task = ALIGNMENT_TASKS[name]
    X, Y = task.sample(300, random_state=3)
    mixture = task.predict_mixture(X)
    assert_allclose(mixture.log_prob(Y), task.log_prob(X, Y))
    assert mixture.means.shape[::2] == (300, task.n_targets)


@TASKS
def test_draws_are_reproducible_and_owe_nothing_to_the_global_state(name):
    task = ALIGNMENT_TASKS[name]
    X, Y = make_alignment(name, 50, random_state=7)
    assert X.shape == (50, task.n_context)
    assert Y.shape == (50, task.n_targets)
    assert np.all(np.isfinite(task.log_prob(X, Y)))
    for source in (7, np.random.default_rng(7)):
        again = make_alignment(name, 50, random_state=source)
        assert_array_equal(again[0], X)
        assert_array_equal(again[1], Y)
    other = make_alignment(name, 50, random_state=np.random.RandomState(7))
    assert not np.array_equal(other[1], Y)
    assert_array_equal(pickle.loads(pickle.dumps(task)).sample(50, 7)[0], X)


def test_refused_arguments():
    with pytest.raises(ValueError, match="name='circle' is no alignment task"):
        make_alignment("circle")
    with pytest.raises(ValueError, match="n_samples=0"):
        make_alignment("sqrt", 0)
    task = ALIGNMENT_TASKS["sqrt"]
    with pytest.raises(ValueError, match="defined between 0 and 1"):
        task.predict_mixture([[-0.5]])
    with pytest.raises(ValueError, match="X has 2 columns"):
        task.predict_mixture([[0.5, 0.5]])
    with pytest.raises(ValueError, match="y has 2 columns"):
        task.log_prob([[0.5]], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="NaN"):
        task.log_prob([[0.5]], [np.nan])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        task.log_prob([[0.5]], [0.5, 0.5])

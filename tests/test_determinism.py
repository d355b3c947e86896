"""Same seed, same bits: from threads, processes and any n_jobs; no global state."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

from skgmje.mixture import Codes, GaussianMixture, KernelMixtureDensity, Noise

X = load_iris().data[::3]
STEPS = {"n_components": 3, "max_iter": 8}
SMALL = {**STEPS, "generator": Codes(hidden_layer_sizes=(8,))}
NOISE = {**STEPS, "generator": Noise(hidden_layer_sizes=(8,))}
ESTIMATORS = {
    "mixture": GaussianMixture(4, random_state=3),
    "auto": GaussianMixture("auto", shrinkage="auto", random_state=3),
    "codes": KernelMixtureDensity(**SMALL, random_state=3),
    "batches": KernelMixtureDensity(**SMALL, batch_size=32, random_state=3),
    "noise": KernelMixtureDensity(**NOISE, random_state=3),
}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def told(fitted):
    """Return all that a fit decided, as bytes."""
    return fitted.means_.tobytes() + fitted.score_samples(X).tobytes()


def answer(estimator):
    """Return all that a fit of a copy decides, as bytes."""
    return told(pickle.loads(pickle.dumps(estimator)).fit(X))


@pytest.fixture(params=ESTIMATORS.values(), ids=ESTIMATORS, scope="module")
def estimator(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(estimator):
    """A fitted copy; no test may change it."""
    return pickle.loads(pickle.dumps(estimator)).fit(X)


def test_again(estimator, fitted):
    assert answer(estimator) == told(fitted)


def test_other_seed_differs():
    one, two = (KernelMixtureDensity(**NOISE, random_state=seed) for seed in (0, 1))
    assert answer(one) != answer(two)


@pytest.mark.slow
def test_eight_threads_at_once(estimator, fitted):
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(answer, [estimator] * 8)) == {told(fitted)}


def test_prediction_from_eight_threads(fitted):
    expected = fitted.score_samples(X).tobytes()
    with ThreadPoolExecutor(8) as pool:
        rows = pool.map(lambda _: fitted.score_samples(X).tobytes(), range(16))
        assert set(rows) == {expected}


@pytest.mark.slow
def test_other_process(estimator, fitted):
    others = Parallel(n_jobs=2)(delayed(answer)(estimator) for _ in range(2))
    assert set(others) == {told(fitted)}


@pytest.mark.slow
def test_any_n_jobs():
    grid = {"cost": ["scalar", "svd"], "n_components": [2, 3]}
    small = KernelMixtureDensity(**SMALL, random_state=0)
    scores = [
        GridSearchCV(small, grid, cv=2, n_jobs=n_jobs)
        .fit(X)
        .cv_results_["mean_test_score"]
        for n_jobs in (1, 2)
    ]
    assert_array_equal(*scores)


def test_global_random_states_are_untouched(estimator):
    legacy = np.random.mtrand._rand
    before = legacy.get_state()[1].copy(), torch.get_rng_state().clone()
    answer(estimator)
    assert_array_equal(legacy.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


def test_unseeded_fits_leave_global_states_alone_too():
    before = torch.get_rng_state().clone()
    KernelMixtureDensity(**SMALL).fit(X).sample(5)
    assert torch.equal(torch.get_rng_state(), before)


def test_fitted_density_is_small_and_free_of_torch():
    fitted = KernelMixtureDensity(8, random_state=0).fit(X)
    blob = pickle.dumps(fitted)
    assert len(blob) < 20_000
    assert b"torch" not in blob
    assert_array_equal(pickle.loads(blob).score_samples(X), fitted.score_samples(X))

"""Ctrl-C, sent by the process to itself: the error, and what was learned is kept."""

CODE = """
import pickle
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from skgmje import *
from skgmje._training import _loop
from skgmje.em import _em
n_signals = n_calls = number = 0

def interrupt():
    global n_signals
    n_signals += 1
    signal.raise_signal(signal.SIGINT)

def at_call(function):
    def wrapped(*args, **kwargs):
        global n_calls
        n_calls += 1
        if n_calls == number:
            interrupt()
        return function(*args, **kwargs)
    return wrapped

def attempt(estimator, at):
    global n_signals, n_calls, number
    n_signals, n_calls, number = 0, 0, at
    try:
        estimator.fit(X)
    except KeyboardInterrupt as error:
        stop = str(error)
    # It did happen.
    assert n_signals == 1
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        assert "nothing to keep" in stop
        return "stopped"
    again = pickle.loads(pickle.dumps(estimator))
    assert np.isfinite(again.score_samples(X)).all()
    assert "is kept" in stop
    return "kept"

_em.e_step = at_call(_em.e_step)
estimator = GaussianMixture(6, tol=1e-7, random_state=0)
print(attempt(estimator, 1), attempt(estimator, 7))
_loop._MixtureNet._begin_step = at_call(_loop._MixtureNet._begin_step)
for estimator in (
    KernelMixtureDensity(
        6, covariance_type="full", shrinkage=2, batch_size=64, random_state=0
    ),
    GJEEmbedder(2, max_iter=50, random_state=0),
):
    print(attempt(estimator, 1), attempt(estimator, 7))
"""


def test_interrupt_leaves_a_usable_model(answer_of, record):
    said = answer_of(CODE).split()
    expected = ["stopped", "kept"] * 3
    survived = sum(map(str.__eq__, said, expected))
    record("Ctrl-C", len(expected), survived)
    assert said == expected


RESUMED = """
from skgmje import *
from skgmje.em import _em
e_step = _em.e_step
def stop(*args, **kwargs):
    global n_calls
    n_calls += 1
    if n_calls == 7 and stops:
        signal.raise_signal(signal.SIGINT)
    return e_step(*args, **kwargs)
_em.e_step = stop
for stops in (False, True):
    n_calls = 0
    mixture = GaussianMixture(6, tol=1e-7, max_iter=1000, random_state=0)
    try:
        mixture.fit(X)
        assert not stops
    except KeyboardInterrupt:
        assert (stops, mixture.n_iter_) == (True, 6)
        mixture.set_params(warm_start=True).fit(X)
    print(sha(mixture.means_))
"""


def test_an_interrupted_fit_can_go_on(answer_of, record):
    whole, again = answer_of(RESUMED).split()
    record("Ctrl-C, then a warm start", 1, int(again == whole), again == whole)
    assert again == whole

"""p-values are valid whatever the detector, and exact if ties are broken."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KernelDensity

from skgmje.outlier import DensityOutlierDetector, conformal_p_values

LEVELS = np.array([0.02, 0.05, 0.1, 0.25, 0.5, 0.9])


class FirstColumn(BaseEstimator):
    """A fitted detector whose score is a column."""

    def __sklearn_is_fitted__(self):
        return True

    def fit(self, X, y=None):
        return self

    def score_samples(self, X):
        return np.asarray(X)[:, 0]


def p_values_of_many_trials(draw, **params):
    rng = np.random.default_rng(0)
    answers = [
        conformal_p_values(FirstColumn(), draw(rng, 49), draw(rng, 1), **params)
        for _ in range(4000)
    ]
    return np.concatenate(answers)


def shares_below(p_values):
    return np.mean(p_values[:, None] <= LEVELS, axis=0)


def three_errors():
    return 3 * np.sqrt(LEVELS * (1 - LEVELS) / 4000)


def continuous(rng, n):
    return rng.normal(size=(n, 1))


def tied(rng, n):
    return rng.integers(0, 3, size=(n, 1)).astype(float)


@pytest.mark.parametrize("draw", [continuous, tied])
def test_p_values_are_super_uniform(draw):
    shares = shares_below(p_values_of_many_trials(draw))
    assert (shares <= LEVELS + three_errors()).all()


@pytest.mark.parametrize("draw", [continuous, tied])
def test_randomised_p_values_are_uniform(draw):
    state = np.random.RandomState(0)
    p_values = p_values_of_many_trials(draw, randomize=True, random_state=state)
    assert (np.abs(shares_below(p_values) - LEVELS) <= three_errors()).all()


def test_definition():
    known, new = np.array([[1.0], [2.0], [2.0], [4.0]]), np.array([[0], [2], [3], [9]])
    p_values = conformal_p_values(FirstColumn(), known, new)
    np.testing.assert_allclose(p_values, [0.2, 0.8, 0.8, 1.0])
    random = conformal_p_values(
        FirstColumn(), known, new, randomize=True, random_state=0
    )
    assert (random > 0).all()
    assert (random <= p_values).all()


@pytest.mark.parametrize(
    "detector",
    [
        DensityOutlierDetector(random_state=0),
        IsolationForest(random_state=0),
        KernelDensity(),
    ],
)
def test_detectors_of_any_kind(detector):
    rng = np.random.default_rng(0)
    detector.fit(rng.normal(size=(200, 2)))
    known, far = rng.normal(size=(99, 2)), [[30.0, 30.0]]
    assert conformal_p_values(detector, known, far) == pytest.approx(0.01)


def test_bad_input_is_named():
    rows = np.zeros((5, 1))
    with pytest.raises(TypeError, match="'nothing' has no method score_samples"):
        conformal_p_values("nothing", rows, rows)
    with pytest.raises(NotFittedError):
        conformal_p_values(DensityOutlierDetector(), rows, rows)
    with pytest.raises(ValueError, match="5 of 5 scores of X are NaN"):
        conformal_p_values(FirstColumn(), rows, rows * np.nan)

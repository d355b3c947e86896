"""Warnings point at the line of the user's that they are about."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone, is_regressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skgmje import (
    ConditionalMixtureDensity,
    DensityOutlierDetector,
    GaussianMixture,
    GrowingNeuralGasMixture,
    KernelMixtureDensity,
    StackingDensity,
    TransformedDensity,
)

RNG = np.random.default_rng(0)
# A column of few values, one that is constant, and a binary one.
X = np.column_stack([RNG.normal(size=60).round(1), np.ones(60), np.arange(60) % 2])
GAUSS = GaussianMixture(4, max_iter=1, tol=0, random_state=0)
FEW = {"max_iter": 1, "random_state": 0}
LOUD = [
    GAUSS,
    KernelMixtureDensity(3, **FEW),
    GrowingNeuralGasMixture(12, refine=GaussianMixture(max_iter=1), random_state=0),
    TransformedDensity("passthrough", GAUSS),
    StackingDensity(effort="fast", random_state=0),
    StackingDensity(estimators=[("gauss", GAUSS)], random_state=0),
    DensityOutlierDetector(GAUSS, random_state=0),
    ConditionalMixtureDensity(GAUSS, random_state=0),
]


def fits(estimator):
    """Yield names and functions that fit an estimator, at a line of this file."""
    data = (X, X[:, 0].round()) if is_regressor(estimator) else (X,)
    yield "fit", lambda: clone(estimator).fit(*data)
    yield "pipeline", lambda: make_pipeline(clone(estimator)).fit(*data)
    search = GridSearchCV(clone(estimator), {}, cv=2, error_score="raise")
    yield "search", lambda: search.fit(*data)


@pytest.mark.parametrize("estimator", LOUD, ids=lambda e: type(e).__name__)
def test_warnings_point_here(estimator):
    for name, fit in fits(estimator):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit()
        ours = [w for w in caught if "scikit-learn" not in str(w.message)]
        assert ours, name
        for w in ours:
            assert w.filename == __file__, (name, w.filename, w.message)

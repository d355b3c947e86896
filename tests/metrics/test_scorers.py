"""Scorers work where scikit-learn takes `scoring=`."""

import pickle

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmje.gaussian import Mixture
from skgmje.metrics import (
    coverage_scorer,
    crps,
    crps_scorer,
    energy_score,
    energy_scorer,
    interval_coverage,
    make_mixture_scorer,
    mean_log_likelihood,
    rmse,
    rmse_scorer,
)

SCORERS = {
    "coverage": coverage_scorer,
    "crps": crps_scorer,
    "energy": energy_scorer,
    "rmse": rmse_scorer,
    "likelihood": make_mixture_scorer(mean_log_likelihood),
}


class LinearGaussian(RegressorMixin, BaseEstimator):
    """Least squares with a residual deviation that is stretched by `width`."""

    def __init__(self, width=1.0):
        self.width = width

    def fit(self, X, y, sample_weight=None):
        self.line_ = LinearRegression().fit(X, y, sample_weight)
        residual = np.reshape(y - self.line_.predict(X), (len(X), -1))
        self.variance_ = self.width**2 * residual.var(axis=0)
        return self

    def predict(self, X):
        return self.line_.predict(X)

    def predict_mixture(self, X):
        means = self.line_.predict(X).reshape(len(X), 1, -1)
        return Mixture([1.0], means, self.variance_[None], "diag")


@pytest.fixture(params=[1, 2])
def data(request, rng):
    X = rng.normal(size=(120, 3))
    y = X @ rng.normal(size=(3, request.param)) + rng.normal(size=(120, request.param))
    return X, y[:, 0] if request.param == 1 else y


@pytest.mark.parametrize("name", SCORERS)
def test_scorer_is_the_metric_with_the_sign_of_a_score(name, data):
    X, y = data
    model = LinearGaussian(1.5).fit(X, y)
    mixture, weight = model.predict_mixture(X), np.arange(120.0)
    expected = {
        "coverage": -np.mean(
            abs(
                interval_coverage(
                    y, mixture, sample_weight=weight, multioutput="raw_values"
                )
                - 0.9
            )
        ),
        "crps": -crps(y, mixture, sample_weight=weight),
        "energy": -energy_score(y, mixture, sample_weight=weight, random_state=0),
        "rmse": -rmse(y, mixture, sample_weight=weight),
        "likelihood": mean_log_likelihood(y, mixture, sample_weight=weight),
    }[name]
    assert SCORERS[name](model, X, y, sample_weight=weight) == expected
    again = pickle.loads(pickle.dumps(SCORERS[name]))
    assert again(model, X, y, weight) == expected
    assert name[:4] in repr(SCORERS[name])


@pytest.mark.parametrize("name", [n for n in SCORERS if n != "rmse"])
def test_search_chooses_the_right_width(name, data):
    grid = {"width": [0.2, 1.0, 5.0]}
    search = GridSearchCV(LinearGaussian(), grid, scoring=SCORERS[name]).fit(*data)
    assert search.best_params_ == {"width": 1.0}
    assert clone(search).scoring is not None
    score = search.score(*data)
    assert_allclose(score, SCORERS[name](search.best_estimator_, *data))


def test_pipelines_searches_and_several_scores(data):
    model = make_pipeline(StandardScaler(), LinearGaussian())
    scores = cross_validate(model, *data, scoring=SCORERS, error_score="raise")
    plain = cross_val_score(LinearGaussian(), *data, scoring=crps_scorer)
    assert_allclose(scores["test_crps"], plain)
    search = GridSearchCV(LinearGaussian(), {"width": [1.0]}, scoring=crps_scorer)
    nested = cross_val_score(search, *data, scoring=crps_scorer, error_score="raise")
    assert_allclose(nested, plain)


def test_weights_are_routed_where_asked_for(data):
    X, y = data
    weight = np.repeat([1.0, 0.0], 60)
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = crps_scorer.set_score_request(sample_weight=True)
        model = LinearGaussian().set_fit_request(sample_weight=True)
        half = [np.arange(60), np.arange(120)]
        (score,) = cross_val_score(
            model,
            X,
            y,
            scoring=scorer,
            cv=[half],
            params={"sample_weight": weight},
            error_score="raise",
        )
        with pytest.raises(ValueError, match="sample_weight"):
            cross_val_score(
                model, X, y, scoring=crps_scorer, params={"sample_weight": weight}
            )
    model = LinearGaussian().fit(X[:60], y[:60])
    assert_allclose(score, crps_scorer(model, X[:60], y[:60]))


def test_estimators_without_mixtures_are_named(data):
    X, y = data
    with pytest.raises(TypeError, match="no method predict_mixture"):
        crps_scorer(LinearRegression().fit(X, y), X, y)

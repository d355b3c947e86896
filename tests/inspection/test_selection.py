"""The picture of the models that a search has tried."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris, make_blobs
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmje import GaussianMixture
from skgmje.inspection import SelectionDisplay

BLOBS, _ = make_blobs(120, 2, centers=3, cluster_std=0.8, random_state=4)


def test_best_model_is_marked():
    settings = {"covariance_type": "auto", "criterion": "icl", "random_state": 0}
    mixture = GaussianMixture(3, **settings).fit(BLOBS)
    display = SelectionDisplay.from_estimator(mixture)
    assert display.criterion == "icl"
    assert display.best_.get_ydata()[0] == mixture.cv_results_["icl"].min()
    with pytest.raises(ValueError, match="criterion='stability' is not in"):
        SelectionDisplay.from_estimator(mixture, criterion="stability")


def test_pipelines_and_searches_have_the_picture_of_their_mixture():
    mixture = GaussianMixture("auto", covariance_type="EII", criterion="bic")
    pipeline = make_pipeline(StandardScaler(), mixture).fit(BLOBS)
    found = GridSearchCV(mixture, {"tol": [1e-3]}, cv=2).fit(BLOBS)
    for estimator in (pipeline, found):
        values = SelectionDisplay.from_estimator(estimator).values
        inner = getattr(estimator, "best_estimator_", mixture)
        assert_array_equal(values, inner.cv_results_["bic"])


def test_held_out_likelihoods_have_errors():
    params = {"covariance_type": ["EII", "VVV"], "random_state": 0}
    mixture = GaussianMixture("auto", **params).fit(BLOBS)
    display = SelectionDisplay.from_estimator(mixture)
    table = mixture.cv_results_
    assert display.criterion == "held_out"
    assert set(display.lines_) == {"EII", "VVV"}
    assert display.best_.get_ydata()[0] == table["held_out"].max()
    bars = [own.get_segments() for own in display.ax_.collections]
    lengths = np.concatenate([np.ptp(own, axis=1)[:, 1] for own in bars])
    assert_allclose(np.sort(lengths), np.sort(2 * table["held_out_error"]))
    plain = SelectionDisplay.from_estimator(mixture, criterion="mean_test_score")
    assert not plain.ax_.collections


def test_first_criterion_is_drawn_and_others_can_be():
    several = GaussianMixture(3, criterion=["icl", "held-out"], random_state=0)
    mixture = several.set_params(covariance_type=["EII", "VVV"]).fit(BLOBS)
    assert SelectionDisplay.from_estimator(mixture).criterion == "icl"
    display = SelectionDisplay.from_estimator(mixture, criterion="held-out")
    assert display.best_.get_ydata()[0] == mixture.cv_results_["held_out"].max()
    display.values[0] = np.nan
    (known,) = np.flatnonzero(np.isfinite(display.values))
    assert display.plot().best_.get_ydata()[0] == display.values[known]


def test_nothing_chosen_has_no_picture():
    iris = load_iris().data
    with pytest.raises(TypeError, match="has chosen no settings"):
        SelectionDisplay.from_estimator(GaussianMixture().fit(iris))

"""The picture of the models that a search has tried."""

import pytest
from numpy.testing import assert_array_equal
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


def test_nothing_chosen_has_no_picture():
    iris = load_iris().data
    with pytest.raises(TypeError, match="has chosen no settings"):
        SelectionDisplay.from_estimator(GaussianMixture().fit(iris))

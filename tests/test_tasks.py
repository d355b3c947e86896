"""Searches as Dask tasks: the results of scikit-learn without Dask."""

import numpy as np
import pytest
from dask.distributed import Client
from numpy.testing import assert_array_equal
from skgmje.model_selection._tasks import _TaskBackend, dask_tasks
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KernelDensity

from skgmje.mixture import GaussianMixture, KernelMixtureDensity

X = load_iris().data
GRID = {"n_components": [1, 2, 3], "shrinkage": [0, 9]}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def client():
    """Workers that are threads of this process: nothing listens."""
    with Client(
        processes=False,
        n_workers=2,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
    ) as client:
        yield client


def results(search):
    """Return all that a search says, but for times."""
    table = search.cv_results_
    columns = {k: np.asarray(v).tolist() for k, v in table.items() if "_time" not in k}
    best = search.best_params_, search.best_score_, search.best_index_
    return columns, best, search.best_estimator_.means_.tobytes()


@pytest.mark.parametrize("n_jobs", [None, -1])
def test_search_has_the_results_of_scikit_learn(client, n_jobs):
    search = GridSearchCV(GaussianMixture(random_state=0), GRID, cv=3)
    expected = results(search.fit(X))
    search.set_params(n_jobs=n_jobs)
    with dask_tasks(client):
        assert results(search.fit(X)) == expected


def test_networks_and_multiple_metrics(client):
    density = KernelMixtureDensity(
        2, shrinkage=2, max_iter=3, hidden_layer_sizes=(4,), random_state=0
    )
    scoring = {"score": lambda e, X, y=None: e.score(X), "bic": _minus_bic}
    grid = {"cost": ["scalar", "svd"]}
    search = GridSearchCV(density, grid, cv=2, scoring=scoring, refit="bic")
    expected = results(search.fit(X))
    with dask_tasks(client):
        assert results(search.fit(X)) == expected


def _minus_bic(estimator, X, y=None):
    return -estimator.bic(X)


def test_large_data_are_sent_once(client, monkeypatch):
    sent = []
    send = _TaskBackend._send

    def count(self, function, argument):
        sent.append(function.__name__)
        return send(self, function, argument)

    monkeypatch.setattr(_TaskBackend, "_send", count)
    rows = load_digits().data
    with dask_tasks(client):
        scores = cross_val_score(KernelDensity(), rows, cv=3)
    assert_array_equal(scores, cross_val_score(KernelDensity(), rows, cv=3))
    assert sent.count("_unpack") == 1
    assert sent.count("_run") == 3


def test_errors_come_back(client):
    search = GridSearchCV(GaussianMixture(), {"n_components": [0]}, error_score="raise")
    with dask_tasks(client), pytest.raises(ValueError, match="n_components"):
        search.fit(X)


def test_without_a_client_it_says_so(monkeypatch):
    def get_client():
        raise ValueError("No clients found")

    monkeypatch.setattr("distributed.get_client", get_client)
    with pytest.raises(ValueError, match="found no client"):
        dask_tasks()

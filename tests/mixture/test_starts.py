"""The pool of starts, and starts that a user's function gives."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.cluster import AgglomerativeClustering
from sklearn.datasets import load_iris, load_wine
from sklearn.metrics import adjusted_rand_score

from skgmje import GaussianMixture
from skgmje.em import expectation_maximization, start_mixture

IRIS, SPECIES = load_iris(return_X_y=True)


def elongated(gap, turned, seed):
    """Three clusters side by side, twenty times as long as wide."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], 200)
    X = rng.normal(size=(600, 2)) * [20.0, 1.0]
    X[:, 1] += gap * labels
    turn = np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2)
    return X @ turn if turned else X, labels


@pytest.mark.parametrize(("gap", "turned"), [(4, True), (4, False), (6, False)])
def test_pool_finds_elongated_clusters(gap, turned):
    for seed in range(2):
        X, labels = elongated(gap, turned, seed)
        start = start_mixture(X, labels)
        truth = expectation_maximization(X, start, tol=1e-6, max_iter=999).mixture
        bound = adjusted_rand_score(labels, truth.responsibilities(X).argmax(axis=1))
        mixture = GaussianMixture(3, init_params="auto", random_state=seed)
        assert adjusted_rand_score(labels, mixture.fit_predict(X)) > bound - 0.02
        # Where any setting is automatic the pool takes the place of k-means.
        mixture = GaussianMixture(3, shrinkage="auto", random_state=seed)
        assert adjusted_rand_score(labels, mixture.fit_predict(X)) > bound - 0.02


@pytest.mark.parametrize("n_components", [2, "auto"])
def test_a_constant_of_any_size_beside_the_clusters_hides_none(n_components, rng):
    X = 1e-6 * (rng.normal(size=120) + np.repeat([0, 8], 60))
    X = np.column_stack([np.full(120, 1e12), X])
    mixture = GaussianMixture(n_components, reg_covar="auto", random_state=0).fit(X)
    assert mixture.n_components_ == 2
    assert len(np.unique(mixture.predict(X[:60]))) == 1


def test_likeliest_partition_of_few_samples_is_no_chance():
    X, labels = load_wine(return_X_y=True)
    mixture = GaussianMixture(3, init_params="auto", random_state=0)
    assert adjusted_rand_score(labels, mixture.fit_predict(X)) > 0.7


def test_more_starts_are_never_worse():
    one, three = (
        GaussianMixture(6, init_params="auto", n_init=n, random_state=0, tol=1e-5).fit(
            IRIS
        )
        for n in (1, 40)
    )
    assert three.lower_bound_ >= one.lower_bound_


def test_pool_finds_many_clusters_of_many_samples(rng):
    """Agglomeration sees a part of the samples; the others follow the nearest."""
    centers, labels = 4 * rng.normal(size=(30, 8)), rng.integers(30, size=3000)
    X = centers[labels] + rng.normal(size=(3000, 8))
    how = {"covariance_type": "spherical", "init_params": "auto", "random_state": 0}
    found = GaussianMixture(30, **how).fit_predict(X)
    assert adjusted_rand_score(labels, found) > 0.98


def test_pool_looks_at_a_part_of_many_samples(rng):
    """The result on many copies is that of EM over all of them."""
    X = np.repeat(IRIS, 100, axis=0)
    few, many = (
        GaussianMixture(3, init_params="auto", random_state=0, tol=1e-6).fit(rows)
        for rows in (IRIS, X)
    )
    assert_allclose(np.sort(few.means_, axis=0), np.sort(many.means_, axis=0), rtol=0.2)
    assert many.score(X) > few.score(X) - 1e-3


@pytest.mark.parametrize("scale", [1e-120, 1e120])
@pytest.mark.parametrize(
    "rows",
    [
        IRIS,
        np.where(np.random.default_rng(0).random(IRIS.shape) < 0.2, np.nan, IRIS),
        np.column_stack([IRIS, np.ones(150)]),
        np.repeat(IRIS[:4], 10, axis=0),
        IRIS[:4],
        IRIS[:, :1],
    ],
    ids=["plain", "missing", "constant", "duplicates", "few", "one feature"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:n_samples=:UserWarning")
def test_pool_of_ugly_data(rows, scale):
    weight = np.arange(1.0, len(rows) + 1)
    mixture = GaussianMixture(
        3, init_params="auto", reg_covar="auto", random_state=0, max_iter=20
    ).fit(rows * scale, sample_weight=weight)
    assert np.isfinite(mixture.score(rows * scale))


def test_function_gives_labels_or_responsibilities():
    resp = np.eye(3)[SPECIES]
    fits = [
        GaussianMixture(3, init_params=function, max_iter=5, tol=0.5).fit(IRIS)
        for function in (lambda X: SPECIES, lambda X: 2.0 * resp, lambda X: SPECIES * 7)
    ]
    for mixture in fits[1:]:
        assert_allclose(mixture.means_, fits[0].means_)
    cluster = AgglomerativeClustering(3).fit_predict
    mixture = GaussianMixture(3, init_params=cluster, max_iter=0).fit(IRIS)
    assert_allclose(
        mixture.means_, [IRIS[cluster(IRIS) == k].mean(axis=0) for k in range(3)]
    )


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda X: SPECIES, "returned 3 components.*n_components=2"),
        (lambda X: SPECIES[:9], "must return integer labels"),
        (lambda X: SPECIES / 2, "must return integer labels"),
        (lambda X: np.full((150, 2), np.nan), "must not be negative or NaN"),
        (lambda X: np.full((150, 2), -1.0), "must not be negative or NaN"),
    ],
)
def test_function_that_gives_no_start_is_named(function, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(2, init_params=function).fit(IRIS)


@pytest.mark.parametrize("params", [{}, {"covariance_type": "auto"}])
def test_without_iterations_settings_are_chosen_from_starts(params):
    mixture = GaussianMixture("auto", max_iter=0, random_state=0, **params)
    rows = np.random.default_rng(0).normal(size=(60, 2)) + [[0, 0], [9, 0]] * 30
    assert np.isfinite(mixture.fit(rows).score(rows))
    assert mixture.n_iter_ == 0

"""Laws and oracles of expectation-maximisation."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import make_blobs
from sklearn.mixture import GaussianMixture

from skgmje.em import expectation_maximization, start_mixture, weights_only
from skgmje.gaussian import COVARIANCE_TYPES, Mixture

X, LABELS = make_blobs(300, 3, centers=3, cluster_std=2.0, random_state=1)
SKLEARN_TYPES = ["full", "tied", "diag", "spherical"]


@pytest.fixture(params=COVARIANCE_TYPES)
def covariance_type(request):
    return request.param


def fit(rows, covariance_type, labels=LABELS, **params):
    names = ("sample_weight", "shrinkage", "shrinkage_target", "reg_covar")
    start = start_mixture(
        rows, labels, covariance_type, **{k: params[k] for k in names if k in params}
    )
    return expectation_maximization(rows, start, **params)


@pytest.mark.parametrize("kind", SKLEARN_TYPES)
def test_agrees_with_scikit_learn_from_the_same_start(kind):
    start = start_mixture(X, LABELS, kind)
    peer = GaussianMixture(
        3,
        covariance_type=kind,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=COVARIANCE_TYPES[kind].precisions(start.covariances),
        tol=1e-8,
        max_iter=1000,
    ).fit(X)
    result = expectation_maximization(X, start, tol=1e-8, max_iter=1000)
    assert result.n_iter == peer.n_iter_
    assert_allclose(result.mixture.means, peer.means_, atol=1e-6)
    assert_allclose(result.mixture.covariances, peer.covariances_, atol=1e-6)
    assert_allclose(result.mixture.log_prob(X), peer.score_samples(X), atol=1e-8)


def test_likelihood_never_falls(covariance_type):
    bounds = fit(X, covariance_type, tol=0.0, max_iter=60, reg_covar=0.0).lower_bounds
    assert np.diff(bounds).min() > -1e-9


def test_likelihood_never_falls_with_missing_entries(covariance_type, rng):
    rows = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    bounds = fit(
        rows, covariance_type, tol=0.0, max_iter=40, reg_covar=0.0
    ).lower_bounds
    assert np.diff(bounds).min() > -1e-9


def test_missing_entries_of_one_gaussian_by_hand():
    """Little and Rubin: monotone missingness has a closed-form solution."""
    rng = np.random.default_rng(3)
    rows = rng.multivariate_normal([1, 2], [[1, 0.8], [0.8, 2]], 200)
    rows[120:, 1] = np.nan
    labels = np.zeros(200, int)
    result = fit(rows, "full", labels, tol=1e-12, max_iter=5000, reg_covar=0.0)
    known = rows[:120]
    slope = np.cov(known.T, bias=True)[0, 1] / known[:, 0].var()
    mean = known[:, 1].mean() + slope * (rows[:, 0].mean() - known[:, 0].mean())
    residual = (
        known[:, 1] - known[:, 1].mean() - slope * (known[:, 0] - known[:, 0].mean())
    )
    variance = residual.var() + slope**2 * rows[:, 0].var()
    assert_allclose(result.mixture.means[0], [rows[:, 0].mean(), mean], atol=1e-5)
    assert_allclose(result.mixture.covariances[0, 1, 1], variance, atol=1e-4)


def test_weight_counts_as_copies(covariance_type, rng):
    counts = rng.integers(1, 4, len(X))
    weighted = fit(X, covariance_type, sample_weight=counts.astype(float), max_iter=5)
    labels = np.repeat(LABELS, counts)
    copied = fit(np.repeat(X, counts, axis=0), covariance_type, labels, max_iter=5)
    assert_allclose(weighted.mixture.means, copied.mixture.means)
    assert_allclose(weighted.mixture.log_prob(X), copied.mixture.log_prob(X))


@pytest.mark.parametrize("target", ["pooled", "neighbors"])
def test_boundless_shrinkage_is_a_tied_covariance(target):
    shrunken = fit(X, "full", shrinkage=1e12, shrinkage_target=target, max_iter=10)
    tied = fit(X, "tied", max_iter=10).mixture
    for covariance in shrunken.mixture.covariances:
        assert_allclose(covariance, tied.covariances, rtol=1e-6)


def test_neighbours_differ_from_the_pool_beyond_eight_components(rng):
    rows = rng.normal(size=(200, 2)) * np.linspace(0.1, 3, 200)[:, None]
    labels = np.arange(200) % 10
    one = fit(rows, "full", labels, shrinkage=20.0, max_iter=5)
    other = fit(
        rows, "full", labels, shrinkage=20.0, shrinkage_target="neighbors", max_iter=5
    )
    assert not np.allclose(one.mixture.covariances, other.mixture.covariances)


def test_annealing_ends_at_plain_likelihood():
    result = fit(X, "full", annealing=0.3, tol=1e-7, max_iter=500)
    again = expectation_maximization(X, result.mixture, tol=1e-7)
    assert result.converged
    assert abs(again.lower_bounds[-1] - result.lower_bounds[-1]) < 1e-5


def test_component_without_rows_is_dropped():
    start = start_mixture(X, LABELS, "full")
    means = start.means.copy()
    means[0] = 1e6
    lost = Mixture(start.weights, means, start.covariances, "full")
    result = expectation_maximization(X, lost)
    assert result.n_dropped == 1
    assert result.mixture.n_components == 2


def test_singular_covariance_is_repaired_and_said(covariance_type):
    if covariance_type == "low-rank":
        pytest.skip("its noise is floored at reg_covar; zero raises")
    rows = np.column_stack([X, X[:, 0]])
    result = fit(rows, covariance_type, reg_covar=0.0, max_iter=5)
    assert np.isfinite(result.mixture.log_prob(rows)).all()
    if covariance_type in ("full", "tied"):
        assert result.reg_covar > 0


def test_callback_ends_the_run():
    start = start_mixture(X, LABELS)
    seen = []
    result = expectation_maximization(
        X, start, tol=0, callback=lambda i, bound, _: seen.append(bound) or i == 3
    )
    assert result.n_iter == 3
    assert seen == result.lower_bounds


def test_low_rank_of_all_features_is_full():
    """With d - 1 factors and free noise every covariance can be reached."""
    start = start_mixture(X, LABELS, "low-rank", rank=2)
    low = expectation_maximization(X, start, tol=1e-9, max_iter=5000)
    full = fit(X, "full", tol=1e-9, max_iter=5000)
    assert low.lower_bounds[-1] == pytest.approx(full.lower_bounds[-1], abs=2e-3)


def test_weights_only_keeps_the_centres():
    centers = X[:4]
    mixture = weights_only(X, centers, tol=1e-10, max_iter=2000)
    assert_allclose(mixture.means, centers)
    assert np.ptp(mixture.covariances) == 0
    eps = 1e-4
    for factor in (1 - eps, 1 + eps):
        other = Mixture(
            mixture.weights, centers, mixture.covariances * factor, "spherical"
        )
        assert other.log_prob(X).mean() <= mixture.log_prob(X).mean() + 1e-9

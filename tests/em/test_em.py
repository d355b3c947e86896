"""Laws and oracles of expectation-maximisation."""

import tracemalloc

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from skgmje.em import (
    RowBlocks,
    block_stats,
    expectation_maximization,
    kernel_bandwidth,
    start_mixture,
    tree_reduce,
    weights_only,
)
from skgmje.gaussian import COVARIANCE_TYPES, Mixture
from skgmje.mixture import MixtureClassifier

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


@pytest.mark.parametrize("kind", ["full", "tied", "diag"])
def test_each_feature_has_units_of_its_own(kind):
    units = np.array([1e-12, 1.0, 1e12])
    plain = fit(X, kind, max_iter=5, reg_covar=0.0).mixture
    found = fit(X * units, kind, max_iter=5, reg_covar=0.0).mixture
    assert_allclose(found.means / units, plain.means, rtol=1e-6)
    assert_allclose(found.log_prob(X * units), plain.log_prob(X), rtol=1e-6)


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


def test_low_rank_from_factors_of_any_length_is_soon_factor_analysis(rng):
    common = rng.normal(size=(400, 3)) @ (10 * rng.normal(size=(3, 40)))
    rows = common + rng.normal(size=(400, 40)) * rng.uniform(0.5, 2, size=40)
    start = start_mixture(rows, np.zeros(400, int), "low-rank", rank=3)
    factors, noise = start.covariances
    oracle = FactorAnalysis(3, tol=1e-10, max_iter=5000).fit(rows).score(rows)
    for length in (0.2, 5.0):
        far = Mixture([1.0], start.means, (length * factors, noise), "low-rank")
        result = expectation_maximization(rows, far, tol=1e-3, max_iter=20)
        assert result.converged
        assert (np.diff(result.lower_bounds) > 0).all()
        assert result.lower_bounds[-1] == pytest.approx(oracle, abs=5e-3)


def test_low_rank_of_few_samples_soon_converges(rng):
    labels = np.arange(60) % 3
    centers, loadings = 3 * rng.normal(size=(3, 300)), rng.normal(size=(3, 3, 300))
    rows = np.einsum("nr,nrd->nd", rng.normal(size=(60, 3)), loadings[labels])
    rows += centers[labels] + rng.normal(size=(60, 300))
    start = start_mixture(rows, labels, "low-rank", rank=3)
    result = expectation_maximization(rows, start, tol=1e-3, max_iter=20)
    assert result.converged
    # A long run gains no more.
    longer = expectation_maximization(rows, result.mixture, tol=1e-6, max_iter=500)
    assert longer.lower_bounds[-1] < result.lower_bounds[-1] + 0.05


@pytest.mark.parametrize("shape", [(2, 4, 1), (4, 6, 3), (3, 200, 2)])
def test_low_rank_of_features_that_are_all_explained_says_what_was_added(shape, rng):
    n_rows, n_features, rank = shape
    rows, labels = rng.normal(size=(n_rows, n_features)), np.zeros(n_rows, int)
    start = start_mixture(rows, labels, "low-rank", rank=rank, reg_covar=0)
    result = expectation_maximization(rows, start, reg_covar=0)
    assert result.converged
    assert 0 < result.reg_covar < 1e-10
    # Standard deviations are not far below what was added to the variances.
    most = -0.5 * n_features * np.log(result.reg_covar)
    assert result.mixture.log_prob(rows).mean() < most


def test_an_explained_feature_of_large_variance_adds_nothing_to_small_ones(rng):
    large, small = 1e5 * rng.normal(size=(200, 1)), 1e-3 * rng.normal(size=(200, 3))
    rows = np.hstack([large, large, small])
    start = start_mixture(rows, np.zeros(200, int), "low-rank", rank=1)
    result = expectation_maximization(rows, start)
    assert result.reg_covar == 0
    # As far as rounding of the explained feature lets it, the likelihood rises.
    assert (np.diff(result.lower_bounds) > -0.01).all()
    variances = result.mixture.covariance.diagonal()
    assert_allclose(variances[2:], small.var(axis=0) + 1e-6, rtol=0.1)


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


# Means that stay: any four points, and one far away that loses all of its weight.
CENTERS = np.r_[X[:4], [[1e3, 1e3, 1e3]]]
NEAREST = ((X[:, None] - CENTERS) ** 2).sum(axis=2).argmin(axis=1)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"model": "VEV"}, r"model='VEV' is none of covariance_type='diag'.*EVI"),
        ({"model": "ABC"}, "model='ABC'"),
        ({"X": X[:, :1]}, r"X has shape .*, and start 3 features"),
    ],
)
def test_start_goes_with_samples_and_model(arguments, match):
    start = start_mixture(X, LABELS, "diag")
    with pytest.raises(ValueError, match=match):
        expectation_maximization(**{"X": X, "start": start, **arguments})


@pytest.mark.parametrize("resp", [LABELS[:-1], LABELS - 1, LABELS / 2, np.ones((3, 2))])
def test_each_sample_has_a_label(resp):
    with pytest.raises(ValueError, match=r"resp has shape .* samples of X"):
        start_mixture(X, resp, "diag")


def test_statistics_of_a_block_are_never_nan():
    start, rows = start_mixture(X, LABELS, "diag"), np.where(X > 9, np.nan, X)
    with pytest.raises(ValueError, match="missing=True"):
        block_stats(start, rows, center=np.zeros(3))
    stats = block_stats(start, rows, center=np.zeros(3), missing=True)
    assert np.isfinite(stats.counts).all()


@pytest.mark.parametrize(
    ("entry", "match"), [(np.inf, "must be finite"), (1e200, "rescale")]
)
def test_bandwidth_refuses_what_has_no_squares(entry, match):
    with pytest.raises(ValueError, match=match):
        kernel_bandwidth(np.array([[0.0], [1.0], [entry]]))


def test_a_class_without_weight_is_named():
    weight = np.where(LABELS == 1, 1e-9, 1.0)
    with pytest.raises(
        ValueError, match="class 1, counted from 0, has less than 1e-06"
    ):
        MixtureClassifier().fit(X, LABELS, sample_weight=weight)


def fit_around(rows, covariance_type, labels=NEAREST, **params):
    names = ("sample_weight", "shrinkage", "reg_covar")
    first = {k: params[k] for k in names if k in params}
    start = start_mixture(rows, labels, covariance_type, means=CENTERS, **first)
    return expectation_maximization(rows, start, fixed_means=True, **params)


def test_means_that_stay_may_be_a_list_and_are_checked():
    expected = start_mixture(X, NEAREST, means=CENTERS)
    found = start_mixture(X, NEAREST, means=CENTERS.tolist())
    assert found.covariances.tobytes() == expected.covariances.tobytes()
    for means in (CENTERS[:2], CENTERS[:, :1], CENTERS[0]):
        with pytest.raises(ValueError, match="means has shape"):
            start_mixture(X, NEAREST, means=means)
    with pytest.raises(ValueError, match="covariance_type='ful'"):
        start_mixture(X, NEAREST, "ful")


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_likelihood_never_falls_around_fixed_means(covariance_type, missing, rng):
    rows = np.where(rng.random(X.shape) < missing, np.nan, X)
    params = {"tol": 0.0, "max_iter": 40, "reg_covar": 0.0}
    result = fit_around(rows, covariance_type, **params)
    assert np.diff(result.lower_bounds).min() > -1e-9
    assert result.lower_bounds[-1] > result.lower_bounds[0] + 1e-3
    assert result.mixture.means.tobytes() == CENTERS.tobytes()
    assert result.n_dropped == 0
    assert result.mixture.weights[-1] < 1e-9
    assert np.isfinite(result.mixture.log_prob(X)).all()


def by_hand(kind, weights, covariances, sample_weight, s, reg_covar):
    """Take a step around the centers by sums over samples and components."""
    d = X.shape[1]
    near = range(4)
    diff = X[:, None] - CENTERS[:4]
    squares = [
        np.einsum("ij,jk,ik->i", diff[:, k], np.linalg.inv(covariances[k]), diff[:, k])
        for k in near
    ]
    roots = np.sqrt([np.linalg.det(covariances[k]) for k in near])
    joint = weights[:4] * np.exp(-0.5 * np.transpose(squares)) / roots
    resp = sample_weight[:, None] * joint / joint.sum(axis=1, keepdims=True)
    counts = resp.sum(axis=0)
    second = np.einsum("ik,ikj,ikl->kjl", resp, diff, diff)
    if kind == "spherical":
        second = np.trace(second, axis1=1, axis2=2)[:, None, None] / d * np.eye(d)
    if kind == "diag":
        second = second * np.eye(d)
    pool = second.sum(axis=0) / counts.sum()
    fitted = (second + s * pool) / (counts + s)[:, None, None]
    if kind == "tied":
        fitted = np.tile(pool, (4, 1, 1))
    return counts / counts.sum(), fitted + reg_covar * np.eye(d)


@pytest.mark.parametrize("kind", SKLEARN_TYPES)
@pytest.mark.parametrize("shrinkage", [0.0, 5.0])
def test_fixed_means_by_hand(kind, shrinkage, rng):
    weight = rng.uniform(0.5, 2.0, len(X))
    params = {"sample_weight": weight, "shrinkage": shrinkage, "reg_covar": 0.01}
    start = fit_around(X, kind, max_iter=20, **params).mixture
    after = {**params, "tol": 0, "max_iter": 3, "fixed_means": True}
    found = expectation_maximization(X, start, **after).mixture
    type_ = COVARIANCE_TYPES[kind]
    expected = start.weights, type_.dense(start.covariances, 5, 3)
    for _ in range(3):
        expected = by_hand(kind, *expected, weight, shrinkage, 0.01)
    assert_allclose(found.weights[:4], expected[0], rtol=1e-6)
    dense = type_.dense(found.covariances, 5, 3)
    assert_allclose(dense[:4], expected[1], rtol=1e-6, atol=1e-8)


def test_nothing_near_is_likelier_around_fixed_means(covariance_type, rng):
    found = fit_around(X, covariance_type, tol=1e-9, max_iter=1000).mixture
    parts = found.covariances
    for _ in range(10):
        size = 1e-3 * rng.choice([-1, 1])
        if covariance_type in ("full", "tied"):
            turn = np.eye(3) + size * rng.normal(size=(3, 3))
            moved = turn @ parts @ turn.T
        elif covariance_type == "low-rank":
            moved = tuple(part * (1 + size * rng.random(part.shape)) for part in parts)
        else:
            moved = parts * (1 + size * rng.random(parts.shape))
        other = Mixture(found.weights, CENTERS, moved, covariance_type)
        assert other.log_prob(X).mean() < found.log_prob(X).mean() + 1e-5


def test_weights_count_as_copies_around_fixed_means(covariance_type, rng):
    counts = rng.integers(1, 4, len(X))
    weight = counts.astype(float)
    weighted = fit_around(X, covariance_type, sample_weight=weight, max_iter=5)
    copies, labels = np.repeat(X, counts, axis=0), np.repeat(NEAREST, counts)
    copied = fit_around(copies, covariance_type, labels, max_iter=5)
    assert_allclose(weighted.mixture.log_prob(X), copied.mixture.log_prob(X))


class Blocks(RowBlocks):
    """Two blocks of the samples."""

    parts = (X[:110], X[110:])

    def reduce(self, function, merge):
        parts = [function(i, part, None) for i, part in enumerate(self.parts)]
        return tree_reduce(merge, parts)

    def __iter__(self):
        return iter((part, None) for part in self.parts)


def test_blocks_and_tensors_fit_alike_around_fixed_means(covariance_type):
    start = start_mixture(X, NEAREST, covariance_type, means=CENTERS)
    engines = [X, Blocks()]
    if covariance_type in ("full", "diag", "spherical"):
        engines.append(torch.from_numpy(X))
    one, *others = (
        expectation_maximization(rows, start, fixed_means=True, max_iter=8).mixture
        for rows in engines
    )
    for other in others:
        assert other.means.tobytes() == CENTERS.tobytes()
        assert_allclose(other.log_prob(X), one.log_prob(X), rtol=1e-6)


# One variance for samples that are left out --------------------------------------


def left_out(centers, rows=X, **params):
    return weights_only(rows, centers, left_out=True, **params)


def test_variance_of_samples_left_out_by_hand():
    centers = X[::12]
    found = left_out(centers, tol=1e-10, max_iter=2000).covariances[0]
    squares = ((X[:, None] - centers) ** 2).sum(axis=2)
    labels = squares.argmin(axis=1)
    for i, k in enumerate(labels):
        n = np.sum(labels == k)
        squares[i, k] *= np.inf if n == 1 else (n / (n - 1)) ** 2

    def bound(variance):
        weights = np.full(len(centers), 1 / len(centers))
        for _ in range(500):
            kernels = weights * np.exp(-squares / (2 * variance))
            weights = (kernels / kernels.sum(axis=1, keepdims=True)).mean(axis=0)
        log_prob = np.log(kernels.sum(axis=1)) - 1.5 * np.log(variance)
        return log_prob.mean()

    assert bound(found) > max(bound(0.9 * found), bound(1.1 * found))


def test_many_centers_predict_as_a_kernel_density_estimate(rng):
    rows, test = rng.normal(size=(200, 2)), rng.normal(size=(1000, 2))
    bandwidth = kernel_bandwidth(rows)
    reference = KernelDensity(bandwidth=bandwidth).fit(rows).score(test) / len(test)
    cells = KMeans(80, n_init=1, random_state=0).fit(rows).cluster_centers_
    for centers in (rows, cells):
        found = left_out(centers, rows).log_prob(test).mean()
        plain = weights_only(rows, centers).log_prob(test).mean()
        assert found > reference - 0.06
        assert found > plain + 0.2


def test_few_centers_need_no_correction():
    found, plain = left_out(X[:3]), weights_only(X, X[:3])
    assert_allclose(found.covariances, plain.covariances, rtol=0.05)
    assert_allclose(found.weights, plain.weights, atol=0.02)


@pytest.mark.parametrize("size", [1e-320, 1.0, 1e300])
def test_samples_alone_and_alike_keep_a_variance(size):
    rows = np.repeat([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]], [1, 9, 1], axis=0)
    for centers in (rows[[0, 1, 10]], rows[[1, 1]], rows[:1]):
        weight = np.full(len(rows), size)
        mixture = left_out(centers, rows, sample_weight=weight)
        assert np.isfinite(mixture.log_prob(rows)).all()


def test_left_out_weights_count_as_copies(rng):
    counts = rng.integers(1, 4, len(X))
    weighted = left_out(X[:40], sample_weight=counts.astype(float))
    copied = left_out(X[:40], np.repeat(X, counts, axis=0))
    assert_allclose(weighted.covariances, copied.covariances, rtol=1e-9)


def _holes(d, kind, n=120):
    """Return samples with missing values, and a mixture that is near them."""
    rng = np.random.default_rng(d)
    roots = rng.normal(size=(3, d, d)) / np.sqrt(d)
    dense = roots @ roots.transpose(0, 2, 1) + 0.3 * np.eye(d)
    covariances = {
        "full": dense,
        "tied": dense[0],
        "diag": np.diagonal(dense, axis1=1, axis2=2).copy(),
        "spherical": dense[:, 0, 0].copy(),
        "low-rank": (roots[:, :, :2], np.full((3, d), 0.5)),
    }[kind]
    start = Mixture([0.2, 0.3, 0.5], rng.normal(size=(3, d)), covariances, kind)
    X = start.sample(n, rng)[0] + 0.2
    X[rng.uniform(size=X.shape) < 0.3] = np.nan
    X[0], X[1, 0] = 1.0, 1e8
    return X, start


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("d", [3, 20, 26])
def test_missing_values_by_patterns(kind, d):
    X, start = _holes(d, kind)
    weight = np.random.default_rng(0).uniform(0.5, 2, size=len(X))
    observed = start.log_prob(X, missing="marginal")
    params = {"sample_weight": weight, "tol": 0, "reg_covar": 1e-12}
    first = expectation_maximization(X, start, max_iter=1, **params)
    assert_allclose(first.lower_bounds[0], np.average(observed, weights=weight))
    bounds = expectation_maximization(X[2:], start, max_iter=8, tol=0).lower_bounds
    assert (np.diff(bounds) > -1e-6).all()


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_a_wide_offset_keeps_what_is_missing(kind):
    X, start = _holes(4, kind)
    moved = Mixture(start.weights, start.means + 1e7, start.covariances, kind)
    params = {"max_iter": 2, "tol": 0}
    near = expectation_maximization(X[2:], start, **params).mixture
    far = expectation_maximization(X[2:] + 1e7, moved, **params).mixture
    assert_allclose(far.means - 1e7, near.means, atol=1e-5)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_gaps_of_components_far_apart(kind):
    """Squares about one center would have no digits left."""
    X, start = _holes(4, kind)
    X = X[2:][~np.isnan(X[2:]).all(axis=1)]
    offsets, params = np.repeat([0.0, 1e7], 3)[:, None], {"max_iter": 3, "tol": 0}
    covariances = start.covariances
    if kind != "tied":
        parts = covariances if isinstance(covariances, tuple) else (covariances,)
        twice = tuple(np.concatenate([part, part]) for part in parts)
        covariances = twice if isinstance(covariances, tuple) else twice[0]
    weights, means = np.tile(start.weights / 2, 2), np.tile(start.means, (2, 1))
    both = Mixture(weights, means + offsets, covariances, kind)
    rows = np.concatenate([X, X + 1e7])
    far = expectation_maximization(rows, both, **params).mixture
    near = expectation_maximization(X, start, **params).mixture
    assert_allclose(far.means - offsets, np.tile(near.means, (2, 1)), atol=1e-6)


def test_low_rank_of_few_samples_forms_no_matrix_of_the_features():
    n_features, rng = 2000, np.random.default_rng(0)
    X = rng.normal(size=(30, 3)) @ rng.normal(size=(3, n_features))
    X += rng.normal(size=X.shape) * rng.uniform(0.5, 2, size=n_features)
    tracemalloc.start()
    settings = {"shrinkage": 5.0, "reg_covar": 1e-3}
    start = start_mixture(X, np.arange(30) % 2, "low-rank", rank=3, **settings)
    mixture = expectation_maximization(X, start, max_iter=3, **settings).mixture
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * n_features**2
    # The start keeps the variances, and finds what is common.
    kind = COVARIANCE_TYPES["low-rank"]
    own = kind.diagonal(start.covariances, 2, n_features)
    diag = start_mixture(X, np.arange(30) % 2, "diag", **settings)
    assert_allclose(own, diag.covariances, rtol=1e-6)
    assert mixture.log_prob(X).mean() > start.log_prob(X).mean()

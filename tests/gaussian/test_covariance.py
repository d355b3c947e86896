"""Every covariance type agrees with the dense matrices it stands for."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.mixture import GaussianMixture

from skgmje.gaussian import COVARIANCE_TYPES, Mixture

TYPES = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
PAIRS = pytest.mark.parametrize(
    ("first", "second"), [(a, b) for a in COVARIANCE_TYPES for b in COVARIANCE_TYPES]
)
K, D = 3, 4


@pytest.fixture
def case(covariance_type, make_mixture, dense, xp):
    """A covariance type, covariances, the same as matrices, differences."""
    mixture = make_mixture(covariance_type, n_features=D, xp=xp)
    diff = np.random.default_rng(1).normal(size=(5, K, D))
    kind = COVARIANCE_TYPES[covariance_type]
    return kind, mixture.covariances, dense(mixture), xp.asarray(diff)


def _arrays(covariances):
    return covariances if isinstance(covariances, tuple) else (covariances,)


def _as_dense(covariance_type, covariances, n_components=K, n_features=D):
    kind = COVARIANCE_TYPES[covariance_type]
    return np.asarray(kind.dense(covariances, n_components, n_features))


@TYPES
def test_shape_is_that_of_the_arrays(case):
    kind, covariances, _, _ = case
    shape = kind.shape(K, D, 2)
    shapes = shape if isinstance(covariances, tuple) else (shape,)
    assert shapes == tuple(tuple(a.shape) for a in _arrays(covariances))


@TYPES
def test_diagonal_and_pooled(case, xp):
    kind, covariances, matrices, _ = case
    diagonal = np.diagonal(matrices, axis1=-2, axis2=-1)
    assert_allclose(kind.diagonal(covariances, K, D), diagonal, rtol=1e-12)
    weights = np.array([0.2, 0.5, 0.3])
    pooled = kind.pooled(covariances, xp.asarray(weights), D)
    expected = np.tensordot(weights, matrices, 1)
    assert_allclose(pooled, expected, rtol=1e-12, atol=1e-14)


@TYPES
def test_whiten_log_det_and_solve(case):
    kind, covariances, matrices, diff = case
    factor = kind.precisions_cholesky(covariances)
    solution = np.linalg.solve(matrices, np.asarray(diff)[..., None])[..., 0]
    assert_allclose(kind.solve(diff, factor), solution, rtol=1e-10, atol=1e-12)
    squared = np.sum(np.asarray(diff) * solution, axis=-1)
    white = np.asarray(kind.whiten(diff, factor))
    assert_allclose(np.sum(white**2, axis=-1), squared, rtol=1e-10)
    log_det = np.broadcast_to(np.asarray(kind.log_det(factor, D)), (K,))
    assert_allclose(log_det, -0.5 * np.linalg.slogdet(matrices)[1], rtol=1e-10)


@TYPES
def test_noise_has_the_covariance(case, xp):
    kind, covariances, matrices, _ = case
    root, n_normals = kind.root(covariances), kind.n_normals(covariances, D)
    for k in range(K):
        component = xp.asarray(np.full(n_normals, k))
        # The images of the unit vectors are the rows of a square root.
        rows = np.asarray(kind.noise(root, component, xp.asarray(np.eye(n_normals))))
        assert_allclose(rows.T @ rows, matrices[k], rtol=1e-10, atol=1e-12)


@TYPES
def test_select_and_marginal(case, covariance_type):
    kind, covariances, matrices, _ = case
    selected = kind.select(covariances, slice(1, 3))
    assert_allclose(_as_dense(covariance_type, selected, K - 1), matrices[1:])
    some = _as_dense(covariance_type, kind.marginal(covariances, [3, 1]), K, 2)
    assert_allclose(some, matrices[:, [3, 1]][..., [3, 1]], rtol=1e-12)


@TYPES
def test_conditional_is_the_schur_complement(case, covariance_type):
    kind, covariances, matrices, diff = case
    given, rest = [2, 0], [1, 3]
    shift, remaining = kind.conditional(covariances, given, rest, diff[..., given])
    cc = matrices[:, given][..., given]
    tc = matrices[:, rest][..., given]
    gain = np.swapaxes(np.linalg.solve(cc, np.swapaxes(tc, -1, -2)), -1, -2)
    expected = matrices[:, rest][..., rest] - gain @ np.swapaxes(tc, -1, -2)
    actual = _as_dense(covariance_type, remaining, K, 2)
    assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)
    # The precision of the whole has it too: S_{t|c} = P_tt^-1.
    precision = np.linalg.inv(matrices)[:, rest][..., rest]
    assert_allclose(np.linalg.inv(actual), precision, rtol=1e-9, atol=1e-11)
    moved = (gain @ np.asarray(diff)[..., given, None])[..., 0]
    shift = np.broadcast_to(np.asarray(shift), moved.shape)
    assert_allclose(shift, moved, rtol=1e-10, atol=1e-12)


@TYPES
def test_images_under_linear_maps(case, xp):
    kind, covariances, matrices, _ = case
    generator = np.random.default_rng(2)
    factors, matrix = generator.normal(size=D), generator.normal(size=(2, D))
    for method, A, as_matrix in (
        (kind.scale, np.asarray(-1.7), -1.7 * np.eye(D)),
        (kind.stretch, factors, np.diag(factors)),
        (kind.transform, matrix, matrix),
    ):
        name, image = method(covariances, xp.asarray(A))
        actual = _as_dense(name, image, K, len(as_matrix))
        expected = as_matrix @ matrices @ as_matrix.T
        assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)


@TYPES
def test_sums_and_products_of_pairs(covariance_type, make_mixture, dense, xp):
    kind = COVARIANCE_TYPES[covariance_type]
    p = make_mixture(covariance_type, seed=1, n_components=2, n_features=D, xp=xp)
    q = make_mixture(covariance_type, seed=2, n_components=K, n_features=D, xp=xp)
    left, right = dense(p)[:, None], dense(q)[None, :]
    total = kind.pair_sum(p.covariances, q.covariances)
    total = np.broadcast_to(_as_dense(covariance_type, total), (2, K, D, D))
    assert_allclose(total, left + right, rtol=1e-12)

    diff = np.asarray(q.means)[None] - np.asarray(p.means)[:, None]
    shift, both = kind.product(p.covariances, q.covariances, xp.asarray(diff))
    expected = np.linalg.inv(np.linalg.inv(left) + np.linalg.inv(right))
    actual = _as_dense(covariance_type, both, 2 * K).reshape(2, K, D, D)
    assert_allclose(actual, expected, rtol=1e-9, atol=1e-11)
    moved = left @ np.linalg.solve(left + right, diff[..., None])
    assert_allclose(shift, moved[..., 0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_conventions_are_those_of_scikit_learn(covariance_type, rng):
    X = rng.normal(size=(200, D)) * [1, 2, 3, 4]
    gm = GaussianMixture(K, covariance_type=covariance_type, random_state=0).fit(X)
    kind = COVARIANCE_TYPES[covariance_type]
    factor = kind.precisions_cholesky(gm.covariances_)
    assert_allclose(factor, gm.precisions_cholesky_, rtol=1e-10, atol=1e-12)
    mixture = Mixture(gm.weights_, gm.means_, gm.covariances_, covariance_type)
    assert mixture.n_parameters == gm._n_parameters()


def test_low_rank_has_no_more_parameters_than_full():
    low_rank, full = COVARIANCE_TYPES["low-rank"], COVARIANCE_TYPES["full"]
    assert low_rank.n_parameters(2, 10, 1) == 2 * (10 + 10)
    assert low_rank.n_parameters(2, 10, 3) == 2 * (30 + 10 - 3)
    assert low_rank.n_parameters(2, 3, 3) == full.n_parameters(2, 3)


def test_low_rank_forms_no_square_matrix(rng):
    d = 20_000
    factors, diagonal = rng.normal(size=(2, d, 3)), rng.uniform(1, 2, size=(2, d))
    mixture = Mixture([0.5, 0.5], np.zeros((2, d)), (factors, diagonal), "low-rank")
    tracemalloc.start()
    log_prob = mixture.log_prob(rng.normal(size=(4, d)))
    mixture.sample(3, random_state=0)
    mixture.condition(slice(100), np.zeros(100)).log_prob(np.zeros(d - 100))
    mixture.l2_distance(mixture)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.all(np.isfinite(log_prob))
    assert peak < 100e6


def test_low_rank_does_not_cancel(rng):
    # In the basis Q the distance is a sum; Woodbury's difference would lose 1e-4.
    basis = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    std, variance = 1e4, 1e-4
    diff = rng.normal(size=30) * np.where(np.arange(30) < 2, std, variance**0.5)
    exact = np.sum(diff[:2] ** 2) / (std**2 + variance)
    exact += np.sum(diff[2:] ** 2) / variance
    covariances = (std * basis[None, :, :2], np.full((1, 30), variance))
    kind = COVARIANCE_TYPES["low-rank"]
    factor = kind.precisions_cholesky(covariances)
    white = kind.whiten((basis @ diff)[None], factor)
    assert_allclose(np.sum(white**2), exact, rtol=1e-9)

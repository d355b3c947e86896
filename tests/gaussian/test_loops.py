"""Laws of the hot loops, over all covariance types and both paths, and threads."""

import multiprocessing
import os
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm
from sklearn.datasets import make_blobs
from threadpoolctl import ThreadpoolController, threadpool_limits

from skgmje.em import expectation_maximization, start_mixture

# Inside: the loops of a covariance type are what fits and scores run on.
from skgmje.em._em import Samples, e_step, make_kernel
from skgmje.gaussian import COVARIANCE_TYPES, Mixture, _passes
from skgmje.gaussian._covariance import common_type, widen
from skgmje.gaussian._covariance_type import CovarianceType, Kernel, Prior
from skgmje.gaussian._passes import (
    WORTHWHILE,
    assigned_stats,
    block_stats,
    joint_log_prob,
    log_prob,
    m_step,
    map_chunks,
    merge_stats,
    responsibilities,
)
from skgmje.gaussian._processor import Exponential

# Laws of the hot loops, over all covariance types and both paths ----------------------


N, D, K = 150, 4, 3
NO_PRIOR = Prior(0.0, lambda scatter, counts, means, pool: pool, np.zeros(D))

# Every row, whatever its distance, by one matrix product; or never.
PATHS = {"expanded": np.inf, "direct": -1.0}


def make_covariances(covariance_type, rng, n_features=D):
    matrices = rng.normal(size=(K, n_features, n_features + 2))
    matrices = matrices @ matrices.transpose(0, 2, 1) / n_features + 0.1 * np.eye(
        n_features
    )
    known = {
        "full": matrices,
        "tied": matrices[0],
        "diag": matrices.diagonal(axis1=1, axis2=2).copy(),
        "spherical": matrices[:, 0, 0].copy(),
        "low-rank": (
            rng.normal(size=(K, n_features, 2)),
            0.2 + rng.random((K, n_features)),
        ),
    }
    if covariance_type in known:
        return known[covariance_type]
    kind, full = COVARIANCE_TYPES[covariance_type], COVARIANCE_TYPES["full"]
    return kind.convert(full, matrices, K, n_features)


@pytest.fixture(params=COVARIANCE_TYPES)
def covariance_type(request):
    return request.param


@pytest.fixture(params=PATHS)
def path(request):
    return request.param


@pytest.fixture
def problem(covariance_type, path, rng):
    weights = np.array([0.5, 0.3, 0.2])
    means = rng.normal(size=(K, D))
    covariances = make_covariances(covariance_type, rng)
    X = 2 * rng.normal(size=(N, D)) + 1
    kernel = COVARIANCE_TYPES[covariance_type].loops(
        weights, means, covariances, X.mean(axis=0), PATHS[path]
    )
    assert kernel.expands == (path == "expanded")
    dense = COVARIANCE_TYPES[covariance_type].dense(covariances, K, D)
    joint = np.column_stack(
        [
            np.log(w) + multivariate_normal(m, S).logpdf(X)
            for w, m, S in zip(weights, means, dense, strict=True)
        ]
    )
    return kernel, X, joint


def test_densities_agree_with_scipy(problem):
    kernel, X, joint = problem
    assert_allclose(joint_log_prob(kernel, X), joint, rtol=0, atol=1e-10)
    assert_allclose(log_prob(kernel, X), logsumexp(joint, axis=1), rtol=0, atol=1e-10)
    expected = np.exp(joint - logsumexp(joint, axis=1)[:, None])
    assert_allclose(responsibilities(kernel, X), expected, atol=1e-10)


def test_statistics_are_weighted_moments(problem, rng):
    kernel, X, joint = problem
    weight = rng.random(N)
    stats = block_stats(kernel, X, weight)
    resp = np.exp(joint - logsumexp(joint, axis=1)[:, None]) * weight[:, None]
    assert_allclose(stats.counts, resp.sum(axis=0))
    assert_allclose(stats.means, resp.T @ X / resp.sum(axis=0)[:, None])
    assert_allclose(stats.log_likelihood, weight @ logsumexp(joint, axis=1))
    assert_allclose(stats.weight, weight.sum())
    diff = X[None] - stats.means[:, None]
    scatter = np.einsum("nk,kni,knj->kij", resp, diff, diff)
    for part, expected in zip(stats.scatter, kernel.pack(scatter), strict=True):
        assert_allclose(part, expected, atol=1e-9)


def test_given_responsibilities_give_the_same_statistics(problem):
    kernel, X, joint = problem
    resp = np.exp(joint - logsumexp(joint, axis=1)[:, None])
    for part, expected in zip(
        assigned_stats(kernel, X, resp).scatter,
        block_stats(kernel, X).scatter,
        strict=True,
    ):
        assert_allclose(part, expected, atol=1e-9)


def test_parts_merge_to_the_whole(problem):
    kernel, X, _ = problem
    whole = block_stats(kernel, X)
    merged = merge_stats(
        kernel, block_stats(kernel, X[:40]), block_stats(kernel, X[40:])
    )
    assert_allclose(merged.counts, whole.counts)
    assert_allclose(merged.means, whole.means)
    assert_allclose(merged.log_likelihood, whole.log_likelihood)
    for part, expected in zip(merged.scatter, whole.scatter, strict=True):
        assert_allclose(part, expected, atol=1e-9)


def test_m_step_raises_the_likelihood(problem):
    kernel, X, _ = problem
    parameters = m_step(kernel, block_stats(kernel, X), NO_PRIOR)
    better = type(kernel)(*parameters, kernel.center)
    assert log_prob(better, X).mean() > log_prob(kernel, X).mean()


def test_m_step_fixed_point_does_not_move(problem):
    kernel, X, _ = problem
    for _ in range(1000):
        stats = block_stats(kernel, X)
        kernel = type(kernel)(*m_step(kernel, stats, NO_PRIOR), kernel.center, np.inf)
        now = stats.log_likelihood
    assert_allclose(block_stats(kernel, X).log_likelihood, now, rtol=1e-7)


def test_far_rows_go_to_the_nearest_component(problem):
    kernel, X, _ = problem
    far = np.vstack([np.full(D, 1e200), np.full(D, -1e200), X[0]])
    resp = responsibilities(kernel, far)
    assert_allclose(resp.sum(axis=1), 1.0)
    assert_allclose(resp[2], responsibilities(kernel, X[:1])[0], rtol=1e-9)
    assert log_prob(kernel, far)[0] == -np.inf


def test_far_off_data_take_the_direct_path(covariance_type, rng):
    """Means at 1e8 standard deviations from the center keep ten digits."""
    means = rng.normal(size=(K, D)) * 1e8
    covariances = make_covariances(covariance_type, rng)
    kernel = COVARIANCE_TYPES[covariance_type].loops(
        np.full(K, 1 / K), means, covariances, np.zeros(D)
    )
    assert not kernel.expands
    X = means + rng.normal(size=(K, D))
    dense = COVARIANCE_TYPES[covariance_type].dense(covariances, K, D)
    expected = [
        np.log(1 / K) + multivariate_normal(np.zeros(D), S).logpdf(x - m)
        for x, m, S in zip(X, means, dense, strict=True)
    ]
    assert_allclose(log_prob(kernel, X), expected, rtol=1e-6)


def test_rows_at_any_distance_agree_with_scipy(covariance_type, rng):
    """Where the sum of exponentials underflows, and on both sides of that."""
    n_components = 300
    covariances = make_covariances(covariance_type, rng)
    repeat = np.arange(n_components) % K
    covariances = COVARIANCE_TYPES[covariance_type].select(covariances, repeat)
    means = rng.normal(size=(n_components, D))
    kernel = COVARIANCE_TYPES[covariance_type].loops(
        np.full(n_components, 1 / n_components), means, covariances, np.zeros(D)
    )
    X = np.outer(np.geomspace(0.1, 1e3, 60), rng.normal(size=D))
    dense = COVARIANCE_TYPES[covariance_type].dense(covariances, n_components, D)
    joint = [
        multivariate_normal(m, S).logpdf(X) for m, S in zip(means, dense, strict=True)
    ]
    expected = logsumexp(joint, axis=0) - np.log(n_components)
    assert expected.min() < -1e4
    assert_allclose(log_prob(kernel, X), expected, rtol=1e-10)


def test_very_unequal_components(covariance_type, path, rng):
    """A component a thousand nats below the highest keeps its rows."""
    means = np.array([[0.0] * D, [1e3] * D])
    known = {
        "full": np.stack([1e-200 * np.eye(D), np.eye(D)]),
        "tied": np.eye(D),
        "diag": np.array([[1e-200] * D, [1.0] * D]),
        "spherical": np.array([1e-200, 1.0]),
        "low-rank": (np.zeros((2, D, 1)), np.array([[1e-200] * D, [1.0] * D])),
    }
    if covariance_type not in known:
        pytest.skip("its covariances have to be written by hand")
    covariances = known[covariance_type]
    kernel = COVARIANCE_TYPES[covariance_type].loops(
        np.array([0.5, 0.5]), means, covariances, np.zeros(D), PATHS[path]
    )
    X = means[1] + rng.normal(size=(5, D))
    expected = multivariate_normal(means[1]).logpdf(X) + np.log(0.5)
    assert_allclose(log_prob(kernel, X), expected, rtol=0, atol=1e-8)


def test_float32_rows_are_squared_in_double_precision(problem):
    kernel, X, _ = problem
    X32 = X.astype(np.float32)
    assert_allclose(log_prob(kernel, X32), log_prob(kernel, X32.astype(float)), rtol=0)


def test_zero_weight_component_has_no_share(covariance_type, rng):
    kernel = COVARIANCE_TYPES[covariance_type].loops(
        np.array([0.5, 0.5, 0.0]),
        rng.normal(size=(K, D)),
        make_covariances(covariance_type, rng),
        np.zeros(D),
    )
    assert responsibilities(kernel, rng.normal(size=(5, D)))[:, 2].max() == 0


@pytest.mark.parametrize("kind", ["diag", "spherical", "low-rank"])
def test_variance_of_zero_is_refused(kind, rng):
    covariances = make_covariances(kind, rng)
    variances = covariances[1] if kind == "low-rank" else covariances
    variances[0] = 0.0
    with pytest.raises(ValueError, match="Increase reg_covar"):
        COVARIANCE_TYPES[kind].loops(
            np.full(K, 1 / K), np.zeros((K, D)), covariances, np.zeros(D)
        )


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_features_constant_in_some_components_take_products(covariance_type, rng):
    # Pixels that are zero in some digits: the middle of all means would be thousands
    # of their deviations away, and leave only the slow path.
    means, variances = rng.normal(8.0, 2.0, (8, 6)), rng.uniform(1.0, 9.0, (8, 6))
    constant = np.arange(6) % 4 == np.arange(8)[:, None] % 4
    means[constant], variances[constant] = 0.0, 1e-6
    covariances = variances[:, :, None] * np.eye(6)
    if covariance_type == "diag":
        covariances = variances
    weights = np.append(np.full(7, 1 / 7), 0.0)
    mixture = Mixture(weights, means, covariances, covariance_type)
    assert mixture._kernel.expands_all
    X = means[:7] + np.sqrt(variances[:7]) * rng.normal(size=(7, 6))
    of_features = norm(means[:7], variances[:7] ** 0.5).logpdf(X[:, None])
    expected = logsumexp(np.log(weights[:7]) + of_features.sum(axis=2), axis=1)
    assert_allclose(mixture.log_prob(X), expected, atol=1e-11)


def test_a_value_that_stands_for_no_value_does_not_move_the_middle(rng):
    # Its component is narrow, and a thousand deviations of the others away.
    means = np.append(rng.normal(size=(9, 2)), [[-999.0, -999.0]], axis=0)
    variances = np.append(np.ones((9, 2)), [[1e-6, 1e-6]], axis=0)
    weights = np.append(np.full(9, 0.11), 0.01)
    assert_array_equal(Mixture(weights, means, variances, "diag")._kernel.apart, [9])


def test_collinear_features_are_not_expanded(rng):
    # Terms of 1e8 that cancel to 1 would lose eight digits more.
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    scale = np.array([1.0, 1.0, 1.0, 1e-4])
    mixture = Mixture(
        [1.0], np.zeros((1, 4)), ((rotation * scale**2) @ rotation.T)[None]
    )
    assert not mixture._kernel.expands
    white = rng.normal(size=(50, 4))
    expected = (
        -0.5 * (white**2).sum(axis=1) - np.log(scale).sum() - 2 * np.log(2 * np.pi)
    )
    found = mixture.log_prob((white * scale) @ rotation.T)
    # The covariance itself is known to 1e-16 / 1e-8 of its smallest variance.
    assert_allclose(found, expected, atol=1e-6)


# Our own threads: in order, one caller at a time, and the library restored ------------


def blas_threads():
    libraries = ThreadpoolController().info()
    return {lib["num_threads"] for lib in libraries if lib["user_api"] == "blas"}


@pytest.fixture(params=[1, 2, 3])
def n_threads(request):
    with threadpool_limits(request.param, user_api="blas"):
        yield request.param


def test_results_come_in_order(n_threads):
    assert map_chunks(lambda i: i * i, list(range(50)), 1e12) == [
        i * i for i in range(50)
    ]


def test_library_is_held_at_one_and_restored(n_threads):
    before = blas_threads()
    inside = map_chunks(lambda i: blas_threads(), [0, 1, 2], 1e12)
    assert all(counts == {1} for counts in inside)
    assert blas_threads() == before


def test_library_is_restored_after_an_error():
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(ZeroDivisionError):
            map_chunks(lambda i: 1 / i, [1, 0], 1e12)
        assert blas_threads() == {2}


def test_as_many_threads_as_the_library_had():
    names = set()
    barrier = threading.Barrier(2, timeout=20)

    def note(chunk):
        names.add(threading.current_thread().name)
        barrier.wait()

    with threadpool_limits(2, user_api="blas"):
        map_chunks(note, [0, 1], WORTHWHILE)
    assert len(names) == 2


def test_nested_calls_take_turns():
    def outer(i):
        return sum(map_chunks(lambda j: i + j, [0, 1, 2], 1e12))

    with threadpool_limits(2, user_api="blas"):
        assert map_chunks(outer, [0, 10], 1e12) == [3, 33]


def test_statistics_have_the_same_bits_for_any_number_of_threads(rng):
    X = rng.normal(size=(60_000, 8))
    means = rng.normal(size=(16, 8))
    mixture = Mixture(np.full(16, 1 / 16), means, np.ones((16, 8)), "diag")
    kernel = make_kernel(mixture, X.mean(axis=0))
    answers = []
    for count in (1, 2, 3):
        with threadpool_limits(count, user_api="blas"):
            answers.append(block_stats(kernel, X))
    for other in answers[1:]:
        assert_array_equal(other.means, answers[0].means)
        assert_array_equal(other.scatter[0], answers[0].scatter[0])
        assert other.log_likelihood == answers[0].log_likelihood


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_does_not_wait_for_threads_it_does_not_have():
    def child():
        map_chunks(lambda chunk: chunk, [slice(0, 1), slice(1, 2)], 1e9)

    with _passes._library._lock, _passes._one_caller:
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
    process.join(30)
    hung = process.is_alive()
    process.kill()
    assert not hung
    assert process.exitcode == 0


def test_types_keep_the_contract(covariance_type):
    kind = COVARIANCE_TYPES[covariance_type]
    assert isinstance(kind, CovarianceType)
    assert kind.name == covariance_type
    assert covariance_type not in kind.wider
    assert issubclass(kind.loops, Kernel)


@pytest.mark.parametrize("first", COVARIANCE_TYPES)
@pytest.mark.parametrize("second", COVARIANCE_TYPES)
def test_common_type_holds_both(first, second, make_mixture, dense):
    name = common_type(first, second)
    assert name == common_type(second, first)
    for covariance_type in (first, second):
        mixture = make_mixture(covariance_type, n_features=D)
        widened = COVARIANCE_TYPES[name].dense(widen(mixture, name), 3, D)
        assert_allclose(widened, dense(mixture), rtol=1e-12)


def test_common_type_is_the_narrowest():
    assert common_type("spherical", "spherical") == "spherical"
    assert common_type("spherical", "diag") == "diag"
    assert common_type("diag", "low-rank") == "low-rank"
    assert common_type("tied", "spherical") == "full"


def test_missing_path_without_missing_entries_is_the_complete_path(covariance_type):
    X, labels = make_blobs(300, 3, centers=3, cluster_std=2.0, random_state=1)
    start = start_mixture(X, labels, covariance_type)
    mixture = expectation_maximization(X, start, max_iter=3).mixture
    kernel = make_kernel(mixture, X.mean(axis=0), -1.0)
    exact = e_step(kernel, Samples(X, None, covariance_type, missing=True))
    stats = block_stats(kernel, X)
    assert_allclose(exact.counts, stats.counts)
    assert_allclose(exact.log_likelihood, stats.log_likelihood)
    for part, expected in zip(exact.scatter, stats.scatter, strict=True):
        assert_allclose(part, expected, atol=1e-8)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_a_few_narrow_components_leave_the_others_on_the_fast_path(
    covariance_type, rng
):
    K, narrow = 6, [0, 4]
    weights = rng.dirichlet(np.full(K, 5.0))
    means = rng.normal(size=(K, D))
    kind = COVARIANCE_TYPES[covariance_type]
    shape = kind.shape(K, D)
    scale = np.ones(K)
    scale[narrow] = 1e-9
    covariances = (
        np.ones(shape) if covariance_type != "full" else np.tile(np.eye(D), (K, 1, 1))
    )
    covariances = covariances * scale.reshape(-1, *[1] * (covariances.ndim - 1))
    X = means[rng.integers(K, size=N)] + 1e-3 * rng.normal(size=(N, D))
    kernel = kind.loops(weights, means, covariances, X.mean(axis=0))
    assert kernel.expands
    assert kernel.apart.tolist() == narrow
    alone = kind.loops(weights, means, covariances, X.mean(axis=0), -1.0)
    assert not alone.expands
    assert_allclose(log_prob(kernel, X), log_prob(alone, X), rtol=0, atol=1e-9)
    resp = responsibilities(alone, X)
    assert_allclose(responsibilities(kernel, X), resp, rtol=0, atol=1e-9)
    ours, expected = block_stats(kernel, X), block_stats(alone, X)
    assert_allclose(ours.means, expected.means, rtol=0, atol=1e-9)
    for i, (part, other) in enumerate(zip(ours.scatter, expected.scatter, strict=True)):
        assert_allclose(part[narrow], other[narrow], rtol=1e-6, err_msg=str(i))
        assert_allclose(part, other, rtol=0, atol=1e-8)
    labels = rng.integers(K, size=N)
    weight = rng.random(N)
    ours, expected = (
        assigned_stats(alone, X, resp, weight)
        for resp in (labels, (labels[:, None] == np.arange(K)).astype(float))
    )
    assert_allclose(ours.counts, expected.counts)
    assert_allclose(ours.means, expected.means)
    assert_allclose(ours.scatter[0], expected.scatter[0], rtol=1e-9, atol=1e-12)


def test_an_exponential_of_elementary_steps_is_as_good_as_that_of_numpy(rng):
    exp = Exponential()
    x = np.concatenate([rng.uniform(-700, 1, 50_000), rng.uniform(-1, 0, 9999), [0.0]])
    values = exp(x.copy(), {})
    error = np.abs(values / np.exp(x) - 1)
    assert (error < 4e-14 + 2e-16 * np.abs(x)).all()
    assert values[-1] == 1.0
    # In parts, whatever their places and the memory of earlier ones, the same bits.
    work = {}
    parts = [exp(part.copy(), work) for part in np.split(x, [7, 40_001, 40_003])]
    assert_array_equal(np.concatenate(parts), values)
    with np.errstate(all="ignore"):
        odd = exp(np.array([np.nan, 800.0, np.inf, -1420.0, -np.inf, -1.0]), work)
    assert_array_equal(odd[:5], [np.nan, np.inf, np.inf, 0.0, 0.0])
    assert odd[5] == exp(np.array([-1.0]), {})[0]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_sample_beyond_all_numbers_has_density_zero(share, rng):
    # However many components are so narrow that even differences overflow.
    matrices = rng.normal(size=(6, 3, 3))
    matrices = matrices @ matrices.transpose(0, 2, 1) + 0.1 * np.eye(3)
    matrices[: int(6 * share)] *= 1e-12
    mixture = Mixture(np.full(6, 1 / 6), rng.normal(size=(6, 3)), matrices)
    X = 10.0 ** np.repeat([150, 200, 300, 305], 5)[:, None] * rng.normal(size=(20, 3))
    assert_array_equal(mixture.log_prob(X)[5:], -np.inf)
    assert_allclose(mixture.responsibilities(X).sum(axis=1), 1.0)


@pytest.mark.parametrize("limit", [1e8, -1.0])
def test_second_moments_are_kept_as_upper_triangles_row_by_row(limit, rng):
    # As in files of streams, which go on where others have begun.
    X, mixture = rng.normal(size=(50, 5)), Mixture([1.0], np.zeros((1, 5)), [np.eye(5)])
    kernel = make_kernel(mixture, np.ones(5), limit)
    assert kernel.expands == (limit > 0)
    upper = np.triu_indices(5)
    second = (X - X.mean(axis=0)).T @ (X - X.mean(axis=0))
    assert_allclose(block_stats(kernel, X).scatter[0], second[upper][None])
    assert_allclose(kernel.pack(second[None])[0], second[upper][None])

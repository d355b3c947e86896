"""Marginals, conditionals, affine images and samples."""

import tracemalloc

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skgmje.gaussian import COVARIANCE_TYPES, Mixture

TYPES = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


# Marginals and conditionals


@TYPES
def test_marginal_agrees_with_quadrature(covariance_type, make_mixture, make_grid, xp):
    mixture = make_mixture(covariance_type, n_features=2, xp=xp)
    axis, step = make_grid(1)
    x = 0.7
    line = np.column_stack([axis[:, 0], np.full(len(axis), x)])
    expected = np.sum(np.exp(np.asarray(mixture.log_prob(xp.asarray(line))))) * step
    actual = mixture.marginal([1]).log_prob(xp.asarray(np.array([[x]])))
    assert_allclose(actual, np.log(expected), rtol=1e-6)


@TYPES
def test_chain_rule(covariance_type, make_mixture, xp, rng):
    mixture = make_mixture(covariance_type, n_features=4, xp=xp)
    X = xp.asarray(rng.normal(size=(10, 4)))
    given, rest = [2, 0], [1, 3]
    conditional = mixture.condition(given, X[:, given])
    assert conditional.covariance_type == covariance_type
    assert conditional.means.shape == (10, 3, 2)
    actual = mixture.marginal(given).log_prob(X[:, given])
    actual = actual + conditional.log_prob(X[:, rest])
    assert_allclose(actual, mixture.log_prob(X), rtol=1e-10)


@TYPES
def test_conditional_moments_agree_with_quadrature(
    covariance_type, make_mixture, make_grid
):
    mixture = make_mixture(covariance_type, n_features=2)
    axis, step = make_grid(1)
    line = np.column_stack([np.full(len(axis), 0.3), axis[:, 0]])
    density = np.exp(mixture.log_prob(line))
    density /= density.sum()
    conditional = mixture.condition([0], [0.3])
    assert_allclose(conditional.mean, density @ axis, rtol=1e-6)
    variance = density @ axis**2 - (density @ axis) ** 2
    assert_allclose(conditional.covariance, variance[None], rtol=1e-5)
    points = np.exp(conditional.log_prob(axis))
    assert_allclose(points.sum() * step, 1, rtol=1e-6)


@TYPES
def test_conditioning_does_not_copy_covariances(covariance_type, make_mixture, rng):
    conditional = make_mixture(covariance_type).condition([0], rng.normal(size=(9, 1)))
    covariances = conditional.covariances
    for array in covariances if isinstance(covariances, tuple) else (covariances,):
        assert array.shape[0] == 9
        assert array.strides[0] == 0


@TYPES
@pytest.mark.parametrize("change", ["marginal", "select", "affine", "scaled"])
def test_what_conditionals_share_stays_shared(
    change, covariance_type, make_mixture, xp
):
    changes = {
        "marginal": lambda m: m.marginal([1, 0]),
        "select": lambda m: m.select([0, 2]),
        "affine": lambda m: m.affine(xp.asarray(np.eye(2, 3) + 1.0), xp.zeros(2)),
        "scaled": lambda m: m.affine(xp.asarray([1.0, 2.0, 3.0]), xp.ones(3)),
    }
    mixture = make_mixture(covariance_type, n_features=4, xp=xp)
    conditional = mixture.condition([0], xp.asarray(np.linspace(-1.0, 1.0, 9)[:, None]))
    changed, own = (changes[change](m) for m in (conditional, conditional[5]))
    arrays, alone = (
        m.covariances if isinstance(m.covariances, tuple) else (m.covariances,)
        for m in (changed, own)
    )
    for array, expected in zip(arrays, alone, strict=True):
        assert_array_equal(array[5], expected)
        assert np.asarray(array).strides[0] == 0
    assert_allclose(changed.means[5], own.means)
    assert_allclose(changed.weights[5], own.weights)


def test_shared_covariances_are_factored_once(make_mixture):
    conditional = make_mixture("full", n_features=40).condition(
        [0], np.zeros((2000, 1))
    )
    X = np.zeros((2000, 39))
    tracemalloc.start()
    conditional.log_prob(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 2000 x 3 factors of 39 x 39 would take 73 MB.
    assert peak < 20e6


@TYPES
def test_conditioning_a_conditional(covariance_type, make_mixture, xp, rng):
    mixture = make_mixture(covariance_type, n_features=3, xp=xp)
    X = xp.asarray(rng.normal(size=(5, 3)))
    both = mixture.condition([0, 1], X[:, :2])
    one_by_one = mixture.condition([0], X[:, :1]).condition([0], X[:, 1:2])
    expected = both.log_prob(X[:, 2:])
    assert_allclose(one_by_one.log_prob(X[:, 2:]), expected, rtol=1e-9)


def test_conditional_of_two_branches_keeps_both():
    means = [[0.0, -2.0], [0.0, 2.0]]
    mixture = Mixture([0.5, 0.5], means, [0.01, 0.01], "spherical")
    given = mixture.condition(0, [0.0])
    assert_allclose(given.mean, [0], atol=1e-15)
    density = np.exp(given.log_prob([[-2.0], [0.0], [2.0]]))
    assert density[1] < 1e-10 * density[0]
    assert_allclose(density[0], density[2])


@pytest.mark.parametrize("indices", [1, [1], -2, slice(1, 2), [False, True, False]])
def test_indices_may_be_written_in_many_ways(indices, make_mixture):
    mixture = make_mixture("full")
    assert_array_equal(mixture.marginal(indices).means, mixture.means[:, [1]])
    expected = mixture.condition([1], [0.5]).means
    assert_array_equal(mixture.condition(indices, [0.5]).means, expected)


@pytest.mark.parametrize("indices", [[], [0, 0], [3], [-4], [0.5], [[0, 1]], "a"])
def test_wrong_indices_are_named(indices, make_mixture):
    with pytest.raises(ValueError, match="indices="):
        make_mixture("full").marginal(indices)


def test_wrong_values_are_named(make_mixture):
    mixture = make_mixture("full")
    with pytest.raises(ValueError, match=r"values has shape \(4,\).*1 features"):
        mixture.condition([0], np.zeros(4))
    with pytest.raises(ValueError, match="values has 1 NaN"):
        mixture.condition([0], [[np.nan]])
    with pytest.raises(ValueError, match="name every feature"):
        mixture.condition([0, 1, 2], np.zeros(3))


# Affine images


@TYPES
@pytest.mark.parametrize("name", ["scalar", "vector", "square", "wide"])
def test_affine_images(covariance_type, name, make_mixture, dense, xp, rng):
    mixture = make_mixture(covariance_type, xp=xp)
    A = {
        "scalar": np.asarray(-2.0),
        "vector": np.array([0.5, -1.0, 2.0]),
        "square": rng.normal(size=(3, 3)),
        "wide": rng.normal(size=(2, 3)),
    }[name]
    matrix = A if A.ndim == 2 else A * np.eye(3)
    b = rng.normal(size=len(matrix))
    image = mixture.affine(xp.asarray(A), xp.asarray(b))
    means = np.asarray(mixture.means) @ matrix.T + b
    assert_allclose(image.means, means, rtol=1e-12)
    matrices = matrix @ dense(mixture) @ matrix.T
    assert_allclose(dense(image), matrices, rtol=1e-10, atol=1e-12)
    if name != "wide":
        X = rng.normal(size=(5, 3))
        actual = image.log_prob(xp.asarray(X @ matrix.T + b))
        actual = actual + np.linalg.slogdet(matrix)[1]
        assert_allclose(actual, mixture.log_prob(xp.asarray(X)), rtol=1e-9)


def test_affine_images_have_the_documented_types(make_mixture):
    arguments = (2.0, np.ones(3), np.eye(3))
    expected = {
        "full": ["full"] * 3,
        "tied": ["tied"] * 3,
        "diag": ["diag", "diag", "full"],
        "spherical": ["spherical", "diag", "full"],
        "low-rank": ["low-rank", "low-rank", "full"],
    }
    for covariance_type, types in expected.items():
        mixture = make_mixture(covariance_type)
        assert [mixture.affine(A).covariance_type for A in arguments] == types


@pytest.mark.parametrize(
    ("A", "b", "message"),
    [
        (0.0, 0.0, "A must have full row rank"),
        (np.array([1.0, 0.0, 1.0]), 0.0, "A must have full row rank"),
        (np.ones((2, 3)), 0.0, "A must have full row rank"),
        (np.ones((4, 3)), 0.0, r"A has shape \(4, 3\)"),
        (np.ones(2), 0.0, r"A has shape \(2,\)"),
        (1.0, np.ones(2), r"b has shape \(2,\)"),
    ],
)
def test_wrong_maps_are_named(A, b, message, make_mixture):
    with pytest.raises(ValueError, match=message):
        make_mixture("full").affine(A, b)


# Samples


@TYPES
def test_sample_moments(covariance_type, make_mixture, xp):
    mixture = make_mixture(covariance_type, xp=xp)
    n = 40_000
    X, component = (np.asarray(a) for a in mixture.sample(n, random_state=0))
    covariance = np.asarray(mixture.covariance)
    error = np.sqrt(np.diag(covariance) / n)
    assert np.all(np.abs(X.mean(axis=0) - np.asarray(mixture.mean)) < 4 * error)
    assert_allclose(np.cov(X.T), covariance, atol=0.04 * np.max(covariance))
    weights = np.asarray(mixture.weights)
    error = np.sqrt(weights * (1 - weights) / n)
    assert np.all(np.abs(np.bincount(component) / n - weights) < 4 * error)
    # Each component's samples have that component's mean.
    for k in range(3):
        part = X[component == k]
        error = part.std(axis=0) / len(part) ** 0.5
        assert np.all(
            np.abs(part.mean(axis=0) - np.asarray(mixture.means[k])) < 4 * error
        )


@TYPES
@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
def test_samples_are_the_same_in_both_libraries(covariance_type, leading, make_mixture):
    mixture = make_mixture(covariance_type, leading=leading)
    X, component = mixture.sample(7, random_state=0)
    assert X.shape == (7, *leading, 3)
    assert component.shape == (7, *leading)
    tensors = make_mixture(covariance_type, leading=leading, xp=torch)
    rows, numbers = tensors.sample(7, random_state=np.random.default_rng(0))
    assert_allclose(rows, X, rtol=1e-12)
    assert_array_equal(numbers, component)
    assert np.all(np.isfinite(mixture.log_prob(X)))


@TYPES
def test_samples_of_a_batch_follow_their_own_mixture(covariance_type, make_mixture):
    mixture = make_mixture(covariance_type, leading=(2,))
    X, _ = mixture.sample(20_000, random_state=0)
    for i in range(2):
        assert_allclose(X[:, i].mean(axis=0), mixture.mean[i], atol=0.05)
        largest = np.max(mixture.covariance[i])
        assert_allclose(np.cov(X[:, i].T), mixture.covariance[i], atol=0.06 * largest)


def test_rounding_does_not_leave_the_components():
    class Largest(np.random.Generator):
        def random(self, size=None):
            return np.full(size, np.nextafter(1, 0))

    # These weights sum to less than one, and the last one never occurs.
    weights = [0.1] * 10 + [0.0]
    mixture = Mixture(weights, np.zeros((11, 1)), np.ones(11), "spherical")
    component = mixture.sample(3, Largest(np.random.PCG64(0)))[1]
    assert_array_equal(component, [9, 9, 9])


def test_samples_are_in_no_order(make_mixture):
    component = make_mixture("full").sample(100, random_state=0)[1]
    assert np.any(np.diff(component) < 0)


@TYPES
def test_samples_carry_gradients(covariance_type, make_mixture):
    mixture = make_mixture(covariance_type, xp=torch)
    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    X, _ = mixture.affine(1.0, shift).sample(4, random_state=0)
    X.sum().backward()
    assert_allclose(shift.grad, [4, 4, 4])


def test_sampling_leaves_global_randomness_alone(make_mixture):
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    make_mixture("full", xp=torch).sample(5)
    assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("n_samples", [0, -1, 1.5, "a"])
def test_wrong_numbers_of_samples_are_named(n_samples, make_mixture):
    with pytest.raises(ValueError, match=f"n_samples={n_samples!r}"):
        make_mixture("full").sample(n_samples)

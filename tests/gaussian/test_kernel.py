"""The log-density of Gaussian bumps: scipy, quadrature, accuracy, product kernel."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from skgmje.gaussian import gaussian_log_gram

BLOCKS = [np.array([0, 2]), np.array([1])]


def naive(X, Y, variance):
    covariance = variance * np.eye(X.shape[1])
    columns = [multivariate_normal(y, covariance).logpdf(X) for y in Y]
    return np.reshape(columns, (len(Y), len(X))).T


@pytest.mark.parametrize("n_features", [2, 16, 17, 40])
def test_agrees_with_scipy(xp, rng, n_features):
    X, Y = rng.normal(size=(7, n_features)), rng.normal(size=(4, n_features))
    log_gram = gaussian_log_gram(xp.asarray(X), xp.asarray(Y), 0.7)
    assert_allclose(log_gram, naive(X, Y, 0.7), rtol=1e-10)


def test_one_variance_per_pair(xp, rng):
    X, Y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    variance = rng.uniform(0.5, 2.0, size=(5, 4))
    log_gram = gaussian_log_gram(*map(xp.asarray, (X, Y, variance)))
    for i in range(5):
        for k in range(4):
            expected = naive(X[i : i + 1], Y[k : k + 1], variance[i, k])
            assert_allclose(log_gram[i, k], expected[0, 0], rtol=1e-12)


@pytest.mark.parametrize("n_features", [1, 2])
def test_inner_product_of_bumps_by_quadrature(rng, n_features):
    axis = np.arange(-9.0, 9.0, 0.05)
    grid = np.stack(np.meshgrid(*[axis] * n_features), axis=-1).reshape(-1, n_features)
    m = rng.normal(size=(2, n_features))
    left, right = np.exp(gaussian_log_gram(grid, m[:1], 0.4)), naive(grid, m[1:], 0.9)
    integral = np.sum(left * np.exp(right)) * 0.05**n_features
    closed_form = np.exp(gaussian_log_gram(m[:1], m[1:], 0.4 + 0.9))
    assert_allclose(closed_form[0, 0], integral, rtol=1e-9)


def test_integrates_to_one_over_its_center():
    grid = np.arange(-12.0, 12.0, 0.05)[:, None]
    total = np.exp(gaussian_log_gram(grid, np.array([[0.3]]), 1.3)).sum() * 0.05
    assert_allclose(total, 1.0, rtol=1e-12)


@pytest.mark.parametrize("n_features", [3, 20])
def test_moves_and_turns_change_nothing(xp, rng, n_features):
    X, Y = rng.normal(size=(6, n_features)), rng.normal(size=(5, n_features))
    turn, _ = np.linalg.qr(rng.normal(size=(n_features, n_features)))
    expected = gaussian_log_gram(X, Y, 0.8)
    moved = gaussian_log_gram(
        xp.asarray(X @ turn + 3.0), xp.asarray(Y @ turn + 3.0), 0.8
    )
    assert_allclose(moved, expected, rtol=1e-11)


def test_scale_multiplies_by_a_power_of_it(rng):
    X, Y = rng.normal(size=(6, 3)), rng.normal(size=(5, 3))
    scaled = gaussian_log_gram(10 * X, 10 * Y, 100 * 0.8)
    expected = gaussian_log_gram(X, Y, 0.8) - 3 * np.log(10)
    assert_allclose(scaled, expected, rtol=1e-12)


@pytest.mark.parametrize("n_features", [3, 40])
def test_gram_matrix_of_one_sample(xp, rng, n_features):
    X = xp.asarray(rng.normal(size=(12, n_features)) + 1e3)
    log_gram = np.asarray(gaussian_log_gram(X, X, 2.0))
    assert np.all(log_gram.diagonal() == -n_features / 2 * np.log(4 * np.pi))
    assert np.all(log_gram <= log_gram[0, 0])
    assert_allclose(log_gram, log_gram.T, rtol=1e-13)
    assert np.linalg.eigvalsh(np.exp(log_gram - log_gram[0, 0])).min() > -1e-12


@pytest.mark.parametrize("n_features", [2, 16, 17, 300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bandwidth", [1.0, 1e-3])
def test_is_accurate_far_from_the_origin(xp, rng, n_features, dtype, bandwidth):
    X = (100 + rng.normal(size=(30, n_features))).astype(dtype)
    X[1] = X[0] + np.float32(2.0**-10)
    log_gram = gaussian_log_gram(xp.asarray(X), xp.asarray(X[:2]), bandwidth**2)
    difference = X[:, None].astype(float) - X[:2].astype(float)
    exponent = -0.5 * (difference**2).sum(-1) / bandwidth**2
    constant = n_features / 2 * np.log(2 * np.pi * bandwidth**2)
    single = (3e-7 if bandwidth == 1 else 2e-6), 1e-5
    rtol, atol = single if dtype == "float32" else (1e-10, 1e-9)
    assert np.asarray(log_gram).dtype == dtype
    assert_allclose(log_gram, exponent - constant, rtol=rtol, atol=atol)


@pytest.mark.parametrize("n_features", [3, 20])
def test_gradient(n_features):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(5, n_features, dtype=torch.float64, generator=generator)
    Y = X[:3].clone() + 0.1 * (torch.arange(3.0)[:, None] > 0)  # one point is a centre
    v = torch.tensor(0.6, dtype=torch.float64)
    leaves = [leaf.requires_grad_() for leaf in (X, Y, v)]
    assert torch.autograd.gradcheck(gaussian_log_gram, leaves)


@pytest.mark.parametrize("n_features", [3, 20])
def test_gradient_of_a_sample_against_itself(n_features):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(5, n_features, dtype=torch.float64, generator=generator)
    X = torch.cat([X, X[:2]]).requires_grad_()
    assert torch.autograd.gradcheck(lambda X: gaussian_log_gram(X, X, 0.6).exp(), X)


def test_product_kernel_is_the_product_of_the_kernels(xp, rng):
    X, Y = rng.normal(size=(6, 3)), rng.normal(size=(5, 3))
    variances = np.array([0.5, 1.5])
    expected = sum(
        naive(X[:, b], Y[:, b], v) for b, v in zip(BLOCKS, variances, strict=True)
    )
    X, Y, variances = map(xp.asarray, (X, Y, variances))
    assert_allclose(gaussian_log_gram(X, Y, variances, BLOCKS), expected, rtol=1e-12)
    spread = variances + 0 * X[:, None, :1] + 0 * Y[None, :, :1]
    assert_allclose(gaussian_log_gram(X, Y, spread, BLOCKS), expected, rtol=1e-12)


def test_product_kernel_of_equal_variances_is_the_kernel(xp, rng):
    X, Y = xp.asarray(rng.normal(size=(6, 3))), xp.asarray(rng.normal(size=(5, 3)))
    product = gaussian_log_gram(X, Y, 0.7, BLOCKS)
    assert_allclose(product, gaussian_log_gram(X, Y, 0.7), rtol=1e-12)


def test_product_kernel_ignores_columns_outside_the_blocks(rng):
    X = rng.normal(size=(6, 3))
    product = gaussian_log_gram(X, X[:2], 0.7, BLOCKS[:1])
    expected = gaussian_log_gram(X[:, [0, 2]], X[:2, [0, 2]], 0.7)
    assert_allclose(product, expected, rtol=1e-12)

"""Gaussian terms of two views, and the trap in them."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from skgmje.costs import logdet_cost
from skgmje.embedding import (
    gaussian_mutual_information,
    logdet_term,
    mahalanobis_term,
    naive_loss,
    pmi_loss,
)
from skgmje.gaussian import grams

D = 5


@pytest.fixture
def Z(rng):
    return rng.normal(size=(40, D)) @ rng.normal(size=(D, D)) + 3.0


def gradient(function, Z):
    """Return the gradient of a function of rows at `Z`."""
    z = torch.tensor(Z, requires_grad=True)
    (grad,) = torch.autograd.grad(function(z), z)
    return grad.numpy()


def test_data_term_is_the_number_of_features(Z, xp):
    z = xp.asarray(Z)
    assert abs(float(mahalanobis_term(z)) - D) < 1e-10
    assert abs(float(mahalanobis_term(100 * z)) - D) < 1e-10


def test_data_term_has_no_gradient(Z):
    assert np.abs(gradient(mahalanobis_term, Z)).max() < 1e-10


def test_likelihood_rewards_a_smaller_volume_only(Z):
    def nll(z):
        return (mahalanobis_term(z) + logdet_term(z)) / 2

    assert_allclose(nll(3 * Z) - nll(Z), D * np.log(3), atol=1e-10)


def test_ridge_does_not_help(Z):
    """With a ridge the loss rises in every eigenvalue: its minimum is collapse."""
    scales = [1.0, 0.5, 0.1, 1e-2, 1e-4]
    losses = [mahalanobis_term(s * Z, 0.1) + logdet_term(s * Z, 0.1) for s in scales]
    assert (np.diff(losses) < 0).all()
    diff = Z - Z.mean(axis=0)
    inverse = np.linalg.inv(diff.T @ diff / len(Z) + 0.1 * np.eye(D))
    expected = diff @ (inverse + 0.1 * inverse @ inverse) / len(Z)

    def nll(z):
        return (mahalanobis_term(z, 0.1) + logdet_term(z, 0.1)) / 2

    assert_allclose(gradient(nll, Z), expected, atol=1e-10)


def test_stopping_the_gradient_of_the_covariance_shrinks_the_volume(Z):
    """The data term with a fixed covariance has the log-determinant's gradient."""
    diff = Z - Z.mean(axis=0)
    matrix = torch.tensor(diff.T @ diff / len(Z))
    stopped = gradient(lambda z: mahalanobis_term(z, covariance_matrix=matrix), Z)
    assert_allclose(stopped, gradient(logdet_term, Z), atol=1e-10)


def test_volume_splits_by_the_chain_rule(Z):
    """log|C| = log|C_cc| + log|C_t|c|, the block of the Cholesky factor."""
    matrix = np.cov(Z, rowvar=False, bias=True)
    lower = np.linalg.cholesky(matrix)
    c, t = slice(0, 2), slice(2, None)
    schur = matrix[t, t] - matrix[t, c] @ np.linalg.solve(matrix[c, c], matrix[c, t])
    assert_allclose(lower[t, t] @ lower[t, t].T, schur, atol=1e-10)
    gain = matrix[t, c] @ np.linalg.inv(matrix[c, c])
    assert_allclose(lower[t, c] @ np.linalg.inv(lower[c, c]), gain, atol=1e-10)
    parts = logdet_term(Z[:, c]) + np.linalg.slogdet(schur)[1]
    assert_allclose(logdet_term(Z), parts, atol=1e-10)


def test_information_is_that_of_the_joint_density(Z):
    """Minus the mean log-ratio of the product of the marginals to the joint."""
    mean, matrix = Z.mean(axis=0), np.cov(Z, rowvar=False, bias=True)
    c, t = slice(0, 2), slice(2, None)
    joint = multivariate_normal(mean, matrix).logpdf(Z)
    parts = [multivariate_normal(mean[i], matrix[i, i]).logpdf(Z[:, i]) for i in (c, t)]
    expected = (joint - parts[0] - parts[1]).mean()
    assert_allclose(gaussian_mutual_information(Z[:, c], Z[:, t]), expected, atol=1e-10)


def test_information_does_not_change_under_linear_maps(Z, rng, xp):
    maps = rng.normal(size=(2, 2)), rng.normal(size=(3, 3))
    views = Z[:, :2], Z[:, 2:]
    mapped = [view @ m - 1.0 for view, m in zip(views, maps, strict=True)]
    one, two = (
        gaussian_mutual_information(*map(xp.asarray, pair)) for pair in (views, mapped)
    )
    assert_allclose(float(one), float(two), atol=1e-10)


def test_information_of_canonical_correlations(Z):
    Q = [np.linalg.qr(view - view.mean(axis=0))[0] for view in (Z[:, :2], Z[:, 2:])]
    cosines = np.linalg.svd(Q[0].T @ Q[1], compute_uv=False)
    expected = -0.5 * np.log(1 - cosines**2).sum()
    assert_allclose(gaussian_mutual_information(Z[:, :2], Z[:, 2:]), expected)


def test_gradient_of_information_is_correct(Z):
    z = torch.tensor(Z, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda z: gaussian_mutual_information(z[:, :2], z[:, 2:], 1e-2), (z,)
    )


def test_pmi_loss_is_half_the_log_determinant_cost(rng):
    """One function for both papers: of the bumps' Gram matrix as second moments."""
    gram = grams(rng.normal(size=(6, 2)), rng.normal(size=(4, 2)), 0.7)
    blocks = [gram.log_correlation_xx, gram.log_correlation_xy]
    blocks = [blocks, [gram.log_correlation_xy.T, gram.log_correlation_yy]]
    moments = np.exp(np.block(blocks))
    rows = rng.normal(size=(60, 10))
    basis = np.linalg.qr(rows - rows.mean(axis=0))[0] * np.sqrt(60)
    Z = basis @ np.linalg.cholesky(moments).T
    loss = pmi_loss(Z[:, :6], Z[:, 6:], ridge=1e-6)
    assert_allclose(loss, logdet_cost(gram, jitter=1e-6) / 2, atol=1e-8)
    information = gaussian_mutual_information(Z[:, :6], Z[:, 6:], 1e-6)
    assert_allclose(loss, -information, atol=0)


def test_naive_loss_minus_the_marginals_is_the_pmi_loss(Z):
    """Up to the constant of the data term, and to the ridges."""
    views = Z[:, :2], Z[:, 2:]
    marginals = sum(logdet_term(view) for view in views) / 2
    naive = naive_loss(*(1e3 * view for view in views)) - D / 2 - D * np.log(1e3)
    assert_allclose(naive - marginals, pmi_loss(*views, ridge=0.0), atol=1e-6)


def test_too_few_rows_are_told(rng):
    with pytest.raises(ValueError, match="positive definite"):
        logdet_term(rng.normal(size=(3, 5)))


def test_ridge_bounds_what_identical_views_count_for(Z):
    information = gaussian_mutual_information(Z, Z, 1e-3)
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(Z, rowvar=False))
    expected = np.log((eigenvalues + 1e-3) ** 2 / (1e-3 * (2 * eigenvalues + 1e-3)))
    assert_allclose(information, expected.sum() / 2)


def test_constant_feature_tells_nothing(Z, xp):
    constant = np.c_[Z, np.ones(len(Z))]
    with_it = gaussian_mutual_information(
        xp.asarray(constant[:, 3:]), xp.asarray(Z[:, :3]), 1e-3
    )
    without = gaussian_mutual_information(Z[:, 3:], Z[:, :3], 1e-3)
    assert_allclose(float(with_it), without, atol=1e-8)

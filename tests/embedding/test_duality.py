"""Primal and dual: covariances of features, Gram matrices of rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct

from skgmje.gaussian import Mixture

N, NOISE = 30, 0.3


def primal(context, target):
    """Return the Gaussian whose conditional is Bayesian ridge regression.

    Of the second moments, not centred, with a ridge on the context's block; the
    target's block makes the conditional variance that of the noise.
    """
    moments = np.hstack([context, target]).T @ np.hstack([context, target])
    c = context.shape[1]
    moments[:c, :c] += NOISE**2 * np.eye(c)
    gain = np.linalg.solve(moments[:c, :c], moments[:c, c:])
    moments[c:, c:] = moments[c:, :c] @ gain + NOISE**2 * np.eye(target.shape[1])
    return Mixture(np.ones(1), np.zeros((1, len(moments))), moments[None])


def dual(kernel, context, target):
    """Return scikit-learn's Gaussian process with that kernel."""
    process = GaussianProcessRegressor(kernel, alpha=NOISE**2, optimizer=None)
    return process.fit(context, target)


@pytest.fixture
def pairs(rng):
    return rng.normal(size=(N, 4)), rng.normal(size=(N, 2)), rng.normal(size=(7, 4))


def test_conditional_mean_is_the_dual_one(pairs):
    context, target, new = pairs
    conditional = primal(context, target).condition(range(4), new)
    process = dual(DotProduct(0.0, "fixed"), context, target)
    assert_allclose(conditional.mean, process.predict(new), atol=1e-10)


def test_determinants_differ_by_the_empty_directions(pairs):
    """log|Z Z' + s I_n| = log|Z' Z + s I_d| + (n - d) log s."""
    context, target, _ = pairs
    process = dual(DotProduct(0.0, "fixed"), context, target)
    gram = 2 * np.log(np.diagonal(process.L_)).sum()
    marginal = primal(context, target).marginal(range(4)).covariances[0]
    features = np.linalg.slogdet(marginal)[1] + (N - 4) * np.log(NOISE**2)
    assert_allclose(gram, features, atol=1e-10)


def test_predictive_variance_is_the_dual_one(pairs):
    """The noise times one plus the leverage, the Schur complement of the Gram."""
    context, target, new = pairs
    marginal = primal(context, target).marginal(range(4)).covariances[0]
    leverage = (new * np.linalg.solve(marginal, new.T).T).sum(axis=1)
    process = dual(DotProduct(0.0, "fixed"), context, target[:, 0])
    std = process.predict(new, return_std=True)[1]
    assert_allclose(std**2, NOISE**2 * leverage, atol=1e-10)


def fourier(rows, frequencies, phases):
    """Return random Fourier features, whose inner products approach a kernel's."""
    return np.sqrt(2 / len(phases)) * np.cos(rows @ frequencies + phases)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fourier_features_approach_the_dual(pairs, seed):
    """Primal with D random features is the dual with their kernel, as D grows."""
    context, target, new = pairs
    exact = dual(RBF(2.0, "fixed"), context, target).predict(new)
    rng = np.random.default_rng(seed)
    errors = []
    for n_features in (100, 10_000):
        weights = rng.normal(size=(4, n_features)) / 2.0
        phases = rng.uniform(0, 2 * np.pi, n_features)
        features, at = (fourier(rows, weights, phases) for rows in (context, new))
        if n_features == 100:
            approximate = primal(features, target).condition(range(100), at).mean
        else:  # as many rows as matter: by the push-through identity
            gram = features @ features.T + NOISE**2 * np.eye(N)
            approximate = at @ features.T @ np.linalg.solve(gram, target)
        errors.append(np.sqrt(np.mean((approximate - exact) ** 2)))
    assert errors[1] < 0.3 * errors[0]
    assert errors[1] < 0.05


def test_wide_kernel_predicts_a_constant(pairs):
    context, target, new = pairs
    wide = dual(ConstantKernel(1e6, "fixed") * RBF(1e7, "fixed"), context, target)
    answer = wide.predict(new)
    assert_allclose(
        answer, np.broadcast_to(target.mean(axis=0), answer.shape), atol=1e-2
    )


def test_one_row_in_closed_form():
    context, target = np.array([[2.0]]), np.array([[3.0]])
    conditional = primal(context, target).condition([0], np.array([[1.0]]))
    assert_allclose(conditional.mean, [[2.0 * 3.0 / (4.0 + NOISE**2)]])

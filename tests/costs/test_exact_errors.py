"""Each cost is the error of a job that others define: their formula, to 1e-8."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import trapezoid
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics.pairwise import rbf_kernel

from skgmje.costs import (
    compress,
    matrix_matrix_cost,
    optimal_weights,
    scalar_cost,
    svd_cost,
    vector_matrix_cost,
)
from skgmje.gaussian import Mixture, grams
from skgmje.metrics import cauchy_schwarz_divergence

BANDWIDTH = 0.4
# Of two kernels of this standard deviation the product integrates to this one.
GAMMA = 1 / (4 * BANDWIDTH**2)

close = pytest.mark.parametrize("seed", range(5))


def draw(seed):
    """Return samples, fewer centers, and weights of both."""
    rng = np.random.default_rng(seed)
    n, k, d = rng.integers(20, 40), rng.integers(2, 8), rng.integers(1, 4)
    X, C = rng.normal(size=(n, d)), rng.normal(size=(k, d))
    if d == 1:  # else centers are too close for the inverse to have eight digits
        C = np.sort(C, axis=0) + np.arange(k)[:, None]
    return X, C, rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(k))


def spherical(weights, points, bandwidth):
    """Return the density with a kernel around each point."""
    return Mixture(weights, points, np.full(len(points), bandwidth**2), "spherical")


def samples_grams(X, C, a):
    """Return Gram matrices of weighted samples and centers of one bandwidth."""
    return grams(X, C, BANDWIDTH, log_data_weights=np.log(a))


@close
@pytest.mark.parametrize("width", [BANDWIDTH, 0.9])
def test_scalar_is_the_divergence_of_two_mixtures(seed, width):
    X, C, a, w = draw(seed)
    pairs = grams(X, C, (BANDWIDTH, width), log_data_weights=np.log(a))
    p, q = spherical(a, X, BANDWIDTH), spherical(w, C, width)
    cost = scalar_cost(pairs, w)
    assert_allclose(cost, cauchy_schwarz_divergence(p, q), rtol=1e-8)
    assert_allclose(cost, cauchy_schwarz_divergence(q, p), rtol=1e-8)


def test_scalar_is_the_divergence_by_quadrature(rng):
    """On a fine grid the sum of smooth functions is their integral."""
    X, C, w = rng.normal(size=(9, 1)), rng.normal(size=(3, 1)), np.array([0.5, 0.2, 1])
    line = np.linspace(-12, 12, 20_001)[:, None]
    mixtures = spherical(np.full(9, 1 / 9), X, 0.3), spherical(w / w.sum(), C, 0.7)
    p, q = (np.exp(mixture.log_prob(line)) for mixture in mixtures)
    pp, pq, qq = (trapezoid(f, line[:, 0]) for f in (p * p, p * q, q * q))
    cost = scalar_cost(grams(X, C, (0.3, 0.7)), w)
    assert_allclose(cost, -np.log(pq**2 / (pp * qq)), rtol=1e-8)


def test_compress_minimizes_that_divergence(rng):
    X = rng.normal(size=(60, 2))
    few = compress(X, 6, bandwidth=BANDWIDTH, random_state=0)
    whole = spherical(np.full(60, 1 / 60), X, BANDWIDTH)
    pair = BANDWIDTH, np.sqrt(few.covariances[0])
    cost = scalar_cost(grams(X, few.means, pair), few.weights)
    assert_allclose(cost, cauchy_schwarz_divergence(whole, few), rtol=1e-8)
    moved = few.affine(1.0, 0.05)
    assert cauchy_schwarz_divergence(whole, moved) > cost


@close
def test_vector_matrix_is_the_squared_mmd_at_the_best_weights(seed):
    X, C, a, _ = draw(seed)
    pairs = samples_grams(X, C, a)
    xx, xc, cc = (rbf_kernel(*pair, gamma=GAMMA) for pair in [(X, X), (X, C), (C, C)])
    norm = a @ xx @ a

    def mmd(alpha):
        return (norm - 2 * a @ xc @ alpha + alpha @ cc @ alpha) / norm

    best = np.linalg.solve(cc, xc.T @ a)
    share = -np.expm1(-vector_matrix_cost(pairs, jitter=0))
    assert_allclose(share, mmd(best), rtol=1e-8, atol=1e-12)
    assert_allclose(optimal_weights(pairs, jitter=0), best, rtol=1e-8, atol=1e-10)
    for alpha in best + 0.01 * np.random.default_rng(seed).normal(size=(20, len(C))):
        assert mmd(alpha) > share


@close
def test_vector_matrix_is_the_worst_error_of_a_quadrature(seed):
    """No function of unit norm is integrated worse, and one is as badly."""
    X, C, a, _ = draw(seed)
    pairs = samples_grams(X, C, a)
    alpha = optimal_weights(pairs, jitter=0)
    nodes, signed = np.concatenate([X, C]), np.concatenate([a, -alpha])
    K = rbf_kernel(nodes, gamma=GAMMA)
    norm = a @ K[: len(X), : len(X)] @ a
    worst = np.sqrt(-np.expm1(-vector_matrix_cost(pairs, jitter=0)) * norm)

    def error(f):
        return abs(signed @ K @ f) / np.sqrt(f @ K @ f)

    assert_allclose(error(signed), worst, rtol=1e-8)
    for f in np.random.default_rng(seed).normal(size=(20, len(nodes))):
        assert error(f) <= worst


@close
def test_matrix_matrix_is_the_trace_error_of_nystroem(seed):
    X, C, a, _ = draw(seed)
    xz, zz = rbf_kernel(X, C, gamma=GAMMA), rbf_kernel(C, gamma=GAMMA)
    explained = np.diag(xz @ np.linalg.solve(zz, xz.T))
    cost = matrix_matrix_cost(grams(X, C, BANDWIDTH), jitter=0)
    assert_allclose(cost, 1 - explained.mean(), rtol=1e-8)
    weighted = matrix_matrix_cost(samples_grams(X, C, a), jitter=0)
    assert_allclose(weighted, 1 - a @ explained, rtol=1e-8)


@close
def test_matrix_matrix_is_the_trace_error_of_scikit_learn(seed):
    """Fitted to as many landmarks as it has components, it takes them all."""
    X, C, *_ = draw(seed)
    for landmarks in C, X[: len(C)]:
        nystroem = Nystroem(gamma=GAMMA, n_components=len(C)).fit(landmarks)
        features = nystroem.transform(X)
        residual = rbf_kernel(X, gamma=GAMMA) - features @ features.T
        assert np.linalg.eigvalsh(residual).min() > -1e-9  # so its trace is a norm
        cost = matrix_matrix_cost(grams(X, landmarks, BANDWIDTH), jitter=0)
        assert_allclose(cost, np.trace(residual) / len(X), rtol=1e-8)


@close
def test_svd_is_the_fidelity_of_the_kernel_operators(seed):
    X, C, a, w = draw(seed)
    cross = np.sqrt(a)[:, None] * rbf_kernel(X, C, gamma=GAMMA) * np.sqrt(w)
    cost = svd_cost(samples_grams(X, C, a), w, jitter=0)
    assert_allclose(cost, -np.log(np.linalg.norm(cross, "nuc")), rtol=1e-8)
    rho, sigma = operators(X, C, a, w)
    for operator in rho, sigma:
        assert_allclose(np.sum(operator**2), 1.0)  # the trace of its square
    fidelity = np.linalg.norm(rho @ sigma, "nuc")
    assert_allclose(cost, -np.log(fidelity), rtol=1e-8)


def operators(X, C, a, w):
    """Return the square roots of both operators, as matrices in a common basis."""
    values, vectors = np.linalg.eigh(rbf_kernel(np.concatenate([X, C]), gamma=GAMMA))
    points = vectors * np.sqrt(np.maximum(values, 0))  # a function in each row
    for part, weights in (points[: len(X)], a), (points[len(X) :], w):
        _, scales, basis = np.linalg.svd(
            np.sqrt(weights)[:, None] * part, full_matrices=False
        )
        yield basis.T * scales @ basis

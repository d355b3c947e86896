"""Divergences, entropies and transport of mixtures, against draws and closed forms."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.optimize import linprog
from scipy.spatial.distance import cdist
from scipy.stats import entropy as discrete_entropy

from skgmje import Mixture, as_mixture
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.metrics import (
    entropy,
    kl_divergence,
    transport_map,
    wasserstein,
)


def draw_mixture(rng, n_components, n_features, covariance_type="full"):
    A = rng.normal(size=(n_components, n_features, n_features))
    mixture = Mixture(
        rng.dirichlet(np.ones(n_components)),
        2 * rng.normal(size=(n_components, n_features)),
        A @ A.transpose(0, 2, 1) + 0.2 * np.eye(n_features),
    )
    if covariance_type == "low-rank":
        pair = A[..., :1], rng.uniform(0.2, 1.0, size=(n_components, n_features))
        return Mixture(mixture.weights, mixture.means, pair, covariance_type)
    kind, full = COVARIANCE_TYPES[covariance_type], COVARIANCE_TYPES["full"]
    covariances = kind.convert(full, mixture.covariances, n_components, n_features)
    return Mixture(mixture.weights, mixture.means, covariances, covariance_type)


def energy_distance(X, Y):
    between, *within = (cdist(*pair).mean() for pair in ((X, Y), (X, X), (Y, Y)))
    return 2 * between - sum(within)


def as_tensors(mixture):
    arrays = mixture.weights, mixture.means, mixture.covariances
    tensors = [torch.tensor(array.copy(), requires_grad=True) for array in arrays]
    return Mixture(*tensors), tensors


@pytest.mark.parametrize("seed", range(40))
def test_bounds_hold_what_draws_estimate(seed):
    rng = np.random.default_rng(seed)
    d = rng.integers(1, 5)
    p, q = (draw_mixture(rng, rng.integers(1, 6), d) for _ in range(2))
    lower, upper = kl_divergence(p, q, method="bounds")
    draws = {"n_samples": 3000, "random_state": 0}
    value, error = kl_divergence(p, q, method="monte-carlo", **draws)
    assert 0 <= lower <= value + 4 * error
    assert value - 4 * error <= upper
    lower, upper = entropy(p)
    value, error = entropy(p, method="monte-carlo", **draws)
    assert lower <= value + 4 * error
    assert value - 4 * error <= upper


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_one_component_is_exact(covariance_type):
    rng = np.random.default_rng(0)
    p, q = (draw_mixture(rng, 1, 3, covariance_type) for _ in range(2))
    inverse, delta = np.linalg.inv(q.covariance), p.mean - q.mean
    log_dets = [np.linalg.slogdet(mixture.covariance)[1] for mixture in (p, q)]
    exact = np.trace(inverse @ p.covariance) + delta @ inverse @ delta - 3
    exact = 0.5 * (exact + log_dets[1] - log_dets[0])
    for method in ("variational", "bounds"):
        assert_allclose(kl_divergence(p, q, method=method), exact, rtol=1e-12)
    exact = 0.5 * (3 * np.log(2 * np.pi * np.e) + log_dets[0])
    assert_allclose(entropy(p), exact, rtol=1e-12)


def test_components_far_apart_are_letters():
    """Then the divergence is the discrete one of the weights, and so the entropy."""
    means = 1e3 * np.arange(3.0)[:, None]
    weights = np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
    p, q = (Mixture(w, means, [[1.0]], "tied") for w in weights)
    exact = discrete_entropy(weights[0], weights[1])
    assert_allclose(kl_divergence(p, q), exact, rtol=1e-12)
    assert_allclose(kl_divergence(p, q, method="bounds").upper, exact, rtol=1e-6)
    own = 0.5 * np.log(2 * np.pi * np.e)
    assert_allclose(entropy(p).upper, own + discrete_entropy(weights[0]), rtol=1e-12)
    assert_allclose(entropy(p, method="renyi"), -p.log_inner(p))


def test_components_of_no_weight_do_not_count():
    rng = np.random.default_rng(0)
    p, q = (draw_mixture(rng, 3, 2) for _ in range(2))
    none = [Mixture.mix([m, draw_mixture(rng, 1, 2)], [1.0, 0.0]) for m in (p, q)]
    for method in ("variational", "bounds"):
        expected = kl_divergence(p, q, method=method)
        assert_allclose(kl_divergence(*none, method=method), expected, rtol=1e-9)
    assert_allclose(wasserstein(*none), wasserstein(p, q), rtol=1e-9)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_transport_is_that_of_the_formula(covariance_type):
    rng = np.random.default_rng(0)
    p, q = (draw_mixture(rng, k, 3, covariance_type) for k in (3, 4))
    dense = COVARIANCE_TYPES[covariance_type].dense
    costs = np.empty((3, 4))
    for i, first in enumerate(dense(p.covariances, 3, 3)):
        values, vectors = np.linalg.eigh(first)
        root = vectors * np.sqrt(values) @ vectors.T
        for j, second in enumerate(dense(q.covariances, 4, 3)):
            shared = np.sqrt(np.linalg.eigvalsh(root @ second @ root)).sum()
            costs[i, j] = np.trace(first) + np.trace(second) - 2 * shared
            costs[i, j] += ((p.means[i] - q.means[j]) ** 2).sum()
    sums = np.concatenate(
        [np.kron(np.eye(3), np.ones(4)), np.kron(np.ones(3), np.eye(4))]
    )
    expected = linprog(
        costs.ravel(), A_eq=sums, b_eq=np.concatenate([p.weights, q.weights])
    )
    distance, plan = wasserstein(p, q, return_plan=True)
    assert_allclose(distance**2, expected.fun, rtol=1e-8)
    assert_allclose(plan.sum(axis=1), p.weights, atol=1e-9)
    assert_allclose(plan.sum(axis=0), q.weights, atol=1e-9)


def test_samples_and_their_moves_may_have_one_seed():
    rng = np.random.default_rng(0)
    p, q = (draw_mixture(rng, k, 2) for k in (5, 4))
    moved = transport_map(p, q).sample(p.sample(5000, 0)[0], 0)
    error = np.sqrt(np.diag(q.covariance) / 5000)
    assert np.all(abs(moved.mean(axis=0) - q.mean) < 5 * error)
    assert_allclose(np.cov(moved.T), q.covariance, atol=0.1 * q.covariance.max())


@pytest.mark.parametrize("spread", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("partner", ["low-rank", "diag", "spherical"])
def test_few_factors_of_many_features_need_no_matrices(spread, partner):
    rng = np.random.default_rng(0)

    def draw(rank, n_components):
        means = rng.normal(size=(n_components, 40))
        variances = np.exp(spread * rng.normal(size=(n_components, 40)))
        pair = rng.normal(size=(n_components, 40, rank)), variances
        weights = np.full(n_components, 1 / n_components)
        return Mixture(weights, means, pair, "low-rank")

    p, q = draw(2, 3), draw(1, 2)
    if partner != "low-rank":
        covariances = q.covariances[1] if partner == "diag" else q.weights
        q = Mixture(q.weights, q.means, covariances, partner)
    dense = [m.affine(np.eye(40)) for m in (p, q)]
    assert dense[0].covariance_type == "full"
    assert_allclose(wasserstein(p, q), wasserstein(*dense), rtol=1e-10)
    assert wasserstein(p, p.select([2, 0, 1])) < 1e-8
    # The same covariance by other factors.
    angle = np.array([[0.6, -0.8], [0.8, 0.6]])
    turned = p.covariances[0] @ angle, p.covariances[1]
    assert wasserstein(p, Mixture(p.weights, p.means, turned, "low-rank")) < 1e-8
    leaves = [torch.tensor(a.copy()).requires_grad_() for a in p.covariances]
    fixed = [torch.tensor(a.copy()) for a in (p.weights, p.means)]
    other = as_mixture(q.to_torch())

    def distance(*pair):
        return wasserstein(Mixture(*fixed, pair, "low-rank"), other)

    assert torch.autograd.gradcheck(distance, leaves, fast_mode=True)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_distance_is_one(covariance_type):
    rng = np.random.default_rng(1)
    p, q, r = (draw_mixture(rng, 4, 3, covariance_type) for _ in range(3))
    assert wasserstein(p, p) < 1e-8
    assert wasserstein(p, p.select([3, 1, 0, 2])) < 1e-8
    assert_allclose(wasserstein(p, q), wasserstein(q, p), rtol=1e-9)
    assert wasserstein(p, r) <= wasserstein(p, q) + wasserstein(q, r)
    assert_allclose(wasserstein(p, p.affine(1.0, [3.0, 4.0, 0.0])), 5.0, rtol=1e-9)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_map_moves_one_density_to_the_other(covariance_type):
    rng = np.random.default_rng(0)
    p, q = (draw_mixture(rng, k, 2, covariance_type) for k in (3, 4))
    X, Y = (m.sample(1000, random_state=i)[0] for i, m in enumerate((p, q)))
    moved = transport_map(p, q).sample(X, random_state=0)
    before, after = (energy_distance(Z, Y) for Z in (X, moved))
    assert after < 0.1 * before
    cost = np.sqrt(((moved - X) ** 2).sum(axis=1).mean())
    assert_allclose(cost, wasserstein(p, q), rtol=0.1)


@pytest.mark.parametrize(
    "function",
    [
        wasserstein,
        kl_divergence,
        lambda p, q: sum(kl_divergence(p, q, method="bounds")),
        lambda p, q: sum(entropy(p)) + entropy(q, method="renyi"),
    ],
)
def test_tensors_have_the_same_numbers_and_gradients(function):
    rng = np.random.default_rng(0)
    p, q = (draw_mixture(rng, 3, 2) for _ in range(2))
    tensors, leaves = as_tensors(p)
    others, _ = as_tensors(q)
    value = function(tensors, others)
    assert_allclose(value.item(), function(p, q), rtol=1e-9)
    slope = torch.autograd.grad(value, leaves[1])[0].numpy()
    step = 1e-6 * rng.normal(size=slope.shape)
    moved = [Mixture(p.weights, p.means + s * step, p.covariances) for s in (1, -1)]
    change = (function(moved[0], q) - function(moved[1], q)) / 2
    assert_allclose((slope * step).sum(), change, rtol=1e-4)


def test_distances_have_gradients_by_weights():
    rng = np.random.default_rng(0)
    for sizes in ((3, 2), (3, 1)):
        (p, leaves), (q, _) = (as_tensors(draw_mixture(rng, k, 2)) for k in sizes)
        logits = torch.log(leaves[0].detach()).requires_grad_()

        def distance(logits, p=p, q=q):
            weights = torch.softmax(logits, 0)
            return wasserstein(Mixture(weights, p.means, p.covariances), q)

        assert torch.autograd.gradcheck(distance, [logits], atol=1e-4)
    slope = torch.autograd.grad(wasserstein(p, p), leaves[1])[0]
    assert torch.isfinite(slope).all()


def test_divergences_beyond_all_numbers_are_infinite():
    p = Mixture([0.5, 0.5], [[0.0], [1.0]], [[1.0]], "tied")
    q = Mixture([0.5, 0.5], [[0.0], [1e200]], [[1.0]], "tied")
    assert kl_divergence(q, p) == np.inf
    assert kl_divergence(q, p, method="bounds").upper == np.inf
    lower, upper = kl_divergence(p, q, method="bounds")
    assert 0 <= lower <= kl_divergence(p, q) <= upper < 1


def test_what_cannot_be_compared_is_refused():
    rng = np.random.default_rng(0)
    p, q = draw_mixture(rng, 2, 2), draw_mixture(rng, 2, 3)
    for function in (wasserstein, kl_divergence, transport_map):
        with pytest.raises(ValueError, match="2 features"):
            function(q, p)
        with pytest.raises(TypeError, match="is not one Gaussian mixture"):
            function(p, "q")
    with pytest.raises(ValueError, match="method='exact'"):
        kl_divergence(p, p, method="exact")
    with pytest.raises(ValueError, match="method='exact'"):
        entropy(p, method="exact")

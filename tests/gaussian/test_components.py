"""Verbs of mixtures about their components: select, convolve, reduce."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skgmje.gaussian import COVARIANCE_TYPES, Mixture

TYPES = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
PAIRS = [(a, b) for a in COVARIANCE_TYPES for b in COVARIANCE_TYPES]


@TYPES
@pytest.mark.parametrize("leading", [(), (5,)])
def test_selected_components_are_those_of_the_mixture(
    covariance_type, leading, make_mixture, xp
):
    mixture = make_mixture(covariance_type, n_components=4, leading=leading, xp=xp)
    chosen = mixture.select([2, 0])
    X = xp.asarray(np.random.default_rng(0).normal(size=(5, 3)))
    logs = np.asarray(mixture.component_log_prob(X))[..., [2, 0]]
    assert_allclose(chosen.component_log_prob(X), logs, rtol=1e-12)
    weights = np.asarray(mixture.weights)[..., [2, 0]]
    assert_allclose(chosen.weights, weights / weights.sum(-1, keepdims=True))
    assert chosen.covariance_type == covariance_type


@pytest.mark.parametrize("indices", [[], [7], [2]])
def test_what_cannot_be_selected_is_refused(indices):
    mixture = Mixture([0.5, 0.5, 0.0], [[0.0], [1.0], [2.0]], [[1.0]], "tied")
    with pytest.raises(ValueError, match="component"):
        mixture.select(indices)


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.parametrize("leading", [((), ()), ((5,), (5,))])
def test_moments_of_a_sum_are_sums(first, second, leading, make_mixture, xp):
    p = make_mixture(first, leading=leading[0], xp=xp)
    q = make_mixture(second, n_components=2, seed=1, leading=leading[1], xp=xp)
    total = p.convolve(q)
    assert total.n_components == 6
    assert total.covariance_type == p.product(q).covariance_type
    assert_allclose(total.mean, p.mean + q.mean, rtol=1e-12, atol=1e-12)
    assert_allclose(total.covariance, p.covariance + q.covariance, rtol=1e-10)
    # <p, q> is the density of a difference at zero.
    zero = xp.zeros_like(p.means[..., 0, :])
    at_zero = p.convolve(q.affine(-1.0)).log_prob(zero)
    assert_allclose(at_zero, p.log_inner(q), rtol=1e-10)


@pytest.mark.parametrize("method", ["runnalls", "l2"])
def test_one_feature_is_reduced_as_one_of_two(method):
    """The second feature is alike in all components."""
    rng = np.random.default_rng(0)
    weights, means = np.full(8, 1 / 8), 3 * rng.normal(size=(8, 1))
    alone = Mixture(weights, means, rng.uniform(0.5, 1, size=(8, 1)), "diag")
    pair = Mixture(
        weights, means * [1.0, 0.0], alone.covariances * [1.0, 0.0] + [0, 1], "diag"
    )
    reduced = alone.reduce(3, method=method)
    assert reduced.covariance_type == "diag"
    if method == "runnalls":
        expected = pair.reduce(3).marginal([0])
        assert_allclose(reduced.means, expected.means, atol=1e-12)
        assert_allclose(reduced.covariances, expected.covariances[..., 0])
    assert_allclose(reduced.mean, alone.mean, atol=0.2)


@TYPES
@pytest.mark.parametrize("method", ["runnalls", "l2"])
def test_reduction_keeps_what_it_says(covariance_type, method, make_mixture, xp):
    mixture = make_mixture(covariance_type, n_components=7, leading=(2,), xp=xp)
    fewer = mixture.reduce(3, method=method)
    assert fewer.n_components == 3
    assert fewer.means.dtype == mixture.means.dtype
    assert_allclose(np.asarray(fewer.weights).sum(-1), 1.0)
    if method == "runnalls":
        assert_allclose(fewer.mean, mixture.mean, atol=1e-12)
        assert_allclose(fewer.covariance, mixture.covariance, rtol=1e-10)
    else:
        greedy = mixture.reduce(3).l2_distance(mixture)
        assert np.all(np.asarray(fewer.l2_distance(mixture)) < np.asarray(greedy))
    whole = mixture.reduce(7)
    X = xp.asarray(np.random.default_rng(0).normal(size=(4, 2, 3)))
    assert_allclose(whole.log_prob(X), mixture.log_prob(X), rtol=1e-10)


def test_reduction_follows_order_and_affine_maps(make_mixture):
    mixture = make_mixture("full", n_components=8)
    X = np.random.default_rng(0).normal(size=(9, 3))
    logs = mixture.reduce(3).log_prob(X)
    shuffled = mixture.select([5, 2, 7, 0, 1, 6, 4, 3]).reduce(3)
    assert_allclose(shuffled.log_prob(X), logs, rtol=1e-10)
    A, b = np.array([[2.0, 1, 0], [0, 3, 1], [1, 0, 1]]), np.ones(3)
    image = mixture.affine(A, b).reduce(3)
    logs -= np.linalg.slogdet(A)[1]
    assert_allclose(image.log_prob(X @ A.T + b), logs, rtol=1e-8)


def test_reduction_merges_the_pair_of_the_least_bound():
    """The bound of each pair, by its formula: the least one is merged."""
    rng = np.random.default_rng(0)
    weights, means = rng.dirichlet(np.ones(5)), rng.normal(size=(5, 2))
    variances = rng.uniform(0.1, 2.0, size=(5, 2))
    mixture = Mixture(weights, means, variances, "diag")
    costs = {}
    for i in range(5):
        for j in range(i):
            pair = mixture.select([i, j])
            logs = weights[[i, j]] @ np.log(variances[[i, j]]).sum(axis=1)
            log_det = np.linalg.slogdet(pair.covariance)[1]
            costs[i, j] = (weights[i] + weights[j]) * log_det - logs
    i, j = min(costs, key=costs.get)
    merged = mixture.select([i, j]).mean
    fewer = mixture.reduce(4)
    assert np.abs(fewer.means - merged).sum(axis=1).min() < 1e-12


@pytest.mark.parametrize("seed", [33, 294, *range(20)])
def test_refinement_is_never_worse(seed):
    rng = np.random.default_rng(seed)
    weights, means = rng.dirichlet(np.ones(4)), 3 * rng.normal(size=(4, 2))
    A = rng.normal(size=(4, 2, 2))
    covariances = A @ A.transpose(0, 2, 1) + 0.2 * np.eye(2)
    mixture = Mixture(weights, means, covariances)
    distances = [
        mixture.reduce(2, method=method).l2_distance(mixture)
        for method in ("l2", "runnalls")
    ]
    assert distances[0] <= distances[1]


@pytest.mark.parametrize(
    "arguments", [{"n_components": 0}, {"n_components": 4}, {"n_components": 1.5}]
)
def test_numbers_of_components_that_cannot_be_are_refused(arguments, make_mixture):
    with pytest.raises(ValueError, match=r"n_components=.* from 1 to 3"):
        make_mixture("full").reduce(**arguments)
    with pytest.raises(ValueError, match="method='k-means'"):
        make_mixture("full").reduce(2, method="k-means")


# What is asked of a batch of mixtures p, with a sample for each, and what answers.
OF_BATCHES = {
    "log_prob": lambda p, X: p.log_prob(X),
    "component_log_prob": lambda p, X: p.component_log_prob(X),
    "responsibilities": lambda p, X: p.responsibilities(X),
    "grad_log_prob": lambda p, X: p.grad_log_prob(X),
    "exceedance": lambda p, X: p.exceedance(X),
    "region": lambda p, X: p.region(0.9).contains(X),
    "cdf": lambda p, X: p.marginal([0]).cdf(X[:, 0]),
    "quantile": lambda p, X: p.marginal([0]).quantile(0.1),
    "exceedance of one": lambda p, X: p.marginal([0]).exceedance(X[:, :1]),
    "mode": lambda p, X: p.mode(),
    "mean": lambda p, X: p.mean,
    "covariance": lambda p, X: p.covariance,
    "l2_distance": lambda p, X: p.l2_distance(p),
    "condition": lambda p, X: p.condition([0], X[:, :1]).means,
    "reduce": lambda p, X: p.reduce(2).means,
    "reduce by l2": lambda p, X: p.reduce(2, method="l2").covariances,
    "product": lambda p, X: p.product(p).means,
    "convolve": lambda p, X: p.convolve(p).means,
    "mix": lambda p, X: Mixture.mix([p, p], [0.5, 0.5]).means,
}


@TYPES
@pytest.mark.parametrize("name", OF_BATCHES)
def test_no_mixtures_have_no_answers(covariance_type, name, make_mixture, xp):
    several = make_mixture(covariance_type, n_features=2, leading=(2,), xp=xp)
    X, ask = xp.zeros_like(several.means[:, 0]), OF_BATCHES[name]
    found = ask(several[:0], X[:0])
    assert tuple(found.shape) == (0, *ask(several, X).shape[1:])
    assert type(found) is type(X)

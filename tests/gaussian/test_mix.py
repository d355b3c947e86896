"""`Mixture.mix`: the weighted mixture of mixtures."""

from itertools import product

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp

from skgmje.gaussian import COVARIANCE_TYPES, Mixture

PAIRS = pytest.mark.parametrize(
    ("first", "second"), [*product(COVARIANCE_TYPES, repeat=2)]
)
LEADING = pytest.mark.parametrize(
    "leading", [((), ()), ((5,), ()), ((), (5,)), ((5,), (5,))]
)


def mixed_log_prob(mixtures, weights, X):
    parts = [np.asarray(mixture.log_prob(X)) for mixture in mixtures]
    return logsumexp(parts, axis=0, b=np.reshape(weights, (len(parts), -1)))


@PAIRS
@LEADING
def test_density_is_the_weighted_sum(first, second, leading, make_mixture, xp, rng):
    mixtures = [
        make_mixture(first, leading=leading[0], xp=xp),
        make_mixture(second, n_components=2, seed=1, leading=leading[1], xp=xp),
    ]
    X = xp.asarray(rng.normal(size=(5, 3)))
    mixed = Mixture.mix(mixtures, [0.25, 0.75])
    assert mixed.n_components == 5
    assert tuple(mixed.means.shape[:-2]) == max(leading)
    assert_allclose(
        mixed.log_prob(X), mixed_log_prob(mixtures, [0.25, 0.75], X), rtol=1e-10
    )
    means = [0.25 * mixtures[0].mean, 0.75 * mixtures[1].mean]
    assert_allclose(mixed.mean, np.asarray(sum(means)), rtol=1e-12)


@PAIRS
def test_type_is_the_narrowest(first, second, make_mixture):
    mixtures = [make_mixture(first), make_mixture(second)]
    chain = ("spherical", "diag", "low-rank", "full")
    if "tied" in (first, second):
        expected = "full"
    else:
        expected = max(first, second, key=chain.index)
    assert Mixture.mix(mixtures, [0.5, 0.5]).covariance_type == expected


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_one_mixture_alone_is_itself(covariance_type, make_mixture, rng):
    mixture = make_mixture(covariance_type)
    mixed = Mixture.mix([mixture], [1.0])
    X = rng.normal(size=(5, 3))
    assert mixed.covariance_type == covariance_type
    assert_array_equal(mixed.log_prob(X), mixture.log_prob(X))


def test_weights_of_each_sample(make_mixture, xp, rng):
    mixtures = [make_mixture("full", xp=xp), make_mixture("diag", leading=(5,), xp=xp)]
    weights = rng.dirichlet([1.0, 1.0], size=5).T
    X = xp.asarray(rng.normal(size=(5, 3)))
    mixed = Mixture.mix(mixtures, weights)
    assert_allclose(mixed.log_prob(X), mixed_log_prob(mixtures, weights, X), rtol=1e-10)


def test_mixing_is_associative(make_mixture, rng):
    a, b, c = (make_mixture("full", seed=seed) for seed in range(3))
    X = rng.normal(size=(5, 3))
    nested = Mixture.mix([Mixture.mix([a, b], [0.4, 0.6]), c], [0.5, 0.5])
    flat = Mixture.mix([a, b, c], [0.2, 0.3, 0.5])
    assert_allclose(nested.log_prob(X), flat.log_prob(X), rtol=1e-12)


def test_ranks_may_differ(rng):
    def low_rank(rank):
        factors = rng.normal(size=(2, 3, rank))
        parts = factors, np.ones((2, 3))
        return Mixture([0.5, 0.5], rng.normal(size=(2, 3)), parts, "low-rank")

    mixtures = [low_rank(1), low_rank(2)]
    mixed = Mixture.mix(mixtures, [0.5, 0.5])
    assert mixed.covariances[0].shape == (4, 3, 2)
    X = rng.normal(size=(5, 3))
    assert_allclose(mixed.log_prob(X), mixed_log_prob(mixtures, [0.5, 0.5], X))


def test_gradients_reach_the_weights_and_the_parts(make_mixture):
    mixture = make_mixture("diag", xp=torch)
    means = mixture.means.clone().requires_grad_()
    moved = Mixture(mixture.weights, means, mixture.covariances, "diag")
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    mixed = Mixture.mix([mixture, moved], logits.softmax(0))
    mixed.log_prob(torch.ones(4, 3, dtype=torch.float64)).sum().backward()
    assert means.grad.abs().sum() > 0
    assert logits.grad is not None


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ([0.5], "first axis"),
        ([0.5, 0.6], "sum to one"),
        ([1.5, -0.5], "non-negative"),
        (np.full((2, 4), 0.5), "leading axes"),
    ],
)
def test_wrong_weights_are_refused(weights, match, make_mixture):
    mixtures = [make_mixture("diag", leading=(5,)), make_mixture("diag")]
    with pytest.raises(ValueError, match=match):
        Mixture.mix(mixtures, weights)


def test_wrong_mixtures_are_refused(make_mixture):
    mixture = make_mixture("diag")
    with pytest.raises(ValueError, match="at least one Mixture"):
        Mixture.mix([], [])
    with pytest.raises(TypeError, match="must be a Mixture"):
        Mixture.mix([mixture, "another"], [0.5, 0.5])
    with pytest.raises(TypeError, match="another library"):
        Mixture.mix([mixture, make_mixture("diag", xp=torch)], [0.5, 0.5])
    with pytest.raises(ValueError, match="2 features"):
        Mixture.mix([mixture, make_mixture("diag", n_features=2)], [0.5, 0.5])
    many = [make_mixture("diag", leading=(n,)) for n in (3, 4)]
    with pytest.raises(ValueError, match="leading axes"):
        Mixture.mix(many, [0.5, 0.5])

"""Mixtures from quantiles, bars and samples, of torch, and of other packages."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import gaussian_kde, norm
from sklearn.exceptions import NotFittedError
from torch import distributions

from skgmje import Mixture, as_mixture
from skgmje.gaussian import COVARIANCE_TYPES

TYPES = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
LEVELS = (np.arange(20) + 0.5) / 20


@TYPES
@pytest.mark.parametrize("leading", [(), (2,)])
def test_torch_and_back(covariance_type, leading, make_mixture, rng):
    mixture = make_mixture(covariance_type, leading=leading)
    X = rng.normal(size=(7, *leading, 3))
    tensors = make_mixture(covariance_type, leading=leading, xp=torch)
    for each in (mixture, tensors):
        distribution = each.to_torch()
        found = distribution.log_prob(torch.asarray(X))
        assert_allclose(found, mixture.log_prob(X), rtol=1e-12)
    if not leading:
        back = as_mixture(distribution)
        assert_allclose(back.log_prob(X), mixture.log_prob(X), rtol=1e-12)
        single = map(np.float32, (mixture.weights, mixture.means))
        covariances = mixture.covariances
        is_pair = isinstance(covariances, tuple)
        covariances = (
            tuple(map(np.float32, covariances)) if is_pair else np.float32(covariances)
        )
        single = Mixture(*single, covariances, covariance_type)
        assert single.to_torch().sample().dtype == torch.float32


def test_torch_keeps_gradients_and_zero_weights(make_mixture):
    weights = torch.tensor([0.0, 1.0], requires_grad=True)
    mixture = Mixture(weights, torch.zeros(2, 1), torch.ones(2), "spherical")
    value = mixture.to_torch().log_prob(torch.ones(1))
    assert value == mixture.log_prob(torch.ones(1))
    (slope,) = torch.autograd.grad(value, weights)
    assert torch.isfinite(slope).all()


def test_components_of_numbers_and_others():
    shares = distributions.Categorical(torch.tensor([0.3, 0.7]))
    scales = torch.tensor([1.0, 2.0])
    parts = distributions.Normal(torch.tensor([0.0, 1.0]), scales)
    distribution = distributions.MixtureSameFamily(shares, parts)
    x = torch.linspace(-3, 3, 5)
    found = as_mixture(distribution).log_prob(x[:, None])
    assert_allclose(found, distribution.log_prob(x), rtol=1e-6)
    for parts in (
        distributions.Laplace(scales, scales),
        distributions.Independent(distributions.Laplace(scales[:, None], 1.0), 1),
        distributions.Independent(distributions.Normal(torch.zeros(2, 3, 4), 1.0), 2),
        distributions.LogNormal(scales, scales),
        distributions.HalfNormal(scales),
    ):
        for each in (parts, distributions.MixtureSameFamily(shares, parts)):
            with pytest.raises(TypeError, match="components, must be Normal"):
                as_mixture(each)


def test_a_normal_distribution_is_a_mixture_of_one(rng):
    mean, scale, factor = torch.asarray(rng.uniform(0.5, 1.0, size=(3, 2)))
    factors = factor[:, None]
    for each in (
        distributions.Normal(mean[0], scale[0]),
        distributions.Independent(distributions.Normal(mean, scale), 1),
        distributions.MultivariateNormal(mean, torch.diag(scale) + factors @ factors.T),
        distributions.LowRankMultivariateNormal(mean, factors, scale),
    ):
        mixture = as_mixture(each)
        x = torch.asarray(rng.normal(size=(5, *each.event_shape)))
        found = mixture.log_prob(x.reshape(5, -1))
        assert_allclose(found, each.log_prob(x), rtol=1e-12)
        with pytest.raises(ValueError, match=r"several mixtures of shape \(4,\)"):
            as_mixture(each.expand((4,)))


@pytest.mark.parametrize("names", ["priors means covariances", "mean covariance"])
def test_what_was_not_fitted_is_told(names):
    nothing = dict.fromkeys([*names.split(), "to_probability_density"])
    with pytest.raises(NotFittedError, match=f"no {names.split()[0]} yet"):
        as_mixture(SimpleNamespace(**nothing))


def test_mixtures_of_other_packages(make_mixture):
    full, diag = make_mixture("full"), make_mixture("diag", xp=torch)
    names = "priors", "means", "covariances"
    gmr = SimpleNamespace(**dict(zip(names, vars(full).values(), strict=False)))
    assert_array_equal(as_mixture(gmr).covariances, full.covariances)
    one = SimpleNamespace(
        mean=full.means[0], covariance=full.covariances[0], to_probability_density=None
    )
    assert_array_equal(as_mixture(one).covariances, full.covariances[:1])
    model = SimpleNamespace(
        component_probs=diag.weights,
        means=diag.means,
        covariances=diag.covariances,
        precisions_cholesky=diag.covariances**-0.5,
        covariance_type="diag",
    )
    estimator = SimpleNamespace(model_=model, covariance_type="diag", trainer=None)
    for each in (model, estimator):
        assert torch.equal(as_mixture(each).means, diag.means)


@pytest.mark.parametrize(
    "levels",
    [
        LEVELS,
        [0.1, 0.9],
        [0.6, 0.7],
        [0.025, 0.975],
        [0.025, 0.5, 0.975],
        [0.001, 0.5, 0.999],
        [0.01, 0.2, 0.2001, 0.999],
    ],
)
def test_quantiles_are_those_given(levels, rng):
    values = np.sort(rng.gamma(1.0, size=(3, 4, len(levels))), axis=-1)
    mixture = Mixture.from_quantiles(levels, values)
    assert mixture.means.shape == (3, 4, len(levels) + 1, 1)
    found = mixture.quantile(levels)
    assert_allclose(np.moveaxis(found, 0, -1), values, rtol=1e-9)
    one = Mixture.from_quantiles(levels, values[0, 0])
    assert_array_equal(one.means, mixture.means[0, 0])


def test_single_precision_stays(rng):
    values, bars = np.float32([0.0, 1.0]), np.float32([[0.5, 0.5]])
    for mixture in (
        Mixture.from_quantiles([0.1, 0.9], values),
        Mixture.from_histogram([0, 1, 2], bars),
        Mixture.from_samples(np.float32(rng.normal(size=(5, 2)))),
    ):
        assert mixture.means.dtype == mixture.weights.dtype == np.float32


def test_weights_stay_weights():
    # Beside a wide gap of little weight there is more than the narrow one may have.
    levels, values = [0.3, 0.300001, 0.9], [0.0, 1.0, 1.001]
    mixture = Mixture.from_quantiles(levels, values)
    assert (mixture.weights >= 0).all()
    assert_allclose(mixture.cdf(values), levels, atol=1e-10)


def test_quantiles_of_a_gaussian(rng):
    exact = Mixture([1.0], [[1.0]], [4.0], "spherical")
    mixture = Mixture.from_quantiles(LEVELS, exact.quantile(LEVELS))
    X, _ = exact.sample(2000, 0)
    loss = exact.log_prob(X) - mixture.log_prob(X)
    assert abs(loss.mean()) < 0.02
    assert_allclose(mixture.covariance, exact.covariance, rtol=0.05)
    moved = Mixture.from_quantiles(LEVELS, 5 - 3 * exact.quantile(LEVELS)[::-1])
    assert_allclose(moved.mean, 5 - 3 * mixture.mean, rtol=1e-9)


def test_bars_have_their_probabilities_and_the_least_crps(rng):
    edges, counts = np.linspace(-2, 3, 11), rng.integers(1, 9, size=(4, 10))
    mixture = Mixture.from_histogram(edges, counts)
    assert_allclose(mixture.weights.sum(axis=1), 1)
    middles = (edges[1:] + edges[:-1]) / 2
    assert_allclose(mixture.mean[:, 0], counts @ middles / counts.sum(axis=1))
    steps = np.linspace(-4, 5, 2001)
    bars = np.diff(norm.cdf(edges))
    own = np.interp(steps, edges, np.append(0.0, np.cumsum(bars) / bars.sum()))
    best = Mixture.from_histogram(edges, bars)

    def crps(factor):
        wide = Mixture(best.weights, best.means, best.covariances * factor**2, "diag")
        return ((wide.cdf(steps) - own) ** 2).sum()

    best = Mixture(*(best.weights, best.means, best.covariances[:, None]), "diag")
    assert crps(1.0) < 1.2 * min(crps(0.9), crps(1.1))
    assert crps(1.0) < 0.5 * min(crps(0.75), crps(1.35))


def test_kernels_of_samples_are_those_of_scipy(rng, xp):
    X, weight = rng.normal(size=(20, 3)), rng.uniform(size=20)
    mixture = Mixture.from_samples(xp.asarray(X), sample_weight=xp.asarray(weight))
    peer = gaussian_kde(X.T, weights=weight)
    assert_allclose(mixture.log_prob(xp.asarray(X)), peer.logpdf(X.T), rtol=1e-9)
    several = Mixture.from_samples(xp.asarray(np.stack([X, 2 * X])))
    assert_allclose(several.covariances[1], 4 * several.covariances[0])
    narrow = Mixture.from_samples(xp.asarray(X[:1]), bandwidth=0.5)
    assert narrow.covariances == 0.25


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixture.from_quantiles([0.1, 0.9], [1.0, 0.0]), "cross.*np.sort"),
        (lambda: Mixture.from_quantiles([0.1, 0.9], [1.0, 1.0]), "difference is 0"),
        (lambda: Mixture.from_quantiles([0.9, 0.1], [0.0, 1.0]), "levels must ascend"),
        (lambda: Mixture.from_quantiles([0.0, 0.9], [0.0, 1.0]), "between 0 and 1"),
        (lambda: Mixture.from_quantiles([0.5], [0.0]), "at least two levels"),
        (lambda: Mixture.from_quantiles([0.1, 0.9], [0.0, np.nan]), "values=.*finite"),
        (lambda: Mixture.from_histogram([0, 1, 1], [1, 1]), "edges must ascend"),
        (lambda: Mixture.from_histogram([0, 1], []), "at least one bar"),
        (lambda: Mixture.from_histogram([0, 1, 2], [0, 0]), "must not be empty"),
        (lambda: Mixture.from_histogram([0, 1, 2], [2, -1]), "least entry of -1"),
        (lambda: Mixture.from_samples(np.arange(3.0)), r"Use X\[:, None\]"),
        (lambda: Mixture.from_samples([[1.0]]), "1 samples of positive.*bandwidth"),
        (lambda: Mixture.from_samples([[1.0]], bandwidth=0.0), "bandwidth=0.0"),
        (
            lambda: Mixture.from_samples([[1.0], [2.0]], sample_weight=[-1.0, 2.0]),
            "sample_weight",
        ),
        (
            lambda: Mixture.from_samples([[1.0], [2.0]], sample_weight=[0.0, 0.0]),
            "sample_weight",
        ),
        (
            lambda: Mixture.from_samples([[1.0], [2.0]], sample_weight=[1.0]),
            r"sample_weight has shape \(1,\)",
        ),
        (
            lambda: Mixture.from_samples([[1.0], [2.0]], sample_weight=[1.0, 0.0]),
            "1 samples of positive weight",
        ),
        (lambda: Mixture.from_samples(np.full((9, 2), 0.1)), "no constant feature"),
        (lambda: Mixture.from_samples(np.zeros((9, 2), "f4")), "no constant feature"),
        (lambda: Mixture.from_samples([[0.0, 1.0], [3.0, 2.0]]), "2 samples of"),
        (lambda: Mixture.from_samples(np.arange(9.0)[:, None] * [1, 0.7]), "combin"),
        (lambda: Mixture.from_samples([[np.nan], [2.0]]), "X has NaN"),
        (lambda: Mixture.from_samples([[1.0]], bandwidth=True), "bandwidth=True"),
        (lambda: Mixture.from_samples([[1.0]], bandwidth=np.inf), "bandwidth=inf"),
        (
            lambda: Mixture.from_quantiles([0.1, 0.9], [[0.0, 1.0], [2.0, 2.0]]),
            r"difference in row 1 is 0.*width \* np.arange\(n_levels\)",
        ),
        (
            lambda: Mixture.from_histogram([[0.0, 1.0], [2.0, 2.0]], [1.0]),
            r"difference in row 1 is 0.*width \* np.arange\(n_edges\)",
        ),
        (lambda: Mixture.from_quantiles([0.1, 0.9], [1.0, 1 + 4e-16]), "must ascend"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Gradients of samples


@TYPES
def test_samples_follow_means_and_covariances(covariance_type, make_mixture):
    mixture = make_mixture(covariance_type, n_features=2, xp=torch)
    covariances = mixture.covariances
    is_pair = isinstance(covariances, tuple)
    arrays = mixture.means, *(covariances if is_pair else (covariances,))

    def draw(means, *covariances):
        if not is_pair:
            (covariances,) = covariances
            if covariance_type in ("full", "tied"):
                covariances = (covariances + covariances.mT) / 2
        moved = Mixture(mixture.weights, means, covariances, covariance_type)
        return moved.sample(5, 0)[0]

    arrays = [array.clone().requires_grad_() for array in arrays]
    assert torch.autograd.gradcheck(draw, arrays)


@TYPES
@pytest.mark.parametrize("leading", [(), (2,)])
def test_samples_follow_weights(covariance_type, leading, make_mixture):
    """They move as the quantiles of each feature given those before it do."""
    mixture = make_mixture(covariance_type, n_features=2, leading=leading)
    logits = torch.log(torch.tensor(mixture.weights)).requires_grad_()
    tensors = make_mixture(covariance_type, n_features=2, leading=leading, xp=torch)

    def make(logits):
        weights = torch.softmax(logits, dim=-1)
        return Mixture(weights, tensors.means, tensors.covariances, covariance_type)

    X, _ = make(logits).sample(3, 0)
    assert_allclose(X.detach(), mixture.sample(3, 0)[0], rtol=1e-12)

    def first_given(mixture, x):
        part = mixture.condition(
            [0], np.broadcast_to(x, (*mixture.means.shape[:-2], 1))
        )
        return part

    def follow(one, logits, levels):
        """Return the place of the same scores in another mixture."""
        own = make(logits.detach()).to_numpy()
        own = own if one is None else own[one]
        x = own.marginal([0]).quantile(levels[0])
        return np.array([x, own.condition([0], [x]).quantile(levels[1])])

    step = 1e-5
    for one in [None] if not leading else range(2):
        for x in X if one is None else X[:, one]:
            own = mixture if one is None else mixture[one]
            place = x.detach().numpy()
            given = own.condition([0], place[:1])
            levels = own.marginal([0]).cdf(place[0]), given.cdf(place[1])
            for j in range(2):
                slope = torch.autograd.grad(x[j], logits, retain_graph=True)[0]
                slope = slope if one is None else slope[one]
                for k in range(3):
                    change = torch.zeros(logits.shape, dtype=torch.float64)
                    change[(k,) if one is None else (one, k)] = step
                    after = follow(one, logits + change, levels)
                    before = follow(one, logits - change, levels)
                    expected = (after - before)[j] / (2 * step)
                    assert_allclose(slope[k], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_samples_without_gradients_are_the_same(mode, make_mixture):
    mixture = make_mixture("full", xp=torch)
    weights = mixture.weights.clone().requires_grad_()
    moving = Mixture(weights, mixture.means, mixture.covariances)
    with mode():
        X, _ = moving.sample(5, 0)
    assert torch.equal(X, moving.sample(5, 0)[0].detach())


def test_mean_of_samples_has_the_gradient_of_the_mean(make_mixture):
    mixture = make_mixture("full", xp=torch)
    weights = mixture.weights.clone().requires_grad_()
    moving = Mixture(weights, mixture.means, mixture.covariances)
    X, _ = moving.sample(20_000, 0)
    square = (X**2).sum(dim=-1)
    (found,) = torch.autograd.grad(square.mean(), weights)
    (exact,) = torch.autograd.grad(
        torch.trace(moving.covariance) + moving.mean @ moving.mean, weights
    )
    # A sum of weights that is not one changes nothing.
    assert_allclose(found - found.mean(), exact - exact.mean(), atol=0.15)

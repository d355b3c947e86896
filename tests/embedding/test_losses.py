"""Laws of all losses, and what each is in the limit."""

import re
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.stats import multivariate_normal

from skgmje.embedding import (
    LOSSES,
    barlow_loss,
    gje_loss,
    gje_sigreg_loss,
    infonce_loss,
    logdet_term,
    sigreg_loss,
    sigreg_term,
    vicreg_loss,
)
from skgmje.gaussian import Mixture

N, D = 24, 3
PRIOR = Mixture(np.ones(1), np.zeros((1, 2 * D)), np.ones(1), "spherical")
TORCH_PRIOR = Mixture(
    *map(torch.tensor, (PRIOR.weights, PRIOR.means, PRIOR.covariances)), "spherical"
)


@pytest.fixture
def views(rng):
    Z = rng.normal(size=(N, D))
    return Z, Z + 0.3 * rng.normal(size=(N, D))


@pytest.fixture(params=LOSSES)
def loss(request):
    """A loss as a function of both views alone."""
    function = LOSSES[request.param]

    def joint(z_context, z_target):
        prior = PRIOR if isinstance(z_context, np.ndarray) else TORCH_PRIOR
        return function(z_context, z_target, prior)

    return joint if request.param == "joint" else function


def test_numpy_and_torch_agree(loss, views):
    assert_allclose(float(loss(*map(torch.asarray, views))), loss(*views), rtol=1e-10)


def test_gradient_is_correct(loss, views):
    tensors = [torch.tensor(view[:8], requires_grad=True) for view in views]
    assert torch.autograd.gradcheck(loss, tensors)


def test_order_of_pairs_does_not_matter(loss, views, rng):
    order = rng.permutation(N)
    assert_allclose(loss(*(v[order] for v in views)), loss(*views), rtol=1e-9)


def test_exchange_of_views_does_not_matter(loss, views):
    assert_allclose(loss(*views[::-1]), loss(*views), rtol=1e-9)


def test_right_pairs_are_not_worse_than_wrong_ones(loss, views):
    context, target = views
    wrong = loss(context, np.roll(target, 5, axis=0))
    assert loss(context, target) < wrong + 1e-12


def test_collapsed_embeddings_give_a_finite_gradient(loss):
    views = [torch.zeros(N, D, dtype=float, requires_grad=True) for _ in range(2)]
    value = loss(*views)
    value.backward()
    assert torch.isfinite(value)
    assert all(torch.isfinite(view.grad).all() for view in views)


def test_gje_is_a_fixed_gaussian_minus_the_marginals(views):
    rho, d = 0.8, D
    Z = np.hstack(views)
    fixed = np.kron([[1, rho], [rho, 1]], np.eye(d)) + 1e-3 * np.eye(2 * d)
    log_prob = multivariate_normal(np.zeros(2 * d), fixed).logpdf(Z - Z.mean(axis=0))
    nll = -log_prob.mean() - d * np.log(2 * np.pi)
    marginals = sum(logdet_term(view, 1e-4) for view in views) / 2
    for weight in (0.0, 1.0, 2.0):
        loss = gje_loss(*views, rho, weight)
        assert_allclose(loss, nll - weight * marginals, rtol=1e-10)


def test_infonce_is_minus_the_log_responsibility_of_the_right_key(rng):
    """Equal spherical components at the stored pairs: the degenerate mixture."""
    context, keys = (_unit(rng.normal(size=(32, 8))) for _ in range(2))
    tau = 0.2
    gammas = [
        _bank(a, tau, 0.1).condition(range(8), b).weights
        for a, b in ((keys, context), (context, keys))
    ]
    expected = -np.mean([np.log(np.diagonal(gamma)) for gamma in gammas])
    assert_allclose(infonce_loss(context, keys, tau), expected, atol=1e-6)


def test_infonce_is_the_limit_of_narrow_targets(rng):
    keys = _unit(rng.normal(size=(32, 8)))
    context = _unit(keys + 0.3 * rng.normal(size=(32, 8)))
    tau, errors = 0.2, []
    logits = context @ keys.T / tau
    one_way = np.mean(np.log(np.exp(logits).sum(axis=1)) - np.diagonal(logits))
    for target_variance in (0.3, 0.1, 0.03, 0.01):
        conditional = _bank(keys, tau, target_variance).condition(range(8), context)
        nll = -conditional.log_prob(keys).mean()
        errors.append(abs(nll - 4 * np.log(2 * np.pi * target_variance) - one_way))
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 1e-6


def test_infonce_needs_unit_norms_to_be_that_limit(rng):
    context, keys = rng.normal(size=(2, 32, 8))
    gamma = _bank(keys, 0.2, 0.1).condition(range(8), context).weights
    assert abs(infonce_loss(context, keys) + np.log(np.diagonal(gamma)).mean()) > 1


def _unit(Z):
    return Z / np.linalg.norm(Z, axis=1, keepdims=True)


def _bank(keys, variance, target_variance):
    """Return one component for each key, in context and target space."""
    variances = np.repeat([variance, target_variance], keys.shape[1])
    weights = np.full(len(keys), 1 / len(keys))
    shape = (len(keys), 2 * keys.shape[1])
    return Mixture(
        weights, np.hstack([keys, keys]), np.broadcast_to(variances, shape), "diag"
    )


def test_vicreg_of_standardised_equal_views_is_their_redundancy(rng):
    Z = rng.normal(size=(200, D))
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    matrix = np.cov(Z, rowvar=False, bias=True)
    off = (matrix**2).sum() - (np.diagonal(matrix) ** 2).sum()
    assert_allclose(vicreg_loss(Z, Z), 2 * off / D, atol=1e-10)
    assert vicreg_loss(Z, Z, weights=(0.0, 1.0, 0.0)) == 0


def test_barlow_of_white_equal_views_is_zero(rng):
    Z = rng.normal(size=(50, D))
    white = np.linalg.qr(Z - Z.mean(axis=0))[0]
    assert_allclose(barlow_loss(white, white), 0, atol=1e-10)


# SIGReg -------------------------------------------------------------------------------


def test_sigreg_is_the_integral_over_characteristic_functions(rng):
    x = 2 * rng.normal(size=(30, 1)) + 0.5

    def error(t):
        gap = np.exp(1j * t * x).mean() - np.exp(-(t**2) / 2)
        return abs(gap) ** 2 * np.exp(-(t**2) / 2)

    integral = quad(error, -12, 12, epsabs=1e-13, limit=400)[0]
    assert_allclose(sigreg_term(x, 1, None), 30 * integral, atol=1e-10)


def test_sigreg_is_the_distance_of_two_mixtures(rng):
    z = rng.normal(size=(20, D))
    density = Mixture(np.full(20, 1 / 20), z[:, :1], np.full(20, 0.5), "spherical")
    normal = Mixture([1.0], [[0.0]], [1.5], "spherical")
    distance = 2 * np.pi * density.l2_distance(normal) ** 2
    assert_allclose(sigreg_term(z[:, :1], 1, None), 20 * distance, rtol=1e-10)


def test_knots_are_those_published(rng, xp):
    """A quadrature of samples near the origin is off by what it leaves out."""
    z = rng.normal(size=(50, D))
    draws = np.random.default_rng(0).standard_normal((D, 8))
    x = z @ (draws / np.linalg.norm(draws, axis=0))
    t = np.linspace(0, 3, 17)
    weights = 2 * np.full(17, 3 / 16)
    weights[[0, -1]] /= 2
    normal = np.exp(-(t**2) / 2)
    gap = (np.cos(x[..., None] * t).mean(0) - normal) ** 2
    gap += np.sin(x[..., None] * t).mean(0) ** 2
    expected = 50 * (gap @ (weights * normal)).mean()
    found = float(sigreg_term(xp.asarray(z), 8))
    assert_allclose(found, expected, rtol=1e-10)
    assert_allclose(found, sigreg_term(z, 8, None), atol=0.02)


@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0, 4.0])
def test_knots_leave_out_little(rng, scale):
    for shift in (0.0, 3.0):
        z = scale * rng.uniform(-3, 3, size=(40, 1)) + shift
        exact, published = sigreg_term(z, 1, None), sigreg_term(z, 1)
        assert abs(published - exact) < 0.01 * 40
    # Twice as many knots reach twice as far.
    z, far = scale * rng.uniform(-3, 3, size=(40, 1)), 25 - 3 * scale
    for x in (z + far, z - far, np.vstack([z[:20] + far, z[20:] - far])):
        gap = sigreg_term(x, 1, 33) - sigreg_term(x, 1, None)
        assert abs(gap) < 0.01 * 40


def test_gradient_of_the_exact_form(views):
    z = torch.tensor(views[0][:8], requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: sigreg_term(z, 3, None), (z,))


def test_rotations_change_the_directions_alone(rng):
    z = rng.normal(size=(60, D)) ** 3
    turned = z @ np.linalg.qr(rng.normal(size=(D, D)))[0]
    assert_allclose(sigreg_term(turned, 20_000), sigreg_term(z, 20_000), rtol=0.02)


def test_directions_follow_the_generator(views):
    z, _ = views
    assert sigreg_term(z, 5) == sigreg_term(z, 5)
    assert sigreg_term(z, 5, generator=1) != sigreg_term(z, 5)
    tensor, seed = torch.as_tensor(z), torch.Generator().manual_seed(0)
    one, two = (sigreg_term(tensor, 5, generator=seed) for _ in range(2))
    assert one != two
    assert one == sigreg_term(tensor, 5, generator=seed.manual_seed(0))


def test_views_are_compared_with_a_gaussian_each_or_together(views):
    invariance = ((views[0] - views[1]) ** 2).mean() / 4
    each = np.mean([sigreg_term(view) for view in views])
    together = sigreg_term(np.vstack(views))
    for pooled, term in ((False, each), (True, together)):
        loss = sigreg_loss(*views, 0.2, pooled=pooled)
        assert_allclose(loss, 0.8 * invariance + 0.2 * term)
        loss = gje_sigreg_loss(*views, 0.2, pooled=pooled)
        assert_allclose(loss, gje_loss(*views) + 0.2 * term)


@pytest.mark.parametrize("n_knots", [None, 17])
def test_sigreg_of_few_equal_and_half_precise_samples(n_knots):
    for z in (torch.ones(1, D), torch.ones(5, D), 1e4 * torch.randn(5, D).half()):
        z = z.requires_grad_()
        value = sigreg_term(z, n_knots=n_knots)
        value.backward()
        assert 0 <= value < 3 * len(z)
        assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"n_slices": 0}, "n_slices=0"),
        ({"n_knots": 1}, "n_knots=1 must be an integer >= 2"),
        ({"z": np.ones(5)}, r"z has shape \(5,\)"),
        ({"z": np.ones((0, 2))}, r"z has shape \(0, 2\)"),
        ({"z": torch.full((2, 2), np.nan)}, "z has NaN"),
        ({"generator": "a"}, "generator='a' must be"),
        ({"generator": -1}, "generator=-1 must be"),
        ({"generator": torch.Generator()}, "generator=<torch.* of NumPy"),
    ],
)
def test_sigreg_names_what_is_wrong(params, words):
    with pytest.raises(ValueError, match=words):
        sigreg_term(**{"z": np.ones((5, 2))} | params)


@pytest.mark.parametrize("weight", [-0.1, 2, np.nan])
def test_weights_of_sigreg_are_shares(views, weight):
    with pytest.raises(ValueError, match=f"weight={weight} must be between 0 and 1"):
        sigreg_loss(*views, weight)


@pytest.mark.parametrize("name", LOSSES)
def test_views_that_do_not_fit_are_named_with_both_shapes(name):
    z = np.random.default_rng(0).normal(size=(N, D))
    more = {"mixture": PRIOR} if name == "joint" else {}
    wrong = [(z, z[:10]), (z, z[0]), (z[:0], z[:0])]
    # What is a density of both together takes views of any width.
    wrong += [(z, z[:, :2])] * (name not in ("naive", "pmi", "joint"))
    for first, second in wrong:
        shapes = f"{re.escape(str(first.shape))}.*{re.escape(str(second.shape))}"
        with pytest.raises(ValueError, match=shapes):
            LOSSES[name](first, second, **more)


@pytest.mark.parametrize("loss", [gje_loss, partial(LOSSES["joint"], mixture=PRIOR)])
def test_moments_of_other_views_are_named(loss):
    z = np.random.default_rng(0).normal(size=(N, D))
    with pytest.raises(ValueError, match=r"moments .*\(2, 2\).*\(24, 3\)"):
        loss(z, z, moments=(np.eye(3), np.eye(2)))

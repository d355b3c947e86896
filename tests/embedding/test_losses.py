"""Laws of all losses, and what each is in the limit."""

import re
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from skgmje.embedding import (
    LOSSES,
    barlow_loss,
    gje_loss,
    infonce_loss,
    logdet_term,
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

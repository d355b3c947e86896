"""Inner products, distances and products agree with integrals."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skgmje.gaussian import COVARIANCE_TYPES, Mixture

TYPES = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
PAIRS = pytest.mark.parametrize(
    ("first", "second"), [(a, b) for a in COVARIANCE_TYPES for b in COVARIANCE_TYPES]
)


@pytest.fixture
def pair(first, second, make_mixture, xp):
    """Two mixtures with different numbers of components."""
    p = make_mixture(first, seed=1, n_components=2, n_features=2, xp=xp)
    return p, make_mixture(second, seed=2, n_components=3, n_features=2, xp=xp)


def _densities(p, q, points, xp):
    points = xp.asarray(points)
    return np.exp(np.asarray(p.log_prob(points))), np.exp(
        np.asarray(q.log_prob(points))
    )


@PAIRS
def test_inner_products_agree_with_quadrature(pair, make_grid, xp):
    p, q = pair
    points, volume = make_grid(2)
    f, g = _densities(p, q, points, xp)
    inner = np.sum(f * g) * volume
    assert_allclose(p.inner(q), inner, rtol=1e-6)
    assert_allclose(q.log_inner(p), np.log(inner), rtol=1e-6)
    assert_allclose(p.norm(), np.sqrt(np.sum(f**2) * volume), rtol=1e-6)
    distance = np.sqrt(np.sum((f - g) ** 2) * volume)
    assert_allclose(p.l2_distance(q), distance, rtol=1e-6)
    cosine = inner / np.sqrt(np.sum(f**2) * np.sum(g**2)) / volume
    divergence = p.cauchy_schwarz_divergence(q)
    assert_allclose(divergence, -2 * np.log(cosine), rtol=1e-5)
    assert_allclose(q.cauchy_schwarz_divergence(p), divergence, rtol=1e-12)


@PAIRS
def test_product_is_the_normalised_pointwise_product(pair, first, second, xp, rng):
    p, q = pair
    product = p.product(q)
    X = xp.asarray(2 * rng.normal(size=(10, 2)))
    expected = p.log_prob(X) + q.log_prob(X) - p.log_inner(q)
    assert_allclose(product.log_prob(X), expected, rtol=1e-9, atol=1e-10)
    assert product.n_components == 6
    if first == second:
        assert product.covariance_type == first


def test_inner_product_of_gaussians_is_a_gaussian_of_the_means(rng):
    means = rng.normal(size=(2, 3))
    p = Mixture([1.0], means[:1], [0.5], "spherical")
    q = Mixture([1.0], means[1:], [1.5], "spherical")
    r = Mixture([1.0], means[1:], [2.0], "spherical")
    assert_allclose(p.log_inner(q), r.log_prob(means[0]), rtol=1e-12)


@TYPES
def test_equal_mixtures_have_no_distance(covariance_type, make_mixture, xp):
    for seed in range(5):
        p = make_mixture(covariance_type, seed=seed, xp=xp)
        assert 0 <= p.l2_distance(p.affine(1.0)) <= 1e-7
        assert 0 <= p.cauchy_schwarz_divergence(p.affine(1.0)) <= 1e-12


@TYPES
def test_distances_neither_under_nor_overflow(covariance_type, make_mixture, xp):
    p = make_mixture(covariance_type, n_components=2, n_features=20, xp=xp)
    for scale in (1e-30, 1e30):
        q, far = p.affine(scale), p.affine(scale, 100 * scale)
        log_norm = -0.5 * 20 * np.log(scale) + np.log(np.asarray(p.norm()))
        assert_allclose(0.5 * np.asarray(q.log_inner(q)), log_norm, rtol=1e-10)
        distance = np.asarray(q.l2_distance(far))
        with np.errstate(over="ignore"):
            assert_allclose(distance, np.exp(log_norm + 0.5 * np.log(2)), rtol=1e-7)
        divergence = q.cauchy_schwarz_divergence(far)
        expected = p.cauchy_schwarz_divergence(p.affine(1.0, 100.0))
        assert_allclose(divergence, expected, rtol=1e-8)
        assert divergence > 100


@TYPES
def test_disjoint_mixtures_have_finite_divergence(covariance_type, make_mixture):
    p = make_mixture(covariance_type)
    divergence = p.cauchy_schwarz_divergence(p.affine(1.0, 1e6))
    assert 1e9 < divergence < np.inf
    assert p.inner(p.affine(1.0, 1e6)) == 0


@pytest.mark.parametrize("covariance_type", ["diag", "low-rank"])
def test_distance_has_gradients_where_it_is_zero(covariance_type, make_mixture):
    p = make_mixture(covariance_type, xp=torch)
    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    q = p.affine(1.0, shift)
    (p.l2_distance(q) + p.cauchy_schwarz_divergence(q) + p.inner(q)).backward()
    assert torch.all(torch.isfinite(shift.grad))


@PAIRS
def test_one_mixture_meets_a_batch(first, second, make_mixture, map_mixture):
    one = make_mixture(first, n_components=2)
    batch = make_mixture(second, seed=1, leading=(4,))
    singles = [map_mixture(lambda a, i=i: a[i], batch) for i in range(4)]
    expected = [one.log_inner(single) for single in singles]
    assert_allclose(one.log_inner(batch), expected, rtol=1e-9)
    assert_allclose(batch.log_inner(one), expected, rtol=1e-9)
    X = np.random.default_rng(0).normal(size=(4, 3))
    pairs = zip(singles, X, strict=True)
    expected = [one.product(single).log_prob(x) for single, x in pairs]
    assert_allclose(one.product(batch).log_prob(X), expected, rtol=1e-9)
    assert_allclose(batch.product(one).log_prob(X), expected, rtol=1e-9)


def test_partners_that_do_not_fit_are_named(make_mixture):
    mixture = make_mixture("full")
    with pytest.raises(ValueError, match="other has 2 features but this mixture has 3"):
        mixture.inner(make_mixture("diag", n_features=2))
    with pytest.raises(TypeError, match="other is a ndarray; it must be a Mixture"):
        mixture.l2_distance(np.zeros(3))
    with pytest.raises(TypeError, match="other holds arrays of another library"):
        mixture.product(make_mixture("full", xp=torch))
    batch = make_mixture("full", leading=(4,))
    with pytest.raises(ValueError, match=r"leading axes \(5,\).*\(4,\)"):
        batch.inner(make_mixture("full", leading=(5,)))

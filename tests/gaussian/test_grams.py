"""Gram matrices of data and centers: definition, laziness, weights, bad input."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skgmje.gaussian import gaussian_log_gram, grams

BLOCKS = [np.array([0, 2]), np.array([1])]
MATRICES = ["log_xx", "log_xy", "log_yy"]


@pytest.fixture
def points(rng):
    return rng.normal(size=(8, 3)), rng.normal(size=(5, 3))


@pytest.fixture
def bandwidths(rng):
    """Bandwidths of the 8 points, of the 5 centers, of both by blocks."""
    return [rng.uniform(0.5, 1.5, size=s) for s in [8, 5, (8, 2), (5, 2)]]


def test_variances_add(xp, points):
    X, C = points
    pairs = grams(xp.asarray(X), xp.asarray(C), (0.5, 0.8))
    expected = {
        "log_xx": gaussian_log_gram(X, X, 0.5),
        "log_xy": gaussian_log_gram(X, C, 0.25 + 0.64),
        "log_yy": gaussian_log_gram(C, C, 1.28),
    }
    for name in MATRICES:
        assert_allclose(getattr(pairs, name), expected[name], rtol=1e-10)


def test_bandwidth_per_point(xp, points, bandwidths):
    (X, C), (of_data, of_model, *_) = points, bandwidths
    pairs = grams(xp.asarray(X), xp.asarray(C), (of_data, xp.asarray(of_model)))
    v, w = of_data[:, None] ** 2, of_model**2
    assert_allclose(pairs.log_xx, gaussian_log_gram(X, X, v + v.T), rtol=1e-10)
    assert_allclose(pairs.log_xy, gaussian_log_gram(X, C, v + w), rtol=1e-10)
    assert_allclose(pairs.log_yy, gaussian_log_gram(C, C, w[:, None] + w), rtol=1e-10)


@pytest.mark.parametrize("per_point", [False, True])
def test_product_kernel_sums_the_logs_of_its_blocks(xp, points, bandwidths, per_point):
    X, C = points
    pair = bandwidths[2:] if per_point else [np.array([0.5, 1.5]), np.array([0.9, 0.4])]
    pairs = grams(xp.asarray(X), xp.asarray(C), tuple(pair), BLOCKS)
    for name in MATRICES:
        expected = sum(
            getattr(grams(X[:, b], C[:, b], tuple(h[..., t] for h in pair)), name)
            for t, b in enumerate(BLOCKS)
        )
        assert_allclose(getattr(pairs, name), expected, rtol=1e-10)


def test_one_bandwidth_per_block_serves_both_densities(points):
    one = grams(*points, np.array([0.5, 0.9]), BLOCKS)
    two = grams(*points, (np.array([0.5, 0.9]), np.array([0.5, 0.9])), BLOCKS)
    for name in MATRICES:
        assert_allclose(getattr(one, name), getattr(two, name))


@pytest.mark.parametrize("blocks", [None, BLOCKS])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_diagonals_and_correlations(xp, points, dtype, blocks):
    X, C = (xp.asarray(points.astype(dtype)) for points in points)
    pairs = grams(X, C, (0.5, 0.8), blocks)
    assert_allclose(pairs.log_xx_diagonal, np.diag(pairs.log_xx), rtol=1e-6)
    assert_allclose(pairs.log_yy_diagonal, np.diag(pairs.log_yy), rtol=1e-6)
    assert np.all(np.diag(pairs.log_correlation_yy) == 0)
    assert np.asarray(pairs.log_correlation_xy).max() < 0
    for name in [*MATRICES, "log_data_norm"]:
        assert np.asarray(getattr(pairs, name)).dtype == dtype


def test_unit_bumps_are_exact_in_many_dimensions(xp, rng):
    X = xp.asarray(rng.normal(size=(50, 40)))
    logs = np.asarray(grams(X, X[:2], 20.0).log_correlation_xx)
    assert np.all(np.diag(logs) == 0)
    near = xp.concat([X, X + 1e-9]) if xp is torch else np.concatenate([X, X + 1e-9])
    assert np.asarray(grams(X, near, 20.0).log_correlation_xy).max() <= 0


def test_near_points_in_single_precision(xp, rng):
    X = (10 * rng.normal(size=(5, 40))).astype("float32")
    C = X + np.float32(0.01)
    expected = -((C.astype(float) - X) ** 2).sum(axis=1) / 4
    pairs = grams(xp.asarray(X), xp.asarray(C), 1.0)
    assert_allclose(np.diag(pairs.log_correlation_xy), expected, rtol=1e-4)


def test_matrices_are_computed_when_asked_for(points):
    pairs = grams(*points, 0.7)
    assert pairs.log_xy is pairs.log_xy
    assert not {"log_xx", "log_correlation_xx"} & vars(pairs).keys()


def test_norm_of_the_data_in_blocks_of_rows(xp, rng, monkeypatch, bandwidths):
    X = rng.normal(size=(8, 3))
    of_data = bandwidths[0]
    logs = rng.normal(size=8)
    pairs = [
        grams(xp.asarray(X), xp.asarray(X[:2]), (of_data, 1.0), None, xp.asarray(logs))
        for _ in range(2)
    ]
    whole = pairs[0].log_data_norm
    monkeypatch.setattr("skgmje.gaussian._pairs._PAIRS", 24)
    assert_allclose(pairs[1].log_data_norm, whole, rtol=1e-12)
    a = np.exp(logs) / np.exp(logs).sum()
    expected = np.log(a @ np.exp(np.asarray(pairs[0].log_xx)) @ a)
    assert_allclose(whole + 2 * pairs[0].log_data_scale, expected, rtol=1e-12)


def test_with_centers_shares_what_is_known_of_the_data(points):
    X, C = points
    first = grams(X, C, (0.5, 0.8))
    norm = first.log_data_norm
    assert all(getattr(first, name).ndim == 2 for name in MATRICES)
    second = first.with_centers(C + 1, model_bandwidth=0.9)
    fresh = grams(X, C + 1, (0.5, 0.9))
    assert second.log_data_norm is norm
    for name in MATRICES:
        assert_allclose(getattr(second, name), getattr(fresh, name))


def test_mixed_precision_is_promoted(xp, points):
    X, C = points
    pairs = grams(xp.asarray(X.astype("float32")), xp.asarray(C), 0.7)
    assert np.asarray(pairs.log_xy).dtype == "float64"


@pytest.mark.parametrize("n_features", [3, 20])
def test_gradient_with_respect_to_all_bandwidths(n_features):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(4, n_features, dtype=torch.float64, generator=generator)
    C = torch.randn(3, n_features, dtype=torch.float64, generator=generator)
    h = torch.tensor([0.7, 0.8, 1.1, 0.9], dtype=torch.float64).requires_grad_()
    g = torch.tensor([0.7, 0.8, 1.1], dtype=torch.float64).requires_grad_()

    def matrices(h, g):
        pairs = grams(X, C, (h, g))
        return pairs.log_xx, pairs.log_xy, pairs.log_yy, pairs.log_data_norm

    def total(h, g):
        pairs = grams(X, C, (h, g))
        return pairs.log_data_norm + 2 * pairs.log_data_scale

    # The scale is a constant: the norm has the gradient of <p, p>.
    assert torch.autograd.gradcheck(lambda h, g: matrices(h, g)[:3], (h, g))
    a = torch.full((4,), 0.25, dtype=torch.float64)
    direct = (a @ grams(X, C, (h, g)).log_xx.exp() @ a).log()
    (expected,) = torch.autograd.grad(direct, h)
    (actual,) = torch.autograd.grad(total(h, g), h)
    assert_allclose(actual, expected, rtol=1e-10)


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, np.nan, (1.0, 0.0)])
def test_bandwidth_must_be_positive(xp, points, bandwidth):
    X, C = map(xp.asarray, points)
    with pytest.raises(ValueError, match=r"bandwidth .* must be positive, got"):
        grams(X, C, bandwidth)


@pytest.mark.parametrize(
    ("bandwidth", "blocks"),
    [
        ((1.0, np.ones(4)), None),
        ((np.ones(5), 1.0), None),
        ((1.0, np.ones((5, 2))), None),
        (np.ones(3), BLOCKS),
        ((1.0, np.ones((4, 2))), BLOCKS),
        ([0.5, 1.0], None),
    ],
)
def test_shape_of_the_bandwidth_is_checked(points, bandwidth, blocks):
    with pytest.raises(ValueError, match=r"bandwidth must .* shape"):
        grams(*points, bandwidth, blocks)


@pytest.mark.parametrize("blocks", [[[0], [0, 1]], [[0], [3]], [[-1]], [[]], []])
def test_blocks_are_checked(points, blocks):
    with pytest.raises(ValueError, match="blocks must"):
        grams(*points, 1.0, blocks)


def test_shapes_of_the_points_are_checked(points):
    X, C = points
    with pytest.raises(ValueError, match=r"as many columns, got shapes \(8, 3\)"):
        grams(X, C[:, :2], 1.0)
    with pytest.raises(ValueError, match="two-dimensional"):
        grams(X[0], C, 1.0)


def test_shape_of_the_data_weights_is_checked(points):
    with pytest.raises(ValueError, match="log_data_weights must"):
        grams(*points, 1.0, log_data_weights=np.zeros(7))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_that_are_no_numbers_are_refused(value):
    X = np.zeros((3, 2))
    X[1, 0] = value
    with pytest.raises(ValueError, match=r"X has missing .* Drop or impute"):
        grams(X, X[:1], 1.0)
    with pytest.raises(ValueError, match="X has no samples"):
        grams(X[:0], X[:1], 1.0)

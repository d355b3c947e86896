"""Units in which features compare."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skgmje import _standardize as _units
from skgmje._standardize import drop_weightless, standardization

X = np.random.default_rng(0).normal(size=(50, 3))


@pytest.mark.parametrize("scale", [1e-130, 1e-3, 1.0, 1e149])
def test_features_get_unit_variance_at_any_scale(scale):
    rows = X * [1.0, 2.0, 3.0] * scale
    loc, spread, _ = standardization(rows, None, per_feature=True)
    Z = (rows - loc) / spread
    assert_allclose(Z.mean(axis=0), 0, atol=1e-12)
    assert_allclose(Z.std(axis=0), 1)


def test_one_scale_keeps_ratios():
    loc, spread, _ = standardization(X * [1.0, 2.0, 3.0], None, per_feature=False)
    assert spread.shape == ()
    variances = ((X * [1.0, 2.0, 3.0] - loc) / spread).var(axis=0)
    assert variances.mean() == pytest.approx(1)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e20])
@pytest.mark.parametrize("per_feature", [True, False])
def test_constant_features_keep_their_units(value, per_feature):
    rows = np.c_[X, np.full(50, value)]
    _, spread, _ = standardization(rows, None, per_feature=per_feature)
    if per_feature:
        assert spread[-1] == 1
    assert np.isfinite(spread).all()
    assert_array_equal(
        standardization(np.full((5, 2), value), None, per_feature=per_feature)[1],
        [1.0, 1.0] if per_feature else 1.0,
    )


def test_small_variation_far_away_is_no_constant():
    _, spread, _ = standardization(1e6 + 1e-3 * X, None, per_feature=True)
    assert_allclose(spread, 1e-3 * X.std(axis=0), rtol=1e-4)


def test_weights_are_copies():
    counts = np.arange(50) % 3
    for mine, copied in zip(
        standardization(X, counts, per_feature=True),
        standardization(np.repeat(X, counts, axis=0), None, per_feature=True),
        strict=True,
    ):
        assert_allclose(mine, copied, atol=1e-14)


def test_rows_of_no_weight_are_dropped():
    weights = np.array([1.0, 0.0, 1.0])
    rows, rest = drop_weightless(X[:3], weights)
    assert_array_equal(rows, X[[0, 2]])
    assert rest is None
    assert_array_equal(drop_weightless(X[:3], 2 * weights)[1], [2.0, 2.0])
    assert np.shares_memory(drop_weightless(X, np.full(50, 3.0))[0], X)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_extreme_weights_are_scaled(dtype):
    info = np.finfo(dtype)
    for weight in (info.smallest_subnormal, info.max):
        scaled = drop_weightless(X, np.full(50, weight))[1]
        assert 0 < scaled.sum() < 1e32
        assert (scaled == scaled[0]).all()


def test_chunks_change_nothing(monkeypatch):
    weight = np.arange(50.0) + 1
    whole = standardization(X, weight, per_feature=True)
    monkeypatch.setattr(_units, "_CHUNK_ENTRIES", 21)
    for mine, expected in zip(
        standardization(X, weight, per_feature=True), whole, strict=True
    ):
        assert_allclose(mine, expected, rtol=1e-12)


def test_resolution_is_the_variance_of_rounding():
    rows = X + 1e4
    units = standardization(rows.astype(np.float32), None, per_feature=True)
    rounding = (rows - rows.astype(np.float32)) / units.scale
    assert units.resolution == pytest.approx((rounding**2).sum(axis=1).mean(), rel=0.3)
    assert standardization(rows, None, per_feature=True).resolution < 1e-20

"""Diagnostics of the bandwidth: formulas and limits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skgmje.costs import effective_rank, pair_ess
from skgmje.gaussian import grams


def test_formulas(xp, points, weights, naive):
    bandwidths = (0.8, np.linspace(0.5, 0.9, 5))
    K = naive(*points, *bandwidths)
    pairs = grams(*map(xp.asarray, points), bandwidths)
    a = K.xy * weights
    ess = a.sum() ** 2 / (a**2).sum()
    assert_allclose(pair_ess(pairs, xp.asarray(weights)), ess, rtol=1e-10)
    R = K.xy / np.sqrt(np.outer(np.diag(K.xx), np.diag(K.yy)))
    s = np.linalg.svd(R, compute_uv=False)
    s = s / s.sum()
    assert_allclose(effective_rank(pairs), np.exp(-s @ np.log(s)), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_limits(xp, rng, dtype):
    X, C = (xp.asarray(rng.normal(size=(n, 30)).astype(dtype)) for n in (20, 5))
    narrow, wide = grams(X, C, 1e-3), grams(X, C, 1e5)
    assert_allclose(pair_ess(narrow), 1.0, rtol=1e-3)
    assert_allclose(pair_ess(wide), 100.0, rtol=1e-3)
    assert_allclose(effective_rank(wide), 1.0, atol=1e-3)
    assert_allclose(effective_rank(grams(X, X, 1e-3)), 20.0, rtol=1e-3)
    assert np.asarray(effective_rank(wide)).dtype == dtype

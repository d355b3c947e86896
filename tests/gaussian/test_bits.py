"""A row's bits do not depend on the rows that are scored with it."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skgmje.gaussian import COVARIANCE_TYPES, Mixture

SIZES = [
    (1, 1),
    (2, 5),
    (8, 16),
    (16, 40),
    (40, 3),
    (64, 40),
    (120, 2),
    (5, 300),
    (30, 150),
]
N = 2500


def make_mixture(covariance_type, n_features, n_components, rng):
    shape = (n_components, n_features)
    factors = rng.normal(size=(*shape, 2))
    variances = 0.3 + rng.random(shape)
    matrices = factors @ factors.transpose(0, 2, 1)
    matrices += variances[:, :, None] * np.eye(n_features)
    known = {
        "full": matrices,
        "tied": matrices[0],
        "diag": variances,
        "spherical": variances[:, 0],
        "low-rank": (factors, variances),
    }
    if covariance_type in known:
        covariances = known[covariance_type]
    else:
        kind, full = COVARIANCE_TYPES[covariance_type], COVARIANCE_TYPES["full"]
        covariances = kind.convert(full, matrices, *shape)
    weights = rng.dirichlet(np.ones(n_components))
    return Mixture(weights, rng.normal(size=shape), covariances, covariance_type)


@pytest.fixture(params=SIZES, ids=lambda size: f"d{size[0]}-K{size[1]}")
def size(request):
    return request.param


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_one_row_has_the_bits_of_the_batch(covariance_type, size, rng):
    mixture = make_mixture(covariance_type, *size, rng)
    X = 2 * rng.normal(size=(N, size[0]))
    X[::7] *= 10.0 ** rng.uniform(0, 4, size=(len(X[::7]), 1))
    whole, resp = mixture.log_prob(X), mixture.responsibilities(X)
    for i in [0, 1, 14, 17, 63, 64, 497, 500, 1023, 1024, N - 1]:
        assert mixture.log_prob(X[i : i + 1])[0] == whole[i]
        assert_array_equal(mixture.responsibilities(X[i : i + 1])[0], resp[i])
    for step in (7, 100, 1025):
        parts = [mixture.log_prob(X[i : i + step]) for i in range(0, N, step)]
        assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("covariance_type", ["diag", "low-rank"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_a_page_apart_have_the_bits_of_others(covariance_type, dtype, rng):
    mixture = make_mixture(covariance_type, 512, 3, rng)
    wide = rng.normal(size=(100, 519)).astype(dtype)
    near = np.ascontiguousarray(wide[:, :512])
    assert_array_equal(mixture.log_prob(near), mixture.log_prob(wide[:, :512]))


def test_odd_neighbours_do_not_matter(rng):
    mixture = make_mixture("full", 8, 16, rng)
    X = rng.normal(size=(100, 8))
    odd = X.copy()
    odd[3] = 1e200
    odd[70, 2] = np.nan
    plain = mixture.log_prob(X)
    scores = mixture.log_prob(odd, missing="marginal")
    keep = np.setdiff1d(np.arange(100), [3, 70])
    assert_array_equal(scores[keep], plain[keep])
    assert scores[3] == -np.inf
    assert np.isfinite(scores[70])
    # Terms below every double are zero, also where an odd neighbour hides them.
    far = Mixture([0.5, 0.5], [[0.0], [53.3]], [[[1.0]], [[1.0]]])
    X = rng.normal(size=(100, 1))
    odd = np.vstack([X, [[np.nan]]])
    scores = far.log_prob(odd, missing="marginal")
    assert_array_equal(scores[:-1], far.log_prob(X))


def test_layout_and_precision_of_the_rows_do_not_matter(rng):
    mixture = make_mixture("full", 8, 16, rng)
    X = rng.normal(size=(300, 8)).astype(np.float32)
    expected = mixture.log_prob(X.astype(np.float64))
    assert_array_equal(mixture.log_prob(X), expected)
    assert_array_equal(mixture.log_prob(np.asfortranarray(X)), expected)
    assert_array_equal(mixture.log_prob(np.repeat(X, 2, axis=0)[::2]), expected)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_one_sample_is_conditioned_on_as_a_batch_of_one(covariance_type, rng):
    mixture = make_mixture(covariance_type, 8, 16, rng)
    values = rng.normal(size=3)
    one, batch = (mixture.condition([5, 0, 2], v) for v in (values, values[None]))
    assert one.means.shape == (16, 5)
    assert_array_equal(one.means, batch.means[0])
    assert_array_equal(one.weights, batch.weights[0])
    assert_array_equal(one.mean, batch.mean[0])

"""The mode is a top, and the highest one; the two parts of the covariance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skgmje.gaussian import COVARIANCE_TYPES, Mixture

TYPES = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
LEADING = pytest.mark.parametrize("leading", [(), (4,), (2, 3)])


@TYPES
@LEADING
def test_mode_is_a_top_above_all_means(covariance_type, leading, make_mixture, xp):
    mixture = make_mixture(covariance_type, n_components=5, leading=leading, xp=xp)
    mode = mixture.mode()
    assert mode.shape == (*leading, 3)
    assert mode.dtype == mixture.means.dtype
    height = np.asarray(mixture.log_prob(mode))
    means = xp.asarray(np.moveaxis(np.asarray(mixture.means), -2, 0))
    assert np.all(height >= np.asarray(mixture.log_prob(means)) - 1e-12)
    assert_allclose(mixture.grad_log_prob(mode), 0, atol=1e-7)
    # Around it the density falls.
    for step in np.concatenate([np.eye(3), -np.eye(3)]) * 1e-2:
        assert np.all(np.asarray(mixture.log_prob(mode + xp.asarray(step))) < height)


@TYPES
@pytest.mark.parametrize("n_features", [1, 2])
def test_mode_is_the_highest_point_of_a_grid(
    covariance_type, n_features, make_mixture, make_grid
):
    points, _ = make_grid(n_features, step=0.02 if n_features == 1 else 0.1, end=6)
    for seed in range(5):
        mixture = make_mixture(
            covariance_type, seed=seed, n_components=9, n_features=n_features
        )
        height = mixture.log_prob(mixture.mode())
        assert height >= mixture.log_prob(points).max()


@TYPES
def test_mode_of_rows_is_that_of_each_mixture(covariance_type, make_mixture):
    joint = make_mixture(covariance_type, n_components=6, n_features=4)
    values = joint.sample(300, 0)[0][:, :2]
    modes = joint.condition([0, 1], values).mode()
    for i in (0, 7, 299):
        one = joint.condition([0, 1], values[i]).mode()
        assert_allclose(modes[i], one, atol=1e-7)


def test_one_component_has_its_mode_at_the_mean():
    mixture = Mixture([1.0], [[3.0, -2.0]], [[[2.0, 0.5], [0.5, 1.0]]])
    assert_array_equal(mixture.mode(), [3.0, -2.0])


def test_components_that_overlap_have_their_mode_between_the_means():
    mixture = Mixture([0.5, 0.5], [[-0.9], [0.9]], [[1.0], [1.0]], "diag")
    assert_allclose(mixture.mode(), [0.0], atol=1e-8)


@pytest.mark.filterwarnings("error")
def test_mode_survives_odd_weights_distances_and_scales():
    means = np.array([[0.0], [1e150], [1e-3], [5.0]])
    variances = np.array([[1e-12], [1.0], [1e-12], [1e12]])
    weights = np.array([0.3, 0.0, 0.2, 0.5])
    mixture = Mixture(weights, means, variances, "diag")
    assert_allclose(mixture.mode(), [0.0], atol=1e-12)


def test_mode_keeps_single_precision(make_mixture, map_mixture):
    mixture = make_mixture("full", leading=(3,))
    single = map_mixture(lambda array: array.astype(np.float32), mixture)
    assert single.mode().dtype == np.float32
    assert_allclose(single.mode(), mixture.mode(), atol=1e-5)


@TYPES
@LEADING
def test_parts_of_the_covariance_add_up(covariance_type, leading, make_mixture, xp):
    mixture = make_mixture(covariance_type, leading=leading, xp=xp)
    within, between = mixture.within_covariance, mixture.between_covariance
    total = np.asarray(mixture.covariance)
    assert_allclose(np.asarray(within) + np.asarray(between), total, rtol=1e-12)
    for part in (within, between):
        assert part.shape == (*leading, 3, 3)
        assert np.linalg.eigvalsh(np.asarray(part)).min() > -1e-12


def test_parts_of_the_covariance_of_one_and_of_narrow_components(dense, make_mixture):
    one = make_mixture("full", n_components=1)
    assert_allclose(one.between_covariance, 0, atol=1e-15)
    assert_allclose(one.within_covariance, dense(one)[0])
    narrow = Mixture([0.5, 0.5], [[-1.0], [1.0]], [1e-20, 1e-20], "spherical")
    assert_allclose(narrow.between_covariance, [[1.0]])
    assert_allclose(narrow.within_covariance, [[1e-20]])


@given(st.integers(0, 2**32 - 1), st.integers(-8, 8), st.integers(1, 4))
def test_mode_moves_with_the_features(seed, exponent, n_features):
    generator = np.random.default_rng(seed)
    size = generator.integers(1, 12), n_features
    scale = 10.0**exponent
    weights = generator.dirichlet(np.full(size[0], generator.choice([0.1, 1.0, 50.0])))
    variances = generator.uniform(0.01, 1, size)
    mixture = Mixture(weights, generator.normal(size=size), variances, "diag")
    moved = mixture.affine(np.full(n_features, scale), 3 * scale)
    height = moved.log_prob(moved.mode()) + n_features * np.log(scale)
    assert_allclose(height, mixture.log_prob(mixture.mode()), rtol=1e-9, atol=1e-9)

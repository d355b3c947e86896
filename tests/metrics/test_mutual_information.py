"""Mutual information agrees with closed forms and with quadrature."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skgmje.gaussian import COVARIANCE_TYPES, Mixture
from skgmje.metrics import mutual_information


def _by_quadrature(mixture):
    axis = np.linspace(-10, 10, 1001)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    logs = mixture.log_prob(grid.reshape(-1, 2)).reshape(1001, 1001)
    parts = [mixture.marginal([j]).log_prob(axis[:, None]) for j in (0, 1)]
    gain = logs - parts[0][None, :] - parts[1][:, None]
    return (np.exp(logs) * gain).sum() * (axis[1] - axis[0]) ** 2


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_estimate_agrees_with_quadrature(covariance_type, make_mixture):
    mixture = make_mixture(covariance_type)
    value, error = mutual_information(mixture, [[0], [1]], random_state=0)
    assert abs(value - _by_quadrature(mixture)) < 4 * error < 0.1


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_one_component_is_exact_and_agrees_with_draws(covariance_type, make_mixture):
    one = make_mixture(covariance_type, k=1, d=4)
    value, error = mutual_information(one, [[3, 0], [1], [2]])
    twice = [np.concatenate([a, a]) for a in (one.weights / 2, one.means)]
    double = Mixture(*twice, np.tile(one.within_covariance, (2, 1, 1)))
    drawn, chance = mutual_information(double, [[3, 0], [1], [2]], random_state=0)
    assert error == 0
    assert abs(value - drawn) <= 4 * chance + 1e-12


def test_known_dependence():
    # Which of two branches tells one bit, in either half of the columns.
    means = [[-9.0, -9.0, -9.0], [9.0, 9.0, 9.0]]
    mixture = Mixture([0.5, 0.5], means, [1.0, 1.0], "spherical")
    bit = mutual_information(mixture, [[0, 2], [1]], random_state=0)
    assert_allclose(bit.value, np.log(2), atol=1e-6)
    total = mutual_information(mixture, [[0], [1], [2]], random_state=0)
    assert_allclose(total.value, 2 * np.log(2), atol=1e-6)


def test_units_do_not_matter(make_mixture):
    mixture = make_mixture(d=3)
    plain = mutual_information(mixture, [[0], [1, 2]], random_state=0)
    scaled = mixture.affine([1e3, 1e-3, 5.0], 7.0)
    assert_allclose(mutual_information(scaled, [[0], [1, 2]], random_state=0), plain)


@pytest.mark.parametrize("groups", [[[0]], [[0], []], [[0], [0]], [[0], [5]], [0, 1]])
def test_groups_must_divide_columns(groups, make_mixture):
    with pytest.raises(ValueError, match="from 0 to 1"):
        mutual_information(make_mixture(), groups)

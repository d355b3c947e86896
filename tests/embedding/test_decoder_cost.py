"""The cost of centres against the formula written out, its bound and its gradient."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from skgmje._backend import to_numpy
from skgmje.embedding._decoder_cost import (
    OBJECTIVES,
    Patches,
    batch_objective,
    kernel_terms,
    sample_objective,
)

WHOLE = Patches(1, 1, 24, 1)
CUTS = {"whole": WHOLE, "grey": Patches(4, 6, 1, 2), "colours": Patches(2, 4, 3, 2)}
VARIANCE = 7.0


@pytest.fixture
def rows(rng):
    return rng.normal(size=(5, 24))


@pytest.fixture
def centers(rng):
    return rng.normal(size=(5, 3, 24))


def naive_terms(X, centers, variance, patches):
    """Write the sums out, patch by patch."""
    height, width, n_channels, size = patches
    X = X.reshape(len(X), height, width, n_channels)
    centers = centers.reshape(*centers.shape[:2], height, width, n_channels)
    fits, norms = [], []
    for i in range(0, height, size):
        for j in range(0, width, size):
            x = X[:, i : i + size, j : j + size].reshape(len(X), 1, -1)
            c = centers[:, :, i : i + size, j : j + size]
            c = c.reshape(*c.shape[:2], -1)
            v = variance / patches.n_patches
            fit = np.exp(-((x - c) ** 2).sum(-1) / (2 * v)).mean(1)
            pairs = ((c[:, :, None] - c[:, None]) ** 2).sum(-1)
            norms.append(np.exp(-pairs / (4 * v)).mean((1, 2)))
            fits.append(fit)
    return np.transpose(fits), np.transpose(norms)


@pytest.mark.parametrize("name", CUTS)
def test_terms_are_those_of_the_formula(xp, rows, centers, name):
    arrays = xp.asarray(rows), xp.asarray(centers)
    terms = kernel_terms(*arrays, VARIANCE, CUTS[name])
    fit, norm = naive_terms(rows, centers, VARIANCE, CUTS[name])
    assert_allclose(to_numpy(terms.log_fit), np.log(fit), rtol=1e-10)
    assert_allclose(to_numpy(terms.log_norm), np.log(norm), rtol=1e-10)
    sample = -(2 * np.log(fit) - np.log(norm)).mean()
    assert_allclose(to_numpy(sample_objective(terms)), sample, rtol=1e-10)
    batch = -(2 * np.log(fit.mean(0)) - np.log(norm.mean(0))).mean()
    assert_allclose(to_numpy(batch_objective(terms)), batch, rtol=1e-10)


@pytest.mark.parametrize("name", CUTS)
def test_one_centre_is_the_squared_error(xp, rows, centers, name):
    arrays = xp.asarray(rows), xp.asarray(centers[:, :1])
    cost = sample_objective(kernel_terms(*arrays, VARIANCE, CUTS[name]))
    error = ((rows - centers[:, 0]) ** 2).sum(1).mean() / VARIANCE
    assert_allclose(to_numpy(cost), error, rtol=1e-13)


def test_gradient_of_one_centre_is_that_of_the_squared_error(rows, centers):
    X = torch.from_numpy(rows)
    one = torch.from_numpy(centers[:, :1]).requires_grad_()
    sample_objective(kernel_terms(X, one, VARIANCE, WHOLE)).backward()
    expected = 2 * (centers[:, 0] - rows) / VARIANCE / len(rows)
    assert_allclose(one.grad[:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", CUTS)
def test_gradient(rows, centers, name, objective):
    X = torch.from_numpy(rows)

    def cost(centers):
        return OBJECTIVES[objective](kernel_terms(X, centers, VARIANCE, CUTS[name]))

    variables = torch.from_numpy(centers).requires_grad_()
    assert torch.autograd.gradcheck(cost, (variables,))


def test_equal_centres_have_a_gradient(rows):
    centers = torch.from_numpy(rows)[:, None].repeat(1, 3, 1).requires_grad_()
    cost = sample_objective(
        kernel_terms(torch.from_numpy(rows), centers, VARIANCE, WHOLE)
    )
    cost.backward()
    assert_allclose(cost.item(), 0.0, atol=1e-12)
    assert torch.isfinite(centers.grad).all()


@given(
    spread=st.floats(0, 100),
    variance=st.floats(1e-3, 1e3),
    n_centers=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_bound_holds_for_each_row(spread, variance, n_centers, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(4, 24))
    centers = X[:, None] + spread * rng.normal(size=(4, n_centers, 24))
    terms = kernel_terms(X, centers, variance, WHOLE)
    assert (terms.log_ratio <= 1e-9).all()
    assert sample_objective(terms) >= -1e-9
    assert batch_objective(terms) >= -1e-9


def test_bound_of_a_gaussian_is_not_passed_and_nearly_reached(rng):
    """Of p(x|y) = N(m, s I) it is (4 pi s)^(-d/2), in closed form."""
    d, variance = 2, 0.7
    x = math.sqrt(variance) * rng.normal(size=(200_000, d))
    values = {}
    for v in (0.2, variance, 3.0):
        terms = kernel_terms(x, np.zeros((len(x), 1, d)), v, Patches(1, 1, d, 1))
        value = -batch_objective(terms) - d / 2 * math.log(math.pi * v)
        values[v] = float(value)
    bound = -d / 2 * math.log(4 * math.pi * variance)
    assert max(values.values()) <= bound + 0.01
    assert_allclose(values[variance], bound, atol=0.01)
    assert values[0.2] < bound - 0.1
    assert values[3.0] < bound - 0.1


def test_far_rows_stay_finite():
    X, centers = np.zeros((2, 24)), np.full((2, 3, 24), 1e3)
    terms = kernel_terms(X, centers, 1e-3, WHOLE)
    assert all(np.isfinite(part).all() for part in terms)
    assert math.isfinite(batch_objective(terms))


def test_patches_are_parts_of_the_image():
    image = np.arange(4 * 6).reshape(1, 1, 24)
    patches = CUTS["grey"].split(image)
    assert patches.shape == (1, 6, 1, 4)
    assert patches[0, 1, 0].tolist() == [2, 3, 8, 9]
    assert sorted(patches.ravel()) == list(range(24))

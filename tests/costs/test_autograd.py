"""Derivatives of the matrix functions of the costs, against plain autograd."""

import pytest
import torch
from numpy.testing import assert_allclose

# The derivatives themselves: no public function shows them alone.
from skgmje.costs import _autograd, _values, matrix_matrix_cost, vector_matrix_cost
from skgmje.costs._autograd import Explained, GramEigenvalues
from skgmje.gaussian import grams


def leaf(rng, *shape):
    return torch.as_tensor(rng.normal(size=shape)).requires_grad_()


def correlation(factors):
    """Return a matrix of unit diagonal."""
    unit = torch.nn.functional.normalize(factors, dim=1)
    matrix = unit @ unit.T
    return matrix - torch.diag(matrix.diagonal() - 1)


@pytest.fixture(params=[0, 64])
def small(request, monkeypatch):
    """Let the product of a matrix and its transpose be computed in both ways."""
    monkeypatch.setattr(_autograd, "_SMALL", request.param)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("signs", ["positive", "negative", "mixed"])
def test_explained(rng, signs):
    P, factors = leaf(rng, 9, 4), leaf(rng, 4, 6)
    weights = torch.as_tensor(rng.uniform(0.5, 1, size=9))
    weights = {
        "positive": weights,
        "negative": -weights,
        "mixed": weights * torch.linspace(-1, 1, 9),
    }[signs]
    R = correlation(factors) + 0.1 * torch.eye(4)
    factor = torch.linalg.cholesky(R)
    half = torch.linalg.solve_triangular(factor, P.T, upper=False)
    expected = half.square().sum(dim=0)
    shares = Explained.apply(P, R, factor.detach())
    assert_allclose(shares.detach(), expected.detach(), rtol=1e-12)
    correct = torch.autograd.grad(expected @ weights, (P, factors), retain_graph=True)
    actual = torch.autograd.grad(shares @ weights, (P, factors))
    for x, y in zip(actual, correct, strict=True):
        assert_allclose(x, y, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n_entries", [7, 2**17])
def test_eigenvalues_of_the_gram_matrix(rng, monkeypatch, n_entries):
    monkeypatch.setattr(_autograd, "_ENTRIES", n_entries)
    matrix = leaf(rng, 11, 3)
    assert torch.autograd.gradcheck(lambda A: GramEigenvalues.apply(A).sqrt(), matrix)
    singular = torch.linalg.svdvals(matrix).square().flip(0)
    values = GramEigenvalues.apply(matrix)
    assert_allclose(values.detach(), singular.detach(), rtol=1e-12)
    with torch.no_grad():
        assert_allclose(GramEigenvalues.apply(matrix), values.detach(), rtol=1e-12)


def test_eigenvalues_of_single_precision_are_those_of_double(rng):
    matrix = leaf(rng, 40, 5)
    single = matrix.detach().float().requires_grad_()
    GramEigenvalues.apply(single).sqrt().sum().backward()
    exact = single.detach().double().requires_grad_()
    torch.linalg.matrix_norm(exact, "nuc").backward()
    assert single.grad.dtype == torch.float32
    assert_allclose(single.grad, exact.grad.float(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("n_centers", [8, 40])
@pytest.mark.parametrize("cost", [matrix_matrix_cost, vector_matrix_cost])
def test_spans_of_few_and_of_many_centers(rng, cost, n_centers, monkeypatch):
    X = torch.as_tensor(rng.normal(size=(60, 2)))
    C, h = leaf(rng, n_centers, 2), torch.tensor(0.4).double().requires_grad_()
    values = []
    for small in (0, 100):
        monkeypatch.setattr(_values, "_SMALL", small)
        value = cost(grams(X, C, h))
        values.append([value, *torch.autograd.grad(value, (C, h))])
    for x, y in zip(*values, strict=True):
        assert_allclose(x.detach(), y.detach(), rtol=1e-6, atol=1e-8)


def test_many_centers_of_one_place_say_what_to_do():
    X = torch.zeros(50, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"Gram matrix of the centers .* jitter"):
        matrix_matrix_cost(grams(X, X, 0.7), None, 0)

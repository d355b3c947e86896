"""Passes over tensors give what passes over NumPy arrays give."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skgmje.em import expectation_maximization
from skgmje.gaussian import Mixture

TYPES = ["full", "diag", "spherical"]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
N, D, K = 20_000, 5, 8


@pytest.fixture(params=TYPES)
def mixture(request, rng):
    factors = rng.normal(size=(K, D, D))
    matrices = factors @ factors.transpose(0, 2, 1) + np.eye(D)
    covariances = {
        "full": matrices,
        "diag": matrices.diagonal(axis1=1, axis2=2).copy(),
        "spherical": matrices[:, 0, 0].copy(),
    }[request.param]
    weights = rng.dirichlet(np.ones(K))
    return Mixture(weights, 3 * rng.normal(size=(K, D)), covariances, request.param)


def to_tensors(mixture, device):
    arrays = (mixture.weights, mixture.means, mixture.covariances)
    tensors = (torch.tensor(array, device=device) for array in arrays)
    return Mixture(*tensors, mixture.covariance_type)


@pytest.mark.parametrize("device", DEVICES)
def test_densities(mixture, device, rng):
    X = 3 * rng.normal(size=(N, D)) + 10
    scores = to_tensors(mixture, device).log_prob(torch.as_tensor(X, device=device))
    assert scores.device.type == device
    assert_allclose(scores.cpu(), mixture.log_prob(X), atol=1e-10)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("weighted", [False, True])
def test_expectation_maximisation(mixture, device, weighted, rng):
    X = 3 * rng.normal(size=(N, D)) + 10
    weight = rng.random(N) if weighted else None
    host = expectation_maximization(X, mixture, sample_weight=weight, max_iter=5)
    tensor_weight = torch.as_tensor(weight, device=device) if weighted else None
    other = expectation_maximization(
        torch.as_tensor(X, device=device),
        to_tensors(mixture, device),
        sample_weight=tensor_weight,
        max_iter=5,
    )
    assert_allclose(other.lower_bounds, host.lower_bounds, rtol=1e-9)
    assert_allclose(other.mixture.means, host.mixture.means, rtol=1e-6)
    assert_allclose(other.mixture.covariances, host.mixture.covariances, rtol=1e-6)


def test_single_precision_is_kept(mixture):
    single = Mixture(
        *(torch.tensor(a).float() for a in (mixture.weights, mixture.means)),
        torch.tensor(mixture.covariances).float(),
        mixture.covariance_type,
    )
    X = torch.randn(N, D, generator=torch.Generator().manual_seed(0))
    scores = single.log_prob(X)
    assert scores.dtype == torch.float32
    assert_allclose(scores, mixture.log_prob(X.double().numpy()), rtol=1e-4)


def test_gradients_still_flow(mixture):
    tensors = to_tensors(mixture, "cpu")
    X = torch.zeros(N, D, dtype=torch.float64, requires_grad=True)
    tensors.log_prob(X).sum().backward()
    assert torch.isfinite(X.grad).all()


def test_missing_entries_of_tensors_are_refused(mixture):
    X = torch.zeros(N, D, dtype=torch.float64)
    X[3, 1] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        to_tensors(mixture, "cpu").log_prob(X)
    with pytest.raises(ValueError, match="missing entries are learned from NumPy"):
        expectation_maximization(X, mixture)


def test_other_types_are_refused(rng):
    tied = Mixture([1.0], np.zeros((1, D)), np.eye(D), "tied")
    with pytest.raises(ValueError, match="not fitted on tensors"):
        expectation_maximization(torch.zeros(10, D, dtype=torch.float64), tied)

"""Mixtures whose components are parameters."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.datasets import make_blobs

from skgmje.em import start_mixture
from skgmje.gaussian import COVARIANCE_TYPES, Mixture
from skgmje.modules import Prototypes

X, LABELS = make_blobs(600, 3, centers=4, cluster_std=1.5, random_state=1)
X /= 5
LEARNED = [k for k, kind in COVARIANCE_TYPES.items() if kind.parameter_shapes((4, 3))]
DOUBLE = {"dtype": torch.float64}


def _seed(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=LEARNED)
def mixture(request):
    return start_mixture(X, LABELS, request.param)


def test_a_mixture_comes_back(mixture):
    back = Prototypes.from_mixture(mixture, **DOUBLE)().to_numpy()
    assert back.covariance_type == mixture.covariance_type
    assert_allclose(back.weights, mixture.weights)
    assert_allclose(back.means, mixture.means)
    assert_allclose(back.covariances, mixture.covariances, rtol=1e-10)


def test_a_mixture_of_tensors_comes_back(mixture):
    arrays = (mixture.weights, mixture.means, mixture.covariances)
    tensors = Mixture(*map(torch.tensor, arrays), mixture.covariance_type)
    back = Prototypes.from_mixture(tensors, **DOUBLE)()
    torch.testing.assert_close(back.covariances, tensors.covariances)


def test_gradients_are_right(mixture):
    prototypes = Prototypes.from_mixture(mixture, **DOUBLE)
    names, parameters = zip(*prototypes.named_parameters(), strict=True)
    rows = torch.asarray(X[:5])

    def score(*values):
        state = dict(zip(names, values, strict=True))
        return torch.func.functional_call(prototypes, state).log_prob(rows)

    assert torch.autograd.gradcheck(score, parameters)


def test_gradient_steps_learn(mixture):
    rows, few = torch.asarray(X), start_mixture(X[:12], LABELS[:12], "tied")
    kind = mixture.covariance_type
    prototypes = Prototypes(4, 3, _seed(), covariance_type=kind, scale=0.3, **DOUBLE)
    with torch.no_grad():
        prototypes.means.copy_(torch.tensor(few.means))
    optimizer = torch.optim.Adam(prototypes.parameters(), 0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss = -prototypes().log_prob(rows).mean()
        loss.backward()
        optimizer.step()
    assert -loss.item() > mixture.log_prob(X).mean() - 0.1


def test_the_first_scale_and_means():
    prototypes = Prototypes(500, 2, _seed(), scale=0.3, min_scale=1e-9)
    assert_allclose(prototypes().to_numpy().covariances[7], 0.09 * np.eye(2), atol=1e-6)
    assert prototypes.means.std().item() == pytest.approx(1.0, abs=0.1)


def test_no_component_is_narrower_than_the_smallest_scale(mixture):
    prototypes = Prototypes.from_mixture(mixture, min_scale=0.1, **DOUBLE)
    with torch.no_grad():
        prototypes.log_scales -= 100
    variances = torch.linalg.eigvalsh(_matrices(prototypes()))
    assert variances.min() > 0
    prototypes().log_prob(torch.asarray(X)).sum().backward()
    assert torch.isfinite(prototypes.means.grad).all()
    point = Mixture([1.0], [[0.0]], [[1e-8]], "diag")
    narrow = Prototypes.from_mixture(point, min_scale=0.1, **DOUBLE)
    assert narrow().covariances.item() == pytest.approx(0.01)


def _matrices(mixture):
    return mixture.covariance


def test_an_unknown_type_is_refused():
    with pytest.raises(ValueError, match="covariance_type='low-rank'"):
        Prototypes(2, 2, _seed(), covariance_type="low-rank")

"""What a network of centres is trained on."""

import numpy as np
import pytest
import torch

from skgmje.costs import COSTS, optimal_weights
from skgmje.em._bandwidth import Bumps
from skgmje.gaussian import Mixture, grams
from skgmje.mixture._kernel_training import Objective

RNG = np.random.default_rng(0)
X = torch.from_numpy(RNG.normal(size=(30, 2)))
WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)


def mixture(seed=0, variance=0.25):
    means = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 2)))
    variances = torch.full((3,), variance, dtype=torch.float64)
    return Mixture(WEIGHTS, means.requires_grad_(), variances, "spherical")


def settled(cost, **params):
    objective = Objective(cost, Bumps(0.25, 0.25, **params))
    objective.set_progress(1.0)
    return objective


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("learn_weights", [True, False])
def test_objective_is_the_cost(cost, learn_weights):
    weights = WEIGHTS if learn_weights else None
    value = settled(cost, learn_weights=learn_weights)(mixture(), X)
    expected = COSTS[cost](grams(X, mixture().means, 0.5), weights=weights)
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("cost", COSTS)
def test_what_is_shared_between_steps_changes_nothing(cost):
    objective = settled(cost)
    for seed in range(3):
        ours, alone = mixture(seed), mixture(seed)
        objective(ours, X).backward()
        settled(cost)(alone, X).backward()
        torch.testing.assert_close(ours.means.grad, alone.means.grad)


@pytest.mark.parametrize("cost", [*COSTS, "likelihood"])
def test_row_weights_are_copies(cost):
    counts = torch.arange(30) % 3 + 1
    objective = settled(cost, learn_weights=True)
    value = objective(mixture(), X, counts.double())
    copies = objective(mixture(), X.repeat_interleave(counts, dim=0))
    torch.testing.assert_close(value, copies)


def test_likelihood_is_that_of_the_mixture():
    objective = settled("likelihood", learn_weights=True, learn_variance=True)
    value = objective(mixture(variance=0.7), X)
    torch.testing.assert_close(value, -mixture(variance=0.7).log_prob(X).mean())


def test_learned_variance_enters_the_model_only():
    objective = settled("scalar", learn_variance=True)
    value = objective(mixture(variance=0.7), X)
    expected = COSTS["scalar"](grams(X, mixture().means, (0.5, 0.7**0.5)))
    torch.testing.assert_close(value, expected)


def test_bumps_narrow_in_stages_until_half_of_the_run():
    objective = Objective("svd", Bumps(0.25, 4.0))
    factors = []
    for fraction in np.linspace(0, 1, 501):
        objective.set_progress(fraction)
        factors.append(objective.factor)
    assert factors[0] == 16
    assert set(factors[251:]) == {1.0}
    assert (np.diff(factors) <= 0).all()
    assert len(set(factors)) == 21
    steps = np.diff(np.log(sorted(set(factors))))
    np.testing.assert_allclose(steps, steps[0])


def test_bumps_never_widen():
    assert Bumps(4.0, 0.25).ratio == 1.0


def test_closed_form_weights_are_a_density():
    model = mixture()
    weights = settled("vector-matrix").model_weights(model, X)
    free = optimal_weights(grams(X, model.means, 0.5))
    assert (weights >= 0).all()
    positive = free.clamp(min=0)
    torch.testing.assert_close(weights / weights.sum(), positive / positive.sum())
    assert settled("svd").model_weights(model, X) is model.weights

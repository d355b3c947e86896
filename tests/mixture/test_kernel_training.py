"""What a kernel mixture is trained by: objective, bandwidth."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.cluster import KMeans
from sklearn.neighbors import KernelDensity

from skgmje.costs import COSTS, optimal_weights, scalar_cost

# Inside: bandwidth, start and objective are chosen inside of a fit.
from skgmje.costs._autograd import FreshScalarCost
from skgmje.em._bandwidth import (
    Kernels,
    cell_spread,
    cell_variance,
    loo_variance,
    neighbor_variance,
    total_variance,
)
from skgmje.gaussian import Bandwidths, Mixture, grams
from skgmje.mixture import GaussianMixture, KernelMixtureDensity
from skgmje.mixture._few_samples import leave_one_out
from skgmje.mixture._kernel_recipe import Data
from skgmje.mixture._kernel_training import Objective
from skgmje.modules._generators import NoiseMap, draw_centers

# What a network of centers is trained on ----------------------------------------------


RNG = np.random.default_rng(0)
X = torch.from_numpy(RNG.normal(size=(30, 2)))
WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)


def mixture(seed=0, variance=0.25):
    means = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 2)))
    variances = torch.full((3,), variance, dtype=torch.float64)
    return Mixture(WEIGHTS, means.requires_grad_(), variances, "spherical")


def settled(cost, **params):
    objective = Objective(cost, Kernels((0.25,), 0.25, **params))
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
    objective = Objective("svd", Kernels((0.25,), 4.0))
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
    assert Kernels((4.0,), 0.25).ratio == 1.0


def test_closed_form_weights_are_a_density():
    model = mixture()
    weights = settled("vector-matrix").model_weights(model, X)
    free = optimal_weights(grams(X, model.means, 0.5))
    assert (weights >= 0).all()
    positive = free.clamp(min=0)
    torch.testing.assert_close(weights / weights.sum(), positive / positive.sum())
    assert settled("svd").model_weights(model, X) is model.weights


# How wide the bumps should be ---------------------------------------------------------


BANDWIDTH_RNG = np.random.default_rng(0)
BANDWIDTH_X = BANDWIDTH_RNG.normal(size=(150, 3)) + 3 * BANDWIDTH_RNG.integers(
    0, 2, size=(150, 1)
)
ONES = np.ones(len(BANDWIDTH_X))


def data(rows, weights=None, resolution=0.0):
    return Data(rows, weights, rows, weights, resolution)


def test_total_variance_is_half_the_mean_squared_distance():
    squares = ((BANDWIDTH_X[:, None] - BANDWIDTH_X) ** 2).sum(axis=-1)
    assert total_variance(BANDWIDTH_X, ONES) == pytest.approx(squares.mean() / 2)
    assert total_variance(np.ones((4, 2)), np.ones(4)) == 1.0


def test_a_typical_row_has_a_kernel_value_of_one_over_root_e():
    centers = KMeans(6, n_init=1, random_state=0).fit(BANDWIDTH_X).cluster_centers_
    squares = ((BANDWIDTH_X[:, None] - centers) ** 2).sum(axis=-1).min(axis=1)
    variance = cell_variance(data(BANDWIDTH_X), centers)
    # Two bumps of this variance overlap as one of twice the variance.
    assert np.exp(-squares.mean() / (4 * variance)) == pytest.approx(np.exp(-0.5))


def test_half_of_the_rows_see_the_next_center_by_one_over_e():
    rows = np.random.default_rng(0).uniform(size=(9001, 2))
    centers = KMeans(12, n_init=1, random_state=0).fit(rows).cluster_centers_
    squares = np.sort(((rows[:, None] - centers) ** 2).sum(axis=-1), axis=1)[:, 1]
    kernels = np.exp(-squares / (4 * neighbor_variance(data(rows), centers)))
    assert np.median(kernels) == pytest.approx(np.exp(-1))


@pytest.mark.parametrize("gap", [0.0, 2.0])
def test_neighbors_across_a_gap_do_not_count(gap):
    line = np.linspace(0, 20, 4000, endpoint=False)
    rows = (line + gap * np.floor(line))[:, None]
    centers = np.arange(20)[:, None] * (1 + gap) + 0.5
    cells = cell_variance(data(rows), centers)
    times = neighbor_variance(data(rows), centers) / cells
    # Half of the rows are less than three quarters of a cell from the next center.
    assert times == pytest.approx(4 if gap else 0.75**2 / 4 * 24, rel=0.05)
    assert neighbor_variance(data(rows), centers[:1]) > cells


RULES = pytest.mark.parametrize("rule", [cell_variance, neighbor_variance])


@RULES
def test_weights_count_as_copies(rule):
    counts = np.arange(len(BANDWIDTH_X)) % 3 + 1
    copies = np.repeat(BANDWIDTH_X, counts, axis=0)
    expected = rule(data(copies), BANDWIDTH_X[:6])
    weighted = rule(data(BANDWIDTH_X, counts.astype(float)), BANDWIDTH_X[:6])
    assert weighted == pytest.approx(expected)


@RULES
def test_rows_that_are_centres_keep_a_width(rule):
    floor = 1e-4 * total_variance(BANDWIDTH_X, ONES)
    centers = np.repeat(BANDWIDTH_X, 2, axis=0)
    assert rule(data(BANDWIDTH_X), centers) == pytest.approx(floor)
    assert rule(data(BANDWIDTH_X, resolution=0.5), centers) == 0.5


def test_loo_predicts_best():
    def score(bandwidth):
        kde = KernelDensity(bandwidth=bandwidth)
        rows = range(len(BANDWIDTH_X))
        return sum(
            kde.fit(np.delete(BANDWIDTH_X, i, axis=0)).score(BANDWIDTH_X[i : i + 1])
            for i in rows
        )

    best = loo_variance(data(BANDWIDTH_X), None, None) ** 0.5
    assert score(best) > max(score(0.85 * best), score(1.15 * best))


def test_loo_of_a_sample_follows_the_rate():
    rows = np.random.default_rng(1).normal(size=(4000, 2))
    drawn = np.random.RandomState(0).choice(4000, 1000, replace=False)
    of_sample = loo_variance(data(rows[drawn]), None, None)
    of_all = loo_variance(data(rows), None, np.random.RandomState(0))
    assert of_all == pytest.approx(of_sample * 4 ** (-2 / 6), rel=0.1)


def test_repeated_rows_keep_a_width():
    assert loo_variance(data(np.repeat(BANDWIDTH_X, 2, axis=0)), None, None) > 0


@pytest.mark.parametrize("standardize", [True, False])
def test_a_number_is_in_the_units_of_the_bumps(standardize):
    params = {"covariance_type": "full", "shrinkage": 2.0, "max_iter": 2, "tol": 1e9}

    def fit(factor, bandwidth):
        params["bandwidth"], params["standardize"] = bandwidth, standardize
        return KernelMixtureDensity(2, random_state=0, **params).fit(
            factor * BANDWIDTH_X
        )

    first, second = fit(1, 0.5), fit(10, 0.5 if standardize else 5.0)
    assert first.bandwidth_ == pytest.approx(0.5)
    assert second.bandwidth_ == pytest.approx(0.5 if standardize else 5.0)
    assert second.bound_gap_ == pytest.approx(first.bound_gap_, rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_leaving_a_sample_out_is_exact_for_one_component(weighted):
    X = np.random.default_rng(0).normal(size=(12, 3))
    weight = np.ones(12)
    if weighted:
        weight[:4] = 2.0
    copies = np.repeat(np.arange(12), weight.astype(int))
    model = GaussianMixture(reg_covar=0).fit(X, sample_weight=weight)
    found = leave_one_out(X, weight, model.mixture_, 0.0)
    for i in range(12):
        rest = np.delete(copies, np.flatnonzero(copies == i)[0])
        expected = GaussianMixture(reg_covar=0).fit(X[rest]).score_samples(X[i : i + 1])
        assert_allclose(found[i], expected[0], rtol=1e-8)


# What a network of noise starts from, and is trained by -------------------------------

BANDWIDTHS = Bandwidths([0.3, 0.6, 1.2], weights=[1.0, 2.0, 1.0])
CENTERS = np.array([[-3.0, 0.0], [3.0, 1.0], [0.0, 9.0]])


def own_seed(number=0):
    return torch.Generator().manual_seed(number)


def normal(n, number):
    return torch.randn((n, 2), generator=own_seed(number), dtype=torch.float64)


def cells(n):
    """Samples of three cells of unlike shares and covariances."""
    rng = np.random.default_rng(0)
    labels = rng.choice(3, size=n, p=[0.5, 0.3, 0.2])
    spreads = np.array([[0.2, 1.0], [1.0, 0.2], [0.5, 0.5]])
    return CENTERS[labels] + spreads[labels] * rng.normal(size=(n, 2))


def noise_map(X, centers, **params):
    tensors = map(torch.from_numpy, (centers, *cell_spread(X, centers, **params)))
    return NoiseMap(*tensors, (16,), own_seed()).eval()


def fresh_oracle(X, centers, weights):
    """The scalar cost of sums of all pairs, but for those of a center with itself."""
    of_pairs = [
        torch.exp(grams(A, centers, BANDWIDTHS).log_correlation_xy)
        for A in (X, centers)
    ]
    off = of_pairs[1] - torch.diag(torch.diag(of_pairs[1]))
    pq = (weights / weights.sum()) @ of_pairs[0].mean(dim=1)
    n = len(centers)
    return torch.log(off.sum() / (n * (n - 1))) - 2 * torch.log(pq)


@pytest.mark.parametrize("weighted", [True, False])
def test_fresh_cost_leaves_out_pairs_of_a_center_with_itself(weighted):
    X, weights = normal(20, 1), torch.linspace(1, 3, 20, dtype=torch.float64)
    unit = torch.tensor([0.5, 2.0], dtype=torch.float64)
    found, expected = normal(7, 2).requires_grad_(), normal(7, 2).requires_grad_()
    cost = FreshScalarCost([(torch.ones_like(unit), BANDWIDTHS), (unit, BANDWIDTHS)])
    value = cost(X, found, weights if weighted else None)
    weights = weights if weighted else torch.ones_like(weights)
    other = sum(
        fresh_oracle(X / u, expected / u, weights) for u in (torch.ones(2), unit)
    )
    value.backward()
    other.backward()
    torch.testing.assert_close(value, other)
    torch.testing.assert_close(found.grad, expected.grad)


def test_costs_of_few_and_of_many_fresh_centers_agree():
    X, few, many = normal(50, 1), normal(4000, 2), normal(2000, 3)
    cost = FreshScalarCost([(torch.ones(2, dtype=torch.float64), BANDWIDTHS)])

    def of_parts(size):
        values = [cost(X, part) for part in few.split(size)]
        return float(torch.stack(values).mean())

    assert abs(of_parts(40) - float(cost(X, many))) < 0.1
    biased = scalar_cost(grams(X, few[:40], BANDWIDTHS))
    assert abs(biased - scalar_cost(grams(X, many, BANDWIDTHS))) > 0.1


def test_a_map_starts_as_the_cells():
    X = cells(30_000)  # so many that the pooled covariance counts for little
    network = noise_map(X, CENTERS)
    with torch.no_grad():
        draws = draw_centers(network, 20_000, 3, own_seed(1), torch.zeros(1).double())
    draws = draws.numpy()
    for low, high in [((-6, -6), (0, 4)), ((0, -6), (6, 4)), ((-4, 5), (4, 13))]:
        own, drawn = (A[((low < A) & (high > A)).all(axis=1)] for A in (X, draws))
        assert abs(len(own) / len(X) - len(drawn) / len(draws)) < 0.02
        np.testing.assert_allclose(drawn.mean(axis=0), own.mean(axis=0), atol=0.1)
        np.testing.assert_allclose(drawn.std(axis=0), own.std(axis=0), rtol=0.1)


def test_weights_of_cells_count_as_copies():
    X, weights = cells(200), np.random.default_rng(1).integers(0, 4, size=200)
    found = cell_spread(X, CENTERS, weights)
    copies = cell_spread(np.repeat(X, weights, axis=0), CENTERS)
    for first, second in zip(found, copies, strict=True):
        roots = first if first.ndim == 1 else first @ first.transpose(0, 2, 1)
        others = second if second.ndim == 1 else second @ second.transpose(0, 2, 1)
        np.testing.assert_allclose(roots, others, atol=1e-12)


@pytest.mark.parametrize("n", [1, 5])
def test_cells_of_points_and_empty_cells_spread_nothing(n):
    X = np.repeat([[1.0, 2.0]], n, axis=0)
    shares, spread = cell_spread(X, np.array([[1.0, 2.0], [5.0, 5.0]]))
    assert shares.tolist() == [1.0, 0.0]
    assert not spread.any()
    network = noise_map(X, np.array([[1.0, 2.0], [5.0, 5.0]]))
    with torch.no_grad():
        draws = network(torch.randn((50, 3), generator=own_seed(), dtype=torch.float64))
    assert (draws == torch.tensor([1.0, 2.0], dtype=torch.float64)).all()


def test_all_of_the_network_is_learned():
    network = noise_map(cells(100), CENTERS).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
    for _ in range(2):  # the last layer first: it starts at zero
        optimizer.zero_grad()
        network(normal(30, 3) @ torch.ones(2, 3).double()).square().sum().backward()
        optimizer.step()
    # A normalisation takes the mean away: biases before it have no effect.
    weights = [p for p in network.parameters() if p.ndim == 2]
    assert len(weights) == 2
    assert all(p.grad.abs().sum() > 0 for p in weights)

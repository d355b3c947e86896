"""What a network of noise starts from, and what it is trained by."""

import numpy as np
import pytest
import torch

from skgmje.costs import scalar_cost

# Inside: start and cost of the draws are chosen inside of a fit.
from skgmje.costs._fresh import FreshScalarCost
from skgmje.em._bandwidth import cell_spread
from skgmje.gaussian import Bandwidths, grams
from skgmje.modules._generators import NoiseMap, draw_centers

BANDWIDTHS = Bandwidths([0.3, 0.6, 1.2], weights=[1.0, 2.0, 1.0])
CENTERS = np.array([[-3.0, 0.0], [3.0, 1.0], [0.0, 9.0]])


def seed(number=0):
    return torch.Generator().manual_seed(number)


def points(n, number):
    return torch.randn((n, 2), generator=seed(number), dtype=torch.float64)


def cells(n):
    """Samples of three cells of unlike shares and covariances."""
    rng = np.random.default_rng(0)
    labels = rng.choice(3, size=n, p=[0.5, 0.3, 0.2])
    spreads = np.array([[0.2, 1.0], [1.0, 0.2], [0.5, 0.5]])
    return CENTERS[labels] + spreads[labels] * rng.normal(size=(n, 2))


def noise_map(X, centers, **params):
    tensors = map(torch.from_numpy, (centers, *cell_spread(X, centers, **params)))
    return NoiseMap(*tensors, (16,), seed()).eval()


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
    X, weights = points(20, 1), torch.linspace(1, 3, 20, dtype=torch.float64)
    unit = torch.tensor([0.5, 2.0], dtype=torch.float64)
    found, expected = points(7, 2).requires_grad_(), points(7, 2).requires_grad_()
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
    X, few, many = points(50, 1), points(4000, 2), points(2000, 3)
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
        draws = draw_centers(network, 20_000, 3, seed(1), torch.zeros(1).double())
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
        draws = network(torch.randn((50, 3), generator=seed(), dtype=torch.float64))
    assert (draws == torch.tensor([1.0, 2.0], dtype=torch.float64)).all()


def test_all_of_the_network_is_learned():
    network = noise_map(cells(100), CENTERS).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
    for _ in range(2):  # the last layer first: it starts at zero
        optimizer.zero_grad()
        network(points(30, 3) @ torch.ones(2, 3).double()).square().sum().backward()
        optimizer.step()
    # A normalisation takes the mean away: biases before it have no effect.
    weights = [p for p in network.parameters() if p.ndim == 2]
    assert len(weights) == 2
    assert all(p.grad.abs().sum() > 0 for p in weights)

"""Several bandwidths at once: laws of every cost, the rule for five, bad input."""

import tracemalloc

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.cluster import KMeans

from skgmje import costs
from skgmje.costs import COSTS, optimal_weights
from skgmje.em import multiscale_bandwidths
from skgmje.gaussian import Bandwidths, gaussian_log_gram, grams

BLOCKS = [np.array([0, 2]), np.array([1])]
MATRICES = ["log_xx", "log_xy", "log_yy"]
OF_GRAMS = {
    n: getattr(costs, n)
    for n in costs.__all__
    if n.endswith(("_cost", "_weights", "_rank", "_ess", "_cosines"))
}
OF_GRAMS |= {f"{n}-value": cost.value for n, cost in COSTS.items()}
OF_GRAMS |= {f"{n}-bound": cost.bound for n, cost in COSTS.items()}
RNG = np.random.default_rng(3)
THREE = [0.4, 0.9, 2.5]
SHARES = [3.0, 1.0, 2.0]
# Everything that a single bandwidth may be, three times.
KINDS = {
    "one": (THREE, None),
    "data and model": ([(0.4, 0.5), (0.9, 0.7), (2.5, 3.0)], None),
    "per center": ([(h, RNG.uniform(0.5, 1.0, 5) * h) for h in THREE], None),
    "per point": (
        [(h * RNG.uniform(0.5, 1, 12), RNG.uniform(0.5, 1, 5) * h) for h in THREE],
        None,
    ),
    "mixed": ([0.4, (RNG.uniform(0.5, 1, 12), 0.9), 2.5], None),
    "blocks": ([np.array([h, 1.5 * h]) for h in THREE], BLOCKS),
}


@pytest.fixture(params=COSTS)
def cost(request):
    return COSTS[request.param]


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def several(points, kind, xp=np, weights=SHARES):
    values, blocks = kind
    return grams(*map(xp.asarray, points), Bandwidths(values, weights), blocks)


def test_kernels_of_one_height_are_added(xp, points, kind):
    """Also where products of pairs take the place of the matrix."""
    values, blocks = kind
    ones = [grams(*points, value, blocks) for value in values]
    shares = np.array(SHARES) / 6
    pairs = several(points, kind, xp)
    for side in "xy":
        heights = [getattr(one, f"log_{side}{side}_diagonal") for one in ones]
        height = shares @ np.stack(heights)
        assert_allclose(getattr(pairs, f"log_{side}{side}_diagonal"), height)
    for name in ("xx", "xy", "yy"):
        logs = [getattr(one, f"log_correlation_{name}") for one in ones]
        expected = np.log(np.tensordot(shares, np.exp(logs), 1))
        actual = getattr(pairs, f"log_correlation_{name}")
        assert_allclose(actual, expected, rtol=1e-10, atol=1e-14)


def test_equal_bandwidths_give_densities_of_one_height(points):
    pairs = grams(*points, Bandwidths(THREE))
    height = np.mean(
        [gaussian_log_gram([[0.0] * 3], [[0.0] * 3], 2 * h**2) for h in THREE]
    )
    squares = ((points[0][:, None] - points[1]) ** 2).sum(axis=-1)
    kernels = np.mean([np.exp(-squares / (4 * h**2)) for h in THREE], axis=0)
    assert_allclose(pairs.log_xy, height + np.log(kernels), rtol=1e-12)


def test_every_value_is_that_of_the_matrices(xp, cost, points, kind, weights):
    """What is summed in tiles equals what the materialised matrices say."""
    pairs, w = several(points, kind, xp), xp.asarray(weights)
    K = {name: np.exp(np.asarray(getattr(pairs, name))) for name in MATRICES}
    xy, yy, b = K["log_xy"], K["log_yy"], K["log_xy"].mean(axis=0)
    expected = {
        "scalar": (b @ weights) ** 2 / (weights @ yy @ weights),
        "vector-matrix": b @ np.linalg.solve(yy, b),
        "matrix-matrix": np.trace(xy @ np.linalg.solve(yy, xy.T)),
        "svd": np.linalg.norm(xy * np.sqrt(weights / 12), "nuc"),
    }
    name = next(name for name, known in COSTS.items() if known is cost)
    assert_allclose(cost.value(pairs, w, 0), expected[name], rtol=1e-7)
    assert_allclose(optimal_weights(pairs, 0), np.linalg.solve(yy, b), rtol=1e-6)
    bounds = {
        "scalar": K["log_xx"].mean(),
        "vector-matrix": K["log_xx"].mean(),
        "matrix-matrix": np.trace(K["log_xx"]),
        "svd": np.sqrt(np.trace(K["log_xx"]) / 12 * (weights @ np.diag(yy))),
    }
    bound = cost.bound(pairs, w) if name == "svd" else cost.bound(pairs)
    assert_allclose(bound, bounds[name], rtol=1e-10)
    assert 0 < cost.value(pairs, w, 0) <= bound * (1 + 1e-9)
    assert cost(pairs, w) > 0


@pytest.mark.parametrize("n_features", [2, 40])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_zero_at_a_permutation(xp, cost, rng, n_features, dtype):
    X = rng.normal(size=(12, n_features)).astype(dtype)
    scales = Bandwidths(np.array(THREE) * n_features**0.5, SHARES)
    pairs = grams(xp.asarray(X), xp.asarray(X[rng.permutation(12)]), scales)
    value = cost(pairs)
    assert abs(value) < (1e-4 if dtype == "float64" else 2e-2)
    assert np.asarray(value).dtype == dtype
    assert dtype == "float32" or abs(cost(pairs, None, 0)) < 1e-9


def test_gradient_by_centers_bandwidths_and_weights(cost, points, weights, kind):
    values, blocks = kind
    X = torch.as_tensor(points[0])
    pairs = [value if isinstance(value, tuple) else (value, value) for value in values]
    sides = [torch.as_tensor(h, dtype=torch.float64) for pair in pairs for h in pair]
    leaves = [torch.as_tensor(points[1]), torch.as_tensor(weights), *sides]
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]

    def evaluate(C, w, *sides):
        values = list(zip(sides[::2], sides[1::2], strict=True))
        return cost(grams(X, C, Bandwidths(values, SHARES), blocks), w)

    assert torch.autograd.gradcheck(evaluate, leaves, fast_mode=True)


@pytest.mark.parametrize("where", ["cpu", "small tiles", "gpu"])
def test_gradient_by_points_and_weights_alone_is_the_same(
    cost, rng, monkeypatch, where
):
    """Where no bandwidth is learned, each pair is looked at once for all of them."""
    inside = "skgmje.gaussian"
    monkeypatch.setattr(f"{inside}._pairs._FEW", 0)
    if where == "small tiles":
        monkeypatch.setattr(f"{inside}._tiles._PAIRS", 49)
        monkeypatch.setattr(f"{inside}._tiles._WIDTH", 7)
    shapes = (30, 20), (12, 20), (12,), (30,)
    leaves = [torch.as_tensor(rng.uniform(0.5, 1.5, size=s)) for s in shapes]
    h = torch.as_tensor(THREE, dtype=torch.float64) * 4

    def gradients(h):
        X, C, w, logs = own = [leaf.clone().requires_grad_() for leaf in leaves]
        scales = Bandwidths(list(zip(h, 1.3 * h.flip(0), strict=True)), SHARES)
        value = cost(grams(X, C, scales, None, logs), w)
        known = torch.autograd.grad(value, own, allow_unused=True)
        return value.detach(), *(z for z in known if z is not None)

    found = gradients(h)
    if where == "gpu":  # no sum is waited for there
        for module in ("_products", "_pairs"):
            monkeypatch.setattr(f"{inside}.{module}.is_at_hand", lambda array: False)
    for one, other in zip(found, gradients(h.clone().requires_grad_()), strict=True):
        assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_no_array_of_all_pairs(rng):
    X = rng.normal(size=(4000, 3))
    scales = Bandwidths(np.geomspace(0.1, 10, 5))
    tracemalloc.start()
    norm = grams(X, X[:2], scales).log_data_norm
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(norm)
    assert peak < 8 * 4000**2 / 10


def test_order_of_samples_and_of_bandwidths_does_not_matter(cost, points, rng):
    expected = cost(grams(*points, Bandwidths(THREE, SHARES)))
    X, C = (rng.permutation(Z) for Z in points)
    other = Bandwidths(THREE[::-1], np.array(SHARES[::-1]) * 1e200)
    assert_allclose(cost(grams(X, C, other)), expected, rtol=1e-9)


def test_moves_turns_and_scales_change_nothing(cost, points, rng):
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    X, C = (10 * Z @ turn + 5 for Z in points)
    expected = cost(grams(*points, Bandwidths(THREE)))
    wide = Bandwidths(10 * np.array(THREE))
    assert_allclose(cost(grams(X, C, wide)), expected, rtol=1e-8)


@pytest.mark.parametrize("h", [0.7, (0.7, np.linspace(0.5, 0.9, 5))])
def test_one_bandwidth_is_what_it_was(xp, cost, points, h):
    X, C = map(xp.asarray, points)
    one, listed = grams(X, C, h), grams(X, C, Bandwidths([h], [0.3]))
    assert cost(one) == cost(listed)
    assert cost.value(one) == cost.value(listed)
    twice = grams(X, C, Bandwidths([h, h], [1, 4]))
    assert_allclose(cost.value(twice), cost.value(one), rtol=1e-10)


@pytest.mark.parametrize("name", OF_GRAMS)
def test_all_that_reads_gram_matrices_takes_several(points, name):
    function = OF_GRAMS[name]
    one, twice, three = (
        np.asarray(function(grams(*points, h)))
        for h in (0.7, Bandwidths([0.7, 0.7]), Bandwidths(THREE))
    )
    assert_allclose(twice, one, rtol=1e-7, atol=1e-10)
    assert np.isfinite(three).all()
    assert not np.allclose(three, one)


def test_the_identity_is_approximated_by_several(points):
    found = [
        costs.approximate_identity(points[0], points[1], h, "matrix-matrix").gram_error
        for h in (0.7, Bandwidths([0.7, 0.7]), Bandwidths(THREE))
    ]
    assert_allclose(found[1], found[0], rtol=1e-7)
    assert 0 < found[2] < 1


def test_a_weight_counts_as_copies(cost, points):
    X, C = points
    counts = np.arange(12) % 4 + 1
    copied = grams(np.repeat(X, counts, axis=0), C, Bandwidths(THREE))
    weighted = grams(X, C, Bandwidths(THREE), None, np.log(counts))
    assert_allclose(cost(weighted), cost(copied), rtol=1e-6)
    once_more = grams(X, C, Bandwidths([*THREE, 0.4]))
    assert_allclose(
        cost(grams(X, C, Bandwidths(THREE, [2, 1, 1]))), cost(once_more), rtol=1e-8
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("distance", [0.0, 180.0, 1e4])
@pytest.mark.parametrize("n_features", [3, 300])
def test_finite_far_away(xp, cost, rng, dtype, distance, n_features):
    """Only the widest kernels reach; a sample without weight is nearest."""
    X = rng.normal(size=(40, n_features)).astype(dtype)
    C = (X[:30] + distance).astype(dtype)
    X[0] = C[0]
    logs = np.where(np.arange(40) > 0, 0.0, -np.inf).astype(dtype)
    pairs = grams(*map(xp.asarray, (X, C)), Bandwidths([1e-2, 1.0, 64]), None, logs)
    value = cost(pairs)
    assert np.isfinite(np.asarray(value))
    assert value > -1e-6
    assert np.asarray(value).dtype == dtype


def test_wide_kernels_move_centers_that_narrow_ones_do_not_see(cost, rng):
    X = torch.as_tensor(rng.normal(size=(50, 3)))
    C = (X[:4] + 40).clone().requires_grad_()
    narrow, wide = (
        torch.autograd.grad(cost(grams(X, C, h)), C)[0].norm()
        for h in (0.1, Bandwidths([0.1, 1.0, 30.0]))
    )
    assert 1e-4 < wide < 10
    assert narrow > 1e3 or narrow < 1e-4


def test_with_centers_keeps_the_scales(points):
    X, C = points
    first = grams(X, C, Bandwidths([(h, 2 * h) for h in THREE], SHARES))
    norm = first.log_data_norm
    second = first.with_centers(C + 1, model_bandwidth=THREE)
    fresh = grams(X, C + 1, Bandwidths(THREE, SHARES))
    assert second.log_data_norm is norm
    for name in MATRICES:
        assert_allclose(getattr(second, name), getattr(fresh, name))
    same = first.with_centers(C + 1)
    assert_allclose(same.log_yy, first.log_yy)
    for bad in (0.7, [0.7, 0.8]):
        with pytest.raises(ValueError, match="model_bandwidth must be a sequence of 3"):
            first.with_centers(C, bad)


@pytest.mark.parametrize("values", [[], np.array([]), 0.5, None, ()])
def test_there_must_be_a_bandwidth(values):
    with pytest.raises(ValueError, match="values must hold one bandwidth or more, got"):
        Bandwidths(values)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf, (1.0, 0.0), 1e-300])
@pytest.mark.parametrize("place", [0, 2])
def test_each_bandwidth_must_be_positive_and_finite(xp, points, bad, place):
    values = [0.5, 1.0, 2.0]
    values[place] = bad
    with pytest.raises(ValueError, match=r"bandwidth .*(positive)"):
        grams(*map(xp.asarray, points), Bandwidths(values))


@pytest.mark.parametrize(
    "weights",
    [[1.0], [1.0, 1, 1, 1], [1, 1, 0], [1, 1, -1], [1, 1, np.nan], [1, 1, np.inf], 1.0],
)
def test_weights_are_checked(weights):
    with pytest.raises(ValueError, match="weights must be 3 positive, finite numbers"):
        Bandwidths(THREE, weights)


def test_what_could_be_meant_in_two_ways_is_refused(points):
    one = Bandwidths(THREE)
    for bandwidth in [(one, one), (one, 1.0), Bandwidths([one, one])]:
        with pytest.raises(ValueError, match="Give one Bandwidths for both densities"):
            grams(*points, bandwidth)
    with pytest.raises(ValueError, match="only a Bandwidths several at once"):
        grams(*points, [0.5, 1.0, 2.0])
    with pytest.raises(ValueError, match="data bandwidth must have one of the shapes"):
        grams(*points, Bandwidths([1.0, np.ones(5)]))


# The rule for five -------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-150, 1e-6, 1.0, 1e150])
def test_ladder_by_its_formula(xp, rng, scale):
    X, C = rng.normal(size=(30, 2)), rng.normal(size=(4, 2))
    weights = rng.integers(1, 4, size=30)
    nearest = ((X[:, None] - C) ** 2).sum(axis=-1).min(axis=1)
    variance = np.average(nearest, weights=weights) / 2
    expected = np.sqrt(variance * np.array([1 / 4, 1, 4, 16, 64]))
    found = multiscale_bandwidths(
        xp.asarray(scale * X), xp.asarray(scale * C), xp.asarray(weights)
    )
    assert_allclose(found.values / scale, expected, rtol=1e-12)
    copies = multiscale_bandwidths(np.repeat(X, weights, axis=0), C)
    assert_allclose(copies.values, expected, rtol=1e-12)


def test_widest_of_the_ladder_sees_all_samples(rng):
    X = rng.normal(size=(200, 2))
    centers = KMeans(50, n_init=1, random_state=0).fit(X).cluster_centers_
    squares = multiscale_bandwidths(X, centers).values ** 2
    total = X.var(axis=0).sum()
    assert squares[-2] < total <= squares[-1]
    assert_allclose(squares[1:] / squares[:-1], 4.0)


def test_ladder_of_samples_that_are_centers_is_of_no_points(rng):
    X = rng.normal(size=(9, 2))
    least = 1e-4 * X.var(axis=0).sum()
    assert_allclose(multiscale_bandwidths(X, X).values[1] ** 2, least)


@pytest.mark.parametrize(
    ("X", "match"),
    [
        (np.ones((4, 2)), "All samples of X equal"),
        (np.full((4, 2), np.nan), "missing values"),
        (np.full((4, 2), np.inf), "must be finite"),
    ],
)
def test_ladder_of_bad_samples(X, match):
    with pytest.raises(ValueError, match=match):
        multiscale_bandwidths(X, np.zeros((1, 2)))

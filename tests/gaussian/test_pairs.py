"""Sums over pairs, their gradients by hand, and outputs of networks as mixtures."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

# Inside: sums over pairs and their gradients are steps of costs and scores.
from skgmje.costs import _autograd, _values, matrix_matrix_cost, vector_matrix_cost
from skgmje.costs._autograd import Explained, GramEigenvalues
from skgmje.gaussian import _pairs, _products, _tiles, grams
from skgmje.gaussian._heads import join_members, n_outputs, perceptrons, split_outputs
from skgmje.gaussian._pairs import column_sums, correlations, log_correlation
from skgmje.modules import MixtureDensityNetwork

# Sums over pairs in tiles: equal to those of matrices, gradients, far points ----------


BLOCKS = [np.array([0, 3]), np.array([1])]  # column 2 is in none


def tensor(values):
    return torch.as_tensor(values, dtype=torch.float64).requires_grad_()


@pytest.fixture(params=[None, 7])
def small_tiles(request, monkeypatch):
    """Let tiles be as large as ever, or have hardly any pair."""
    if request.param:
        monkeypatch.setattr(_tiles, "_PAIRS", request.param**2)
        monkeypatch.setattr(_tiles, "_WIDTH", request.param)


@pytest.fixture(autouse=True)
def _no_pairs_are_few(monkeypatch):
    monkeypatch.setattr(_pairs, "_FEW", 0)


@pytest.fixture
def arrays(rng):
    """Points, variance and log-weights of 30 rows and 20 columns."""
    return {
        "X": rng.normal(size=(30, 4)) + 5,
        "Y": rng.normal(size=(20, 4)) + 5,
        "a": rng.normal(size=30),
        "b": rng.normal(size=20),
    }


VARIANCES = {
    "shared": (lambda rng: 0.5, lambda rng: 0.8, None),
    "of columns": (lambda rng: 0.5, lambda rng: rng.uniform(0.5, 2, 20), None),
    "of rows": (lambda rng: rng.uniform(0.5, 2, 30), lambda rng: 0.8, None),
    "of both": (
        lambda rng: rng.uniform(0.5, 2, 30),
        lambda rng: rng.uniform(0.5, 2, 20),
        None,
    ),
    "blocks": (lambda rng: np.array([0.5, 0.9]), lambda rng: 0.8, BLOCKS),
    "one for all blocks": (lambda rng: 0.5, lambda rng: 0.8, BLOCKS),
    "blocks of columns": (
        lambda rng: np.array([0.5, 0.9]),
        lambda rng: rng.uniform(0.5, 2, (20, 2)),
        BLOCKS,
    ),
}


def materialised(X, v, Y, w, a, b, blocks):
    logs = log_correlation((X, v), (Y, w), blocks)
    return logs + a[:, None] + b


@pytest.mark.parametrize("variances", VARIANCES)
@pytest.mark.usefixtures("small_tiles")
def test_equal_to_the_matrix_with_all_gradients(arrays, rng, variances):
    v, w, blocks = VARIANCES[variances]
    leaves = {**arrays, "v": v(rng), "w": w(rng)}
    X, Y, a, b, v, w = (tensor(leaves[name]) for name in "XYabvw")
    weights = torch.as_tensor(rng.normal(size=20))
    sums, scale = column_sums((X, v), (Y, w), blocks, a, b)
    P, scales = correlations((X, v), (Y, w), blocks, a, b)
    logs = materialised(X, v, Y, w, a, b, blocks)
    expected = torch.logsumexp(logs, dim=0)
    assert_allclose((sums.log() + scale).detach(), expected.detach(), rtol=1e-12)
    assert_allclose((P.log() + scales).detach(), logs.detach(), rtol=1e-11, atol=1e-12)
    leaves = X, v, Y, w, a, b
    correct = torch.autograd.grad(expected @ weights, leaves, retain_graph=True)
    actual = torch.autograd.grad((sums.log() + scale) @ weights, leaves)
    for x, y in zip(actual, correct, strict=True):
        assert x.shape == y.shape
        assert_allclose(x, y, rtol=1e-11, atol=1e-12)
    # The scales are constants, so only sums that do not depend on them compare.
    correct = torch.autograd.grad((logs @ weights).sum(), leaves)
    actual = torch.autograd.grad((P.log() @ weights).sum(), leaves)
    for x, y in zip(actual, correct, strict=True):
        assert_allclose(x, y, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("name", VARIANCES)
def test_gradcheck(arrays, rng, name):
    v, w, blocks = VARIANCES[name]
    leaves = [tensor(arrays[z][:5]) for z in "XYab"]
    v, w = v(rng), w(rng)
    if name != "blocks":
        v = v[:5] if np.ndim(v) else v
    w = w[:5] if np.ndim(w) else w
    leaves = [*leaves, tensor(v), tensor(w)]

    def log_sums(X, Y, a, b, v, w):
        sums, scale = column_sums((X, v), (Y, w), blocks, a, b)
        return sums.log() + scale

    def products(X, Y, a, b, v, w):
        return correlations((X, v), (Y, w), blocks, a, b)[0].log().diff(dim=0)

    assert torch.autograd.gradcheck(log_sums, leaves)
    assert torch.autograd.gradcheck(products, leaves)


@pytest.mark.usefixtures("small_tiles")
def test_half_of_a_symmetric_matrix_is_enough(xp, arrays):
    X, a = xp.asarray(arrays["X"]), xp.asarray(arrays["a"])
    v = xp.asarray(np.array(0.7))
    sums, scale = column_sums((X, v), (X, v), None, a, a)
    logs = np.asarray(materialised(X, v, X, v, a, a, None))
    logs = np.logaddexp.reduce(logs, axis=0)
    assert_allclose(np.log(np.asarray(sums)) + scale, logs, rtol=1e-12)


@pytest.mark.usefixtures("small_tiles")
def test_gradient_of_half_a_symmetric_matrix(arrays):
    X, v, a = tensor(arrays["X"]), tensor(0.7), tensor(arrays["a"])
    for leaves in [(v,), (X, v, a)]:
        frozen = [leaf.detach() for leaf in (X, v, a)]
        X_, v_, a_ = (
            leaf if any(leaf is one for one in leaves) else cold
            for leaf, cold in zip((X, v, a), frozen, strict=True)
        )
        sums, scale = column_sums((X_, v_), (X_, v_), None, a_, a_)
        value = sums.sum().log() + scale
        logs = materialised(X_, v_, X_, v_, a_, a_, None)
        expected = torch.logsumexp(logs.reshape(-1), 0)
        correct = torch.autograd.grad(expected, leaves)
        for x, y in zip(torch.autograd.grad(value, leaves), correct, strict=True):
            assert_allclose(x, y, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("distance", [0.0, 100.0, 1e4])
def test_far_points_and_rows_of_no_weight(xp, rng, dtype, distance):
    X = rng.normal(size=(40, 3)).astype(dtype)
    Y = (rng.normal(size=(9, 3)) + distance).astype(dtype)
    a = np.where(np.arange(40) % 3, 0.0, -np.inf).astype(dtype)
    v = xp.asarray(np.array(0.5, dtype))
    rows, columns = (xp.asarray(X), v), (xp.asarray(Y), v)
    sums, scale = column_sums(rows, columns, None, xp.asarray(a))
    logs = -((X[:, None].astype(float) - Y) ** 2).sum(-1) / 2 + a[:, None]
    expected = np.logaddexp.reduce(logs.ravel())
    rtol = 1e-12 if dtype == "float64" else 1e-5
    assert_allclose(math.log(sums.sum()) + float(scale), expected, rtol=rtol)


def test_gradient_at_far_points_and_at_weights_of_zero(rng):
    X = torch.as_tensor(rng.normal(size=(40, 3)))
    Y = tensor(rng.normal(size=(9, 3)) + 100)
    a = torch.zeros(40, dtype=torch.float64)
    a[::3] = -torch.inf
    v, a = torch.tensor(0.5, dtype=torch.float64), a.requires_grad_()
    sums, scale = column_sums((X, v), (Y, v), None, a)
    (sums.sum().log() + scale).backward()
    assert torch.all(torch.isfinite(Y.grad))
    assert Y.grad.norm() > 1
    assert a.grad[::3].max() < 1e-300
    assert_allclose(a.grad.sum(), 1.0)


@pytest.mark.parametrize("first", [0, 29])
def test_the_scale_follows_the_largest_exponent(monkeypatch, first):
    monkeypatch.setattr(_tiles, "_PAIRS", 4)
    X = np.linspace(0.0, 290.0, 30)[:, None]
    X[[0, first]] = X[[first, 0]]
    Y, v = np.array([[0.0], [290.0], [5.0]]), np.array(0.5)
    sums, scale = column_sums((X, v), (Y, v))
    logs = np.logaddexp.reduce(log_correlation((X, v), (Y, v)), axis=0)
    assert_allclose(np.log(sums) + scale, logs, rtol=1e-12, atol=1e-12)


def test_inaccurate_products_are_not_used(arrays, monkeypatch):
    X, v = tensor(arrays["X"]), tensor(1e-5)
    sums, scale = column_sums((X, v), (X, v))
    monkeypatch.setattr(_pairs, "_PAIRS", 60)
    in_parts, scale_of_parts = column_sums((X, v), (X, v))
    assert_allclose(sums.detach(), np.ones(30), rtol=1e-12)
    totals = sums.sum().log() + scale, in_parts.sum().log() + scale_of_parts
    one, other = (torch.autograd.grad(total, (X, v)) for total in totals)
    for x, y in zip(one, other, strict=True):
        assert_allclose(x, y, rtol=1e-12, atol=1e-9)


def test_no_array_of_all_pairs(monkeypatch, rng):
    monkeypatch.setattr(_tiles, "_PAIRS", 2**10)
    shapes = []
    allocate = np.empty
    monkeypatch.setattr(
        np, "empty", lambda shape, *rest: shapes.append(shape) or allocate(shape, *rest)
    )
    X, C = torch.as_tensor(rng.normal(size=(600, 3))), tensor(rng.normal(size=(90, 3)))
    pairs = grams(X, C, 1.0)
    sums, scale = column_sums((X, pairs.data_variance), (C, pairs.model_variance))
    (pairs.log_data_norm + sums.sum().log() + scale).backward()
    assert max(map(np.prod, shapes)) < 600 * 90 / 10
    assert not any(name.startswith("log_correlation") for name in vars(pairs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_a_gpu_does_is_the_same(arrays, monkeypatch, dtype):
    """It waits for no tile: do so here."""
    X, Y, a = (torch.as_tensor(arrays[z], dtype=dtype) for z in "XYa")
    v = torch.tensor(0.7, dtype=dtype)

    def evaluate(name):
        leaves = [z.clone().requires_grad_() for z in (X, Y, v, a)]
        X_, Y_, v_, a_ = leaves
        if name == "sums":
            sums, scale = column_sums((X_, v_), (Y_, v_), None, a_)
            value = sums.sum().log() + scale
        else:
            by_row = name == "rows"
            P, scale = correlations((X_, v_), (Y_, v_), None, a_, by_row=by_row)
            value = (P * scale.exp()).square().sum()
        return [value, *torch.autograd.grad(value, leaves)]

    names = "sums", "rows", "matrix"
    expected = [evaluate(name) for name in names]
    for module in _products, _pairs:
        monkeypatch.setattr(module, "is_at_hand", lambda array: False)
    rtol = 1e-4 if dtype == torch.float32 else 1e-11
    for name, correct in zip(names, expected, strict=True):
        for x, y in zip(evaluate(name), correct, strict=True):
            assert x.dtype == y.dtype
            assert_allclose(x.detach(), y.detach(), rtol=rtol, atol=rtol / 10)


def test_double_backward_is_refused(arrays):
    X, v = tensor(arrays["X"]), torch.tensor(0.7, dtype=torch.float64)
    sums, _ = column_sums((X, v), (X, v))
    (gradient,) = torch.autograd.grad(sums.sum().log(), X, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


# Derivatives of the matrix functions of the costs, against plain autograd -------------


# The derivatives themselves: no public function shows them alone.


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


# Mixtures from the outputs of networks ------------------------------------------------


MEMBERS, ROWS, COMPONENTS, CONTEXT = 3, 5, 4, 2


def make_heads(rng, xp, n_features, covariance_type, spread=1.0):
    shape = (MEMBERS, ROWS, n_outputs(COMPONENTS, n_features, covariance_type))
    outputs = xp.asarray(spread * rng.normal(size=shape))
    return split_outputs(outputs, COMPONENTS, n_features, 0.01)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
@pytest.mark.parametrize("n_features", [1, 2, 4])
def test_log_prob_is_that_of_the_mixture(rng, xp, n_features, covariance_type):
    heads = make_heads(rng, xp, n_features, covariance_type)
    y = rng.normal(size=(ROWS, n_features))
    each = np.asarray(heads.log_prob(xp.asarray(y)))
    mixture = join_members(heads).mixture().to_numpy()
    assert each.shape == (MEMBERS, ROWS)
    assert mixture.n_components == MEMBERS * COMPONENTS
    expected = np.log(np.exp(each).mean(axis=0))
    assert_allclose(mixture.log_prob(y), expected, rtol=1e-6)


def test_type_is_full_only_where_there_is_something_to_correlate(rng, xp):
    types = [
        join_members(make_heads(rng, xp, d, kind)).mixture().covariance_type
        for d, kind in [(1, "full"), (2, "full"), (2, "diag")]
    ]
    assert types == ["diag", "full", "diag"]


def test_scales_are_given_the_targets_before(rng, xp):
    heads = make_heads(rng, xp, 3, "full")
    covariances = heads.mixture().to_numpy().covariances
    pivots = np.linalg.cholesky(covariances).diagonal(axis1=-2, axis2=-1)
    assert_allclose(np.log(pivots), np.asarray(heads.log_scales), atol=1e-5)


@pytest.mark.parametrize("n_features", [1, 5])
def test_any_outputs_are_mixtures(rng, xp, n_features):
    heads = make_heads(rng, xp, n_features, "full", spread=100.0)
    mixture = join_members(heads).mixture().to_numpy()
    log_prob = mixture.log_prob(rng.normal(size=(ROWS, n_features)))
    assert np.isfinite(log_prob).all()
    scales = np.sqrt(mixture.covariance.diagonal(axis1=-2, axis2=-1))
    assert scales.min() >= 0.01


def test_distortion_is_half_the_squared_distance_where_hard(rng, xp):
    heads = make_heads(rng, xp, 2, "diag")
    y = rng.normal(size=(ROWS, 2))
    squares = ((y[:, None] - np.asarray(heads.means)) ** 2).sum(-1)
    distortion = np.asarray(heads.distortion(xp.asarray(y), 1e-3))
    assert_allclose(distortion, squares.min(-1) / 2, atol=2e-5)
    soft = np.asarray(heads.distortion(xp.asarray(y), 1e3))
    mean = (np.exp(np.asarray(heads.log_weights)) * squares).sum(-1) / 2
    assert_allclose(soft, mean, rtol=1e-4)


def test_perceptrons_are_separate(rng, xp):
    sizes = [(CONTEXT, 8), (8, 8), (8, 6)]
    weights = [rng.normal(size=(MEMBERS, *size)) for size in sizes]
    biases = [rng.normal(size=(MEMBERS, 1, size[1])) for size in sizes]
    skip = rng.normal(size=(MEMBERS, CONTEXT, 6))
    context = rng.normal(size=(ROWS, CONTEXT))

    def run(members, context):
        weight, bias = ([xp.asarray(a[members]) for a in p] for p in (weights, biases))
        return np.asarray(
            perceptrons(weight, bias, xp.asarray(skip[members]), xp.asarray(context))
        )

    together = run(slice(None), context)
    assert together.shape == (MEMBERS, ROWS, 6)
    assert_allclose(together[1:2], run([1], context), rtol=1e-12)
    each = run(slice(None), np.stack([context, -context, context]))
    assert_allclose(each[[0, 2]], together[[0, 2]], rtol=1e-12)
    hidden = context
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        raw = hidden @ weight[0] + bias[0]
        hidden = raw / (1 + np.exp(-raw))
    expected = hidden @ weights[-1][0] + biases[-1][0] + context @ skip[0]
    assert_allclose(together[0], expected, rtol=1e-10)


def test_far_units_do_not_overflow(xp):
    one = xp.asarray(np.ones((1, 1, 1)))
    outputs = perceptrons(
        [one, one], [0 * one, 0 * one], 0 * one, xp.asarray(np.array([[-1e6], [1e6]]))
    )
    assert_allclose(np.asarray(outputs).ravel(), [0.0, 1e6], atol=1e-6)


def test_numpy_evaluates_the_same_network(rng):
    generator = torch.Generator().manual_seed(0)
    network = MixtureDensityNetwork(
        3, 2, generator, n_components=4, hidden_layer_sizes=(8, 8), n_members=2
    )
    # Any parameters, so that nothing is zero by its start.
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(generator=generator)
    context = torch.from_numpy(rng.normal(size=(6, 3)).astype(np.float32))
    weights, biases, (skip,) = (
        [p.detach().numpy() for p in parameters]
        for parameters in (network.weights, network.biases, [network.skip])
    )
    outputs = perceptrons(weights, biases, skip, context.numpy())
    heads = split_outputs(outputs.astype(float), 4, 2, network.min_scale)
    mixture = join_members(heads).mixture()
    expected = network(context).to_numpy()
    assert_allclose(mixture.means, expected.means, rtol=1e-4, atol=1e-4)
    assert_allclose(mixture.covariances, expected.covariances, rtol=1e-3, atol=1e-4)

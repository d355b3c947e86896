"""`Mixture`: densities, gaps in rows, batches, and what it refuses."""

import copy
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from skgmje.gaussian import COVARIANCE_TYPES, Mixture

TYPES = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


# Densities


@TYPES
def test_densities_agree_with_scipy(covariance_type, make_mixture, dense, xp, rng):
    mixture = make_mixture(covariance_type, xp=xp)
    X = 2 * rng.normal(size=(20, 3))
    pairs = zip(np.asarray(mixture.means), dense(mixture), strict=True)
    components = [multivariate_normal(*pair).logpdf(X) for pair in pairs]
    components = np.stack(components, axis=-1)
    joint = components + np.log(np.asarray(mixture.weights))
    log_prob = logsumexp(joint, axis=-1)
    X = xp.asarray(X)
    assert_allclose(mixture.component_log_prob(X), components, rtol=1e-10)
    assert_allclose(mixture.log_prob(X), log_prob, rtol=1e-10)
    posterior = np.exp(joint - log_prob[:, None])
    assert_allclose(mixture.responsibilities(X), posterior, rtol=1e-9)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_densities_agree_with_scikit_learn(covariance_type, xp, rng):
    X = np.concatenate([rng.normal(size=(80, 3)), 3 + rng.normal(size=(80, 3))])
    gm = GaussianMixture(4, covariance_type=covariance_type, random_state=0).fit(X)
    arrays = (xp.asarray(a) for a in (gm.weights_, gm.means_, gm.covariances_))
    mixture = Mixture(*arrays, covariance_type)
    rows = xp.asarray(X)
    assert_allclose(mixture.log_prob(rows), gm.score_samples(X), rtol=1e-10)
    posterior = mixture.responsibilities(rows)
    assert_allclose(posterior, gm.predict_proba(X), rtol=1e-8, atol=1e-10)


@TYPES
@pytest.mark.parametrize("n_features", [1, 2])
def test_density_integrates_to_one(
    covariance_type, n_features, make_mixture, make_grid
):
    mixture = make_mixture(covariance_type, n_features=n_features)
    points, volume = make_grid(n_features)
    assert_allclose(np.sum(np.exp(mixture.log_prob(points))) * volume, 1, rtol=1e-6)


@TYPES
def test_moments_agree_with_quadrature(covariance_type, make_mixture, make_grid, xp):
    mixture = make_mixture(covariance_type, n_features=2, xp=xp)
    points, volume = make_grid(2)
    density = np.exp(np.asarray(mixture.log_prob(xp.asarray(points)))) * volume
    mean = density @ points
    assert_allclose(mixture.mean, mean, atol=1e-6)
    covariance = (points - mean).T @ (density[:, None] * (points - mean))
    assert_allclose(mixture.covariance, covariance, atol=1e-5)


@TYPES
def test_gradient_agrees_with_autograd_and_differences(
    covariance_type, make_mixture, rng
):
    X = rng.normal(size=(6, 3))
    mixture = make_mixture(covariance_type, xp=torch)
    rows = torch.asarray(X).requires_grad_()
    (expected,) = torch.autograd.grad(mixture.log_prob(rows).sum(), rows)
    gradient = mixture.grad_log_prob(rows.detach())
    assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)
    mixture = make_mixture(covariance_type)
    assert_allclose(mixture.grad_log_prob(X), expected, rtol=1e-9, atol=1e-12)
    steps = 1e-6 * np.eye(3)[:, None]
    differences = (mixture.log_prob(X + steps) - mixture.log_prob(X - steps)) / 2e-6
    assert_allclose(differences.T, expected, rtol=1e-6, atol=1e-7)


@TYPES
def test_gradients_reach_the_parameters(
    covariance_type, make_mixture, map_mixture, rng
):
    mixture = make_mixture(covariance_type, n_components=2, n_features=2, xp=torch)
    X = torch.asarray(rng.normal(size=(3, 2)))

    def value(scale):
        # A factor near one keeps every matrix positive definite.
        scaled = map_mixture(lambda array: array * scale, mixture)
        weights = scaled.weights / scaled.weights.sum()
        p = Mixture(weights, scaled.means, scaled.covariances, covariance_type)
        given = p.condition([0], X[:, :1])
        return p.log_prob(X), given.log_prob(X[:, 1:]), p.l2_distance(mixture)

    scale = torch.tensor(1.1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(value, (scale,))


def test_zero_weights_have_finite_gradients():
    weights = torch.tensor([1.0, 0.0], requires_grad=True)
    means = torch.tensor([[0.0], [1.0]], requires_grad=True)
    mixture = Mixture(weights, means, torch.ones(2), "spherical")
    loss = mixture.log_prob(torch.tensor([[0.5]])).sum() + mixture.norm()
    loss = loss + mixture.l2_distance(mixture)
    loss.backward()
    assert torch.isfinite(weights.grad).all()
    assert torch.isfinite(means.grad).all()


@TYPES
def test_rows_in_blocks_give_the_same(covariance_type, make_mixture, monkeypatch, xp):
    mixture = make_mixture(covariance_type, xp=xp)
    X = xp.asarray(np.random.default_rng(0).normal(size=(50, 3)))
    methods = ("log_prob", "responsibilities", "grad_log_prob")
    whole = [getattr(mixture, method)(X) for method in methods]
    product = mixture.product(mixture)
    sample = mixture.sample(50, random_state=0)[0]
    monkeypatch.setattr("skgmje._backend.BLOCK_SIZE", 40)
    for method, expected in zip(methods, whole, strict=True):
        assert_allclose(getattr(mixture, method)(X), expected, rtol=1e-12)
    assert_allclose(mixture.product(mixture).weights, product.weights, rtol=1e-12)
    assert_array_equal(mixture.sample(50, random_state=0)[0], sample)


# Missing values


@TYPES
def test_missing_values_are_marginalised(covariance_type, make_mixture, xp, rng):
    mixture = make_mixture(covariance_type, xp=xp)
    X = rng.normal(size=(40, 3))
    X[rng.random(X.shape) < 0.4] = np.nan
    X[0], X[1] = np.nan, 1.0
    rows = xp.asarray(X)
    for method in ("log_prob", "component_log_prob", "responsibilities"):
        actual = np.asarray(getattr(mixture, method)(rows, missing="marginal"))
        for x, result in zip(X, actual, strict=True):
            seen = np.flatnonzero(~np.isnan(x)).tolist()
            if seen:
                marginal = mixture.marginal(seen)
                expected = getattr(marginal, method)(xp.asarray(x[seen]))
                assert_allclose(result, expected, rtol=1e-10)
    assert_allclose(mixture.log_prob(rows, missing="marginal")[0], 0, atol=1e-15)
    posterior = mixture.responsibilities(rows, missing="marginal")
    assert_allclose(posterior[0], mixture.weights, rtol=1e-15)


@TYPES
@pytest.mark.parametrize("leading", [(4,), (2, 4)])
def test_missing_values_in_batches(covariance_type, leading, make_mixture, xp, rng):
    mixture = make_mixture(covariance_type, leading=(4,), xp=xp)
    X = rng.normal(size=(*leading, 3))
    X[..., 1, 0], X[..., 2, :], X[..., 3, 1:] = np.nan, np.nan, np.nan
    actual = np.asarray(mixture.log_prob(xp.asarray(X), missing="marginal"))
    assert actual.shape == leading
    for index in np.ndindex(leading):
        seen = np.flatnonzero(~np.isnan(X[index])).tolist()
        if seen:
            marginal = mixture.marginal(seen)
            expected = marginal.log_prob(xp.asarray(np.tile(X[index][seen], (4, 1))))
            assert_allclose(actual[index], expected[index[-1]], rtol=1e-10)
        else:
            assert_allclose(actual[index], 0, atol=1e-15)


def test_missing_values_raise_by_default(make_mixture, xp):
    mixture = make_mixture("full", xp=xp)
    X = xp.asarray(np.array([[0, np.nan, np.nan], [0, 0, 0.0], [np.nan, 0, 0]]))
    for method in (mixture.log_prob, mixture.responsibilities, mixture.grad_log_prob):
        with pytest.raises(ValueError, match=r"3 NaN in 2 rows.*missing='marginal'"):
            method(X)
    with pytest.raises(ValueError, match="missing='drop'"):
        mixture.log_prob(X, missing="drop")


# Batches


@TYPES
def test_batch_equals_a_loop(covariance_type, make_mixture, map_mixture, xp, rng):
    batch = make_mixture(covariance_type, leading=(5,), xp=xp)
    other = make_mixture(covariance_type, seed=1, leading=(5,), xp=xp)
    singles = [map_mixture(lambda a, i=i: a[i], batch) for i in range(5)]
    others = [map_mixture(lambda a, i=i: a[i], other) for i in range(5)]
    X = xp.asarray(rng.normal(size=(5, 3)))
    A = xp.asarray(rng.normal(size=(2, 3)))

    def results(p, q, x):
        given = p.condition([1], x[..., 1:2])
        yield from (p.log_prob(x), p.responsibilities(x), p.grad_log_prob(x))
        yield from (p.mean, p.covariance, p.norm(), p.log_inner(q), p.l2_distance(q))
        yield from (p.cauchy_schwarz_divergence(q), p.product(q).log_prob(x))
        yield from (p.marginal([2, 0]).log_prob(x[..., [2, 0]]), given.mean)
        yield from (given.log_prob(x[..., [0, 2]]), given.covariance)
        yield from (p.affine(A, 1.0).log_prob(x[..., :2]), p.affine(2.0).log_prob(x))

    looped = [list(results(*args)) for args in zip(singles, others, X, strict=True)]
    for k, actual in enumerate(results(batch, other, X)):
        expected = np.stack([np.asarray(single[k]) for single in looped])
        assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


@TYPES
def test_further_axes_of_rows_broadcast(covariance_type, make_mixture, xp, rng):
    X = xp.asarray(rng.normal(size=(4, 5, 3)))
    for leading in ((), (5,)):
        mixture = make_mixture(covariance_type, leading=leading, xp=xp)
        actual = mixture.log_prob(X)
        expected = np.stack([np.asarray(mixture.log_prob(x)) for x in X])
        assert_allclose(actual, expected, rtol=1e-12)
        gradient = mixture.grad_log_prob(X)
        expected = np.stack([np.asarray(mixture.grad_log_prob(x)) for x in X])
        assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)
    single = make_mixture(covariance_type, xp=xp)
    assert single.log_prob(X[0, 0]).shape == ()


@TYPES
def test_batch_may_share_weights_and_covariances(
    covariance_type, make_mixture, map_mixture, rng
):
    mixture = make_mixture(covariance_type)
    means = rng.normal(size=(6, 3, 3))
    X = rng.normal(size=(6, 3))
    batch = Mixture(mixture.weights, means, mixture.covariances, covariance_type)
    copies = map_mixture(np.copy, batch)
    assert batch.weights.shape == (6, 3)
    assert_allclose(batch.log_prob(X), copies.log_prob(X), rtol=1e-12)
    assert_allclose(batch.covariance, copies.covariance, rtol=1e-12)
    X[0, 0] = np.nan
    expected = copies.log_prob(X, missing="marginal")
    assert_allclose(batch.log_prob(X, missing="marginal"), expected, rtol=1e-12)


@TYPES
@pytest.mark.parametrize("n_samples", [2, 90])
def test_batch_of_one_draws_the_same_samples(
    covariance_type, n_samples, make_mixture, map_mixture, xp
):
    mixture = make_mixture(covariance_type, n_features=30, xp=xp)
    batch = map_mixture(lambda array: array[None], mixture)
    X, component = mixture.sample(n_samples, random_state=0)
    batch_X, batch_component = batch.sample(n_samples, random_state=0)
    assert_array_equal(batch_component[:, 0], component)
    assert_allclose(batch_X[:, 0], X, rtol=1e-9, atol=1e-12)


# Ugly cases


@TYPES
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_784_features(covariance_type, dtype, make_mixture, map_mixture, xp, rng):
    mixture = make_mixture(covariance_type, n_components=2, n_features=784, xp=xp)
    mixture = map_mixture(lambda a: xp.asarray(a, dtype=getattr(xp, dtype)), mixture)
    X, component = mixture.sample(5, random_state=0)
    results = (
        mixture.log_prob(X),
        mixture.grad_log_prob(X),
        mixture.log_inner(mixture.affine(1.1)),
        mixture.condition(slice(392), X[:, :392]).log_prob(X[:, 392:]),
    )
    for result in results:
        assert result.dtype == getattr(xp, dtype)
        assert np.all(np.isfinite(np.asarray(result)))
    posterior = np.asarray(mixture.responsibilities(X))
    assert_allclose(posterior.sum(axis=-1), 1, rtol=1e-5)
    assert_array_equal(posterior.argmax(axis=-1), np.asarray(component))


@TYPES
def test_duplicate_components_share(covariance_type, make_mixture, map_mixture, rng):
    single = make_mixture(covariance_type, n_components=1)
    kind = COVARIANCE_TYPES[covariance_type]
    covariances = kind.select(single.covariances, [0, 0])
    double = Mixture([0.3, 0.7], single.means[[0, 0]], covariances, covariance_type)
    X = np.concatenate([rng.normal(size=(3, 3)), 1e200 * rng.normal(size=(3, 3))])
    assert_allclose(double.log_prob(X), single.log_prob(X), rtol=1e-12)
    posterior = double.responsibilities(X)
    assert_allclose(posterior, np.tile([0.3, 0.7], (6, 1)), rtol=1e-12)


@TYPES
def test_zero_weight_component_does_not_count(covariance_type, make_mixture, xp, rng):
    mixture = make_mixture(covariance_type, n_components=3, xp=xp)
    kind = COVARIANCE_TYPES[covariance_type]
    weights = xp.asarray(np.array([0.4, 0.0, 0.6]))
    zero = Mixture(weights, mixture.means, mixture.covariances, covariance_type)
    two = Mixture(
        weights[[0, 2]],
        mixture.means[[0, 2]],
        kind.select(mixture.covariances, [0, 2]),
        covariance_type,
    )
    X = np.concatenate([rng.normal(size=(3, 3)), 1e200 * rng.normal(size=(3, 3))])
    X = xp.asarray(X)
    assert_allclose(zero.log_prob(X), two.log_prob(X), rtol=1e-12)
    posterior = np.asarray(zero.responsibilities(X))
    assert_array_equal(posterior[:, 1], 0)
    assert_allclose(posterior[:, [0, 2]], two.responsibilities(X), rtol=1e-12)
    assert_allclose(zero.log_inner(mixture), two.log_inner(mixture), rtol=1e-12)
    assert 1 not in np.asarray(zero.sample(200, random_state=0)[1])


@pytest.mark.parametrize("size", [1e150, 1e200, 1e307])
@TYPES
def test_far_rows_go_to_the_nearest_component(covariance_type, size, make_mixture, xp):
    mixture = make_mixture(covariance_type, xp=xp)
    X = size * np.random.default_rng(5).normal(size=(8, 3))
    posterior = np.asarray(mixture.responsibilities(xp.asarray(X)))
    assert_allclose(posterior.sum(axis=-1), 1, rtol=1e-12)
    # The same directions, far enough for one component to win, without overflow.
    near = mixture.responsibilities(xp.asarray(X / size * 1e6))
    assert_allclose(posterior, near, atol=1e-9)
    log_prob = np.asarray(mixture.log_prob(xp.asarray(X)))
    assert np.all(log_prob < -1e290)


def test_far_rows_in_single_precision(make_mixture, map_mixture, xp):
    mixture = make_mixture("full", xp=xp)
    X = np.random.default_rng(5).normal(size=(8, 3))
    near = mixture.responsibilities(xp.asarray(1e6 * X))
    single = map_mixture(lambda a: xp.asarray(a, dtype=xp.float32), mixture)
    posterior = single.responsibilities(xp.asarray(1e30 * X, dtype=xp.float32))
    assert_allclose(posterior, near, atol=1e-6)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "spherical"])
def test_rows_at_any_distance_under_one_covariance(covariance_type, make_mixture, rng):
    matrix = make_mixture("tied").covariances
    covariances = {
        "full": np.stack([matrix] * 3),
        "tied": matrix,
        "spherical": np.full(3, 0.7),
    }[covariance_type]
    matrix = 0.7 * np.eye(3) if covariance_type == "spherical" else matrix
    means = 3 * rng.normal(size=(3, 3))
    mixture = Mixture([0.2, 0.3, 0.5], means, covariances, covariance_type)
    slopes = np.linalg.solve(matrix, means.T)
    offsets = np.log([0.2, 0.3, 0.5]) - 0.5 * np.sum(means.T * slopes, axis=0)
    sizes = np.repeat(10.0 ** np.arange(0, 300, 0.5), 5)
    X = sizes[:, None] * rng.normal(size=(len(sizes), 3))
    # The common quadratic term is left out, so nothing cancels.
    scores = X @ slopes + offsets
    expected = np.exp(scores - logsumexp(scores, axis=-1, keepdims=True))
    assert_allclose(mixture.responsibilities(X), expected, atol=1e-4)


def test_far_rows_under_one_variance_keep_the_order_of_projections():
    mixture = Mixture(
        [0.5, 0.3, 0.2], [[0.0, 0], [0, 2], [1, 2]], [1.0] * 3, "spherical"
    )
    X = [[0.0, 1e200], [1e200, 0.0], [-1e200, 0.0]]
    # Down the second axis the last two are equally near but for their weights;
    # against the first axis the offsets across decide.
    posterior = mixture.responsibilities(X)
    assert_allclose(posterior[0], [0, 0.3 / (0.3 + 0.2 * np.exp(-0.5)), 1], atol=1)
    assert_allclose(posterior[1], [0, 0, 1])
    across = np.array([0.5, 0.3 * np.exp(-2), 0])
    assert_allclose(posterior[2], across / across.sum(), rtol=1e-12)


def test_nan_parameters_stay_visible_in_torch():
    means = torch.tensor([[0.0], [np.nan]], requires_grad=True)
    mixture = Mixture(torch.tensor([0.5, 0.5]), means, torch.ones(2), "spherical")
    X = torch.zeros(1, 1)
    assert torch.isnan(mixture.log_prob(X)).all()
    assert torch.isnan(mixture.responsibilities(X)).any()


# A value


@TYPES
def test_mixture_is_a_small_frozen_value(covariance_type, make_mixture):
    mixture = make_mixture(covariance_type)
    with pytest.raises(FrozenInstanceError):
        mixture.weights = None
    again = pickle.loads(pickle.dumps(mixture))
    assert_array_equal(again.means, mixture.means)
    assert b"torch" not in pickle.dumps(mixture)
    expected = f"Mixture(n_components=3, n_features=3, {covariance_type=!s})"
    assert repr(mixture).replace("'", "") == expected
    assert mixture.n_components == mixture.n_features == 3
    assert "batch_shape=(5,)" in repr(make_mixture("diag", leading=(5,)))


def test_lists_become_arrays_of_one_type():
    mixture = Mixture([1], [[0, 0]], [[1, 1]], "diag")
    assert mixture.means.dtype == mixture.weights.dtype == np.float64
    single = Mixture([1.0], np.zeros((1, 2), np.float32), [[[1, 0], [0, 1]]])
    assert single.covariances.dtype == np.float32
    assert single.log_prob([[0, 0]]).dtype == np.float32


GOOD = {
    "weights": [0.5, 0.5],
    "means": np.zeros((2, 3)),
    "covariances": np.ones((2, 3)),
}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"covariance_type": "round"}, "covariance_type='round'.*'spherical'"),
        ({"means": np.zeros(3)}, r"means has shape \(3,\)"),
        ({"means": [["a", "b"]]}, "means"),
        ({"weights": [1.0]}, r"weights has shape \(1,\).*must be \(2,\)"),
        ({"covariances": np.ones((3, 2))}, r"covariances has shape \(3, 2\)"),
        ({"covariance_type": "low-rank"}, "pair"),
        ({"covariances": (np.ones((2, 3)),) * 2}, "one array.*got tuple"),
        (
            {"covariances": (np.ones((2, 3)),) * 3, "covariance_type": "low-rank"},
            "2 arrays",
        ),
        (
            {"covariances": (np.ones((2, 3)),) * 2, "covariance_type": "low-rank"},
            r"covariances has shape \(2, 3\).*must be \(2, 3, 3\)",
        ),
        (
            {"covariances": (1.0, 1.0), "covariance_type": "low-rank"},
            r"covariances has shape \(\)",
        ),
        ({"means": np.ones((2, 3)) * 1j}, "means.*complex"),
        ({"weights": [-0.5, 1.5]}, "weights has an entry of -0.5"),
        ({"weights": [0.5, 0.6]}, "weights must sum to one.*0.1"),
        ({"weights": [np.nan, 1.0]}, "weights"),
        ({"means": np.full((2, 3), np.nan)}, "means has NaN or infinite"),
        ({"covariances": np.zeros((2, 3))}, "covariances has a variance of 0"),
        ({"covariances": np.full((2, 3), np.inf)}, "covariances has NaN or inf"),
    ],
)
def test_wrong_parameters_are_named(wrong, message, xp):
    parameters = {"covariance_type": "diag", **GOOD, **wrong}
    with pytest.raises(ValueError, match=message):
        Mixture(**parameters)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_singular_matrices_are_refused(covariance_type, xp):
    matrix = np.ones((2, 2))
    matrices = {"full": matrix[None], "tied": matrix}[covariance_type]
    arrays = (xp.asarray(a) for a in (np.ones(1), np.zeros((1, 2)), matrices))
    mixture = Mixture(*arrays, covariance_type)
    with pytest.raises(ValueError, match=r"covariances.*not positive definite.*Add"):
        mixture.log_prob(xp.asarray(np.zeros((1, 2))))


def test_wrong_rows_are_named(make_mixture, xp):
    mixture = make_mixture("full", xp=xp)
    with pytest.raises(ValueError, match=r"X has shape \(2,\).*3 features"):
        mixture.log_prob(xp.asarray(np.zeros(2)))
    with pytest.raises(ValueError, match="X has entries that are infinite"):
        mixture.log_prob(xp.asarray(np.array([[0, 0, np.inf], [0, 0, -np.inf]])))
    batch = make_mixture("full", leading=(5,), xp=xp)
    with pytest.raises(ValueError, match=r"X has shape \(4, 3\).*sample i.*mixture i"):
        batch.log_prob(xp.asarray(np.zeros((4, 3))))


def test_text_and_foreign_tensors_are_refused(make_mixture):
    mixture = make_mixture("full")
    for X in (
        [["a", "b", "c"]],
        [[0, 0], [0]],
        np.ones((1, 3)) * 1j,
        csr_array((2, 3)),
    ):
        with pytest.raises(ValueError, match="X cannot be read as real numbers"):
            mixture.log_prob(X)
    with pytest.raises(TypeError, match="X is a torch tensor"):
        mixture.log_prob(torch.zeros(1, 3))


def test_huge_finite_rows_are_no_missing_rows(make_mixture):
    X = np.full((3, 3), 1e308)
    assert np.all(make_mixture("diag").log_prob(X) == -np.inf)


def test_asymmetric_matrices_are_refused():
    matrix = np.array([[1.0, 0.5], [0.0, 1.0]])
    for kind, covariances in (("full", matrix[None]), ("tied", matrix)):
        with pytest.raises(ValueError, match="not symmetric"):
            Mixture([1.0], [[0.0, 0.0]], covariances, kind)


def test_low_rank_needs_a_factor():
    with pytest.raises(ValueError, match="at least one factor"):
        Mixture([1.0], [[0.0, 0.0]], (np.zeros((1, 2, 0)), np.ones((1, 2))), "low-rank")


@pytest.mark.parametrize("X", [np.zeros((4, 3)), np.zeros(3)])
def test_unknown_way_with_missing_values_is_refused(make_mixture, X):
    with pytest.raises(ValueError, match="missing='drop'"):
        make_mixture("full").log_prob(X, missing="drop")


# Whose arrays they are


def arrays_of(mixture):
    covariances = mixture.covariances
    parts = covariances if isinstance(covariances, tuple) else (covariances,)
    return mixture.weights, mixture.means, *parts


@TYPES
@pytest.mark.parametrize("leading", [(), (4,)])
def test_writing_into_the_arrays_raises(covariance_type, leading, make_mixture):
    mixture = make_mixture(covariance_type, leading=leading)
    others = (
        mixture.marginal([0, 2]),
        mixture.condition([0], np.zeros((4, 1))),
        mixture.affine(2.0, 1.0),
        mixture.product(mixture),
        Mixture.mix([mixture, mixture], [0.5, 0.5]),
        pickle.loads(pickle.dumps(mixture)),
        pickle.loads(pickle.dumps(mixture, protocol=2)),
        copy.copy(mixture),
        copy.deepcopy(mixture),
        replace(mixture, means=mixture.means + 1),
        map_to_torch(mixture).to_numpy(),
    )
    for other in (mixture, *others):
        for array in arrays_of(other):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0.5


def map_to_torch(mixture):
    covariances = mixture.covariances
    if isinstance(covariances, tuple):
        covariances = tuple(map(torch.tensor, covariances))
    else:
        covariances = torch.tensor(covariances)
    weights, means = torch.tensor(mixture.weights), torch.tensor(mixture.means)
    return Mixture(weights, means, covariances, mixture.covariance_type)


@TYPES
def test_arrays_changed_by_their_owner_change_no_mixture(
    covariance_type, make_mixture, rng
):
    X = rng.normal(size=(5, 3))
    source = make_mixture(covariance_type)
    arrays = [array.copy() for array in arrays_of(source)]
    read_only = arrays[1].view()
    read_only.flags.writeable = False
    covariances = arrays[2] if len(arrays) == 3 else tuple(arrays[2:])
    mixture = Mixture(arrays[0], read_only, covariances, covariance_type)
    for array in arrays:
        assert array.flags.writeable
        array[...] = 7.0
    assert_array_equal(mixture.log_prob(X), source.log_prob(X))
    for own, other in zip(arrays_of(mixture), arrays_of(source), strict=True):
        assert_array_equal(own, other)


def test_arrays_of_mixtures_and_shared_ones_are_not_copied(make_mixture):
    mixture = make_mixture("full")
    other = Mixture(mixture.weights, mixture.means, mixture.covariances)
    assert other.means is mixture.means
    assert other.covariances is mixture.covariances
    shared = np.broadcast_to(mixture.covariances.copy(), (1000, 3, 3, 3))
    many = Mixture(mixture.weights, np.zeros((1000, 3, 3)), shared)
    assert many.covariances.strides[0] == 0


def test_the_order_in_memory_is_kept(make_mixture):
    mixture = make_mixture("full")
    means = np.asfortranarray(mixture.means)
    other = Mixture(mixture.weights, means, mixture.covariances)
    assert other.means.flags.f_contiguous


def test_tensors_are_neither_copied_nor_locked(make_mixture):
    mixture = map_to_torch(make_mixture("diag"))
    means = mixture.means.clone().requires_grad_()
    other = Mixture(mixture.weights, means, mixture.covariances, "diag")
    assert other.means is means
    other.log_prob(torch.zeros(3, 3)).sum().backward()
    assert means.grad.abs().sum() > 0
    kept = mixture.to_numpy()
    before = kept.means.copy()
    mixture.means.add_(1.0)
    assert_array_equal(kept.means, before)


def test_scoring_prepares_the_loops_once(make_mixture, monkeypatch, rng):
    mixture = make_mixture("full")
    X = rng.normal(size=(5, 3))
    mixture.log_prob(X)
    mixture.condition([0], X[:, :1])
    refuse = pytest.fail
    monkeypatch.setattr("skgmje.gaussian._density.make_kernel", refuse)
    monkeypatch.setattr("skgmje.gaussian._algebra._compute_maps", refuse)
    mixture.log_prob(X)
    mixture.condition([0], X[:, :1])


def test_remembered_maps_are_not_pickled(make_mixture, rng):
    mixture = make_mixture("full")
    size = len(pickle.dumps(mixture))
    mixture.condition([0], rng.normal(size=(5, 1)))
    mixture.log_prob(rng.normal(size=(5, 3)))
    assert len(pickle.dumps(mixture)) == size

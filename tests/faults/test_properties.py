"""Relations that hold for every mixture; and that each of them can fail.

Every relation is tried on 150 mixtures of any scale, condition and weights. Then a
mistake is put into the library, and the relation must find it.
"""

import inspect
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skgmje import GaussianMixture, Mixture
from skgmje.costs import COSTS

# Inside: statistics of an E-step are no result of a fit.
from skgmje.em import _em, expectation_maximization
from skgmje.em._em import make_kernel
from skgmje.gaussian import COVARIANCE_TYPES, grams
from skgmje.gaussian._passes import block_stats, merge_stats

N_EXAMPLES = 150
KINDS = sorted(COVARIANCE_TYPES)


@st.composite
def cases(draw, kinds=KINDS, least=1, most=5, conditions=(1.0, 1e2, 1e4)):
    """Draw a mixture, rows of it, and the generator that made both."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(kinds))
    k, d = draw(st.integers(1, 5)), draw(st.integers(least, most))
    scale = 10.0 ** draw(st.integers(-6, 6))
    condition = draw(st.sampled_from(conditions))
    spread = draw(st.sampled_from([0.0, 1.0, 30.0]))
    weights = rng.dirichlet(np.full(k, draw(st.sampled_from([0.1, 1.0, 10.0]))))
    variances = scale**2 * condition ** -rng.random((k, d))
    turns = np.linalg.qr(rng.normal(size=(k, d, d)))[0]
    dense = turns * variances[:, None] @ np.swapaxes(turns, 1, 2)
    dense = 0.5 * (dense + np.swapaxes(dense, 1, 2))
    covariances = {
        "full": dense,
        "tied": dense[0],
        "diag": variances,
        "spherical": variances[:, 0],
        "low-rank": (scale * rng.normal(size=(k, d, 1)), variances),
    }[kind]
    mixture = Mixture(
        weights, scale * spread * rng.normal(size=(k, d)), covariances, kind
    )
    return mixture, mixture.sample(32, rng)[0], rng


def close(found, expected, tol=1e-6):
    assert_allclose(found, expected, rtol=tol, atol=tol)


def chosen(mixture, order, weights=None):
    weights = mixture.weights[order] if weights is None else weights
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    covariances = kind.select(mixture.covariances, order)
    return Mixture(weights, mixture.means[order], covariances, mixture.covariance_type)


def order_of_components(mixture, X, rng):
    permuted = chosen(mixture, rng.permutation(mixture.n_components))
    close(permuted.log_prob(X), mixture.log_prob(X))


def affine_maps(mixture, X, rng):
    d = mixture.n_features
    A = np.linalg.qr(rng.normal(size=(d, d)))[0] * rng.uniform(0.3, 3.0, d)
    image = mixture.affine(A).log_prob(X @ A.T) + np.linalg.slogdet(A)[1]
    close(image, mixture.log_prob(X))


def chain_rule(mixture, X, rng):
    n_known = int(rng.integers(1, mixture.n_features))
    known, rest = range(n_known), range(n_known, mixture.n_features)
    marginal = mixture.marginal(known).log_prob(X[:, known])
    conditional = mixture.condition(known, X[:, known]).log_prob(X[:, rest])
    close(marginal + conditional, mixture.log_prob(X))


def marginals_of_marginals(mixture, X, rng):
    order = rng.permutation(mixture.n_features)
    twice = mixture.marginal(order[:2]).marginal([1])
    column = X[:, order[[1]]]
    close(twice.log_prob(column), mixture.marginal(order[[1]]).log_prob(column))


def responsibilities_of_far_rows(mixture, X, rng):
    for rows in (X, 1e100 * X, rng.choice([-1e200, 0, 1e200], X.shape)):
        parts = mixture.responsibilities(rows)
        assert (parts >= 0).all()
        assert_allclose(parts.sum(axis=1), 1, rtol=1e-12)


def weights_are_copies(mixture, X, rng):
    copies = int(rng.integers(2, 5))
    order = [0] * copies + list(range(1, mixture.n_components))
    weights = mixture.weights[order] / np.where(
        np.arange(len(order)) < copies, copies, 1
    )
    close(chosen(mixture, order, weights).log_prob(X), mixture.log_prob(X))


def own_samples_score_best(mixture, X, rng):
    X = mixture.sample(400, rng)[0]
    moved = mixture.affine(1.0, np.sqrt(np.diagonal(mixture.covariance)))
    wider = mixture.affine(3.0, -2.0 * mixture.mean)
    own = mixture.log_prob(X).mean()
    assert own > max(moved.log_prob(X).mean(), wider.log_prob(X).mean())


def statistics(mixture, X, weight=None):
    kernel = make_kernel(mixture, X.mean(axis=0))
    return kernel, block_stats(kernel, X, weight)


def assert_same_statistics(found, expected, size):
    close(found.counts, expected.counts)
    heard = expected.counts > 1e-9
    assert_allclose(found.means[heard], expected.means[heard], 1e-6, 1e-6 * size)
    for part, other in zip(found.scatter, expected.scatter, strict=True):
        assert_allclose(part, other, rtol=1e-5, atol=1e-7 * len(other) * size**2)


def repeated_rows_are_weights(mixture, X, rng):
    counts = rng.integers(1, 5, len(X))
    _, copied = statistics(mixture, np.repeat(X, counts, axis=0))
    kernel = make_kernel(mixture, np.repeat(X, counts, axis=0).mean(axis=0))
    weighted = block_stats(kernel, X, counts.astype(float))
    assert_same_statistics(weighted, copied, 32 * np.abs(X).max())


def statistics_of_parts_add_up(mixture, X, rng):
    kernel, whole = statistics(mixture, X)
    cut = int(rng.integers(1, len(X)))
    parts = block_stats(kernel, X[:cut]), block_stats(kernel, X[cut:])
    assert_same_statistics(merge_stats(kernel, *parts), whole, 32 * np.abs(X).max())


def chunks_have_the_same_bits(mixture, X, rng):
    step = int(rng.integers(1, len(X)))
    starts = range(0, len(X), step)
    parts = [mixture.log_prob(X[i : i + step]) for i in starts]
    assert_array_equal(np.concatenate(parts), mixture.log_prob(X))


def em_does_not_lose(mixture, X, rng):
    X = mixture.sample(100, rng)[0]
    X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-300)
    start = Mixture([0.5, 0.5], X[:2] + 0.1, np.ones((2, X.shape[1])), "diag")
    # Without regularisation, the likelihood itself never falls.
    bounds = expectation_maximization(
        X, start, reg_covar=1e-8, tol=0.0, max_iter=15
    ).lower_bounds
    assert np.diff(bounds).min(initial=0.0) > -1e-4


def density_integrates_to_one(mixture, X, rng):
    line = mixture.marginal([0])
    loc, scale = float(line.mean[0]), float(line.covariance[0, 0]) ** 0.5
    grid = np.unique(
        np.concatenate(
            [
                *(m + s * np.linspace(-9, 9, 400) for m, s in _bumps(line)),
                loc + scale * np.linspace(-9, 9, 400),
            ]
        )
    )
    density = np.exp(line.log_prob(grid[:, None]))
    assert_allclose(np.trapezoid(density, grid), 1.0, rtol=2e-3)


def _bumps(line):
    kind = COVARIANCE_TYPES[line.covariance_type]
    variances = kind.diagonal(line.covariances, line.n_components, 1)
    return zip(
        line.means[:, 0],
        np.sqrt(np.broadcast_to(variances, (line.n_components, 1)))[:, 0],
        strict=True,
    )


def gradient_is_a_difference(mixture, X, rng):
    scale = np.sqrt(np.diagonal(mixture.within_covariance)).min()
    step = 1e-5 * scale * rng.normal(size=X.shape)
    change = mixture.log_prob(X + step) - mixture.log_prob(X - step)
    expected = 2 * (mixture.grad_log_prob(X) * step).sum(axis=1)
    assert_allclose(change, expected, rtol=1e-3, atol=1e-5)


def single_precision_is_close(mixture, X, rng):
    z = mixture.affine(1.0, -mixture.mean)
    scale = np.sqrt(np.diagonal(z.covariance))
    z, rows = z.affine(1 / scale), ((X - mixture.mean) / scale).astype(np.float32)
    parts = z.covariances if isinstance(z.covariances, tuple) else (z.covariances,)
    parts = tuple(part.astype(np.float32) for part in parts)
    single = Mixture(
        z.weights.astype(np.float32),
        z.means.astype(np.float32),
        parts if isinstance(z.covariances, tuple) else parts[0],
        z.covariance_type,
    )
    assert single.log_prob(rows).dtype == np.float32
    assert_allclose(single.log_prob(rows), z.log_prob(rows), rtol=1e-2, atol=2e-2)


def costs_do_not_see_the_order(mixture, X, rng):
    X = torch.from_numpy((X - X.mean(axis=0)) / max(X.std(), 1e-300))
    centers = X[:4] + 0.1
    rows, places = rng.permutation(len(X)), rng.permutation(4)
    for cost in COSTS.values():
        value = cost(grams(X, centers, 0.7))
        moved = cost(grams(X[rows], centers[places], 0.7))
        assert_allclose(float(moved), float(value), rtol=1e-8, atol=1e-8)


def saved_models_answer_alike(mixture, X, rng):
    import tempfile

    import skgmje

    fitted = GaussianMixture.from_parameters(
        mixture.weights, mixture.means, mixture.covariances, mixture.covariance_type
    )
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(f"{folder}/model")
        loaded = skgmje.load(f"{folder}/model")
    assert_array_equal(loaded.score_samples(X), fitted.score_samples(X))
    assert_array_equal(loaded.sample(9, 0)[0], fitted.sample(9, 0)[0])


# The mistakes, each as (owner, name, function that makes a wrong one of the right).
def _without_weights(right):
    def log_prob(self, X, *args, **kwargs):
        equal = np.full_like(self.weights, 1 / self.n_components)
        parts = self.component_log_prob(X) + np.log(equal)
        return np.logaddexp.reduce(parts, axis=-1)

    return log_prob


def _by_place(right):
    def log_prob(self, X, *args, **kwargs):
        place = np.arange(self.n_components)
        parts = (
            self.component_log_prob(X) + np.log(self.weights + 1e-300) + 1e-3 * place
        )
        return np.logaddexp.reduce(parts, axis=-1)

    return log_prob


def _plus(amount):
    def make(right):
        def log_prob(self, X, *args, **kwargs):
            return right(self, X, *args, **kwargs) + amount(self, X)

        return log_prob

    return make


def _forget_scale(right):
    def affine(self, A, b=0.0):
        image = right(self, A, b)
        return Mixture(
            self.weights, image.means, self.covariances, self.covariance_type
        ) if np.ndim(A) < 2 else image.affine(1.001)  # fmt: skip

    return affine


def _keep_weights(right):
    def condition(self, indices, values):
        given = right(self, indices, values)
        weights = np.broadcast_to(self.weights, given.weights.shape)
        return Mixture(weights, given.means, given.covariances, given.covariance_type)

    return condition


def _overflow(right):
    def responsibilities(self, X, *args, **kwargs):
        with np.errstate(all="ignore"):
            parts = self.weights * np.exp(self.component_log_prob(X))
            return parts / parts.sum(axis=-1, keepdims=True)

    return responsibilities


def _sorted_columns(right):
    return lambda self, indices: right(self, np.sort(indices))


def _ignore_weight(right):
    return lambda kernel, X, weight=None, *rest: right(kernel, X, None, *rest)


def _forget_the_first(right):
    return lambda kernel, first, second: right(kernel, second, second)


def _move(right):
    def maximise(*args, **kwargs):
        kernel, added = right(*args, **kwargs)
        parts = kernel.weights, kernel.means + 0.3, kernel.covariances
        return type(kernel)(*parts, kernel.center, kernel.limit), added

    return maximise


def _negative(right):
    return lambda self, X: -right(self, X)


def _weigh_rows(right):
    def cost(value):
        return right(value) + 1e-3 * value.log_xy[0, 0]

    return cost


def _round(right):
    def pack(document, arrays, **labels):
        arrays = {
            name: array.astype(np.float32).astype(array.dtype)
            for name, array in arrays.items()
        }
        return right(document, arrays, **labels)

    return pack


HERE = inspect.getmodule(cases)
FULL = ("full", "tied")
RELATIONS = {
    order_of_components: ({}, (Mixture, "log_prob", _by_place)),
    affine_maps: ({"conditions": (1.0, 1e2)}, (Mixture, "affine", _forget_scale)),
    chain_rule: ({"least": 2}, (Mixture, "condition", _keep_weights)),
    marginals_of_marginals: ({"least": 3}, (Mixture, "marginal", _sorted_columns)),
    responsibilities_of_far_rows: ({}, (Mixture, "responsibilities", _overflow)),
    weights_are_copies: ({}, (Mixture, "log_prob", _without_weights)),
    own_samples_score_best: (
        {},
        (Mixture, "log_prob", _plus(lambda mixture, X: 9.0 * mixture.means[0, 0] ** 2)),
    ),
    repeated_rows_are_weights: ({}, (HERE, "block_stats", _ignore_weight)),
    statistics_of_parts_add_up: ({}, (HERE, "merge_stats", _forget_the_first)),
    chunks_have_the_same_bits: (
        {},
        (Mixture, "log_prob", _plus(lambda mixture, X: 1e-12 * len(X))),
    ),
    em_does_not_lose: ({}, (_em, "maximise", _move)),
    density_integrates_to_one: (
        {},
        (Mixture, "log_prob", _plus(lambda mixture, X: 0.01)),
    ),
    gradient_is_a_difference: (
        {"conditions": (1.0, 1e2)},
        (Mixture, "grad_log_prob", _negative),
    ),
    single_precision_is_close: (
        {"conditions": (1.0,)},
        (
            Mixture,
            "log_prob",
            _plus(lambda mixture, X: 0.2 * (mixture.means.dtype == np.float32)),
        ),
    ),
    costs_do_not_see_the_order: ({}, (COSTS, "svd", _weigh_rows)),
    saved_models_answer_alike: (
        {},
        ("skgmje._persistence._model", "pack", _round),
    ),
}


def examples_of(relation):
    """Return a test of a relation on 150 cases."""
    params, _ = RELATIONS[relation]

    def check(case):
        relation(*case)

    check = given(case=cases(**params))(check)
    return settings(
        max_examples=N_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(check)


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda r: r.__name__)
def test_relation(relation, record):
    examples_of(relation)()
    name = relation.__name__.replace("_", " ")
    record(f"relation: {name}", N_EXAMPLES, N_EXAMPLES)


def mistake_in(owner, name, make):
    """Return a context in which the library makes a mistake."""
    if isinstance(owner, dict):
        return mock.patch.dict(owner, {name: make(owner[name])})
    if isinstance(owner, str):
        import importlib

        owner = importlib.import_module(owner)
    return mock.patch.object(owner, name, make(getattr(owner, name)))


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda r: r.__name__)
def test_relation_finds_a_mistake(relation):
    with mistake_in(*RELATIONS[relation][1]), pytest.raises(AssertionError):
        examples_of(relation)()

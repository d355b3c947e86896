"""Sources of components: networks, memory banks, neural gases, and their pool."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from skorch.callbacks import Callback

from skgmje.conditional import MemoryBank, MixtureNetwork, NeuralGas

# Inside: a source is judged alone, before estimators choose among them.
from skgmje.conditional._models import (
    JointConditional,
    NetworkConditional,
    PooledConditional,
    assign_folds,
)
from skgmje.conditional._source import Settings
from skgmje.conditional._sources import POOLING, source_of
from skgmje.conditional._torch_sources import make_schedule
from skgmje.em._select import pool_weights
from skgmje.gaussian import Mixture

# Ensembles of mixture density networks as conditional densities -----------------------


pool = partial(pool_weights, **POOLING)

QUICK = MixtureNetwork(3, max_iter=30, hidden_layer_sizes=(8,))
SHORT = MixtureNetwork(3, max_iter=300, hidden_layer_sizes=(32,))


def changed(source, **params):
    return clone(source).set_params(**params)


def learn(source, X, Y, sample_weight=None, seed=0, judged=False):
    random_state, settings = np.random.RandomState(seed), Settings(judged=judged)
    return source_of(source)._fit(X, Y, settings, sample_weight, random_state)


def make_pairs(n, n_context=2, n_targets=1, seed=0):
    rng = np.random.default_rng(seed)
    X, noise = rng.normal(size=(n, n_context)), rng.normal(size=(n, n_targets))
    return X, np.tanh(X[:, :1]) + 0.3 * noise


def fit(X, Y, network=QUICK, sample_weight=None, seed=0):
    return learn(network, X, Y, sample_weight, seed)


def answer(*args, **params):
    """Return all that a fit decides, as bytes."""
    fitted = fit(*args, **params)
    return fitted.held_out.tobytes() + fitted.model.heads(args[0]).means.tobytes()


class Spy(Callback):
    """Counts batches."""

    n_batches = 0

    def on_batch_end(self, net, **kwargs):
        self.n_batches += 1


@pytest.mark.parametrize("n_targets", [1, 3])
@pytest.mark.parametrize("n_samples", [2, 3, 9, 60])
def test_answers_are_finite(n_samples, n_targets):
    X, Y = make_pairs(n_samples, n_targets=n_targets)
    fitted = fit(X, Y)
    mixture = fitted.model.predict_mixture(100 * X)
    assert mixture.means.shape == (n_samples, 15, n_targets)
    assert np.isfinite(mixture.log_prob(Y)).all()
    assert np.isfinite(fitted.held_out).all()
    assert fitted.info["n_iter"] == len(fitted.info["loss_curve"]) == 30
    assert fitted.complaint == ""


@pytest.mark.parametrize(
    ("X", "Y"),
    [
        (np.zeros((6, 1)), np.zeros((6, 1))),
        (np.zeros((6, 1)), np.arange(6.0)[:, None]),
        (np.array([[0.0], [1.0]] * 3), np.zeros((6, 2))),
    ],
    ids=["all equal", "equal contexts", "two contexts"],
)
def test_repeated_rows_are_no_trouble(X, Y):
    fitted = fit(X, Y)
    assert np.isfinite(fitted.held_out).all()
    assert np.isfinite(fitted.model.predict_mixture(X).log_prob(Y)).all()


def test_it_learns_mean_and_noise():
    X, Y = make_pairs(400)
    Z, targets = make_pairs(1000, seed=1)
    truth = -0.5 * np.log(2 * np.pi * np.e * 0.09)
    fitted = fit(X, Y, SHORT)
    score = fitted.model.predict_mixture(Z).log_prob(targets).mean()
    assert score > truth - 0.1
    assert score - 0.15 < fitted.held_out.mean() < score + 0.1


def test_it_learns_correlations():
    rng = np.random.default_rng(0)
    X, common = rng.normal(size=(400, 1)), rng.normal(size=(400, 1))
    Y = X * common + 0.1 * rng.normal(size=(400, 2))
    full, diag = (
        fit(X, Y, changed(SHORT, n_components=2, covariance_type=kind))
        for kind in ("full", "diag")
    )
    assert full.held_out.mean() > diag.held_out.mean() + 0.2


def test_held_out_rows_are_unseen_by_those_who_judge_them():
    X, Y = make_pairs(60)
    fitted = fit(X, Y)
    moved = Y.copy()
    moved[7] += 50.0
    again = fit(X, moved)
    fold = assign_folds(X, Y, np.random.RandomState(0))
    heads, others = fitted.model.heads(X[[7]]), again.model.heads(X[[7]])
    same = [np.array_equal(*m) for m in zip(heads.means, others.means, strict=True)]
    assert sum(same) <= 1  # who is judged by the row may keep other parameters
    judge = fitted.model.heads(X).log_prob(Y)
    own = np.arange(5)[:, None] == fold
    assert_allclose(fitted.held_out, judge.T[own.T])


@pytest.mark.parametrize("n_members", [1, 2, 7])
def test_rows_that_all_members_saw_have_no_held_out_density(n_members):
    X, Y = make_pairs(50)
    fitted = fit(X, Y, changed(QUICK, n_members=n_members))
    assert np.isfinite(fitted.held_out).sum() == 10 * min(n_members, 5)
    assert fitted.model.predict_mixture(X).n_components == 3 * n_members


def test_copies_share_a_fold():
    X, Y = make_pairs(40)
    rng = np.random.RandomState(0)
    fold = assign_folds(np.vstack([X, X[:10]]), np.vstack([Y, -Y[:10]]), rng)
    assert_array_equal(fold[40:], fold[:10])
    fold = assign_folds(np.vstack([X] * 3), np.vstack([Y] * 3), rng)
    assert_array_equal(fold[:40], fold[40:80])


def test_categories_are_in_all_folds():
    X = np.arange(50.0)[:, None] % 2
    fold = assign_folds(X, make_pairs(50)[1], np.random.RandomState(0))
    assert all(len(set(fold[X[:, 0] == category])) == 5 for category in (0, 1))


def test_weights_count():
    X, Y = make_pairs(200)
    Y[::2] += 3
    weight = np.where(np.arange(200) % 2, 1.0, 1e-6)
    heavy = fit(X, Y, SHORT, weight).model.predict_mixture(X).mean
    assert abs(heavy[:, 0] - np.tanh(X[:, 0])).mean() < 0.3
    assert answer(X, Y, sample_weight=weight) == answer(X, Y, sample_weight=3 * weight)


def test_missing_contexts_and_single_rows_are_refused():
    X, Y = make_pairs(10)
    with pytest.raises(ValueError, match=r"n_samples=1; .*at least 2"):
        fit(X[:1], Y[:1])
    model = fit(X, Y).model
    X[3, 0] = np.nan
    with pytest.raises(ValueError, match=r"missing values.*Impute"):
        fit(X, Y)
    with pytest.raises(ValueError, match="missing values"):
        model.predict_mixture(X)


def test_every_covariance_type_has_an_answer():
    X, Y = make_pairs(10, n_targets=2)
    for kind in ("full", "diag"):
        fitted = fit(X, Y, changed(QUICK, max_iter=2, covariance_type=kind))
        assert fitted.model.predict_mixture(X).covariance_type == kind


def test_callbacks_hear_of_batches_and_change_nothing():
    X, Y = make_pairs(50)
    spy = Spy()
    network = changed(QUICK, batch_size=16)
    told = changed(network, trainer={"callbacks": [spy]})
    assert answer(X, Y, told) == answer(X, Y, network)
    assert spy.n_batches == 30


def test_net_params_win():
    X, Y = make_pairs(50)
    sgd = {"optimizer": torch.optim.SGD}
    assert answer(X, Y, changed(QUICK, trainer=sgd)) != answer(X, Y)


def test_same_seed_same_bits_from_threads():
    X, Y = make_pairs(50)
    expected = answer(X, Y)
    before = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(lambda _: answer(X, Y), range(4)))
    assert answers == {expected}
    assert torch.equal(torch.get_rng_state(), before)
    assert answer(X, Y, seed=1) != expected


def test_prediction_needs_no_torch(tmp_path):
    X, Y = make_pairs(30)
    model = fit(X, Y).model
    assert isinstance(model, NetworkConditional)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps((model, X)))
    code = (
        f"import pickle, sys; model, X = pickle.load(open({str(path)!r}, 'rb')); "
        "print(model.predict_mixture(X).mean.sum(), 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    mean, loaded = done.stdout.split()
    assert float(mean) == pytest.approx(model.predict_mixture(X).mean.sum())
    assert loaded == "False"
    assert len(path.read_bytes()) < 50_000


def test_rows_do_not_depend_on_each_other():
    X, Y = make_pairs(30)
    model = fit(X, Y).model
    many = model.predict_mixture(np.tile(X, (200, 1)))
    assert_allclose(many.means[-30:], model.predict_mixture(X).means, rtol=1e-5)


def test_gain_is_that_of_fresh_targets_of_the_ensemble():
    X, Y = make_pairs(300)
    model = fit(X, Y).model
    generator = np.random.default_rng(1)
    draws = model.predict_mixture(X).sample(50, generator)[0]
    pooled = np.stack([model.predict_mixture(X).log_prob(Y) for Y in draws])
    alone = np.stack([model.heads(X).log_prob(Y) for Y in draws], axis=1)
    gain = model.gain(X, np.random.RandomState(0))
    expected = np.minimum(pooled - alone, 1.0).mean()
    assert gain == pytest.approx(expected, rel=0.3)
    assert gain > 0
    assert model.member(0).gain(X, np.random.RandomState(0)) == pytest.approx(0.0)


# Joint mixtures that are a memory bank of weighted rows -------------------------------


def _crossing(n_rows, seed):
    """Return pairs with y = x or y = -x, in nearly standard units."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.7, 1.7, size=(n_rows, 1))
    sign = np.where(rng.random((n_rows, 1)) < 0.5, 1.0, -1.0)
    return X, sign * X + 0.1 * rng.normal(size=(n_rows, 1))


def _truth(X, Y):
    scaled = (Y - X * np.array([1.0, -1.0])) / 0.1
    density = np.exp(-(scaled**2) / 2).mean(axis=1) / (0.1 * np.sqrt(2 * np.pi))
    return np.log(density).mean()


def _fit(X, Y, sample_weight=None, seed=0, judged=False, **params):
    return learn(MemoryBank(**params), X, Y, sample_weight, seed, judged)


def _score(fit, X, Y):
    return fit.model.predict_mixture(X).log_prob(Y).mean()


def test_it_comes_near_the_truth_and_knows_by_how_much():
    X, Y = _crossing(1500, 0)
    held_X, held_Y = _crossing(2000, 1)
    fit = _fit(X, Y)
    score = _score(fit, held_X, held_Y)
    assert score > _truth(held_X, held_Y) - 0.12
    judged = np.isfinite(fit.held_out)
    assert fit.held_out[judged].mean() == pytest.approx(score, abs=0.1)


def test_without_em_it_is_particles_of_one_spherical_kernel():
    X, Y = _crossing(800, 0)
    fit = _fit(X, Y, n_components=200, max_iter=0)
    mixture = fit.model.mixture
    assert fit.held_out is None
    assert mixture.covariance_type == "spherical"
    assert_allclose(mixture.covariances, mixture.covariances[0])
    rows = np.hstack([X, Y])
    assert all((mean == rows).all(axis=1).any() for mean in mixture.means)
    assert mixture.weights.std() > 0


def test_the_stream_sets_better_weights_than_a_queue():
    X, Y = _crossing(3000, 0)
    held_X, held_Y = _crossing(2000, 1)
    bank = _fit(X, Y, n_components=200, max_iter=0)
    queue = _fit(X[:200], Y[:200], n_components=200, max_iter=0)
    assert _score(bank, held_X, held_Y) > _score(queue, held_X, held_Y) + 0.02


def test_the_same_seed_gives_the_same_mixture():
    X, Y = _crossing(300, 0)
    first, second = (_fit(X, Y, n_components=50) for _ in range(2))
    assert first.info["n_iter"] == second.info["n_iter"]
    assert_array_equal(first.model.mixture.means, second.model.mixture.means)


def test_weights_of_zero_count_for_nothing():
    X, Y = _crossing(400, 0)
    weight = (X[:, 0] > 0).astype(float)
    mixture = _fit(X, Y, weight, n_components=50, max_iter=1).model.mixture
    assert mixture.means[:, 0].min() > 0


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_covariance_types(covariance_type):
    X, Y = _crossing(200, 0)
    fit = _fit(
        X,
        Y,
        n_components=40,
        covariance_type=covariance_type,
        judged=True,
        max_iter=2,
    )
    assert fit.model.mixture.covariance_type == covariance_type
    assert np.isfinite(fit.held_out).all()


def test_other_covariance_types_are_refused():
    with pytest.raises(ValueError, match=r"covariance_type.*'diag'.* Got 'tied'"):
        _fit(*_crossing(50, 0), covariance_type="tied")


def test_particles_are_complete_rows():
    X, Y = _crossing(300, 0)
    X = np.hstack([X, X**2])
    X[::3, 0] = np.nan
    fit = _fit(X, Y, n_components=50)
    assert np.isfinite(fit.held_out).all()
    assert np.isfinite(fit.model.predict_mixture(X[:9]).log_prob(Y[:9])).all()
    assert fit.complaint == ""


def test_incomplete_contexts_are_said():
    X, Y = _crossing(50, 0)
    X = np.hstack([np.full_like(X, np.nan), X])
    fit = _fit(X, Y)
    assert "complete" in fit.complaint
    assert np.isfinite(fit.model.predict_mixture(X).log_prob(Y)).all()


@pytest.mark.parametrize("n_rows", [1, 2, 3, 6, 12])
def test_few_rows(n_rows):
    X, Y = _crossing(n_rows, 0)
    fit = _fit(X, Y)
    assert np.isfinite(fit.model.predict_mixture(X).log_prob(Y)).all()


# Joint mixtures that begin as a neural gas --------------------------------------------


def gas_crossing(n_rows, seed):
    """Return pairs with y = x or y = -x, in nearly standard units."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.7, 1.7, size=(n_rows, 1))
    sign = np.where(rng.random((n_rows, 1)) < 0.5, 1.0, -1.0)
    return X, sign * X + 0.1 * rng.normal(size=(n_rows, 1))


def gas_truth(X, Y):
    scaled = (Y - X * np.array([1.0, -1.0])) / 0.1
    density = np.exp(-(scaled**2) / 2).mean(axis=1) / (0.1 * np.sqrt(2 * np.pi))
    return np.log(density).mean()


def gas_fit(X, Y, sample_weight=None, seed=0, judged=False, **params):
    return learn(NeuralGas(**params), X, Y, sample_weight, seed, judged)


def test_gas_it_comes_near_the_truth_and_knows_by_how_much():
    X, Y = gas_crossing(1500, 0)
    held_X, held_Y = gas_crossing(2000, 1)
    fit = gas_fit(X, Y)
    score = fit.model.predict_mixture(held_X).log_prob(held_Y).mean()
    assert score > gas_truth(held_X, held_Y) - 0.06
    judged = np.isfinite(fit.held_out)
    assert judged.mean() > 0.3
    assert fit.held_out[judged].mean() == pytest.approx(score, abs=0.1)
    assert len(fit.info["cv_results"]["params"]) > 10


def test_gas_the_same_seed_gives_the_same_mixture():
    X, Y = gas_crossing(300, 0)
    first, second = (gas_fit(X, Y, n_components=6, shrinkage=2.0) for _ in range(2))
    assert first.held_out is None
    assert_array_equal(first.model.mixture.means, second.model.mixture.means)


def test_gas_weights_of_zero_count_for_nothing():
    X, Y = gas_crossing(400, 0)
    weight = (X[:, 0] > 0).astype(float)
    mixture = gas_fit(X, Y, weight, n_components=5, shrinkage=2.0).model.mixture
    assert mixture.means[:, 0].min() > 0


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_gas_covariance_types(covariance_type):
    X, Y = gas_crossing(200, 0)
    fit = gas_fit(
        X, Y, n_components=4, covariance_type=covariance_type, judged=True, max_iter=5
    )
    assert fit.model.mixture.covariance_type == covariance_type
    assert np.isfinite(fit.held_out).all()


def test_missing_contexts_are_learned_from():
    X, Y = gas_crossing(300, 0)
    X = np.hstack([X, X**2])
    X[::3, 0] = np.nan
    fit = gas_fit(X, Y, n_components=5)
    assert np.isfinite(fit.held_out).all()
    assert np.isfinite(fit.model.predict_mixture(X[:9]).log_prob(Y[:9])).all()


@pytest.mark.parametrize("n_rows", [1, 2, 3, 6, 12])
def test_gas_few_rows(n_rows):
    X, Y = gas_crossing(n_rows, 0)
    fit = gas_fit(X, Y)
    assert np.isfinite(fit.model.predict_mixture(X).log_prob(Y)).all()


def test_one_component_needs_no_gas():
    X, Y = gas_crossing(50, 0)
    mixture = gas_fit(X, Y, n_components=1).model.mixture
    assert_allclose(mixture.means[0], np.hstack([X, Y]).mean(axis=0), atol=1e-6)


# Linear pools of conditional densities ------------------------------------------------


def make_model(rng, n_context, n_targets, covariance_type="full"):
    d = n_context + n_targets
    covariances = {
        "full": np.stack([np.cov(rng.normal(size=(d, 3 * d))) for _ in range(3)]),
        "diag": rng.uniform(0.5, 2, size=(3, d)),
        "spherical": rng.uniform(0.5, 2, size=3),
    }[covariance_type]
    mixture = Mixture(
        np.full(3, 1 / 3), rng.normal(size=(3, d)), covariances, covariance_type
    )
    return JointConditional(mixture, n_context)


@pytest.mark.parametrize("types", [("full", "diag"), ("diag", "spherical")])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_pool_is_the_weighted_mean_of_the_densities(rng, n_targets, types):
    models = tuple(make_model(rng, 2, n_targets, kind) for kind in types)
    pool = PooledConditional(np.array([0.3, 0.7]), models)
    X, Y = rng.normal(size=(5, 2)), rng.normal(size=(5, n_targets))
    each = [np.exp(model.predict_mixture(X).log_prob(Y)) for model in models]
    mixture = pool.predict_mixture(X)
    assert mixture.n_components == 6
    assert_allclose(np.exp(mixture.log_prob(Y)), 0.3 * each[0] + 0.7 * each[1])


def test_auto_is_a_pool_of_two_words():
    auto, pool = source_of("auto"), source_of(["prototypes", "network"])
    assert [*map(repr, auto.parts)] == [*map(repr, pool.parts)]
    assert [part.name for part in auto.parts] == ["prototypes", "network"]


def test_models_of_no_weight_are_not_asked(rng):
    model = make_model(rng, 2, 1)
    pool = PooledConditional(np.array([1.0, 0.0]), (model, None))
    X = rng.normal(size=(4, 2))
    assert_array_equal(pool.predict_mixture(X).means, model.predict_mixture(X).means)


def test_weights_maximise_the_held_out_density(rng):
    log_densities = rng.normal(size=(300, 2))

    def score(weights):
        return np.log(np.exp(log_densities) @ weights).mean()

    best = pool(log_densities)
    assert best.sum() == pytest.approx(1.0)
    grid = [np.array([w, 1 - w]) for w in np.linspace(0, 1, 101)]
    assert score(best) >= max(map(score, grid)) - 1e-6


def test_small_weights_become_zero(rng):
    good = rng.normal(size=200)
    others = good[:, None] - rng.uniform(1, 2, size=(200, 2))
    weights = pool(np.column_stack([others, good]))
    assert_array_equal(weights, [0.0, 0.0, 1.0])


def test_equal_models_get_equal_weights():
    assert_allclose(pool_weights(np.zeros((10, 4))), 0.25)


def test_row_weights_count_as_copies(rng):
    log_densities = rng.normal(size=(50, 3))
    counts = rng.integers(0, 4, size=50)
    copies = pool_weights(np.repeat(log_densities, counts, axis=0))
    assert_allclose(pool_weights(log_densities, counts), copies, atol=1e-4)


def test_extreme_densities_are_no_trouble():
    log_densities = np.array([[-1e4, -1e4 - 1], [1e4, 0], [-np.inf, 3], [-np.inf] * 2])
    weights = pool_weights(log_densities)
    assert np.isfinite(weights).all()
    assert weights.min() > 0
    assert_allclose(pool_weights(np.full((3, 2), -np.inf)), 0.5)


# Sources of components that take less where there are many features -------------------


def test_networks_of_many_targets_are_smaller_and_stop_sooner(rng):
    plain, warms_up = MixtureNetwork(), True
    few, many = (make_schedule(400, d, plain, warms_up).max_iter for d in (8, 9))
    assert many == few // 3
    network = MixtureNetwork(max_iter=2, n_members=1, hidden_layer_sizes=(4,))
    X, Y = rng.normal(size=(2, 40, 9))
    n_components = [
        fit(X, Y[:, :d], network).model.predict_mixture(X).n_components for d in (8, 9)
    ]
    assert n_components == [5, 1]


def test_banks_of_many_features_are_small(rng):
    sizes = []
    for n_features in (2, 12):
        X, Y = rng.normal(size=(2, 500, n_features))
        fit = _fit(X, Y, max_iter=1, judged=True)
        tried = fit.info["cv_results"]["param_n_components"]
        sizes.append(sorted(set(tried)))
    assert sizes == [[100, 300, 1000], [100]]

"""Ensembles of mixture density networks as conditional densities."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback

from skgmje.conditional._models import NetworkConditional, assign_folds
from skgmje.conditional._sources import Settings
from skgmje.conditional._torch_sources import fit_network, head_type
from skgmje.gaussian import COVARIANCE_TYPES

QUICK = Settings(max_iter=30, n_components=3, hidden_layer_sizes=(8,))
SHORT = replace(QUICK, max_iter=300, hidden_layer_sizes=(32,))


def make_pairs(n, n_context=2, n_targets=1, seed=0):
    rng = np.random.default_rng(seed)
    X, noise = rng.normal(size=(n, n_context)), rng.normal(size=(n, n_targets))
    return X, np.tanh(X[:, :1]) + 0.3 * noise


def fit(X, Y, settings=QUICK, sample_weight=None, seed=0):
    return fit_network(X, Y, settings, sample_weight, np.random.RandomState(seed))


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
    assert fitted.trouble == ""


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
        fit(X, Y, replace(SHORT, n_components=2, covariance_type=kind))
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
    fitted = fit(X, Y, replace(QUICK, n_members=n_members))
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
    for kind in ("auto", *COVARIANCE_TYPES):
        fitted = fit(X, Y, replace(QUICK, max_iter=2, covariance_type=kind))
        assert fitted.model.predict_mixture(X).covariance_type == head_type(kind)


def test_callbacks_hear_of_batches_and_change_nothing():
    X, Y = make_pairs(50)
    spy = Spy()
    settings = replace(QUICK, batch_size=16)
    assert answer(X, Y, replace(settings, callbacks=[spy])) == answer(X, Y, settings)
    assert spy.n_batches == 30


def test_net_params_win():
    X, Y = make_pairs(50)
    sgd = {"optimizer": torch.optim.SGD}
    assert answer(X, Y, replace(QUICK, net_params=sgd)) != answer(X, Y)


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

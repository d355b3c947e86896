"""Members: what they hold out is what a fit without the rows would say."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

# Inside: what a member holds out is seen before it is pooled.
from skgmje.conditional._member_process import JITTER, Process, _loss, fit_processes
from skgmje.conditional._member_trees import (
    _bins,
    _boosters,
    _join,
    fit_boosting,
    fit_forests,
)
from skgmje.conditional._members import Samples
from skgmje.conditional._stack_model import (
    Calibration,
    calibrate,
    crps_terms,
    stack_weights,
)
from skgmje.gaussian import Mixture
from skgmje.metrics import crps


def make_rows(n=60, n_features=2, n_targets=1, group=None, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n, n_features))
    Y = np.sin(2 * X[:, :1]) + 0.3 * rng.normal(size=(n, n_targets))
    group = np.arange(n) if group is None else group
    fold = rng.permutation(group.max() + 1)[group] % 5
    return Samples(X, (Y - Y.mean(0)) / Y.std(0), np.ones(n), group, fold, X)


def make_process(rows, params):
    return Process(params, rows.X, rows.Y[:, 0], rows.weight, (0.0, 1.0))


PARAMS = np.array([-0.3, -1.0, -2.0, 0.2, 0.5])


def test_process_is_scikit_learns():
    rows = make_rows()
    a, b, v, *lengths = np.exp(PARAMS)
    kernel = (
        ConstantKernel(a) * RBF(lengths)
        + ConstantKernel(b) * Matern(lengths, nu=1.5)
        + WhiteKernel(v)
    )
    peer = GaussianProcessRegressor(kernel, alpha=JITTER, optimizer=None)
    peer.fit(rows.X, rows.Y[:, 0])
    X = make_rows(seed=1).X
    mean, std = make_process(rows, PARAMS).predict(X)
    expected = peer.predict(X, return_std=True)
    assert_allclose(mean, expected[0], atol=1e-6)
    assert_allclose(std, expected[1], rtol=1e-4)
    loss = _loss(PARAMS, rows.X, rows.Y[:, 0], rows.weight)[0] * 60
    constant = 60 * 1e-3 * np.mean((PARAMS[3:] - 1) ** 2) - 30 * np.log(2 * np.pi)
    assert_allclose(loss - constant, -peer.log_marginal_likelihood_value_, atol=1e-2)


@pytest.mark.parametrize("n_params", [4, 5])
def test_gradient_of_the_likelihood(n_params):
    rows = make_rows(30)
    weight = np.random.RandomState(0).uniform(0.5, 2, 30)
    args = rows.X, rows.Y[:, 0], weight
    params = PARAMS[:n_params]
    numeric = approx_fprime(params, lambda p: _loss(p, *args)[0], 1e-6)
    assert_allclose(_loss(params, *args)[1], numeric, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3])
def test_rows_left_out_in_closed_form(size):
    """Against processes that were never given the group; rows have weights."""
    group = np.arange(24) // size
    rows = make_rows(24, group=group)
    weight = np.random.RandomState(0).uniform(0.5, 2, 24)
    process = make_process(rows, PARAMS)
    process = Process(PARAMS, process.X, process.t, weight, (0.0, 1.0))
    mean, std = process.held_out(group)
    for g in range(group.max() + 1):
        kept = group != g
        other = Process(PARAMS, rows.X[kept], rows.Y[kept, 0], weight[kept], (0.0, 1.0))
        expected = other.predict(rows.X[~kept])
        assert_allclose(mean[~kept], expected[0], atol=1e-8)
        assert_allclose(std[~kept], expected[1], rtol=2e-5)


def test_process_forgets_its_factor_in_pickles():
    process = fit_processes(make_rows(), None, 0).member.processes[0][0]
    size = len(pickle.dumps(process))
    again = pickle.loads(pickle.dumps(process))
    X = make_rows(seed=1).X
    assert_array_equal(again.predict(X), process.predict(X))
    assert len(pickle.dumps(process)) == size < 5000


def test_skewed_targets_have_two_processes():
    rows = make_rows(80)
    Y = np.exp(2 * rows.Y)
    Y = (Y - Y.mean()) / Y.std()
    skewed = Samples(rows.X, Y, rows.weight, rows.group, rows.fold, rows.raw)
    fit = fit_processes(skewed, None, 0)
    assert fit.held_out.means.shape == (80, 1, 2)
    assert fit.held_out.is_finite()
    assert fit.member.predict(rows.X, rows.X).means.shape == (80, 1, 2)


def test_trees_never_ask_a_tree_of_its_own_rows():
    """Targets of noise: out of sample nothing can be known of them."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(200, 3))
    y = rng.normal(size=(200, 1))
    rows = Samples(X, y, np.ones(200), np.arange(200), np.arange(200) % 5, X)
    fit = fit_forests(rows, None, 0)
    honest = np.corrcoef(fit.held_out.means[:, 0, 0], y[:, 0])[0, 1]
    seen = np.corrcoef(fit.member.predict(X, X).means[:, 0, 0], y[:, 0])[0, 1]
    assert seen > 0.8
    assert abs(honest) < 0.25


def test_forest_is_the_mean_of_its_trees():
    rows = make_rows(100)
    forest = fit_forests(rows, None, 0).member.forests[0]
    X = make_rows(40, seed=1).X
    means, variances = forest.bins(X)
    leaves = sparse.csr_matrix(forest.leaves) @ forest.y
    single = leaves[forest.nodes.leaf(X)].mean(axis=1)
    assert_allclose(means.mean(axis=1), single, atol=1e-6)
    assert (variances >= 0).all()
    assert (np.diff(means, axis=1) >= -1e-9).all()


def test_bins_are_equal_parts():
    y = np.sort(np.random.RandomState(0).normal(size=160))
    means, variances = _bins(sparse.csr_matrix(np.full((3, 160), 1 / 160)), y)
    parts = y.reshape(16, 10)
    assert_allclose(means, np.tile(parts.mean(axis=1), (3, 1)), atol=1e-10)
    assert_allclose(variances, np.tile(parts.var(axis=1), (3, 1)), atol=1e-10)


def test_boosted_trees_are_scikit_learns():
    rows = make_rows(80)
    models = _boosters(rows, 0)
    for k, model in enumerate(models):
        kept = rows.fold != k
        model.set_params(max_iter=20).fit(rows.X[kept], rows.Y[kept, 0])
    X = make_rows(40, seed=1).X
    expected = np.mean([model.predict(X) for model in models], axis=0)
    assert_allclose(_join(models, 20).predict(X), expected, atol=1e-10)


def test_boosting_holds_out_folds():
    """Targets of noise: out of sample nothing can be known of them."""
    rng = np.random.RandomState(0)
    X, Y = rng.normal(size=(200, 3)), rng.normal(size=(200, 1))
    rows = Samples(X, Y, np.ones(200), np.arange(200), np.arange(200) % 5, X)
    fit = fit_boosting(rows, None, 0)
    assert abs(np.corrcoef(fit.held_out.means[:, 0, 0], Y[:, 0])[0, 1]) < 0.25
    assert np.corrcoef(fit.member.predict(X, X).means[:, 0, 0], Y[:, 0])[0, 1] > 0.3


def make_mixtures(n=200, seed=0):
    rng = np.random.RandomState(seed)
    y = np.where(rng.uniform(size=n) < 0.7, rng.normal(size=n), rng.normal(4, 0.5, n))
    ones = np.ones((n, 1))
    first = Mixture(ones, np.zeros((n, 1, 1)), np.ones((n, 1, 1)), "diag")
    second = Mixture(ones, 4 * ones[..., None], 0.25 * ones[..., None], "diag")
    return [first, second], y[:, None]


def test_crps_of_a_pool_is_that_of_its_mixture():
    mixtures, Y = make_mixtures()
    a, B = crps_terms(mixtures, Y, np.ones(len(Y)))
    v = np.array([0.4, 0.6])
    pooled = Mixture(
        np.tile(v, (len(Y), 1)),
        np.concatenate([m.means for m in mixtures], axis=1),
        np.concatenate([m.covariances for m in mixtures], axis=1),
        "diag",
    )
    assert_allclose(v @ a - 0.5 * v @ B @ v, crps(Y, pooled), rtol=1e-6)


@pytest.mark.parametrize("crps_weight", [0.0, 3.0])
def test_pool_recovers_weights(crps_weight):
    mixtures, Y = make_mixtures(4000)
    terms = crps_terms(mixtures, Y, np.ones(len(Y)))
    log_prob = np.stack([m.log_prob(Y) for m in mixtures], axis=1)
    weights = stack_weights(log_prob, *terms, np.ones(len(Y)), crps_weight)
    assert_allclose(weights, [0.7, 0.3], atol=0.03)


def test_pool_survives_impossible_rows():
    log_prob = np.array([[-np.inf, -np.inf], [-1.0, -np.inf], [-2.0, -1.0]])
    a, B = np.ones(2), np.ones((2, 2))
    weights = stack_weights(log_prob, a, B, np.ones(3), 3.0)
    assert_allclose(weights.sum(), 1.0)
    assert weights[0] > 0


def test_calibration_finds_the_width():
    rng = np.random.RandomState(0)
    n = 3000
    ones = np.ones((n, 1, 1))
    wide = Mixture(np.ones((n, 1)), 0 * ones, 4 * ones, "diag")
    found = calibrate(wide, rng.normal(size=(n, 1)), np.ones(n))
    assert_allclose(found.width, 0.5, atol=0.03)
    assert_allclose(Calibration().apply(wide).covariances, wide.covariances)


def test_reduced_mixtures_keep_moments():
    rng = np.random.RandomState(0)
    weights = rng.dirichlet(np.ones(20), size=7)
    means, roots = rng.normal(size=(7, 20, 2)), rng.normal(size=(7, 20, 2, 2))
    full = Mixture(weights, means, roots @ np.swapaxes(roots, -1, -2) + np.eye(2))
    diag = Mixture(weights, means[..., :1], roots[..., :1, 0] ** 2 + 0.1, "diag")
    for mixture in (full, diag):
        small = mixture.reduce(5)
        assert small.n_components == 5
        assert_allclose(small.mean, mixture.mean, atol=1e-10)
        assert_allclose(small.covariance, mixture.covariance, atol=1e-10)

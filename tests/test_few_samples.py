"""Densities of few samples of many features, beside a diagonal Gaussian."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_wine

from skgmje import (
    DensityOutlierDetector,
    GaussianMixture,
    GrowingNeuralGasMixture,
    KernelMixtureDensity,
    StackingDensity,
    TransformedDensity,
)
from skgmje.compose import MarginalGaussianizer, ResidualCoordinates
from skgmje.mixture._gaussian_mixture import leave_one_out

AUTO = {"covariance_type": "auto", "shrinkage": "auto"}
# Nats per feature that an estimator may be below; few seeds leave some chance to the
# quick run, which the slow one does not need.
BAR, QUICK_BAR = 0.1, 0.2

DENSITIES = {
    "all auto": lambda s: GaussianMixture(
        "auto", **AUTO, reg_covar="auto", random_state=s
    ),
    "covariance_type": lambda s: GaussianMixture(
        covariance_type="auto", random_state=s
    ),
    "shrinkage": lambda s: GaussianMixture(shrinkage="auto", random_state=s),
    "tied": lambda s: GaussianMixture(
        covariance_type="tied", shrinkage="auto", random_state=s
    ),
    "low-rank": lambda s: GaussianMixture(
        covariance_type="low-rank", shrinkage="auto", random_state=s
    ),
    "gas": lambda s: GrowingNeuralGasMixture(random_state=s),
    "gas auto": lambda s: GrowingNeuralGasMixture("auto", **AUTO, random_state=s),
    "stack": lambda s: StackingDensity(random_state=s),
    "stack residual": lambda s: StackingDensity(spaces=("residual",), random_state=s),
    "marginal": lambda s: TransformedDensity(
        MarginalGaussianizer(), GaussianMixture("auto", **AUTO, random_state=s)
    ),
    "residual": lambda s: TransformedDensity(
        ResidualCoordinates(), GaussianMixture("auto", **AUTO, random_state=s)
    ),
    "detector": lambda s: DensityOutlierDetector(random_state=s),
}
SLOW_DENSITIES = {
    "kernel": lambda s: KernelMixtureDensity(random_state=s),
    "stack thorough": lambda s: StackingDensity(effort="thorough", random_state=s),
}


def normal(n, d, rng):
    return rng.standard_normal((n, d))


def correlated(n, d, rng):
    loadings = np.random.default_rng(d).standard_normal((2, d))
    return rng.standard_normal((n, 2)) @ loadings + 0.3 * rng.standard_normal((n, d))


def heavy_tailed(n, d, rng):
    return rng.standard_normal((n, d)) / np.sqrt(rng.chisquare(3, (n, 1)) / 3)


def real(load):
    def draw(n, d, rng):
        table = load().data
        features = rng.permutation(table.shape[1])[:d]
        return table[rng.permutation(len(table))[:n]][:, features]

    return draw


KINDS = {
    "normal": normal,
    "correlated": correlated,
    "heavy-tailed": heavy_tailed,
    "breast cancer": real(load_breast_cancer),
    "wine": real(load_wine),
}


def diagonal_score(X, new):
    mean, variance = X.mean(axis=0), X.var(axis=0)
    squares = (new - mean) ** 2 / variance
    return -0.5 * (squares + np.log(2 * np.pi * variance)).sum(axis=1).mean()


def gap(make, kind, n, d, seed):
    """Return nats per feature above the diagonal Gaussian."""
    rows = KINDS[kind](n + 110, d, np.random.default_rng([seed, n, d]))
    X, new = rows[:n], rows[n:]
    with warnings.catch_warnings():
        # Columns of real sets have ties, and transformers of few rows say so.
        warnings.simplefilter("ignore")
        return (make(seed).fit(X).score(new) - diagonal_score(X, new)) / X.shape[1]


@pytest.mark.parametrize("kind", ["normal", "breast cancer"])
@pytest.mark.parametrize("name", DENSITIES)
def test_no_automatic_choice_is_far_below_a_diagonal_gaussian(name, kind):
    assert gap(DENSITIES[name], kind, 16, 20, 0) > -QUICK_BAR


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["shrinkage", "tied", "stack", "covariance_type"])
def test_the_bar_over_twenty_seeds(name, kind):
    for n, d in ((5, 2), (8, 5), (12, 12), (30, 6), (20, 50), (60, 13)):
        gaps = [gap(DENSITIES[name], kind, n, d, seed) for seed in range(20)]
        assert np.mean(gaps) > -BAR, (n, d, np.mean(gaps))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "heavy-tailed", "wine"])
@pytest.mark.parametrize("name", SLOW_DENSITIES)
def test_the_slow_ones(name, kind):
    for n, d in ((6, 3), (20, 25), (40, 10)):
        gaps = [gap(SLOW_DENSITIES[name], kind, n, d, seed) for seed in range(2)]
        assert np.mean(gaps) > -QUICK_BAR, (n, d, gaps)


def test_plain_settings_warn_with_figures_and_the_remedy():
    X = np.random.default_rng(0).normal(size=(20, 50))
    message = "n_samples=20 .* n_features=50 .* nats.*covariance_type='auto'"
    with pytest.warns(UserWarning, match=message) as caught:
        GaussianMixture().fit(X)
    assert len(caught) == 1
    for params in (AUTO, {"shrinkage": "auto"}, {"covariance_type": "diag"}):
        GaussianMixture(**params).fit(X)


def test_ordinary_data_do_not_warn():
    for n, d in ((30, 2), (50, 4), (100, 10)):
        GaussianMixture().fit(np.random.default_rng(0).normal(size=(n, d)))


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


@pytest.mark.parametrize("kind", ["full", "tied", "low-rank"])
def test_correlations_shrink_to_zero_with_the_rows_of_the_shrinkage(kind):
    X = correlated(30, 6, np.random.default_rng(0))
    largest = []
    for shrinkage in (0.0, 20.0, 1e9):
        model = GaussianMixture(covariance_type=kind, shrinkage=shrinkage, rank=2)
        covariance = model.fit(X).mixture_.covariance
        assert_allclose(np.diagonal(covariance), X.var(axis=0), rtol=1e-2)
        scale = np.sqrt(np.diagonal(covariance))
        largest.append(np.abs(covariance / np.outer(scale, scale) - np.eye(6)).max())
    assert largest[0] > largest[1] > 1000 * largest[2]


def test_ten_samples_per_feature_are_left_alone():
    X = correlated(60, 6, np.random.default_rng(0))
    plain, shrunk = (GaussianMixture(shrinkage=s).fit(X) for s in (0, 50))
    assert_allclose(shrunk.covariances_, plain.covariances_, rtol=1e-12)
    assert_array_equal(plain.means_, shrunk.means_)

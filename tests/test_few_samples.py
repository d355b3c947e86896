"""Densities of few samples of many features, beside a diagonal Gaussian."""

import re
import warnings
from importlib import import_module

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from skgmje import (
    ConditionalMixtureDensity,
    DensityOutlierDetector,
    GaussianMixture,
    GrowingNeuralGasMixture,
    KernelMixtureDensity,
    StackingDensity,
    TransformedDensity,
)
from skgmje.compose import MarginalGaussianizer, ResidualCoordinates

AUTO = {"covariance_type": "auto", "shrinkage": "auto"}
FIGURES = re.compile(
    r"left out is about (\S+) nats, that of a diagonal Gaussian (\S+)\."
)
# Nats per feature that the mean over seeds may be below.
BAR, N_NEW = 0.1, 110

DENSITIES = {
    "all auto": lambda s: GaussianMixture(
        "auto", **AUTO, reg_covar="auto", random_state=s
    ),
    "covariance_type": lambda s: GaussianMixture(
        covariance_type="auto", random_state=s
    ),
    "n_components": lambda s: GaussianMixture("auto", random_state=s),
    "reg_covar": lambda s: GaussianMixture(reg_covar="auto", random_state=s),
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
    "kernel": lambda s: KernelMixtureDensity(max_iter=20, random_state=s),
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
        rows = table[rng.permutation(len(table))[:n]]
        # A feature in which one sample alone differs has no spread to compare with.
        differs = rows[: n - N_NEW] != np.median(rows[: n - N_NEW], axis=0)
        varies = np.flatnonzero(differs.sum(axis=0) > 1)
        return rows[:, rng.permutation(varies)[:d]]

    return draw


KINDS = {
    "normal": normal,
    "correlated": correlated,
    "heavy-tailed": heavy_tailed,
    "breast cancer": real(load_breast_cancer),
    "wine": real(load_wine),
    "digits": real(load_digits),
}


def diagonal_score(X, new):
    mean, variance = X.mean(axis=0), X.var(axis=0)
    squares = (new - mean) ** 2 / variance
    return -0.5 * (squares + np.log(2 * np.pi * variance)).sum(axis=1).mean()


def gap(make, kind, n, d, seed):
    """Return nats per feature above the diagonal Gaussian."""
    rows = KINDS[kind](n + N_NEW, d, np.random.default_rng([seed, n, d]))
    X, new = rows[:n], rows[n:]
    with warnings.catch_warnings():
        # Columns of real sets have ties, and transformers of few rows say so.
        warnings.simplefilter("ignore")
        return (make(seed).fit(X).score(new) - diagonal_score(X, new)) / X.shape[1]


QUICK_SIZES, QUICK_SEEDS = ((5, 2), (9, 4), (30, 10)), 2


@pytest.mark.parametrize(
    "kind", ["correlated", pytest.param("digits", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", DENSITIES)
def test_no_automatic_choice_is_far_below_a_diagonal_gaussian(name, kind, request):
    if (name, kind) == ("residual", "digits"):
        reason = "regressions of features that are mostly zero are 4 nats below in one"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    for n, d in QUICK_SIZES:
        gaps = [gap(DENSITIES[name], kind, n, d, seed) for seed in range(QUICK_SEEDS)]
        assert np.mean(gaps) > -BAR, (n, d, gaps)


# Small samples differ most from seed to seed.
SEEDS = {(5, 2): 6, (8, 5): 6, (12, 12): 6, (30, 6): 6, (20, 50): 2, (60, 20): 2}
# Where a diagonal Gaussian is hard to beat. It is easy where features are correlated,
# which the quick test has, and `test_stacks` has the other table.
HARD_KINDS = ("normal", "heavy-tailed", "breast cancer", "digits")


@pytest.mark.slow
@pytest.mark.parametrize("kind", HARD_KINDS)
@pytest.mark.parametrize("name", ["shrinkage", "n_components", "all auto", "gas"])
def test_the_bar_over_many_seeds(name, kind):
    for (n, d), n_seeds in SEEDS.items():
        gaps = [gap(DENSITIES[name], kind, n, d, seed) for seed in range(n_seeds)]
        assert np.mean(gaps) > -BAR, (n, d, np.mean(gaps))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "heavy-tailed", "wine"])
@pytest.mark.parametrize("name", [*SLOW_DENSITIES, "stack"])
def test_stacks(name, kind):
    make = (DENSITIES | SLOW_DENSITIES)[name]
    for n, d in ((6, 3), (20, 25), (40, 10)):
        gaps = [gap(make, kind, n, d, seed) for seed in range(4)]
        assert np.mean(gaps) > -BAR, (n, d, gaps)


# So few samples are told of.
@pytest.mark.filterwarnings("ignore:ConditionalMixtureDensity. Rows that were held")
@pytest.mark.filterwarnings("ignore:ConditionalMixtureDensity. Held-out")
def test_a_conditional_gas_of_few_samples_is_near_the_targets_own_gaussian():
    gaps = []
    for seed in range(4):
        rows = np.random.default_rng(seed).normal(size=(206, 3))
        X, y = rows[:, :2], rows[:, 2]
        density = ConditionalMixtureDensity("neural-gas", random_state=seed)
        score = density.fit(X[:6], y[:6]).score(X[6:], y[6:])
        gaps.append(score - diagonal_score(y[:6, None], y[6:, None]))
    assert np.mean(gaps) > -0.3, gaps


def test_plain_settings_warn_with_figures_and_the_remedy():
    X = np.random.default_rng(0).normal(size=(20, 50))
    message = "n_samples=20 .* n_features=50 .* nats.*covariance_type='auto'"
    with pytest.warns(UserWarning, match=message) as caught:
        GaussianMixture().fit(X)
    assert len(caught) == 1
    for params in (AUTO, {"shrinkage": "auto"}, {"covariance_type": "diag"}):
        GaussianMixture(**params).fit(X)


@pytest.mark.parametrize("kind", ["full", "tied", "low-rank"])
@pytest.mark.parametrize("missing", [False, True])
def test_all_plain_covariances_warn(kind, missing):
    X = np.random.default_rng(0).normal(size=(20, 50))
    X[0, 0] = np.nan if missing else 0.0
    with pytest.warns(UserWarning, match="n_samples=20 are few"):
        GaussianMixture(covariance_type=kind).fit(X)


@pytest.mark.parametrize("kind", ["normal", "correlated"])
def test_folds_end_where_no_warning_is_due(kind, monkeypatch):
    fits, place = [], "skgmje.mixture._few_samples.held_out_fit"
    held_out_fit = import_module(place.rpartition(".")[0]).held_out_fit
    monkeypatch.setattr(place, lambda *args: fits.append(1) or held_out_fit(*args))
    X = KINDS[kind](100, 50, np.random.default_rng(0))
    settings = {"covariance_type": "low-rank", "rank": 4, "random_state": 0}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GaussianMixture(5, **settings).fit(X)
    # Of five folds, each of which is fitted twice.
    due = any("are few for" in str(warning.message) for warning in caught)
    assert (due, len(fits)) == {"normal": (True, 10), "correlated": (False, 2)}[kind]


@pytest.mark.parametrize("kind", ["heavy-tailed", "correlated"])
@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        (AUTO, r"diagonal Gaussian .*\d\. Lower n_components"),
        ({"covariance_type": "auto"}, "Set shrinkage='auto', or lower n_components"),
        ({"shrinkage": "auto"}, "Set covariance_type='auto', or lower n_components"),
    ],
)
def test_several_components_of_few_samples_warn(kind, settings, remedy):
    for seed in range(2):
        rows = KINDS[kind](6 + N_NEW, 10, np.random.default_rng([seed, 6, 10]))
        X, new = rows[:6], rows[6:]
        with pytest.warns(UserWarning, match=remedy) as caught:
            model = GaussianMixture(3, **settings, random_state=0).fit(X)
        assert len(caught) == 1
        figures = [
            float(part) for part in FIGURES.search(str(caught[0].message)).groups()
        ]
        assert figures[0] < figures[1] - 5
        assert model.score(new) < diagonal_score(X, new) - 5
        # What it says helps.
        GaussianMixture("auto", **AUTO, random_state=0).fit(X)


@pytest.mark.parametrize("kind", KINDS)
def test_several_components_that_are_no_worse_are_not_told_of(kind):
    for n, d, size in ((60, 4, 2), (40, 10, 2)):
        X = KINDS[kind](n + N_NEW, d, np.random.default_rng([0, n, d]))[:n]
        GaussianMixture(size, **AUTO, random_state=0).fit(X)


def test_ordinary_data_do_not_warn():
    for n, d in ((30, 2), (50, 4), (100, 10)):
        GaussianMixture().fit(np.random.default_rng(0).normal(size=(n, d)))


@pytest.mark.parametrize("kind", ["full", "tied", "low-rank"])
def test_correlations_shrink_to_zero_with_the_rows_of_the_shrinkage(kind):
    X = correlated(30, 6, np.random.default_rng(0))
    largest = []
    for shrinkage in (0.0, 20.0, 1e9):
        settings = {"shrinkage": shrinkage, "rank": 2, "tol": 1e-7, "max_iter": 2000}
        model = GaussianMixture(covariance_type=kind, **settings)
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

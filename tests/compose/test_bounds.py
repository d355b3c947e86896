"""Columns with bounds: densities in their units, samples inside, clear errors."""

import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.base import clone

from skgmje import GaussianMixture, GaussianMixtureCopula, TransformedDensity
from skgmje.compose import MarginalGaussianizer

RNG = np.random.default_rng(0)
PRICES = np.exp(RNG.normal(size=(400, 1)) + 0.5 * RNG.normal(size=(400, 2)))
X = np.column_stack([PRICES[:, 0], PRICES[:, 1] / (1 + PRICES[:, 1]), -PRICES[:, 0]])
BOUNDS = [(0, None), (0, 1), (None, 0)]
PASS = TransformedDensity("passthrough", GaussianMixture(2, random_state=0))
MODELS = {
    "passthrough": clone(PASS).set_params(bounds=BOUNDS),
    "copula": GaussianMixtureCopula(GaussianMixture(2, random_state=0), bounds=BOUNDS),
}
either = pytest.mark.parametrize("name", MODELS)


@either
def test_nothing_is_outside(name):
    model = clone(MODELS[name]).fit(X)
    samples = model.sample(20_000, random_state=0)[0]
    low, high = np.array([0, 0, -np.inf]), np.array([np.inf, 1, 0])
    assert model.bounds_ == BOUNDS
    assert ((samples > low) & (samples < high)).all()
    assert np.isfinite(model.score_samples(samples)).all()
    for row in ([0, 0.5, -1], [1, 1, -1], [1, -0.1, -1], [1, 0.5, 0], [1, 0.5, 2]):
        assert model.score_samples([row]) == -np.inf
    # Rounded to single precision, too.
    single = clone(model).fit(X.astype(np.float32)).sample(20_000, random_state=0)[0]
    assert ((single > low) & (single < high)).all()


@either
@pytest.mark.parametrize("column", range(3))
def test_integrates_to_one_inside(name, column):
    bounds = [BOUNDS[column]]
    model = clone(MODELS[name]).set_params(bounds=bounds).fit(X[:, [column]])
    share = (np.arange(200_000) + 0.5) / 200_000
    if column == 1:
        nodes, weights = share, np.full(len(share), 1 / len(share))
    else:
        u = 40 * share - 20
        nodes, weights = np.exp(u), np.exp(u) * 40 / len(share)
        nodes = nodes if column == 0 else -nodes
    p = np.exp(model.score_samples(nodes[:, None]))
    assert weights @ p == pytest.approx(1, abs=1e-3)


@either
def test_units_do_not_matter(name):
    """Of other units, the density is the same, with the Jacobian."""
    one = clone(MODELS[name]).fit(X)
    moved = [(5, None), (5, 9), (None, 5)]
    other = clone(one).set_params(bounds=moved).fit(4 * X + 5)
    gap = other.score_samples(4 * X + 5) + 3 * np.log(4) - one.score_samples(X)
    assert np.abs(gap).max() < 1e-6


def test_one_bound_is_the_log_normal_and_two_are_normal_scores():
    model = TransformedDensity("passthrough", GaussianMixture(reg_covar=0))
    x = X[:, :1]
    z = np.log(x)
    expected = stats.lognorm(s=z.std(), scale=np.exp(z.mean())).logpdf(x[:, 0])
    half = clone(model).set_params(bounds=[(0, None)]).fit(x)
    assert_allclose(half.score_samples(x), expected)
    uniform = np.random.default_rng(1).uniform(2, 4, size=(50_000, 1))
    scores = clone(model).set_params(bounds=[(2, 4)]).fit(uniform).score_samples
    assert_allclose(scores([[2.001], [3.0], [3.999]]), -np.log(2), atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["copula", "passthrough"])
def test_a_uniform_keeps_its_edges(kind):
    """Mean density of the outer 5 % on each side, over draws of 2000."""
    auto = GaussianMixture("auto", shrinkage="auto", random_state=0)
    model = {
        "copula": GaussianMixtureCopula(GaussianMixture(), bounds=[(0, 1)]),
        "passthrough": TransformedDensity("passthrough", auto, bounds=[(0, 1)]),
    }[kind]
    strip = (np.arange(50)[:, None] + 0.5) / 1000
    means, plain = [], []
    for seed in range(40 if kind == "copula" else 16):
        rows = np.random.default_rng(seed).uniform(size=(2000, 1))
        model.fit(rows)
        means.append(
            [np.exp(model.score_samples(s)).mean() for s in (strip, 1 - strip)]
        )
        if seed < 5:
            free = GaussianMixture(5, random_state=0).fit(rows)
            plain.append(np.exp(free.score_samples(strip)).mean())
    assert_allclose(np.mean(means, axis=0), 1, atol=0.05)
    assert np.mean(plain) < 0.8


@pytest.mark.parametrize(
    ("law", "bounds"),
    [
        (stats.lognorm(1.0), (0, None)),
        (stats.beta(0.8, 2.0), (0, 1)),
        (stats.beta(2.0, 5.0), (0, 1)),
    ],
    ids=["log-normal", "beta-edge", "beta"],
)
def test_above_a_plain_mixture(law, bounds):
    rows, new = (law.rvs((1000, 1), random_state=s) for s in (0, 1))
    auto = GaussianMixture("auto", shrinkage="auto", random_state=0)
    plain = auto.fit(rows).score(new)
    for model in (
        clone(PASS).set_params(bounds=[bounds]),
        GaussianMixtureCopula(GaussianMixture(), bounds=[bounds]),
    ):
        assert model.fit(rows).score(new) > plain


@either
def test_bounds_by_name(name):
    frame = pd.DataFrame(X, columns=["price", "share", "debt"])
    by_name = dict(zip(frame.columns, BOUNDS, strict=True))
    named = clone(MODELS[name]).set_params(bounds=by_name).fit(frame)
    expected = MODELS[name].fit(X).score_samples(X)
    # Frames lie otherwise in memory.
    assert_allclose(named.score_samples(frame), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="has 'prize', which is none of the columns"):
        clone(named).set_params(bounds={"prize": (0, None)}).fit(frame)
    wrong = frame.assign(share=frame["share"] + 0.5)
    with pytest.raises(ValueError, match=r"Sample \d+ of X, .* in column 'share', whi"):
        clone(named).fit(wrong)


@either
@pytest.mark.parametrize(
    ("bounds", "match"),
    [
        ([(0, None), (1, 0), None], r"\(1, 0\) of column 1 must be None or a pair"),
        ([(0, None), (1, 1), None], r"\(1, 1\) of column 1 must be None or a pair"),
        ([(0, None), (0, np.nan), None], "low < high"),
        ([(0, None), (0, 1, 2), None], "low < high"),
        ([(0, None), "ab", None], "low < high"),
        ([(0, None), 3, None], "low < high"),
        ([(0, None)], "has 1 entries, but X has 3 columns"),
        ({3: (0, 1)}, "has 3, which is none of the columns"),
        ([(1, None), None, None], r"Sample \d+ of X, one of \d+, has .* in column 0"),
        ([None, (None, 0.5), None], r"in column 1 \(counted from 0\), which is not in"),
        ("ab", "'bounds' parameter"),
        ([(Decimal("NaN"), None), None, None], "low < high"),
    ],
)
def test_bad_bounds_are_named(name, bounds, match):
    with pytest.raises(ValueError, match=match):
        clone(MODELS[name]).set_params(bounds=bounds).fit(X)


@either
def test_a_value_on_a_bound_is_refused(name):
    rows = X.copy()
    rows[3, 1] = 1.0
    with pytest.raises(ValueError, match="Sample 3 of X, one of 1, has the value 1 in"):
        clone(MODELS[name]).fit(rows)


def test_gaussianizer_has_bounds_of_its_own():
    scores = MarginalGaussianizer(bounds=[(0, None), (0, 1), (None, 0)]).fit(X)
    assert_allclose(scores.inverse_transform(scores.transform(X)), X, rtol=1e-6)
    back = scores.inverse_transform(np.array([[-40.0, 40.0, 40.0], [9.0, -9.0, 3.0]]))
    assert ((back > [0, 0, -np.inf]) & (back < [np.inf, 1, 0])).all()
    constant = np.column_stack([X[:, 0], np.full(len(X), 0.5)])
    model = GaussianMixtureCopula(GaussianMixture(), bounds=[(0, None), (0, 1)])
    assert model.fit(constant).score_samples([[1.0, 1.5]]) == -np.inf


FAR = {"seconds": (1.6e9, 1e5, (0, None)), "years": (2000, 5, (Decimal(0), 1e10))}


@either
@pytest.mark.parametrize("far", FAR)
def test_bounds_far_from_the_samples_change_nothing(name, far):
    loc, scale, bounds = FAR[far]
    rows = loc + scale * np.random.default_rng(0).normal(size=(500, 1))
    density = GaussianMixture(reg_covar=0)
    parts = {"passthrough": ("passthrough", density), "copula": (density,)}[name]
    free, bounded = (
        type(MODELS[name])(*parts, bounds=b).fit(rows) for b in (None, [bounds])
    )
    assert bounded.score(rows) == pytest.approx(free.score(rows), abs=1e-2)
    spread = bounded.sample(4000, random_state=0)[0].std()
    assert spread == pytest.approx(free.sample(4000, random_state=0)[0].std(), rel=0.02)


def test_bounds_that_leave_nothing_of_samples_are_refused():
    wide = clone(PASS).set_params(bounds=[(-1e300, 1e300), None, None])
    with pytest.raises(ValueError, match=r"of column 0 .* Use None for no bound"):
        wide.fit(X)


def test_any_value_inside_has_a_score():
    """However close to a bound, and back from its image."""
    close = np.array([[1e-9], [1e-16], [1e-17], [1e-300], [5e-324]])
    rows = np.vstack([np.random.default_rng(0).uniform(size=(300, 1)), close])
    for sign, bounds in ((1, (0, 1)), (1, (0, None)), (-1, (None, 0)), (-1, (-1, 0))):
        copula = GaussianMixtureCopula(GaussianMixture(), bounds=[bounds])
        assert np.isfinite(copula.fit(sign * rows).score_samples(sign * rows)).all()
        scores = copula.transformer_
        back = scores.inverse_transform(scores.transform(sign * rows))
        assert_allclose(back[:-1], sign * rows[:-1])


@either
def test_samples_of_weight_zero_may_be_outside(name):
    rows, weight = np.vstack([[9.0, 9.0, 9.0], X]), np.append(0, np.ones(len(X)))
    model = clone(MODELS[name])
    expected = model.fit(X).score_samples(X)
    found = model.fit(rows, sample_weight=weight).score_samples(X)
    assert_allclose(found, expected)
    with pytest.raises(ValueError, match="Sample 0 of X, one of 1, has the value 9"):
        model.fit(rows, sample_weight=weight + 1)


@either
def test_fitted_parts_keep_bounds(name):
    model = clone(MODELS[name]).fit(X)
    known = {"bounds": model.bounds_, "bounds_units": model.bounds_units_}
    parts = model.transformer_, model.density_
    again = TransformedDensity.from_fitted(*parts, **known)
    loaded = pickle.loads(pickle.dumps(again))
    for built in (again, loaded):
        assert built.bounds_ == BOUNDS
        assert_allclose(built.score_samples(X), model.score_samples(X))
        assert built.score_samples([[1, -0.1, -1]]) == -np.inf
    for wrong in ({"bounds": BOUNDS[:2]}, {"bounds_units": [[0, 1]]}):
        with pytest.raises(ValueError, match=r"bounds.*columns"):
            TransformedDensity.from_fitted(*parts, **(known | wrong))


def test_bounds_are_given_once():
    scores = MarginalGaussianizer(bounds=BOUNDS)
    with pytest.raises(ValueError, match="beside those of MarginalGaussianizer"):
        TransformedDensity(scores, GaussianMixture(), bounds=BOUNDS).fit(X)
    fitted = TransformedDensity(scores, GaussianMixture()).fit(X)
    parts = fitted.transformer_, fitted.density_
    assert TransformedDensity.from_fitted(*parts).bounds_ == BOUNDS
    with pytest.raises(ValueError, match="are not those of MarginalGaussianizer"):
        TransformedDensity.from_fitted(*parts, bounds=[(0, 9), None, None])

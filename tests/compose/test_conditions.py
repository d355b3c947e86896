"""Marginals, conditionals and expectations behind maps of columns."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from skgmje import (
    GaussianMixture,
    GaussianMixtureCopula,
    TransformedDensity,
    as_mixture,
)
from skgmje.compose import MarginalGaussianizer, ResidualCoordinates

X = np.exp(
    np.random.default_rng(0).normal(size=(400, 4)) @ np.triu(np.ones((4, 4))) / 3
)
X[:, 3] -= 0.2
NAMES = ["a", "b", "c", "d"]
MIXTURE = GaussianMixture(2, random_state=0)
LOG = FunctionTransformer(np.log, inverse_func=np.exp)
NORMAL = QuantileTransformer(n_quantiles=40, output_distribution="normal")


def log_det(rows):
    return -np.log(rows).sum(axis=1)


# Behind these the closed forms are exact.
WHOLE = {
    "passthrough": TransformedDensity("passthrough", MIXTURE),
    "scalers": TransformedDensity(
        make_pipeline(StandardScaler(), MinMaxScaler(), MaxAbsScaler(), RobustScaler()),
        MIXTURE,
    ),
    "scores": TransformedDensity(MarginalGaussianizer(), MIXTURE),
    "diagonal": TransformedDensity(
        StandardScaler(), GaussianMixture(3, covariance_type="diag", random_state=0)
    ),
    "scikit-learn": TransformedDensity(
        RobustScaler(), SklearnGaussianMixture(2, random_state=0)
    ),
    "bounds": TransformedDensity(
        StandardScaler(), MIXTURE, bounds=[(0, None), None, (0, 1e3), (-0.5, None)]
    ),
    "copula": GaussianMixtureCopula(MIXTURE, bounds=[(0, None), None, (0, 99), None]),
    "groups": TransformedDensity(
        ColumnTransformer(
            [
                ("mixed", PCA(), [3, 1]),
                ("log", LOG, [2]),
                ("scores", MarginalGaussianizer(), [0]),
            ]
        ),
        MIXTURE,
        log_det=log_det,
    ),
    "permuted": TransformedDensity(
        make_pipeline(
            ColumnTransformer(
                [("a", RobustScaler(), [2, 3])], remainder=StandardScaler()
            ),
            ColumnTransformer([("b", MinMaxScaler(), [1])], remainder="passthrough"),
        ),
        MIXTURE,
    ),
}
# The image has bounds, whose mass is counted if several columns have some.
BOUNDED = {
    "powers": TransformedDensity(PowerTransformer(), MIXTURE),
    "box-cox": TransformedDensity(
        ColumnTransformer(
            [("a", PowerTransformer("box-cox"), [1])], remainder=StandardScaler()
        ),
        MIXTURE,
    ),
    "quantiles": TransformedDensity(NORMAL, MIXTURE),
    "independent powers": TransformedDensity(
        PowerTransformer(), GaussianMixture(3, covariance_type="diag", random_state=0)
    ),
}
MODELS = WHOLE | BOUNDED


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return request.param, MODELS[request.param].fit(X)


def grid(low, high, n=4001):
    """Return nodes and weights of integrals, dense close to zero."""
    u = np.linspace(np.log(1e-7), np.log(high - low), n)
    return low + np.exp(u), np.exp(u) * (u[1] - u[0])


# Of two mixed columns both are kept, or none.
GIVEN = {"groups": [2, 1, 3]}


def test_conditional_is_the_slice_of_the_joint(model):
    """p(t | c) p(c) = p(t, c), where p(c) is that of the marginal."""
    name, density = model
    given = GIVEN.get(name, [2, 0, 3])
    rest = [j for j in range(4) if j not in given]
    rows = X[5:35]
    conditional = density.condition(given, rows[:, given])
    parts = density.marginal(given).log_prob(rows[:, given])
    parts = parts + conditional.log_prob(rows[:, rest])
    assert_allclose(parts, density.score_samples(rows), rtol=1e-8, atol=1e-8)
    one = density.condition(given, rows[0, given])
    assert_allclose(one.log_prob(rows[0, rest]), conditional.log_prob(rows[:, rest])[0])


@pytest.mark.parametrize("name", [*WHOLE, "box-cox"])
def test_conditional_is_the_renormalised_slice(name):
    """Integrals are over the slice itself: nothing of the closed form is used."""
    density = MODELS[name].fit(X)
    given = GIVEN.get(name, [2, 0, 3])
    (t,) = (j for j in range(4) if j not in given)
    low = density.bounds_ and density.bounds_[t][0]
    nodes, weights = grid(low or 0.0, 400.0)
    if low is None:
        nodes, weights = np.linspace(-60, 340, 40001), np.full(40001, 0.01)
    slices = np.tile(X[7], (len(nodes), 1))
    slices[:, t] = nodes
    joint = np.exp(density.score_samples(slices))
    conditional = density.condition(given, X[7, given])
    direct = np.exp(conditional.log_prob(nodes[:, None]))
    # Blocks of normal scores have edges, at which sums of nodes err.
    error = 1e-2 if name in ("scores", "copula", "groups") else 1e-5
    assert weights @ direct == pytest.approx(1, abs=error)
    assert_allclose(direct / (weights @ direct), joint / (weights @ joint), atol=1e-8)


def test_marginal_of_a_marginal(model):
    name, density = model
    order = [3, 2, 1] if name == "groups" else [3, 0, 2]
    marginal = density.marginal(order)
    again = marginal.marginal([1])
    expected = density.marginal([order[1]])
    nodes = X[:20, [order[1]]]
    assert_allclose(again.log_prob(nodes), expected.log_prob(nodes), atol=5e-3)
    if name in WHOLE:
        assert_array_equal(again.log_prob(nodes), expected.log_prob(nodes))
    everything = density.marginal(slice(None))
    assert_allclose(everything.log_prob(X), density.score_samples(X))


@pytest.mark.parametrize("name", ["independent powers", "box-cox"])
def test_marginal_with_bounds_integrates_to_one(name):
    density = MODELS[name].fit(X)
    nodes, weights = grid(0.0, 1e5)
    below, above = nodes[::-1], nodes
    column = np.concatenate([-below, above])[:, None]
    p = np.exp(density.marginal([1]).log_prob(column))
    assert np.concatenate([weights[::-1], weights]) @ p == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", ["scores", "bounds", "copula", "scalers", "quantiles"])
def test_mean_of_many_draws_is_the_conditional_mean(name):
    conditional = MODELS[name].fit(X).condition([1], X[:3, [1]])
    draws, component = conditional.sample(20_000, random_state=0)
    assert draws.shape == (20_000, 3, 3)
    assert component.shape == (20_000, 3)
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - conditional.mean) < 4.5 * error).all()
    assert_array_equal(conditional.sample(9, 1)[0], conditional.sample(9, 1)[0])


def test_draws_stay_in_the_image_and_have_the_marginal():
    density = MODELS["powers"].fit(X)
    draws, _ = density.marginal([1, 0]).sample(4000, random_state=0)
    assert np.isfinite(density.marginal([1, 0]).log_prob(draws[:50])).all()
    ours = np.quantile(draws, [0.1, 0.5, 0.9], axis=0)
    joint = np.quantile(density.sample(4000, 1)[0], [0.1, 0.5, 0.9], axis=0)
    assert_allclose(ours, joint[:, [1, 0]], rtol=0.15)


def test_imputes_expectations(model):
    name, density = model
    gaps = X[:30].copy()
    gaps[::3, 2] = np.nan
    gaps[1::3, [0, 2]] = np.nan
    if name in ("powers", "independent powers"):
        with pytest.raises(ValueError, match="expectation of a column is infinite"):
            density.impute(gaps)
        return
    filled = density.impute(gaps)
    assert_array_equal(filled[~np.isnan(gaps)], gaps[~np.isnan(gaps)])
    expected = density.condition([0, 1, 3], X[:30:3, [0, 1, 3]]).mean[:, 0]
    assert_allclose(filled[::3, 2], expected)
    empty = density.impute(np.full((2, 4), np.nan)) if name != "groups" else filled
    assert np.isfinite(empty).all()


def test_imputes_as_a_mixture_does_without_a_map():
    gaps = X[:40].copy()
    gaps[np.random.default_rng(1).random(gaps.shape) < 0.4] = np.nan
    scaled = TransformedDensity("passthrough", MIXTURE).fit(X)
    assert_allclose(scaled.impute(gaps), MIXTURE.fit(X).impute(gaps))
    single = scaled.impute(gaps.astype(np.float32))
    assert single.dtype == np.float32
    assert_allclose(single, scaled.impute(gaps), rtol=1e-3)


def test_columns_have_names():
    frame = pd.DataFrame(X, columns=NAMES)
    copula = GaussianMixtureCopula(MIXTURE).fit(frame)
    by_name = copula.condition(["c", "a"], frame[["c", "a"]][:5])
    by_place = copula.condition([2, 0], X[:5, [2, 0]])
    assert_array_equal(by_name.mean, by_place.mean)
    assert_array_equal(copula.condition("b", [1.0]).mean, copula.condition(1, [1]).mean)
    assert_array_equal(
        copula.marginal("d").log_prob([[1.0]]), copula.marginal([3]).log_prob([[1.0]])
    )
    for density in (copula, GaussianMixture().fit(frame)):
        given = density.condition(["c", "a"], frame[["c", "a"]][:5]).mean
        assert_array_equal(given, density.condition([2, 0], X[:5, [2, 0]]).mean)
        for chosen in (["c", "a"], [2, 0]):
            with pytest.raises(ValueError, match=r"\['a', 'c'\], but indices=\["):
                density.condition(chosen, frame[["a", "c"]])
    with pytest.raises(ValueError, match=r"\['c', 'e'\] has 'e', which is none of"):
        copula.condition(["c", "e"], [1.0, 2.0])


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (TransformedDensity(PCA(), MIXTURE), r"PCA\(\) is not known to act on columns"),
        (TransformedDensity(ResidualCoordinates(), MIXTURE), "By Monte Carlo: draw wi"),
        (
            TransformedDensity(LOG, MIXTURE, log_det=log_det),
            "one for each of them in a",
        ),
        (
            TransformedDensity(StandardScaler(), KernelDensity(kernel="tophat")),
            "no Gau",
        ),
    ],
)
def test_what_has_no_closed_form_says_what_to_do(model, match):
    model.fit(X + 0.5)
    for ask in (lambda: model.condition([0], [1.0]), lambda: model.marginal([0])):
        with pytest.raises(TypeError, match=match):
            ask()
    with pytest.raises(TypeError, match=match):
        model.impute([[1.0, np.nan, 1.0, 1.0]])


@pytest.mark.parametrize(
    ("name", "ask", "match"),
    [
        ("scores", lambda d: d.condition([0, 4], [1.0, 1.0]), "integers from 0 to 3"),
        ("scores", lambda d: d.condition([0, 0], [1.0, 1.0]), "none of them twice"),
        ("scores", lambda d: d.condition([0, 1], [1.0]), "has the shape"),
        ("scores", lambda d: d.condition(range(4), X[0]), "at least one to describe"),
        ("scores", lambda d: d.condition([0], [np.nan]), "contains NaN"),
        ("scores", lambda d: d.condition([0], ["word"]), "could not convert"),
        ("scores", lambda d: d.marginal([0]).log_prob([[1.0, 2.0]]), "must have the l"),
        ("quantiles", lambda d: d.condition([0], [[1.0], [1e3]]), "Sample 1 of the va"),
        ("bounds", lambda d: d.condition([0], [[-1.0], [1.0]]), "Sample 0 of the valu"),
        ("bounds", lambda d: d.impute([[1, 1, 1, 1], [-1, np.nan, 1, 1]]), "column 0"),
        ("quantiles", lambda d: d.impute([[1e3, np.nan, 1.0, 1.0]]), "has no density"),
    ],
)
def test_bad_values_are_named(name, ask, match):
    with pytest.raises(ValueError, match=match):
        ask(MODELS[name].fit(X))


def test_conditional_kernel_density():
    """The mixture of the kernels conditions as Nadaraya and Watson do."""
    kernels = KernelDensity(bandwidth=0.4).fit(X[:, :2])
    given = as_mixture(kernels).condition([0], X[:5, :1])
    near = np.exp(-0.5 * ((X[:5, :1] - X[:, 0]) / 0.4) ** 2)
    assert_allclose(given.mean[:, 0], near @ X[:, 1] / near.sum(axis=1))


def test_expectations_across_a_gap():
    """Two groups, far from each other: the mean is a matter of where the gap is."""
    rng = np.random.default_rng(0)
    column = np.append(rng.normal(size=120), rng.normal(1000, 1, size=280))
    rows = np.column_stack([column, column / 500 + rng.normal(size=400)])
    copula = GaussianMixtureCopula(GaussianMixture()).fit(rows)
    joint = copula.condition([1], [[1.0], [0.5]])
    # Shares of normal scores beyond that of the gap.
    at = copula.transformer_.transform([[500.0, 0.0]])[0, 0]
    mixture, z = copula.density_.mixture_, copula.transformer_.transform([[0, 1.0]])
    score = mixture.condition([1], z[:, 1])
    spread = np.sqrt(score.covariances.ravel())
    above = 1000 * stats.norm.sf((at - score.means.ravel()) / spread)
    assert joint.mean[0, 0] == pytest.approx(above[0], abs=3.5)

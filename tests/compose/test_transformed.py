"""A transformed density is a density, in the units of its rows."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest, lognorm, norm, truncnorm
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from skgmje.compose import MarginalGaussianizer, ResidualCoordinates, TransformedDensity
from skgmje.mixture import GaussianMixture, KernelMixtureDensity

RNG = np.random.default_rng(0)
ROWS = RNG.gamma(2.0, size=(400, 2)) @ [[1.0, 0.5], [0.0, 1.0]] + 0.1
# Its Yeo-Johnson power is below 0, or above 2.
SKEWED = RNG.exponential(size=(300, 1)) ** 2
LOG = FunctionTransformer(np.log, inverse_func=np.exp)
SQRT = FunctionTransformer(np.sqrt, inverse_func=np.square)
LOG_DET = {
    np.log: lambda X: -np.log(X).sum(axis=1),
    np.sqrt: lambda X: -np.log(2 * np.sqrt(X)).sum(axis=1),
}
NORMAL = QuantileTransformer(n_quantiles=30, output_distribution="normal")
WIDE = KernelDensity(bandwidth=1.0)
MIXTURE = GaussianMixture(2, random_state=0)


def integral(density, lower, upper, knots=(), n_points=4001):
    """Integrate a density of one column, by Gauss's rule between knots."""
    edges = np.unique(np.r_[lower, knots, upper])
    nodes, weights = np.polynomial.legendre.leggauss(max(4, n_points // len(edges)))
    half = np.diff(edges)[:, None] / 2
    x = edges[:-1, None] + half * (nodes + 1)
    log_prob = density.score_samples(x.reshape(-1, 1)).reshape(x.shape)
    return float((np.exp(log_prob) * weights * half).sum())


@pytest.mark.parametrize("density", [WIDE, MIXTURE], ids=["kernel", "mixture"])
@pytest.mark.parametrize(
    ("transformer", "X", "has_bounds"),
    [
        (StandardScaler(), SKEWED, False),
        (MinMaxScaler(), SKEWED, False),
        (PowerTransformer(), SKEWED, True),
        (PowerTransformer(standardize=False), -SKEWED, True),
        (PowerTransformer("box-cox"), SKEWED, True),
        (make_pipeline(RobustScaler(), PowerTransformer()), SKEWED, True),
        (make_pipeline(PowerTransformer(), StandardScaler()), SKEWED, True),
        (NORMAL, SKEWED, True),
        (LOG, SKEWED, False),
        (SQRT, SKEWED, True),
    ],
    ids=[
        "standard",
        "min-max",
        "yeo-johnson",
        "yeo-johnson-left",
        "box-cox",
        "pipeline",
        "pipeline-after",
        "quantile",
        "log",
        "sqrt",
    ],
)
def test_integrates_to_one_in_one_column(transformer, X, has_bounds, density):
    model = TransformedDensity(transformer, density, log_det=LOG_DET).fit(X)
    assert (model.image_mass_ < 1 - 1e-6) == has_bounds
    # Tails of powers below zero are long: take logarithmic steps.
    steps = np.logspace(-200, 200, 4001)
    knots = getattr(model.transformer_, "quantiles_", np.zeros((0, 1)))[:, 0]
    if len(knots):
        # Steep at both ends.
        tails = np.logspace(-6, -0.5, 60) * np.diff(knots)[[0, -1], None]
        ends = [knots[0] + tails[0], knots[-1] - tails[1]]
        total = integral(model, knots[0], knots[-1], np.concatenate([knots, *ends]))
    else:
        edges = np.r_[-steps[::-1], 0, steps]
        total = integral(model, edges[0], edges[-1], edges)
    error = 5 * model.image_mass_error_ / model.image_mass_
    assert total == pytest.approx(1.0, abs=max(1e-4, error))


@pytest.mark.parametrize(
    "transformer",
    [
        PowerTransformer(),
        PowerTransformer("box-cox"),
        make_pipeline(PowerTransformer(), PCA(whiten=True)),
        ColumnTransformer([("log", LOG, [1])], remainder=PowerTransformer()),
    ],
    ids=["yeo-johnson", "box-cox", "power-pca", "columns"],
)
def test_integrates_to_one_in_two_columns(transformer):
    model = TransformedDensity(transformer, MIXTURE, log_det=LOG_DET).fit(ROWS)
    # Steps that grow from zero, with the derivative of the substitution.
    u = np.linspace(-12, 12, 601)
    x, slope = np.sinh(u) / 10, np.cosh(u) / 10
    grid = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    prob = np.exp(model.score_samples(grid)).reshape(len(x), len(x))
    total = slope @ prob @ slope * (u[1] - u[0]) ** 2
    assert total == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize(
    "density",
    [
        MIXTURE,
        SklearnGaussianMixture(2, random_state=0),
        KernelMixtureDensity(2, max_iter=5, random_state=0),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_units_do_not_matter(density):
    """Rows in other units have the density of the first, with the Jacobian."""
    scale = np.array([1e3, 1e-3])
    model = TransformedDensity(StandardScaler(), density)
    one = clone(model).fit(ROWS).score_samples(ROWS)
    other = clone(model).fit(ROWS * scale + 7).score_samples(ROWS * scale + 7)
    assert_allclose(other + np.log(scale).sum(), one, rtol=1e-6)


def test_a_linear_map_before_a_mixture_changes_nothing():
    exact = GaussianMixture(reg_covar=0).fit(ROWS).score(ROWS)
    for transformer in (
        StandardScaler(),
        RobustScaler(),
        MinMaxScaler((3, 9)),
        PCA(whiten=True),
        make_pipeline(PCA(), StandardScaler()),
    ):
        model = TransformedDensity(transformer, GaussianMixture(reg_covar=0)).fit(ROWS)
        assert_allclose(model.score(ROWS), exact, rtol=1e-10)


def test_pipeline_drops_the_jacobian():
    """What it drops is the logarithm of the standard deviations."""
    X = ROWS * [1000.0, 0.01]
    density = GaussianMixture(reg_covar=0)
    dropped = make_pipeline(StandardScaler(), density).fit(X).score(X)
    kept = TransformedDensity(StandardScaler(), density).fit(X).score(X)
    exact = density.fit(X).score(X)
    assert_allclose(kept, exact, rtol=1e-10)
    assert_allclose(dropped - kept, np.log(X.std(axis=0)).sum(), rtol=1e-10)
    # It grows by as many nats as there are in any change of units.
    pipeline = make_pipeline(StandardScaler(), density)
    assert_allclose(pipeline.fit(X * 1e6).score(X * 1e6), dropped, rtol=1e-10)


def test_logarithm_gives_the_log_normal():
    X = np.exp(RNG.normal(0.5, 2.0, size=(500, 1)))
    model = TransformedDensity(LOG, GaussianMixture(reg_covar=0), log_det=LOG_DET)
    model.fit(X)
    z = np.log(X)
    expected = lognorm(s=z.std(), scale=np.exp(z.mean())).logpdf(X[:, 0])
    assert_allclose(model.score_samples(X), expected, rtol=1e-8)
    assert_array_equal(model.score_samples([[0.0], [-1.0]]), -np.inf)
    # Of one function, its log-determinant is enough.
    alone = clone(model).set_params(log_det=LOG_DET[np.log]).fit(X)
    assert_array_equal(alone.score_samples(X), model.score_samples(X))


def test_rows_beyond_the_image():
    model = TransformedDensity(NORMAL, MIXTURE).fit(ROWS)
    assert np.isfinite(model.score_samples(ROWS)).all()
    far = np.vstack([ROWS.max(axis=0) + 0.1, ROWS.min(axis=0) - 0.1])
    assert_array_equal(model.score_samples(far), -np.inf)
    box_cox = TransformedDensity(PowerTransformer("box-cox"), MIXTURE).fit(ROWS)
    assert_array_equal(box_cox.score_samples([[0.0, 1], [1, -1]]), -np.inf)


@pytest.mark.parametrize("size", [1e6, 1e150, 1e300])
@pytest.mark.parametrize(
    "transformer",
    [StandardScaler(), PCA(), PowerTransformer(), PowerTransformer("box-cox"), NORMAL],
)
def test_far_rows_are_never_nan(transformer, size):
    model = TransformedDensity(transformer, MIXTURE).fit(ROWS)
    log_prob = model.score_samples([[size, 1.0], [1.0, -size]])
    assert not np.isnan(log_prob).any()
    assert (log_prob < -10).all()


@pytest.mark.parametrize(
    "density",
    [
        WIDE,
        MIXTURE,
        SklearnGaussianMixture(2, random_state=0),
        KernelDensity(kernel="tophat"),
    ],
)
def test_samples_are_in_the_image_and_have_the_mean(density):
    model = TransformedDensity(SQRT, density, log_det=LOG_DET).fit(SKEWED)
    assert model.image_mass_ < 0.99
    X, y = model.sample(4000, random_state=0)
    assert X.shape == (4000, 1)
    assert y.shape == (4000,)
    assert (X > 0).all()
    assert np.isfinite(model.score_samples(X)).all()
    u = np.linspace(np.log(1e-12), np.log(1e4), 4001)
    prob = np.exp(model.score_samples(np.exp(u)[:, None]) + u)
    for power in (0.1, 0.3):
        expected = (prob * np.exp(power * u)).sum() * (u[1] - u[0])
        values = X[:, 0] ** power
        assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(4000)


def test_same_seed_same_samples():
    model = TransformedDensity(PowerTransformer(), MIXTURE).fit(ROWS)
    one, two, other = (model.sample(9, random_state=s)[0] for s in (1, 1, 2))
    assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    with pytest.raises(ValueError, match="n_samples=0"):
        model.sample(0)


def test_global_random_state_is_untouched():
    legacy = np.random.mtrand._rand
    before = legacy.get_state()[1].copy()
    for density in (MIXTURE, SklearnGaussianMixture(2, random_state=0), WIDE):
        TransformedDensity(PowerTransformer(), density).fit(ROWS).sample(20)
    assert_array_equal(legacy.get_state()[1], before)


def test_score_is_the_weighted_mean():
    model = TransformedDensity(PowerTransformer("box-cox"), MIXTURE).fit(ROWS)
    weight = np.arange(4.0)
    X = np.vstack([[[-1.0, 1.0]], ROWS[:3]])
    expected = np.average(model.score_samples(X)[1:], weights=weight[1:])
    assert model.score(X, sample_weight=weight) == pytest.approx(expected)
    assert model.score(X) == -np.inf
    assert isinstance(model.score(ROWS), float)


def test_weights_reach_the_scaler_and_the_mixture():
    weight = RNG.integers(0, 3, len(ROWS))
    model = TransformedDensity(StandardScaler(), GaussianMixture())
    weighted = clone(model).fit(ROWS, sample_weight=weight).score_samples(ROWS)
    copied = clone(model).fit(np.repeat(ROWS, weight, axis=0)).score_samples(ROWS)
    assert_allclose(weighted, copied, rtol=1e-8)
    plain = TransformedDensity(StandardScaler(), SklearnGaussianMixture())
    with pytest.raises(TypeError, match="takes no sample_weight"):
        plain.fit(ROWS, sample_weight=weight)


@pytest.mark.parametrize("transformer", [PowerTransformer(), NORMAL, PCA()])
def test_single_precision_is_kept(transformer):
    model = TransformedDensity(transformer, MIXTURE).fit(ROWS)
    single = model.score_samples(ROWS.astype(np.float32))
    assert single.dtype == np.float32
    inner = ((ROWS > ROWS.min(0)) & (ROWS < ROWS.max(0))).all(axis=1)
    expected = model.score_samples(ROWS)
    assert_allclose(single[inner], expected[inner], rtol=5e-3, atol=5e-3)


def test_columns_by_name():
    frame = pd.DataFrame(ROWS, columns=["a", "b"])
    by_name = ColumnTransformer([("log", LOG, ["b"])], remainder=StandardScaler())
    by_place = ColumnTransformer([("log", LOG, [1])], remainder=StandardScaler())
    named = TransformedDensity(by_name, MIXTURE, log_det=LOG_DET).fit(frame)
    placed = TransformedDensity(by_place, MIXTURE, log_det=LOG_DET).fit(ROWS)
    assert_array_equal(named.score_samples(frame), placed.score_samples(ROWS))
    assert_array_equal(named.feature_names_in_, ["a", "b"])
    assert_array_equal(*(m.sample(5, random_state=0)[0] for m in (named, placed)))


def test_frames_as_output_of_transformers():
    frame = pd.DataFrame(ROWS, columns=["a", "b"])
    chain = make_pipeline(StandardScaler(), PowerTransformer())
    expected = TransformedDensity(chain, MIXTURE).fit(ROWS).score(ROWS)
    with sklearn.config_context(transform_output="pandas"):
        model = TransformedDensity(chain, MIXTURE).fit(frame)
        # scikit-learn finds the powers by a search, whose last digits depend on
        # where the columns lie in memory.
        assert model.score(frame) == pytest.approx(expected, abs=1e-6)
        assert len(model.sample(3)[0]) == 3


def test_search_over_transformers_and_densities():
    grid = {
        "transformer": [StandardScaler(), PowerTransformer()],
        "density__n_components": [1, 2],
    }
    model = TransformedDensity(StandardScaler(), GaussianMixture(random_state=0))
    search = GridSearchCV(model, grid, cv=3).fit(ROWS)
    assert isinstance(search.best_params_["transformer"], PowerTransformer)


def test_pickle():
    model = TransformedDensity(PowerTransformer(), MIXTURE).fit(ROWS)
    loaded = pickle.loads(pickle.dumps(model))
    assert_array_equal(loaded.score_samples(ROWS), model.score_samples(ROWS))


def test_parameters_stay_as_they_are():
    transformer, density = StandardScaler(), GaussianMixture()
    TransformedDensity(transformer, density).fit(ROWS)
    assert "mean_" not in vars(transformer)
    assert "means_" not in vars(density)


@pytest.mark.parametrize(
    ("model", "error", "match"),
    [
        (TransformedDensity(OneHotEncoder(), MIXTURE), TypeError, "is not known"),
        (
            TransformedDensity(StandardScaler(), RobustScaler()),
            TypeError,
            "no method score_samp",
        ),
        (
            TransformedDensity(StandardScaler(), make_pipeline(PCA(), MIXTURE)),
            TypeError,
            "Move them to transformer",
        ),
        (
            TransformedDensity(
                FunctionTransformer(np.log, inverse_func=np.exp),
                MIXTURE,
                log_det=LOG_DET,
            ),
            ValueError,
            "Sample 0 of X, one of 1, has no finite image",
        ),
    ],
)
def test_errors_name_the_remedy(model, error, match):
    X = np.vstack([[[0.0, 1.0]], ROWS])
    with pytest.raises(error, match=match):
        model.fit(X)


def test_density_without_mass_in_the_image():
    X = RNG.uniform(size=(30, 2)) ** 3
    model = TransformedDensity(NORMAL, _Elsewhere())
    with pytest.raises(ValueError, match="only the mass"):
        model.fit(X)


def half_lines(means, covariance):
    """Return a normal density of positive columns less one, whose rest is cut off."""
    n = len(means)
    power = PowerTransformer("box-cox", standardize=False).fit(SKEWED[:, [0] * n])
    power.lambdas_ = np.ones(n)
    root = np.linalg.cholesky(covariance) * n**0.5
    X = np.vstack([means + root.T, means - root.T])
    normal = GaussianMixture(reg_covar=0).fit(X)
    return TransformedDensity.from_fitted(power, normal)


def test_samples_of_an_image_with_little_mass_are_drawn_at_once():
    model = half_lines(np.array([-5.0]), np.eye(1))
    assert_allclose(model.image_mass_, norm.sf(4), rtol=1e-6)
    rest = truncnorm(4, np.inf, loc=-4)
    for density in (model, model.marginal([0])):
        X, _ = density.sample(100, random_state=0)
        assert kstest(X[:, 0], rest.cdf).pvalue > 1e-3
        with pytest.raises(ValueError, match=r"3\.2e\+09 draws.*Draw fewer"):
            density.sample(100_000, random_state=0)


def test_samples_of_several_densities_with_masses_of_their_own():
    model = half_lines(np.array([-3.0, -3.0]), np.array([[1.0, 0.9], [0.9, 1.0]]))
    values = np.array([[0.1], [1.0], [2.0], [4.0]])
    X, component = model.condition([0], values).sample(400, random_state=0)
    assert X.shape == (400, 4, 1)
    assert component.shape == (400, 4)
    for x, value in zip(X[..., 0].T, values[:, 0], strict=True):
        mean, scale = 0.9 * (value + 2) - 2, 0.19**0.5
        rest = truncnorm(-mean / scale, np.inf, loc=mean, scale=scale)
        assert kstest(x, rest.cdf).pvalue > 1e-3


class _Elsewhere(GaussianMixture):
    """A mixture that does not fit its rows."""

    def fit(self, X, y=None, sample_weight=None):
        return super().fit(X + 1e3)


SHIFTED = np.exp(np.random.default_rng(5).normal(size=(300, 2)))
LOSSY = {
    "power": PowerTransformer(),
    "powers of some": ColumnTransformer(
        [("power", PowerTransformer(), [1])], remainder="passthrough"
    ),
    "powers in a pipeline": make_pipeline(PowerTransformer(), StandardScaler()),
}
KEEPING = [
    StandardScaler(),
    MinMaxScaler(),
    RobustScaler(),
    PCA(),
    NORMAL,
    MarginalGaussianizer(),
    ResidualCoordinates(gaussianize=True),
    make_pipeline(StandardScaler(), PowerTransformer()),
]


@pytest.mark.parametrize("offset", [1e3, 1e5, 1e8])
@pytest.mark.parametrize("name", LOSSY)
def test_a_transformer_that_merges_samples_is_told(name, offset):
    X = SHIFTED + offset
    power = PowerTransformer().fit(X)
    if np.abs(power.inverse_transform(power.transform(X)) - X).max() < 2e-3:
        pytest.skip("this version of scikit-learn keeps them")
    model = TransformedDensity(LOSSY[name], KernelDensity())
    with pytest.warns(UserWarning, match=r"of 300 samples \d+% do not come back"):
        model.fit(X)


def test_a_function_that_merges_samples_is_told():
    single = FunctionTransformer(np.float32, inverse_func=np.float64)
    model = TransformedDensity(single, WIDE, log_det=lambda X: np.zeros(len(X)))
    model.fit(SHIFTED + 1e3)
    with pytest.warns(UserWarning, match="column 0 .counted from 0., whose standard"):
        model.fit(SHIFTED + 1e8)


@pytest.mark.parametrize("transformer", KEEPING, ids=str)
def test_no_other_transformer_is_blamed(transformer):
    for offset in (0.0, 1e4, 1e8):
        # scikit-learn's quantiles are flat within 1e-7 of their ends.
        for scale in (1.0, 1e8) if transformer is NORMAL else (1e-8, 1.0, 1e8):
            X = scale * (SHIFTED + offset)
            TransformedDensity(clone(transformer), KernelDensity()).fit(X)
    TransformedDensity(PowerTransformer(), KernelDensity()).fit(SHIFTED)


def test_passthrough_is_a_transformer():
    X = np.exp(ROWS / 2)
    mixture = GaussianMixture(2, random_state=0)
    through = TransformedDensity("passthrough", mixture).fit(X)
    assert_array_equal(through.score_samples(X), clone(mixture).fit(X).score_samples(X))
    assert (through.image_mass_, through.transformer) == (1.0, "passthrough")
    weighted = clone(through).fit(X, sample_weight=np.arange(1.0, len(X) + 1))
    assert weighted.score(X) < through.score(X)
    grid = {"transformer": ["passthrough", PowerTransformer(), StandardScaler()]}
    search = GridSearchCV(through, grid, cv=2, error_score="raise").fit(X)
    assert isinstance(search.best_params_["transformer"], PowerTransformer)
    with sklearn.config_context(enable_metadata_routing=True):
        assert through.get_metadata_routing()
    again = TransformedDensity.from_fitted("passthrough", through.density_)
    assert_array_equal(again.score_samples(X), through.score_samples(X))
    loaded = pickle.loads(pickle.dumps(again))
    assert_array_equal(loaded.score_samples(X), through.score_samples(X))
    for word in ("drop", "auto"):
        with pytest.raises(TypeError, match="log-determinant"):
            TransformedDensity(word, mixture).fit(X)


@pytest.mark.parametrize("fitted", [(), (0,), (1,)])
def test_from_fitted_wants_fitted_parts(fitted):
    parts = [StandardScaler(), GaussianMixture()]
    for i in fitted:
        parts[i].fit(ROWS)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        TransformedDensity.from_fitted(*parts)


@pytest.mark.parametrize("transformer", [StandardScaler(), "passthrough"])
@pytest.mark.parametrize("density_sees", ["frame", "array"])
@pytest.mark.parametrize("transformer_sees", ["frame", "array"])
def test_from_fitted_keeps_names(transformer, transformer_sees, density_sees):
    frame = pd.DataFrame(ROWS[:, :2], columns=["a", "b"])
    kinds = {"frame": frame, "array": frame.to_numpy()}
    if transformer == "passthrough":
        transformer_sees, Z = density_sees, frame
    else:
        transformer = clone(transformer).fit(kinds[transformer_sees])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            Z = frame * 0 + transformer.transform(frame.to_numpy())
    density = GaussianMixture().fit(Z if density_sees == "frame" else Z.to_numpy())
    built = TransformedDensity.from_fitted(transformer, density)
    if transformer_sees == "array":
        assert not hasattr(built, "feature_names_in_")
        return
    assert built.feature_names_in_.tolist() == ["a", "b"]
    found = built.score_samples(frame)
    assert_allclose(found, TransformedDensity.fit(built, frame).score_samples(frame))
    with pytest.raises(ValueError, match="feature names"):
        built.score_samples(frame[["b", "a"]])

"""Bijections, columns and ridges that coordinates fit, and mass on an image."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from skgmje import GaussianMixture, GaussianMixtureCopula, TransformedDensity

# Inside: maps, columns and ridges have laws that a fitted transformer averages out.
from skgmje.compose import MarginalGaussianizer, ResidualCoordinates, _image_mass
from skgmje.compose._bijections import BIJECTIONS, bijection
from skgmje.compose._image_mass import draw, image_mass
from skgmje.compose._marginal_gaussianizer import fit_column
from skgmje.compose._residual_coordinates import fit_kernel_ridge

# Laws of every change of variables ----------------------------------------------------


LOG = FunctionTransformer(np.log, inverse_func=np.exp)
SQRT = FunctionTransformer(np.sqrt, inverse_func=np.square)
LOG_DETS = {
    np.log: lambda X: -np.log(X).sum(axis=1),
    np.sqrt: lambda X: -np.log(2 * np.sqrt(X)).sum(axis=1),
}
NORMAL = QuantileTransformer(n_quantiles=50, output_distribution="normal")
TRANSFORMERS = {
    "standard": StandardScaler(),
    "standard-mean": StandardScaler(with_std=False),
    "min-max": MinMaxScaler((-2, 5)),
    "max-abs": MaxAbsScaler(),
    "robust": RobustScaler(unit_variance=True),
    "robust-loc": RobustScaler(with_scaling=False),
    "pca": PCA(),
    "pca-whiten": PCA(whiten=True),
    "yeo-johnson": PowerTransformer(),
    "yeo-johnson-raw": PowerTransformer(standardize=False),
    "box-cox": PowerTransformer("box-cox"),
    "box-cox-raw": PowerTransformer("box-cox", standardize=False),
    "quantile": NORMAL,
    "gaussianizer": MarginalGaussianizer(),
    "residuals": ResidualCoordinates(n_landmarks=40),
    "residual-scores": ResidualCoordinates(
        min_gain=0, n_landmarks=40, gaussianize=True
    ),
    "identity": FunctionTransformer(),
    "log": LOG,
    "sqrt": SQRT,
    "columns": ColumnTransformer(
        [("b", PowerTransformer(), [2, 0]), ("a", LOG, [1])], remainder="passthrough"
    ),
    "pipeline": make_pipeline(SQRT, StandardScaler(), "passthrough", PCA(whiten=True)),
    "nested": make_pipeline(
        StandardScaler(),
        ColumnTransformer(
            [("pca", make_pipeline(PCA(), PowerTransformer()), slice(1, 3))],
            remainder=RobustScaler(),
        ),
    ),
}
ROWS = np.random.default_rng(0).gamma(2.0, size=(300, 4)) + 0.1
ROWS[:, 3] += ROWS[:, 0]


def fitted(name, rows=ROWS):
    return bijection(TRANSFORMERS[name].fit(rows.copy()), LOG_DETS)


def jacobians(forward, X, step=1e-6):
    """Differentiate row by row, by central differences."""
    columns = []
    for j in range(X.shape[1]):
        move = np.zeros(X.shape[1])
        move[j] = step
        columns.append((forward(X + move)[0] - forward(X - move)[0]) / (2 * step))
    return np.stack(columns, axis=-1)


def test_every_bijection_is_tested():
    tested = {type(transformer) for transformer in TRANSFORMERS.values()}
    assert tested == set(BIJECTIONS)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_log_determinant_is_that_of_the_jacobian(name):
    # In the middle: close to its ends the normal score of a quantile is steep.
    X = np.random.default_rng(1).uniform(0.7, 2.5, size=(20, 4))
    X[:, 3] += 1
    forward = fitted(name).forward
    expected = np.linalg.slogdet(jacobians(forward, X))[1]
    assert_allclose(forward(X)[1], expected, atol=1e-5)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_forward_is_transform(name):
    transformer = TRANSFORMERS[name].fit(ROWS.copy())
    Z, log_det = bijection(transformer, LOG_DETS).forward(ROWS)
    assert_allclose(Z, transformer.transform(ROWS.copy()), atol=1e-10)
    assert log_det.shape == (len(ROWS),)
    assert np.isfinite(log_det).all()


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_inverse_undoes_forward(name):
    change = fitted(name)
    Z = change.forward(ROWS)[0]
    assert_allclose(change.inverse(Z), ROWS, rtol=1e-6)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_image_holds_what_forward_gives_and_comes_back(name):
    change = fitted(name)
    # The ends of a quantile transformer are edges of its image.
    inner = ROWS[((ROWS > ROWS.min(0)) & (ROWS < ROWS.max(0))).all(axis=1)]
    assert change.contains(change.forward(inner)[0]).all()
    Z = np.random.default_rng(2).normal(scale=8.0, size=(2000, 4))
    with np.errstate(all="ignore"):
        inside = change.contains(Z)
        back = change.forward(change.inverse(Z[inside]))[0]
    assert_allclose(back, Z[inside], atol=1e-4)


@pytest.mark.parametrize("lmbda", [-3.0, -0.5, 0.0, 0.7, 1.0, 2.0, 2.5, 4.0])
@pytest.mark.parametrize("method", ["box-cox", "yeo-johnson"])
def test_image_of_a_power_is_what_far_rows_reach(method, lmbda):
    transformer = PowerTransformer(method).fit(ROWS[:, :1])
    transformer.lambdas_ = np.array([lmbda])
    change = bijection(transformer)
    far = np.array([[1e-9], [1e9]]) if method == "box-cox" else [[-1e9], [1e9]]
    ((lower, upper),) = change.intervals(1)[0]
    ends = change.forward(np.asarray(far))[0][:, 0]
    for end, bound in zip(ends, (lower, upper), strict=True):
        # Powers close to zero reach their bound slowly.
        assert abs(end) > 8 if np.isinf(bound) else abs(end - bound) < 0.02


def test_box_cox_has_no_image_of_rows_that_are_not_positive():
    change = fitted("box-cox")
    X = np.array([[1.0, 1, 1, 1], [0.0, 1, 1, 1], [1.0, 1, -1, 1]])
    with np.errstate(all="ignore"):
        Z, log_det = change.forward(X)
    known = np.isfinite(log_det) & np.isfinite(Z).all(axis=1)
    assert_array_equal(known, [True, False, False])


def test_quantiles_are_flat_outside_the_rows_and_have_a_limit_at_their_ends():
    X = np.linspace(0.0, 1.0, 101)[:, None]
    change = bijection(NORMAL.fit(X))
    rows = np.array([[-1e-3], [0.0], [1e-9], [0.5], [1 - 1e-9], [1.0], [1.001]])
    known = np.isfinite(change.forward(rows)[1])
    assert_array_equal(known, [False, True, False, True, False, True, False])


def test_ties_of_quantiles_leave_gaps():
    X = np.r_[np.linspace(0, 1, 40), np.full(20, 1.0), np.linspace(1, 2, 40)][:, None]
    transformer = QuantileTransformer(n_quantiles=100, output_distribution="normal")
    change = bijection(transformer.fit(X))
    (edges,) = change.intervals(1)
    assert len(edges) == 2
    assert_array_equal(change.contains(np.array([[-1.0], [0.0], [1.0]])), [1, 0, 1])


def test_quantiles_of_many_ties_are_one_interval_without():
    (edges,) = bijection(NORMAL.fit(ROWS[:, :1])).intervals(1)
    assert edges.shape == (1, 2)


def test_function_on_part_of_the_line():
    change = fitted("sqrt")
    Z = np.array([[1.0, 1, 1, 1], [1.0, -1, 1, 1]])
    assert_array_equal(change.contains(Z), [True, False])


def test_subclass_is_known():
    class MyScaler(StandardScaler):
        pass

    X = ROWS
    assert_allclose(
        bijection(MyScaler().fit(X)).forward(X)[1], fitted("standard").forward(X)[1]
    )


def test_far_rows_do_not_reach_later_steps():
    chain = make_pipeline(PowerTransformer(), StandardScaler()).fit(ROWS)
    X = np.vstack([ROWS[:2], np.full((1, 4), 1e300)])
    chain[0].lambdas_ = np.full(4, 3.0)
    with np.errstate(all="ignore"):
        Z, _ = bijection(chain).forward(X)
    assert_array_equal(np.isfinite(Z).all(axis=1), [True, True, False])


@pytest.mark.parametrize(
    ("transformer", "error", "match"),
    [
        (TruncatedSVD(2), TypeError, "TruncatedSVD.*Use one of StandardScaler"),
        (make_pipeline(OneHotEncoder()), TypeError, "OneHotEncoder.*is not known"),
        (PCA(2), ValueError, "PCA keeps 2 of 4.*n_components=None"),
        (MinMaxScaler(clip=True), ValueError, "Set clip=False"),
        (
            QuantileTransformer(n_quantiles=9),
            ValueError,
            "output_distribution='normal'",
        ),
        (FunctionTransformer(np.exp, inverse_func=np.log), TypeError, "Give log_det"),
        (FunctionTransformer(np.log), ValueError, "Give inverse_func"),
        (
            ColumnTransformer([("a", StandardScaler(), [0, 1])]),
            ValueError,
            r"columns \[0, 1\] of 4.*remainder='passthrough'",
        ),
        (
            ColumnTransformer(
                [("a", StandardScaler(), [0, 1]), ("b", MinMaxScaler(), [1, 2, 3])]
            ),
            ValueError,
            "each of them once",
        ),
    ],
)
def test_what_has_no_log_determinant_names_the_remedy(transformer, error, match):
    with pytest.raises(error, match=match):
        bijection(transformer.fit(ROWS), LOG_DETS)


def test_dependent_columns_cannot_be_whitened():
    X = np.column_stack([ROWS, ROWS[:, 0]])
    with pytest.raises(ValueError, match="whiten=False"):
        bijection(PCA(whiten=True).fit(X))
    assert_array_equal(bijection(PCA().fit(X)).forward(X)[1], 0)


def test_constant_column_has_no_quantiles():
    X = np.column_stack([ROWS, np.ones(len(ROWS))])
    with pytest.raises(ValueError, match="Column 4 is constant"):
        bijection(NORMAL.fit(X))


def test_log_det_of_wrong_shape():
    change = bijection(LOG.fit(ROWS), lambda X: -np.log(X))
    with pytest.raises(ValueError, match="are needed"):
        change.forward(ROWS)


@pytest.mark.parametrize("name", ["standard", "max-abs", "robust", "yeo-johnson"])
def test_rows_are_left_alone(name):
    transformer = TRANSFORMERS[name]
    change = bijection(type(transformer)(copy=False).fit(ROWS.copy()))
    X = ROWS.copy()
    Z = change.forward(X)[0]
    assert_array_equal(X, ROWS)
    kept = Z.copy()
    change.inverse(Z)
    assert_array_equal(Z, kept)


# The mass of an image is what the density says, however it is computed ----------------


MASS_ROWS = np.random.default_rng(0).exponential(size=(400, 2))
SKEWED = PowerTransformer("box-cox", standardize=False)


@pytest.fixture(
    params=[
        PowerTransformer("box-cox", standardize=False),
        QuantileTransformer(n_quantiles=20, output_distribution="normal"),
    ],
    ids=["box-cox", "quantile"],
)
def change(request):
    return bijection(request.param.fit(np.round(MASS_ROWS + 0.1, 1)))


def density(covariance_type, n_features=2):
    rng = np.random.default_rng(3)
    return GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(
        rng.normal(-1, 1.5, size=(300, n_features)) @ np.ones((n_features, n_features))
        + rng.normal(size=(300, n_features))
    )


@pytest.mark.parametrize("covariance_type", ["diag", "spherical"])
def test_closed_form_agrees_with_points(change, covariance_type):
    mixture = density(covariance_type).mixture_
    exact = image_mass(mixture, change, 2)
    counted = _image_mass._quasi_monte_carlo(mixture, change)
    assert exact.error == 0
    assert 0 < counted.error < 1e-3
    assert abs(exact.value - counted.value) < 5 * counted.error


@pytest.mark.parametrize("covariance_type", ["full", "tied", "low-rank"])
def test_points_agree_with_samples(change, covariance_type):
    mixture = density(covariance_type).mixture_
    counted = image_mass(mixture, change, 2)
    sampled = _image_mass._monte_carlo(mixture, change)
    assert counted.error < sampled.error
    error = np.hypot(counted.error, sampled.error)
    assert abs(counted.value - sampled.value) < 4 * error


def test_points_are_the_same_in_every_run(change):
    mixture = density("full").mixture_
    assert image_mass(mixture, change, 2) == image_mass(mixture, change, 2)


def test_one_bounded_column_has_a_closed_form_under_any_mixture():
    change = bijection(SKEWED.fit(MASS_ROWS[:, :1]))
    ((lower, upper),) = change.intervals(1)[0]
    mixture = density("full", 1).mixture_
    mass = image_mass(mixture, change, 1)
    expected = mixture.cdf(min(upper, 1e9)) - mixture.cdf(lower)
    assert mass == pytest.approx((float(expected), 0.0), rel=1e-12)


def test_mass_far_above_the_mean_is_exact():
    change = bijection(SKEWED.fit(MASS_ROWS[:, :1]))
    ((lower, _),) = change.intervals(1)[0]
    mixture = GaussianMixture.from_parameters([1.0], [[lower - 9.0]], [[[1.0]]])
    assert image_mass(mixture, change, 1).value == pytest.approx(1.128588e-19)


def test_other_densities_are_sampled(change):
    kde = KernelDensity(kernel="tophat").fit(density("full").sample(200)[0])
    mass = image_mass(kde, change, 2)
    assert 0 < mass.value < 1
    assert 0 < mass.error < 3e-3


def test_density_without_samples():
    class Flat:
        def score_samples(self, X):
            return np.zeros(len(X))

    with pytest.raises(TypeError, match="has no method sample"):
        draw(Flat(), 5, 0)


# Normal scores of columns, and residuals of predictable ones --------------------------


RNG = np.random.default_rng(0)
COLUMNS = {
    "normal": RNG.normal(size=2000),
    "shifted": 1e6 + 1e-2 * RNG.exponential(size=400),
    "two spikes": np.append(RNG.normal(size=50), 5 + 0.01 * RNG.normal(size=50)),
    "heavy tails": RNG.standard_cauchy(size=2000),
    "box": RNG.uniform(size=1500),
    "ties": RNG.integers(0, 6, size=1000).astype(float),
    "three": np.array([0.0, 1.0, 5.0]),
    "one atom": np.append(np.zeros(900), RNG.exponential(size=100)),
}


def sine(n_rows, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 6, size=(n_rows, 1))
    return np.hstack([x, np.sin(x) + noise * rng.normal(size=(n_rows, 1))])


@pytest.mark.parametrize("x", COLUMNS.values(), ids=COLUMNS)
def test_column_density_integrates_to_one(x):
    density = fit_column(x)
    mean, unit = density._units
    edges = mean + unit * density._edges
    middle = 0.5 * (edges[1:] + edges[:-1])
    z, log_slope = density.forward(middle)
    inner = np.exp(log_slope + stats.norm.logpdf(z)) @ np.diff(edges)
    ends = density.forward(edges[[0, -1]])[0]
    assert inner + stats.norm.cdf(ends[0]) + stats.norm.sf(ends[1]) == pytest.approx(1)


@pytest.mark.parametrize("x", COLUMNS.values(), ids=COLUMNS)
def test_column_map_is_monotone_finite_and_invertible(x):
    density = fit_column(x)
    far = x.mean() + x.std() * np.array([-1e150, -1e8, -30, 0, 30, 1e8, 1e150])
    points = np.sort(np.concatenate([x, far, RNG.choice(x, 50) + 1e-3 * x.std()]))
    z, log_slope = density.forward(points)
    assert np.isfinite(z).all()
    assert np.isfinite(log_slope).all()
    assert (np.diff(z) >= 0).all()
    gap = np.abs(density.inverse(z) - points)
    assert (gap <= 1e-9 * (x.std() + np.abs(points))).all()


def test_column_density_is_close_to_the_truth():
    x = np.random.default_rng(1).normal(size=20_000)
    z, log_slope = fit_column(COLUMNS["normal"]).forward(x)
    log_prob = stats.norm.logpdf(z) + log_slope
    assert np.mean(stats.norm.logpdf(x) - log_prob) < 0.03


def test_constant_column_is_moved():
    X = np.column_stack([np.full(50, 3.0), COLUMNS["normal"][:50]])
    gaussianizer = MarginalGaussianizer().fit(X)
    assert_array_equal(gaussianizer.transform(X)[:, 0], 0.0)
    assert_allclose(gaussianizer.inverse_transform(gaussianizer.transform(X)), X)


def test_weights_are_copies():
    x = COLUMNS["two spikes"]
    counts = RNG.integers(1, 4, len(x))
    weighted = fit_column(x, counts.astype(float)).forward(x)
    assert_allclose(weighted, fit_column(np.repeat(x, counts)).forward(x), rtol=1e-12)


def test_leave_one_out_is_brute_force():
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(50, 3)), rng.uniform(0.5, 2.0, size=50)
    y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=50)
    landmarks = X[:12]
    best = fit_kernel_ridge(X, y, landmarks, weight)
    factor = (best.bandwidth / np.sqrt(3),)
    for i in range(50):
        rest = np.arange(50) != i
        ridges = pytest.MonkeyPatch()
        with ridges.context() as patch:
            patch.setattr("skgmje.compose._residual_coordinates.RIDGES", (best.ridge,))
            other = fit_kernel_ridge(X[rest], y[rest], landmarks, weight[rest], factor)
        error = y[i] - other.predict(X[[i]])[0]
        # The constant's weak prior makes an eigenvalue of 5e7; what rounding it does
        # to the others is 1e-6 of the least ridge.
        assert error == pytest.approx(best.residuals[i], rel=1e-5, abs=1e-6)


def test_residuals_of_training_rows_are_no_smaller_than_of_new_ones():
    X, new = sine(400), sine(4000, seed=1)
    coordinates = ResidualCoordinates().fit(X)
    assert coordinates.removed_ == [1]
    spread = coordinates.transform(new)[:, 1].std()
    assert coordinates.residuals_.std() == pytest.approx(1, abs=1e-3)
    assert spread == pytest.approx(1, abs=0.08)
    assert coordinates.transform(X)[:, 1].std() < 0.99


def test_density_is_fitted_to_residuals_of_left_out_rows():
    X = sine(120)
    density = TransformedDensity(ResidualCoordinates(), GaussianMixture()).fit(X)
    variance = density.density_.covariances_[0, 1, 1]
    assert variance == pytest.approx(density.transformer_.residuals_.var(), abs=2e-6)


def test_jacobian_is_constant_but_for_scores():
    X = sine(300)
    assert np.ptp(ResidualCoordinates().fit(X).log_det(X)) < 1e-12
    assert np.ptp(ResidualCoordinates(gaussianize=True).fit(X).log_det(X)) > 0.1


@pytest.mark.parametrize("gaussianize", [False, True])
def test_inverse_of_several_columns(gaussianize):
    rng = np.random.default_rng(0)
    base = rng.normal(size=(400, 2))
    first = np.sin(2 * base[:, :1]) + base[:, 1:] ** 2
    second = np.cos(2 * base[:, 1:]) + first**2
    X = np.hstack([second, base, first]) + 0.02 * rng.normal(size=(400, 4))
    coordinates = ResidualCoordinates(gaussianize=gaussianize).fit(X)
    assert len(coordinates.removed_) >= 2
    new = X + 0.01
    Z = coordinates.transform(new)
    assert_allclose(coordinates.inverse_transform(Z), new, atol=1e-8)


def test_nothing_is_removed_where_nothing_is_predictable():
    X = RNG.normal(size=(300, 4))
    coordinates = ResidualCoordinates().fit(X)
    assert coordinates.removed_ == []
    assert_allclose(coordinates.transform(X), StandardScaler().fit_transform(X))


def test_copy_of_a_column_keeps_a_scale():
    X = sine(200)[:, [0, 1, 0]]
    coordinates = ResidualCoordinates(min_gain=0).fit(X)
    assert np.isfinite(coordinates.transform(X)).all()
    assert coordinates.log_det(X).max() < 20


@pytest.mark.parametrize(
    "transformer",
    [
        MarginalGaussianizer(),
        ResidualCoordinates(),
        ResidualCoordinates(gaussianize=True),
    ],
    ids=["scores", "residuals", "residuals of scores"],
)
def test_density_in_two_columns_integrates_to_one(transformer):
    X = sine(300, noise=0.3)
    mixture = GaussianMixture(4, shrinkage=2, random_state=0)
    density = TransformedDensity(transformer, mixture).fit(X)
    axes = [np.linspace(-12, 18, 700), np.linspace(-9, 9, 700)]
    cell = np.array([axis[1] - axis[0] for axis in axes])
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    # Tables have edges: one point drawn in each cell has no preference for them.
    points += cell * np.random.default_rng(0).uniform(-0.5, 0.5, size=points.shape)
    total = np.exp(density.score_samples(points)).sum() * cell.prod()
    assert total == pytest.approx(1, abs=2e-3)


def test_names_are_those_of_the_columns():
    for transformer in (MarginalGaussianizer(), ResidualCoordinates()):
        names = transformer.fit(sine(60)).get_feature_names_out(["a", "b"])
        assert names.tolist() == ["a", "b"]


RNG_OF_TIES = np.random.default_rng(0)
TIED = {
    "half ones": np.arange(500) % 2,
    "a tenth ones": np.arange(500) % 10 == 0,
    "nine tenths ones": np.arange(500) % 10 > 0,
    "rare counts": RNG_OF_TIES.poisson(0.2, 500),
    "large counts": 50 * RNG_OF_TIES.poisson(0.2, 500),
    "counts": RNG_OF_TIES.poisson(3, 500),
    "zeros": np.where(np.arange(500) < 250, 0, RNG_OF_TIES.lognormal(size=500)),
    "rounded": RNG_OF_TIES.normal(size=500).round(1),
    "coarse": RNG_OF_TIES.normal(size=500).round(),
    "clipped": np.clip(RNG_OF_TIES.normal(size=500), -1, 1),
    "far sample": np.append(np.arange(499) % 2, 1e6),
}


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("name", TIED)
def test_scores_of_ties_are_in_the_middle_of_them(name, bounded):
    column = TIED[name].astype(float)
    other = np.random.default_rng(1).normal(size=500)
    low, high = column.min(), column.max()
    margin = 0.01 * (high - low)
    bounds = [(low - margin, high + margin), None] if bounded else None
    copula = GaussianMixtureCopula(GaussianMixture(), bounds=bounds)
    rows = np.column_stack([column, other])
    Z = copula.fit(rows).transformer_.transform(rows)
    assert abs(Z[:, 0].mean()) < 0.1
    assert Z[:, 0].std() < 1.05
    assert low <= copula.marginal([0]).mean[0] <= high
    draws = copula.sample(2000, random_state=0)[0][:, 0]
    quantiles = np.quantile(draws, [0.01, 0.99])
    spread = column.std() if name != "far sample" else 20
    assert low - spread <= quantiles[0] <= quantiles[1] <= high + spread

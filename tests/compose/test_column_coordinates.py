"""Normal scores of columns, and residuals of predictable ones."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.preprocessing import StandardScaler

from skgmje import GaussianMixture, TransformedDensity
from skgmje.compose import MarginalGaussianizer, ResidualCoordinates
from skgmje.compose._marginal_gaussianizer import fit_column
from skgmje.compose._residual_coordinates import fit_kernel_ridge

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

"""Laws of every change of variables."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
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

from skgmje.compose import MarginalGaussianizer, ResidualCoordinates
from skgmje.compose._bijections import BIJECTIONS, bijection

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

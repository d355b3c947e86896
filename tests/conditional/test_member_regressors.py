"""Members of a stack that predict distributions, however they tell them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, QuantileRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmje import Mixture, StackingConditionalDensity

SMALL = {"max_iter": 30, "n_members": 5, "hidden_layer_sizes": (4,), "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Line(RegressorMixin, BaseEstimator):
    """A regression line with Gaussian errors; the subclasses tell of them."""

    def fit(self, X, y):
        self.line_ = LinearRegression().fit(X, y)
        self.scale_ = np.std(y - self.line_.predict(X))
        return self


class OfMixtures(Line):
    def predict_mixture(self, X):
        means = self.line_.predict(X)[:, None, None]
        variance = np.full((len(X), 1), self.scale_**2)
        return Mixture(np.ones((len(X), 1)), means, variance, "spherical")


class OfQuantiles(Line):
    def predict_quantiles(self, X, levels):
        return self.line_.predict(X)[:, None] + self.scale_ * norm.ppf(levels)


class Crossing(OfQuantiles):
    """Three values stand for twenty, in no order."""

    def predict_quantiles(self, X, levels):
        values = super().predict_quantiles(X, levels)
        return values[:, [15, 10, 5]][:, np.arange(20) % 3]


class OfBars(Line):
    def predict_bars(self, X):
        steps = np.linspace(-5, 5, 201)
        edges = self.line_.predict(X)[:, None] + self.scale_ * steps
        return edges, np.tile(np.diff(norm.cdf(steps)), (len(X), 1))


class OfObjects(BaseEstimator):
    """As those of NGBoost, which have no tags of a regressor."""

    def fit(self, X, y):
        self.line_ = OfMixtures().fit(X, y)
        return self

    def pred_dist(self, X):
        return norm(self.line_.line_.predict(X), self.line_.scale_)


WITHIN = [
    lambda inner: make_pipeline(StandardScaler(), inner),
    lambda inner: TransformedTargetRegressor(inner),
    lambda inner: GridSearchCV(make_pipeline(inner), {}, cv=2),
]
MEMBERS = [OfMixtures(), OfQuantiles(), OfBars(), OfObjects()]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2))
    return X, 10 + 3 * (X[:, 0] + 0.3 * rng.normal(size=120))


@pytest.fixture(scope="module")
def exact(rows):
    X, y = rows
    return StackingConditionalDensity([("own", OfMixtures())], **SMALL).fit(X, y)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda m: type(m).__name__)
def test_all_answers_say_the_same(member, rows, exact):
    X, y = rows
    density = StackingConditionalDensity([("own", member)], **SMALL).fit(X, y)
    assert {"own", "stack"} <= set(density.pool_weights_)
    assert_allclose(density.member_rmse_["own"], exact.member_rmse_["own"], rtol=1e-3)
    assert_allclose(density.oof_nll_, exact.oof_nll_, atol=0.05)
    # The member itself, without what sees it.
    found, known = (
        each._model.members["own"].predict(X, X).mixture for each in (density, exact)
    )
    assert_allclose(found.mean, known.mean, atol=0.01)
    assert_allclose(found.covariance, known.covariance, rtol=0.05)


@pytest.mark.parametrize(
    "member",
    [
        QuantileRegressor(alpha=0.0),
        make_pipeline(StandardScaler(), OfObjects()),
        Crossing(),
        *(each(QuantileRegressor(alpha=0.0)) for each in WITHIN),
        pytest.param(
            HistGradientBoostingRegressor(
                loss="quantile", quantile=0.5, learning_rate=0.5, max_iter=5
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            GradientBoostingRegressor(
                loss="quantile", learning_rate=0.5, n_estimators=5
            ),
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda m: type(m).__name__,
)
def test_quantiles_of_others(member, rows):
    X, y = rows
    density = StackingConditionalDensity([("own", member)], **SMALL).fit(X, y)
    assert density.member_rmse_["own"] < 0.7 * y.std()
    mixture = density._model.members["own"].predict(X, X).mixture
    assert 0.1 < np.sqrt(mixture.covariance).mean() < 1.0


@pytest.mark.parametrize("within", WITHIN)
def test_what_takes_no_weights_is_shown_copies(within, rows):
    X, y = rows[0][:40], rows[1][:40]
    copies = np.arange(40) % 3
    member = within(QuantileRegressor(alpha=0.0))
    density = StackingConditionalDensity([("own", member)], **SMALL)
    density.fit(X, y, sample_weight=copies)
    assert "own" in density.member_rmse_


class Memory(OfMixtures):
    """Is sure of the samples that it has seen."""

    def fit(self, X, y):
        self.known_ = {row.tobytes(): target for row, target in zip(X, y, strict=True)}
        return self

    def predict_mixture(self, X):
        found = [self.known_.get(row.tobytes()) for row in X]
        means = np.array([0.0 if y is None else y for y in found])[:, None, None]
        scales = np.array([10.0 if y is None else 0.01 for y in found])
        return Mixture(np.ones((len(X), 1)), means, scales[:, None] ** 2, "spherical")


def test_a_density_that_memorises_gains_nothing(rows):
    X, y = rows
    density = StackingConditionalDensity([("memory", Memory())], **SMALL).fit(X, y)
    assert_allclose(density.member_rmse_["memory"], np.sqrt(np.mean(y**2)))
    assert density.oof_nll_ > 1.0


def test_of_several_targets_the_spreads_are_seen(rows):
    X, y = rows
    Y = np.column_stack([y, X[:, 1] - y])
    density = StackingConditionalDensity([("own", OfBars())], **SMALL).fit(X, Y)
    assert set(density.pool_weights_) == {"stack"}
    prediction = density._model.members["own"].predict(X, X)
    assert prediction.means.shape == (120, 2, 1)
    assert prediction.log_stds.shape == (120, 2)


class Empty(OfBars):
    def predict_bars(self, X):
        edges, bars = super().predict_bars(X)
        return edges, 0 * bars


def test_empty_bars_are_told(rows):
    X, y = rows
    density = StackingConditionalDensity(["gp", ("own", Empty())], **SMALL)
    with pytest.warns(UserWarning, match="'own' was dropped.*must not be empty"):
        density.fit(X, y)


class Turned(OfQuantiles):
    def predict_quantiles(self, X, levels):
        return super().predict_quantiles(X, levels).T


class OneRow(OfBars):
    def predict_bars(self, X):
        edges, bars = super().predict_bars(X)
        return edges[0], bars[0]


class FewEdges(OfBars):
    def predict_bars(self, X):
        edges, bars = super().predict_bars(X)
        return edges[:2], bars


class OneMixture(OfMixtures):
    def predict_mixture(self, X):
        return super().predict_mixture(X)[0]


class Short(Line):
    def predict(self, X):
        return self.line_.predict(X)[:-1]


@pytest.mark.parametrize(
    ("member", "told"),
    [
        (Turned(), r"predict_quantiles .*\(20, 24\); expected \(24, 20\)"),
        (OneRow(), r"predict_bars .*\(200,\); expected \(24, 200\)"),
        (FewEdges(), r"predict_bars .*\(2, 201\); expected \(24, 201\)"),
        (OneMixture(), r"predict_mixture .*\(1,\); expected \(24, 1\)"),
        (Short(), r"predict .*\(23,\); expected \(24,\)"),
    ],
    ids=lambda m: type(m).__name__,
)
def test_wrong_shapes_are_told(member, told, rows):
    X, y = rows
    density = StackingConditionalDensity([("own", member)], **SMALL)
    with pytest.warns(UserWarning, match=f"'own' was dropped.*{told}"):
        density.fit(X, y)

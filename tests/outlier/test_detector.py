"""The detector: its score, its threshold, its parts, and ugly rows."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.mixture import BayesianGaussianMixture
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import PowerTransformer, StandardScaler

from skgmje import (
    DensityOutlierDetector,
    GaussianMixture,
    GrowingNeuralGasMixture,
    TransformedDensity,
    as_mixture,
)
from skgmje.mixture import GasGrowth

MIXTURES = [
    GaussianMixture(2, random_state=0),
    SklearnMixture(2, random_state=0),
    BayesianGaussianMixture(n_components=2, random_state=0),
    KernelDensity(),
    GridSearchCV(KernelDensity(), {"bandwidth": [0.3, 1.0]}),
    GrowingNeuralGasMixture(
        20, growth=GasGrowth(insertion_interval=20), random_state=0
    ),
]
OTHERS = [
    KernelDensity(kernel="tophat", bandwidth=3.0),
    TransformedDensity(StandardScaler(), KernelDensity(kernel="epanechnikov")),
]


@pytest.fixture
def X(rng):
    return rng.normal(size=(400, 3)) @ [[1.0, 0.5, 0], [0, 1, 0], [0, 0, 100]] + 5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def fit(X, **params):
    return DensityOutlierDetector(random_state=0, **params).fit(X)


@pytest.mark.parametrize("density", MIXTURES, ids=lambda d: type(d).__name__)
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_score_is_the_mean_of_joint_and_marginals(X, density, weight):
    detector = fit(X, density=density, marginal_weight=weight)
    fitted = getattr(detector.density_, "best_estimator_", detector.density_)
    mixture = as_mixture(fitted)
    marginals = sum(mixture.marginal([j]).log_prob(X[:, [j]]) for j in range(3))
    joint = detector.density_.score_samples(X)
    np.testing.assert_allclose(
        detector.score_samples(X), weight * marginals + (1 - weight) * joint
    )


@pytest.mark.parametrize("density", OTHERS)
def test_other_densities_are_scored_as_they_are(X, density):
    detector = fit(X, density=density)
    assert detector.marginal_weight_ == 0
    rows = np.vstack([X, X[:1] + 1e6])
    np.testing.assert_array_equal(
        detector.score_samples(rows), clone(density).fit(X).score_samples(rows)
    )
    assert detector.predict(rows)[-1] == -1
    assert not np.isnan(detector.decision_function(rows)).any()
    with pytest.raises(TypeError, match=r"(?s)marginals of .* are not known"):
        detector.explain(X)


def test_transformed_density_has_marginals_and_bounds(X):
    X = np.exp(X[:, :2] - 5)
    density = TransformedDensity(PowerTransformer("box-cox"), GaussianMixture())
    detector = fit(X, density=density, marginal_weight=1.0)
    Z = detector.density_.transformer_.transform(X)
    slopes = detector.density_.score_samples(X)
    slopes = slopes - detector.density_.density_.score_samples(Z)
    spread = Z.std(axis=0)
    expected = norm.logpdf(Z, Z.mean(axis=0), spread).sum(axis=1) + slopes
    np.testing.assert_allclose(detector.score_samples(X), expected, atol=1e-3)
    outside = [[-1.0, 1.0]]
    assert detector.score_samples(outside) == -np.inf
    assert detector.predict(outside) == -1


@pytest.mark.parametrize("power", [1, 3])
def test_default_density_integrates_to_one(rng, power):
    X = rng.gamma(0.3, size=(500, 1)) ** power
    detector = fit(X)
    # A grid in the logarithm: these rows span many orders of magnitude.
    u = np.linspace(-60, 60, 400_001)
    total = sum(
        np.trapezoid(np.exp(detector.log_density(sign * np.exp(u)[:, None]) + u), u)
        for sign in (-1, 1)
    )
    # Of the more skewed one some mass is beyond the largest number.
    assert total == pytest.approx(1, abs=2e-3 if power == 1 else 0.02)


def test_scores_only_shift_with_the_units(X):
    scale = np.array([1e-6, 10.0, 1e5])
    one, other = fit(X), fit(X * scale - 7)
    change = one.score_samples(X) - other.score_samples(X * scale - 7)
    np.testing.assert_allclose(change, np.log(scale).sum(), atol=1e-6)
    np.testing.assert_allclose(one.explain(X), other.explain(X * scale - 7), atol=1e-6)


@pytest.mark.parametrize("heavy", [False, True])
def test_farther_rows_are_ever_more_anomalous(rng, heavy):
    X = rng.standard_cauchy((300, 2)) if heavy else rng.normal(size=(300, 2))
    X[:, 1] = np.abs(X[:, 1])
    detector = fit(X)
    far = 40 * X.std(axis=0).max() * np.logspace(0, 300, 61)
    for direction in ([1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, 0.5]):
        for scores in (
            detector.score_samples(far[:, None] * direction),
            detector.log_density(far[:, None] * direction),
        ):
            assert np.isfinite(scores).all()
            assert (np.diff(scores) < 0).all()
            assert scores[0] < np.quantile(detector.score_samples(X), 0.03)


def test_explanation_names_the_column_and_sums_with_the_rest(X):
    detector = fit(X)
    rows = X[:50].copy()
    rows[:, 1] += 8
    parts = detector.explain(rows)
    assert (parts.argmin(axis=1) == 1).all()
    rest = detector.score_samples(rows) - parts.sum(axis=1)
    joint = detector.log_density(rows)
    marginals = (parts + detector.baseline_).sum(axis=1)
    expected = detector.baseline_.sum() + 0.25 * (joint - marginals)
    np.testing.assert_allclose(rest, expected)
    np.testing.assert_allclose(np.median(detector.explain(X), axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("contamination", [0.05, 0.29, 0.5])
def test_share_of_outliers_is_the_contamination(X, contamination):
    detector = DensityOutlierDetector(contamination=contamination, random_state=0)
    labels = detector.fit_predict(X)
    assert np.sum(labels == -1) == round(contamination * len(X))
    np.testing.assert_array_equal(
        labels, fit(X, contamination=contamination).predict(X)
    )


def test_survives_contamination_where_a_density_does_not(rng):
    rows = np.vstack([rng.normal(size=(900, 8)), rng.normal(2.5, 0.4, size=(100, 8))])
    is_normal = np.arange(1000) < 900

    def area(marginal_weight):
        detector = fit(rows, marginal_weight=marginal_weight)
        return roc_auc_score(is_normal, detector.score_samples(rows))

    assert area(0.75) > 0.9
    assert area(0.0) < 0.6


def test_weights_count_as_copies(X):
    weight = np.arange(len(X)) % 4
    X = X.round()
    few = np.unique(X[:60], axis=0)[:30]
    weight = weight[: len(few)]
    one = fit(few, contamination=0.2)
    one.fit(few, sample_weight=weight)
    other = fit(np.repeat(few, weight, axis=0), contamination=0.2)
    np.testing.assert_allclose(one.score_samples(X), other.score_samples(X))
    assert one.offset_ == pytest.approx(other.offset_)


UGLY = {
    "two rows": lambda rng: rng.normal(size=(2, 4)),
    "many columns": lambda rng: rng.normal(size=(20, 300)),
    "rather many columns": lambda rng: rng.normal(size=(80, 90)),
    "all the same": lambda rng: np.ones((30, 3)),
    "a constant column": lambda rng: np.c_[np.full(100, 7.0), rng.normal(size=100)],
    "nearly constant": lambda rng: 1e9 + np.spacing(1e9) * rng.integers(0, 2, (50, 2)),
    "bits": lambda rng: rng.integers(0, 2, (200, 5)).astype(float),
    "mostly zeros": lambda rng: rng.poisson(0.05, (300, 8)).astype(np.float32),
    "huge": lambda rng: 1e140 * rng.standard_cauchy((100, 2)).clip(-1e3, 1e3),
    "tiny": lambda rng: 1e-120 * rng.normal(size=(100, 2)),
    "copies": lambda rng: np.repeat(rng.normal(size=(3, 2)), 50, axis=0),
}


@pytest.mark.parametrize("name", UGLY)
def test_ugly_rows_get_finite_scores(rng, name):
    X = UGLY[name](rng)
    detector = fit(X)
    far = X[:1].astype(np.float64)
    rows = np.vstack([X, far + 1.0, far * 1e9, -far * 1e100])
    for answer in (detector.score_samples, detector.explain, detector.log_density):
        assert np.isfinite(answer(rows)).all()


def test_another_value_in_a_constant_column_is_an_outlier(rng):
    X = np.c_[np.full(200, 7.0), rng.normal(size=200)]
    detector = fit(X)
    scores = detector.score_samples([[7.0, 0.0], [9.0, 0.0], [29.0, 0.0]])
    assert (np.diff(scores) < 0).all()
    assert detector.predict([[29.0, 0.0]]) == -1


def test_learns_from_a_part_of_many_rows(X):
    detector = fit(X, max_samples=100)
    same = fit(X, max_samples=100)
    np.testing.assert_array_equal(detector.score_samples(X), same.score_samples(X))
    part = X[np.random.RandomState(0).permutation(len(X))[:100]]
    np.testing.assert_allclose(detector.density_.coordinates.loc, part.mean(axis=0))


def test_names_of_columns(X):
    pandas = pytest.importorskip("pandas")
    detector = fit(pandas.DataFrame(X, columns=["a", "b", "c"]))
    assert detector.feature_names_in_.tolist() == ["a", "b", "c"]
    assert detector.n_features_in_ == 3


def test_bad_input_is_named(X):
    with pytest.raises(TypeError, match=r"density=StandardScaler\(\) has no method"):
        fit(X, density=StandardScaler())
    no_weights = DensityOutlierDetector(SklearnMixture())
    with pytest.raises(TypeError, match="takes no sample_weight"):
        no_weights.fit(X, sample_weight=np.ones(len(X)))
    for name, value in {
        "contamination": 0.7,
        "marginal_weight": 1.5,
        "max_samples": 1,
    }.items():
        with pytest.raises(ValueError, match=f"'{name}' parameter .* Got {value}"):
            fit(X, **{name: value})
    with pytest.raises(ValueError, match="NaN"):
        fit(np.where(X > X.mean(), np.nan, X))
    with pytest.raises(ValueError, match="overflow"):
        fit(X * 1e200)


class Broken(KernelDensity):
    """Scores that are not numbers, or no density at all."""

    def __init__(self, value=np.nan):
        super().__init__()
        self.value = value

    def score_samples(self, X):
        return np.full(len(X), self.value)


def test_broken_density_is_named(X):
    with pytest.raises(
        ValueError, match=r"Broken\(.*\) gives 400 samples a score of NaN"
    ):
        fit(X, density=Broken(), marginal_weight=0)
    with pytest.raises(ValueError, match="none of the samples to fit a finite score"):
        fit(X, density=Broken(-np.inf), marginal_weight=0)

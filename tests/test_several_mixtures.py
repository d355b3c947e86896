"""What takes one mixture says so of several, which can be indexed."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skgmje import Mixture, as_mixture, inspection, metrics, to_sklearn
from skgmje.em import block_stats, expectation_maximization, merge_stats
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.mixture import GaussianMixture

X = np.random.default_rng(0).normal(size=(30, 2))
JOINT = Mixture([0.4, 0.6], np.eye(2, 4), np.eye(4)[None] * np.ones((2, 1, 1)))
SEVERAL = JOINT.condition([0, 1], X[:3])
ONE_MEANT = {
    "as_mixture": as_mixture,
    "to_sklearn": to_sklearn,
    "from_parameters": lambda m: GaussianMixture.from_parameters(
        m.weights, m.means, m.covariances
    ),
    "MixtureDisplay": lambda m: inspection.MixtureDisplay.from_estimator(m, X),
    "DensityDisplay": lambda m: inspection.DensityDisplay.from_estimator(m, X),
    "marginal": lambda m: inspection.DensityDisplay.from_estimator(m, X, features=0),
    "ConditionalDensityDisplay": lambda m: (
        inspection.ConditionalDensityDisplay.from_estimator(m, X[:, :1], X[:, 1])
    ),
    "CalibrationDisplay": lambda m: inspection.CalibrationDisplay.from_estimator(
        m, X[:, :1], X[:, 1]
    ),
    "feature_surprise": lambda m: metrics.feature_surprise(m, X),
    "conditional_surprise": lambda m: metrics.conditional_surprise(m, X),
    "mutual_information": lambda m: metrics.mutual_information(m, [[0], [1]]),
    "monte_carlo_kl": lambda m: metrics.monte_carlo_kl(m, m),
    "monte_carlo_l2": lambda m: metrics.monte_carlo_l2(m, m),
    "monte_carlo_cauchy_schwarz": lambda m: metrics.monte_carlo_cauchy_schwarz(m, m),
    "expectation_maximization": lambda m: expectation_maximization(X, m, max_iter=2),
    "block_stats": lambda m: block_stats(m, X, center=np.zeros(2)),
    "merge_stats": lambda m: merge_stats(
        m, *2 * [block_stats(SEVERAL[0], X, center=np.zeros(2))]
    ),
}


@pytest.mark.parametrize("name", ONE_MEANT)
def test_where_one_is_meant_several_are_refused(name):
    function = ONE_MEANT[name]
    with pytest.raises(
        ValueError, match=r"several mixtures of shape \(3,\).*Index one"
    ):
        function(SEVERAL)
    if "Display" not in name or name in ("MixtureDisplay", "DensityDisplay"):
        function(SEVERAL[1])


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_a_mixture_of_one_sample_is_its_density(kind, library):
    mixture = GaussianMixture(3, covariance_type=kind, rank=1, random_state=0).fit(
        np.random.default_rng(1).normal(size=(90, 3))
    )
    several = mixture.mixture_.condition([0], X[:5, :1])
    if library == "torch":
        torch = pytest.importorskip("torch")

        def tensor(array):
            return torch.tensor(np.array(array))

        parts = several.covariances
        parts = tuple(map(tensor, parts)) if isinstance(parts, tuple) else tensor(parts)
        several = Mixture(tensor(several.weights), tensor(several.means), parts, kind)
    points = X[:5]
    expected = np.asarray(several.log_prob(points))
    alone = [float(several[i].log_prob(points[i])) for i in range(5)]
    assert_allclose(alone, expected)
    assert several[-1].means.ndim == 2
    for some in (slice(1, 4), [1, 2, 3], np.isin(np.arange(5), [1, 2, 3])):
        found = several[some].log_prob(points[1:4])
        assert_allclose(np.asarray(found), expected[1:4])
    assert [m.n_components for m in several] == [3] * 5
    with pytest.raises(IndexError):
        several[5]


def test_one_mixture_has_no_samples():
    for mixture, index in ((JOINT, 0), (SEVERAL, (0, 1))):
        with pytest.raises(TypeError, match="cannot be indexed by"):
            mixture[index]
    with pytest.raises(TypeError):
        iter(JOINT).__next__()
    assert not SEVERAL[0].means.flags.writeable
    mixed = Mixture.mix([SEVERAL, SEVERAL[0]], [0.5, 0.5])
    assert_array_equal(mixed[0].mean, SEVERAL[0].mean)

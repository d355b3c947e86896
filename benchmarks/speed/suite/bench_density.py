"""Scoring, fitting and conditioning of Gaussian mixtures."""

import numpy as np

from skgmje import GaussianMixture, Mixture
from skgmje.em import expectation_maximization

COVARIANCES = {
    "full": lambda k, d: np.tile(np.eye(d), (k, 1, 1)),
    "tied": lambda k, d: np.eye(d),
    "diag": lambda k, d: np.ones((k, d)),
    "spherical": lambda k, d: np.ones(k),
    "low-rank": lambda k, d: (np.full((k, d, 4), 0.1), np.ones((k, d))),
}


def draw(kind, n, d, k):
    """Return a mixture and rows near its means."""
    rng = np.random.default_rng(0)
    means = 2 * rng.standard_normal((k, d))
    X = means[rng.integers(k, size=n)] + rng.standard_normal((n, d))
    return Mixture(np.full(k, 1 / k), means, COVARIANCES[kind](k, d), kind), X


class ScoreSamples:
    """Log-densities of 20000 rows, (d, K) = (16, 32)."""

    params = tuple(COVARIANCES)
    param_names = ("covariance_type",)

    def setup(self, kind):
        """Prepare a fitted estimator."""
        mixture, self.X = draw(kind, 20_000, 16, 32)
        self.density = GaussianMixture.from_parameters(
            mixture.weights, mixture.means, mixture.covariances, kind
        )
        self.density.score_samples(self.X[:1])

    def time_score_samples(self, kind):
        """Score all rows."""
        self.density.score_samples(self.X)

    def time_score_one_row(self, kind):
        """Score one row."""
        self.density.score_samples(self.X[:1])

    def peakmem_score_samples(self, kind):
        """Score all rows."""
        self.density.score_samples(self.X)


class Fit:
    """EM on 20000 rows, (d, K) = (16, 32)."""

    params = tuple(COVARIANCES)
    param_names = ("covariance_type",)

    def setup(self, kind):
        """Prepare rows and a start."""
        self.start, self.X = draw(kind, 20_000, 16, 32)

    def time_em_iteration(self, kind):
        """Take one E-step and one M-step."""
        expectation_maximization(self.X, self.start, max_iter=1)

    def peakmem_em_iteration(self, kind):
        """Take one E-step and one M-step."""
        expectation_maximization(self.X, self.start, max_iter=1)


class Condition:
    """Regression on 2000 rows, 32 + 8 features, K = 32."""

    def setup(self):
        """Prepare a mixture and the known features."""
        self.mixture, X = draw("full", 2000, 40, 32)
        self.given = np.arange(32)
        self.values = X[:, :32]

    def time_conditional_mean(self):
        """Compute the mean of the other features."""
        self.mixture.condition(self.given, self.values).mean  # noqa: B018


class Select:
    """The number of components by held-out likelihood, 2000 rows, 4 features."""

    params = ("full", "diag")
    param_names = ("covariance_type",)
    timeout = 300

    def setup(self, kind):
        """Draw rows."""
        self.X = draw("diag", 2000, 4, 8)[1]
        self.density = GaussianMixture("auto", covariance_type=kind, random_state=0)

    def time_fit(self, kind):
        """Choose and fit."""
        self.density.fit(self.X)

"""Cases of `ratios.py` about whole fits, some against fits of our own."""

import time
import warnings
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnMixture

from benchmarks.shared.harness import Case, Timing
from benchmarks.speed._density_cases import draw
from skgmje import GaussianMixture, StackingConditionalDensity, StackingDensity


def _fit(cls, **settings):
    """Return a function that fits and says nothing of convergence or few samples."""

    def run(X):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", UserWarning)
            return cls(random_state=0, **settings).fit(X)

    return run


def _against_peer(X, **settings):
    def difference(peer, ours):
        return {
            "log-likelihood above the peer's": float(ours.score(X) - peer.score(X)),
            "iterations": f"{ours.n_iter_} / {peer.n_iter_}",
        }

    sides = _fit(SklearnMixture, **settings), _fit(GaussianMixture, **settings)
    return Case(*sides, (X,), difference=difference)


def given_start(n, d, k):
    """Six EM iterations from parameters that are all given."""
    mixture, X = draw("full", n, d, k)
    precisions = np.linalg.inv(mixture.covariances)
    start = {
        "weights_init": mixture.weights,
        "means_init": mixture.means + 0.3,
        "precisions_init": 0.5 * (precisions + precisions.transpose(0, 2, 1)),
    }
    return _against_peer(X, n_components=k, max_iter=6, tol=0, **start)


def own_start(n, d, k):
    """A fit from its k-means until the likelihood stops."""
    return _against_peer(draw("full", n, d, k)[1], n_components=k)


def low_rank(n, d, k, rank):
    """Few samples of many features: low-rank covariances over diagonal ones."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, d))
    centers = 3 * rng.standard_normal((k, d))
    X = latent + centers[rng.integers(k, size=n)] + rng.standard_normal((n, d))
    diag = _fit(GaussianMixture, n_components=k, covariance_type="diag")
    own = {"n_components": k, "covariance_type": "low-rank", "rank": rank}
    return Case(diag, _fit(GaussianMixture, **own), (X,))


def missing(n, d, share=0.3):
    """All settings automatic: with missing values over the same samples without."""
    X = draw("full", n, d, 3)[1]
    gone = np.random.default_rng(1).uniform(size=X.shape) < share
    names = "n_components", "covariance_type", "shrinkage", "reg_covar"
    fit = _fit(GaussianMixture, **dict.fromkeys(names, "auto"))
    holes = np.where(gone, np.nan, X)
    return Case(lambda X, holes: fit(X), lambda X, holes: fit(holes), (X, holes))


def _table(n, d):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    return X, np.sin(X[:, 0]) + 0.3 * X[:, 1] * rng.standard_normal(n)


def two_jobs(name, n, d, repeats=1):
    """Wall seconds of a stack on one process and on two, which have begun."""
    times = {1: [], 2: []}
    # Processes begin once and then wait for work.
    _stacks(60, 2)[name](2)
    for _ in range(repeats):
        for n_jobs in times:
            start = time.perf_counter()
            _stacks(n, d)[name](n_jobs)
            times[n_jobs].append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(times[1], times[2], strict=True)]
    return Timing(*(float(np.median(times[i])) for i in (1, 2)), ratios, None)


def _stacks(n, d):
    X, y = _table(n, d)
    return {
        "density": lambda n_jobs: StackingDensity(n_jobs=n_jobs, random_state=0).fit(
            np.column_stack([X, y])
        ),
        "conditional": lambda n_jobs: StackingConditionalDensity(
            n_jobs=n_jobs, random_state=0
        ).fit(X, y),
    }


GIVEN = "scikit-learn GaussianMixture.fit"

# The rows of `ratios.py` that these cases make.
ROWS = {
    "fit-six": {
        "what": "whole fit of six EM iterations, all given, full (1e5, 16, 32)",
        "peer": GIVEN,
        "at_least": 5,
        "aim": 8,
        "make": partial(given_start, 100_000, 16, 32),
    },
    "fit-small": {
        "what": "whole fit with its k-means, full (20000, 8, 16)",
        "peer": GIVEN,
        "at_least": 4,
        "aim": 6,
        "make": partial(own_start, 20_000, 8, 16),
    },
    "low-rank": {
        "what": "whole fit, low rank 8, (300, 1536, 8)",
        "peer": "our diag",
        "at_least": 20,
        "aim": 7,
        "make": partial(low_rank, 300, 1536, 8, 8),
        "lower": True,
    },
    "missing-few": {
        "what": "30 % missing, all settings 'auto', (200, 3)",
        "peer": "ours, none missing",
        "at_least": 3,
        "aim": 2,
        "make": partial(missing, 200, 3),
        "lower": True,
    },
    "missing-many": {
        "what": "30 % missing, all settings 'auto', (2000, 8)",
        "peer": "ours, none missing",
        "at_least": 3,
        "aim": 2,
        "make": partial(missing, 2000, 8),
        "lower": True,
    },
    "jobs-density": {
        "what": "StackingDensity, n_jobs=2, wall time, (1000, 5)",
        "peer": "n_jobs=1",
        "at_least": 0.62,
        "aim": 0.55,
        "make": partial(two_jobs, "density", 1000, 4),
        "lower": True,
    },
    "jobs-conditional": {
        "what": "StackingConditionalDensity, n_jobs=2, wall time, (1000, 4)",
        "peer": "n_jobs=1",
        "at_least": 0.62,
        "aim": 0.55,
        "make": partial(two_jobs, "conditional", 1000, 4),
        "lower": True,
    },
}

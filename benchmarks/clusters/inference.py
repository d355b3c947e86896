"""How often bootstrap intervals cover the truth, and a true hypothesis is rejected.

Run ``python -m benchmarks.clusters.inference`` (two CPU minutes; numbers of sets as
arguments, 120 and 60 by default, then of simulated sets for each, 39). Sets are drawn
from two Gaussians in two dimensions; 500 and 1000 sets, with 199 simulated ones each,
take about 40 CPU minutes, which all cores share (LOKY_MAX_CPU_COUNT says how many). The
table is written after each part of the sets, of those so far.
"""

import sys
import warnings

import numpy as np
from joblib import Parallel, delayed
from sklearn.utils import gen_batches

from benchmarks.shared.report import markdown, publish
from skgmje import GaussianMixture, Mixture
from skgmje.metrics import bootstrap_mixture, likelihood_ratio_test

TRUTH = Mixture([0.4, 0.6], [[0.0, 0.0], [3.0, 3.0]], [[1.0, 0.5], [0.5, 1.0]], "diag")
DEFAULTS = ["120", "60", "39"]
SETTING = {"covariance_type": "diag", "random_state": 0}

# Sets whose tests are made before the table is written.
PART = 50


def is_covered(seed):
    """Return which means lie in their 95 % intervals, (2, 2)."""
    warnings.simplefilter("ignore")
    X = TRUTH.sample(300, seed)[0]
    model = GaussianMixture(2, **SETTING).fit(X)
    found = bootstrap_mixture(model, X, n_resamples=200, random_state=seed)
    low, high = found.interval().means
    truth = TRUTH.means[np.argsort(np.argsort(model.means_[:, 0]))]
    return (low <= truth) & (truth <= high)


def is_rejected(seed, n_resamples):
    """Return whether two components are rejected at 5 % in a set that has two."""
    warnings.simplefilter("ignore")
    model, X = GaussianMixture(2, **SETTING), TRUTH.sample(150, 1000 + seed)[0]
    how = {"n_resamples": n_resamples, "random_state": seed}
    return likelihood_ratio_test(model, X, **how).p_value <= 0.05


def main(arguments):
    """Measure and publish everything."""
    n_intervals, n_tests, n_resamples = map(int, arguments + DEFAULTS[len(arguments) :])
    run = Parallel(n_jobs=-1)
    covered = run(delayed(is_covered)(seed) for seed in range(n_intervals))
    rejected = []
    for part in gen_batches(n_tests, PART):
        seeds = range(n_tests)[part]
        rejected += run(delayed(is_rejected)(seed, n_resamples) for seed in seeds)
        report(covered, rejected, n_resamples)


def report(covered, rejected, n_resamples):
    """Publish the shares of the sets so far."""
    name = f"rejected at 5 % by {n_resamples} simulated sets, though true"
    rows = [
        ("95 % intervals of means that cover the truth", covered),
        (name, rejected),
    ]
    rows = [(name, float(np.mean(sets)), len(sets)) for name, sets in rows]
    header = "figure", "share", "sets"
    text = markdown(header, [(name, f"{share:.3f}", n) for name, share, n in rows])
    publish(__file__, "inference", {"header": header, "rows": rows}, text)
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])

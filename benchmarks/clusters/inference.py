"""How often bootstrap intervals cover the truth, and a true hypothesis is rejected.

Run ``python -m benchmarks.clusters.inference`` (five CPU minutes; numbers of sets as
arguments, 120 and 60 by default). Sets are drawn from two Gaussians in two dimensions;
500 and 1000 sets, with 199 simulated ones each, take some hours.
"""

import sys
import warnings

import numpy as np

from benchmarks.shared.report import markdown, publish
from skgmje import GaussianMixture, Mixture
from skgmje.metrics import bootstrap_mixture, likelihood_ratio_test

TRUTH = Mixture([0.4, 0.6], [[0.0, 0.0], [3.0, 3.0]], [[1.0, 0.5], [0.5, 1.0]], "diag")
SETTING = {"covariance_type": "diag", "random_state": 0}


def coverage(n_sets):
    """Return the share of true means in their 95 % intervals, and of how many."""
    covered = []
    for seed in range(n_sets):
        X = TRUTH.sample(300, seed)[0]
        model = GaussianMixture(2, **SETTING).fit(X)
        found = bootstrap_mixture(model, X, n_resamples=200, random_state=seed)
        low, high = found.interval().means
        truth = TRUTH.means[np.argsort(np.argsort(model.means_[:, 0]))]
        covered.append((low <= truth) & (truth <= high))
    return float(np.mean(covered)), n_sets


def rejections(n_sets, n_resamples=39):
    """Return the share of sets of two components that reject two at 5 %."""
    p_values = [
        likelihood_ratio_test(
            GaussianMixture(2, **SETTING),
            TRUTH.sample(150, 1000 + seed)[0],
            n_resamples=n_resamples,
            random_state=seed,
        ).p_value
        for seed in range(n_sets)
    ]
    return float(np.mean(np.array(p_values) <= 0.05)), n_sets


def main(arguments):
    """Measure and publish everything."""
    first, second = map(int, arguments or (120, 60))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [
            ("95 % intervals of means that cover the truth", *coverage(first)),
            ("rejected at 5 %, though true", *rejections(second)),
        ]
    header = "figure", "share", "sets"
    text = markdown(header, [(name, f"{share:.3f}", n) for name, share, n in rows])
    publish(__file__, "inference", {"header": header, "rows": rows}, text)
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])

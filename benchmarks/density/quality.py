"""Held-out log-likelihood of densities on eight data sets, three seeds.

Everything is chosen on the training rows: number of components, covariance
type and shrinkage by ours, K and type by BIC for scikit-learn's mixture, the
bandwidth by cross-validation for the kernel density. The costs are also shown
alone: their centres with weights and one shared variance by likelihood
(``refine="weights"``), and the paper's density as it stands (``refine=None``).

Run ``python -m benchmarks.density.quality`` (about ten minutes), or name some sets.
"""

import sys
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity

from benchmarks.shared.data import SETS, load
from benchmarks.shared.report import markdown, publish
from skgmje.costs import COSTS
from skgmje.mixture import GaussianMixture, KernelMixtureDensity

SEEDS = (0, 1, 2)
TARGETS = dict(
    zip(SETS, (-1.66, -1.77, -1.28, -2.08, -14.6, -8.2, -16.1, -59.5), strict=True)
)
AUTO = dict.fromkeys(
    ("n_components", "covariance_type", "shrinkage", "reg_covar"), "auto"
)


def fit_bic(X):
    """Return scikit-learn's mixture with the lowest BIC."""
    fits = [
        SklearnMixture(k, covariance_type=kind, reg_covar=1e-4, random_state=0).fit(X)
        for kind in ("full", "tied", "diag", "spherical")
        for k in (1, 2, 3, 5, 8, 12, 20, 32)
        if k * 4 <= len(X)
    ]
    return min(fits, key=lambda fit: fit.bic(X))


def fit_kde(X):
    """Return a kernel density with the bandwidth of the best cross-validation."""
    grid = {"bandwidth": np.geomspace(0.05, 2.0, 20)}
    return GridSearchCV(KernelDensity(), grid, cv=5).fit(X).best_estimator_


DENSITIES = {
    "KernelMixtureDensity()": lambda X: KernelMixtureDensity(random_state=0).fit(X),
    "KernelMixtureDensity(refine='em')": lambda X: KernelMixtureDensity(
        refine="em", random_state=0
    ).fit(X),
    "GaussianMixture, all auto": lambda X: GaussianMixture(**AUTO, random_state=0).fit(
        X
    ),
    "scikit-learn mixture by BIC": fit_bic,
    "scikit-learn KDE by CV": fit_kde,
}


def fit_cost(X, cost, refine, n_components):
    """Return the density of one cost with `n_components` centres."""
    return KernelMixtureDensity(
        n_components, cost=cost, refine=refine, random_state=0
    ).fit(X)


def measure(name, seed):
    """Return ``{density: (mean test log-likelihood, CPU seconds)}``."""
    train, test = load(name, seed)
    figures = {}
    for label, fit in DENSITIES.items():
        figures[label], model = _score(lambda fit=fit: fit(train), test)
        if label == "KernelMixtureDensity()":
            n_components = len(model.weights_)
    for cost in COSTS:
        for refine in ("weights", None):
            figures[f"{cost}, refine={refine}"], _ = _score(
                lambda c=cost, p=refine: fit_cost(train, c, p, n_components), test
            )
    return figures


def _score(fit, test):
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)
        model = fit()
    seconds = time.process_time() - start
    return (float(np.mean(model.score_samples(test))), seconds), model


def main(names):
    """Print the table; publish it if all sets were run."""
    results = {}
    for name in names:
        runs = [measure(name, seed) for seed in SEEDS]
        results[name] = {
            label: {
                "log_likelihood": [run[label][0] for run in runs],
                "cpu_seconds": [run[label][1] for run in runs],
            }
            for label in runs[0]
        }
        print(
            name, {k: round(v, 3) for k, v in _means(results[name]).items()}, flush=True
        )
    tables = [
        _table(results, list(DENSITIES), targets=True),
        "Centres of the cost alone, with the same number of components:",
        _table(results, [f"{c}, refine=weights" for c in COSTS]),
        "The paper's density as it stands (its weights, its variance):",
        _table(results, [f"{c}, refine=None" for c in COSTS]),
    ]
    print("\n\n".join(tables))
    if tuple(names) == SETS:
        payload = {"results": results, "targets": TARGETS}
        publish(__file__, "quality", payload, "\n\n".join(tables), excerpt=tables[0])


def _means(result):
    return {k: float(np.mean(v["log_likelihood"])) for k, v in result.items()}


def _table(results, labels, *, targets=False):
    header = ["data", *labels, *(["target"] if targets else [])]
    rows = []
    for name, result in results.items():
        means = _means(result)
        best = max(means[label] for label in labels)
        cells = [
            f"**{means[x]:.3f}**" if means[x] == best else f"{means[x]:.3f}"
            for x in labels
        ]
        rows.append([name, *cells, *([TARGETS[name]] if targets else [])])
    return markdown(header, rows)


if __name__ == "__main__":
    main(sys.argv[1:] or SETS)

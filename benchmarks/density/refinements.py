"""What each cost does by itself, and what is left of it once EM moves the means.

Seven data sets, three seeds. Number of components, covariance type and shrinkage are
those that ``GaussianMixture`` chooses on the training samples, the same for all costs.
With ``refine="covariances"`` the means stay where the cost put them, with ``"em"``
they move.

Run ``python -m benchmarks.density.refinements`` (three minutes), or name some sets.
"""

import sys
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.density.quality import AUTO, SEEDS
from benchmarks.shared.data import SETS, load
from benchmarks.shared.report import markdown, publish
from skgmje.costs import COSTS
from skgmje.mixture import GaussianMixture, KernelMixtureDensity

NAMES = tuple(name for name in SETS if name != "digits-64")
PLACED_BY = ("likelihood", *COSTS)
REFINEMENTS = ("covariances", "em")
NO_COST = "GaussianMixture, all auto"


def measure(name, seed):
    """Return the mean test log-likelihood of each density."""
    train, test = load(name, seed)
    plain = GaussianMixture(**AUTO, random_state=0).fit(train)
    chosen = {
        "n_components": len(plain.weights_),
        "covariance_type": plain.covariance_type_,
        "shrinkage": plain.shrinkage_,
        "random_state": 0,
    }
    figures = {NO_COST: plain.score(test)}
    for refine in REFINEMENTS:
        for cost in PLACED_BY:
            density = KernelMixtureDensity(cost=cost, refine=refine, **chosen)
            figures[f"{cost}, {refine}"] = density.fit(train).score(test)
    return figures


def main(names):
    """Print the tables; publish them if all sets were run."""
    results = {}
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", UserWarning)
            runs = [measure(name, seed) for seed in SEEDS]
        results[name] = {label: [run[label] for run in runs] for label in runs[0]}
        print(name, flush=True)
    text = "\n\n".join(
        f'Mean log-likelihood, `refine="{how}"`:\n\n{_table(results, how)}'
        for how in REFINEMENTS
    )
    print(text)
    if tuple(names) == NAMES:
        publish(__file__, "refinements", {"results": results}, text)


def _table(results, refine):
    """Return one line for each set; with what the cost decides, best less worst."""
    lines = []
    for name, result in results.items():
        means = [np.mean(result[f"{cost}, {refine}"]) for cost in PLACED_BY]
        best = max(means)
        cells = [f"**{x:.3f}**" if x == best else f"{x:.3f}" for x in means]
        spread = f"{np.ptp(means):.3f}"
        lines.append([name, *cells, spread, f"{np.mean(result[NO_COST]):.3f}"])
    return markdown(["data", *PLACED_BY, "best less worst", NO_COST], lines)


if __name__ == "__main__":
    main(sys.argv[1:] or NAMES)

"""What each cost does by itself, and what is left of it once EM moves the means.

Part `means`: seven data sets, three seeds. Number of components, covariance type and
shrinkage are those that ``GaussianMixture`` chooses on the training samples, the same
for all costs. With ``refine="covariances"`` the means stay where the cost put them,
with ``"em"`` they move. Part `folds`: ten folds of the training samples of the first
seed, to say which differences of the four costs are more than chance. Part `tenth`:
``refine="weights"`` with a tenth of the samples as centers, a compressed kernel density
estimate, beside scikit-learn's of all samples with a cross-validated bandwidth, and
beside centers that likelihood places for kernels of one variance.

Run ``python -m benchmarks.density.refinements`` (ten minutes), or name some parts.
"""

import sys
import timeit
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, cross_val_score

from benchmarks.density.quality import AUTO, SEEDS, fit_kde
from benchmarks.shared.data import SETS, TOYS, load
from benchmarks.shared.report import markdown, publish
from skgmje.costs import COSTS
from skgmje.mixture import GaussianMixture, KernelMixtureDensity

NAMES = tuple(name for name in SETS if name != "digits-64")
PLACED_BY = ("likelihood", *COSTS)
REFINEMENTS = ("covariances", "em")
NO_COST = "GaussianMixture, all auto"


FOLDS = KFold(10, shuffle=True, random_state=0)


def choose(train):
    """Return the mixture without a cost, and its settings for all others."""
    plain = GaussianMixture(**AUTO, random_state=0).fit(train)
    return plain, {
        "n_components": len(plain.weights_),
        "covariance_type": plain.covariance_type_,
        "shrinkage": plain.shrinkage_,
        "random_state": 0,
    }


def measure(name, seed):
    """Return the mean test log-likelihood of each density."""
    train, test = load(name, seed)
    plain, chosen = choose(train)
    figures = {NO_COST: plain.score(test)}
    for refine in REFINEMENTS:
        for cost in PLACED_BY:
            density = KernelMixtureDensity(cost=cost, refine=refine, **chosen)
            figures[f"{cost}, {refine}"] = density.fit(train).score(test)
    return figures


def measure_folds(name):
    """Return the log-likelihoods of ten folds of the training samples, by the cost."""
    train, _ = load(name, 0)
    chosen = choose(train)[1]
    return {
        cost: list(
            cross_val_score(KernelMixtureDensity(cost=cost, **chosen), train, cv=FOLDS)
        )
        for cost in COSTS
    }


def measure_tenth(name, seed):
    """Return the same of a tenth of the samples, and by how much it is faster."""
    train, test = load(name, seed)
    whole = fit_kde(train)
    figures, seconds = {}, {}
    densities = {"all": whole}
    for cost in PLACED_BY:
        few = KernelMixtureDensity(
            len(train) // 10, cost=cost, refine="weights", random_state=0
        )
        densities[cost] = few.fit(train)
    for label, density in densities.items():
        figures[label] = float(np.mean(density.score_samples(test)))
        timer = timeit.Timer(lambda d=density: d.score_samples(test))
        seconds[label] = min(timer.repeat(5, 1))
    return figures | {"ratio": seconds["all"] / seconds["svd"]}


def means():
    """Return the table of costs whose means stay, and of those that EM moves."""
    results = {name: _by_label(measure(name, s) for s in SEEDS) for name in NAMES}
    parts = [
        f'Mean log-likelihood, `refine="{how}"`:\n\n{_table(results, how)}'
        for how in REFINEMENTS
    ]
    return results, "\n\n".join(parts)


def folds():
    """Return the table of differences of the costs, fold by fold."""
    results = {name: measure_folds(name) for name in NAMES}
    return results, _fold_table(results)


def tenth():
    """Return the table of a tenth of the samples as centers."""
    results = {name: _by_label(measure_tenth(name, s) for s in SEEDS) for name in TOYS}
    return results, _tenth_table(results)


PARTS = {
    "means": ("refinements", means),
    "folds": ("refinements-folds", folds),
    "tenth": ("refinements-tenth", tenth),
}


def main(parts):
    """Measure, print and publish."""
    for part in parts:
        name, function = PARTS[part]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", UserWarning)
            results, text = function()
        print(text, flush=True)
        publish(__file__, name, {"results": results}, text)


def _by_label(runs):
    """Return the figures of all seeds by their labels."""
    runs = list(runs)
    return {label: [run[label] for run in runs] for label in runs[0]}


def _table(results, refine):
    """Return one line for each set; with what the cost decides, best less worst."""
    lines = []
    for name, result in results.items():
        means = [np.mean(result[f"{cost}, {refine}"]) for cost in PLACED_BY]
        spread = f"{np.ptp(means):.3f}"
        lines.append([name, *_marked(means), spread, f"{np.mean(result[NO_COST]):.3f}"])
    return markdown(["data", *PLACED_BY, "best less worst", NO_COST], lines)


def _marked(means):
    """Return figures, the best of them bold."""
    best = max(means)
    return [f"**{x:.3f}**" if x == best else f"{x:.3f}" for x in means]


def _fold_table(folds):
    """Return one line for each set, with the best less the worst cost, fold by fold."""
    lines = []
    for name, scores in folds.items():
        order = sorted(scores, key=lambda cost: np.mean(scores[cost]))
        gaps = np.subtract(scores[order[-1]], scores[order[0]])
        error = gaps.std(ddof=1) / len(gaps) ** 0.5
        means = [np.mean(scores[cost]) for cost in COSTS]
        line = [name, *_marked(means), f"{gaps.mean():.3f} ± {error:.3f}"]
        lines.append([*line, f"{gaps.mean() / error:.1f}"])
    return markdown(["data", *COSTS, "best less worst", "in standard errors"], lines)


def _tenth_table(tenth):
    """Return one line for each set: all samples, a tenth by each cost, and how fast."""
    lines = []
    for name, result in tenth.items():
        means = [f"{np.mean(result[label]):.3f}" for label in ("all", *PLACED_BY)]
        lines.append([name, *means, f"{np.mean(result['ratio']):.1f}"])
    return markdown(["data", "KernelDensity", *PLACED_BY, "times as fast"], lines)


if __name__ == "__main__":
    main(sys.argv[1:] or PARTS)

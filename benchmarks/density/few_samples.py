"""Densities of few samples of many features, beside a diagonal Gaussian.

Run ``python -m benchmarks.density.few_samples`` (ten CPU minutes). For each estimator
and kind of data the figure is the worst, over numbers of samples and features, of the
mean over seeds (ten, or three where a fit takes long) of the held-out log-likelihood
less that of the diagonal Gaussian, in nats per ten features: the bar is -1. Names of
estimators as arguments select some of them.
"""

import sys
import time
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from benchmarks.shared.report import markdown, publish
from skgmje import (
    DensityOutlierDetector,
    GaussianMixture,
    GrowingNeuralGasMixture,
    KernelMixtureDensity,
    StackingDensity,
    TransformedDensity,
)
from skgmje.compose import MarginalGaussianizer, ResidualCoordinates

SIZES = ((5, 2), (12, 5), (20, 50), (40, 100), (60, 30))
N_SEEDS, N_NEW = 10, 300
AUTO = {"covariance_type": "auto", "shrinkage": "auto"}

ESTIMATORS = {
    "GaussianMixture('auto'), all 'auto'": lambda seed: GaussianMixture(
        "auto", **AUTO, reg_covar="auto", random_state=seed
    ),
    "covariance_type='auto'": lambda seed: GaussianMixture(
        covariance_type="auto", random_state=seed
    ),
    "shrinkage='auto'": lambda seed: GaussianMixture(
        shrinkage="auto", random_state=seed
    ),
    "tied, shrinkage='auto'": lambda seed: GaussianMixture(
        covariance_type="tied", shrinkage="auto", random_state=seed
    ),
    "GrowingNeuralGasMixture()": lambda seed: GrowingNeuralGasMixture(
        random_state=seed
    ),
    "GrowingNeuralGasMixture('auto')": lambda seed: GrowingNeuralGasMixture(
        "auto", **AUTO, random_state=seed
    ),
    "KernelMixtureDensity()": lambda seed: KernelMixtureDensity(random_state=seed),
    "StackingDensity()": lambda seed: StackingDensity(random_state=seed),
    "StackingDensity(effort='thorough')": lambda seed: StackingDensity(
        effort="thorough", random_state=seed
    ),
    "StackingDensity(spaces=('residual',))": lambda seed: StackingDensity(
        spaces=("residual",), random_state=seed
    ),
    "StackingDensity(spaces=('marginal',))": lambda seed: StackingDensity(
        spaces=("marginal",), random_state=seed
    ),
    "MarginalGaussianizer(), all 'auto'": lambda seed: TransformedDensity(
        MarginalGaussianizer(), GaussianMixture("auto", **AUTO, random_state=seed)
    ),
    "ResidualCoordinates(), all 'auto'": lambda seed: TransformedDensity(
        ResidualCoordinates(), GaussianMixture("auto", **AUTO, random_state=seed)
    ),
    "DensityOutlierDetector()": lambda seed: DensityOutlierDetector(random_state=seed),
}
# They take long: fewer seeds, of which the mean says less.
CHEAP = ("covariance_type='auto'", "shrinkage='auto'", "tied, shrinkage='auto'")
FEW_SEEDS = 3


def normal(n, d, rng):
    """Return independent normal features."""
    return rng.standard_normal((n, d))


def correlated(n, d, rng):
    """Return features that share two factors."""
    loadings = np.random.default_rng(d).standard_normal((2, d))
    return rng.standard_normal((n, 2)) @ loadings + 0.3 * rng.standard_normal((n, d))


def heavy_tailed(n, d, rng):
    """Return Student's t with three degrees of freedom, one scale per sample."""
    scale = np.sqrt(rng.chisquare(3, (n, 1)) / 3)
    return rng.standard_normal((n, d)) / scale


def real(load):
    """Return a function that draws samples and features of a real set."""
    table = load().data

    def draw(n, d, rng):
        rows = table[rng.permutation(len(table))[:n]]
        # A feature in which one sample alone differs has no spread to compare with.
        differs = rows[: n - N_NEW] != np.median(rows[: n - N_NEW], axis=0)
        varies = np.flatnonzero(differs.sum(axis=0) > 1)
        return rows[:, rng.permutation(varies)[:d]]

    return draw


KINDS = {
    "normal": normal,
    "correlated": correlated,
    "heavy-tailed": heavy_tailed,
    "breast cancer": real(load_breast_cancer),
    "wine": real(load_wine),
    "digits": real(load_digits),
}


def diagonal_score(X, new):
    """Return the mean log-density of a diagonal Gaussian."""
    mean, variance = X.mean(axis=0), X.var(axis=0)
    squares = (new - mean) ** 2 / variance
    return float(-0.5 * (squares + np.log(2 * np.pi * variance)).sum(axis=1).mean())


def gap(make, kind, n, d, seed):
    """Return by how much the estimator is above the diagonal Gaussian, in nats."""
    rng = np.random.default_rng([seed, n, d])
    rows = KINDS[kind](n + N_NEW, d, rng)
    X, new = rows[:n], rows[n:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        score = make(seed).fit(X).score(new)
    return 10 * (score - diagonal_score(X, new)) / X.shape[1]


def sizes(kind):
    """Return pairs of numbers of samples and of features that a kind has."""
    widths = {"breast cancer": 30, "wine": 13, "digits": 61}
    return [(n, min(d, widths.get(kind, d))) for n, d in SIZES]


def worst(name, kind, n_seeds):
    """Return the worst mean over seeds and where it is."""
    means = {
        (n, d): np.mean([gap(ESTIMATORS[name], kind, n, d, s) for s in range(n_seeds)])
        for n, d in sizes(kind)
    }
    size = min(means, key=means.get)
    return float(means[size]), size


def main(names, n_seeds=N_SEEDS):
    """Measure, publish, and tell whether all are above the bar."""
    rows, table = [], {}
    for name in names or ESTIMATORS:
        start, cells = time.process_time(), []
        for kind in KINDS:
            seeds = n_seeds if name in CHEAP else min(n_seeds, FEW_SEEDS)
            value, (n, d) = worst(name, kind, seeds)
            table[f"{name}, {kind}"] = {"gap": value, "n": n, "d": d}
            cells.append(f"{value:.2f} ({n} x {d})")
        rows.append((name, *cells))
        print(*rows[-1], f"{time.process_time() - start:.0f} s", sep=" | ", flush=True)
    if not names:
        publish(
            __file__,
            "few-samples",
            {"gaps": table},
            markdown(("density", *KINDS), rows),
        )
    return int(min(cell["gap"] for cell in table.values()) < -1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

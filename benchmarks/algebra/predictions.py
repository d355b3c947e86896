"""What the algebra does for predictions: reduced stacks, members, regions.

Run ``python -m benchmarks.algebra.predictions [reduce members regions calibration]``
(half an hour in all; ngboost is needed for members). Six tables, at most 500 samples
to train and 500 to test; each part writes its own table.

- *reduce*: ``Mixture.reduce`` of the predictions of a stack of about 400 components to
  40, and what is lost of the held-out likelihood and saved of the time to score.
- *members*: a stack with NGBoost and a regressor of bars beside one without, of at most
  200 steps each, one split.
- *regions*: lengths of regions and of central intervals at equal coverage of fresh
  draws, on two branches that cross, a ring, and an arm with two ways to a place.
- *calibration*: coverage of calibrated regions of 90 %, over five splits.
"""

import sys
import time
import warnings

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import RandomForestRegressor

from benchmarks.conditional._joint_data import TABLES, load
from benchmarks.shared.harness import one_thread
from benchmarks.shared.report import markdown, publish
from skgmje import (
    ConditionalMixtureDensity,
    GaussianMixture,
    StackingConditionalDensity,
)
from skgmje.datasets import ALIGNMENT_TASKS

N_SAMPLES = 500
COVERAGE = 0.9
N_SPLITS = 1  # of the stacks with more members


def read(name, split):
    """Return at most `N_SAMPLES` to train and as many to test."""
    X, y, X_test, y_test = load(name, split)
    some = np.random.RandomState(split).permutation(len(X))[:N_SAMPLES]
    return X[some], y[some], X_test[:N_SAMPLES], y_test[:N_SAMPLES]


class ForestBars(RegressorMixin, BaseEstimator):
    """Bars of the targets in the leaves that a forest puts a sample into."""

    def __init__(self, n_bars=50):
        self.n_bars = n_bars

    def fit(self, X, y):
        forest = RandomForestRegressor(100, min_samples_leaf=5, random_state=0)
        self.forest_ = forest.fit(X, y)
        self.leaves_ = forest.apply(X)
        edges = np.unique(np.quantile(y, np.linspace(0, 1, self.n_bars + 1)))
        place = np.searchsorted(edges, y, side="right") - 1
        self.edges_, self.bars_ = edges, np.clip(place, 0, len(edges) - 2)
        return self

    def predict_bars(self, X):
        rows = []
        for leaves in self.forest_.apply(X):
            same = self.leaves_ == leaves
            share = (same / same.sum(axis=0)).sum(axis=1)
            rows.append(np.bincount(self.bars_, share, len(self.edges_) - 1))
        return self.edges_, np.array(rows)


def timed(function, *args):
    """Return the answer and its CPU seconds."""
    start = time.process_time()
    return function(*args), time.process_time() - start


def reduce_rows():
    """Yield what reduction to 40 components loses and saves."""
    for name in TABLES:
        X, y, X_test, y_test = read(name, 0)
        stack = StackingConditionalDensity(
            ["gp", "network"], n_components=7, n_members=50, max_iter=60
        )
        stack.set_params(hidden_layer_sizes=(32,), random_state=0)
        mixture = stack.fit(X, y).predict_mixture(X_test)
        reduced, seconds = timed(mixture.reduce, 40)
        Y = y_test[:, None]
        scores = [m.log_prob(Y).mean() for m in (mixture, reduced)]
        # Calls of a few samples cost as much whatever they compute.
        rows = np.resize(np.arange(len(Y)), 2000)
        pair = [(m[rows], Y[rows]) for m in (mixture, reduced)]
        times = [
            np.median([timed(m.log_prob, y)[1] for _ in range(10)]) for m, y in pair
        ]
        yield (
            name,
            len(Y),
            mixture.n_components,
            f"{scores[0]:.3f}",
            f"{scores[0] - scores[1]:.4f}",
            f"{times[0] / times[1]:.1f}",
            f"{1000 * seconds / len(Y):.1f}",
        )


def member_rows():
    """Yield held-out likelihoods of stacks with and without more members."""
    from ngboost import NGBRegressor

    names = "gp", "trees", "boosting", "network"
    for name in TABLES:
        scores, weights = [], []
        for split in range(N_SPLITS):
            X, y, X_test, y_test = read(name, split)
            more = [
                ("bars", ForestBars()),
                ("ngboost", NGBRegressor(random_state=0, verbose=False)),
            ]
            each = []
            for members in (names, [*names, *more]):
                stack = StackingConditionalDensity(
                    members, max_iter=200, random_state=split
                )
                each.append(stack.fit(X, y).score(X_test, y_test))
            scores.append(each)
            weights.append([stack.pool_weights_.get(m, 0.0) for m, _ in more])
        without, plus = -np.mean(scores, axis=0)
        pool = ", ".join(f"{w:.2f}" for w in np.mean(weights, axis=0))
        yield name, f"{without:.3f}", f"{plus:.3f}", f"{without - plus:+.3f}", pool


def move(n_poses, seed):
    """Return places of a hand, and the elbow's angle that brought it there."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(0.5, 1.2, size=(n_poses, 2))
    elbow = np.arccos((np.sum(place**2, axis=1) - 2) / 2)
    elbow *= rng.choice([-1, 1], n_poses)
    return place, elbow + rng.normal(0, 0.03, n_poses)


def sample(name, n_samples, seed):
    """Return contexts and targets of a task."""
    if name == "inverse kinematics":
        return move(n_samples, seed)
    X, Y = ALIGNMENT_TASKS[name].sample(n_samples, random_state=seed)
    return X, Y.ravel()


def region_rows():
    """Yield lengths of intervals and regions, each calibrated to one coverage."""
    for name in ("cross", "ring", "inverse kinematics"):
        density = ConditionalMixtureDensity(random_state=0).fit(*sample(name, 2000, 0))
        X_new, y_new = sample(name, 1000, 1)
        X, y = sample(name, 2000, 2)
        density.calibrate(X_new, y_new)
        region = density.predict_region(X, COVERAGE)
        length = np.mean([np.diff(e, axis=1).sum() for e in region.intervals])
        inside = region.contains(y[:, None]).mean()
        # The central interval of whatever probability covers as often.
        mixture = density.predict_mixture(X)
        off = np.abs(2 * mixture.cdf(y) - 1)
        level = np.quantile(off, inside)
        lower, upper = mixture.quantile([(1 - level) / 2, (1 + level) / 2])
        central = (upper - lower).mean()
        covered = ((lower <= y) & (y <= upper)).mean()
        yield (
            name,
            f"{central:.3f}",
            f"{length:.3f}",
            f"{100 * (1 - length / central):.0f} %",
            f"{covered:.3f}",
            f"{inside:.3f}",
        )


def calibration_rows():
    """Yield the coverage of calibrated regions of six tables over five splits."""
    for name in TABLES:
        shares, plain = [], []
        for split in range(5):
            X, y, X_test, y_test = load(name, split)
            # One pool, dealt out anew: some tables have 31 samples to test.
            X, y = np.concatenate([X, X_test]), np.concatenate([y, y_test])
            order = np.random.RandomState(split).permutation(len(X))[: 3 * 1000]
            fit, new, test = np.array_split(order, 3)
            source = GaussianMixture(8, shrinkage=2)
            density = ConditionalMixtureDensity(source, random_state=0)
            density.fit(X[fit], y[fit])
            for found in (plain, shares):
                region = density.predict_region(X[test], COVERAGE)
                found.append(region.contains(y[test][:, None]).mean())
                density.calibrate(X[new], y[new])
        yield (
            name,
            len(test),
            f"{np.mean(plain):.3f}",
            f"{np.mean(shares):.3f}",
            f"{np.std(shares, ddof=1) / 5**0.5:.3f}",
        )


PARTS = {
    "reduce": (
        reduce_rows,
        [
            "table",
            "samples",
            "components",
            "nats per sample",
            "nats lost by 40",
            "times faster to score",
            "ms per sample to reduce",
        ],
    ),
    "members": (
        member_rows,
        [
            "table",
            "NLL without",
            "NLL with bars, NGBoost",
            "gain",
            "their pool weights",
        ],
    ),
    "regions": (
        region_rows,
        [
            "task",
            "central intervals",
            "regions",
            "shorter by",
            "intervals cover",
            "regions cover",
        ],
    ),
    "calibration": (
        calibration_rows,
        ["table", "samples", "before", "calibrated", "standard error"],
    ),
}


def main():
    """Measure the parts that are named, or all."""
    warnings.filterwarnings("ignore")
    for part in sys.argv[1:] or PARTS:
        function, header = PARTS[part]
        rows, start = [], time.process_time()
        with one_thread():
            for row in function():
                print(*row, sep=" | ", flush=True)
                rows.append(row)
        seconds = round(time.process_time() - start)
        payload = {"rows": rows, "seconds": seconds}
        publish(__file__, f"algebra-{part}", payload, markdown(header, rows))


if __name__ == "__main__":
    main()

"""Outlier detectors on six tables of real anomalies, and on others as a check.

    python -m benchmarks.outliers            # all, and publish
    python -m benchmarks.outliers cardio     # some sets, only print

Three seeds and two protocols: training rows with their outliers, or without.
"""

import sys
import time

import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, LocalOutlierFactor, NearestNeighbors

from benchmarks.outliers._tables import ANOMALIES, CHECKS, load, split
from benchmarks.shared.data import FOLDER
from benchmarks.shared.report import markdown, publish
from skgmje.outlier import DensityOutlierDetector

SEEDS = (0, 1, 2)
PROTOCOLS = {"contaminated": False, "clean": True}
TARGETS = {"contaminated": (0.885, 0.50), "clean": (0.930, 0.66)}
TIMED = ((100_000, 6), (100_000, 36), (20_000, 200))
OURS = "DensityOutlierDetector()"


def _ours(**params):
    def score(train, test, seed):
        detector = DensityOutlierDetector(**params, random_state=seed)
        return detector.fit(train).score_samples(test)

    return score


def _forest(train, test, seed):
    return IsolationForest(random_state=seed).fit(train).score_samples(test)


def _lof(train, test, seed):
    return LocalOutlierFactor(novelty=True).fit(train).score_samples(test)


def _neighbors(train, test, seed):
    return -NearestNeighbors(n_neighbors=5).fit(train).kneighbors(test)[0][:, -1]


def _kde(train, test, seed):
    return KernelDensity(bandwidth="scott").fit(train).score_samples(test)


def _histograms(train, test, seed):
    """HBOS: sum of the log-heights of ten equal bins a column, one row more in each."""
    total = np.zeros(len(test))
    for column, values in zip(train.T, test.T, strict=True):
        counts, edges = np.histogram(column, 10)
        at = np.searchsorted(edges[1:-1], values, side="right")
        outside = (values < edges[0]) | (values > edges[-1])
        total += np.log(np.where(outside, 0, counts[at]) + 1)
    return total


def _mixture(train, test, seed):
    fits = [
        GaussianMixture(k, reg_covar=1e-3, random_state=seed).fit(train)
        for k in (1, 2, 4, 8)
        if 4 * k <= len(train)
    ]
    return min(fits, key=lambda fit: fit.bic(train)).score_samples(test)


DETECTORS = {
    OURS: _ours(),
    "the same, marginal_weight=0.6": _ours(marginal_weight=0.6),
    "the same, marginal_weight=0": _ours(marginal_weight=0.0),
    "IsolationForest": _forest,
    "LOF, k=20": _lof,
    "kNN distance, k=5": _neighbors,
    "KDE, Scott": _kde,
    "HBOS, 10 bins": _histograms,
    "GaussianMixture by BIC": _mixture,
}


def measure(name):
    """Return ``{protocol: {detector: [[AUROC, AP, CPU seconds] of each seed]}}``."""
    X, y = load(name)
    results = {protocol: {} for protocol in PROTOCOLS}
    for protocol, clean in PROTOCOLS.items():
        for seed in SEEDS:
            train, test, y_test = split(X, y, seed, clean=clean)
            for label, detector in DETECTORS.items():
                start = time.process_time()
                scores = -detector(train, test, seed)
                seconds = time.process_time() - start
                figures = [
                    float(roc_auc_score(y_test, scores)),
                    float(average_precision_score(y_test, scores)),
                    seconds,
                ]
                results[protocol].setdefault(label, []).append(figures)
    return results


def measure_times():
    """Return CPU seconds to fit and to score as many rows, by size and detector."""
    times = {}
    for n_rows, n_columns in TIMED:
        X = np.random.default_rng(0).normal(size=(n_rows, n_columns))
        times[f"{n_rows} x {n_columns}"] = row = {}
        for label, detector in {
            OURS: DensityOutlierDetector(random_state=0),
            "IsolationForest": IsolationForest(random_state=0),
        }.items():
            start = time.process_time()
            detector.fit(X)
            middle = time.process_time()
            detector.score_samples(X)
            row[label] = [middle - start, time.process_time() - middle]
    return times


def _means(results, names, protocol, label):
    return np.array(
        [np.mean(results[name][protocol][label], axis=0)[:2] for name in names]
    )


def _table(results, names, protocol, *, summary):
    """Return AUROC / AP of each set; means over the sets if they make a `summary`."""
    cells = {label: _means(results, names, protocol, label) for label in DETECTORS}
    if summary:
        cells = {k: np.vstack([v, v.mean(axis=0)]) for k, v in cells.items()}
    best = np.max([v.round(3) for v in cells.values()], axis=0)
    rows = [
        [label, *map(_cell, values.round(3), best)] for label, values in cells.items()
    ]
    return markdown([protocol, *names, *(["**mean**"] if summary else [])], rows)


def _cell(values, best):
    parts = [
        f"**{value:.3f}**" if value == top else f"{value:.3f}"
        for value, top in zip(values, best, strict=True)
    ]
    return " / ".join(parts)


def excerpt(results):
    """Return the table of the README: means over the sets of both protocols."""
    means = {
        label: [_means(results, ANOMALIES, p, label).mean(axis=0) for p in PROTOCOLS]
        for label in DETECTORS
    }
    best = np.max([np.round(v, 3) for v in means.values()], axis=0)
    rows = [
        [protocol, *(_cell(v[j].round(3), best[j]) for v in means.values())]
        for j, protocol in enumerate(PROTOCOLS)
    ]
    return markdown(["training rows", *means], rows)


def _targets(results):
    """Say what the default reaches of what it should."""
    parts = []
    for protocol, target in TARGETS.items():
        mean = _means(results, ANOMALIES, protocol, OURS).mean(axis=0)
        verdict = "reached" if (mean.round(3) >= target).all() else "missed"
        parts.append(
            f"{protocol} {mean[0]:.3f} / {mean[1]:.3f} of {target[0]} / {target[1]}: "
            f"{verdict}"
        )
    return "Targets of the default's means: " + "; ".join(parts) + "."


def _times_table(times):
    header = ["CPU seconds to fit / to score", *times]
    labels = next(iter(times.values()))
    rows = [
        [
            label,
            *(f"{row[label][0]:.1f} / {row[label][1]:.1f}" for row in times.values()),
        ]
        for label in labels
    ]
    return markdown(header, rows)


def main(names):
    """Print the tables; publish them if all sets were run."""
    results = {}
    for name in names:
        if name not in CHECKS and load(name) is None:
            print(f"{FOLDER}/ad_{name}.npz is missing, see benchmarks/README.md")
            continue
        results[name] = measure(name)
        print(name, flush=True)
        for protocol in PROTOCOLS:
            print(_table(results, [name], protocol, summary=False), flush=True)
    if set(results) < {*ANOMALIES, *CHECKS}:
        return
    times = measure_times()
    main_tables = [_table(results, ANOMALIES, p, summary=True) for p in PROTOCOLS]
    tables = [
        "AUROC / average precision, means of three seeds, on six sets of anomalies. "
        "The default's settings were chosen on their test rows, so that differences "
        "below 0.005 / 0.02 say nothing.",
        *main_tables,
        _targets(results),
        "Checks on other sets:",
        *(_table(results, list(CHECKS), p, summary=False) for p in PROTOCOLS),
        _times_table(times),
    ]
    text = "\n\n".join(tables)
    print(text)
    payload = {"results": results, "times": times}
    publish(__file__, "outliers", payload, text, excerpt=excerpt(results))


if __name__ == "__main__":
    main(sys.argv[1:] or [*ANOMALIES, *CHECKS])

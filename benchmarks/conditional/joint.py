"""Conditional densities against peers, truth and targets.

Run ``python -m benchmarks.conditional.joint`` for all parts (about half an hour on one
core), or name some: synthetic, real, coverage, outputs. Tables and figures of each part
go to `results/joint-<part>.*`.
"""

import argparse
import json
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.preprocessing import StandardScaler

from benchmarks.conditional._joint_data import TABLES, load, multi_output, splits
from benchmarks.conditional._joint_peers import PEERS, Quantiles, fit_mse
from benchmarks.shared.data import FOLDER
from benchmarks.shared.report import markdown, publish
from skgmje import ConditionalMixtureDensity
from skgmje.datasets import ALIGNMENT_TASKS
from skgmje.metrics import crps, interval_coverage

N_SPLITS = 5
OURS = "ConditionalMixtureDensity()"
SYNTHETIC_TARGETS = {
    "high5": 0.95,
    "branch": 0.14,
    "bishop": 1.21,
    "cross": 0.875,
    "sqrt": 0.85,
    "ring": 0.415,
}
OUTPUT_TARGETS = {2: -0.917, 3: -0.819, 5: -0.802}


def quiet(function):
    """Call `function` without warnings: tables have their own words for them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function()


def standardised(fit, X, y, seed):
    """Fit a peer in standard units; return ``predict(X)`` in those of the data."""
    x_units, y_units = StandardScaler().fit(X), StandardScaler().fit(y)
    predict = fit(x_units.transform(X), y_units.transform(y), seed)

    def answer(X):
        found = predict(x_units.transform(X))
        if isinstance(found, Quantiles):
            return Quantiles(found.values * y_units.scale_ + y_units.mean_)
        return found.affine(y_units.scale_, y_units.mean_)

    return answer


def ours(X, y, seed, **params):
    """Fit our estimator; return ``predict(X)``."""
    model = ConditionalMixtureDensity(**params, random_state=seed)
    return model.fit(X, y).predict_mixture


def synthetic():
    """Train on 2000 rows; mean log-likelihood of 20 000 new ones, beside the truth."""
    sources = ("prototypes", "network", "neural-gas", "memory-bank")
    methods = {
        "MSE net": lambda X, y: standardised(fit_mse, X, y, 0),
        "scikit-learn joint": lambda X, y: standardised(
            PEERS["joint mixture (scikit-learn)"], X, y, 0
        ),
        OURS: lambda X, y: ours(X, y, 0),
        **{s: lambda X, y, s=s: ours(X, y, 0, source=s) for s in sources},
    }
    results = {}
    for name in SYNTHETIC_TARGETS:
        task, rng = ALIGNMENT_TASKS[name], np.random.default_rng(0)
        X, y = task.sample(2000, rng)
        X_test, y_test = task.sample(20_000, rng)
        row = {"truth": float(task.log_prob(X_test, y_test).mean())}
        for label, fit in methods.items():
            mixture = quiet(lambda fit=fit, X=X, y=y: fit(X, y))(X_test)
            row[label] = float(mixture.log_prob(y_test).mean())
        results[name] = row
        print(name, {k: round(v, 3) for k, v in row.items()}, flush=True)
    header = ["task", "truth", *methods, "target"]
    rows = [
        [name, *(f"{v:.3f}" for v in row.values()), SYNTHETIC_TARGETS[name]]
        for name, row in results.items()
    ]
    publish(__file__, "joint-synthetic", {"results": results}, markdown(header, rows))


def judge(predict, X, y):
    """Return NLL, CRPS, RMSE and the coverage of the central 90 % interval."""
    found = predict(X)
    if isinstance(found, Quantiles):
        nll, score, coverage = np.nan, found.crps(y).mean(), found.coverage(y)
    else:
        nll = -found.log_prob(y[:, None]).mean()
        score, coverage = crps(y, found), interval_coverage(y, found)
    rmse = np.sqrt(np.mean((found.mean[:, 0] - y) ** 2))
    return [float(v) for v in (nll, score, rmse, coverage)]


def measure(name, split, label):
    """Return the figures of one method on one split, and its CPU seconds."""
    X, y, X_test, y_test = load(name, split)
    start = time.process_time()
    if label == OURS:
        predict = quiet(lambda: ours(X, y, split))
    else:
        predict = quiet(lambda: standardised(PEERS[label], X, y[:, None], split))
    seconds = time.process_time() - start
    return [*quiet(lambda: judge(predict, X_test, y_test)), seconds]


def real(methods=(OURS, *PEERS)):
    """Five splits of six tables, the same rows for all methods.

    Figures of methods that are not asked for are kept from the last run.
    """
    last = Path(__file__).parent / "results" / "joint-real.json"
    results = json.loads(last.read_text())["results"] if last.exists() else {}
    for name in TABLES:
        if not (FOLDER / f"{name}.npz").exists():
            print(f"{FOLDER}/{name}.npz is missing; its source is in README.md")
            continue
        found = results.setdefault(name, {})
        for label in methods:
            try:
                found[label] = [measure(name, i, label) for i in range(N_SPLITS)]
            except ImportError as error:
                print(f"{label}: {error}; pip install -e '.[bench]'")
                continue
            print(name, label, np.round(np.mean(found[label], axis=0), 3), flush=True)
        # A long run: what it has reached must not be lost.
        _publish_real(results)


def _publish_real(results):
    header = ["data", "method", "NLL", "CRPS", "RMSE", "90 % coverage", "fit, CPU s"]
    header.append("NLL less ours (standard error)")
    rows = []
    for name, methods in results.items():
        for label in filter(methods.get, (OURS, *PEERS)):
            runs = methods[label]
            gap = np.subtract(runs, methods[OURS])[:, 0]
            error = gap.std(ddof=1) / np.sqrt(len(gap))
            cells = [f"{v:.3f}" for v in np.mean(runs, axis=0)]
            rows.append([name, label, *cells])
            rows[-1].append("" if label == OURS else f"{gap.mean():+.3f} ({error:.3f})")
    table, excerpt = markdown(header, rows), _likelihoods(results)
    publish(__file__, "joint-real", {"results": results}, table, excerpt=excerpt)


def _likelihoods(results):
    """Return the table of the README: NLL of each method that has one."""
    labels = [OURS, *PEERS]
    labels.remove("LightGBM quantiles")
    rows = []
    for name, methods in results.items():
        means = [
            np.mean(methods[label], axis=0)[0] if label in methods else np.nan
            for label in labels
        ]
        best = f"{np.nanmin(means):.3f}"
        cells = ["" if np.isnan(mean) else f"{mean:.3f}" for mean in means]
        rows.append([name, *(f"**{c}**" if c == best else c for c in cells)])
    return markdown(["data", *labels], rows)


def coverage():
    """Coverage of our central 90 % intervals over all splits."""
    results, rows = {}, []
    for name in TABLES:
        shares = []
        for split in range(splits(name)):
            X, y, X_test, y_test = load(name, split)
            predict = quiet(lambda X=X, y=y, split=split: ours(X, y, split))
            shares.append(float(interval_coverage(y_test, predict(X_test))))
        mean, error = np.mean(shares), np.std(shares, ddof=1) / np.sqrt(len(shares))
        good = abs(mean - 0.9) <= 0.04 + 2 * error
        results[name] = shares
        rows.append([name, len(shares), f"{mean:.3f}", f"{error:.3f}", good])
        print(*rows[-1], flush=True)
    header = ["data", "splits", "coverage", "standard error", "within .04 + 2 errors"]
    publish(__file__, "joint-coverage", {"results": results}, markdown(header, rows))


def outputs():
    """Two, three and five targets with correlated noise."""
    results, rows = {}, []
    for n_targets, target in OUTPUT_TARGETS.items():
        X, Y, _ = multi_output(2000, n_targets, 1)
        X_test, Y_test, truth = multi_output(4000, n_targets, 2)
        row = {"truth": truth}
        for kind in ("full", "diag"):
            for source in ("auto", "network", "prototypes"):
                start = time.process_time()
                params = {"mixture": source, "covariance_type": kind}
                predict = quiet(lambda X=X, Y=Y, p=params: ours(X, Y, 0, **p))
                label = f"{source}, {kind}"
                row[f"{label}, CPU s"] = time.process_time() - start
                row[label] = float(predict(X_test).log_prob(Y_test).mean())
        results[n_targets] = row
        print(n_targets, {k: round(v, 3) for k, v in row.items()}, flush=True)
        figures = [f"{v:.3f}" for k, v in row.items() if "CPU" not in k]
        rows.append([n_targets, *figures, f"{target - 0.05:.3f}"])
    labels = [k for k in row if "CPU" not in k]
    table = markdown(["targets", *labels, "at least"], rows)
    publish(__file__, "joint-outputs", {"results": results}, table)


PARTS = {
    "synthetic": synthetic,
    "real": real,
    "coverage": coverage,
    "outputs": outputs,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {list(PARTS)}")
    parser.add_argument("--method", help="measure one method of the part real anew")
    arguments = parser.parse_args()
    if arguments.method:
        PARTS["real"] = partial(real, (arguments.method,))
    for part in arguments.parts or PARTS:
        PARTS[part]()

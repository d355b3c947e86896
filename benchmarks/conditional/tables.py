"""Stacked conditional densities beside their peers.

Official splits 0 to 4 of four tables and five random ones of two; all methods see
the same rows. Peers that `joint.py` has measured on these splits on the
same machine keep their figures, in `results/joint-real.json`; quantile forest and
our stack are measured here. Then splits that are not random: recipes of concrete,
and years of the gas turbine. Run ``python -m benchmarks.conditional.tables`` (half an
hour) for what is missing in the results, or name sets to measure them anew;
``--all-splits`` covers all official splits.
"""

import argparse
import json
import os
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.model_selection import GroupShuffleSplit
from sklearn.preprocessing import StandardScaler

from benchmarks.conditional._joint_data import TABLES, load, splits
from benchmarks.conditional._joint_peers import LEVELS, PEERS, Quantiles
from benchmarks.shared.data import FOLDER
from benchmarks.shared.report import markdown, publish
from skgmje import ConditionalMixtureDensity, StackingConditionalDensity
from skgmje.metrics import crps, interval_coverage

RESULTS = Path(__file__).parent / "results"
N_SPLITS = 5
STACK, NETWORKS = "StackingConditionalDensity()", "ConditionalMixtureDensity()"
NAME = "tables-conditional"
TARGETS = {"yacht": -0.30, "energy": 0.46, "concrete": 2.50, "power_plant": 2.52}
# Of the peers, those that are quick enough for large tables.
STRUCTURED_PEERS = ("NGBoost", "LightGBM quantiles", "quantile forest")
METRICS = ("NLL", "CRPS", "RMSE", "90 % coverage", "fit, CPU s")


def fit_quantile_forest(X, y, seed):
    """Quantile regression forest, its quantiles at `LEVELS`."""
    from quantile_forest import RandomForestQuantileRegressor

    model = RandomForestQuantileRegressor(
        n_estimators=300, min_samples_leaf=3, random_state=seed
    ).fit(X, y[:, 0])
    return lambda X: Quantiles(
        np.sort(np.asarray(model.predict(X, quantiles=list(LEVELS))), axis=1)
    )


ALL_PEERS = {**PEERS, "quantile forest": fit_quantile_forest}


def fit_peer(label, X, y, seed):
    """Fit a peer in standard units; return ``predict(X)`` in those of the data."""
    x_units = StandardScaler().fit(X)
    loc, scale = y.mean(), y.std()
    standard = ((y - loc) / scale)[:, None]
    predict = ALL_PEERS[label](x_units.transform(X), standard, seed)

    def answer(X):
        found = predict(x_units.transform(X))
        if isinstance(found, Quantiles):
            return Quantiles(found.values * scale + loc)
        return found.affine([scale], [loc])

    return answer


def fit(label, X, y, seed, groups=None):
    """Fit a method; return ``predict(X)``."""
    if label == STACK:
        model = StackingConditionalDensity(random_state=seed)
        return model.fit(X, y, groups=groups).predict_mixture
    if label == NETWORKS:
        return ConditionalMixtureDensity(random_state=seed).fit(X, y).predict_mixture
    return fit_peer(label, X, y, seed)


def measure(label, rows, seed, groups=None):
    """Return NLL, CRPS, RMSE, coverage and CPU seconds of one method on one split."""
    X, y, X_test, y_test = rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.process_time()
        predict = fit(label, X, y, seed, groups)
        seconds = time.process_time() - start
        found = predict(X_test)
    if isinstance(found, Quantiles):
        scores = np.nan, found.crps(y_test).mean(), found.coverage(y_test)
    else:
        nll = -found.log_prob(y_test[:, None]).mean()
        scores = nll, crps(y_test, found), interval_coverage(y_test, found)
    rmse = np.sqrt(np.mean((found.mean[:, 0] - y_test) ** 2))
    return [float(v) for v in (*scores[:2], rmse, scores[2], seconds)]


def concrete_by_recipe():
    """Yield rows of which the test has no recipe in common with the training."""
    data = np.load(FOLDER / "concrete.npz")
    X, y = data["X"].astype(float), data["y"].astype(float)
    recipe = np.unique(X[:, :-1], axis=0, return_inverse=True)[1].ravel()
    folds = GroupShuffleSplit(N_SPLITS, test_size=0.1, random_state=0)
    for train, test in folds.split(X, groups=recipe):
        yield (X[train], y[train], X[test], y[test]), recipe[train]


def turbine_by_year():
    """Yield NOx from the other sensors: one year to learn from, the next to test."""
    data = np.load(FOLDER / "gas_turbine.npz")
    X, year = data["X"].astype(float), data["year"]
    others = data["feature_names"] != "nitrogen_oxides"
    context, y = X[:, others], X[:, ~others].ravel()
    for learned in (2012, 2013):
        train, test = year == learned, year == learned + 1
        # Hours of a week tell of each other.
        week = np.arange(train.sum()) // 168
        yield (context[train], y[train], context[test], y[test]), week


STRUCTURED = {
    "concrete by recipe": concrete_by_recipe,
    "gas_turbine NOx by year": turbine_by_year,
}


def run(only=()):
    """Measure what is missing in the results, or `only` these sets anew."""
    last = RESULTS / f"{NAME}.json"
    results = json.loads(last.read_text()) if last.exists() else {}
    tables = results.get("results", {})
    for name in only or TABLES:
        known = name in tables and not only
        if known or name not in TABLES or not (FOLDER / f"{name}.npz").exists():
            continue
        found = tables[name] = measured_by_joint(name)
        for label in (STACK, "quantile forest"):
            found[label] = [measure(label, load(name, i), i) for i in range(N_SPLITS)]
            print(name, label, np.round(np.mean(found[label], axis=0), 3), flush=True)
        _publish(tables, results.get("structured", {}), results.get("coverage", {}))
    structured = results.get("structured", {})
    for name in only or STRUCTURED:
        if name not in STRUCTURED or (name in structured and not only):
            continue
        found = structured[name] = {}
        for label in (STACK, *STRUCTURED_PEERS):
            cases = enumerate(STRUCTURED[name]())
            found[label] = [measure(label, rows, i, g) for i, (rows, g) in cases]
            print(name, label, np.round(np.mean(found[label], axis=0), 3), flush=True)
        _publish(tables, structured, results.get("coverage", {}))


def measured_by_joint(name):
    """Return the figures of the peers on the same splits."""
    known = json.loads((RESULTS / "joint-real.json").read_text())["results"][name]
    return {label: runs for label, runs in known.items() if len(runs) == N_SPLITS}


def all_splits(names=()):
    """Measure the stack on all official splits: coverage needs many rows."""
    last = json.loads((RESULTS / f"{NAME}.json").read_text())
    shares = last.setdefault("coverage", {})
    for name in names or ("yacht", "energy", "concrete"):
        first = [run[3] for run in last["results"][name][STACK]]
        more = range(N_SPLITS, splits(name))
        shares[name] = first + [measure(STACK, load(name, i), i)[3] for i in more]
        print(name, np.mean(shares[name]), flush=True)
    _publish(last["results"], last["structured"], shares)


def _publish(tables, structured, coverage):
    verdicts = _verdicts(tables, coverage)
    parts = [_table(tables, TABLES), verdicts]
    if structured:
        parts.append(_table(structured, STRUCTURED))
    payload = {"results": tables, "structured": structured, "coverage": coverage}
    publish(__file__, NAME, payload, "\n\n".join(parts), excerpt=verdicts)


def _table(tables, names):
    rows = []
    for name in filter(tables.get, names):
        for label in sorted(tables[name], key=lambda label: label != STACK):
            runs = np.array(tables[name][label], float)
            gap = runs - np.array(tables[name][STACK], float)
            error = gap.std(axis=0, ddof=1) / np.sqrt(len(gap))
            cells = ["" if np.isnan(v) else f"{v:.3f}" for v in runs.mean(axis=0)]
            paired = f"{gap.mean(axis=0)[0]:+.3f} ({error[0]:.3f})"
            own = label == STACK or np.isnan(gap[0, 0])
            rows.append([name, label, *cells, "" if own else paired])
    return markdown(
        ["data", "method", *METRICS, "NLL less the stack's (standard error)"], rows
    )


def _verdicts(tables, coverage):
    """Return the stack beside the best peer of each column."""
    rows = []
    for name in filter(tables.get, TABLES):
        means = {k: np.mean(v, axis=0) for k, v in tables[name].items()}
        own = means.pop(STACK)
        best = [
            min(means, key=lambda k, j=j: np.nan_to_num(means[k][j], nan=np.inf))
            for j in range(3)
        ]
        shares = coverage.get(name) or [run[3] for run in tables[name][STACK]]
        error = np.std(shares, ddof=1) / np.sqrt(len(shares))
        rows.append(
            [
                name,
                f"{own[0]:.3f}",
                TARGETS.get(name, ""),
                f"{own[0] - means[best[0]][0]:+.3f} ({best[0]})",
                f"{100 * (own[1] / means[best[1]][1] - 1):+.1f} % ({best[1]})",
                f"{100 * (own[2] / means[best[2]][2] - 1):+.1f} % ({best[2]})",
                f"{np.mean(shares):.3f} +- {error:.3f} ({len(shares)} splits)",
            ]
        )
    header = ["data", "NLL", "at most", "NLL, less the best peer"]
    header += ["CRPS beside the best", "RMSE beside the best"]
    return markdown([*header, "90 % coverage"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--all-splits", action="store_true")
    arguments = parser.parse_args()
    (all_splits if arguments.all_splits else run)(arguments.sets)

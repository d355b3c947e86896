"""Missing values filled in: how near, how honest, how fast, beside others.

Run ``python -m benchmarks.tables.imputation`` (a quarter of an hour on one core), or
name tables: ``python -m benchmarks.tables.imputation iris wine --seeds 0``, or
``pooled`` for the regressions alone. What is known already is not measured again:
delete ``results/imputation.json`` for that. Data: see README.md of `benchmarks`.
"""

import argparse
import json
import os
import time
import warnings
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_wine,
)
from sklearn.ensemble import RandomForestRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.preprocessing import scale

from benchmarks.shared.data import FOLDER
from benchmarks.shared.report import markdown, publish
from skgmje.impute import MixtureImputer, pool_estimates

NAME = "imputation"
FILE = Path(__file__).parent / "results" / f"{NAME}.json"
SEEDS = (0, 1, 2)
MAX_SAMPLES = 500
SHARE = 0.2

# With so many draws the ends of all of them hold 90 %.
N_DRAWS = 19
COVERAGE = (N_DRAWS - 1) / (N_DRAWS + 1)

TABLES = {
    "iris": lambda: load_iris().data,
    "wine": lambda: load_wine().data,
    "diabetes": lambda: _with_target(load_diabetes(), but=1),
    # The means; the others are nearly functions of them.
    "breast cancer": lambda: load_breast_cancer().data[:, :10],
    "banknote": lambda: _read("mclust_banknote"),
    "concrete": lambda: _read("concrete"),
    "power plant": lambda: _read("power_plant"),
    "gas turbine": lambda: _read("gas_turbine"),
    "magic gamma": lambda: _read("magic_gamma"),
    "pen digits": lambda: _read("ad_pendigits"),
}


def _with_target(data, but):
    """Return features, but a column of two values, and the target."""
    return np.column_stack([np.delete(data.data, but, axis=1), data.target])


def _read(name):
    with np.load(FOLDER / f"{name}.npz") as file:
        X, y = file["X"].astype(float), file.get("y")
        return np.column_stack([X, y]) if "target_name" in file else X


def load(name):
    """Return at most `MAX_SAMPLES` standardised samples, always the same."""
    X = TABLES[name]()
    return scale(X[np.random.RandomState(0).permutation(len(X))[:MAX_SAMPLES]])


def hide_at_random(X, rng):
    """Hide entries completely at random."""
    return rng.random(X.shape) < SHARE


def hide_given_others(X, rng):
    """Hide entries by the values of a third of the columns, which are all there."""
    n, d = X.shape
    whole = rng.permutation(d)[: max(1, d // 3)]
    hidden = np.zeros(X.shape, bool)
    for j in np.setdiff1d(np.arange(d), whole):
        cause = X[:, rng.choice(whole)] * rng.choice([-1, 1])
        chance = 1 / (1 + np.exp(-2 * cause))
        chance *= SHARE * d / (d - len(whole)) / chance.mean()
        hidden[:, j] = rng.random(n) < np.minimum(chance, 0.95)
    return hidden


MECHANISMS = {"MCAR": hide_at_random, "MAR": hide_given_others}


def mixture(Y):
    """Return means of the mixture, and its draws, from one fit or a fit for each."""
    imputer = MixtureImputer(random_state=0).fit(Y)
    draw = partial(imputer.sample_imputations, Y, N_DRAWS)
    draws = {"one fit": partial(draw, proper=False), "proper": draw}
    return imputer.transform(Y), draws


def regressions(Y):
    """Return what Bayesian ridge regressions in turns fill in."""
    return IterativeImputer(random_state=0).fit_transform(Y), {}


def regression_draws(Y):
    """Return draws of the same, fitted once."""
    imputer = IterativeImputer(sample_posterior=True, random_state=0).fit(Y)
    filled = imputer.transform(Y)
    return filled, {"one fit": lambda: [imputer.transform(Y) for _ in range(N_DRAWS)]}


def forests(Y):
    """Return what missForest fills in: a random forest for each column, in turns."""
    forest = RandomForestRegressor(100, max_features="sqrt", random_state=0)
    return IterativeImputer(forest, max_iter=5, random_state=0).fit_transform(Y), {}


def neighbors(Y):
    """Return means of five neighbours."""
    return KNNImputer().fit_transform(Y), {}


METHODS = {
    "MixtureImputer": mixture,
    "IterativeImputer": regressions,
    "IterativeImputer, draws": regression_draws,
    "missForest": forests,
    "KNNImputer": neighbors,
}


def energy_score(draws, X, hidden):
    """Return the mean energy score of the samples' missing parts."""
    apart = np.where(hidden, draws - X, 0.0)
    score = np.linalg.norm(apart, axis=2).mean(axis=0)
    for i in range(1, len(draws)):
        gap = np.where(hidden, draws - np.roll(draws, i, axis=0), 0.0)
        score -= 0.5 * np.linalg.norm(gap, axis=2).mean(axis=0) / (len(draws) - 1)
    return score[hidden.any(axis=1)].mean()


def measure(method, X, hidden):
    """Return error, energy score, coverage, and seconds to fill in and to draw."""
    Y = np.where(hidden, np.nan, X)
    begin = time.process_time()
    filled, ways = METHODS[method](Y)
    answer = {"seconds": time.process_time() - begin}
    answer["rmse"] = np.sqrt(np.mean((filled - X)[hidden] ** 2))
    for way, draw in ways.items():
        begin = time.process_time()
        draws = np.stack(draw())
        answer[f"seconds, {way}"] = time.process_time() - begin
        inside = (draws.min(axis=0) <= X) & (X <= draws.max(axis=0))
        answer[f"coverage, {way}"] = inside[hidden].mean()
        answer[f"energy, {way}"] = energy_score(draws, X, hidden)
    return {name: float(value) for name, value in answer.items()}


TRUE = np.array([0.0, 1.0, -0.5, 0.5])
N_TABLES, N_POOLED = 200, 20


def incomplete_table(n, rng):
    """Draw three correlated columns and a target; two thirds of the first are whole."""
    covariance = np.array([[1.0, 0.5, 0.3], [0.5, 1.0, 0.4], [0.3, 0.4, 1.0]])
    X = rng.multivariate_normal(np.zeros(3), covariance, n)
    Z = np.column_stack([X, X @ TRUE[1:] + rng.normal(size=n)])
    chance = 0.9 / (1 + np.exp(1 - X[:, 0]))
    hidden = rng.random((n, 4)) < chance[:, None]
    hidden[:, 0] = False
    return np.where(hidden, np.nan, Z)


def regression(Z):
    """Return coefficients of least squares, and their squared standard errors."""
    A = np.column_stack([np.ones(len(Z)), Z[:, :3]])
    inverse = np.linalg.inv(A.T @ A)
    coefficients = inverse @ A.T @ Z[:, 3]
    noise = np.sum((Z[:, 3] - A @ coefficients) ** 2) / (len(Z) - 4)
    return coefficients, noise * np.diag(inverse)


def drawn_tables(method, Z, seed):
    """Return imputed tables of a method."""
    if method == "IterativeImputer, draws":
        imputer = IterativeImputer(sample_posterior=True, random_state=seed).fit(Z)
        return [imputer.transform(Z) for _ in range(N_POOLED)]
    imputer = MixtureImputer(random_state=seed).fit(Z)
    return imputer.sample_imputations(Z, N_POOLED, proper="proper" in method)


def pooled_coverage(method, n, n_tables=N_TABLES):
    """Return how often pooled intervals of 95 % hold each true coefficient."""
    inside = []
    for seed in range(n_tables):
        Z = incomplete_table(n, np.random.default_rng(seed))
        pairs = [regression(table) for table in drawn_tables(method, Z, seed)]
        low, high = pool_estimates(
            *map(np.array, zip(*pairs, strict=True)), dof_complete=n - 4
        ).interval()
        inside.append((low <= TRUE) & (high >= TRUE))
    return np.mean(inside, axis=0).tolist()


POOLED = {
    "proper, n=50": ("MixtureImputer, proper", 50),
    "proper, n=100": ("MixtureImputer, proper", 100),
    "one fit, n=50": ("MixtureImputer", 50),
    "IterativeImputer, n=50": ("IterativeImputer, draws", 50),
}


def run(names, seeds=SEEDS):
    """Measure what is not known yet, and publish all that is."""
    warnings.simplefilter("ignore")
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    results = known.get("results", {})
    for name in (n for n in names or TABLES if n in TABLES):
        try:
            X = load(name)
        except FileNotFoundError as error:
            print(f"{name}: skipped, {error}")
            continue
        for how, hide in MECHANISMS.items():
            for seed in seeds:
                hidden = hide(X, np.random.default_rng(seed))
                hidden[hidden.all(axis=1), 0] = False
                for method in METHODS:
                    key = f"{name}|{how}|{seed}|{method}"
                    if key not in results:
                        results[key] = measure(method, X, hidden)
                        print(key, results[key], flush=True)
            _publish(results)
    if not names or "pooled" in names:
        for label, (method, n) in POOLED.items():
            key = f"pooled|{label}"
            if key not in results:
                results[key] = pooled_coverage(method, n)
                print(key, results[key], flush=True)
            _publish(results)


def _mean(results, name, how, method, what):
    values = [
        answer[what]
        for key, answer in results.items()
        if key.startswith(f"{name}|{how}|") and key.endswith(f"|{method}")
    ]
    return float(np.mean(values)) if values else np.nan


FILLERS = {m: m for m in METHODS if m != "IterativeImputer, draws"}
DRAWERS = {
    "MixtureImputer, one fit": ("MixtureImputer", "one fit"),
    "MixtureImputer, proper": ("MixtureImputer", "proper"),
    "IterativeImputer": ("IterativeImputer, draws", "one fit"),
}
WORDS = {
    "rmse": "Root mean square error of what is filled in, in standard deviations",
    "seconds": "CPU seconds to fit and to fill in",
    "energy": f"Energy score of {N_DRAWS} draws of what a sample lacks (low is good)",
    "coverage": f"Share of the entries between the ends of {N_DRAWS} draws: "
    f"{COVERAGE:.2f} would be right",
}
CAVEATS = f"""\
Ten tables of at most {MAX_SAMPLES} samples, because forests are slow; {SHARE:.0%} of
the entries hidden, completely at random (MCAR) or by the values of a third of the
columns, which are whole (MAR); means over the seeds. missForest is an IterativeImputer
over forests of 100 trees, five rounds of it. Draws of the IterativeImputer are those of
one fit; "proper" ones of the mixture come each from a fit of its own."""


def _compared(what):
    """Return who is compared by a figure: labels, methods and the figure's names."""
    if what in ("rmse", "seconds"):
        return [(method, method, what) for method in FILLERS]
    return [(label, m, f"{what}, {way}") for label, (m, way) in DRAWERS.items()]


def _publish(results):
    """Write all figures, and tables of them."""
    done = [n for n in TABLES if any(key.startswith(f"{n}|") for key in results)]
    seeds = {key.split("|")[2] for key in results if not key.startswith("pooled|")}
    parts = [f"{CAVEATS} Seeds: {', '.join(sorted(seeds))}."]
    for what, words in WORDS.items():
        columns = [(how, *c) for how in MECHANISMS for c in _compared(what)]
        header = ["data", *(f"{label} ({how})" for how, label, _, _ in columns)]
        rows = []
        for name in done:
            means = [_mean(results, name, how, m, key) for how, _, m, key in columns]
            rows.append([name, *(f"{value:.3f}" for value in means)])
        parts += [f"{words}:", markdown(header, rows)]
    rows = [
        [key.partition("|")[2], *(f"{share:.3f}" for share in shares)]
        for key, shares in results.items()
        if key.startswith("pooled|")
    ]
    if rows:
        parts += [
            f"Share of {N_TABLES} generated tables in which the pooled interval (95 %) "
            f"of {N_POOLED} imputed tables holds a true coefficient of a regression:",
            markdown(["draws", "intercept", "first", "second", "third"], rows),
        ]
    publish(__file__, NAME, {"results": results}, "\n\n".join(parts))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", nargs="*", type=int, default=SEEDS)
    arguments = parser.parse_args()
    run(arguments.names, arguments.seeds)

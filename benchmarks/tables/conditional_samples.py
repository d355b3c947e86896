"""Conditional samples of six tables, beside one Gaussian copula and vine copulas.

Run ``python -m benchmarks.tables.conditional_samples`` (four CPU minutes); names of
tables as arguments select some. Of each table at most 600 samples are fitted to and
50 (a quarter of small tables) are held out, with three seeds, which are published one
by one. Half of the columns, drawn by the seed, are given; the figure is the mean energy
score of 100 draws of the others, in standard deviations of the training samples: less
is better. A vine is fitted for the columns that are given, which its order has to have
last; the mixture and the Gaussians are not.
"""

import sys
import time
import warnings

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.datasets import load_breast_cancer, load_wine

from benchmarks.shared.data import FOLDER
from benchmarks.shared.report import markdown, publish
from skgmje import GaussianMixture, GaussianMixtureCopula

SEEDS, N_TRAIN, N_TEST, N_DRAWS = (0, 1, 2), 600, 50, 100


def from_folder(name):
    """Return a function that reads the table X of a file."""

    def read():
        with np.load(FOLDER / f"{name}.npz") as file:
            return file["X"].astype(float)

    return read


TABLES = {
    "wine": lambda: load_wine().data,
    "breast cancer": lambda: load_breast_cancer().data[:, :10],
    "concrete": from_folder("concrete"),
    "power plant": from_folder("power_plant"),
    "gas turbine": from_folder("gas_turbine"),
    "magic gamma": from_folder("magic_gamma"),
}


class Copula:
    """A mixture of normal scores, of this library."""

    def __init__(self, density):
        self._density = density

    def draw(self, train, given, values, seed):
        """Return draws (n_draws, n, d) of all columns given some."""
        model = GaussianMixtureCopula(self._density, random_state=seed).fit(train)
        draws = np.empty((N_DRAWS, len(values), train.shape[1]))
        draws[..., given] = values
        rest = np.setdiff1d(range(train.shape[1]), given)
        draws[..., rest] = model.condition(given, values).sample(N_DRAWS, seed)[0]
        return draws


class CopulasLibrary:
    """GaussianMultivariate of the library copulas."""

    def draw(self, train, given, values, seed):
        """Return draws (n_draws, n, d) of all columns given some."""
        import pandas as pd
        from copulas.multivariate import GaussianMultivariate

        names = [f"c{j}" for j in range(train.shape[1])]
        model = GaussianMultivariate(random_state=seed)
        model.fit(pd.DataFrame(train, columns=names))
        draws = []
        for row in values:
            known = dict(zip([names[j] for j in given], row.tolist(), strict=True))
            found = model.sample(N_DRAWS, conditions=known)
            draws.append(pd.DataFrame(found)[names].to_numpy())
        return np.stack(draws, axis=1)


class Vine:
    """A regular vine of pyvinecopulib, with its kernel estimates of the columns."""

    def draw(self, train, given, values, seed):
        """Return draws (n_draws, n, d) of all columns given some."""
        import pyvinecopulib as vines

        controls = vines.FitControlsVinecop()
        controls.conditioning_set = [int(j) + 1 for j in given]
        margins = [vines.Kde1d.from_data(column) for column in train.T.copy()]
        u = np.column_stack(
            [m.cdf(x) for m, x in zip(margins, train.T.copy(), strict=True)]
        )
        model = vines.Vinecop.from_data(np.clip(u, 1e-6, 1 - 1e-6), controls)
        pairs = zip(given, values.T.copy(), strict=True)
        known = np.column_stack([margins[j].cdf(x) for j, x in pairs])
        known = np.repeat(np.clip(known, 1e-6, 1 - 1e-6), N_DRAWS, axis=0)
        shares = model.sample_conditional(
            known, seeds=[seed + 1], conditioning_set=controls.conditioning_set
        )
        columns = zip(margins, shares.T.copy(), strict=True)
        # Closer to 0 and 1 the kernel estimates are infinite.
        draws = [m.icdf(np.clip(x, 1e-6, 1 - 1e-6)) for m, x in columns]
        draws = np.column_stack(draws)
        draws = draws.reshape(len(values), N_DRAWS, -1).swapaxes(0, 1)
        draws[..., given] = values
        return draws


MODELS = {
    "GaussianMixtureCopula()": Copula("auto"),
    "one Gaussian: GaussianMixtureCopula(GaussianMixture())": Copula(GaussianMixture()),
    "copulas: GaussianMultivariate": CopulasLibrary(),
    "pyvinecopulib: Vinecop": Vine(),
}


def energy(draws, truth):
    """Return the mean energy score of draws (n_draws, n, d)."""
    scores = []
    for i, y in enumerate(truth):
        near = np.linalg.norm(draws[:, i] - y, axis=1).mean()
        # The mean over all pairs of different draws.
        scores.append(near - 0.5 * pdist(draws[:, i]).mean())
    return float(np.mean(scores))


def measure(X, seed):
    """Return score and seconds of each model on one split."""
    rng = np.random.default_rng(seed)
    X = X[rng.permutation(len(X))]
    n_test = min(N_TEST, len(X) // 4)
    test, train = X[:n_test], X[n_test : n_test + N_TRAIN]
    unit = train.std(axis=0)
    train, test = train / unit, test / unit
    given = np.sort(rng.permutation(X.shape[1])[: X.shape[1] // 2])
    rest = np.setdiff1d(range(X.shape[1]), given)
    found = {}
    for name, model in MODELS.items():
        start = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                draws = model.draw(train, given, test[:, given], seed)
        except ImportError:
            continue
        seconds = time.process_time() - start
        found[name] = energy(draws[..., rest], test[:, rest]), seconds
    return found


def row(name, runs):
    """Return the cells of a table, and the means over seeds."""
    means = {m: np.mean([run[m] for run in runs], axis=0).tolist() for m in runs[0]}
    known = {m: f"{score:.3f} ({s:.1f} s)" for m, (score, s) in means.items()}
    return (name, *(known.get(m, "not installed") for m in MODELS)), means


def main(names):
    """Measure and publish, after each seed."""
    runs, missing = {}, []
    for n_seeds, seed in enumerate(SEEDS, 1):
        for name in names or TABLES:
            try:
                X = TABLES[name]()
            except FileNotFoundError as error:
                missing += [f"{name}: {error.filename} is missing"] * (n_seeds == 1)
                continue
            title = f"{name} ({len(X)} x {X.shape[1]})"
            runs.setdefault(title, []).append(measure(X, seed))
            print(seed, row(title, runs[title][-1:])[0], flush=True)
        rows = {title: row(title, found) for title, found in runs.items()}
        table = markdown(("Table", *MODELS), [cells for cells, _ in rows.values()])
        table += f"\n\nMean of {n_seeds} seeds. " + " ".join(missing)
        figures = {title: means for title, (_, means) in rows.items()}
        if not names:
            payload = {"n_seeds": n_seeds, "figures": figures}
            publish(__file__, "conditional_samples", payload, table)
    print(table)


if __name__ == "__main__":
    main(sys.argv[1:])

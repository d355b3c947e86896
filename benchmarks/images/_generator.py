"""The part `generator`: networks that turn noise into rows.

Each cost trains one at several bandwidths, and 2000 draws are compared with held-out
rows. The learning rate of every row of the table is the better one on a fifth of the
training rows, by one seed: at some bandwidths a high one ends in a single point.
"""

from functools import partial

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import make_moons
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from threadpoolctl import threadpool_limits

from benchmarks.images._data import fashion
from benchmarks.images._tables import SEEDS, energy_distance, seconds_of
from benchmarks.neural_gas._streams import ring
from benchmarks.shared.report import markdown, publish
from skgmje import GaussianMixture, KernelMixtureDensity
from skgmje.costs import COSTS
from skgmje.mixture import Noise

N_SAMPLES = 2000
N_CENTERS = 128
WIDTHS = {"v*/4": 0.25, "v*": 1.0, "4 v*": 4.0, "16 v*": 16.0}
LEARNING_RATES = (2e-3, 8e-3)
# Chosen on a fifth of the training rows, for the SVD cost at 16 v*. A step costs 7 ms.
PARAMS = {
    "n_components": N_CENTERS,
    "generator": Noise(code_dim=16, hidden_layer_sizes=(256, 256)),
    "batch_size": 1024,
    "max_iter": 1000,
    "refine": "weights",
    # A unit for each principal component would weigh the last as the first.
    "standardize": False,
}
MIXTURE = {"covariance_type": "full", "reg_covar": 1e-3}
PEERS = {
    "GaussianMixture(20)": partial(GaussianMixture, 20, **MIXTURE),
    "scikit-learn's, 20": partial(SklearnGaussianMixture, 20, **MIXTURE),
}


def principal_components(split):
    """Return the rows to fit and to test in 50 principal components of the former."""
    parts = [X.reshape(len(X), -1) / np.float32(255) for X in (split.X, split.X_test)]
    basis = PCA(50, random_state=0).fit(parts[0])
    return tuple(map(basis.transform, parts))


def cell_variance(X):
    """Return v*, half the mean squared distance of a row to the nearest centre."""
    cells = KMeans(N_CENTERS, n_init=1, random_state=0).fit(X)
    return 0.5 * cells.inertia_ / len(X)


def judge(X, X_test, seed, **params):
    """Fit a network of noise; return distances of its draws, and seconds."""
    model = KernelMixtureDensity(random_state=seed, **params)
    seconds = seconds_of(model.fit, X)
    centers = model.sample_generator(N_SAMPLES, random_state=seed + 100)
    mixture = model.sample(N_SAMPLES, random_state=seed)[0]
    return [
        energy_distance(centers, X_test),
        energy_distance(mixture, X_test),
        seconds,
    ]


def judge_peer(build, X, X_test, seed):
    """Fit a plain mixture; return the distance of its draws, and seconds."""
    model = build(random_state=seed)
    seconds = seconds_of(model.fit, X)
    return [np.nan, energy_distance(model.sample(N_SAMPLES)[0], X_test), seconds]


def better_rate(X, X_test, params):
    """Return the learning rate that ends nearer to rows held out of the training."""
    found = [
        judge(X, X_test, 0, learning_rate=rate, **params)[0] for rate in LEARNING_RATES
    ]
    return LEARNING_RATES[int(np.argmin(found))]


def cells(values):
    """Return means and standard deviations of energy distances, and mean seconds."""
    means = np.mean(values, axis=0)
    spreads = np.std(values, axis=0, ddof=int(len(values) > 1))
    pairs = zip(means[:2], spreads[:2], strict=True)
    distances = ["" if np.isnan(m) else f"{m:.4f} ± {s:.4f}" for m, s in pairs]
    return [*distances, f"{means[2]:.1f}"]


def plane():
    """The same in two dimensions, with one bandwidth, several, and by default."""
    shapes = {
        "moons": lambda n, seed: make_moons(n, noise=0.08, random_state=seed)[0],
        "ring of eight": lambda n, seed: ring().sample(n, random_state=seed)[0],
    }
    params = {**PARAMS, "n_components": 64, "max_iter": 500, "batch_size": "auto"}
    results, rows = {}, []
    for name, draw in shapes.items():
        X, X_test = draw(1000, 100), draw(N_SAMPLES, 101)
        models = {
            (cost, width): {**params, "cost": cost, "bandwidth": width}
            for cost in COSTS
            for width in ("cell", "multiscale")
        }
        models["auto", "auto"] = {**params, "generator": "noise", "max_iter": 300}
        for words, settings in models.items():
            found = [judge(X, X_test, seed, **settings) for seed in SEEDS]
            results[" | ".join([name, *words])] = found
            rows.append([name, *words, cells(found)[0], cells(found)[2]])
            print(*rows[-1], sep=" | ", flush=True)
    header = ["rows", *HEADER[:2], HEADER[3], HEADER[5]]
    publish(
        __file__, "images-generator-plane", {"results": results}, markdown(header, rows)
    )


HEADER = ["cost", "bandwidth", "learning rate", "draws of the network"]
HEADER += ["draws of the mixture", "fit, CPU s"]


@threadpool_limits.wrap(limits=1)
def generator(seeds=SEEDS, validate=False):
    """Energy distance of draws to held-out rows of Fashion-MNIST, and in the plane."""
    is_complete = not validate and tuple(seeds) == SEEDS
    if is_complete:
        plane()
    split = fashion()
    if split is None:
        return
    tuning = principal_components(split.validation)
    X, X_test = tuning if validate else principal_components(split)
    floor = energy_distance(X[:N_SAMPLES], X_test)
    results, rows = {"floor": floor}, [["training rows", "", "", f"{floor:.4f}"]]

    def report(words, judged):
        found = [judged(X, X_test, seed) for seed in seeds]
        results[" | ".join(words)] = found
        rows.append([*words, *cells(found)])
        print(*rows[-1], sep=" | ", flush=True)

    variances = cell_variance(X), cell_variance(tuning[0])
    for width, factor in WIDTHS.items():
        for cost in COSTS:
            own, tuned = (
                {**PARAMS, "cost": cost, "bandwidth": float(factor * v) ** 0.5}
                for v in variances
            )
            rate = better_rate(*tuning, tuned)
            report(
                [cost, width, f"{rate:g}"], partial(judge, learning_rate=rate, **own)
            )
    report(
        ["KernelMixtureDensity(generator='noise')", "", ""],
        partial(judge, generator="noise"),
    )
    for name, build in PEERS.items():
        report([name, "", ""], partial(judge_peer, build))
    if is_complete:
        publish(
            __file__, "images-generator", {"results": results}, markdown(HEADER, rows)
        )

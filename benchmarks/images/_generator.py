"""The part `generator`: networks that turn noise into samples.

Each cost trains the paper's map at one of several bandwidths, and 2000 draws are
compared with held-out samples. The learning rate of every line of the table is the
better one on a fifth of the training samples, by one seed: at some bandwidths a high
one ends in a single point. The part `draws`: the default, which has nothing to choose,
and a plain mixture, by five seeds; there classifiers, too, tell draws from held-out
samples.
"""

from functools import partial

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import make_moons
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.images._data import fashion
from benchmarks.images._tables import SEEDS, energy_distance, quiet, seconds_of
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
# Nothing of it is chosen by hand.
DEFAULT = {**PARAMS, "generator": "noise", "batch_size": "auto", "max_iter": 300}
MORE_SEEDS = (0, 1, 2, 3, 4)
CLASSIFIERS = {
    "trees": HistGradientBoostingClassifier(random_state=0),
    "perceptron": make_pipeline(
        StandardScaler(), MLPClassifier((100,), random_state=0)
    ),
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


def areas(draws, X_test):
    """Return how well classifiers tell draws from held-out samples; 0.5 is chance."""
    parts = draws, X_test[:N_SAMPLES]
    labels = np.repeat([0, 1], [len(part) for part in parts])
    return [
        quiet(
            lambda c=classifier: cross_val_score(
                c, np.vstack(parts), labels, cv=5, scoring="roc_auc"
            ).mean()
        )
        for classifier in CLASSIFIERS.values()
    ]


def judge_more(build, X, X_test, seed):
    """Return the same of a network or a plain mixture, and what classifiers say."""
    model = build(random_state=seed)
    seconds = seconds_of(model.fit, X)
    mixture = model.sample(N_SAMPLES)[0]
    draws, distance = mixture, np.nan
    if hasattr(model, "sample_generator"):
        draws = model.sample_generator(N_SAMPLES, random_state=seed + 100)
        distance = energy_distance(draws, X_test)
    found = distance, energy_distance(mixture, X_test), seconds
    return [*found, *areas(draws, X_test)]


def better_rate(X, X_test, params):
    """Return the learning rate that ends nearer to rows held out of the training."""
    found = [
        judge(X, X_test, 0, learning_rate=rate, **params)[0] for rate in LEARNING_RATES
    ]
    return LEARNING_RATES[int(np.argmin(found))]


def cells(values):
    """Return means and standard deviations over seeds, and mean seconds."""
    means = np.mean(values, axis=0)
    spreads = np.std(values, axis=0, ddof=int(len(values) > 1))
    digits = (4, 4, 0, 3, 3)[: len(means)]
    pairs = zip(means, spreads, digits, strict=True)
    found = ["" if np.isnan(m) else f"{m:.{k}f} ± {s:.{k}f}" for m, s, k in pairs]
    found[2] = f"{means[2]:.1f}"
    return found


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
    results, rows = {"floor": floor}, [["training samples", "", "", f"{floor:.4f}"]]

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
    if is_complete:
        publish(
            __file__, "images-generator", {"results": results}, markdown(HEADER, rows)
        )


@threadpool_limits.wrap(limits=1)
def draws(seeds=MORE_SEEDS):
    """Draws of the default and of a mixture, as distances and classifiers see them."""
    split = fashion()
    if split is None:
        return
    X, X_test = principal_components(split)
    floor = energy_distance(X[:N_SAMPLES], X_test)
    of_training = areas(X[:N_SAMPLES], X_test)
    results = {"floor": floor, "training": of_training}
    rows = [
        ["training samples", f"{floor:.4f}", "", "", *map("{:.3f}".format, of_training)]
    ]
    builders = {
        "the default": partial(KernelMixtureDensity, **DEFAULT),
        "GaussianMixture(20)": PEERS["GaussianMixture(20)"],
    }
    for name, build in builders.items():
        found = [judge_more(build, X, X_test, seed) for seed in seeds]
        results[name] = found
        rows.append([name, *cells(found)])
        print(*rows[-1], sep=" | ", flush=True)
    if tuple(seeds) == MORE_SEEDS:
        header = ["draws of", *HEADER[3:], *(f"AUC, {name}" for name in CLASSIFIERS)]
        payload = {"results": results}
        publish(__file__, "images-draws", payload, markdown(header, rows))

"""Two jobs whose errors are kernel costs: landmarks, and few kernels in place of many.

Run ``python -m benchmarks.density.exact_errors`` (two CPU minutes), on digits and two
tables of real data, with 50 and 200 centers; means over three splits of at most 4000
samples, of which 30 % are held out.

- *Landmarks* of scikit-learn's ``Nystroem``: random, of k-means, of the randomly
  pivoted Cholesky factor, and learned by the matrix-matrix cost. The trace error on
  held-out samples as ``Nystroem`` has it, with gamma one over the median squared
  distance, and what a ridge regression makes of the features.
- *A kernel density estimate* of few centers, also of moons: by ``compress``, and by the
  weights and variance that predict left-out samples best around the centers of
  k-means. The Cauchy-Schwarz divergence from the estimate of all samples, held-out
  log-likelihood, and time.
"""

import time
from functools import partial

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_moons
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import StandardScaler

from benchmarks.shared.data import FOLDER
from benchmarks.shared.harness import one_thread
from benchmarks.shared.report import markdown, publish
from skgmje.costs import compress, matrix_matrix_cost
from skgmje.em import kernel_bandwidth, weights_only
from skgmje.gaussian import Mixture, grams
from skgmje.metrics import cauchy_schwarz_divergence

NAME = "exact-errors"
FILES = ("magic_gamma", "power_plant")
N_CENTERS = (50, 200)
SEEDS = (0, 1, 2)
N_SAMPLES = 4000
ALPHAS = np.logspace(-8, 2, 11)


def read(name):
    """Return samples and targets; pixels from 0 to 1, other features as they are."""
    if name == "moons":
        return make_moons(2000, noise=0.08, random_state=0)
    if name.startswith("digits"):
        digits = load_digits()
        return digits.data / 16, digits.target
    with np.load(FOLDER / f"{name}.npz") as table:
        return table["X"].astype(float), table["y"]


def split(name, seed):
    """Return training and test samples, tables in standard deviations."""
    X, y = read(name)
    some = np.random.default_rng(seed).permutation(len(X))[:N_SAMPLES]
    X, new, y, truth = train_test_split(
        X[some], y[some], test_size=0.3, random_state=seed
    )
    if name in FILES:
        scaler = StandardScaler().fit(X)
        X, new = scaler.transform(X), scaler.transform(new)
    if name == "digits in 16 PCs":  # pixels have no density, they are whole numbers
        pca = PCA(16, random_state=0).fit(X)
        X, new = pca.transform(X), pca.transform(new)
    return X, new, y, truth


def random_landmarks(X, k, gamma, seed):
    """Return samples drawn at random, as ``Nystroem`` does."""
    return X[np.random.default_rng(seed).choice(len(X), k, replace=False)]


def kmeans_landmarks(X, k, gamma, seed):
    """Return the centers of k-means."""
    return KMeans(k, n_init=1, random_state=seed).fit(X).cluster_centers_


def pivoted_landmarks(X, k, gamma, seed):
    """Return samples drawn one by one, in proportion to what is left of their trace."""
    rng, left = np.random.default_rng(seed), np.ones(len(X))
    factor, pivots = np.zeros((len(X), k)), []
    for j in range(k):
        i = rng.choice(len(X), p=left / left.sum())
        column = (
            rbf_kernel(X, X[[i]], gamma=gamma)[:, 0] - factor[:, :j] @ factor[i, :j]
        )
        factor[:, j] = column / np.sqrt(column[i])
        left = np.maximum(left - factor[:, j] ** 2, 0)
        pivots.append(i)
    return X[pivots]


def learned_landmarks(X, k, gamma, seed, n_steps=100):
    """Return the centers of k-means, moved by gradients of the matrix-matrix cost."""
    import torch

    bandwidth, data = 0.5 / np.sqrt(gamma), torch.from_numpy(X)
    landmarks = torch.tensor(kmeans_landmarks(X, k, gamma, seed), requires_grad=True)
    optimizer = torch.optim.Adam([landmarks], lr=0.02 * bandwidth)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for _ in range(n_steps):
        optimizer.zero_grad()
        matrix_matrix_cost(grams(data, landmarks, bandwidth)).backward()
        optimizer.step()
        schedule.step()
    return landmarks.detach().numpy()


LANDMARKS = {
    "random": random_landmarks,
    "k-means": kmeans_landmarks,
    "pivoted Cholesky": pivoted_landmarks,
    "learned": learned_landmarks,
}


def timed(function, *args):
    """Return the answer and its CPU seconds."""
    start = time.process_time()
    return function(*args), time.process_time() - start


def judge_landmarks(name, k, seed):
    """Return trace error, score of a ridge and seconds of each kind of landmarks."""
    X, new, y, truth = split(name, seed)
    some = X[:1000]
    distances = pairwise_distances(some, metric="sqeuclidean")
    gamma = 1 / np.median(distances[np.triu_indices(len(some), 1)])
    figures = {}
    for method, choose in LANDMARKS.items():
        landmarks, seconds = timed(choose, X, k, gamma, seed)
        nystroem = Nystroem(gamma=gamma, n_components=k).fit(landmarks)
        features, new_features = nystroem.transform(X), nystroem.transform(new)
        ridge = RidgeCV if name == "power_plant" else RidgeClassifierCV
        score = ridge(alphas=ALPHAS).fit(features, y).score(new_features, truth)
        error = 1 - np.sum(new_features**2) / len(new)
        figures[method] = error, score, seconds
    return figures


def estimate(X, bandwidth):
    """Return the kernel density estimate of all samples, as a mixture."""
    n = len(X)
    return Mixture(np.full(n, 1 / n), X, np.full(n, bandwidth**2), "spherical")


def judge_densities(name, k, seed):
    """Return divergence, log-likelihood and seconds of each way to few kernels."""
    X, new, *_ = split(name, seed)
    bandwidth = kernel_bandwidth(X[:2000])
    whole = estimate(X, bandwidth)
    peer, fit_seconds = timed(KernelDensity(bandwidth=bandwidth).fit, X)
    nats, seconds = timed(peer.score_samples, new)
    figures = {"KernelDensity": (0.0, nats.mean(), fit_seconds, seconds)}
    ways = {
        "k-means": lambda: weights_only(
            X, kmeans_landmarks(X, k, None, seed), left_out=True
        ),
        "compress": partial(compress, X, k, bandwidth=bandwidth, random_state=seed),
    }
    for method, way in ways.items():
        mixture, fit_seconds = timed(way)
        nats, seconds = timed(mixture.log_prob, new)
        gap = cauchy_schwarz_divergence(whole, mixture)
        figures[method] = gap, nats.mean(), fit_seconds, seconds
    return figures


def measure(judge, names):
    """Return by set and number of centers, by method, the means over the splits."""
    measured = {}
    for name in names:
        for k in N_CENTERS:
            splits = [judge(name, k, seed) for seed in SEEDS]
            means = {
                method: np.mean([figs[method] for figs in splits], axis=0).tolist()
                for method in splits[0]
            }
            measured[f"{name}, {k}"] = means
            print(f"{name}, {k}", means, sep="\n", flush=True)
    return measured


def table(measured, heading, columns):
    """Return a table: of each column a label, a method, a figure and its format."""
    rows = [
        (name, *(f"{means[method][i]:{form}}" for _, method, i, form in columns))
        for name, means in measured.items()
    ]
    return markdown((heading, *(label for label, *_ in columns)), rows)


def report(landmarks, densities):
    """Publish all figures, and in tables those that tell something."""
    errors = [(method, method, 0, ".3g") for method in LANDMARKS]
    errors.append(("CPU s of k-means", "k-means", 2, ".2f"))
    errors.append(("CPU s to learn", "learned", 2, ".2f"))
    scores = [(method, method, 1, ".3f") for method in LANDMARKS]
    few = [
        ("divergence: k-means", "k-means", 0, ".3f"),
        ("divergence: compress", "compress", 0, ".3f"),
        ("nats: all samples", "KernelDensity", 1, ".2f"),
        ("nats: k-means", "k-means", 1, ".2f"),
        ("nats: compress", "compress", 1, ".2f"),
        ("CPU s to fit: k-means", "k-means", 2, ".2f"),
        ("CPU s to fit: compress", "compress", 2, ".2f"),
        ("CPU s to score: all samples", "KernelDensity", 3, ".3f"),
        ("CPU s to score: compress", "compress", 3, ".4f"),
    ]
    tables = (
        table(landmarks, "trace error", errors),
        table(landmarks, "ridge score", scores),
        table(densities, "few kernels", few),
    )
    payload = {"landmarks": landmarks, "densities": densities}
    publish(__file__, NAME, payload, "\n\n".join(tables))


def main():
    """Measure and publish what there are data for."""
    files = [name for name in FILES if (FOLDER / f"{name}.npz").exists()]
    for name in set(FILES) - {*files}:
        print(f"{name}: skipped, {FOLDER / name}.npz is missing: benchmarks/README.md")
    with one_thread():
        landmarks = measure(judge_landmarks, ("digits", *files))
        densities = measure(judge_densities, ("moons", "digits in 16 PCs", *files))
    report(landmarks, densities)


if __name__ == "__main__":
    main()

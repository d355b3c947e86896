"""Two jobs whose errors are kernel costs: landmarks, and few kernels in place of many.

Run ``python -m benchmarks.density.exact_errors`` (two CPU minutes), on digits and two
tables of real data, with 50 and 200 centers; means over three splits of at most 4000
samples, of which 30 % are held out.

- *Landmarks* of scikit-learn's ``Nystroem``: random, of k-means, of the randomly
  pivoted Cholesky factor, and learned by the matrix-matrix cost. The trace error on
  held-out samples as ``Nystroem`` has it, with gamma one over the median squared
  distance, and what a ridge regression makes of the features.
- *A kernel density estimate* of few centers, also of moons: by ``compress``, and by the
  likeliest weights and variance around the centers of k-means. The Cauchy-Schwarz
  divergence from the estimate of all samples, held-out log-likelihood, and time.
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
    peer = KernelDensity(bandwidth=bandwidth).fit(X)
    nats, seconds = timed(peer.score_samples, new)
    figures = {"KernelDensity": (0.0, nats.mean(), 0.0, seconds)}
    ways = {
        "k-means": lambda: weights_only(X, kmeans_landmarks(X, k, None, seed)),
        "compress": partial(compress, X, k, bandwidth=bandwidth, random_state=seed),
    }
    for method, way in ways.items():
        mixture, fit_seconds = timed(way)
        nats, seconds = timed(mixture.log_prob, new)
        gap = cauchy_schwarz_divergence(whole, mixture)
        figures[method] = gap, nats.mean(), fit_seconds, seconds
    return figures


def table(judge, names, formats):
    """Return rows of means over the splits, a method each, and the numbers."""
    rows, payload = [], {}
    for name in names:
        for k in N_CENTERS:
            splits = [judge(name, k, seed) for seed in SEEDS]
            for method in splits[0]:
                means = np.mean([figures[method] for figures in splits], axis=0)
                payload[f"{name}, {k}, {method}"] = means.tolist()
                cells = [f"{x:{f}}" for x, f in zip(means, formats, strict=True)]
                rows.append((f"{name}, {k}", method, *cells))
                print(*rows[-1], sep=" | ", flush=True)
    return rows, payload


def main():
    """Measure and publish what there are data for."""
    files = [name for name in FILES if (FOLDER / f"{name}.npz").exists()]
    for name in set(FILES) - {*files}:
        print(f"{name}: skipped, {FOLDER / name}.npz is missing: benchmarks/README.md")
    with one_thread():
        landmarks, errors = table(
            judge_landmarks, ("digits", *files), (".3g", ".3f", ".2f")
        )
        densities, gaps = table(
            judge_densities,
            ("moons", "digits in 16 PCs", *files),
            (".3f", ".3f", ".2f", ".4f"),
        )
    heads = (
        ("data, landmarks", "chosen by", "trace error", "ridge score", "CPU s"),
        ("data, centers", "by", "divergence", "nats", "CPU s to fit", "CPU s to score"),
    )
    tables = map(markdown, heads, (landmarks, densities))
    payload = {"landmarks": errors, "densities": gaps}
    publish(__file__, NAME, payload, "\n\n".join(tables))


if __name__ == "__main__":
    main()

"""Starts: elongated clusters, three tables, and scikit-learn's best of twenty starts.

Run ``python -m benchmarks.clusters.starts`` (4 CPU minutes).
"""

import warnings
from itertools import zip_longest

import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as Peer

from benchmarks.shared.report import markdown, publish
from skgmje import GaussianMixture
from skgmje.em import expectation_maximization, start_mixture

# The peer takes long: of the first draws only.
N_DRAWS, N_PEER_DRAWS, N_PEER_STARTS = 10, 1, 20
ELONGATED = {
    "gap 4, along the diagonal": (4, True),
    "gap 4, along an axis": (4, False),
    "gap 6, along an axis": (6, False),
}
TABLES = {
    "iris": (load_iris, 3),
    "wine": (load_wine, 3),
    "breast cancer": (load_breast_cancer, 2),
}
EM = {"tol": 1e-6, "max_iter": 1000}


def elongated(gap, turned, seed):
    """Return three clusters of standard deviations 1 and 20 side by side."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], 200)
    X = rng.normal(size=(600, 2)) * [20.0, 1.0]
    X[:, 1] += gap * labels
    turn = np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2)
    return X @ turn if turned else X, labels


def draws():
    """Yield a name, samples, labels, the number of clusters and a seed."""
    for name, shape in ELONGATED.items():
        for seed in range(N_DRAWS):
            yield name, *elongated(*shape, seed), 3, seed
    for name, (load, size) in TABLES.items():
        yield name, *load(return_X_y=True), size, 0


def compare(X, labels, size, seed):
    """Return ARI and mean log-likelihood from truth, pool, k-means, and the peer."""
    start = start_mixture(X, labels)
    truth = expectation_maximization(X, start, **EM).mixture
    guess = truth.responsibilities(X).argmax(axis=1)
    found = [(adjusted_rand_score(labels, guess), truth.log_prob(X).mean())]
    fits = [
        GaussianMixture(size, init_params="auto", random_state=seed, **EM),
        GaussianMixture(size, random_state=seed, **EM),
    ]
    if seed < N_PEER_DRAWS:
        fits.append(Peer(size, n_init=N_PEER_STARTS, random_state=seed, **EM))
    for fit in fits:
        fit.fit(X)
        found.append((adjusted_rand_score(labels, fit.predict(X)), fit.score(X)))
    return found


def main():
    """Measure all sets."""
    warnings.simplefilter("ignore")
    found = {}
    for name, X, labels, size, seed in draws():
        found.setdefault(name, []).append(compare(X, labels, size, seed))
    rows = []
    for name, values in found.items():
        columns = zip_longest(*values)
        pairs = [[pair for pair in column if pair] for column in columns]
        means = [np.mean(column, axis=0) for column in pairs]
        rows.append((name, *(f"{ari:.2f}, {score:.3f}" for ari, score in means)))
    header = ("Set", "EM from the truth", 'init_params="auto"', "k-means start")
    header = (*header, f"scikit-learn, {N_PEER_STARTS} starts (first draw)")
    publish(__file__, "clusters-starts", found, markdown(header, rows))


if __name__ == "__main__":
    main()

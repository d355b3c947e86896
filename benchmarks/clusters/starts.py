"""Starts: elongated clusters, three tables, and scikit-learn's best of twenty starts.

Run ``python -m benchmarks.clusters.starts`` (6 CPU minutes), or name ``sets`` or
``likelihood``. The latter compares the pool with the best of scikit-learn's starts on
twenty sets, of those of its fits that are sound (every component has more samples than
features and, of whitened samples, no variance below 1e-4): others sit on a few samples.
"""

import sys
import warnings
from itertools import zip_longest

import numpy as np
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_wine,
)
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as Peer

from benchmarks.clusters.oracles import is_sound
from benchmarks.shared import data
from benchmarks.shared.report import markdown, publish
from skgmje import GaussianMixture, Mixture
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


# Sets of `benchmarks.shared.data`, and mixtures that are drawn: components, features.
KNOWN = {"moons": 6, "rings": 9, "pinwheel": 5, "checkerboard": 8}
DRAWN = [(k, d) for k in (3, 5, 8) for d in (2, 3, 5, 8)]


def twenty_sets():
    """Yield a name, samples and a number of components."""
    for name, size in KNOWN.items():
        yield name, data.load(name, 0)[0], size
    for name, (load, size) in TABLES.items():
        yield name, load(return_X_y=True)[0], size
    yield "diabetes", load_diabetes(return_X_y=True)[0] * 20, 2
    for seed, (size, n_features) in enumerate(DRAWN):
        rng = np.random.default_rng(seed)
        means = 2.5 * rng.normal(size=(size, n_features))
        roots = rng.normal(size=(size, n_features, n_features)) / n_features**0.5
        covariances = roots @ roots.swapaxes(1, 2) + 0.1 * np.eye(n_features)
        mixture = Mixture(rng.dirichlet(np.full(size, 5.0)), means, covariances)
        yield f"{size} of {n_features} features", mixture.sample(1000, seed)[0], size


def likelihood():
    """Publish how far the pool is from the best of many starts, per sample."""
    rows = []
    for name, X, size in twenty_sets():
        pool = GaussianMixture(size, init_params="auto", random_state=0, **EM).fit(X)
        best, n_sound = -np.inf, 0
        for seed in range(N_PEER_STARTS):
            peer = Peer(size, random_state=seed, **EM).fit(X)
            if is_sound(Mixture(peer.weights_, peer.means_, peer.covariances_), X):
                best, n_sound = max(best, peer.score(X)), n_sound + 1
        sound = "yes" if is_sound(pool.mixture_, X) else "no"
        own = float(pool.score(X))
        rows.append((name, size, own, float(best), own - float(best), n_sound, sound))
    cells = [
        (name, size, f"{own:.4f}", f"{best:.4f}", f"{gap:+.4f}", n_sound, sound)
        for name, size, own, best, gap, n_sound, sound in rows
    ]
    header = ("Set", "K", 'init_params="auto"', f"best of {N_PEER_STARTS} starts")
    header = (*header, "difference", "its sound fits", "ours is sound")
    publish(__file__, "clusters-likelihood", {"rows": rows}, markdown(header, cells))


def sets():
    """Publish what elongated clusters and tables gain from the pool."""
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


PARTS = {"sets": sets, "likelihood": likelihood}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()

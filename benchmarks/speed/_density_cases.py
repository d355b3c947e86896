"""Cases of `ratios.py` about densities, each against the package people use."""

import warnings

import numpy as np
from scipy.spatial import cKDTree
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.neighbors import KernelDensity

from benchmarks.shared.data import FOLDER
from benchmarks.shared.harness import Case, Timing, import_seconds
from skgmje import (
    GaussianMixture,
    GrowingNeuralGasMixture,
    Mixture,
    as_mixture,
    to_sklearn,
)
from skgmje.em import expectation_maximization

# Candidates of the automatic number of components that the peer goes through.
N_COMPONENTS = (1, 2, 3, 5, 8, 12, 20, 32)

REDUCE = {
    "full": lambda matrices: matrices,
    "tied": lambda matrices: matrices.mean(axis=0),
    "diag": lambda matrices: np.diagonal(matrices, axis1=1, axis2=2).copy(),
    "spherical": lambda matrices: (
        np.trace(matrices, axis1=1, axis2=2) / matrices.shape[-1]
    ),
}

# Multiplications of one row by all components, per component.
FORMS = {
    "full": lambda d: (d + 1) * (d + 2) / 2,
    "tied": lambda d: d + 1,
    "diag": lambda d: 2 * d + 1,
    "spherical": lambda d: d + 2,
}


def draw(kind, n, d, k, spread=2.0, seed=0):
    """Return a mixture and n rows of the full mixture that it is a coarsening of."""
    rng = np.random.default_rng(seed)
    roots = rng.standard_normal((k, d, d)) / np.sqrt(d)
    covariances = roots @ roots.transpose(0, 2, 1) + 0.5 * np.eye(d)
    means = spread * rng.standard_normal((k, d))
    component = rng.integers(k, size=n)
    X = rng.standard_normal((n, d))
    for j, root in enumerate(np.linalg.cholesky(covariances)):
        rows = np.flatnonzero(component == j)
        X[rows] = X[rows] @ root.T + means[j]
    weights = rng.dirichlet(np.full(k, 10.0))
    return Mixture(weights, means, REDUCE[kind](covariances), kind), X


def _estimator(mixture):
    return GaussianMixture.from_parameters(
        mixture.weights, mixture.means, mixture.covariances, mixture.covariance_type
    )


def _largest_difference(a, b):
    return {"largest difference": float(np.abs(np.asarray(a) - np.asarray(b)).max())}


def score(kind, n, d, k, n_singular=0):
    """Log-densities of rows, the same parameters on both sides."""
    mixture, X = draw(kind, n, d, k)
    if n_singular:
        covariances = mixture.covariances.copy()
        values, vectors = np.linalg.eigh(covariances[:n_singular])
        values[:, 0] = 1e-7
        covariances[:n_singular] = (vectors * values[:, None]) @ vectors.transpose(
            0, 2, 1
        )
        mixture = Mixture(mixture.weights, mixture.means, covariances)

    def warm():
        small, rows = draw(kind, 4, 3, 2)
        _estimator(small).score_samples(rows)
        to_sklearn(small).score_samples(rows)

    flops = 2 * n * k * FORMS[kind](d) + (2 * n * d * d if kind == "tied" else 0)
    return Case(
        to_sklearn(mixture).score_samples,
        _estimator(mixture).score_samples,
        (X,),
        warm=warm,
        flops=flops,
        exps=n * k,
        bytes=8 * n * d,
        difference=_largest_difference,
    )


def one_row(d, k):
    """A single row: checks and dispatch, hardly any arithmetic."""
    return score("full", 1, d, k)._replace(flops=0.0)


def em_iteration(n, d, k):
    """One E-step and one M-step."""
    mixture, X = draw("full", n, d, k)
    peer = to_sklearn(mixture)

    def sklearn_iteration(X):
        peer._m_step(X, peer._e_step(X)[1])
        covariances = peer.covariances_
        vars(peer).update(vars(to_sklearn(mixture)))
        return covariances

    def iteration(X):
        result = expectation_maximization(X, mixture, max_iter=1)
        return result.mixture.covariances

    return Case(
        sklearn_iteration,
        iteration,
        (X,),
        flops=4 * n * k * FORMS["full"](d),
        exps=n * k,
        bytes=8 * n * d,
        difference=_largest_difference,
    )


def whole_fit(n, d, k, *, given=True):
    """A fit until the likelihood stops, from the same start or each from k-means."""
    _, X = draw("full", n, d, k, spread=1.5)
    start = {}
    if given:
        start = {
            "weights_init": np.full(k, 1 / k),
            "means_init": X[:k],
            "precisions_init": np.tile(np.eye(d), (k, 1, 1)),
        }
    settings = {"n_components": k, "max_iter": 200, "random_state": 0, **start}

    def fit(cls):
        def run(X):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                return cls(**settings).fit(X)

        return run

    def difference(peer, ours):
        return {
            "log-likelihood above the peer's": float(ours.score(X) - peer.score(X)),
            "iterations": f"{ours.n_iter_} / {peer.n_iter_}",
        }

    return Case(fit(SklearnMixture), fit(GaussianMixture), (X,), difference=difference)


def kernel_sum(n, m, d, bandwidth):
    """Log-sum-exp over an n x m Gram matrix: a Gaussian kernel density."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    peer = KernelDensity(bandwidth=bandwidth, rtol=0, atol=0).fit(Y)
    return Case(
        peer.score_samples,
        as_mixture(peer).log_prob,
        (X,),
        flops=2 * n * m * (d + 1),
        exps=n * m,
        bytes=8 * (n + m) * d,
        difference=_largest_difference,
    )


def conditional_mean(n, d_given, d_rest, k):
    """Regression by a mixture: the mean of some features given the others."""
    from gmr import GMM

    mixture, X = draw("full", n, d_given + d_rest, k)
    given = np.arange(d_given)
    peer = GMM(k, mixture.weights, mixture.means, mixture.covariances)

    def mean(X):
        return mixture.condition(given, X).mean

    forms = FORMS["full"](d_given) + d_rest * (d_given + 1)
    return Case(
        lambda X: peer.predict(given, X),
        mean,
        (np.ascontiguousarray(X[:, given]),),
        flops=2 * n * k * forms,
        exps=n * k,
        bytes=8 * n * (d_given + d_rest),
        difference=_largest_difference,
    )


def one_condition(d, n_given, k):
    """The density of some features, given one sample of the others."""
    from gmr import GMM

    mixture, X = draw("full", 1, d, k)
    given = np.arange(n_given)
    peer = GMM(k, mixture.weights, mixture.means, mixture.covariances)
    return Case(
        lambda x: peer.condition(given, x),
        lambda x: mixture.condition(given, x),
        (X[0, :n_given],),
        difference=lambda a, b: _largest_difference(a.means, b.means),
    )


def gas(n, d, n_nodes):
    """A whole fit of a gas without refinement, and as many signals for the peer."""
    from minigng import MiniGNG

    _, X = draw("full", n, d, n_nodes, spread=1.5)

    def peer(X):
        signals = np.resize(X, (300 * n_nodes, d))
        return MiniGNG(n_epochs=1, max_units=n_nodes, shuffle=False).fit(signals)

    def grow(X):
        return GrowingNeuralGasMixture(n_nodes, refine=None, random_state=0).fit(X)

    def difference(peer, ours):
        nodes = [np.array([unit.prototype for unit in peer.units]), ours.nodes_]
        tree = [float(cKDTree(part).query(X)[0].mean()) for part in nodes]
        return {
            "mean distance to the nearest node, the peer's": tree[0],
            "ours": tree[1],
        }

    return Case(peer, grow, (X,), difference=difference)


def importing(statement, peer):
    """CPU seconds of an import in a fresh interpreter."""
    ours, theirs = import_seconds(statement), import_seconds(peer)
    return Timing(theirs, ours, [theirs / ours], None)


def selection(kind, rows=None):
    """The number of components chosen by us, and by BIC over fits of the peer."""
    if rows is None:
        X = draw("full", 25_000, 8, 10, spread=1.2)[1]
    else:
        X = rows()
    train, test = X[:5000], X[5000:]

    def by_bic(X):
        fits = [
            SklearnMixture(k, covariance_type=kind, random_state=0).fit(X)
            for k in N_COMPONENTS
        ]
        return min(fits, key=lambda fit: fit.bic(X))

    def automatic(X):
        return GaussianMixture("auto", covariance_type=kind, random_state=0).fit(X)

    def quiet(fit):
        def run(X):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                return fit(X)

        return run

    def difference(peer, ours):
        k = [len(fit.weights_) for fit in (ours, peer)]
        return {
            "held-out log-likelihood": float(ours.score(test)),
            "the peer's": float(peer.score(test)),
            "components": f"{k[0]} / {k[1]}",
        }

    return Case(quiet(by_bic), quiet(automatic), (train,), difference=difference)


def turbine_rows():
    """Return eight columns of a table of sensors, or say which file is missing."""
    path = FOLDER / "gas_turbine.npz"
    if not path.exists():
        raise ImportError(f"{path} is missing")
    X = np.load(path)["X"][:, :8].astype(np.float64)
    X = np.random.default_rng(0).permutation(X)
    return (X - X[:5000].mean(axis=0)) / X[:5000].std(axis=0)

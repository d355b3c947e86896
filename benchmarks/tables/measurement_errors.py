"""Measurement errors: densities without them, beside astroML's XDGMM.

Run ``python -m benchmarks.tables.measurement_errors`` (two CPU minutes; ``--quick``:
one seed and few iterations, not published). The first table has the divergence of fits
from the density without errors in nats, by 20,000 fresh samples, and the CPU time of
astroML over ours for the same iterations from the same start. The samples are drawn
anew as astroML's examples describe theirs: a curve in two features, and magnitudes and
colors of stars, whose errors are those of the magnitudes and so correlated. The second
table has the CPU time of an iteration with noise over that of one without. It needs
astroML: ``pip install astroML``, and ``PYTHONPATH`` where it lies elsewhere.
"""

import sys
import time
import warnings
from importlib.util import find_spec

import numpy as np
from sklearn.mixture import GaussianMixture as Start

from benchmarks.shared.harness import one_thread
from benchmarks.shared.report import markdown, publish
from skgmje import GaussianMixture, Mixture
from skgmje.em import expectation_maximization, start_mixture

N_FRESH = 20_000

# Bands u, g, r, i, z into g and four colors.
COLORS = np.array(
    [
        [0, 1, 0, 0, 0],
        [1, -1, 0, 0, 0],
        [0, 1, -1, 0, 0],
        [0, 0, 1, -1, 0],
        [0, 0, 0, 1, -1],
    ]
)


class Curve:
    """A curve with scatter, measured with errors of 0.2 to 0.7."""

    name, n_components = "curve, 2 features", 10

    @staticmethod
    def draw(n_samples, rng):
        """Return samples without errors."""
        x = (1.4 + 2 * rng.random(n_samples)) ** 2
        y = 0.1 * x**2
        scatter = np.stack([0.1 + 4 / x**2, 0.1 + 10 / x**2], axis=1)
        return np.stack([x, y], axis=1) + scatter * rng.normal(size=(n_samples, 2))

    @staticmethod
    def log_prob(X):
        """Return log-densities without errors, by 2,000 points of the curve."""
        x = (1.4 + 2 * (np.arange(2000) + 0.5) / 2000) ** 2
        means = np.stack([x, 0.1 * x**2], axis=1)
        variances = np.stack([0.1 + 4 / x**2, 0.1 + 10 / x**2], axis=1) ** 2
        points = Mixture(np.full(2000, 1 / 2000), means, variances, "diag")
        return points.log_prob(X)

    @staticmethod
    def measure(true, rng):
        """Return samples with errors, and their covariances."""
        deviations = 0.2 + 0.5 * rng.random(true.shape)
        X = true + deviations * rng.normal(size=true.shape)
        return X, deviations[:, :, None] ** 2 * np.eye(2)


class Stars:
    """Magnitude g and the colors u-g, g-r, r-i, i-z along a locus of stars."""

    name, n_components = "stars, 5 features", 12

    @staticmethod
    def _truth():
        t = np.linspace(0, 1, 12)
        colors = 0.8 + 1.8 * t**0.7, 0.2 + 1.2 * t, 0.05 + 0.3 * t + t**4
        means = np.stack([17 + 2 * t, *colors, 0.02 + 0.2 * t + 0.5 * t**4], axis=1)
        deviations = np.array([1.2, 0.08, 0.06, 0.04, 0.03])
        covariances = np.tile(np.diag(deviations**2), (12, 1, 1))
        covariances[:, 1, 2] = covariances[:, 2, 1] = 0.6 * 0.08 * 0.06
        covariances[:, 3, 4] = covariances[:, 4, 3] = 0.6 * 0.04 * 0.03
        return Mixture(np.full(12, 1 / 12), means, covariances)

    @classmethod
    def draw(cls, n_samples, rng):
        """Return samples without errors."""
        return cls._truth().sample(n_samples, rng)[0]

    @classmethod
    def log_prob(cls, X):
        """Return log-densities without errors."""
        return cls._truth().log_prob(X)

    @staticmethod
    def measure(true, rng):
        """Return samples with errors, which grow with magnitudes, and covariances."""
        magnitudes = true @ np.linalg.inv(COLORS).T
        deviations = 0.01 + 0.1 * 10 ** (0.4 * (magnitudes - 20.5))
        X = (magnitudes + deviations * rng.normal(size=true.shape)) @ COLORS.T
        return X, np.einsum("ij,nj,kj->nik", COLORS, deviations**2, COLORS)


def begin(X, n_components):
    """Return the start of both: ten steps of scikit-learn's EM."""
    start = Start(n_components, max_iter=10, random_state=0).fit(X)
    return Mixture(start.weights_, start.means_, start.covariances_)


def ours(X, noise, start, n_iter):
    """Return our mixture after some iterations."""
    how = {"tol": 0.0, "max_iter": n_iter, "reg_covar": 0.0}
    return expectation_maximization(X, start, noise=noise, **how).mixture


def theirs(X, noise, start, n_iter):
    """Return astroML's mixture after as many iterations."""
    from astroML.density_estimation import XDGMM

    peer = XDGMM(start.n_components, max_iter=n_iter, tol=-np.inf, random_state=0)
    peer.fit(X, noise)
    return Mixture(peer.alpha, peer.mu, peer.V)


def timed(function, *data):
    """Return an answer and its CPU seconds."""
    begin = time.process_time()
    return function(*data), time.process_time() - begin


def quality(n_seeds, n_iter, n_samples=2000):
    """Yield a row for each truth."""
    for truth in (Curve, Stars):
        found, ratios, gaps = [], [], []
        for seed in range(n_seeds):
            rng = np.random.default_rng(seed)
            X, noise = truth.measure(truth.draw(n_samples, rng), rng)
            data = X, noise, begin(X, truth.n_components), n_iter
            own, seconds = timed(ours, *data)
            peer, peer_seconds = timed(theirs, *data)
            ratios.append(peer_seconds / seconds)
            gaps.append(np.abs(peer.means - own.means).max())
            settings = {"max_iter": 300, "tol": 1e-5, "random_state": 0}
            model = GaussianMixture(truth.n_components, **settings)
            mixtures = own, peer
            mixtures += model.fit(X, noise=noise).mixture_, model.fit(X).mixture_
            fresh = truth.draw(N_FRESH, np.random.default_rng(99))
            log_prob = truth.log_prob(fresh)
            found.append([np.mean(log_prob - m.log_prob(fresh)) for m in mixtures])
        figures = [*np.mean(found, axis=0), np.median(ratios), max(gaps)]
        yield truth.name, n_iter, *map(float, figures)


def speed(rounds, n_samples=100_000):
    """Yield a row for each kind of noise, of 5 features and 16 components."""
    rng = np.random.default_rng(0)
    X = 3 * rng.normal(size=(n_samples, 5))
    start = start_mixture(X, rng.integers(0, 16, n_samples))
    means = start.means + 2 * rng.normal(size=start.means.shape)
    start = Mixture(start.weights, means, start.covariances)
    factors = rng.normal(size=(n_samples, 5, 5))
    noise = factors @ factors.transpose(0, 2, 1)
    gaps = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    kinds = {
        "covariances of their own": (X, noise),
        "the same, 20 % of the entries missing": (gaps, noise),
        "variances of their own": (X, noise[:, range(5), range(5)]),
        "1,000 different covariances": (X, noise[rng.integers(0, 1000, n_samples)]),
        "one covariance": (X, np.broadcast_to(noise[0], noise.shape)),
    }
    for name, (samples, errors) in kinds.items():
        ratios = []
        for _ in range(rounds):
            # Of six iterations less those of one: the preparation cancels.
            pair = [
                timed(ours, data, given, start, 6)[1]
                - timed(ours, data, given, start, 1)[1]
                for data, given in ((samples, errors), (X, None))
            ]
            ratios.append(pair[0] / pair[1])
        yield name, float(np.median(ratios))


def main():
    """Measure, and publish if everything was measured."""
    quick = "--quick" in sys.argv
    if find_spec("astroML") is None:
        raise SystemExit("astroML is missing: pip install astroML.")
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        second = [*speed(1 if quick else 3)]
        first = [*quality(1 if quick else 3, 3 if quick else 10)]
    header = (
        "truth",
        "iterations",
        "divergence, ours",
        "astroML",
        "ours, until settled",
        "without noise",
        "times as fast as astroML",
        "largest difference of means",
    )
    shown = [
        [*row[:2], *(f"{v:.4f}" for v in row[2:6]), f"{row[6]:.0f}", f"{row[7]:.0e}"]
        for row in first
    ]
    header2 = "noise of 100,000 x 5, K = 16", "iterations without that take as long"
    text = markdown(header, shown) + "\n\n"
    text += markdown(header2, [[name, f"{ratio:.1f}"] for name, ratio in second])
    print(text)
    if not quick:
        payload = {"quality": first, "speed": second}
        publish(__file__, "measurement_errors", payload, text)


if __name__ == "__main__":
    main()

"""Transport, divergences, reduction and regions of generated mixtures.

Run ``python -m benchmarks.algebra.closed_forms`` (three CPU minutes; without POT, the
package `pot`, its lines are left out). Mixtures are drawn at random: weights uniform
over the simplex, means normal with standard deviation 2, matrices of Wishart kind.

- *Transport* beside POT's ``ot.gmm``: the largest relative difference of the loss and
  the largest difference of the plan over 100 pairs, the distance of a mixture to
  itself, and CPU time, both sides in turns; low rank beside the same as full matrices;
  and what the map leaves of the energy distance.
- *Kullback-Leibler* over 1,000 pairs beside Monte Carlo.
- *Reduction* beside k-means of the means, by Monte Carlo.
- *Regions*: the share of fresh draws inside.
"""

import time

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from benchmarks.shared.harness import Case, compare, one_thread
from benchmarks.shared.report import markdown, publish
from skgmje.gaussian import Mixture
from skgmje.metrics import (
    kl_divergence,
    monte_carlo_kl,
    transport_map,
    wasserstein,
)

NAME = "algebra"


def draw(rng, n_components, n_features, spread=2.0):
    """Return a random mixture with full covariances."""
    A = rng.normal(size=(n_components, n_features, n_features + 2))
    return Mixture(
        rng.dirichlet(np.ones(n_components)),
        spread * rng.normal(size=(n_components, n_features)),
        A @ A.transpose(0, 2, 1) / n_features,
    )


def draw_low_rank(rng, n_components, n_features, rank):
    """Return a random mixture of low rank."""
    shape = n_components, n_features
    pair = rng.normal(size=(*shape, rank)), rng.uniform(0.2, 2.0, size=shape)
    weights = rng.dirichlet(np.ones(n_components))
    return Mixture(weights, 2 * rng.normal(size=shape), pair, "low-rank")


def pot_arguments(p, q):
    """Return the arguments of POT's functions."""
    names = "means", "covariances", "weights"
    return [np.array(getattr(m, name)) for name in names for m in (p, q)]


def transport_values(n_pairs=100):
    """Yield rows: agreement with POT, and the distance of a mixture to itself."""
    rng, gaps, selves = np.random.default_rng(0), [], []
    try:
        from ot.gmm import gmm_ot_loss, gmm_ot_plan
    except ImportError:
        gmm_ot_loss = None
    for _ in range(n_pairs):
        d = int(rng.integers(1, 9))
        p, q = (draw(rng, int(rng.integers(2, 9)), d) for _ in range(2))
        distance, plan = wasserstein(p, q, return_plan=True)
        selves.append(wasserstein(p, p))
        if gmm_ot_loss:
            arguments = pot_arguments(p, q)
            loss = abs(distance**2 / gmm_ot_loss(*arguments) - 1)
            gaps.append((loss, abs(plan - gmm_ot_plan(*arguments)).max()))
    if gaps:
        loss, plan = np.max(gaps, axis=0)
        yield "loss against POT, largest relative difference", "1e-8", f"{loss:.1e}"
        yield "plan against POT, largest difference", "1e-8", f"{plan:.1e}"
    yield "wasserstein(p, p), largest", "1e-8", f"{max(selves):.1e}"


def transport_speed():
    """Yield rows: CPU time beside POT's, and of low rank beside full."""
    rng = np.random.default_rng(0)
    p, q = draw(rng, 50, 32), draw(rng, 50, 32)
    try:
        from ot.gmm import gmm_ot_loss
    except ImportError:
        gmm_ot_loss = None
    if gmm_ot_loss:
        arguments = pot_arguments(p, q)
        case = Case(lambda: gmm_ot_loss(*arguments), lambda: wasserstein(p, q) ** 2, ())
        ratio = compare(case, 5, 60).ratio
        yield "K = 50, d = 32: times POT's speed", "5", f"{ratio:.1f}"
    p, q = (draw_low_rank(rng, 8, 256, 4) for _ in range(2))
    full = [m.affine(np.eye(256)) for m in (p, q)]
    case = Case(lambda: wasserstein(*full), lambda: wasserstein(p, q), ())
    found = compare(case, 3, 60)
    gap = abs(wasserstein(p, q) / wasserstein(*full) - 1)
    yield "rank 4 of 256, K = 8: times the speed of full", "", f"{found.ratio:.0f}"
    yield "its relative difference from full", "", f"{gap:.1e}"


def energy_distance(first, second):
    """Return twice the mean distance between samples less those within."""
    pairs = (first, second), (first, first), (second, second)
    between, *within = (cdist(*pair).mean() for pair in pairs)
    return 2 * between - sum(within)


def map_rows(n_pairs=10):
    """Yield a row: what the map leaves of the energy distance."""
    shares, rng = [], np.random.default_rng(0)
    for seed in range(n_pairs):
        p, q = draw(rng, 5, 2), draw(rng, 4, 2).affine(1.0, [4.0, 0.0])
        X, Y = p.sample(2000, seed)[0], q.sample(2000, seed + 100)[0]
        moved = transport_map(p, q).sample(X, seed)
        shares.append(energy_distance(moved, Y) / energy_distance(X, Y))
    yield (
        "energy distance that the map leaves, largest share",
        "0.1",
        f"{max(shares):.4f}",
    )


def divergence_rows(n_pairs=1000, n_samples=2000):
    """Yield rows: bounds and approximation beside Monte Carlo."""
    rng, broken, errors, exact = np.random.default_rng(0), 0, [], []
    for seed in range(n_pairs):
        d = int(rng.integers(1, 5))
        p, q = (draw(rng, int(rng.integers(2, 6)), d) for _ in range(2))
        value, error = monte_carlo_kl(p, q, n_samples=n_samples, random_state=seed)
        lower, upper = kl_divergence(p, q, method="bounds")
        broken += not lower - 4 * error <= value <= upper + 4 * error
        errors.append(kl_divergence(p, q) / value - 1)
        if seed < 100:
            a, b = p.select([0]), q.select([0])
            S, T = a.covariances[0], b.covariances[0]
            delta = b.means[0] - a.means[0]
            dets = np.linalg.slogdet(T)[1] - np.linalg.slogdet(S)[1]
            inside = np.trace(np.linalg.solve(T, S)) + delta @ np.linalg.solve(T, delta)
            closed = 0.5 * (inside - d + dets)
            exact.append(abs(kl_divergence(a, b) / closed - 1))
    yield f"bounds broken, of {n_pairs:,} pairs, 4 errors", "0", str(broken)
    yield (
        "variational beside Monte Carlo, median difference and its size",
        "10 %",
        f"{100 * np.median(errors):+.1f} %, {100 * np.median(np.abs(errors)):.1f} %",
    )
    yield "one component, largest relative difference", "1e-12", f"{max(exact):.1e}"


def by_kmeans(mixture, n_components, seed):
    """Return the moment-matched clusters of the components' means."""
    model = KMeans(n_components, n_init=3, random_state=seed)
    labels = model.fit_predict(mixture.means, sample_weight=mixture.weights)
    parts = [mixture.select(np.flatnonzero(labels == k)) for k in range(n_components)]
    weights = np.bincount(labels, mixture.weights, n_components)
    means, covariances = zip(*((m.mean, m.covariance) for m in parts), strict=True)
    return Mixture(weights, np.array(means), np.array(covariances))


def reduction_rows(n_mixtures=20):
    """Yield rows: divergence and time of the reduction."""
    rng, ours, theirs = np.random.default_rng(0), [], []
    for seed in range(n_mixtures):
        mixture = draw(rng, 60, int(rng.integers(1, 6)))
        reduced = mixture.reduce(10), by_kmeans(mixture, 10, seed)
        both = [
            monte_carlo_kl(mixture, m, n_samples=20_000, random_state=seed)[0]
            for m in reduced
        ]
        ours.append(both[0])
        theirs.append(both[1])
    ours, theirs = np.array(ours), np.array(theirs)
    yield (
        f"60 to 10 components, of {n_mixtures}: k-means better",
        "0",
        (str(int((theirs < ours).sum()))),
    )
    yield (
        "nats lost: Runnalls, k-means (medians)",
        "",
        f"{np.median(ours):.3f}, {np.median(theirs):.3f}",
    )
    yield "largest share of what k-means loses", "1", f"{(ours / theirs).max():.2f}"
    mixture = draw(rng, 400, 8)
    start = time.process_time()
    mixture.reduce(40)
    seconds = time.process_time() - start
    yield "K = 400, d = 8 to 40, CPU seconds", "5", f"{seconds:.2f}"


def region_rows(n_mixtures=20):
    """Yield rows: the share of draws inside regions of 90 %."""
    rng = np.random.default_rng(0)
    for d in (1, 2, 5):
        shares = []
        for seed in range(n_mixtures):
            mixture = draw(rng, 5, d)
            region = mixture.region(0.9, random_state=seed, n_samples=20_000)
            X, _ = mixture.sample(40_000, seed + 1000)
            shares.append(region.contains(X).mean())
        low, high = min(shares), max(shares)
        yield (
            f"d = {d}: share inside 90 %, least and largest",
            "0.89, 0.91",
            (f"{low:.3f}, {high:.3f}"),
        )


PARTS = {
    "transport": (transport_values, transport_speed, map_rows),
    "Kullback-Leibler": (divergence_rows,),
    "reduction": (reduction_rows,),
    "regions": (region_rows,),
}


def main():
    """Measure all parts and publish them."""
    rows, seconds = [], {}
    with one_thread():
        for name, parts in PARTS.items():
            start = time.process_time()
            for part in parts:
                for row in part():
                    print(*row, sep=" | ", flush=True)
                    rows.append([name, *row])
            seconds[name] = round(time.process_time() - start, 1)
    print(seconds)
    table = markdown(["part", "figure", "target", "measured"], rows)
    publish(__file__, NAME, {"rows": rows, "seconds": seconds}, table)


if __name__ == "__main__":
    main()

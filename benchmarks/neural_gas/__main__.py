"""The growing neural gas: speed, memory, quality, density, streams.

Run ``python -m benchmarks.neural_gas`` for all parts (about a quarter of an hour
on one core), or name some: speed, memory, quality, density, stream. The peer
`minigng` may be missing; then our own gas, row by row, stands in its place. Each
part goes to `results/neural-gas-<part>.*`.
"""

import importlib.util
import sys
import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from benchmarks.neural_gas._streams import (
    IN_FOLDER,
    MOVES,
    RING_CENTERS,
    SHAPES,
    load_shape,
    make_clusters,
    ring,
)
from benchmarks.shared.data import FOLDER, SETS, load
from benchmarks.shared.harness import (
    Case,
    compare,
    extra_memory,
    memory_growth,
    one_thread,
)
from benchmarks.shared.report import markdown, publish
from skgmje import GaussianMixture, GrowingNeuralGasMixture
from skgmje.mixture import GasGrowth
from skgmje.neural_gas import (
    GasState,
    adapt_gas,
    gas_components,
    gas_errors,
    nearest_nodes,
    start_gas,
)

FRITZKE = {"winner_rate": 0.2, "neighbor_rate": 0.006, "error_decay": 0.995}
# Nodes, features, rows, and how many streams the errors are averaged over.
SIZES = {"K=100, d=16": (100, 16, 50_000, 5), "K=500, d=64": (500, 64, 100_000, 1)}
TARGETS = {"K=100, d=16": 40, "K=500, d=64": 30}
HAS_PEER = importlib.util.find_spec("minigng") is not None
PEER = "minigng" if HAS_PEER else "our gas, row by row (minigng is missing)"
SEEDS = (0, 1, 2)


def grow_peer(X, max_nodes, n_epochs=1):
    """Return the peer's gas, as a state."""
    if not HAS_PEER:
        rows = np.tile(X, (n_epochs, 1))
        options = {"mode": "sequential", "max_nodes": max_nodes, **FRITZKE}
        return adapt_gas(start_gas(rows), rows, **options)
    from minigng import MiniGNG

    gas = MiniGNG(n_epochs=n_epochs, max_units=max_nodes, shuffle=n_epochs > 1)
    gas.fit(X.copy())
    nodes = np.array([unit.prototype for unit in gas.units])
    number = {id(unit): i for i, unit in enumerate(gas.units)}
    ends = [sorted((number[id(e.source)], number[id(e.target)])) for e in gas.edges]
    return start_gas(nodes)._replace(nodes=nodes, edges=np.array(sorted(ends)))


def grow_ours(X, max_nodes):
    """Return our gas, by blocks."""
    return adapt_gas(start_gas(X), X, max_nodes=max_nodes, **FRITZKE)


def summary(gas: GasState, test):
    """Return quantisation and topographic error and the number of components."""
    return *gas_errors(gas, test), int(gas_components(gas).max()) + 1


def speed():
    """Signals per second while the gas grows to K nodes, and what it has found."""
    rows, results = [], {}
    for name, (max_nodes, n_features, n_rows, n_streams) in SIZES.items():
        sides = [
            lambda X, k=max_nodes: grow_peer(X, k),
            lambda X, k=max_nodes: grow_ours(X, k),
        ]
        test = make_clusters(5000, n_features, 99)
        streams = [make_clusters(n_rows, n_features, seed) for seed in range(n_streams)]
        peer, ours = (
            np.array([summary(side(X), test) for X in streams]) for side in sides
        )
        with one_thread():
            timing = compare(Case(*sides, streams[:1]), 5, 180)
        results[name] = {
            "ratio": timing.ratio,
            "ratios": timing.ratios,
            "rows per second": [n_rows / timing.peer, n_rows / timing.ours],
            "peer": peer.tolist(),
            "ours": ours.tolist(),
        }
        found = [" ".join(f"{c:.0f}" for c in side[:, 2]) for side in (peer, ours)]
        rows.append(
            [
                name,
                *(f"{n_rows / t:,.0f}" for t in (timing.peer, timing.ours)),
                f"**{timing.ratio:.0f}**",
                TARGETS[name],
                f"{ours[:, 0].mean() / peer[:, 0].mean():.4f}",
                f"{peer[:, 1].mean():.3f} / {ours[:, 1].mean():.3f}",
                " / ".join(found),
            ]
        )
        print(rows[-1], flush=True)
    header = ["size", f"{PEER}: rows/s", "ours: rows/s", "ratio", "target"]
    header += ["error of ours / peer", "topographic error", "components (10 are true)"]
    finish("speed", results, header, rows)


def memory():
    """Peak memory of a gas of 2000 nodes beyond its rows, in a fresh process."""
    megabytes = extra_memory("benchmarks.neural_gas", "K=2000, d=32", "ours")
    figure = "not measured here" if megabytes is None else f"{megabytes:.1f} MB"
    rows = [["K=2000, d=32", figure, "32 MB"]]
    print(rows, flush=True)
    finish("memory", {"MB": megabytes}, ["size", "extra memory", "target"], rows)


def print_memory():
    """Grow to 2000 nodes where only this is done."""
    X = make_clusters(100_000, 32, 0)

    def grow(X):
        return adapt_gas(
            start_gas(X), X, max_nodes=2000, insertion_interval=20, **FRITZKE
        )

    small = X[:600].copy()
    case = Case(None, grow, (X,), warm=lambda: grow(small))
    print(*memory_growth(grow, case))


def quality():
    """Errors of 64 nodes against k-means and the peer, and the shapes found."""
    rows, results = [], {}
    for name in SHAPES:
        if name in IN_FOLDER and not (FOLDER / f"{name}.npz").exists():
            rows.append([name, f"skipped: {FOLDER}/{name}.npz is missing"])
            continue
        runs = [one_quality(name, seed) for seed in SEEDS]
        results[name] = {key: [run[key] for run in runs] for key in runs[0]}
        mean = {key: np.mean(value) for key, value in results[name].items()}
        found = f"{min(results[name]['ARI']):.2f}" if "ARI" in runs[0] else ""
        rows.append(
            [
                name,
                f"{mean['error']:.4f}",
                f"{max(results[name]['error']):.4f}",
                f"{mean['squared error']:.4f}",
                f"{mean['peer error']:.4f}",
                f"{mean['topographic error']:.4f}",
                f"{mean['peer topographic error']:.4f}",
                found,
            ]
        )
        print(rows[-1], flush=True)
    header = ["rows", "error / k-means", "worst", "squared", f"{PEER} / k-means"]
    header += ["topographic error, held out", PEER, "worst ARI of components"]
    finish("quality", results, header, rows)


def one_quality(name, seed):
    """Measure one set once."""
    train, labels, test = load_shape(name, seed)
    kmeans = KMeans(64, n_init=5, random_state=seed).fit(train)
    base = nearest_nodes(kmeans.cluster_centers_, train)[2]
    settings = {"covariance_type": "spherical", "shrinkage": 2.0, "refine": None}
    ours = GrowingNeuralGasMixture(64, **settings, random_state=seed).fit(train)
    distances = nearest_nodes(ours.nodes_, train)[2]
    np.random.seed(seed)  # noqa: TID251, NPY002 - of the peer
    peer = grow_peer(train, 64, max(1, round(64 * 300 / len(train))))
    figures = {
        "error": float(distances.mean() / base.mean()),
        "squared error": float((distances**2).mean() / (base**2).mean()),
        "peer error": gas_errors(peer, train)[0] / float(base.mean()),
        "topographic error": gas_errors(ours._gas, test)[1],
        "peer topographic error": gas_errors(peer, test)[1],
    }
    if labels is not None:
        figures["ARI"] = adjusted_rand_score(labels, ours.labels_)
    return figures


def density():
    """Held-out log-likelihood: the ring over 20 seeds, and the sets of quality.py."""
    rows, results = [], {"ring": [one_ring(seed) for seed in range(20)]}
    gaps = [gap for gap, _ in results["ring"]]
    modes = sum(found == 8 for _, found in results["ring"])
    title = f"ring of 8 modes: all of them in {modes} of 20 seeds"
    rows.append([title, 0.0, "", f"{np.mean(gaps):.3f}", f"{min(gaps):.3f}", -0.05])
    for name in SETS:
        pairs = np.array([one_density(name, seed) for seed in SEEDS])
        results[name] = pairs.tolist()
        peer, ours = pairs.mean(axis=0)
        worst = (pairs[:, 1] - pairs[:, 0]).min()
        cells = [f"{v:.3f}" for v in (peer, ours, ours - peer, worst)]
        rows.append([name, *cells, -0.1])
        print(rows[-1], flush=True)
    header = ["rows", 'truth, or GaussianMixture("auto")']
    header += ['GrowingNeuralGasMixture("auto")', "difference", "worst seed", "target"]
    finish("density", results, header, rows)


def one_ring(seed):
    """Return the distance to the truth, and how many modes have a component."""
    train, test = ring().sample(4000, seed)[0], ring().sample(4000, 1000 + seed)[0]
    gas = GrowingNeuralGasMixture("auto", random_state=seed).fit(train)
    near = np.linalg.norm(RING_CENTERS[:, None] - gas.means_, axis=2) < 0.1
    truth = ring().log_prob(test).mean()
    return float(gas.score(test) - truth), int((near @ gas.weights_ > 0.03).sum())


def one_density(name, seed):
    """Return the scores of both."""
    train, test = load(name, seed)
    models = GaussianMixture("auto"), GrowingNeuralGasMixture("auto")
    return [m.set_params(random_state=0).fit(train).score(test) for m in models]


def stream():
    """How far from the truth a mixture is before and after its stream has moved."""
    rows, results = [], {}
    for name, (before, after) in MOVES.items():
        for size in (10, 200, 1000):
            growth = GasGrowth(utility_threshold=20.0)
            gas = GrowingNeuralGasMixture(20, growth=growth)
            feed(gas, before.sample(20_000, 0)[0], size)
            gaps = [gap(gas, before), gap(gas, after)]
            moved = after.sample(5000, 1)[0]
            for part in np.split(moved, 5):
                feed(gas, part, size)
                gaps.append(gap(gas, after))
            results[f"{name}, {size}"] = gaps
            rows.append([name, size, *(f"{g:.3f}" for g in gaps)])
            print(rows[-1], flush=True)
    header = ["the stream moves", "rows per chunk", "before", "just after"]
    header += [f"{n} 000 rows later" for n in range(1, 6)]
    finish("stream", results, header, rows)


def feed(gas, X, size):
    """Show rows in chunks."""
    for start in range(0, len(X), size):
        gas.partial_fit(X[start : start + size])


def gap(gas, truth):
    """Return the mean log-likelihood of new rows less that of the truth."""
    X = truth.sample(4000, 2)[0]
    return float(gas.score(X) - truth.log_prob(X).mean())


def finish(part, results, header, rows):
    """Write the figures of a part."""
    rows = [[*row, *[""] * (len(header) - len(row))] for row in rows]
    table = markdown(header, rows)
    print(f"\n{table}\n", flush=True)
    publish(__file__, f"neural-gas-{part}", {"peer": PEER, "results": results}, table)


PARTS = {
    "speed": speed,
    "memory": memory,
    "quality": quality,
    "density": density,
    "stream": stream,
}


def main(names):
    """Run the parts, without warnings: the tables have their own words for them."""
    for name in names or PARTS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            PARTS[name]()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        print_memory()
    else:
        main(sys.argv[1:])

"""
===============================================
Growing neural gas: clusters, graph and density
===============================================

Claim: one graph that grows finds clusters of any shape and a density, and goes on
doing so when the data move.

A growing neural gas [1]_ is a graph. Its nodes go where the samples are, its edges
link nodes that share samples, and where it is still bad it grows. Three things come
of it at once: the connected components are *clusters* of any shape, the samples
around the nodes start EM, which gives a *density*, and both follow a *stream*,
because nodes that became useless move to where the samples went [2]_.

Everything runs on data that ships with scikit-learn. The pictures go to
``examples/out/``.

References
----------
.. [1] B. Fritzke, "A Growing Neural Gas Network Learns Topologies", 1995.
.. [2] B. Fritzke, "A Self-Organizing Network That Can Follow Non-Stationary
   Distributions", 1997.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from sklearn.datasets import load_digits, make_circles, make_moons
from sklearn.decomposition import PCA

from skgmje import GrowingNeuralGasMixture
from skgmje.mixture import GasGrowth

OUT = Path(__file__).parent / "out"
# Okabe and Ito's colours, which colour-blind people can tell apart.
COLORS = np.array(["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"])


def draw_graph(axis, gas, rows, plane=lambda positions: positions):
    """Draw samples, nodes and edges, coloured by connected component."""
    labels = gas.predict(rows)
    # Large components keep their colour from one picture to the next.
    rank = np.argsort(np.argsort(-np.bincount(labels), kind="stable"))
    axis.scatter(*plane(rows).T, s=2, color="0.75", linewidths=0, rasterized=True)
    nodes, colors = plane(gas.nodes_), COLORS[rank[gas.node_labels_] % len(COLORS)]
    edges = nodes[gas.edges_]
    axis.add_collection(
        LineCollection(edges, colors=colors[gas.edges_[:, 0]], alpha=0.6)
    )
    axis.scatter(*nodes.T, s=14, c=colors, edgecolors="white", linewidths=0.5, zorder=3)
    axis.set(xticks=[], yticks=[], aspect="equal")


# %%
# Clusters of any shape
# ---------------------
# Moons and circles come apart without being told how many there are. The digits
# have 64 features; the plane of the picture is that of their first two principal
# components, while the graph lives in all of them.

moons, _ = make_moons(2000, noise=0.05, random_state=0)
circles, _ = make_circles(2000, noise=0.04, factor=0.5, random_state=0)
digits = load_digits().data
pca = PCA(2).fit(digits)

figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
for axis, (name, rows, plane) in zip(
    axes,
    [
        ("moons", moons, lambda positions: positions),
        ("circles", circles, lambda positions: positions),
        ("digits, first two principal components", digits, pca.transform),
    ],
    strict=True,
):
    gas = GrowingNeuralGasMixture(64, covariance_type="diag", random_state=0).fit(rows)
    draw_graph(axis, gas, rows, plane)
    n_clusters = gas.node_labels_.max() + 1
    axis.set_title(f"{name}\n{gas.n_nodes_} nodes, {n_clusters} connected component(s)")
    print(
        f"{name}: {n_clusters} connected component(s), topographic error "
        f"{gas.topographic_error_:.3f}, {gas.score(rows):.2f} nats per sample"
    )
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "neural_gas.png", dpi=120)

# %%
# A stream that moves
# -------------------
# Chunks of 250 samples come one after the other: first the moons, then, without notice,
# the circles. Above each picture is the mean held-out log-likelihood; the last mixture
# before the move is useless after it.

rng = np.random.default_rng(0)
stream = GrowingNeuralGasMixture(40, growth=GasGrowth(utility_threshold=20.0))
SHOWN = {"moons": (250, 1500, 6000), "circles": (250, 1500, 6000)}
figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
for line, (name, rows) in zip(
    axes, {"moons": moons, "circles": 1.5 * circles + [0.5, 0.3]}.items(), strict=True
):
    train, held_out = rows[:1500], rows[1500:]
    if name == "circles":
        print(f"just after the move: {stream.score(held_out):.2f} nats per sample")
    panels = iter(line)
    for n_seen in range(250, 6001, 250):
        stream.partial_fit(train[rng.integers(len(train), size=250)])
        if n_seen in SHOWN[name]:
            score = stream.score(held_out)
            axis = next(panels)
            draw_graph(axis, stream, rows)
            axis.set_title(f"{n_seen} samples of {name}: {score:.2f} nats")
            print(f"{n_seen} samples of {name}: {score:.2f} nats per sample")
figure.savefig(OUT / "neural_gas_stream.png", dpi=120)

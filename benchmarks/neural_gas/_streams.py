"""Shapes, tables, and streams that move.

Three tables come from the folder that `SKGMJE_DATA` names, see ../README.md.
"""

import numpy as np
from sklearn.datasets import (
    load_digits,
    make_blobs,
    make_circles,
    make_moons,
    make_swiss_roll,
)
from sklearn.preprocessing import StandardScaler

from benchmarks.shared.data import FOLDER
from skgmje.gaussian import Mixture

N_ROWS = 4000
ANGLES = np.arange(8) * np.pi / 4
RING_CENTERS = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])


def _spirals(seed):
    rng = np.random.RandomState(seed)
    arm = rng.randint(2, size=N_ROWS)
    along = np.sqrt(rng.rand(N_ROWS)) * 3 * np.pi
    angle = along + np.pi * arm
    rows = np.column_stack([along * np.cos(angle), along * np.sin(angle)])
    return rows + 0.15 * rng.randn(N_ROWS, 2), None


def _table(name, n_rows=None):
    def rows(seed):
        table = np.load(FOLDER / f"{name}.npz")["X"]
        table = table.reshape(len(table), -1).astype(np.float64)
        order = np.random.RandomState(seed).permutation(len(table))[:n_rows]
        return table[order], None

    return rows


# Each gives rows and, where connected components should find them, labels.
SHAPES = {
    "moons": lambda seed: make_moons(N_ROWS, noise=0.05, random_state=seed),
    "circles": lambda seed: make_circles(
        N_ROWS, noise=0.04, factor=0.5, random_state=seed
    ),
    "two blobs": lambda seed: make_blobs(
        N_ROWS, centers=[[0, 0], [8, 8]], random_state=seed
    ),
    "spirals": _spirals,
    "swiss roll": lambda seed: (
        make_swiss_roll(N_ROWS, noise=0.1, random_state=seed)[0],
        None,
    ),
    "blobs": lambda seed: (
        make_blobs(N_ROWS, 10, centers=8, random_state=seed)[0],
        None,
    ),
    "digits": lambda seed: (load_digits().data, None),
    "magic_gamma": _table("magic_gamma"),
    "gas_turbine": _table("gas_turbine"),
    "fashion_mnist": _table("fashion_mnist", 20_000),
}
IN_FOLDER = ("magic_gamma", "gas_turbine", "fashion_mnist")
SCALED = ("magic_gamma", "gas_turbine")


def load_shape(name, seed):
    """Return training rows, their labels or None, and held-out rows."""
    rows, labels = SHAPES[name](seed)
    order = np.random.RandomState(seed).permutation(len(rows))
    train, test = np.split(order, [int(0.7 * len(rows))])
    if name in SCALED:
        rows = StandardScaler().fit(rows[train]).transform(rows)
    return rows[train], None if labels is None else labels[train], rows[test]


def make_clusters(n_rows, n_features, seed):
    """Return rows of ten clusters, whose centres do not depend on the seed."""
    centers = 4 * np.random.default_rng(9).standard_normal((10, n_features))
    rng = np.random.default_rng(seed)
    label = rng.integers(10, size=n_rows)
    return centers[label] + rng.standard_normal((n_rows, n_features))


def ring(shift=0.0):
    """Return the density of eight modes on a circle."""
    variances = np.full(8, 0.1**2)
    return Mixture(np.full(8, 1 / 8), RING_CENTERS + shift, variances, "spherical")


def clusters(seed, n_features):
    """Return a density of five unit clusters at random."""
    centers = 4 * np.random.default_rng(seed).standard_normal((5, n_features))
    return Mixture(np.full(5, 0.2), centers, np.ones(5), "spherical")


MOVES = {
    "ring, by its radius times 3": (ring(), ring(3.0)),
    "ring, by half a gap": (ring(), ring(0.4)),
    "5 clusters in 2-d, to new places": (clusters(0, 2), clusters(1, 2)),
    "5 clusters in 8-d, to new places": (clusters(0, 8), clusters(1, 8)),
}

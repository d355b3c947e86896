"""The folder of tables, and data that need none: four 2-d densities, four tables.

Toys: 1000 rows to train, 4000 to test. Tables that ship with scikit-learn:
70 % to train. All columns are standardised on the training rows, so that
log-likelihoods are in nats of the standardised units.
"""

import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_moons
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

# Without the variable this is no folder, and its name says in messages what to set.
FOLDER = Path(os.environ.get("SKGMJE_DATA", "$SKGMJE_DATA"))


def _moons(n, rng):
    return make_moons(n, noise=0.08, random_state=rng.randint(1 << 30))[0]


def _rings(n, rng):
    radius = np.array([1, 2, 3.0])[rng.randint(3, size=n)] + 0.08 * rng.randn(n)
    angle = rng.rand(n) * 2 * np.pi
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


def _pinwheel(n, rng):
    arm = rng.randint(5, size=n)
    along, across = (rng.randn(n, 2) * [0.3, 0.05] + [1, 0]).T
    angle = arm * 2 * np.pi / 5 + 0.25 * np.exp(along) * 2
    cos, sin = np.cos(angle), np.sin(angle)
    return 2 * np.column_stack([along * cos - across * sin, along * sin + across * cos])


def _checkerboard(n, rng):
    a = rng.rand(n) * 4 - 2
    b = rng.rand(n) - rng.randint(0, 2, n) * 2
    return np.column_stack([a, b + np.floor(a) % 2])


TOYS = {
    "moons": _moons,
    "rings": _rings,
    "pinwheel": _pinwheel,
    "checkerboard": _checkerboard,
}


def _digits(rng):
    pixels = load_digits().data
    return (pixels + rng.rand(*pixels.shape)) / 17.0


TABLES = {
    "wine": lambda rng: load_wine().data,
    "breast cancer": lambda rng: load_breast_cancer().data,
    "digits PCA-16": _digits,
    "digits-64": _digits,
}

SETS = (*TOYS, *TABLES)


def load(name, seed):
    """Return standardised training and test rows of the set `name`."""
    rng = np.random.RandomState(seed)
    if name in TOYS:
        train, test = TOYS[name](1000, rng), TOYS[name](4000, rng)
    else:
        rows = TABLES[name](rng)
        order = rng.permutation(len(rows))
        cut = int(0.7 * len(rows))
        train, test = rows[order[:cut]], rows[order[cut:]]
    if name == "digits PCA-16":
        pca = PCA(16, random_state=0).fit(train)
        train, test = pca.transform(train), pca.transform(test)
    scaler = StandardScaler().fit(train)
    return scaler.transform(train), scaler.transform(test)

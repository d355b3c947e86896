"""What R's mclust has computed, and the sets that it was given."""

import json
import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris

from benchmarks.shared.data import FOLDER

# Beside the tables, unless the variable says where.
ORACLES = Path(os.environ.get("SKGMJE_ORACLES", FOLDER.parent / "oracles"))


def read_oracle(name):
    """Return the numbers of one file of oracles."""
    path = ORACLES / f"{name}.json"
    if not path.exists():
        raise SystemExit(
            f"{path} is missing: set SKGMJE_ORACLES to the folder with the numbers of "
            "mclust 6.0.0, see benchmarks/README.md."
        )
    return json.loads(path.read_text())


def load_set(name):
    """Return the samples of a set and their classes, in the order of their names."""
    if name == "iris":
        return load_iris(return_X_y=True)
    if name == "wdbc":
        X, y = load_breast_cancer(return_X_y=True)
        return X[:, :10], y
    table = np.load(FOLDER / f"mclust_{name}.npz", allow_pickle=True)
    X = table["X"].astype(np.float64)
    if "y" not in table:
        return X, None
    return X, np.unique(table["y"], return_inverse=True)[1]

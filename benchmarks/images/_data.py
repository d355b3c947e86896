"""Images and pairs of views: rows to fit, rows to test.

A choice is made on `Split.validation`, which holds out a fifth of the training rows,
never on the test rows.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from benchmarks.shared.data import FOLDER


class Split(NamedTuple):
    """Rows to fit and to test; `X` of two views is a pair of arrays."""

    X: Any
    y: Any
    X_test: Any
    y_test: Any

    @property
    def validation(self):
        """The same of the training rows alone: four fifths, and one to test."""
        train, test = _stratified(self.y, 0.2, seed=0)
        if isinstance(self.X, tuple):
            parts = [tuple(view[rows] for view in self.X) for rows in (train, test)]
        else:
            parts = [self.X[rows] for rows in (train, test)]
        return Split(parts[0], self.y[train], parts[1], self.y[test])


def _stratified(y, share, seed):
    """Return sorted numbers of rows to fit and to test, the latter a `share`."""
    parts = train_test_split(
        np.arange(len(y)), test_size=share, random_state=seed, stratify=y
    )
    return tuple(map(np.sort, parts))


def _open(name):
    """Return the arrays of a file; None, and a word why, if there is none."""
    path = FOLDER / f"{name}.npz"
    if path.exists():
        return np.load(path)
    print(f"{path} is missing; its source is in benchmarks/README.md")
    return None


def fashion(n_train=10_000, n_test=2_000):
    """Return the first rows of either part of Fashion-MNIST, (n, 28, 28), uint8."""
    data = _open("fashion_mnist")
    if data is None:
        return None
    X, y = data["X"], data["y"].astype(int)
    train, test = slice(n_train), slice(60_000, 60_000 + n_test)
    return Split(X[train], y[train], X[test], y[test])


def eurosat():
    """Return 6400 and 1600 tiles of EuroSAT, (n, 32, 32, 3), uint8."""
    data = _open("eurosat32")
    if data is None:
        return None
    X, y = data["X"], data["y"].astype(int)
    train, test = data["train_idx"][0], data["test_idx"][0]
    return Split(X[train], y[train], X[test], y[test])


def two_views(names, seed):
    """Return 1400 and 600 digits by two of their descriptions, each (n, d), float32."""
    data = _open("mfeat_multiview")
    if data is None:
        return None
    bounds = dict(zip(data["view_names"], data["view_bounds"], strict=True))
    views = [data["X"][:, slice(*bounds[name])] for name in names]
    y = data["y"].astype(int)
    train, test = _stratified(y, 0.3, seed)
    parts = [tuple(view[rows] for view in views) for rows in (train, test)]
    return Split(parts[0], y[train], parts[1], y[test])

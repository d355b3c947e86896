"""Pairs of views to learn from."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_array, check_consistent_length

from skgmje._backend import from_tensor
from skgmje._validation import LARGEST

# Neighbours are sought in this many principal directions, among this many rows.
_MAX_DIRECTIONS = 50


_N_NEIGHBORS = 10


class Pairs(NamedTuple):
    """Rows of two views, in their own units."""

    views: Any
    context: Any
    target: Any
    context_units: Any
    target_units: Any

    def standardised(self, dtype):
        """Return the rows of both views in their units."""
        context = self.context_units.standardise(self.context, dtype)
        if self.target is self.context:
            return context, context
        return context, self.target_units.standardise(self.target, dtype)

    def part(self, rows):
        """Return the pairs of some rows."""
        context = self.context[rows]
        same = self.target is self.context
        target = context if same else self.target[rows]
        return self._replace(context=context, target=target)

    def stacked(self):
        """Return both views side by side, in single precision; once if they are one."""
        context, target = self.standardised(np.float32)
        return context if target is context else np.hstack([context, target])


class Views(ABC):
    """A way to pair rows; `fit` learns it from the training rows."""

    needs_y = False

    @abstractmethod
    def fit(self, X, y):
        """Learn how to pair rows."""

    @abstractmethod
    def pairs(self, X, y):
        """Return the rows of both views."""


class AugmentedViews(Views):
    """Two augmentations of one row."""

    def fit(self, X, y):
        check_varies(X, "X")
        return self

    def pairs(self, X, y):
        return X, X


class NeighborViews(Views):
    """A row and its nearest mutual neighbour along the principal directions."""

    def fit(self, X, y):
        check_varies(X, "X")
        n_directions = min(*X.shape, _MAX_DIRECTIONS)
        self.pca_ = PCA(n_directions, random_state=0).fit(X.astype(np.float64))
        return self

    def pairs(self, X, y):
        """Pair rows that are each among the ten nearest of the other."""
        if len(X) < 2:
            raise ValueError(
                "views='neighbors' pairs rows with each other, so it needs at least "
                f"2 of them, got {len(X)}."
            )
        Z = self.pca_.transform(X)
        n_neighbors = min(_N_NEIGHBORS, len(Z) - 1)
        index = NearestNeighbors(n_neighbors=n_neighbors).fit(Z)
        neighbors = index.kneighbors(return_distance=False)
        rows = np.arange(len(Z))[:, None]
        mutual = (neighbors[neighbors] == rows[..., None]).any(axis=2)
        paired = mutual.any(axis=1) if mutual.any() else np.ones(len(Z), bool)
        partner = neighbors[rows[:, 0], mutual.argmax(axis=1)]
        return X[paired], X[partner[paired]]


class GivenViews(Views):
    """A row of X and the same row of y."""

    needs_y = True

    def fit(self, X, y):
        context, target = self.pairs(X, y)
        check_varies(context, "X")
        check_varies(target, "y")
        largest = float(np.abs(target).max())
        if largest > LARGEST:
            raise ValueError(
                f"y has an entry of size {largest:.3g}; the squares of entries above "
                f"{LARGEST:g} overflow. Rescale y."
            )
        self.n_targets_in_ = target.shape[1]
        if context.shape == target.shape and np.array_equal(context, target):
            raise ValueError(
                "views='pair': X and y are identical, so there is nothing to learn: "
                "their mutual information has no bound. Pass two different views, or "
                "use views='augment'."
            )
        return self

    def pairs(self, X, y):
        if y is None:
            raise ValueError(
                "views='pair' requires y to be passed, but the target y is None. Pass "
                "the second view as y, or use views='augment'."
            )
        y = check_target(y, getattr(self, "n_targets_in_", None))
        check_consistent_length(X, y)
        return X, y


def check_target(y, n_targets):
    """Return the target view as a float array of rows, shape (n_samples, n_targets)."""
    dtype = [np.float64, np.float32]
    y = check_array(from_tensor(y), dtype=dtype, ensure_2d=False, input_name="y")
    if y.ndim == 1:
        raise ValueError(
            f"y of shape {y.shape} is no view, which has one row per sample. "
            "Reshape it to (n_samples, n_targets). If it holds labels, leave it out; "
            "in fit, views='augment' ignores it."
        )
    if n_targets not in (None, y.shape[1]):
        raise ValueError(
            f"y has {y.shape[1]} features, but the target view had {n_targets} in fit."
        )
    return y


def check_varies(X, name):
    """Raise ValueError if all rows are the same."""
    if not (X != X[:1]).any():
        raise ValueError(
            f"{name} is constant: all {len(X)} rows are the same, so no view tells "
            "anything of another. Pass data that vary."
        )


VIEWS = {
    "augment": AugmentedViews,
    "neighbors": NeighborViews,
    "pair": GivenViews,
}

"""What a member of a conditional stack is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True)
class Rows:
    """What experts learn from, in standard units unless it says raw."""

    X: Any
    Y: Any
    weight: Any
    group: Any
    fold: Any
    raw: Any
    weighted: bool = False

    @property
    def n_folds(self):
        """Number of folds."""
        return int(self.fold.max()) + 1


class Answer(NamedTuple):
    """What an expert says of some rows."""

    means: Any
    log_stds: Any
    mixture: Any = None

    def features(self):
        """Return all numbers as columns, the means first."""
        return np.hstack([self.means.reshape(len(self.means), -1), self.log_stds])

    def is_finite(self):
        """Tell whether all numbers are."""
        return bool(np.isfinite(self.features()).all())


class Expert(ABC):
    """A fitted expert; implementations are frozen and hold no torch."""

    @abstractmethod
    def answer(self, X, raw):
        """Predict rows that were not learned from."""


class ExpertFit(NamedTuple):
    """A fitted expert and what it says of its own training rows."""

    expert: Expert
    held_out: Answer
    trouble: str = ""
    best_steps: Any = None


# Standard deviations below this share of the target's make no difference to others.
SMALLEST_STD = 0.01


def log_std(std):
    """Return a feature of moderate size."""
    return np.log(std + SMALLEST_STD)


@dataclass(frozen=True)
class Nodes:
    """Many trees, as arrays; their nodes are counted through."""

    feature: Any
    threshold: Any
    left: Any
    right: Any
    roots: Any

    def leaf(self, X):
        """Return the leaf of each row in each tree, shape (n_samples, n_trees)."""
        X = np.asarray(X, self.threshold.dtype)
        rows = np.arange(len(X))[:, None]
        node = np.tile(self.roots, (len(X), 1))
        while True:
            goes_left = X[rows, self.feature[node]] <= self.threshold[node]
            below = np.where(goes_left, self.left[node], self.right[node])
            if np.array_equal(below, node):
                return node
            node = below


def join_trees(trees, dtype):
    """Return the nodes of several trees."""
    sizes = [len(tree[0]) for tree in trees]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    feature, threshold, left, right, is_leaf = map(
        np.concatenate, zip(*trees, strict=True)
    )
    is_leaf, first = is_leaf.astype(bool), np.repeat(roots, sizes)
    own = np.arange(len(feature))
    return Nodes(
        np.where(is_leaf, 0, feature).astype(np.int32),
        np.where(is_leaf, 0.0, threshold).astype(dtype),
        np.where(is_leaf, own, left + first).astype(np.int32),
        np.where(is_leaf, own, right + first).astype(np.int32),
        roots,
    )

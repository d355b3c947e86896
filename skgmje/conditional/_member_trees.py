"""Forests as members."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.tree import ExtraTreeRegressor

from skgmje.conditional._member import (
    Answer,
    Expert,
    ExpertFit,
    Nodes,
    join_trees,
    log_std,
)
from skgmje.gaussian._mixture import Mixture

MOST_TREES, FEWEST_TREES = 250, 100


# Above it there are fewer trees, so that those of many rows stay small.
MOST_LEAVES = 1_000_000


MIN_LEAF = 2


# Components of a mixture; each holds the same share of a row's neighbours.
N_BINS = 16


BANDWIDTHS = (0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3)


# Rows whose neighbours exist at a time.
CHUNK_ROWS = 1000


# Entries of their weights that are split into bins at a time.
CHUNK_ENTRIES = 2**20


# Leaves know nothing of targets that were never seen.
BROAD_STD = 2.0


@dataclass(frozen=True)
class Forest:
    """Trees of one target, with the training rows in their leaves."""

    nodes: Nodes
    leaves: tuple
    y: Any

    def bins(self, X, used=None):
        """Split the neighbours of rows into bins of the same weight."""
        parts = []
        for start in range(0, len(X), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            leaf = self.nodes.leaf(X[rows])
            asked = np.ones(leaf.shape) if used is None else used[rows] * 1.0
            parts.append(_bins(self._neighbours(leaf, asked), self.y))
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))

    def _neighbours(self, leaf, asked):
        """Return the weights of the training rows, a csr_matrix; rows sum to one."""
        n_asked = asked.sum(axis=1, keepdims=True)
        share = np.divide(asked, n_asked, out=np.zeros_like(asked), where=n_asked > 0)
        ends = np.arange(len(leaf) + 1) * leaf.shape[1]
        shape = (len(leaf), len(self.nodes.right))
        chosen = sparse.csr_matrix((share.ravel(), leaf.ravel(), ends), shape=shape)
        chosen.eliminate_zeros()
        weights = chosen @ sparse.csr_matrix(self.leaves, (shape[1], len(self.y)))
        if (n_asked == 0).any():
            all_rows = np.full((1, len(self.y)), 1 / len(self.y))
            weights = weights + sparse.csr_matrix((n_asked == 0) * all_rows)
        weights.sort_indices()
        return weights


@dataclass(frozen=True)
class ForestExpert(Expert):
    """Forests, one for each target."""

    forests: tuple
    bandwidth: float
    n_samples: int

    def answer(self, X, raw):
        found = [forest.bins(X) for forest in self.forests]
        return _gather(found, self.bandwidth, self.n_samples)


def fit_forests(rows, settings, seed):
    """Fit trees to samples of the groups; the others tell what is held out."""
    random_state = np.random.RandomState(seed)
    forests, found = [], []
    for y in rows.Y.T:
        forest, counts = _grow(rows, y, random_state)
        forests.append(forest)
        found.append(forest.bins(rows.X, counts == 0))
    scores = [_score(rows, found, bandwidth) for bandwidth in BANDWIDTHS]
    bandwidth = BANDWIDTHS[int(np.argmax(scores))]
    expert = ForestExpert(tuple(forests), bandwidth, len(rows.X))
    return ExpertFit(expert, _gather(found, bandwidth, len(rows.X)))


def _score(rows, found, bandwidth):
    answer = _gather(found[:1], bandwidth, len(rows.X))
    return np.average(answer.mixture.log_prob(rows.Y[:, :1]), weights=rows.weight)


def _gather(found, bandwidth, n_samples):
    """Return means, spreads, and of a single target the density."""
    means = np.stack([m.mean(axis=1) for m, _ in found], axis=1)
    squares = np.stack([(v + m * m).mean(axis=1) for m, v in found], axis=1)
    stds = np.sqrt(np.maximum(squares - means**2, 1e-8))
    mixture = _mixture(*found[0], bandwidth, n_samples) if len(found) == 1 else None
    return Answer(means[:, :, None], log_std(stds), mixture)


def _mixture(means, variances, bandwidth, n_samples):
    n, n_bins = means.shape
    broad = 1 / (n_samples + 1)
    weights = np.full(n_bins + 1, (1 - broad) / n_bins)
    weights[-1] = broad
    means = np.column_stack([means, np.zeros(n)])
    variances = np.column_stack([variances + bandwidth**2, np.full(n, BROAD_STD**2)])
    return Mixture(
        np.tile(weights, (n, 1)), means[..., None], variances[..., None], "diag"
    )


def _grow(rows, y, random_state):
    """Return a forest, and how often each tree has each row, (n_samples, n_trees)."""
    n, n_groups = len(y), rows.group.max() + 1
    n_trees = int(np.clip(MOST_LEAVES // n, FEWEST_TREES, MOST_TREES))
    counts = np.empty((n, n_trees), np.int32)
    trees = []
    for t in range(n_trees):
        drawn = random_state.randint(n_groups, size=n_groups)
        counts[:, t] = np.bincount(drawn, minlength=n_groups)[rows.group]
        tree = ExtraTreeRegressor(
            min_samples_leaf=MIN_LEAF,
            max_features=1.0,
            random_state=random_state.randint(2**31 - 1),
        )
        tree.fit(rows.X, y, sample_weight=counts[:, t] * rows.weight)
        nodes = tree.tree_
        left, right = nodes.children_left, nodes.children_right
        trees.append((nodes.feature, nodes.threshold, left, right, nodes.feature < 0))
    nodes = join_trees(trees, np.float32)
    return Forest(nodes, _leaves(nodes, rows, y, counts), np.sort(y)), counts


def _leaves(nodes, rows, y, counts):
    """Return the shares of the training rows in each node."""
    order = np.argsort(y, kind="stable")
    X = rows.X[order]
    starts = range(0, len(X), CHUNK_ROWS)
    leaf = np.concatenate([nodes.leaf(X[i : i + CHUNK_ROWS]) for i in starts])
    share = counts[order] * rows.weight[order, None]
    inside = share > 0
    leaf, share, row = leaf[inside], share[inside], np.nonzero(inside)[0]
    n_nodes = len(nodes.right)
    share = (share / np.bincount(leaf, share, n_nodes)[leaf]).astype(np.float32)
    leaves = sparse.csr_matrix((share, (leaf, row)), (n_nodes, len(y)))
    return leaves.data, leaves.indices, leaves.indptr


def _bins(weights, y):
    """Return means and variances of equal parts of weighted, sorted targets."""
    lengths = np.diff(weights.indptr)
    step = max(1, CHUNK_ENTRIES // lengths.max(initial=1))
    starts = range(0, max(1, len(lengths)), step)
    parts = [_bins_of_few(weights[i : i + step], y) for i in starts]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _bins_of_few(weights, y):
    """Return the same of so few samples that their entries fit side by side."""
    n, lengths = weights.shape[0], np.diff(weights.indptr)
    width = lengths.max(initial=1)
    own = np.arange(width) < lengths[:, None]
    data, target = np.zeros(own.shape), np.zeros(own.shape)
    data[own], target[own] = weights.data, y[weights.indices]
    mass = np.cumsum(data, axis=1)
    mass /= mass[:, -1:]
    # A cell begins where the mass reaches its end, or at the last entry.
    ends = np.arange(N_BINS + 1) / N_BINS
    entry = np.stack([(mass < end).sum(axis=1) for end in ends], axis=1)
    entry = np.minimum(entry, lengths[:, None] - 1)
    before = np.concatenate([np.zeros((n, 1)), mass], axis=1)
    rest = ends - np.take_along_axis(before, entry, axis=1)
    share = np.diff(before, axis=1)
    moments = []
    for power in (target, target * target):
        sums = np.concatenate([np.zeros((n, 1)), np.cumsum(share * power, axis=1)], 1)
        sums = np.take_along_axis(sums, entry, axis=1)
        sums += rest * np.take_along_axis(power, entry, axis=1)
        moments.append(np.diff(sums, axis=1) * N_BINS)
    means, squares = moments
    return means, np.maximum(squares - means**2, 0.0)

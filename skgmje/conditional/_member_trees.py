"""Members that are made of trees: forests, and boosted trees."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.tree import ExtraTreeRegressor

from skgmje._sklearn import boosted_nodes
from skgmje.conditional._members import Member, MemberFit, Prediction, log_std
from skgmje.gaussian._mixture import Mixture

# Samples whose leaves, and neighbours in them, exist at a time.
CHUNK_ROWS = 1000


@dataclass(frozen=True)
class Nodes:
    """Many trees, as arrays; their nodes are counted through."""

    feature: Any
    threshold: Any
    left: Any
    right: Any
    roots: Any

    def leaf(self, X):
        """Return the leaf of each sample in each tree, shape (n_samples, n_trees)."""
        X = np.asarray(X, self.threshold.dtype)
        rows = np.arange(len(X))[:, None]
        node = np.tile(self.roots, (len(X), 1))
        while True:
            goes_left = X[rows, self.feature[node]] <= self.threshold[node]
            below = np.where(goes_left, self.left[node], self.right[node])
            if np.array_equal(below, node):
                return node
            node = below

    def leaves(self, X):
        """Yield slices of a number of samples, and their leaves."""
        for start in range(0, len(X), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            yield rows, self.leaf(X[rows])


def join_trees(trees, dtype):
    """Return the nodes of several trees."""
    sizes = [len(tree[0]) for tree in trees]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    arrays = map(np.concatenate, zip(*trees, strict=True))
    feature, threshold, left, right, is_leaf = arrays
    is_leaf, first = is_leaf.astype(bool), np.repeat(roots, sizes)
    own = np.arange(len(feature))
    return Nodes(
        np.where(is_leaf, 0, feature).astype(np.int32),
        np.where(is_leaf, 0.0, threshold).astype(dtype),
        np.where(is_leaf, own, left + first).astype(np.int32),
        np.where(is_leaf, own, right + first).astype(np.int32),
        roots,
    )


MOST_TREES, FEWEST_TREES = 250, 100

# Above it there are fewer trees, so that those of many rows stay small.
MOST_LEAVES = 1_000_000
MIN_LEAF = 2

# Components of a mixture; each holds the same share of a row's neighbours.
N_BINS = 16
BANDWIDTHS = (0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3)

# Entries of their weights that are split into bins at a time.
CHUNK_ENTRIES = 2**20

# Leaves know nothing of targets that were never seen.
BROAD_STD = 2.0


@dataclass(frozen=True)
class Forest:
    """Trees of one target, with the training samples in their leaves."""

    nodes: Nodes
    leaves: tuple
    y: Any

    def bins(self, X, used=None, leaves=None):
        """Split the neighbours of samples into bins of the same weight."""
        parts = []
        for rows, leaf in leaves or self.nodes.leaves(X):
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
class ForestMember(Member):
    """Forests, one for each target."""

    forests: tuple
    bandwidth: float
    n_samples: int

    def predict(self, X, raw):
        found = [forest.bins(X) for forest in self.forests]
        return _gather(found, self.bandwidth, self.n_samples)


def fit_forests(rows, network, seed):
    """Fit trees to samples of the groups; the others tell what is held out."""
    random_state = np.random.RandomState(seed)
    forests, found = [], []
    for y in rows.Y.T:
        forest, leaves, counts = _grow(rows, y, random_state)
        forests.append(forest)
        found.append(forest.bins(rows.X, counts == 0, leaves))
    n, y = len(rows.X), rows.Y[:, :1]
    scores = [
        np.average(_mixture(*found[0], h, n).log_prob(y), weights=rows.weight)
        for h in BANDWIDTHS
    ]
    bandwidth = BANDWIDTHS[int(np.argmax(scores))]
    member = ForestMember(tuple(forests), bandwidth, n)
    return MemberFit(member, _gather(found, bandwidth, n))


def _gather(found, bandwidth, n_samples):
    """Return means, spreads, and of a single target the density."""
    means = np.stack([m.mean(axis=1) for m, _ in found], axis=1)
    squares = np.stack([(v + m * m).mean(axis=1) for m, v in found], axis=1)
    stds = np.sqrt(np.maximum(squares - means**2, 1e-8))
    mixture = _mixture(*found[0], bandwidth, n_samples) if len(found) == 1 else None
    return Prediction(means[:, :, None], log_std(stds), mixture)


def _mixture(means, variances, bandwidth, n_samples):
    """Return the density of equal parts of a target, and of what was never seen."""
    n, n_bins = means.shape
    broad = 1 / (n_samples + 1)
    weights = np.full(n_bins + 1, (1 - broad) / n_bins)
    weights[-1] = broad
    weights = np.tile(weights, (n, 1))
    means = np.column_stack([means, np.zeros(n)])
    variances = np.column_stack([variances + bandwidth**2, np.full(n, BROAD_STD**2)])
    return Mixture(weights, means[..., None], variances[..., None], "diag")


def _grow(rows, y, random_state):
    """Return a forest, the samples' leaves, and how often trees have each sample."""
    n, n_groups = len(y), rows.group.max() + 1
    n_trees = int(np.clip(MOST_LEAVES // n, FEWEST_TREES, MOST_TREES))
    counts, trees = np.empty((n, n_trees), np.int32), []
    # Trees take single precision: once for all.
    X = np.asarray(rows.X, np.float32)
    for t in range(n_trees):
        drawn = random_state.randint(n_groups, size=n_groups)
        counts[:, t] = np.bincount(drawn, minlength=n_groups)[rows.group]
        tree = ExtraTreeRegressor(
            min_samples_leaf=MIN_LEAF,
            max_features=1.0,
            random_state=random_state.randint(2**31 - 1),
        )
        tree.fit(X, y, counts[:, t] * rows.weight, check_input=False)
        nodes = tree.tree_
        below = nodes.children_left, nodes.children_right
        trees.append((nodes.feature, nodes.threshold, *below, nodes.feature < 0))
    nodes = join_trees(trees, np.float32)
    leaves = [*nodes.leaves(rows.X)]
    forest = Forest(nodes, _shares(nodes, leaves, rows, y, counts), np.sort(y))
    return forest, leaves, counts


def _shares(nodes, leaves, rows, y, counts):
    """Return the shares of the training samples in each node."""
    order = np.argsort(y, kind="stable")
    leaf = np.concatenate([leaf for _, leaf in leaves])[order]
    share = counts[order] * rows.weight[order, None]
    inside = share > 0
    leaf, share, row = leaf[inside], share[inside], np.nonzero(inside)[0]
    share = (share / np.bincount(leaf, share)[leaf]).astype(np.float32)
    shares = sparse.csr_matrix((share, (leaf, row)), (len(nodes.right), len(y)))
    return shares.data, shares.indices, shares.indptr


def _bins(weights, y):
    """Return means and variances of equal parts of weighted, sorted targets."""
    lengths = np.diff(weights.indptr)
    step = max(1, CHUNK_ENTRIES // lengths.max(initial=1))
    starts = range(0, max(1, len(lengths)), step)
    parts = [_bins_of_few(weights[i : i + step], y) for i in starts]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _bins_of_few(weights, y):
    """Return the same of so few samples that their entries fit side by side."""
    lengths = np.diff(weights.indptr)
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
    start = np.zeros((len(mass), 1))
    before = np.concatenate([start, mass], axis=1)
    rest = ends - np.take_along_axis(before, entry, axis=1)
    share = np.diff(before, axis=1)
    moments = []
    for power in (target, target * target):
        sums = np.concatenate([start, np.cumsum(share * power, axis=1)], axis=1)
        sums = np.take_along_axis(sums, entry, axis=1)
        sums += rest * np.take_along_axis(power, entry, axis=1)
        moments.append(np.diff(sums, axis=1) * N_BINS)
    means, squares = moments
    return means, np.maximum(squares - means**2, 0.0)


# Numbers of trees at which to look whether more are wanted: the best number was
# among the last few of those that are tried.
N_TREES, EVERY, PATIENCE = (100, 300, 500), 10, 3
BOOSTING = {"learning_rate": 0.08, "l2_regularization": 1.0, "max_features": 0.7}

# Above so many features, looks and bins are fewer: each costs time by the features.
MANY_FEATURES, FEW_LOOKS, FEW_BINS = 30, 2, 63

# Samples above which the trees have more leaves, and larger ones.
MANY_LEAVES_ROWS, LARGE_LEAVES_ROWS = 3000, 1500


@dataclass(frozen=True)
class Boosted:
    """Boosted trees of several models of one target."""

    nodes: Nodes
    value: Any
    start: float
    n_models: int

    def predict(self, X):
        """Return the models' mean predictions, shape (n_samples,)."""
        parts = [self.value[leaf].sum(axis=1) for _, leaf in self.nodes.leaves(X)]
        return self.start + np.concatenate(parts) / self.n_models


@dataclass(frozen=True)
class BoostingMember(Member):
    """Boosted trees of each target, of one model for each fold."""

    targets: tuple

    def predict(self, X, raw):
        means = np.stack([boosted.predict(X) for boosted in self.targets], axis=1)
        return Prediction(means[..., None])


def fit_boosting(rows, network, seed):
    """Boost trees on all folds but one; choose their number by all folds together."""
    fits = [_boost(rows, y, seed) for y in rows.Y.T]
    targets, held_out = zip(*fits, strict=True)
    prediction = Prediction(np.stack(held_out, axis=1)[..., None])
    return MemberFit(BoostingMember(targets), prediction)


def _boost(rows, y, seed):
    """Return the trees of a model for each fold, and what they hold out."""
    models, weight = _boosters(rows, seed), rows.weight if rows.weighted else None
    looks = FEW_LOOKS if rows.X.shape[1] > MANY_FEATURES else len(N_TREES)
    for n_trees in N_TREES[:looks]:
        stages = np.empty((n_trees // EVERY, len(y)))
        for k, model in enumerate(models):
            own = rows.fold == k
            model.set_params(max_iter=n_trees)
            model.fit(rows.X[~own], y[~own], None if weight is None else weight[~own])
            staged = model.staged_predict(rows.X[own])
            stages[:, own] = list(islice(staged, EVERY - 1, None, EVERY))
        errors = np.average((stages - y) ** 2, axis=1, weights=rows.weight)
        best = int(errors.argmin())
        if best < len(errors) - PATIENCE:
            break
    return _join(models, (best + 1) * EVERY), stages[best]


def _boosters(rows, seed):
    """Return one model for each fold, which grows when it is fitted again."""
    n, n_features = rows.X.shape
    return [
        HistGradientBoostingRegressor(
            max_bins=FEW_BINS if n_features > MANY_FEATURES else 255,
            max_leaf_nodes=15 if n < MANY_LEAVES_ROWS else 31,
            min_samples_leaf=5 if n < LARGE_LEAVES_ROWS else 10,
            early_stopping=False,
            warm_start=True,
            random_state=(seed + k) % 2**32,
            **BOOSTING,
        )
        for k in range(rows.n_folds)
    ]


def _join(models, n_trees):
    """Return the first trees of all models."""
    found, starts = zip(*map(boosted_nodes, models), strict=True)
    trees = [tree for own in found for tree in own[:n_trees]]
    names = ("feature_idx", "num_threshold", "left", "right", "is_leaf")
    arrays = [[tree[name].astype(float) for name in names] for tree in trees]
    value = np.concatenate([tree["value"] for tree in trees])
    start = float(np.mean(starts))
    return Boosted(join_trees(arrays, float), value, start, len(models))

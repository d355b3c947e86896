"""Edges between the nodes of a neural gas."""

import numpy as np
from array_api_compat import device
from scipy.sparse import csr_matrix

from skgmje._backend import is_torch, namespace

# A matrix of ages is faster up to so many nodes; a list is smaller above.
MAX_DENSE_NODES = 256

# An edge (i, j) with i < j is held as one number, so that a list can be sorted.
BITS = 31


class DenseEdges:
    """A symmetric matrix of ages, infinitely negative where there is no edge."""

    def __init__(self, ends, ages, n_nodes, max_nodes, like):
        xp = self.xp = namespace(like)
        # Ages are small numbers of samples: single precision holds them exactly.
        self.full = xp.full(
            (max_nodes,) * 2, -xp.inf, dtype=xp.float32, device=device(like)
        )
        i, j = ends.T
        self.full[i, j] = self.full[j, i] = xp.astype(ages, xp.float32)
        self.dtype = like.dtype
        self.n_nodes = n_nodes

    @property
    def ages(self):
        """The ages between the nodes there are, shape (n_nodes, n_nodes)."""
        return self.full[: self.n_nodes, : self.n_nodes]

    def around(self, totals):
        """Return the sums of `totals` over each node's neighbours."""
        return self.xp.astype(self.ages >= 0, self.dtype) @ totals

    def age(self, wins, first, second, max_age):
        """Age edges, renew those of pairs, cut old ones; tell which nodes have any."""
        ages = self.ages
        wins = self.xp.astype(wins, self.xp.float32)
        ages += wins[:, None]
        ages += wins
        ages[first, second] = 0.0
        ages[second, first] = 0.0
        ages[ages > max_age] = -self.xp.inf
        return self.xp.any(ages >= 0, axis=1)

    def touch(self, first, second, max_age):
        """Do the same when `first` has won a single sample; None if none was cut."""
        row = self.ages[first]
        row += 1.0
        row[second] = 0.0
        old = row > max_age
        row[old] = -np.inf
        self.ages[:, first] = row
        return (self.ages >= 0).any(axis=1) if old.any() else None

    def neighbors(self, node):
        """Return a mask of the neighbours of a node, shape (n_nodes,)."""
        return self.ages[node] >= 0

    def linked(self, among):
        """Return which nodes of a mask have an edge to another of them."""
        return self.xp.any((self.ages >= 0) & among, axis=1) & among

    def split(self, node, other, new):
        """Put the node `new` into the edge between two nodes."""
        self.n_nodes += 1
        full = self.full
        full[node, other] = full[other, node] = -self.xp.inf
        full[node, new] = full[new, node] = 0.0
        full[other, new] = full[new, other] = 0.0

    def keep(self, alive):
        """Forget nodes, shape (n_nodes,); the others move up in their order."""
        rest = self.ages[alive][:, alive]
        self.full[:] = -self.xp.inf
        self.n_nodes = len(rest)
        self.full[: len(rest), : len(rest)] = rest

    def listed(self):
        """Return the ends, (n_edges, 2), sorted, and the ages, (n_edges,)."""
        xp, ages = self.xp, self.ages
        i, j = xp.nonzero(xp.triu(ages >= 0, k=1))
        return xp.stack([i, j], axis=1), xp.astype(ages[i, j], xp.int64)


class ListedEdges:
    """Sorted edges with their ages, in NumPy: the methods of :class:`DenseEdges`."""

    def __init__(self, ends, ages, n_nodes):
        self.keys = _key(*ends.T)
        self.ages = ages.astype(np.int64)
        self.n_nodes = n_nodes

    @property
    def ends(self):
        """The two ends of each edge, shape (n_edges,) each."""
        return self.keys >> BITS, self.keys & (2**BITS - 1)

    def around(self, totals):
        i, j = self.ends
        source, target = np.concatenate([i, j]), np.concatenate([j, i])
        # Of many nodes few have won a sample of the block.
        told = (totals[:, 0] != 0)[source]
        source, target = source[told], target[told]
        links = csr_matrix(
            (np.ones(len(source), totals.dtype), (target, source)),
            shape=(self.n_nodes, self.n_nodes),
        )
        return links @ totals

    def age(self, wins, first, second, max_age):
        i, j = self.ends
        self.ages += (wins[i] + wins[j]).astype(np.int64)
        pairs = _key(np.minimum(first, second), np.maximum(first, second))
        place = np.searchsorted(self.keys, pairs)
        place[place == len(self.keys)] = 0
        known = self.keys[place] == pairs
        self.ages[place[known]] = 0
        young = self.ages <= max_age
        fresh = np.unique(pairs[~known])
        self._add(young, fresh)
        return self.linked(np.ones(self.n_nodes, bool))

    def _add(self, kept, fresh):
        """Add new edges to those of a mask, sorted."""
        keys = np.append(self.keys[kept], fresh)
        order = np.argsort(keys, kind="stable")
        ages = np.append(self.ages[kept], np.zeros_like(fresh))
        self.keys, self.ages = keys[order], ages[order]

    def linked(self, among):
        i, j = self.ends
        inside = among[i] & among[j]
        alive = np.zeros(self.n_nodes, bool)
        alive[i[inside]] = alive[j[inside]] = True
        return alive

    def touch(self, first, second, max_age):
        i, j = self.ends
        self.ages[(i == first) | (j == first)] += 1
        key = _key(min(first, second), max(first, second))
        place = np.searchsorted(self.keys, key)
        if place < len(self.keys) and self.keys[place] == key:
            self.ages[place] = 0
        else:
            self.keys = np.insert(self.keys, place, key)
            self.ages = np.insert(self.ages, place, 0)
        young = self.ages <= max_age
        if young.all():
            return None
        self.keys, self.ages = self.keys[young], self.ages[young]
        return self.linked(np.ones(self.n_nodes, bool))

    def neighbors(self, node):
        i, j = self.ends
        mask = np.zeros(self.n_nodes, bool)
        mask[j[i == node]] = True
        mask[i[j == node]] = True
        return mask

    def split(self, node, other, new):
        self.n_nodes += 1
        old = _key(min(node, other), max(node, other))
        self._add(self.keys != old, [_key(node, new), _key(other, new)])

    def keep(self, alive):
        number = np.cumsum(alive) - 1
        i, j = self.ends
        rest = alive[i] & alive[j]
        self.keys = _key(number[i[rest]], number[j[rest]])
        self.ages = self.ages[rest]
        self.n_nodes = int(alive.sum())

    def listed(self):
        return np.column_stack(self.ends), self.ages


def _key(i, j):
    """Return the number of the edges (i, j)."""
    return (i << BITS) | j


def make_edges(ends, ages, n_nodes, max_nodes, like):
    """Return the edges in the form that suits the number of nodes and the library."""
    if is_torch(like) or max_nodes <= MAX_DENSE_NODES:
        return DenseEdges(ends, ages, n_nodes, max_nodes, like)
    return ListedEdges(ends, ages, n_nodes)

"""Edges between the nodes of a neural gas."""

import numpy as np
from array_api_compat import device
from scipy.sparse import csr_matrix

from skgmje._backend import is_torch, namespace, to_numpy

# An edge (i, j) with i < j is held as one number, so that a list can be sorted.
BITS = 31


class Edges:
    """Sorted edges and their ages, as NumPy arrays, for nodes of any library."""

    def __init__(self, ends, ages, like):
        keys = _key(*np.sort(to_numpy(ends).astype(np.int64), axis=1).T)
        order = np.argsort(keys)
        self.keys, self.ages = keys[order], to_numpy(ages).astype(np.int64)[order]
        self.n_nodes = len(like)
        self.xp, self.device = namespace(like), device(like)

    @property
    def ends(self):
        """The two ends of each edge, shape (n_edges,) each."""
        return self.keys >> BITS, self.keys & (2**BITS - 1)

    def _give(self, array):
        """Return an array in the library and on the device of the nodes."""
        return self.xp.asarray(array, device=self.device)

    def around(self, totals):
        """Return the sums of `totals` over each node's neighbours."""
        i, j = self.ends
        source, target = np.concatenate([i, j]), np.concatenate([j, i])
        shape = (self.n_nodes, self.n_nodes)
        if is_torch(totals):
            # A product adds in the same order every time.
            links = totals.new_zeros(shape)
            links[self._give(target), self._give(source)] = 1.0
            return links @ totals
        # Of many nodes few have won a sample of the block.
        told = (totals[:, 0] != 0)[source]
        source, target = source[told], target[told]
        ones = np.ones(len(source), totals.dtype)
        return csr_matrix((ones, (target, source)), shape=shape) @ totals

    def age(self, wins, first, second, max_age):
        """Age edges, renew those of pairs, cut old ones; tell which nodes have any."""
        wins, first, second = map(to_numpy, (wins, first, second))
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
        """Return which nodes of a mask have an edge to another of them."""
        among, (i, j) = to_numpy(among), self.ends
        inside = among[i] & among[j]
        alive = np.zeros(self.n_nodes, bool)
        alive[i[inside]] = alive[j[inside]] = True
        return self._give(alive)

    def touch(self, first, second, max_age):
        """Age when `first` has won a single sample; None if no edge was cut."""
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
        """Return a mask of the neighbours of a node, shape (n_nodes,)."""
        (i, j), node = self.ends, int(node)
        mask = np.zeros(self.n_nodes, bool)
        mask[j[i == node]] = True
        mask[i[j == node]] = True
        return self._give(mask)

    def split(self, node, other, new):
        """Put the node `new` into the edge between two nodes."""
        self.n_nodes += 1
        node, other = int(node), int(other)
        old = _key(min(node, other), max(node, other))
        self._add(self.keys != old, [_key(node, new), _key(other, new)])

    def keep(self, alive):
        """Forget nodes, shape (n_nodes,); the others move up in their order."""
        alive, (i, j) = to_numpy(alive), self.ends
        number = np.cumsum(alive) - 1
        rest = alive[i] & alive[j]
        self.keys = _key(number[i[rest]], number[j[rest]])
        self.ages = self.ages[rest]
        self.n_nodes = int(alive.sum())

    def listed(self):
        """Return the ends, (n_edges, 2), sorted, and the ages, (n_edges,)."""
        return self._give(np.column_stack(self.ends)), self._give(self.ages)


def _key(i, j):
    """Return the number of the edges (i, j)."""
    return (i << BITS) | j

"""Steps of a neural gas: signals, insertion and removal of nodes."""

import math
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device

from skgmje._backend import as_double, as_float, asarray_like, is_torch, namespace
from skgmje.neural_gas._edges import make_edges

# Samples per node in a block that moves the nodes at once: more of them would tie
# and blur what single samples keep apart.
SAMPLES_PER_NODE = 2.0

# Few nodes move at most by this many samples at once.
LEAST_SAMPLES = 25

# Distances that are held at a time; on the CPU fewer, which stay near the core.
MAX_DISTANCES = 2**20
MAX_NEAR_DISTANCES = 2**17


class GasRules(NamedTuple):
    """How a gas learns; see :func:`skgmje.neural_gas.adapt_gas`."""

    max_nodes: int
    winner_rate: float = 0.05
    neighbor_rate: float = 0.006
    max_age: int = 50
    insertion_interval: int = 100
    error_split: float = 0.5
    error_decay: float = 0.9995
    utility_threshold: Any = None


def check_rules(rules):
    """Raise ValueError for a rule that no gas can follow."""
    for name in ("winner_rate", "neighbor_rate", "error_split", "error_decay"):
        value = getattr(rules, name)
        if not 0 < value < 1:
            raise ValueError(
                f"{name}={value} must lie between 0 and 1, both excluded. "
                "Choose a smaller or larger one."
            )
    for name, smallest in ("max_nodes", 2), ("max_age", 1), ("insertion_interval", 1):
        value = getattr(rules, name)
        if value < smallest:
            raise ValueError(f"{name}={value} must be at least {smallest}.")


class Gas:
    """A gas at work: places for all nodes, of which the first are taken."""

    def __init__(self, state, rules, origin, unit):
        self.rules = rules
        self.xp = namespace(state.nodes)
        self.n_nodes = len(state.nodes)
        self.origin, self.unit = origin, unit
        n_places = max(rules.max_nodes, self.n_nodes)
        self.all_nodes = self._places((state.nodes - origin) / unit, n_places)
        squares = map(self._without_unit, (state.errors, state.utilities))
        self.all_errors, self.all_utilities, self.all_hits, self.all_ids = (
            self._places(part, n_places) for part in (*squares, state.hits, state.ids)
        )
        self.edges = make_edges(
            state.edges, state.ages, self.n_nodes, n_places, state.nodes
        )
        self.n_seen, self.n_born = int(state.n_seen), int(state.n_born)
        self.fades = ()

    def _places(self, array, n_places):
        """Return an array of n_places, of which the first are taken."""
        free = self.xp.zeros_like(array[:1])
        return self.xp.concat([array, *[free] * (n_places - len(array))])

    def _without_unit(self, squares):
        """Return squares in units in which no data type overflows."""
        squares = as_double(squares) / self.unit / self.unit
        return self.xp.astype(squares, self.all_nodes.dtype)

    def _with_unit(self, squares):
        """Return squares in units of the samples, if need be in double precision."""
        xp, dtype = self.xp, self.all_nodes.dtype
        limits = xp.finfo(dtype)
        squares = as_double(squares) * self.unit * self.unit
        # Sums of many of them, and a small share of one, are to be held, too.
        held = limits.smallest_normal**0.25 < self.unit < limits.max**0.25
        return xp.astype(squares, dtype) if held else squares

    def parts(self):
        """Return what a `GasState` consists of, as arrays of its own."""
        nodes, errors, utilities, *others = (part[: self.n_nodes] for part in self._all)
        squares = map(self._with_unit, (errors, utilities))
        copies = [self.xp.asarray(part, copy=True) for part in others]
        nodes = nodes * self.unit + self.origin
        return nodes, *squares, *copies, *self.edges.listed(), self.n_seen, self.n_born

    @property
    def _all(self):
        """The places of nodes, errors, utilities, hits and ids."""
        totals = self.all_errors, self.all_utilities
        return self.all_nodes, *totals, self.all_hits, self.all_ids

    def learn(self, X):
        """See the samples in their order, as many at once as the nodes allow."""
        start = 0
        while start < len(X):
            stop = min(start + self._block_size(), len(X))
            self.see(X[start:stop])
            start = stop

    def _block_size(self):
        """Return how many samples are seen at once."""
        few = max(LEAST_SAMPLES, int(SAMPLES_PER_NODE * self.n_nodes))
        return max(1, min(few, MAX_DISTANCES // self.n_nodes))

    def learn_singly(self, X):
        """See the samples one after the other, which is Fritzke's algorithm."""
        if is_torch(X):
            for i in range(len(X)):
                self.see(X[i : i + 1])
            return
        for row in X:
            self._see_one((row - self.origin) / self.unit)

    def _see_one(self, row):
        """Do what :meth:`see` does with a single sample, without what blocks cost."""
        rules, nodes = self.rules, self.all_nodes[: self.n_nodes]
        diff = nodes - row
        squares = np.einsum("ij,ij->i", diff, diff)
        first = int(squares.argmin())
        square, squares[first] = squares[first], np.inf
        second = int(squares.argmin())
        near = np.flatnonzero(self.edges.neighbors(first))
        nodes[first] -= rules.winner_rate * diff[first]
        nodes[near] -= rules.neighbor_rate * diff[near]
        self.all_errors[first] += square
        self.all_utilities[first] += squares[second] - square
        self.all_errors *= rules.error_decay
        self.all_utilities *= rules.error_decay
        self.all_hits[first] += 1
        self._keep(self.edges.touch(first, second, rules.max_age))
        self._count(1)

    def see(self, X):
        """Let nodes, errors and edges learn from some samples at once."""
        rules, nodes, k = self.rules, self.all_nodes[: self.n_nodes], self.n_nodes
        X = (X - self.origin) / self.unit
        first, second, squares, seconds = two_nearest(X, nodes)
        fade = self._fade(len(X))
        gains = (squares * fade, (seconds - squares) * fade)
        wins, errors, utilities, sums = totals(first, k, *gains, X)
        self._move(nodes, wins, sums, rules.winner_rate)
        near = self.edges.around(self.xp.concat([wins[:, None], sums], axis=1))
        self._move(nodes, near[:, 0], near[:, 1:], rules.neighbor_rate)
        for total, part in (self.all_errors, errors), (self.all_utilities, utilities):
            total[:k] *= rules.error_decay ** len(X)
            total[:k] += part
        self.all_hits[:k] += self.xp.astype(wins, self.all_hits.dtype)
        self._keep(self.edges.age(wins, first, second, rules.max_age))
        self._count(len(X))

    def _fade(self, n_rows):
        """Return by how much the errors of the samples have faded at the last one."""
        if len(self.fades) < n_rows:
            powers = np.arange(2 * n_rows, 0, -1.0)
            fades = np.exp(powers * math.log(self.rules.error_decay))
            self.fades = asarray_like(fades, self.all_nodes)
        return self.fades[len(self.fades) - n_rows :]

    def _move(self, nodes, counts, sums, rate):
        """Move nodes as that many steps at `rate` towards the mean would."""
        share = -self.xp.expm1(counts * math.log1p(-rate))
        mean = sums / (counts + (counts == 0))[:, None]
        nodes += share[:, None] * (mean - nodes)

    def _count(self, n_rows):
        """Insert the nodes that are due, and remove one of no use."""
        due = (self.n_seen + n_rows) // self.rules.insertion_interval
        due -= self.n_seen // self.rules.insertion_interval
        self.n_seen += n_rows
        if due and self.rules.utility_threshold is not None:
            self._drop_useless()
        for _ in range(min(due, self.rules.max_nodes - self.n_nodes)):
            self._insert()

    def _drop_useless(self):
        """Remove the node of the smallest utility, if the largest error asks for it."""
        errors, utilities = (part[: self.n_nodes] for part in self._all[1:3])
        if bool(errors.max() > self.rules.utility_threshold * utilities.min()):
            others = utilities > -1.0
            others[utilities.argmin()] = False
            alive = self.edges.linked(others)
            # What hangs on a node alone goes with it, but never the last two.
            if bool(alive.any()):
                self._keep(alive)

    def _keep(self, alive):
        """Forget the nodes that are not alive, shape (n_nodes,); None: all are."""
        if alive is None or bool(alive.all()):
            return
        k, self.n_nodes = self.n_nodes, int(alive.sum())
        for places in self._all:
            places[: self.n_nodes] = places[:k][alive]
        self.edges.keep(alive)

    def _insert(self):
        """Put a node between the worst node and its worst neighbour."""
        new, xp = self.n_nodes, self.xp
        nodes, errors = self.all_nodes, self.all_errors
        worst = errors[:new].argmax()
        beside = self.edges.neighbors(worst)
        other = xp.where(beside, errors[:new], -xp.ones_like(errors[:new])).argmax()
        nodes[new] = (nodes[worst] + nodes[other]) / 2
        utilities = self.all_utilities
        utilities[new] = (utilities[worst] + utilities[other]) / 2
        errors[worst] *= self.rules.error_split
        errors[other] *= self.rules.error_split
        errors[new] = errors[worst]
        self.all_hits[new] = 0
        self.all_ids[new] = self.n_born
        self.edges.split(worst, other, new)
        self.n_nodes += 1
        self.n_born += 1


def like_nodes(X, nodes):
    """Return samples as floats of the data type of the nodes, if it can hold them."""
    X = as_float(X)
    if X.dtype == nodes.dtype:
        return X
    xp = namespace(X, nodes)
    with np.errstate(over="ignore"):
        converted = xp.astype(X, nodes.dtype)
    if bool(xp.any(xp.isinf(converted) & ~xp.isinf(X))):
        raise ValueError(
            f"X has entries beyond {xp.finfo(nodes.dtype).max:.3g}, the largest of the "
            f"nodes' {nodes.dtype}. Give nodes and X in float64."
        )
    return converted


def middle(rows, unit):
    """Return the mean of samples whose sum may be beyond their data type."""
    step = max(1, MAX_DISTANCES // rows.shape[1])
    blocks = (rows[start : start + step] for start in range(0, len(rows), step))
    xp = namespace(rows)
    parts = [
        xp.mean(block / unit, axis=0) * (len(block) / len(rows)) for block in blocks
    ]
    return unit * sum(parts[1:], start=parts[0])


def rows_at_once(nodes):
    """Return of how many samples the distances to all nodes are held at a time."""
    on_device = is_torch(nodes) and nodes.device.type != "cpu"
    held = MAX_DISTANCES if on_device else MAX_NEAR_DISTANCES
    return max(1, held // len(nodes))


def nearest(X, nodes):
    """Return the nearest node of each sample, and the squared distance."""
    return _take_least(*_distances(X, nodes))


def two_nearest(X, nodes):
    """Return the two nearest nodes of each sample, and the squared distances."""
    distances, norms = _distances(X, nodes)
    first, squares = _take_least(distances, norms)
    second, seconds = _take_least(distances, norms)
    return first, second, squares, seconds


def _distances(X, nodes):
    """Return the part of the squared distances that differs, and the common one."""
    xp = namespace(X)
    # One product gives |w|^2 - 2 x'w.
    maps = xp.concat([-2 * nodes, xp.sum(nodes * nodes, axis=1)[:, None]], axis=1)
    rows = xp.concat([X, xp.ones_like(X[:, :1])], axis=1)
    return rows @ maps.T, xp.sum(X * X, axis=1)


def _take_least(distances, norms):
    """Return the nearest node of each sample and its distance, and forget that one."""
    xp = namespace(distances)
    everyone = xp.arange(len(distances), device=device(distances))
    least = distances.argmin(axis=1)
    squares = distances[everyone, least] + norms
    distances[everyone, least] = xp.inf
    # Rounding may leave less than nothing of the distance of a sample on a node.
    return least, squares * (squares > 0)


def totals(labels, n_labels, *columns):
    """Return how many samples have each label, and the sums of columns over them."""
    return (_tensor_totals if is_torch(labels) else _array_totals)(
        labels, n_labels, *columns
    )


def _array_totals(labels, n_labels, *columns):
    """Return :func:`totals` of NumPy arrays."""
    out = [np.bincount(labels, minlength=n_labels)]
    for column in columns:
        places = labels
        if column.ndim == 2:
            width = column.shape[1]
            places = (labels[:, None] * width + np.arange(width)).ravel()
        shape = (n_labels, *column.shape[1:])
        size = math.prod(shape)
        total = np.bincount(places, weights=column.ravel(), minlength=size)
        out.append(total.reshape(shape))
    return [part.astype(columns[0].dtype, copy=False) for part in out]


def _tensor_totals(labels, n_labels, *columns):
    """Return :func:`totals` of tensors."""
    # A product adds in the same order every time; index_add on CUDA does not.
    xp = namespace(labels)
    shares = labels[:, None] == xp.arange(n_labels, device=labels.device)
    shares = shares.to(columns[0].dtype)
    parts = [column.reshape(len(labels), -1) for column in columns]
    parts.insert(0, xp.ones_like(parts[0][:, :1]))
    sums = shares.T @ xp.concat(parts, axis=1)
    widths = [part.shape[1] for part in parts]
    out = sums.split(widths, dim=1)
    shapes = [(n_labels,), *((n_labels, *column.shape[1:]) for column in columns)]
    return [part.reshape(shape) for part, shape in zip(out, shapes, strict=True)]

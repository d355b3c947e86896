"""Refinement of the nodes of a neural gas."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device

from skgmje._backend import as_double, as_floats, namespace, to_numpy, unit_of
from skgmje._typing import Array
from skgmje.gaussian._checks import check_sample_weight
from skgmje.neural_gas._state import GasState, floating, label_components
from skgmje.neural_gas._steps import (
    like_nodes,
    middle,
    nearest,
    rows_at_once,
    totals,
    two_nearest,
)

# A round ends after so many passes, or when the error falls by less than this share.
PASSES = 15
TOLERANCE = 1e-4

# Each round moves this share of the nodes elsewhere, then a half, a third, a
# quarter of it; two that brought nothing are the last.
SHARE = 0.1
PATIENCE = 2
TINY = 1e-300

# Where a moved node begins: so far from the worst node to the farthest of its samples.
STEP = 0.25


def refine_gas(
    state: GasState,
    X: Array,
    *,
    sample_weight: Array | None = None,
    max_age: int = 50,
    n_rounds: int = 8,
) -> GasState:
    r"""Move the nodes to the means of their samples, and link them by all samples.

    Lloyd's passes lower the squared error to the nearest local optimum. Then a few
    nodes of the smallest utility (by which the error would grow without them) are
    put beside those of the largest error, and the passes begin again; what does
    not lower the error is undone. Last, two nodes are linked if they are the two
    nearest of some samples, and each renewal would have come, on average, after
    :math:`2 a_{max}` or fewer samples of theirs.

    Parameters
    ----------
    state : GasState
        The gas.

    X : array of shape (n_samples, n_features)
        Samples, of the library and device of the state.

    sample_weight : array of shape (n_samples,), default=None
        Weights of the samples.

    max_age : int, default=50
        Largest age :math:`a_{max}` of an edge. Afterwards an age is half the mean
        number of samples between two renewals. Edges that the growth has left within
        a connected component stay as they are.

    n_rounds : int, default=8
        Largest number of times that nodes are put elsewhere.

    Returns
    -------
    state : GasState
        Without nodes that are nearest to no sample, as long as two stay.

    References
    ----------
    .. [1] B. Fritzke, "Breathing K-Means", 2020. :arxiv:`2006.15666`

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.neural_gas import refine_gas, start_gas
    >>> X = np.array([[0.0], [1.0], [0.2], [1.2]])
    >>> refine_gas(start_gas(X), X).nodes.round(2).ravel()
    array([0.1, 1.1])
    """
    state, sample_weight = floating(state), as_floats(sample_weight)[0]
    xp, X = namespace(state.nodes), like_nodes(X, state.nodes)
    check_sample_weight(sample_weight, X)
    weight = xp.ones_like(X[:, 0]) if sample_weight is None else sample_weight
    weight = xp.astype(weight, state.nodes.dtype, copy=False)
    unit = unit_of(X)
    samples = _Samples(X, weight, middle(X, unit), unit)
    nodes, found = _settle(samples, samples.within(state.nodes))
    ids, n_born, failures = state.ids, state.n_born, 0
    for turn in range(n_rounds):
        places, others = _elsewhere(samples, nodes, found, turn)
        others, other = _settle(samples, others)
        failures += 1
        if float(other.error) < (1 - TOLERANCE) * float(found.error):
            nodes, found, failures = others, other, 0
            ids = xp.asarray(ids, copy=True)
            ids[places] = n_born + xp.astype(xp.argsort(places), ids.dtype)
            n_born += len(places)
        if failures == PATIENCE:
            break
    alive = _alive(found.wins)
    found = _pass(samples, nodes[alive])
    edges, ages = _known_edges(state, to_numpy(alive), to_numpy(ids == state.ids))
    nodes = nodes[alive] * samples.unit + samples.origin
    state = state._replace(nodes=nodes, ids=ids[alive], n_born=n_born)
    return _linked(state._replace(edges=edges, ages=ages), found, weight, max_age)


class _Samples(NamedTuple):
    """Weighted samples, and the coordinates in which they are looked at."""

    X: Any
    weight: Any
    origin: Any
    unit: float

    def within(self, points):
        """Return points in coordinates whose squares no data type overflows."""
        return (points - self.origin) / self.unit


class _Found(NamedTuple):
    """The two nearest nodes of each sample, and sums over the samples of each node."""

    first: Any
    second: Any
    squares: Any
    wins: Any
    errors: Any
    utilities: Any
    sums: Any

    @property
    def error(self):
        """Weighted sum of the squared distances."""
        return self.errors.sum()


def _settle(samples, nodes):
    """Return the nodes after passes of Lloyd, and what the last pass found."""
    means, error = _means(samples, nodes)
    for _ in range(PASSES):
        before, nodes = error, means
        means, error = _means(samples, nodes)
        if error >= (1 - TOLERANCE) * before:
            break
    return nodes, _pass(samples, nodes)


def _means(samples, nodes):
    """Return the means of the nodes' samples, and the sum of squared distances."""
    xp, k = namespace(nodes), len(nodes)
    sums, wins, error, step = 0, 0, 0, rows_at_once(nodes)
    for start in range(0, len(samples.X), step):
        block = slice(start, start + step)
        X, weight = samples.within(samples.X[block]), samples.weight[block]
        first, squares = nearest(X, nodes)
        _, own, moments = totals(first, k, weight, X * weight[:, None])
        wins, sums, error = wins + own, sums + moments, error + weight @ squares
    wins = wins[:, None]
    return xp.where(wins > 0, sums / (wins + (wins == 0)), nodes), float(error)


def _pass(samples, nodes):
    """Find the nearest nodes of all samples, by blocks."""
    xp, k = namespace(nodes), len(nodes)
    step = rows_at_once(nodes)
    found, sums = [], 0
    for start in range(0, len(samples.X), step):
        block = slice(start, start + step)
        X = samples.within(samples.X[block])
        found.append(two_nearest(X, nodes))
        first, weight = found[-1][0], samples.weight[block]
        sums = sums + totals(first, k, X * weight[:, None])[1]
    first, second, squares, seconds = map(xp.concat, zip(*found, strict=True))
    gain = samples.weight * (seconds - squares)
    columns = samples.weight, samples.weight * squares, gain
    _, wins, errors, utilities = totals(first, k, *columns)
    return _Found(first, second, squares, wins, errors, utilities, sums)


def _elsewhere(samples, nodes, found, turn):
    """Return nodes of which the least useful have come to help the worst."""
    xp = namespace(nodes)
    n_moved = max(1, int(SHARE * len(nodes) / (1 + turn % 4)))
    idle = xp.argsort(found.utilities)[:n_moved]
    worst = xp.flip(xp.argsort(found.errors), axis=0)[:n_moved]
    others = xp.asarray(nodes, copy=True)
    for place, node in zip(idle, worst, strict=True):
        own = xp.where(found.first == node, found.squares, -xp.ones_like(found.squares))
        farthest = samples.within(samples.X[own.argmax()])
        others[place] = nodes[node] + STEP * (farthest - nodes[node])
    return idle, others


def _alive(wins):
    """Return which nodes stay: those with samples, and as many others as make two."""
    xp = namespace(wins)
    alive = wins > 0
    alive[xp.argsort(wins)[-2:]] = True
    return alive


def _known_edges(state, alive, in_place):
    """Return the edges of nodes that stay where they were, by their new numbers."""
    edges = to_numpy(state.edges)
    stays = (alive & in_place)[edges].all(axis=1)
    return (np.cumsum(alive) - 1)[edges[stays]], to_numpy(state.ages)[stays]


def _linked(state, found, weight, max_age):
    """Return the gas with the edges that the samples ask for, and with their errors."""
    xp, k = namespace(state.nodes), len(state.nodes)
    pair = found.first, found.second
    keys, edge = xp.unique_inverse(xp.minimum(*pair) * k + xp.maximum(*pair))
    renewals = to_numpy(totals(edge, len(keys), weight)[1])
    ends = np.column_stack(np.divmod(to_numpy(keys), k))
    ages = to_numpy(found.wins)[ends].sum(axis=1) / (2 * np.maximum(renewals, TINY))
    youngest = np.full(k, np.inf)
    np.minimum.at(youngest, ends, ages[:, None])
    # A node is never left alone, however often its samples change their second node.
    stays = (ages <= max_age) | (ages[:, None] == youngest[ends]).any(axis=1)
    ends, ages = _with_known(ends[stays], ages[stays], state)
    ages = np.minimum(ages, max_age).astype(np.int64)
    where = {"device": device(state.ids)}
    return state._replace(
        errors=_like(found.errors, state.errors),
        utilities=_like(found.utilities, state.utilities),
        hits=xp.astype(totals(found.first, k, weight)[0], state.hits.dtype),
        edges=xp.asarray(ends, **where),
        ages=xp.asarray(ages, **where),
    )


def _with_known(ends, ages, state):
    """Add what the growth has learned within, but not between, the components."""
    k = len(state.nodes)
    label = label_components(ends, k)
    i, j = state.edges.T
    more = (label[i] == label[j]) & ~np.isin(i * k + j, ends[:, 0] * k + ends[:, 1])
    ends = np.concatenate([ends, state.edges[more]])
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    return ends[order], np.concatenate([ages, state.ages[more]])[order]


def _like(totals, faded):
    """Return totals over all samples at the level that fading ones have."""
    xp, totals = namespace(faded), as_double(totals)
    total = totals.sum()
    totals = totals * (as_double(faded).sum() / xp.where(total > 0, total, 1.0))
    return xp.astype(totals, faded.dtype, copy=False)

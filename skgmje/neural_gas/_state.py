"""The state of a growing neural gas and its adaptation to samples."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from array_api_compat import device
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skgmje._backend import as_float, namespace, to_numpy, unit_of
from skgmje._typing import Array, NDArray
from skgmje.neural_gas._steps import Gas, GasRules, check_rules, like_nodes, middle


class GasState(NamedTuple):
    """What a neural gas knows: a value, of NumPy arrays or of tensors.

    Parameters
    ----------
    nodes : array of shape (n_nodes, n_features)
        Positions.

    errors : array of shape (n_nodes,)
        Squared distances of the samples that each node won, fading.

    utilities : array of shape (n_nodes,)
        By how much these would grow without the node, fading.

    hits : array of int, shape (n_nodes,)
        Number of samples that each node won.

    ids : array of int, shape (n_nodes,)
        A number that a node keeps for life; later nodes have larger ones.

    edges : array of int, shape (n_edges, 2)
        Nodes that are linked, the smaller number first, sorted.

    ages : array of int, shape (n_edges,)
        Samples won by the ends of each edge since it was last renewed.

    n_seen : int
        Number of samples so far.

    n_born : int
        Number of nodes that there have ever been.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.neural_gas import start_gas
    >>> start_gas(np.array([[0.0], [1.0]])).edges
    array([[0, 1]])
    """

    nodes: Array
    errors: Array
    utilities: Array
    hits: Array
    ids: Array
    edges: Array
    ages: Array
    n_seen: int
    n_born: int

    def to_numpy(self) -> GasState:
        """Return the gas as NumPy arrays.

        Returns
        -------
        state : GasState
            Shares the memory of tensors on the CPU.
        """
        return GasState(*map(to_numpy, self[:-2]), int(self.n_seen), int(self.n_born))


def floating(state):
    """Return a gas whose nodes, errors and utilities are floats."""
    names = "nodes", "errors", "utilities"
    return state._replace(**{name: as_float(getattr(state, name)) for name in names})


def start_gas(rows: Array) -> GasState:
    """Return a gas of two nodes and the edge between them.

    Parameters
    ----------
    rows : array of shape (n_samples, n_features)
        Samples, of which the first two are the nodes; a single one is both.

    Returns
    -------
    state : GasState
        The gas, of the library, device and data type of the samples.

    Raises
    ------
    ValueError
        If there is no sample.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.neural_gas import start_gas
    >>> start_gas(np.array([[0.0], [1.0]])).nodes.ravel()
    array([0., 1.])
    """
    if not len(rows):
        raise ValueError("A gas starts with a sample, but there is none. Give some.")
    rows = as_float(rows)
    xp = namespace(rows)
    nodes = xp.asarray(rows[[0, min(1, len(rows) - 1)]], copy=True)
    pair = xp.arange(2, dtype=xp.int64, device=device(rows))
    return GasState(
        nodes=nodes,
        errors=xp.zeros_like(nodes[:, 0]),
        utilities=xp.zeros_like(nodes[:, 0]),
        hits=xp.zeros_like(pair),
        ids=pair,
        edges=xp.asarray(pair[None], copy=True),
        ages=xp.zeros_like(pair[:1]),
        n_seen=0,
        n_born=2,
    )


def adapt_gas(
    state: GasState,
    X: Array,
    *,
    max_nodes: int = 100,
    mode: Literal["batch", "sequential"] = "batch",
    **rules: Any,
) -> GasState:
    r"""Let a gas learn from samples, in their order.

    For each sample x the nearest node :math:`w_1` and its neighbours move,

    .. math:: w_1 \leftarrow w_1 + \epsilon_b (x - w_1), \quad
        w_n \leftarrow w_n + \epsilon_n (x - w_n),

    the edge to the second nearest, :math:`w_2`, is renewed, and the winner's error
    grows by :math:`|x - w_1|^2`, its utility by
    :math:`|x - w_2|^2 - |x - w_1|^2`. Edges that were not renewed while their ends
    won many samples are cut, and nodes without edges vanish. Now and then a node is
    put between the node of the largest error and its worst neighbour.

    In mode 'batch' some samples are seen at once, at most two per node (but 25 where
    there are few nodes): all find their winners by one product of matrices, and a
    node that won c of them moves by :math:`1 - (1 - \epsilon)^c` towards their
    mean.

    Parameters
    ----------
    state : GasState
        The gas.

    X : array of shape (n_samples, n_features)
        Samples, of the library and device of the state.

    max_nodes : int, default=100
        Largest number of nodes.

    mode : {'batch', 'sequential'}, default='batch'
        Whether some samples or single ones are seen at a time.

    **rules : dict
        The rates and numbers that :class:`skgmje.mixture.GasGrowth` explains. Those of
        the paper are the defaults here: ``winner_rate=0.05, error_decay=0.9995``.

    Returns
    -------
    state : GasState
        The gas after the last sample; the old one is left alone.

    Raises
    ------
    ValueError
        If there is no such `mode`, a rate or factor does not lie between 0 and 1, or a
        number of samples or nodes is too small.

    References
    ----------
    .. [1] B. Fritzke, "A Growing Neural Gas Network Learns Topologies", 1995.
    .. [2] B. Fritzke, "A Self-Organizing Network That Can Follow Non-Stationary
       Distributions", 1997.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.neural_gas import adapt_gas, start_gas
    >>> X = np.random.default_rng(0).random((1000, 2))
    >>> len(adapt_gas(start_gas(X), X, max_nodes=8).nodes)
    8
    """
    if mode not in MODES:
        raise ValueError(f"mode={mode!r} must be one of {list(MODES)}.")
    rules, (learn, origin_of) = GasRules(max_nodes, **rules), MODES[mode]
    check_rules(rules)
    state = floating(state)
    X = like_nodes(X, state.nodes)
    unit = unit_of(state.nodes, X)
    gas = Gas(state, rules, origin_of(state.nodes, unit), unit)
    learn(gas, X)
    return GasState(*gas.parts())


def gas_components(state: GasState) -> NDArray[Any]:
    """Number the connected components of the graph.

    Parameters
    ----------
    state : GasState
        The gas.

    Returns
    -------
    labels : ndarray of int, shape (n_nodes,)
        From 0.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.neural_gas import gas_components, start_gas
    >>> gas_components(start_gas(np.array([[0.0], [1.0]])))
    array([0, 0], dtype=int32)
    """
    return label_components(to_numpy(state.edges), len(state.nodes))


def label_components(ends, n_nodes):
    """Number the connected components of the edges (n_edges, 2), from 0."""
    # SciPy before 1.12 fails on wider indices, and only prints so.
    ends = tuple(ends.T.astype(np.int32))
    links = coo_array((np.ones(len(ends[0])), ends), shape=(n_nodes, n_nodes))
    return connected_components(links, directed=False)[1]


def _zero(nodes, unit):
    """Return an origin at zero, shape (n_features,)."""
    # Single samples lose no digits, and the same samples in other chunks give the same.
    return namespace(nodes).zeros_like(nodes[0])


# How a gas learns, and the origin of its coordinates.
MODES = {"batch": (Gas.learn, middle), "sequential": (Gas.learn_singly, _zero)}

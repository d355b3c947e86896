"""A growing neural gas: a graph that learns where the data are."""

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from skgmje._backend import is_torch, namespace, to_numpy
from skgmje.adaptation._start import start_mixture

NO_EDGE = -1


class GasState(NamedTuple):
    """What a neural gas knows; free places of the arrays wait for nodes.

    Parameters
    ----------
    nodes : array of shape (max_nodes, n_features)
        Positions.

    active : array of bool, shape (max_nodes,)
        Which places hold a node.

    errors : array of shape (max_nodes,)
        Squared distances of the rows that each node won, fading.

    hits : array of int, shape (max_nodes,)
        Number of rows that each node won.

    ages : array of int, shape (max_nodes, max_nodes)
        Ages of the edges, symmetric; -1 where there is none.

    n_seen : int
        Number of rows so far.

    See Also
    --------
    start_gas : Makes the first one.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.adaptation import start_gas
    >>> start_gas(np.array([[0.0], [1.0]]), max_nodes=3).active
    array([ True,  True, False])
    """

    nodes: Any
    active: Any
    errors: Any
    hits: Any
    ages: Any
    n_seen: Any


def start_gas(rows, max_nodes):
    """Return a gas of two nodes and the edge between them.

    Parameters
    ----------
    rows : array of shape (n_samples, n_features)
        Rows, of which the first two are the nodes.

    max_nodes : int
        Number of nodes that there may be, at least two.

    Returns
    -------
    state : GasState
        The gas.

    Raises
    ------
    ValueError
        If there are not two rows, or no room for two nodes.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.adaptation import start_gas
    >>> start_gas(np.array([[0.0], [1.0]]), max_nodes=2).nodes.ravel()
    array([0., 1.])
    """
    if len(rows) < 2 or max_nodes < 2:
        raise ValueError(
            f"A gas starts with two nodes, but there are {len(rows)} rows and "
            f"max_nodes={max_nodes}. Give at least two of each."
        )
    nodes = np.zeros((max_nodes, rows.shape[1]))
    nodes[:2] = to_numpy(rows[:2])
    ages = np.full((max_nodes, max_nodes), NO_EDGE)
    ages[0, 1] = ages[1, 0] = 0
    zeros = np.zeros(max_nodes)
    state = GasState(nodes, np.arange(max_nodes) < 2, zeros, zeros.astype(int), ages, 0)
    return _like(state, rows)


def adapt_gas(
    state,
    X,
    *,
    winner_rate=0.05,
    neighbor_rate=0.006,
    max_age=50,
    insertion_interval=100,
    error_split=0.5,
    error_decay=0.9995,
):
    r"""Let a gas learn from rows, one after the other.

    For each row x the nearest node :math:`w_1` and its neighbours move,

    .. math:: w_1 \leftarrow w_1 + \epsilon_b (x - w_1), \quad
        w_n \leftarrow w_n + \epsilon_n (x - w_n),

    the edge to the second nearest is renewed, and the winner's error grows by
    :math:`|x - w_1|^2`. Edges that were not renewed while their node won many
    rows are cut, and nodes without edges vanish. Now and then a node is put
    between the node of the largest error and its worst neighbour.

    Parameters
    ----------
    state : GasState
        The gas.

    X : array of shape (n_samples, n_features)
        Rows, of the library of the state. The steps are taken in NumPy.

    winner_rate : float, default=0.05
        Rate :math:`\epsilon_b` of the nearest node.

    neighbor_rate : float, default=0.006
        Rate :math:`\epsilon_n` of its neighbours.

    max_age : int, default=50
        Largest age of an edge, in rows won by one of its ends.

    insertion_interval : int, default=100
        Number of rows between two new nodes.

    error_split : float, default=0.5
        Factor of the errors of the two nodes beside a new one.

    error_decay : float, default=0.9995
        Factor of all errors after each row.

    Returns
    -------
    state : GasState
        The gas after the last row; the old one is left alone.

    References
    ----------
    .. [1] B. Fritzke, "A Growing Neural Gas Network Learns Topologies", 1995.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.adaptation import adapt_gas, start_gas
    >>> X = np.random.default_rng(0).random((1000, 2))
    >>> state = adapt_gas(start_gas(X, max_nodes=8), X)
    >>> int(state.active.sum())
    8
    """
    gas = GasState(*(np.array(to_numpy(array)) for array in state[:-1]), None)
    gas = gas._replace(nodes=gas.nodes.astype(float), errors=gas.errors.astype(float))
    n_seen = int(state.n_seen)
    for row in to_numpy(X).astype(float):
        n_seen += 1
        _present(gas, row, winner_rate, neighbor_rate, max_age)
        if n_seen % insertion_interval == 0 and not gas.active.all():
            _insert(gas, error_split)
        gas.errors[:] *= error_decay
    return _like(gas._replace(n_seen=n_seen), state.nodes)


def _present(gas, row, winner_rate, neighbor_rate, max_age):
    """Let the winner, its neighbours and their edges learn from one row."""
    nodes, active, errors, hits, ages, _ = gas
    squares = ((nodes - row) ** 2).sum(axis=1)
    squares[~active] = np.inf
    winner = squares.argmin()
    errors[winner] += squares[winner]
    hits[winner] += 1
    squares[winner] = np.inf
    second = squares.argmin()
    neighbors = np.flatnonzero(ages[winner] != NO_EDGE)
    nodes[winner] += winner_rate * (row - nodes[winner])
    nodes[neighbors] += neighbor_rate * (row - nodes[neighbors])
    ages[winner, neighbors] += 1
    ages[winner, second] = 0
    old = ages[winner] > max_age
    ages[winner, old] = NO_EDGE
    ages[:, winner] = ages[winner]
    if old.any():
        active &= (ages != NO_EDGE).any(axis=1)
        errors[~active] = hits[~active] = 0


def _insert(gas, error_split):
    """Put a node between the worst node and its worst neighbour."""
    nodes, active, errors, hits, ages, _ = gas
    worst = np.where(active, errors, -1.0).argmax()
    beside = np.where(ages[worst] != NO_EDGE, errors, -1.0).argmax()
    new = np.flatnonzero(~active)[0]
    nodes[new] = (nodes[worst] + nodes[beside]) / 2
    active[new] = True
    ages[worst, beside] = ages[beside, worst] = NO_EDGE
    ends = [worst, beside]
    ages[new, ends] = ages[ends, new] = 0
    errors[ends] *= error_split
    errors[new] = errors[worst]
    hits[new] = 0


def gas_components(state):
    """Number the connected components of the graph.

    Parameters
    ----------
    state : GasState
        The gas.

    Returns
    -------
    labels : array of int, shape (max_nodes,)
        From 0; -1 where there is no node.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.adaptation import gas_components, start_gas
    >>> gas_components(start_gas(np.array([[0.0], [1.0]]), max_nodes=3))
    array([ 0,  0, -1])
    """
    active = to_numpy(state.active)
    edges = to_numpy(state.ages)[np.ix_(active, active)] != NO_EDGE
    labels = np.full(len(active), -1)
    labels[active] = connected_components(edges, directed=False)[1]
    return labels


def _gas_nodes(state):
    active = to_numpy(state.active)
    return np.where(active, np.cumsum(active) - 1, -1)


def gas_mixture(
    state,
    X,
    covariance_type="full",
    *,
    granularity="node",
    min_hits=5,
    shrinkage=None,
    reg_covar=1e-6,
    sample_weight=None,
):
    r"""Turn a gas into a mixture, by the rows that are nearest to its nodes.

    .. math:: \Sigma_k = (S_k + s P) / (N_k + s) + \epsilon I

    with the scatter :math:`S_k` of the :math:`N_k` rows of component k and the
    pooled covariance P: few rows borrow from all.

    Parameters
    ----------
    state : GasState
        The gas.

    X : ndarray of shape (n_samples, n_features)
        Rows.

    covariance_type : str, default='full'
        Key of :data:`skgmje.gaussian.COVARIANCE_TYPES`.

    granularity : {'node', 'component'}, default='node'
        Whether each node, or each connected component of the graph, becomes a
        component of the mixture.

    min_hits : int, default=5
        Components with fewer rows are left out; their rows go elsewhere.

    shrinkage : float or None, default=None
        Pseudo-count s of the pooled covariance; None: the number of features.

    reg_covar : float or ndarray of shape (n_features,), default=1e-6
        Added to the diagonal of every covariance.

    sample_weight : ndarray of shape (n_samples,) or None, default=None
        Weights of the rows.

    Returns
    -------
    mixture : Mixture
        Of NumPy arrays: a start for
        :func:`skgmje.adaptation.expectation_maximization`.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.adaptation import adapt_gas, gas_mixture, start_gas
    >>> X = np.random.default_rng(0).random((1000, 2))
    >>> state = adapt_gas(start_gas(X, max_nodes=8), X)
    >>> gas_mixture(state, X).n_components
    8
    """
    nodes, groups = to_numpy(state.nodes), GRANULARITIES[granularity](state)
    used = groups >= 0
    labels = groups[used][_nearest(X, nodes[used])]
    counts = np.bincount(labels, minlength=groups.max() + 1)
    enough = used & (counts >= min_hits)[groups]
    if enough.any():
        labels = groups[enough][_nearest(X, nodes[enough])]
    labels = np.unique(labels, return_inverse=True)[1].ravel()
    return start_mixture(
        X,
        labels,
        covariance_type,
        sample_weight=sample_weight,
        shrinkage=X.shape[1] if shrinkage is None else shrinkage,
        reg_covar=reg_covar,
    )


def _nearest(X, nodes):
    """Return the nearest node of each row, by blocks of rows."""
    blocks = [X[start : start + 8192] for start in range(0, len(X), 8192)]
    return np.concatenate(
        [cdist(block, nodes, "sqeuclidean").argmin(axis=1) for block in blocks]
    )


def _like(state, array):
    """Return the arrays of the state as the library and device of `array`."""
    if not is_torch(array):
        return state
    xp = namespace(array)
    arrays = [xp.asarray(part, device=array.device) for part in state[:-1]]
    gas = GasState(*arrays, state.n_seen)
    nodes, errors = gas.nodes.to(array.dtype), gas.errors.to(array.dtype)
    return gas._replace(nodes=nodes, errors=errors)


GRANULARITIES = {"node": _gas_nodes, "component": gas_components}

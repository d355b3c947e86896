"""Nodes of a neural gas as centers, labels and a mixture."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from array_api_compat import device

from skgmje._backend import as_float, as_floats, is_torch, namespace, to_numpy, unit_of
from skgmje._typing import Array, NDArray
from skgmje.em import start_mixture
from skgmje.em._em import make_prior
from skgmje.gaussian import COVARIANCE_TYPES, Mixture
from skgmje.gaussian._checks import check_sample_weight, check_type
from skgmje.neural_gas._state import GasState, floating, gas_components
from skgmje.neural_gas._steps import (
    MAX_DISTANCES,
    like_nodes,
    middle,
    rows_at_once,
    totals,
    two_nearest,
)

# Compared with nodes of about one this is far, in every data type.
FAR = 1e16


def nearest_nodes(nodes: Array, X: Array) -> tuple[Array, Array, Array]:
    """Return the two nearest nodes of each sample, and the distance of the first.

    Parameters
    ----------
    nodes : array of shape (n_nodes, n_features)
        Positions.

    X : array of shape (n_samples, n_features)
        Samples, of the library and device of the nodes.

    Returns
    -------
    first, second : arrays of int, shape (n_samples,)
        The nodes; the same if there is one only.

    distances : array of shape (n_samples,)
        Distances to the first.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.neural_gas import nearest_nodes
    >>> nearest_nodes(np.array([[0.0], [2.0], [9.0]]), np.array([[3.0]]))
    (array([1]), array([0]), array([1.]))
    """
    nodes = as_float(nodes)
    xp = namespace(nodes)
    X = like_nodes(X, nodes)
    unit = unit_of(nodes)
    origin = middle(nodes, unit)
    step = rows_at_once(nodes)
    places = (nodes - origin) / unit
    found = []
    # The squares of very far samples overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(X), step):
            block = X[start : start + step]
            first, second, squares, _ = two_nearest((block - origin) / unit, places)
            # A product leaves little of the distance of a sample close to a node.
            diff = (block - nodes[first]) / unit
            distances = unit * xp.sqrt(xp.sum(diff * diff, axis=1))
            found.append((first, second, squares, distances))
    first, second, squares, distances = map(xp.concat, zip(*found, strict=True))
    far = ~xp.isfinite(squares)
    if bool(xp.any(far)):
        first[far], second[far], distances[far] = _far_nearest(X[far] - origin, places)
    return first, second, distances


def _far_nearest(diff, places):
    """Return nearest nodes and distances of samples so far that directions say all."""
    xp = namespace(diff)
    size = xp.max(xp.abs(diff), axis=1)
    first, second, squares, _ = two_nearest(FAR * (diff / size[:, None]), places)
    return first, second, size * (xp.sqrt(squares) / FAR)


def gas_errors(
    state: GasState, X: Array, *, sample_weight: NDArray[Any] | None = None
) -> tuple[float, float]:
    """Compute how far samples are from a gas, and how badly it knows neighbours.

    Parameters
    ----------
    state : GasState
        The gas.

    X : array of shape (n_samples, n_features)
        Samples, of the library and device of the state.

    sample_weight : ndarray of shape (n_samples,) or None, default=None
        Weights of the samples.

    Returns
    -------
    quantization_error : float
        Mean distance to the nearest node.

    topographic_error : float
        Share of the samples whose two nearest nodes are not linked.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.neural_gas import gas_errors, start_gas
    >>> gas_errors(start_gas(np.array([[0.0], [4.0]])), np.array([[1.0], [4.0]]))
    (0.5, 0.0)
    """
    k = len(state.nodes)
    first, second, distances = map(to_numpy, nearest_nodes(state.nodes, X))
    if sample_weight is not None:
        sample_weight = to_numpy(as_float(sample_weight))
        check_sample_weight(sample_weight, distances)
    low, high = np.minimum(first, second), np.maximum(first, second)
    i, j = to_numpy(state.edges).T
    unlinked = ~np.isin(low * k + high, i * k + j)
    errors = [
        float(np.average(part.astype(np.float64), weights=sample_weight))
        for part in (distances, unlinked)
    ]
    return errors[0], errors[1]


def gas_mixture(
    state: GasState,
    X: Array,
    covariance_type: str = "full",
    *,
    granularity: Literal["node", "cluster", "one"] = "node",
    min_hits: int = 5,
    shrinkage: float | None = None,
    reg_covar: float | NDArray[Any] = 1e-6,
    sample_weight: Array | None = None,
    rank: int = 1,
) -> Mixture:
    r"""Turn a gas into a mixture, by the samples that are nearest to its nodes.

    .. math:: \Sigma_k = (S_k + s P) / (N_k + s) + \epsilon I

    with the scatter :math:`S_k` of the :math:`N_k` samples of component k and the
    pooled covariance P: few samples borrow from all.

    Parameters
    ----------
    state : GasState
        The gas.

    X : array of shape (n_samples, n_features)
        Samples. Of tensors only the variances are taken.

    covariance_type : str, default='full'
        Key of :data:`skgmje.gaussian.COVARIANCE_TYPES`; of tensors 'full', 'diag'
        or 'spherical'.

    granularity : {'node', 'cluster', 'one'}, default='node'
        Whether each node, each connected component of the graph, or all nodes
        together become a component of the mixture.

    min_hits : int, default=5
        Components with fewer samples are left out; their samples go elsewhere.

    shrinkage : float or None, default=None
        Pseudo-count s of the pooled covariance; None: the number of features.

    reg_covar : float or ndarray of shape (n_features,), default=1e-6
        Added to the diagonal of every covariance.

    sample_weight : array of shape (n_samples,) or None, default=None
        Weights of the samples.

    rank : int, default=1
        Number of factors of a low-rank covariance.

    Returns
    -------
    mixture : Mixture
        Of NumPy arrays: a start for
        :func:`skgmje.em.expectation_maximization`.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.neural_gas import adapt_gas, gas_mixture, start_gas
    >>> X = np.random.default_rng(0).random((1000, 2))
    >>> state = adapt_gas(start_gas(X), X, max_nodes=8)
    >>> gas_mixture(state, X).n_components
    8
    """
    X, sample_weight = as_floats(X, sample_weight)
    shrinkage = X.shape[1] if shrinkage is None else shrinkage
    reg_covar = make_prior(X.shape[1], shrinkage, "pooled", reg_covar).reg_covar
    how = {"granularity": granularity, "min_hits": min_hits}
    labels = gas_labels(state, X, sample_weight=sample_weight, **how)
    prior = {"shrinkage": shrinkage, "reg_covar": reg_covar}
    given = X, labels, covariance_type
    if is_torch(X):
        return _tensor_mixture(*given, sample_weight=sample_weight, **prior)
    return start_mixture(*given, sample_weight=sample_weight, rank=rank, **prior)


def gas_labels(
    state: GasState,
    X: Array,
    *,
    granularity: Literal["node", "cluster", "one"] = "node",
    min_hits: int = 5,
    sample_weight: Array | None = None,
) -> Array:
    """Assign samples to the nodes of a gas, or to its connected components.

    Parameters
    ----------
    state : GasState
        The gas.

    X : array of shape (n_samples, n_features)
        Samples, of the library and device of the state.

    granularity : {'node', 'cluster', 'one'}, default='node'
        Which of them are numbered.

    min_hits : int, default=5
        Those with fewer samples are left out, if others are left; their samples go
        elsewhere.

    sample_weight : array of shape (n_samples,) or None, default=None
        Weights of the samples.

    Returns
    -------
    labels : array of int, shape (n_samples,)
        From 0, without gaps.

    Raises
    ------
    ValueError
        If there is no such `granularity`.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.neural_gas import gas_labels, start_gas
    >>> X = np.array([[0.0], [1.0], [1.0]])
    >>> gas_labels(start_gas(X), X, min_hits=1)
    array([0, 1, 1])
    """
    state, (X, sample_weight) = floating(state), as_floats(X, sample_weight)
    check_sample_weight(sample_weight, X)
    if granularity not in GRANULARITIES:
        raise ValueError(
            f"granularity={granularity!r} must be one of {list(GRANULARITIES)}."
        )
    xp, groups = namespace(X), GRANULARITIES[granularity](state)
    groups = xp.asarray(groups, dtype=xp.int64, device=device(X))
    labels = groups[nearest_nodes(state.nodes, X)[0]]
    weight = xp.ones_like(X[:, 0]) if sample_weight is None else sample_weight
    counts = totals(labels, len(groups), weight)[1]
    enough = (counts >= min_hits)[groups]
    if bool(xp.any(enough)) and not bool(xp.all(enough)):
        labels = groups[enough][nearest_nodes(state.nodes[enough], X)[0]]
    return xp.reshape(xp.unique_inverse(labels)[1], (-1,))


def _tensor_mixture(X, labels, covariance_type, shrinkage, reg_covar, sample_weight):
    """Return a mixture with the means and the variances of the labels."""
    check_type(covariance_type)
    xp, k = namespace(X), int(labels.max()) + 1
    unit = unit_of(X)
    center = middle(X, unit)
    weight = xp.ones_like(X[:, 0]) if sample_weight is None else sample_weight
    weight = weight.to(X.dtype)[:, None]
    sums = [0, 0, 0]
    step = max(1, MAX_DISTANCES // k)
    for start in range(0, len(X), step):
        rows = slice(start, start + step)
        diff, share = (X[rows] - center) / unit, weight[rows]
        parts = totals(labels[rows], k, share, share * diff, share * diff**2)[1:]
        sums = [old + new for old, new in zip(sums, parts, strict=True)]
    counts, shifts, squares = (to_numpy(part).astype(float) for part in sums)
    shifts /= counts
    scatter = np.maximum(squares - counts * shifts**2, 0.0)
    pool = scatter.sum(axis=0) / counts.sum()
    variances = (scatter + shrinkage * pool) / (counts + shrinkage) * unit**2
    variances = variances + reg_covar
    weights, means = counts[:, 0] / counts.sum(), shifts * unit + to_numpy(center)
    kind = COVARIANCE_TYPES[covariance_type]
    covariances = kind.convert(COVARIANCE_TYPES["diag"], variances, *variances.shape)
    return Mixture(weights, means, covariances, covariance_type)


# The label of each node.
GRANULARITIES = {
    "node": lambda state: np.arange(len(state.nodes)),
    "cluster": gas_components,
    "one": lambda state: np.zeros(len(state.nodes), int),
}

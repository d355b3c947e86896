"""Steps of growing a neural gas on a table of rows."""

import numpy as np

from skgmje._backend import is_torch, to_numpy
from skgmje._interrupt import Interrupted
from skgmje._kernels._kernel import FEW_ROWS_PER_FEATURE
from skgmje._selection import (
    N_COMPONENTS,
    Selection,
    count_distinct,
    select_mixture,
)
from skgmje.adaptation import (
    GasState,
    adapt_gas,
    gas_labels,
    refine_gas,
    start_gas,
    systematic_resampling,
)

# Rows are shown until so many intervals have passed for each node: one to insert
# it, the others to find its place.
INTERVALS_PER_NODE = 3

# Rows that are shown at a time.
STEP = 2**14

# A table carries at most one node for so many distinct rows.
ROWS_PER_NODE = 3

# So many rows, and ten for each feature, are enough to be grown on as it is asked.
FEW_ROWS = 100

# What max_nodes="auto" tries; a gas begins with two nodes.
SIZES = tuple(k for k in N_COMPONENTS if k > 1)


def check_nodes(max_nodes, X):
    """Return how many nodes a table of rows gets at most."""
    n_distinct = count_distinct(X, ROWS_PER_NODE * max_nodes)
    return max(2, min(max_nodes, n_distinct // ROWS_PER_NODE))


def present(n_rows, weight, n_signals, random_state):
    """Return rows in random order, all of them before one comes again.

    Parameters
    ----------
    n_rows : int
        Number of rows.

    weight : ndarray of shape (n_rows,) or None
        Their weights; a row of weight k comes as often as k rows.

    n_signals : int
        How many are wanted.

    random_state : RandomState instance
        Source of randomness.

    Returns
    -------
    rows : ndarray of int, shape (n_signals,)
        Their indices.
    """
    parts, n_left = [], n_signals
    while n_left > 0:
        rows = np.arange(n_rows)
        if weight is not None:
            rows = systematic_resampling(weight, n_rows, random_state)
        parts.append(random_state.permutation(rows)[:n_left])
        n_left -= len(parts[-1])
    return np.concatenate(parts)


def in_proportion(weight):
    """Return as many indices as there are weights, in order and in proportion."""
    position = (np.arange(len(weight)) + 0.5) / len(weight)
    total = np.cumsum(weight, dtype=np.float64)
    return np.searchsorted(total, position * total[-1]).clip(max=len(weight) - 1)


def on_device(device, X, weight):
    """Return rows and weights as tensors of a device, or as they are for 'cpu'."""
    if device == "cpu":
        return X, weight
    import torch

    from skgmje.modules._device import resolve_device

    device = resolve_device(device)
    # Copies: the rows may be read-only, which tensors cannot be.
    weight = None if weight is None else torch.tensor(weight, device=device)
    return torch.tensor(X, device=device), weight


def grow(X, weight, max_nodes, random_state, *, refine, checkpoint=None, **rules):
    """Grow a gas on rows in random order, and settle it.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Rows; the gas is of their library and on their device.

    weight : array of shape (n_samples,) or None
        Their weights, of the same library.

    max_nodes : int
        Largest number of nodes.

    random_state : RandomState instance
        Source of the order.

    refine : bool
        Whether last passes over all rows follow.

    checkpoint : Checkpoint or None, default=None
        Keeps the gas from time to time; an earlier one of the same fit is gone on
        from.

    **rules : dict
        Parameters of :func:`skgmje.adaptation.adapt_gas`.

    Returns
    -------
    gas : GasState
        The gas.
    """
    n_signals = INTERVALS_PER_NODE * rules["insertion_interval"] * max_nodes
    shares = None if weight is None else to_numpy(weight)
    rows = present(len(X), shares, n_signals, random_state)
    known = None if checkpoint is None else checkpoint.read()
    gas, first = (start_gas(X[rows[:2]]), 0) if known is None else known
    if is_torch(X):
        gas = GasState(*(p.to(X.device) if is_torch(p) else p for p in gas))
    n_seen, max_age = first, rules["max_age"]
    try:
        for start in range(first, len(rows), STEP):
            part = X[rows[start : start + STEP]]
            gas = adapt_gas(gas, part, max_nodes=max_nodes, **rules)
            n_seen = min(start + STEP, len(rows))
            if checkpoint is not None:
                checkpoint.write((gas, start + STEP))
        if not refine:
            return gas
        return refine_gas(gas, X, sample_weight=weight, max_age=max_age)
    except KeyboardInterrupt as stop:
        if not n_seen:
            raise
        when = f"after {n_seen} of the {len(rows)} rows that a gas is shown"
        raise Interrupted(when, gas) from stop


def select_nodes(
    X, weight, random_state, *, max_nodes, component, gas_params, **params
):
    """Choose what is 'auto' by the density of held-out rows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows.

    weight : ndarray of shape (n_samples,) or None
        Their weights.

    random_state : RandomState instance
        Source of folds and gases.

    max_nodes : int or 'auto'
        Number of nodes.

    component : str
        What becomes a component of the mixture.

    gas_params : dict
        Parameters of `grow`.

    **params : dict
        Further parameters of :func:`skgmje._selection.select_mixture`.

    Returns
    -------
    selection : Selection
        The best setting, `n_components` being the number of nodes; 1 means that
        all nodes are one component.
    """
    wanted = max_nodes, params["covariance_type"], params["shrinkage"]
    if "auto" not in wanted:
        return Selection(*wanted, cv_results=None)

    # Of few rows each node would have a handful: all may better be one component.
    few = len(X) < max(FEW_ROWS_PER_FEATURE * X.shape[1], FEW_ROWS)
    grid = (1, *SIZES) if few else SIZES
    if few and max_nodes != "auto":
        max_nodes = (1, max_nodes)

    def first_labels(X, n_nodes, weight, seed):
        if n_nodes == 1:
            return np.zeros(len(X), int)
        source = np.random.RandomState(seed)
        gas = grow(X, weight, check_nodes(n_nodes, X), source, **gas_params)
        return gas_labels(gas, X, granularity=component, sample_weight=weight)

    return select_mixture(
        X,
        n_components=max_nodes,
        n_components_grid=grid,
        sample_weight=weight,
        random_state=random_state,
        first_labels=first_labels,
        **params,
    )

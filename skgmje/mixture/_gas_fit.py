"""Growth of a neural gas, and mixtures from the statistics of its nodes."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from skgmje._backend import to_numpy
from skgmje._interrupt import Interrupted
from skgmje.em._bandwidth import nearest_centers
from skgmje.em._em import as_mixture, make_prior, maximise, unit_kernel
from skgmje.em._missing import row_mean
from skgmje.em._select import N_COMPONENTS, Selection, count_distinct, select_mixture
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._covariance_type import FEW_ROWS_PER_FEATURE
from skgmje.gaussian._dense import unpack_symmetric
from skgmje.gaussian._passes import assigned_stats, merge_stats
from skgmje.mixture._fit_rows import relative_regularisation
from skgmje.mixture._gas_growth import rules_of
from skgmje.neural_gas._nodes import gas_labels
from skgmje.neural_gas._refine import refine_gas
from skgmje.neural_gas._state import adapt_gas, start_gas
from skgmje.particles._resampling import systematic_resampling

# Rows whose responsibilities are held at a time.
CHUNK_ROWS = 2**14

# A node that has won nothing yet has a component, too.
LEAST_COUNT = 1e-9


def moments_type(covariance_type):
    """Return the type whose packed second moments are kept for each node."""
    own = COVARIANCE_TYPES[covariance_type].loops.per_component
    return covariance_type if own else "full"


def node_statistics(X, weight, assign, nodes, covariance_type):
    """Take the moments of the samples of each node, about their means."""
    nodes = nodes.astype(np.float64)
    # The nodes are about the middle of their rows: moments about them keep digits.
    kernel = unit_kernel(
        moments_type(covariance_type), nodes, row_mean(X, weight), -1.0
    )
    stats = None
    for start in range(0, len(X), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        part_weight = None if weight is None else weight[rows]
        part = assigned_stats(kernel, X[rows], assign(X[rows]), part_weight)
        stats = part if stats is None else merge_stats(kernel, stats, part)
    means = np.where(stats.counts[:, None] > 0, stats.means, nodes)
    return stats._replace(means=means, weight=float(stats.counts.sum()))


def follow_nodes(stats, old, gas, *, shift=False):
    """Give new nodes a share of the statistics around them, and forget lost ones."""
    place = {node: i for i, node in enumerate(old.ids.tolist())}
    nearest = nearest_centers(gas.nodes, stats.means)[0]
    ids = gas.ids.tolist()
    source = np.array([place.get(k, i) for k, i in zip(ids, nearest, strict=True)])
    is_new = np.array([k not in place for k in ids])
    share = 1.0 / np.bincount(source)[source]
    counts = stats.counts[source] * share
    means = stats.means[source]
    if shift:
        means = means + (gas.nodes - old.nodes[source])
    return stats._replace(
        counts=counts,
        means=np.where(is_new[:, None], gas.nodes, means),
        scatter=tuple((part[source].T * share).T for part in stats.scatter),
        weight=float(counts.sum()),
    )


def group_nodes(stats, labels, covariance_type):
    """Return the statistics of groups of nodes, labelled from 0 without gaps."""
    kernel = stats_kernel(stats, covariance_type)
    share = (labels == np.arange(labels.max() + 1)[:, None]).astype(float)
    counts = share @ stats.counts
    means = share @ (stats.counts[:, None] * stats.means)
    means /= np.maximum(counts, np.finfo(float).tiny)[:, None]
    between = kernel.outer(stats.means - means[labels], stats.counts)
    scatter = tuple(
        np.tensordot(share, a + b, axes=1)
        for a, b in zip(stats.scatter, between, strict=True)
    )
    return stats._replace(counts=counts, means=means, scatter=scatter)


def stats_kernel(stats, covariance_type):
    """Return a kernel in whose terms the statistics are."""
    return unit_kernel(
        moments_type(covariance_type), stats.means, stats.means.mean(axis=0)
    )


def mixture_of(stats, covariance_type, shrinkage, reg_covar):
    """Take the M-step: the mixture that has the statistics."""
    n_features = stats.means.shape[1]
    least = LEAST_COUNT * max(stats.weight, 1.0)
    stats = stats._replace(counts=np.maximum(stats.counts, least))
    kernel = unit_kernel(covariance_type, stats.means, stats.means.mean(axis=0))
    if covariance_type != moments_type(covariance_type):
        matrices = unpack_symmetric(stats.scatter[0], n_features)
        stats = stats._replace(scatter=kernel.pack(matrices))
    prior = make_prior(n_features, shrinkage, "pooled", reg_covar)
    kernel, _ = maximise(kernel, stats, prior, covariance_type, drop=False)
    return as_mixture(kernel, covariance_type)


def stream_regularisation(reg_covar, stats, covariance_type):
    """Return what is added to each variance, by the variances of the stream so far."""
    n_features = stats.means.shape[1]
    if reg_covar != "auto":
        return np.full(n_features, float(reg_covar))
    total = max(stats.counts.sum(), np.finfo(float).tiny)
    diff = stats.means - stats.counts @ stats.means / total
    loops = COVARIANCE_TYPES[moments_type(covariance_type)].loops
    total_scatter = tuple(part.sum(axis=0) for part in stats.scatter)
    within = loops.diagonal(total_scatter, n_features)
    variance = (stats.counts @ diff**2 + within) / total
    return relative_regularisation(variance, variance > 0)


def node_responsibilities(mixture, nodes):
    """Return a function that gives nodes the responsibilities of components."""
    places = linear_sum_assignment(cdist(mixture.means, nodes, "sqeuclidean"))[1]

    def assign(rows):
        shares = np.zeros((len(rows), len(nodes)))
        shares[:, places] = mixture.responsibilities(rows)
        return shares

    return assign


def sum_shares(shares, labels):
    """Sum the shares (n, n_components) of each label, (n, n_labels)."""
    order = np.argsort(labels, kind="stable")
    first = np.searchsorted(labels[order], np.arange(labels.max() + 1))
    return np.add.reduceat(shares[:, order], first, axis=1)


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
    """Return how many nodes a table of samples gets at most."""
    n_distinct = count_distinct(X, ROWS_PER_NODE * max_nodes)
    return max(2, min(max_nodes, n_distinct // ROWS_PER_NODE))


def present(n_rows, weight, n_signals, random_state):
    """Return samples in random order, all of them before one comes again."""
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
    """Return samples and weights as tensors of a device, or as they are for 'cpu'."""
    if device == "cpu":
        return X, weight
    import torch

    from skgmje._training._hardware import resolve_device

    device = resolve_device(device)
    # Copies: the rows may be read-only, which tensors cannot be.
    weight = None if weight is None else torch.tensor(weight, device=device)
    return torch.tensor(X, device=device), weight


def grow(X, weight, max_nodes, random_state, growth):
    """Grow a gas on samples in random order, and settle it."""
    n_signals = INTERVALS_PER_NODE * growth.insertion_interval * max_nodes
    shares = None if weight is None else to_numpy(weight)
    rows = present(len(X), shares, n_signals, random_state)
    gas, n_seen, rules = start_gas(X[rows[:2]]), 0, rules_of(growth)
    try:
        for start in range(0, len(rows), STEP):
            part = X[rows[start : start + STEP]]
            gas = adapt_gas(gas, part, max_nodes=max_nodes, **rules)
            n_seen = min(start + STEP, len(rows))
        if not growth.settle:
            return gas
        return refine_gas(gas, X, sample_weight=weight, max_age=growth.max_age)
    except KeyboardInterrupt as stop:
        if not n_seen:
            raise
        when = f"after {n_seen} of the {len(rows)} samples that a gas is shown"
        raise Interrupted(when, gas) from stop


def select_nodes(X, weight, random_state, *, max_nodes, component, growth, **params):
    """Choose what is 'auto' by the density of held-out rows."""
    wanted = max_nodes, params["covariance_type"], params["shrinkage"]
    if "auto" not in wanted:
        return Selection(*wanted, cv_results=None)

    # Of few rows each node would have a handful: all may better be one component.
    ample = max(FEW_ROWS_PER_FEATURE * X.shape[1], FEW_ROWS)
    few = count_distinct(X, ample) < ample
    grid = (1, *SIZES) if few else SIZES
    if few and max_nodes != "auto":
        max_nodes = (1, max_nodes)

    def first_labels(X, n_nodes, weight, seed):
        if n_nodes == 1:
            return np.zeros(len(X), int)
        source = np.random.RandomState(seed)
        gas = grow(X, weight, check_nodes(n_nodes, X), source, growth)
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

"""Statistics of the nodes of a gas, kept from one chunk of a stream to the next."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from skgmje._kernels import KERNELS, assigned_stats, merge_stats
from skgmje._kernels._full import unpack_symmetric
from skgmje.adaptation._e_step import row_mean
from skgmje.adaptation._em import make_prior, maximise
from skgmje.mixture._fitting import RELATIVE_REGULARISATION

# Rows whose responsibilities are held at a time.
CHUNK_ROWS = 2**14

# A node that has won nothing yet has a component, too.
LEAST_COUNT = 1e-9

# Which moments of the rows of each node the M-step of a covariance type needs.
MOMENTS = {"full": "full", "tied": "full", "diag": "diag", "spherical": "spherical"}


def node_statistics(X, weight, assign, nodes, covariance_type):
    """Take the moments of the rows of each node, about their means.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows.

    weight : ndarray of shape (n_samples,) or None
        Their weights.

    assign : callable
        ``assign(rows)`` gives labels or responsibilities of the nodes.

    nodes : ndarray of shape (n_nodes, n_features)
        Where nodes without rows are.

    covariance_type : str
        Key of `MOMENTS`.

    Returns
    -------
    stats : Statistics
        Of as many components as there are nodes.
    """
    nodes = nodes.astype(np.float64)
    # The nodes are about the middle of their rows: moments about them keep digits.
    kernel = _unit_kernel(MOMENTS[covariance_type], nodes, row_mean(X, weight), -1.0)
    stats = None
    for start in range(0, len(X), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        part_weight = None if weight is None else weight[rows]
        part = assigned_stats(kernel, X[rows], assign(X[rows]), part_weight)
        stats = part if stats is None else merge_stats(kernel, stats, part)
    means = np.where(stats.counts[:, None] > 0, stats.means, nodes)
    return stats._replace(means=means, weight=float(stats.counts.sum()))


def follow_nodes(stats, old, gas, *, shift=False):
    """Give new nodes a share of the statistics around them, and forget lost ones.

    Parameters
    ----------
    stats : Statistics
        Of the nodes that there were.

    old, gas : GasState
        The nodes that there were, and those that there are.

    shift : bool, default=False
        Whether the means move with their nodes.

    Returns
    -------
    stats : Statistics
        Of the nodes that there are.
    """
    place = {node: i for i, node in enumerate(old.ids.tolist())}
    nearest = cdist(gas.nodes, stats.means).argmin(axis=1)
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
        scatter=tuple(_scaled(part[source], share) for part in stats.scatter),
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
    return _unit_kernel(MOMENTS[covariance_type], stats.means, stats.means.mean(axis=0))


def _unit_kernel(kind, means, center, limit=np.inf):
    k, n_features = means.shape
    unit = KERNELS[kind].unit(k, n_features)
    return KERNELS[kind](np.full(k, 1 / k), means, unit, center, limit)


def mixture_of(stats, covariance_type, shrinkage, reg_covar):
    """Take the M-step: the mixture that has the statistics.

    Parameters
    ----------
    stats : Statistics
        Of nodes or of groups of nodes.

    covariance_type : str
        Key of `MOMENTS`.

    shrinkage : float
        Pseudo-count of the pooled covariance.

    reg_covar : ndarray of shape (n_features,)
        Added to the diagonal of every covariance.

    Returns
    -------
    mixture : Mixture
        As many components as there are statistics.
    """
    n_features = stats.means.shape[1]
    least = LEAST_COUNT * max(stats.weight, 1.0)
    stats = stats._replace(counts=np.maximum(stats.counts, least))
    kernel = _unit_kernel(covariance_type, stats.means, stats.means.mean(axis=0))
    if covariance_type != MOMENTS[covariance_type]:
        matrices = unpack_symmetric(stats.scatter[0], n_features)
        stats = stats._replace(scatter=kernel.pack(matrices))
    prior = make_prior(n_features, shrinkage, "pooled", reg_covar)
    return maximise(kernel, stats, prior, covariance_type, drop=False)[0]


def stream_regularisation(reg_covar, stats, covariance_type):
    """Return what is added to each variance, by the variances of the stream so far.

    Parameters
    ----------
    reg_covar : float or 'auto'
        As the estimator has it.

    stats : Statistics
        Of the nodes.

    covariance_type : str
        Key of `MOMENTS`.

    Returns
    -------
    reg_covar : ndarray of shape (n_features,)
        In squared units of the rows.
    """
    n_features = stats.means.shape[1]
    if reg_covar != "auto":
        return np.full(n_features, float(reg_covar))
    total = max(stats.counts.sum(), np.finfo(float).tiny)
    diff = stats.means - stats.counts @ stats.means / total
    within = DIAGONALS[MOMENTS[covariance_type]](
        stats.scatter[0].sum(axis=0), n_features
    )
    variance = (stats.counts @ diff**2 + within) / total
    typical = variance[variance > 0].mean() if variance.any() else 1.0
    return RELATIVE_REGULARISATION * np.where(variance > 0, variance, typical)


def node_responsibilities(mixture, nodes):
    """Return a function that gives nodes the responsibilities of components.

    Each component is that of the nearest node, but no node has two.
    """
    places = linear_sum_assignment(cdist(mixture.means, nodes, "sqeuclidean"))[1]

    def assign(rows):
        shares = np.zeros((len(rows), len(nodes)))
        shares[:, places] = mixture.responsibilities(rows)
        return shares

    return assign


def _scaled(part, factors):
    return part * factors.reshape(-1, *[1] * (part.ndim - 1))


DIAGONALS = {
    "full": lambda packed, d: unpack_symmetric(packed, d).diagonal(),
    "diag": lambda total, d: total,
    "spherical": lambda total, d: np.full(d, total / d),
}

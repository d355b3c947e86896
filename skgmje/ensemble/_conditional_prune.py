"""Mixtures of fewer components with the same means and covariances."""

import numpy as np

from skgmje.gaussian import COVARIANCE_TYPES, Mixture

MAX_ITER = 10


def prune(mixture, max_components):
    r"""Merge components that are alike, by k-means of means and spreads.

    The distance of two components is the Wasserstein distance of their marginals,

    .. math:: \sum_j (m_j - m'_j)^2 + (s_j - s'_j)^2,

    which a cluster's mean of both minimises; a cluster becomes one Gaussian with its
    mean and its covariance.

    Parameters
    ----------
    mixture : Mixture
        One for each row, of NumPy arrays, of type 'diag' or 'full'.

    max_components : int
        Largest number of components.

    Returns
    -------
    mixture : Mixture
        One for each row, of the same type.
    """
    if mixture.n_components <= max_components:
        return mixture
    weights, means = mixture.weights, mixture.means
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    shape = mixture.n_components, mixture.n_features
    variances = kind.diagonal(mixture.covariances, *shape)
    points = np.concatenate([means, np.sqrt(variances)], axis=-1)
    member = _cluster(weights, points, max_components) * weights[..., None]
    total = member.sum(axis=1)
    share = member / np.maximum(total, 1e-300)[:, None]
    merged = np.einsum("nck,ncd->nkd", share, means)
    centered = means[:, :, None] - merged[:, None]
    # What no component went to keeps a weight of zero and any shape.
    spare = (total == 0)[..., None] * 1.0
    if mixture.covariance_type == "diag":
        inside = variances[:, :, None] + centered**2
        covariances = np.einsum("nck,nckd->nkd", share, inside) + spare
    else:
        inside = mixture.covariances[:, :, None]
        inside = inside + centered[..., None] * centered[..., None, :]
        covariances = np.einsum("nck,nckde->nkde", share, inside)
        covariances += spare[..., None] * np.eye(mixture.n_features)
    return Mixture(total, merged, covariances, mixture.covariance_type)


def _cluster(weights, points, n_clusters):
    """Return the cluster of each component as a unit vector, (n, C, n_clusters)."""
    rows = np.arange(len(points))
    chosen = [weights.argmax(axis=1)]
    distance = _squares(points, points[rows, chosen[0]][:, None])[..., 0]
    for _ in range(n_clusters - 1):
        chosen.append((weights * distance).argmax(axis=1))
        new = _squares(points, points[rows, chosen[-1]][:, None])[..., 0]
        distance = np.minimum(distance, new)
    centers = np.stack([points[rows, c] for c in chosen], axis=1)
    for _ in range(MAX_ITER):
        label = _squares(points, centers).argmin(axis=2)
        member = label[..., None] == np.arange(n_clusters)
        mass = (member * weights[..., None]).astype(points.dtype)
        total = mass.sum(axis=1)[..., None]
        moved = np.einsum("nck,ncd->nkd", mass, points)
        centers = np.where(total > 0, moved / np.maximum(total, 1e-300), centers)
    return member


def _squares(points, centers):
    """Return squared distances, shape (n, C, n_centers)."""
    cross = np.einsum("ncd,nkd->nck", points, centers)
    squares = (points**2).sum(-1)[..., None] + (centers**2).sum(-1)[:, None]
    return squares - 2 * cross

"""How wide the bumps of a kernel cost should be."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.special import logsumexp

from skgmje._backend import LOG_2PI

# Rows that stand for a larger sample where all pairs are looked at.
_MAX_ROWS = 1000
# Below this share of the data's total variance a bump is a point.
_FLOOR = 1e-4
# Standardised features vary by about 1, or not at all.
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Bumps:
    """How wide the bumps are, in squared units of the standardised data.

    Parameters
    ----------
    variance : float
        Variance of the data's bumps at the end, and of the model's unless it
        is learned.

    start_variance : float
        Variance from which the run cools down to `variance`.

    learn_weights : bool, default=False
        Whether the model's weights are learned or stay equal.

    learn_variance : bool, default=False
        Whether the model's variance is learned.
    """

    variance: float
    start_variance: float
    learn_weights: bool = False
    learn_variance: bool = False

    @property
    def ratio(self):
        """How many times the start is wider than the end."""
        return max(1.0, self.start_variance / self.variance)


def total_variance(X, sample_weight):
    """Return the sum of the features' variances, or 1 if they are all constant.

    It is half the mean squared distance of two rows, the width at which every
    row sees every other.
    """
    mean = np.average(X, axis=0, weights=sample_weight)
    total = np.average(((X - mean) ** 2).sum(axis=1), weights=sample_weight)
    return float(total) if total > _SMALLEST else 1.0


def cell_variance(X, centers, sample_weight):
    r"""Return half the mean squared distance of a row to the nearest centre.

    .. math:: v^* = \tfrac12 \operatorname{mean}_i \min_k \|x_i - c_k\|^2

    The distance is the total one, not per feature: a typical row then has the
    normalised kernel value :math:`e^{-1/2}` with its own centre, in any number
    of dimensions, so that gradients neither vanish nor all look alike.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows.

    centers : ndarray of shape (n_components, n_features)
        Centres of the cells.

    sample_weight : ndarray of shape (n_samples,)
        Weights of the rows.

    Returns
    -------
    variance : float
        Positive, also where every row is a centre.
    """
    nearest = np.concatenate(
        [
            cdist(X[i : i + 4096], centers, "sqeuclidean").min(axis=1)
            for i in range(0, len(X), 4096)
        ]
    )
    variance = 0.5 * float(np.average(nearest, weights=sample_weight))
    return max(variance, _FLOOR * total_variance(X, sample_weight))


def loo_variance(X, sample_weight, random_state):
    r"""Return the variance of the kernel density estimate that predicts best.

    .. math:: \arg\max_v \frac1n \sum_i
        \log \frac{1}{n-1} \sum_{j \ne i} \mathcal{N}(x_i - x_j; v I)

    Of many rows 1000 are drawn; the variance is then scaled by the known rate
    :math:`n^{-2/(d+4)}`.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows.

    sample_weight : ndarray of shape (n_samples,)
        Weights of the rows.

    random_state : RandomState
        Draws the rows, if there are many.

    Returns
    -------
    variance : float
        Positive, also where rows are repeated.
    """
    total = total_variance(X, sample_weight)
    rows, weights = X, sample_weight
    if len(X) > _MAX_ROWS:
        drawn = random_state.choice(len(X), _MAX_ROWS, replace=False)
        rows, weights = X[drawn], sample_weight[drawn]
    squares = squareform(pdist(rows, "sqeuclidean"))
    np.fill_diagonal(squares, np.inf)
    log_weights = np.log(weights / weights.sum())

    def score(log_variance):
        logs = logsumexp(log_weights - squares / (2 * np.exp(log_variance)), axis=1)
        return np.average(logs, weights=weights) - X.shape[1] / 2 * (
            LOG_2PI + log_variance
        )

    grid = np.log(total * np.geomspace(_FLOOR, 1.0, 13))
    for _ in range(3):
        best = grid[np.argmax([score(v) for v in grid])]
        step = (grid[1] - grid[0]) / 2
        grid = np.clip(best + step * np.linspace(-1, 1, 5), grid[0], grid[-1])
    shrinks = (len(rows) / len(X)) ** (2 / (X.shape[1] + 4))
    return float(np.exp(best) * shrinks)

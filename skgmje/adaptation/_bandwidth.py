"""How wide kernels around rows should be."""

import math

import numpy as np
from scipy.spatial.distance import cdist

from skgmje._backend import LOG_2PI, as_double, as_float, to_numpy

# Squared bandwidths below this share of the total variance are points.
NARROWEST = 1e-6


def kernel_bandwidth(X, particles=None, weights=None):
    r"""Return the standard deviation of kernels that predicts rows best.

    .. math:: \arg\max_h \sum_i \log \sum_{m: z_m \ne x_i} W_m N(x_i; z_m, h^2 I)

    Particles that equal a row are left out of its density: of the rows
    themselves this is the leave-one-out choice.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows to predict; all pairs are looked at.

    particles : ndarray of shape (n_particles, n_features) or None, default=None
        Means of the kernels; None: the rows.

    weights : ndarray of shape (n_particles,) or None, default=None
        Weights of the kernels; None: equal.

    Returns
    -------
    bandwidth : float
        Positive.

    References
    ----------
    .. [1] R. P. W. Duin, "On the Choice of Smoothing Parameters for Parzen
       Estimators of Probability Density Functions", 1976.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.adaptation import kernel_bandwidth
    >>> X = np.random.default_rng(1).normal(size=(200, 1))
    >>> 0.1 < kernel_bandwidth(X) < 0.5
    True
    """
    X = to_numpy(as_double(as_float(X)))
    particles = X if particles is None else to_numpy(as_double(as_float(particles)))
    squares = cdist(X, particles, "sqeuclidean")
    total = float(X.var(axis=0).sum()) or 1.0
    squares[squares == 0] = np.inf
    squares = squares[np.isfinite(squares).any(axis=1)]
    weights = None if weights is None else to_numpy(as_float(weights))
    if weights is None:
        weights = np.full(len(particles), 1 / len(particles))
    n_features = X.shape[1]

    def score(log_variance):
        scaled = squares / (-2 * math.exp(log_variance))
        top = scaled.max(axis=1)
        np.exp(scaled - top[:, None], out=scaled)
        logs = top + np.log(scaled @ weights)
        return logs.mean() - n_features / 2 * (LOG_2PI + log_variance)

    grid = np.log(total * np.geomspace(NARROWEST, 1.0, 15))
    while grid[1] - grid[0] > 0.02 and len(squares):
        best = grid[np.argmax([score(v) for v in grid])]
        step = (grid[1] - grid[0]) / 2
        grid = np.clip(best + step * np.array([-1, 0, 1]), grid[0], grid[-1])
    return math.exp(grid[len(grid) // 2] / 2)

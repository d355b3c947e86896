"""The last step: the width that held-out rows ask for, and tails."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar

from skgmje._joint._pool import join_mixtures
from skgmje.gaussian import Mixture

# Widths are sought between the inverse of this and this.
WIDEST = 3.0
# Rows that a width of one is worth.
PRIOR_ROWS = 50
# Of the tails, in standard deviations of the row.
TAIL_WIDTH = 4.0


@dataclass(frozen=True)
class Calibration:
    r"""Components of another width, and tails.

    .. math:: (1 - \epsilon) \sum_k w_k N(y; m_k, s^2 V_k)
        + \epsilon\, N(y; m, 4^2 V)

    with the mean m and the variances V of the widened mixture. The tails keep a
    target that nobody expected from being impossible.

    Parameters
    ----------
    width : float, default=1.0
        Factor s of the components' standard deviations.

    tail : float, default=0.0
        Weight of the tails.
    """

    width: float = 1.0
    tail: float = 0.0

    def apply(self, mixture):
        """Return the calibrated mixtures.

        Parameters
        ----------
        mixture : Mixture
            One for each row, of type 'diag' or 'full'.

        Returns
        -------
        mixture : Mixture
            One for each row.
        """
        wider = _widen(mixture, self.width)
        if not self.tail:
            return wider
        parts = [(1 - self.tail, wider), (self.tail, _tail(wider))]
        return join_mixtures(parts, len(wider.means), wider.n_features)


def calibrate(mixture, Y, weight):
    """Choose the width by held-out likelihood.

    Parameters
    ----------
    mixture : Mixture
        Of each row by models that have not seen it.

    Y : ndarray of shape (n_samples, n_targets)
        Targets.

    weight : ndarray of shape (n_samples,)
        Weights of the rows.

    Returns
    -------
    calibration : Calibration
        Few rows leave the width closer to one, and the tails heavier.
    """
    n, share = len(Y), weight / weight.sum()

    def loss(log_width):
        log_prob = _widen(mixture, np.exp(log_width)).log_prob(Y)
        return -share @ np.maximum(log_prob, -1e9)

    top = np.log(WIDEST)
    found = minimize_scalar(loss, bounds=(-top, top), method="bounded")
    log_width = found.x if found.fun < loss(0.0) else 0.0
    width = float(np.exp(log_width * n / (n + PRIOR_ROWS)))
    return Calibration(width, 1 / (n + 1))


def _widen(mixture, width):
    return replace(mixture, covariances=mixture.covariances * width**2)


def _tail(mixture):
    """Return one broad Gaussian around each row's mean."""
    variance = np.diagonal(mixture.covariance, axis1=-2, axis2=-1)
    ones = np.ones((len(variance), 1))
    spread = TAIL_WIDTH**2 * variance[:, None]
    return Mixture(ones, mixture.mean[:, None], spread, "diag")

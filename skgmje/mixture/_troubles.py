"""What a fit says when it did not go well."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

# Frames between these functions and the user's call of fit.
_STACKLEVEL = 5


def describe_drop(loss_curve, max_iter, tol):
    """Say by how much the cost still fell at the end of a full run, if it did.

    Parameters
    ----------
    loss_curve : ndarray of shape (n_iter,)
        Loss before each step.

    max_iter : int
        Number of steps allowed; a shorter run ended at a plateau.

    tol : float
        A hundred times this is no fall, nor is less than the losses scatter.

    Returns
    -------
    trouble : str
        Empty if the run had settled.
    """
    if len(loss_curve) < max_iter:
        return ""
    quarter = -(-max_iter // 4)
    before, last = loss_curve[:-quarter], loss_curve[-quarter:]
    if not len(before):
        return f"max_iter={max_iter} steps are too few to tell. Increase max_iter."
    drop = np.mean(before[-quarter:]) - np.mean(last)
    if drop <= max(100 * tol, np.std(last)):
        return ""
    return (
        f"The cost fell by {drop:.3g} to {np.mean(last):.4g} in the last quarter of "
        f"max_iter={max_iter} steps. Increase max_iter or tol."
    )


def warn_of_troubles(name, troubles):
    """Warn once that estimator `name` did not converge, with all reasons."""
    troubles = [trouble for trouble in troubles if trouble]
    if troubles:
        warnings.warn(
            f"{name} did not converge. {' '.join(troubles)}",
            ConvergenceWarning,
            stacklevel=_STACKLEVEL,
        )


def warn_of_dead_gradient(estimator, n_pairs):
    """Warn if the cost of a fitted estimator saw few pairs of a row and a centre."""
    if estimator.pair_ess_ < 0.01 * n_pairs:
        warnings.warn(
            f"Only {estimator.pair_ess_:.3g} of {n_pairs} pairs of a row and a centre "
            f"count at bandwidth {estimator.bandwidth_:.3g}, so most rows have no "
            "gradient. Increase bandwidth, or use bandwidth='cell'.",
            UserWarning,
            stacklevel=_STACKLEVEL,
        )


def warn_of_no_density(estimator):
    """Warn if the variance that is reported belongs to no density."""
    if estimator.polish is None and estimator.cost in ("matrix-matrix", "svd"):
        warnings.warn(
            f"cost={estimator.cost!r} compares operators: its variance is not that of "
            "a density, and with polish=None likelihoods say little. Use "
            "polish='weights' or 'em', or cost='scalar'.",
            UserWarning,
            stacklevel=_STACKLEVEL,
        )

"""What is said of a fit that has not settled, with figures."""

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skgmje._warnings import warn

# scikit-learn's words, which others look for, too.
SETTLING = (
    "Best performing initialization did not converge. Try different init parameters, "
    "or increase max_iter, tol, or check for degenerate data."
)


def warn_about(
    result, n_components, tol, last_bound=None, size="n_components", advice=SETTLING
):
    """Say once, with figures, what a user should know of a fit."""
    problems = []
    # Without iterations the start itself is wanted.
    if not result.converged and result.n_iter:
        bounds = [last_bound, *result.lower_bounds]
        known = bounds[-2] is not None and np.isfinite(bounds[-2])
        gain = f"last gain {bounds[-1] - bounds[-2]:.2g} nats, " if known else ""
        problems.append(
            f"EM did not converge in {result.n_iter} iterations ({gain}tol={tol:g}). "
            f"{advice}"
        )
    dropped = n_components - result.mixture.n_components
    if dropped:
        problems.append(
            f"{dropped} of {n_components} components had no samples left and were "
            f"dropped; distinct samples may be too few. Lower {size}."
        )
    if result.reg_covar:
        problems.append(
            f"A covariance was singular: {result.reg_covar:.2g} was added to the "
            "diagonals. Set reg_covar='auto' or a larger number, increase shrinkage, "
            "or remove duplicated features and samples."
        )
    if problems:
        warn(" ".join(problems), ConvergenceWarning)


def unsettled(result, tol, remedy, what="EM"):
    """Say with figures that EM was not done after its last iteration, if it was not."""
    # Without iterations the start itself is wanted.
    if result.converged or not result.n_iter:
        return ""
    gains = np.diff(result.lower_bounds[-2:])
    gain = f"; the last gained {gains[0]:.2g} nats" if len(gains) else ""
    return (
        f"{what} ended after max_iter={result.n_iter} iterations (tol={tol:g}{gain}). "
        f"{remedy}"
    )

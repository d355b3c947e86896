"""What is done with the centres that a cost has placed."""

import numpy as np
from scipy.spatial.distance import cdist

from skgmje.adaptation import expectation_maximization, start_mixture, weights_only

# The M-steps of the polish; more would change the density little.
_MAX_ITER = 200


def polish_em(X, sample_weight, model, settings, estimator):
    """Fit means, weights and covariances by MAP-EM from the centres.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Standardised rows.

    sample_weight : ndarray of shape (n_samples,) or None
        Weights of the rows.

    model : Mixture
        The model that the cost has trained.

    settings : Selection
        Covariance type and shrinkage.

    estimator : KernelMixtureDensity
        Its `rank`, `reg_covar` and `tol` are read.

    Returns
    -------
    mixture : Mixture
        The density.

    trouble : str
        Why it is not converged; empty if it is.
    """
    shared = {
        "sample_weight": sample_weight,
        "shrinkage": settings.shrinkage,
        "reg_covar": estimator.reg_covar,
    }
    nearest = cdist(X, model.means, "sqeuclidean").argmin(axis=1)
    labels = np.unique(nearest, return_inverse=True)[1].ravel()
    kind, rank, tol = settings.covariance_type, estimator.rank, estimator.tol
    start = start_mixture(X, labels, kind, rank=rank, **shared)
    result = expectation_maximization(X, start, tol=tol, max_iter=_MAX_ITER, **shared)
    if result.converged:
        return result.mixture, ""
    gain = float(np.diff(result.lower_bounds[-2:]).sum())
    return result.mixture, (
        f"the polish still gained {gain:.2g} nats in iteration {result.n_iter} "
        f"(tol={tol:g})"
    )


def polish_weights(X, sample_weight, model, settings, estimator):
    """Fit the weights and one shared variance by likelihood; keep the centres.

    Parameters and results are those of :func:`polish_em`.
    """
    return weights_only(X, model.means, sample_weight=sample_weight), ""


def keep(X, sample_weight, model, settings, estimator):
    """Return the model as it stands.

    Parameters and results are those of :func:`polish_em`.
    """
    return model, ""


POLISHES = {"em": polish_em, "weights": polish_weights, None: keep}

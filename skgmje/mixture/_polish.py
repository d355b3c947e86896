"""What is done with the centres that a cost has placed."""

from typing import NamedTuple

import numpy as np

from skgmje.adaptation import (
    EMResult,
    expectation_maximization,
    start_mixture,
    weights_only,
)
from skgmje.gaussian import Mixture
from skgmje.mixture._bandwidth import nearest_centers

# The M-steps of the polish; more would change the density little.
_MAX_ITER = 200


class Polished(NamedTuple):
    """The density that a polish makes.

    Parameters
    ----------
    mixture : Mixture
        The density.

    n_parameters : int
        How many numbers it was free to choose; in the units of the data it may
        look as if there were more.

    trouble : str
        Why it is not converged, and what to do; empty if it is.
    """

    mixture: Mixture
    n_parameters: int
    trouble: str = ""


def polish_em(data, model, settings, estimator, task):
    """Fit means, weights and covariances by MAP-EM from the centres.

    Parameters
    ----------
    data : Data
        Standardised rows.

    model : Mixture
        The model that the cost has trained.

    settings : Selection
        Covariance type and shrinkage.

    estimator : KernelMixtureDensity
        Its `rank`, `reg_covar` and `tol` are read.

    task : FitTask
        After Ctrl-C there is one M-step, or no more than there have been.

    Returns
    -------
    polished : Polished
        The density.
    """
    kind, rank, tol = settings.covariance_type, estimator.rank, estimator.tol
    shared = {"shrinkage": settings.shrinkage, "reg_covar": estimator.reg_covar}
    nearest = nearest_centers(data.part, model.means)[0]
    labels = np.unique(nearest, return_inverse=True)[1].ravel()
    start = start_mixture(
        data.part, labels, kind, rank=rank, sample_weight=data.part_weight, **shared
    )
    result = task.learn(
        EMResult,
        expectation_maximization,
        data.X,
        start,
        tol=tol,
        max_iter=1 if task.when else _MAX_ITER,
        sample_weight=data.sample_weight,
        **shared,
    )
    trouble = ""
    if not result.converged:
        gain = float(np.diff(result.lower_bounds[-2:]).sum())
        trouble = (
            f"The polish still gained {gain:.2g} nats in iteration {result.n_iter} "
            f"(tol={tol:g}). Increase tol."
        )
    return Polished(result.mixture, result.mixture.n_parameters, trouble)


def polish_weights(data, model, settings, estimator, task):
    """Fit the weights and one shared variance by likelihood; keep the centres.

    Of very many rows a part is looked at. Parameters and results are those of
    :func:`polish_em`.
    """
    return _of_equal_spheres(
        weights_only(data.part, model.means, sample_weight=data.part_weight)
    )


def keep(data, model, settings, estimator, task):
    """Return the model as it stands.

    Parameters and results are those of :func:`polish_em`.
    """
    return _of_equal_spheres(model)


def _of_equal_spheres(mixture):
    # Weights that sum to one, means, and the one variance.
    return Polished(mixture, mixture.n_components - 1 + mixture.means.size + 1)


POLISHES = {"em": polish_em, "weights": polish_weights, None: keep}

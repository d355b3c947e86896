"""The refinement of a KernelMixtureDensity: what follows by likelihood."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skgmje.em import EMResult, expectation_maximization, start_mixture, weights_only
from skgmje.em._bandwidth import nearest_centers
from skgmje.em._covariance_models import count_parameters
from skgmje.gaussian import Mixture
from skgmje.mixture._gaussian_mixture import GaussianMixture, regularisation
from skgmje.mixture._refinement import refining_mixture
from skgmje.mixture._settled import unsettled


class Refined(NamedTuple):
    """The density that a refinement makes."""

    mixture: Mixture
    n_parameters: int
    complaint: str = ""


@dataclass(frozen=True)
class Refinement:
    """How a density is made of the centers, and the mixture whose settings EM has."""

    function: Any
    mixture: GaussianMixture
    fixed_means: bool = False

    def reg_covar(self, data):
        """Return what is added to the variances of the standardized samples."""
        return regularisation(self.mixture.reg_covar, data.part, data.part_weight)


def refine_by_em(refinement, data, model, settings, task):
    """Fit weights, covariances and, if they are free, means by MAP-EM."""
    em, kind = refinement.mixture, settings.covariance_type
    shared = {
        "shrinkage": settings.shrinkage,
        "shrinkage_target": em.shrinkage_target,
        "reg_covar": refinement.reg_covar(data),
    }
    labels, means = nearest_centers(data.part, model.means)[0], model.means
    if not refinement.fixed_means:
        labels, means = np.unique(labels, return_inverse=True)[1].ravel(), None
    first = {"rank": em.rank, "sample_weight": data.part_weight, "means": means}
    result = task.learn(
        EMResult,
        expectation_maximization,
        data.X,
        start_mixture(data.part, labels, kind, **first, **shared),
        annealing=em.annealing,
        fixed_means=refinement.fixed_means,
        tol=em.tol,
        max_iter=1 if task.when else em.max_iter,
        sample_weight=data.sample_weight,
        **shared,
    )
    remedy = "Increase tol, or max_iter of a mixture as refine."
    complaint = unsettled(result, em.tol, remedy, "The refinement")
    return Refined(result.mixture, result.mixture.n_parameters, complaint)


def refine_weights(refinement, data, model, settings, task):
    """Fit weights and one variance, that of samples left out; keep the centers."""
    params = {"sample_weight": data.part_weight, "left_out": True}
    return _of_equal_spheres(weights_only(data.part, model.means, **params))


def keep_model(refinement, data, model, settings, task):
    """Return the model as it stands."""
    return _of_equal_spheres(model)


def _of_equal_spheres(mixture):
    """Return a mixture of spheres that share one variance, and its parameters."""
    return Refined(mixture, count_parameters(mixture, "EII"))


# What the words stand for: a function, and whether EM holds the means.
REFINEMENTS = {
    "covariances": (refine_by_em, True),
    "em": (refine_by_em, False),
    "weights": (refine_weights, False),
    None: (keep_model, False),
}

# Their M-steps; more would change the density little.
_MAX_ITER = 200

# Added to the variances, which are near one.
_REG_COVAR = 1e-4


def read_refinement(estimator, X):
    """Return the checked refinement that an estimator asks for."""
    if isinstance(estimator.refine, GaussianMixture):
        mixture = refining_mixture(estimator)
        mixture.shrinkage = mixture._asked_shrinkage(X)
        return Refinement(refine_by_em, mixture)
    function, fixed_means = REFINEMENTS[estimator.refine]
    kind, shrinkage = "spherical", 2.0
    if function is refine_by_em:
        kind, shrinkage = estimator.covariance_type, estimator.shrinkage
    mixture = GaussianMixture(
        covariance_type=kind,
        shrinkage=shrinkage,
        reg_covar=_REG_COVAR,
        tol=estimator.tol,
        max_iter=_MAX_ITER,
    )
    return Refinement(function, mixture, fixed_means)

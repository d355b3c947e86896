"""Fast EM of diagonal mixtures."""

import numpy as np

from skgmje.em._em import SHRINKAGE_TARGETS
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._loops import Prior
from skgmje.gaussian._mixture import Mixture
from skgmje.gaussian._passes import assigned_stats, block_stats, m_step

# Beyond this size of a mean the raw moments of a pass lose digits.
PASS_LIMIT = 1e8


# Iterations over which the power of the densities rises to one, and the first one.
ANNEALING_ITERATIONS, FIRST_POWER = 20, 0.5


# Components of fewer rows are dropped.
LEAST_ROWS = 0.5


# Tenfold increases of the diagonal before a fit is given up.
MAX_REPAIRS = 4


def quick_mixture(
    X,
    labels,
    covariance_type="full",
    *,
    sample_weight=None,
    shrinkage=2.0,
    reg_covar=1e-5,
    annealed=False,
    tol=1e-3,
    max_iter=30,
):
    """Fit a mixture as :func:`expectation_maximization` does, from given labels."""
    center = np.average(X, axis=0, weights=sample_weight)
    added = np.full(X.shape[1], float(reg_covar))
    prior = Prior(float(shrinkage), SHRINKAGE_TARGETS["neighbors"], added)
    kernel = _unit_kernel(int(labels.max()) + 1, center, covariance_type)
    stats = assigned_stats(kernel, X, labels, sample_weight)
    previous = -np.inf
    for n_iter in range(max_iter):
        kernel = _maximised(kernel, stats, prior)
        power = 1.0
        if annealed and n_iter < ANNEALING_ITERATIONS:
            power = FIRST_POWER + (1 - FIRST_POWER) * n_iter / ANNEALING_ITERATIONS
        stats = block_stats(kernel, X, sample_weight, power)
        bound = stats.log_likelihood / stats.weight
        if power == 1.0 and abs(bound - previous) < tol:
            break
        previous = bound if power == 1.0 else -np.inf
    kernel = _maximised(kernel, stats, prior)
    weights = np.exp(kernel.log_weights)
    parts = weights / weights.sum(), kernel.means, kernel.covariances
    return Mixture(*parts, covariance_type)


def _unit_kernel(n_components, center, covariance_type):
    kernel_class = COVARIANCE_TYPES[covariance_type].loops
    weights = np.full(n_components, 1 / n_components)
    means = np.tile(center, (n_components, 1))
    unit = kernel_class.unit(n_components, len(center))
    return kernel_class(weights, means, unit, center, np.inf)


def _maximised(kernel, stats, prior):
    """Take the M-step and prepare the next pass."""
    least = min(LEAST_ROWS, float(stats.counts.max()))
    alive = stats.counts >= least
    if not alive.all():
        stats = stats._replace(
            counts=stats.counts[alive],
            means=stats.means[alive],
            scatter=tuple(part[alive] for part in stats.scatter),
        )
    for repair in range(MAX_REPAIRS + 1):
        raised = prior._replace(reg_covar=prior.reg_covar * 10**repair)
        weights, means, covariances = m_step(kernel, stats, raised)
        try:
            return type(kernel)(weights, means, covariances, kernel.center, PASS_LIMIT)
        except ValueError as error:
            reason = error
    raise reason

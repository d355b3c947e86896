"""EM from a known start, with the settings of a mixture that is a parameter."""

import numpy as np
from sklearn.base import clone

from skgmje._sklearn import validate_parameter_constraints
from skgmje.mixture._gaussian_mixture import GaussianMixture

# Settings of the covariances, which an estimator and its mixture both may have.
SHARED = ("covariance_type", "shrinkage", "reg_covar")

# What the steps of EM read of a mixture; the rest is of its start.
READ = {*SHARED, "shrinkage_target", "annealing", "rank", "tol", "max_iter"}


def check_read(mixture, reads, owner):
    """Raise if a mixture that is a parameter sets what is not read of it."""
    mixture._validate_params()
    default = GaussianMixture().get_params()
    # scikit-learn sets every random_state that there is.
    for name in sorted(set(default) - {*reads, "random_state"}):
        value = getattr(mixture, name)
        if not np.array_equal(value, default[name]):
            raise ValueError(
                f"{name}={value!r} of {mixture!r} has no effect: {owner} reads "
                f"{sorted(reads)} of it. Leave {name}={default[name]!r}."
            )


def refining_mixture(estimator):
    """Return the mixture whose settings the EM of an estimator has, checked."""
    mixture, name = estimator.refine, type(estimator).__name__
    if not isinstance(mixture, GaussianMixture):
        return GaussianMixture(**{key: getattr(estimator, key) for key in SHARED})
    mixture = clone(mixture)
    check_read(mixture, READ, f"EM of {name} begins at a known start, and")
    shared = [key for key in SHARED if hasattr(estimator, key)]
    settings = {key: getattr(mixture, key) for key in shared}
    constraints = {key: estimator._parameter_constraints[key] for key in shared}
    validate_parameter_constraints(constraints, settings, f"refine={mixture!r}, which")
    plain = type(estimator)().get_params(deep=False)
    for key, value in settings.items():
        own = getattr(estimator, key)
        if own not in (plain[key], value):
            raise ValueError(
                f"{key}={own!r} contradicts {key}={value!r} of refine={mixture!r}. Set "
                f"it in refine alone, and leave {key}={plain[key]!r}."
            )
    return mixture

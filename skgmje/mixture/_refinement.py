"""EM from a known start, with the settings of a mixture that is a parameter."""

import numpy as np

from skgmje._sklearn import validate_parameter_constraints
from skgmje.mixture._gaussian_mixture import GaussianMixture

# Settings of the covariances, which an estimator and its mixture both have.
SHARED = ("covariance_type", "shrinkage", "reg_covar")

# What is read of a mixture; the rest is of starts, but for the random_state, which
# scikit-learn sets wherever there is one.
_READ = {*SHARED, "shrinkage_target", "annealing", "tol", "max_iter", "random_state"}


def refining_mixture(estimator):
    """Return the mixture whose settings the EM of an estimator has, checked."""
    mixture = estimator.refine
    if not isinstance(mixture, GaussianMixture):
        return GaussianMixture(**{name: getattr(estimator, name) for name in SHARED})
    mixture._validate_params()
    settings = {name: getattr(mixture, name) for name in SHARED}
    own = estimator._parameter_constraints
    known = {name: own[name] for name in SHARED}
    validate_parameter_constraints(known, settings, f"refine={mixture!r}, which")
    defaults = GaussianMixture().get_params()
    for name in sorted(set(defaults) - _READ):
        if not np.array_equal(getattr(mixture, name), defaults[name]):
            raise ValueError(
                f"{name}={getattr(mixture, name)!r} of refine={mixture!r} has no "
                "effect: EM begins once, at a known start, of which the "
                f"{type(estimator).__name__} decides. Leave {name}={defaults[name]!r}."
            )
    plain = type(estimator)().get_params(deep=False)
    for name, value in settings.items():
        if getattr(estimator, name) not in (plain[name], value):
            raise ValueError(
                f"{name}={getattr(estimator, name)!r} contradicts {name}={value!r} of "
                f"refine={mixture!r}. Set it in refine alone."
            )
    return mixture

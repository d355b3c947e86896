"""Fitted estimators without a fit of their own."""

import numpy as np

from skgmje.gaussian import Mixture


class GivenParametersMixin:
    """Makes a fitted estimator of known parameters."""

    @classmethod
    def from_parameters(cls, weights, means, covariances, covariance_type="full"):
        """Return a fitted estimator with known parameters.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            Weights of the components.

        means : array-like of shape (n_components, n_features)
            Means of the components.

        covariances : array-like or tuple of array-like
            Covariances, in the shape that `covariance_type` has.

        covariance_type : str, default='full'
            Covariance type.

        Returns
        -------
        estimator : GaussianMixture
            Ready to score and sample.
        """
        is_pair = covariance_type == "low-rank"
        parts = covariances if is_pair else (covariances,)
        parts = tuple(np.asarray(part, np.float64) for part in parts)
        mixture = Mixture(
            np.asarray(weights, np.float64),
            np.asarray(means, np.float64),
            parts if is_pair else parts[0],
            covariance_type,
        )
        estimator = cls(mixture.n_components, covariance_type=covariance_type)
        if is_pair:
            estimator.rank = parts[0].shape[-1]
        estimator._set_mixture(mixture)
        estimator._asked = mixture.n_components, covariance_type
        estimator._weight_seen = 0.0
        estimator.n_features_in_ = mixture.n_features
        estimator.shrinkage_, estimator.converged_, estimator.n_iter_ = 0.0, True, 0
        estimator.lower_bound_, estimator.lower_bounds_ = -np.inf, []
        return estimator

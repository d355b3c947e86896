"""The automatic density of an imputer: several mixtures of one size, as one."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from skgmje.em._em import expectation_maximization
from skgmje.em._missing import missing_moments
from skgmje.em._select import N_COMPONENTS, kmeans_labels, select_mixture
from skgmje.em._start import start_mixture
from skgmje.gaussian._mixture import Mixture
from skgmje.mixture._gaussian_mixture import regularisation

# Averages of so many starts fill in better than the likeliest of them, and better than
# averages of several sizes.
N_STARTS = 4

# Samples that are drawn to learn from, if there are more.
MAX_SAMPLES = 10_000

# More components are worth their time in up to so many columns only; and one of fewer
# samples for each column scores well and fills in badly.
MOST_COMPONENTS, MANY_COLUMNS, ROWS_PER_COLUMN = 32, 24, 3

# Components are compared long before the last digits of their likelihood.
ROUGH = {"tol": 1e-2, "max_iter": 30}


class AutomaticMixture(BaseEstimator):
    """Mixtures of full, shrunken covariances from several starts, as one mixture."""

    def __init__(self, n_components="auto", n_starts=N_STARTS, random_state=None):
        self.n_components = n_components
        self.n_starts = n_starts
        self.random_state = random_state

    def fit(self, X, y=None, sample_weight=None):
        """Choose the number of components, and fit."""
        random_state = check_random_state(self.random_state)
        weight = sample_weight
        if len(X) > MAX_SAMPLES:
            rows = random_state.permutation(len(X))[:MAX_SAMPLES]
            X, weight = X[rows], None if weight is None else weight[rows]
        data = {"sample_weight": weight, "random_state": random_state}
        prior = {
            "shrinkage": float(X.shape[1]),
            "reg_covar": regularisation("auto", X, weight),
        }
        size = self.n_components
        if size == "auto":
            grid = [k for k in N_COMPONENTS if k <= most_components(*X.shape)]
            how = {"covariance_type": "full", "n_components_grid": grid, **ROUGH}
            size = select_mixture(X, **how, **prior, **data).n_components
        first = {"sample_weight": weight, "moments": missing_moments(X, weight)}
        fits = []
        for _ in range(self.n_starts if size > 1 else 1):
            labels = kmeans_labels(X, size, scale=True, **data)
            start = start_mixture(X, labels, "full", **first, **prior)
            fit = expectation_maximization(X, start, sample_weight=weight, **prior)
            fits.append(fit.mixture)
        self.n_components_ = size
        self.mixture_ = Mixture.mix(fits, np.full(len(fits), 1 / len(fits)))
        return self


def most_components(n_samples, n_features):
    """Return the largest number of components to try."""
    most = MOST_COMPONENTS * min(1.0, (MANY_COLUMNS / n_features) ** 2)
    return max(1.0, min(most, n_samples / (ROWS_PER_COLUMN * n_features)))

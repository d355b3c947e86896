"""Densities that take missing entries."""

import numpy as np

from skgmje.gaussian._checks import patterns


class IncompleteDataMixin:
    """Scores rows with NaN under their exact marginal, and fills them in.

    A row without any value has the marginal of nothing: a log-density of zero.
    """

    _missing = "marginal"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def impute(self, X):
        """Replace missing entries by their expectation given the others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples; NaN means missing. One without any value becomes the mean
            of the mixture.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            A copy without NaN.
        """
        X = self._check_predict(X).copy()
        mixture = self.mixture_
        for rows, observed in patterns(X):
            known = np.flatnonzero(observed)
            missing = np.flatnonzero(~observed)
            if not len(known):
                X[rows] = mixture.mean
            elif len(missing):
                given = mixture.condition(known, X[np.ix_(rows, known)])
                X[np.ix_(rows, missing)] = given.mean
        return X

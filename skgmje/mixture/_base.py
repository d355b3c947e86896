"""What every fitted density can answer."""

import numpy as np
from sklearn.base import DensityMixin
from sklearn.utils.validation import check_is_fitted

from skgmje._backend import as_generator
from skgmje._base import MixtureMixin, check_rows, check_weights

# Rows whose answers are computed at a time, beside the array that holds them all.
CHUNK_ROWS = 2**17


class MixtureDensityMixin(MixtureMixin, DensityMixin):
    """Prediction methods of an estimator that is one Gaussian mixture.

    A subclass that takes NaN as missing overrides ``_missing``.
    """

    _missing = "raise"

    def _check_predict(self, X):
        check_is_fitted(self)
        return check_rows(self, X, reset=False, allow_nan=self._missing == "marginal")

    def _count_parameters(self):
        return self.mixture_.n_parameters

    def _log_prob(self, rows):
        return self.mixture_.log_prob(rows, missing=self._missing)

    def _responsibilities(self, rows):
        return self.mixture_.responsibilities(rows, missing=self._missing)

    def _each_chunk(self, X, function, shape=(), dtype=None):
        """Check `X` and apply `function` to some rows at a time."""
        X = self._check_predict(X)
        out = np.empty((len(X), *shape), dtype or X.dtype)
        for start in range(0, len(X), CHUNK_ROWS):
            out[start : start + CHUNK_ROWS] = function(X[start : start + CHUNK_ROWS])
        return out

    def _total(self, X, weight=None):
        """Return the weighted sum of the log-densities of checked rows."""
        total = 0.0
        for start in range(0, len(X), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            log_prob = self._log_prob(X[rows])
            total += float(
                log_prob.sum() if weight is None else log_prob @ weight[rows]
            )
        return total

    def score_samples(self, X):
        """Compute the log-likelihood of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            Log-density of each sample, in nats, in the units of `X`.
        """
        return self._each_chunk(X, self._log_prob)

    def score(self, X, y=None, sample_weight=None):
        """Compute the mean log-likelihood of the samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        log_likelihood : float
            Weighted mean of :meth:`score_samples`, in nats.
        """
        X = self._check_predict(X)
        weight = check_weights(sample_weight, X)
        if weight is None:
            return self._total(X) / len(X)
        if not weight.all():
            # Zero times the -inf of a row far away would be NaN.
            X, weight = X[weight > 0], weight[weight > 0]
        return self._total(X, weight) / float(weight.sum(dtype=np.float64))

    def predict_proba(self, X):
        """Compute the responsibility of each component for each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        resp : ndarray of shape (n_samples, n_components)
            Posterior probability of each component; rows sum to one.
        """
        width = (len(self.weights_),) if hasattr(self, "weights_") else ()
        return self._each_chunk(X, self._responsibilities, width)

    def predict(self, X):
        """Find the most probable component of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Index of the component with the largest responsibility.
        """
        return self._each_chunk(
            X, lambda rows: self._responsibilities(rows).argmax(axis=1), dtype=np.intp
        )

    def sample(self, n_samples=1, random_state=None):
        """Draw samples from the fitted density.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples.

        random_state : int, RandomState instance, Generator or None, default=None
            Source of randomness; None means the ``random_state`` of the
            estimator, so that equal calls give equal samples if it is an int.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The samples, in no particular order.

        y : ndarray of shape (n_samples,)
            The component that each sample comes from.

        Raises
        ------
        ValueError
            If `n_samples` is below one.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"n_samples={n_samples} must be at least 1.")
        source = self.random_state if random_state is None else random_state
        return self.mixture_.sample(n_samples, as_generator(source))

    def bic(self, X):
        """Compute the Bayesian information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        bic : float
            ``-2 log L + p log n`` for p free parameters.
        """
        X = self._check_predict(X)
        return -2 * self._total(X) + self._count_parameters() * float(np.log(len(X)))

    def aic(self, X):
        """Compute the Akaike information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        aic : float
            ``-2 log L + 2 p`` for p free parameters.
        """
        X = self._check_predict(X)
        return -2 * self._total(X) + 2 * self._count_parameters()

    def marginal(self, indices):
        """Return the density of some of the features.

        Parameters
        ----------
        indices : array-like of int
            Features to keep, in the order wanted.

        Returns
        -------
        mixture : Mixture
            Density of ``X[:, indices]``.
        """
        return self.mixture_.marginal(indices)

    def condition(self, indices, values):
        """Return the density of the other features, given some.

        Parameters
        ----------
        indices : array-like of int
            Features that are known.

        values : array-like of shape (n_samples, n_indices) or (n_indices,)
            Their values.

        Returns
        -------
        mixture : Mixture
            Density of the remaining features, one for each row of `values`.
        """
        return self.mixture_.condition(indices, np.asarray(values, np.float64))

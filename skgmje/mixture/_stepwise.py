"""Densities that learn from a stream."""

import numpy as np

from skgmje._base import _fit_context
from skgmje._estimator import Change
from skgmje._kernels import Statistics
from skgmje._row_blocks import as_blocks
from skgmje.adaptation._e_step import statistics_pass
from skgmje.adaptation._em import make_prior, maximise
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.mixture._fitting import blend, fit_rows, regularisation


class StepwiseMixin:
    """Keeps the sufficient statistics of EM from one chunk to the next."""

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Update the mixture with a chunk of samples, by stepwise EM.

        A fitted mixture is the start; without one the first chunk is fitted as
        by :meth:`fit`, which also settles what is 'auto'. Chunks are mixed into
        the sufficient statistics; older ones fade slowly, so that a drifting
        stream is followed. A chunk that Ctrl-C interrupts is as if not given.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or Dask collection
            The chunk; NaN means missing. The first needs `n_components` rows,
            and a value of each feature, which later ones may lack. Of a Dask array or
            dataframe, each block is a chunk.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self : object
            The updated estimator.
        """
        blocks = as_blocks(X, sample_weight)
        if blocks is not None:
            for rows, weight in blocks:
                self.partial_fit(rows, sample_weight=weight)
            return self
        if not hasattr(self, "means_"):
            return self.fit(X, sample_weight=sample_weight)
        with Change(self):
            X, weight = fit_rows(self, X, sample_weight, reset=False)
            reg_covar = vars(self).get("_reg_covar")
            if reg_covar is None:
                reg_covar = regularisation(self.reg_covar, X, weight)
            kernel, fresh = statistics_pass(X, weight, reg_covar)(self.mixture_)
            old = vars(self).get("_stats") or self._implied_stats(kernel, reg_covar)
            stats = fresh if old is None else blend(kernel, old, fresh)
            prior = make_prior(
                self.n_features_in_, self.shrinkage_, self.shrinkage_target, reg_covar
            )
            mixture, _ = maximise(
                kernel, stats, prior, self.covariance_type_, drop=False
            )
            self._set_mixture(mixture)
            self._stats, self._reg_covar = stats, reg_covar
            self.n_iter_ += 1
            self.lower_bound_ = fresh.log_likelihood / fresh.weight
            self.lower_bounds_ = [*self.lower_bounds_, self.lower_bound_]
        return self

    def _implied_stats(self, kernel, reg_covar):
        """Return the statistics whose M-step is the fitted mixture, if it saw rows."""
        if not self._weight_seen:
            return None
        counts = self.weights_ * self._weight_seen
        dense = COVARIANCE_TYPES[self.covariance_type_].dense(
            self.covariances_, *self.means_.shape
        )
        scatter = (dense - np.diag(reg_covar)) * counts[:, None, None]
        return Statistics(
            counts, self.means_, kernel.pack(scatter), 0.0, self._weight_seen
        )

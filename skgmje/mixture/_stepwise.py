"""Densities that learn from a stream."""

from skgmje._base import _fit_context
from skgmje.adaptation._em import make_prior, maximise, statistics_pass
from skgmje.mixture._fitting import blend, regularisation


class StepwiseMixin:
    """Keeps the sufficient statistics of EM from one chunk to the next."""

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Update the mixture with a chunk of samples, by stepwise EM.

        The first chunk is fitted as by :meth:`fit`, which also settles what is
        'auto'. Later ones are mixed into the sufficient statistics; older chunks
        fade slowly, so that a drifting stream is followed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The chunk; NaN means missing. The first needs `n_components` rows.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self : object
            The updated estimator.
        """
        if not hasattr(self, "_stats"):
            self.fit(X, sample_weight=sample_weight)
            X, weight = self._check_fit(X, sample_weight, reset=False)
            self._reg_covar = regularisation(self.reg_covar, X, weight)
            _, self._stats = statistics_pass(X, weight)(self.mixture_)
            return self
        X, weight = self._check_fit(X, sample_weight, reset=False)
        kernel, fresh = statistics_pass(X, weight)(self.mixture_)
        self._stats = blend(kernel, self._stats, fresh)
        prior = make_prior(
            self.n_features_in_, self.shrinkage_, self.shrinkage_target, self._reg_covar
        )
        mixture, _ = maximise(
            kernel, self._stats, prior, self.covariance_type_, drop=False
        )
        self._set_mixture(mixture)
        self.n_iter_ += 1
        self.lower_bound_ = fresh.log_likelihood / fresh.weight
        self.lower_bounds_.append(self.lower_bound_)
        return self

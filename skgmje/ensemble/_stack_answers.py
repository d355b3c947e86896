"""What a fitted stack can answer."""

from numbers import Integral

import numpy as np
from scipy.special import logsumexp
from sklearn.utils.validation import check_is_fitted

from skgmje._backend import as_generator
from skgmje._base import check_rows, mean_score
from skgmje.ensemble._parts import MixturePart


class NoMixtureError(TypeError, AttributeError):
    """A density is not one mixture: to who looks for the attribute, it has none."""


class StackAnswersMixin:
    """Answers of an estimator that has members, weights and a stack of them."""

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
        check_is_fitted(self)
        X = check_rows(self, X, reset=False)
        return self._stack.log_prob(X).astype(X.dtype, copy=False)

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
        return mean_score(self.score_samples(X).astype(np.float64), sample_weight)

    def predict_proba(self, X):
        """Compute which members speak for each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_members)
            Share of each member in the density; rows sum to one.
        """
        check_is_fitted(self)
        X = check_rows(self, X, reset=False)
        rows = X.astype(np.float64, copy=False)
        known = [
            part.forward(rows) if isinstance(part, MixturePart) else None
            for part in self._stack.parts
        ]
        joint = np.empty((len(X), len(self.members_)))
        for m, (i, mixture) in enumerate(
            zip(self._groups, self._mixtures, strict=True)
        ):
            if mixture is None:
                joint[:, m] = self._stack.parts[i].log_prob(rows)
            else:
                Z, log_det = known[i]
                joint[:, m] = mixture.log_prob(Z) + log_det
        joint += np.log(self.weights_)
        # Where all densities are zero, weights are all that is known.
        joint[joint.max(axis=1) == -np.inf] = np.log(self.weights_)
        proba = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        return proba.astype(X.dtype, copy=False)

    def predict(self, X):
        """Find the member that gives each sample the largest share of its density.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        member : ndarray of shape (n_samples,)
            Index into :attr:`members_`.
        """
        return self.predict_proba(X).argmax(axis=1)

    def sample(self, n_samples=1, random_state=None):
        """Draw samples from the fitted density.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples.

        random_state : int, RandomState instance, Generator or None, default=None
            Source of randomness; None means the ``random_state`` of the estimator.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The samples, in no particular order.

        y : ndarray of shape (n_samples,)
            The coordinate system or estimator that each sample comes from: members
            in the same coordinates have one number.

        Raises
        ------
        TypeError
            If a member cannot sample with a seed.

        ValueError
            If `n_samples` is below one.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples={n_samples!r} must be a positive integer.")
        source = self.random_state if random_state is None else random_state
        return self._stack.sample(n_samples, as_generator(source))

    def marginal(self, indices):
        """Return the density of some of the columns.

        Parameters
        ----------
        indices : array-like of int
            Columns to keep, in the order wanted.

        Returns
        -------
        density : Mixture or StackedMixture
            Both have ``log_prob(X)`` and ``sample``.

        Raises
        ------
        TypeError
            If a member has no closed form: one in residual coordinates, or of yours
            that is no Gaussian mixture. Use :meth:`sample` then.
        """
        check_is_fitted(self)
        return self._stack.marginal(indices)

    def condition(self, indices, values):
        """Return the density of the other columns, given some.

        Parameters
        ----------
        indices : array-like of int
            Columns that are known.

        values : array-like of shape (n_samples, n_indices) or (n_indices,)
            Their values.

        Returns
        -------
        density : Mixture or StackedMixture
            Of the remaining columns, one for each row of `values`.

        Raises
        ------
        TypeError
            If a member has no closed form, see :meth:`marginal`.
        """
        check_is_fitted(self)
        return self._stack.condition(indices, values)

    @property
    def mixture_(self):
        """The stack as one mixture, if all members are in the same coordinates.

        Otherwise it is no Gaussian mixture, which raises TypeError.
        """
        check_is_fitted(self)
        try:
            return self._stack.as_mixture()
        except TypeError as error:
            raise NoMixtureError(*error.args) from error

"""What transformers with an exact Jacobian answer."""

from abc import ABC, abstractmethod

from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skgmje._base import check_rows


class CoordinatesMixin(OneToOneFeatureMixin, TransformerMixin, ABC):
    """A change of coordinates whose map and log-determinant come together.

    ``set_output`` changes only what the class that defines `transform` inherits
    it for.
    """

    @abstractmethod
    def _forward(self, X):
        """Return coordinates and log-determinants of checked rows."""

    def transform(self, X):
        """Return the coordinates of the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_features)
            Their coordinates.
        """
        check_is_fitted(self)
        return self._forward(check_rows(self, X, reset=False))[0]

    def log_det(self, X):
        r"""Compute the log-determinant of the Jacobian.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        log_det : ndarray of shape (n_samples,)
            :math:`\log |\det dz / dx|` of each row.
        """
        check_is_fitted(self)
        return self._forward(check_rows(self, X, reset=False))[1]

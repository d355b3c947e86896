"""What a density can be asked whose centres come from a network of noise."""

from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skgmje._backend import as_generator
from skgmje._base import Integral


def _draws_noise(estimator):
    if estimator.generator == "codes":
        raise AttributeError(
            "generator='codes' has one code per component and draws no others; "
            "sample_generator needs generator='noise' or an own network."
        )
    return True


class GeneratorMixin:
    """Draws centres from a network, and makes it anew from a file."""

    def _rebuild(self):
        """Make a network of what a file says of it."""
        super()._rebuild()
        if "generator_" in vars(self):
            from skgmje.mixture._placement import restore_network

            self.generator_ = restore_network(self)

    @available_if(_draws_noise)
    def sample_generator(self, n_samples=1, random_state=None):
        """Draw fresh centres from the trained network.

        Parameters
        ----------
        n_samples : int, default=1
            Number of centres.

        random_state : int, RandomState instance or None, default=None
            Source of the noise; None means the `random_state` of the estimator.

        Returns
        -------
        centers : ndarray of shape (n_samples, n_features)
            Outputs of the network for fresh noise, in the units of the data.

        Raises
        ------
        AttributeError
            With ``generator="codes"``.
        """
        from skgmje.mixture._placement import sample_network

        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples={n_samples!r} must be a positive integer.")
        source = self.random_state if random_state is None else random_state
        seed = int(as_generator(source).integers(2**31 - 1))
        centers = sample_network(self.generator_, n_samples, self.code_dim, seed)
        return centers * self._scale + self._loc

"""What a fitted kernel decoder can answer."""

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from skgmje._backend import as_generator, from_tensor
from skgmje.embedding._decoder_cost import kernel_terms
from skgmje.embedding._images import check_like_fit
from skgmje.gaussian import Mixture

# Entries of centres that exist at a time, and batches that are encoded together.
_CHUNK_ENTRIES = 2**22
_CHUNK_BATCHES = 32


class DecoderAnswers(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Codes of rows, centres of codes, samples and bounds, from two networks."""

    def _check_predict(self, X):
        """Return rows like those of fit, also of images."""
        check_is_fitted(self)
        # Older files know of no images.
        return check_like_fit(self, X, vars(self).get("_format"))

    def _as_given(self, rows):
        """Return rows, or images of single precision if fit saw images."""
        if vars(self).get("_format") is None:
            return rows
        return rows.reshape(len(rows), *self._axes).astype(np.float32, copy=False)

    def _check_codes(self, codes):
        check_is_fitted(self)
        codes = check_array(from_tensor(codes), dtype=[np.float64, np.float32])
        if codes.shape[1] != self.code_dim:
            raise ValueError(
                f"codes has {codes.shape[1]} columns, but codes of this "
                f"{type(self).__name__} have code_dim={self.code_dim}. Pass what "
                "transform returns."
            )
        return codes

    def _encode(self, X):
        """Return the codes of rows, float64."""
        from skgmje.embedding._encoder import embed
        from skgmje.modules._device import naming_batch_size

        most = _CHUNK_BATCHES * self.batch_size
        with naming_batch_size(self.batch_size):
            return embed(self.encoder_, X, self.device, self._units, max_rows=most)

    def _decode(self, codes):
        """Yield slices of codes, and their centres in units of standardised rows."""
        from skgmje.embedding._encoder import embed

        shape = self.n_centers, self.n_features_in_
        step = max(1, _CHUNK_ENTRIES // (shape[0] * shape[1]))
        for start in range(0, len(codes), step):
            part = slice(start, start + step)
            centers = embed(self.decoder_, codes[part], self.device)
            yield part, centers.reshape(-1, *shape)

    def _decode_to(self, codes, choose):
        """Return rows in their own units that `choose` makes of slice and centres."""
        parts = [choose(part, centers) for part, centers in self._decode(codes)]
        return np.concatenate(parts) * self._units.scale + self._units.loc

    def _mean(self, codes):
        return self._decode_to(codes, lambda part, centers: centers.mean(axis=1))

    def transform(self, X):
        """Encode rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, or images if fit saw images.

        Returns
        -------
        codes : ndarray of shape (n_samples, code_dim)
            Their codes; over the training rows each has about unit variance.
        """
        X = self._check_predict(X)
        return self._encode(X).astype(X.dtype, copy=False)

    def inverse_transform(self, X):
        """Decode codes to the means of their centres.

        Parameters
        ----------
        X : array-like of shape (n_samples, code_dim)
            Codes.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features)
            Means over the centres; images if fit saw images.
        """
        codes = self._check_codes(X)
        return self._as_given(self._mean(codes).astype(codes.dtype, copy=False))

    def decode(self, codes):
        """Return the density of rows, given each code.

        Parameters
        ----------
        codes : array-like of shape (n_samples, code_dim)
            Codes.

        Returns
        -------
        mixture : Mixture
            One for each code, of `n_centers` Gaussians of equal weights. Their
            variance is that of what is left of training rows at the nearest
            centre, `residual_variance_`, not that of the kernel.
        """
        codes = self._check_codes(codes).astype(np.float64, copy=False)
        loc, scale = self._units[:2]
        parts = [centers for _, centers in self._decode(codes)]
        means = np.concatenate(parts) * scale + loc
        weights = np.full(self.n_centers, 1 / self.n_centers)
        variance = self.residual_variance_ * np.square(scale)
        if self.standardize:
            variances = np.tile(variance, (self.n_centers, 1))
            return Mixture(weights, means, variances, "diag")
        variances = np.full(self.n_centers, variance)
        return Mixture(weights, means, variances, "spherical")

    def reconstruct(self, X):
        """Encode rows, and decode them to the nearest of their centres.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, or images if fit saw images.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features)
            With one centre what `inverse_transform` makes of the codes; with
            more, a choice that has seen the row. Images if fit saw images.
        """
        X = self._check_predict(X)

        def choose(part, centers):
            nearest = self._squares(X[part], centers).argmin(axis=1)
            return centers[np.arange(len(centers)), nearest]

        found = self._decode_to(self._encode(X), choose)
        return self._as_given(found.astype(X.dtype, copy=False))

    def _squares(self, X, centers):
        """Return squared distances of rows to standardised centres, (n, n_centers)."""
        rows = self._units.standardise(X)
        return np.square(centers - rows[:, None]).sum(axis=-1)

    def sample(self, n_samples=1, random_state=None):
        """Draw codes from their density, and one centre of each.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples.

        random_state : int, RandomState instance, Generator or None, default=None
            Source of randomness; None means the ``random_state`` of the
            estimator.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Centres, without the noise that ``decode(codes).sample()`` adds; images if
            fit saw images.

        component : ndarray of shape (n_samples,)
            The component of `latent_mixture_` that each code comes from.

        Raises
        ------
        ValueError
            If `n_samples` is below one.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"n_samples={n_samples} must be at least 1.")
        source = self.random_state if random_state is None else random_state
        generator = as_generator(source)
        codes, component = self.latent_mixture_.sample(n_samples, generator)
        center = generator.integers(self.n_centers, size=n_samples)

        def choose(part, centers):
            return centers[np.arange(len(centers)), center[part]]

        return self._as_given(self._decode_to(codes, choose)), component

    def bound_samples(self, X):
        r"""Compute the Schwarz bound of each row: how well its centres say it.

        .. math:: \log \frac{q(x | y)^2}{\langle q(\cdot|y), q(\cdot|y) \rangle},
            \qquad q(\cdot|y) = \frac1C \sum_c N(x'_c(y), v I)

        On average over the rows of a code y it is at most
        :math:`\log \langle p(\cdot|y), p(\cdot|y) \rangle`, whatever the centres
        and v: a bound of a density's norm, no log-density. Comparable between
        decoders of one `kernel`; of patches it is the mean over them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, or images if fit saw images.

        Returns
        -------
        bound : ndarray of shape (n_samples,)
            In nats.
        """
        X = self._check_predict(X)
        variance, n_patches = self._variance, self._patches.n_patches
        bound = np.empty(len(X))
        for part, centers in self._decode(self._encode(X)):
            rows = self._units.standardise(X[part])
            terms = kernel_terms(rows, centers, variance, self._patches)
            bound[part] = terms.log_ratio.mean(axis=1)
        n_features = self.n_features_in_
        heights = n_features / 2 * np.log(np.pi * variance / n_patches)
        scales = np.log(np.broadcast_to(self._units.scale, n_features)).sum()
        return bound - (heights + scales) / n_patches

    def score(self, X, y=None):
        """Compute minus the mean squared error of decoded codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, or images if fit saw images.

        y : None
            Not used.

        Returns
        -------
        score : float
            Minus the mean over rows and features, in squared units of `X`, of what
            :meth:`inverse_transform` leaves; higher is better.
        """
        X = self._check_predict(X)
        return -float(np.mean((self._mean(self._encode(X)) - X) ** 2))

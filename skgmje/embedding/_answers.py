"""What a fitted embedder can answer."""

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skgmje._backend import as_generator
from skgmje.embedding._images import check_like_fit
from skgmje.embedding._views import Pairs, check_target

# Rows whose mixtures exist at a time.
_CHUNK_ROWS = 4096


class EmbedderAnswers(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Embedding and prediction, from encoders and a density of embeddings.

    ``set_output`` changes only what the class that defines `transform` inherits
    it for.
    """

    @property
    def _image_formats(self):
        """What images both views are, or None; older files know of none."""
        return vars(self).get("_formats", (None, None))

    @property
    def _shapes(self):
        """Heights, widths and channels of both views' images, or None."""
        return tuple(known and known.shape for known in self._image_formats)

    def _encode(self, encoder, rows, view=0):
        """Return the embeddings of rows of a view, float64."""
        from skgmje.embedding._encoder import embed

        return embed(encoder, rows, self.device, self._units[view])

    def _draw_views(self, pairs, seed):
        """Return the embeddings of two views of each row."""
        from skgmje.embedding._training import embed_views

        return embed_views(self, pairs, seed)

    def _check_predict(self, X):
        """Return rows like those of fit."""
        check_is_fitted(self)
        return check_like_fit(self, X, self._image_formats[0])

    def _check_target(self, y):
        """Return rows like those of the target view in fit."""
        known = self._image_formats[1]
        n_targets = len(self._units[1].loc)
        if known is None:
            return check_target(y, n_targets)
        return known.checked(check_target(known.flatten(y, "y"), n_targets), "y")

    def _embed(self, X):
        """Return the context embeddings of rows, float64."""
        X = self._check_predict(X)
        return self._encode(self.encoder_, X)

    @property
    def _layer(self):
        """The network that `transform` evaluates, of standardised rows."""
        from skgmje.embedding._encoder import LAYERS, Beside

        layer = LAYERS[self.embedding_layer](self.encoder_)
        # Linear features of the row itself, if the fit was asked for them.
        directions = vars(self).get("_directions")
        return layer if directions is None else Beside(layer, directions)

    @property
    def _n_features_out(self):
        return self._encode(self._layer, np.zeros((1, self.n_features_in_))).shape[1]

    def transform(self, X):
        """Embed rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of the context view, or images.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_features_out)
            The layer that `embedding_layer` names; with `passthrough` linear
            features of the row beside it.
        """
        X = self._check_predict(X)
        return self._encode(self._layer, X).astype(X.dtype, copy=False)

    def transform_target(self, y, layer="output"):
        """Embed rows of the target view, to compare them with :meth:`predict`.

        Parameters
        ----------
        y : array-like of shape (n_samples, n_targets)
            Rows of the target view, or images; without ``views="pair"`` they have
            the features of `X`.

        layer : {'output', 'hidden', 'multi'}, default='output'
            Only those of 'output' compare with predictions; others may serve
            labels better.

        Returns
        -------
        Z : ndarray of shape (n_samples, embedding_dim)
            Their embeddings, or the other layer.

        Raises
        ------
        ValueError
            If there is no such layer.
        """
        check_is_fitted(self)
        from skgmje.embedding._encoder import LAYERS

        if layer not in LAYERS:
            raise ValueError(f"layer={layer!r} must be one of {list(LAYERS)}.")
        y = self._check_target(y)
        network = LAYERS[layer](self.target_encoder_)
        return self._encode(network, y, view=1).astype(y.dtype, copy=False)

    def predict_mixture(self, X):
        """Return the density of the target embedding, given each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of the context view.

        Returns
        -------
        mixture : Mixture
            One for each row, over ``embedding_dim`` features.
        """
        Z = self._embed(X)
        return self._density.predict_mixture(Z)

    def predict(self, X, return_std=False, return_cov=False):  # noqa: FBT002
        """Predict the target embedding: mean, and spread if wanted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of the context view.

        return_std : bool, default=False
            Whether to return standard deviations too.

        return_cov : bool, default=False
            Whether to return covariances too.

        Returns
        -------
        mean : ndarray of shape (n_samples, embedding_dim)
            Conditional means.

        std : ndarray of shape (n_samples, embedding_dim)
            Conditional standard deviations; only with `return_std`.

        cov : ndarray of shape (n_samples, embedding_dim, embedding_dim)
            Conditional covariances; only with `return_cov`.

        Raises
        ------
        ValueError
            If both standard deviations and covariances are wanted.
        """
        if return_std and return_cov:
            raise ValueError(
                "return_std=True and return_cov=True exclude each other. Standard "
                "deviations are the roots of the covariances' diagonals."
            )
        Z = self._embed(X)
        answers = []
        for start in range(0, len(Z), _CHUNK_ROWS):
            mixture = self._density.predict_mixture(Z[start : start + _CHUNK_ROWS])
            spread = mixture.covariance if return_std or return_cov else None
            if return_std:
                spread = np.sqrt(np.diagonal(spread, axis1=-2, axis2=-1))
            answers.append((mixture.mean, spread))
        means, spreads = zip(*answers, strict=True)
        if not (return_std or return_cov):
            return np.concatenate(means)
        return np.concatenate(means), np.concatenate(spreads)

    def score_samples(self, X, y=None):
        """Compute the log-density of the embeddings, never comparable between encoders.

        One Gaussian of all classes may give rows of no class more density than real
        ones: to find those take :class:`GMJEEmbedder` with several components, or a
        mixture of the embeddings.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of the context view.

        y : array-like of shape (n_samples, n_targets), default=None
            Rows of the target view. If given, the joint log-density of both
            embeddings is computed.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            In nats, in the units of the embedding.
        """
        z_context = self._embed(X)
        if y is None:
            return self._density.marginal.log_prob(z_context)
        check_consistent_length(X, y)
        return self._density.log_prob(z_context, self.transform_target(y))

    def score(self, X, y=None):
        """Estimate the mutual information of the two views of rows held out.

        As if the embeddings were Gaussian, with the moments of the training
        rows, so that what was learned by heart counts against it. Invertible
        linear maps of the embeddings change nothing: it compares encoders,
        losses and widths.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows that training has not seen.

        y : array-like of shape (n_samples, n_targets), default=None
            The target view with ``views="pair"``, else ignored.

        Returns
        -------
        information : float
            Mean pointwise mutual information, in nats; higher is better.
        """
        X = self._check_predict(X)
        if self._views.needs_y and y is not None:
            y = self._check_target(y)
        pairs = Pairs(self._views, *self._views.pairs(X, y), *self._units)
        views = self._draw_views(pairs, self._seed)
        return float(self._moments.information(*views).mean())

    def sample(self, n_samples=1, random_state=None):
        """Draw context embeddings from their density.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples.

        random_state : int, RandomState instance, Generator or None, default=None
            Source of randomness; None means the ``random_state`` of the
            estimator.

        Returns
        -------
        Z : ndarray of shape (n_samples, embedding_dim)
            The samples, in no particular order.

        component : ndarray of shape (n_samples,)
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
        return self._density.marginal.sample(n_samples, as_generator(source))

    @property
    def latent_mixture_(self):
        """Density of the context embedding, a :class:`skgmje.gaussian.Mixture`."""
        check_is_fitted(self)
        return self._density.marginal

"""The average of densities in several coordinates, as a value."""

import numpy as np
from scipy.special import logsumexp

from skgmje._backend import as_generator
from skgmje.ensemble._parts import MixturePart, pool


class StackedMixture:
    r"""Weighted average of densities in several coordinates.

    .. math:: p(x) = \sum_m a_m\, q_m(T_m(x))\, |\det T_m'(x)|

    where :math:`q_m` are Gaussian mixtures and :math:`T_m` are maps of columns. It
    is what the marginals and conditionals of
    :class:`StackingDensity` are where they are no Gaussian mixtures.

    Parameters
    ----------
    parts : list of Part
        The densities.

    log_weights : ndarray of shape (n_parts,) or (n_parts, n)
        Logarithms of their weights, or of those for each of n given rows.

    See Also
    --------
    StackingDensity : Makes them.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.ensemble import StackingDensity
    >>> X = np.exp(np.random.default_rng(0).normal(size=(300, 2)))
    >>> density = StackingDensity(spaces=("identity", "marginal"), random_state=0)
    >>> given = density.fit(X).condition([0], X[:2, :1])
    >>> given.log_prob(X[:2, 1:]).shape
    (2,)
    """

    def __init__(self, parts, log_weights):
        self.parts, self._log_weights = parts, log_weights

    @property
    def weights(self):
        """Weights of the parts, (n_parts,) or (n_parts, n)."""
        return np.exp(self._log_weights)

    def as_mixture(self):
        """Return the stack as one mixture.

        Returns
        -------
        mixture : Mixture
            If all parts are mixtures in the coordinates of the rows.

        Raises
        ------
        TypeError
            If they are not.
        """
        mixtures = [part.as_mixture() for part in self.parts]
        return mixtures[0] if len(mixtures) == 1 else pool(mixtures, self.weights)

    def log_prob(self, X):
        """Compute the log-density.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; of a conditional, row i goes with the i-th that was given.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            Log-densities, in nats.
        """
        X = np.asarray(X, np.float64)
        logs = [
            part.log_prob(X) + log_weight
            for part, log_weight in zip(self.parts, self._log_weights, strict=True)
        ]
        return logs[0] if len(logs) == 1 else logsumexp(logs, axis=0)

    def sample(self, n_samples=1, random_state=None):
        """Draw rows.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows, for each of those given.

        random_state : int, RandomState instance, Generator or None, default=None
            Source of randomness; None means fresh entropy.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features) or (n_samples, n, n_features)
            The rows, in no order.

        part : ndarray of shape (n_samples,) or (n_samples, n)
            The part that each comes from.
        """
        generator = as_generator(random_state)
        weights = self.weights / self.weights.sum(axis=0)
        if weights.ndim == 1:
            counts = generator.multinomial(n_samples, weights)
            rows = [
                part.sample(int(count), generator)
                for part, count in zip(self.parts, counts, strict=True)
                if count
            ]
            order = generator.permutation(n_samples)
            return np.concatenate(rows)[order], np.repeat(range(len(counts)), counts)[
                order
            ]
        levels = np.cumsum(weights, axis=0)[:-1, None]
        part = (generator.random((n_samples, weights.shape[1])) > levels).sum(axis=0)
        draws = np.stack([part.sample(n_samples, generator) for part in self.parts])
        return np.take_along_axis(draws, part[None, :, :, None], axis=0)[0], part

    def marginal(self, indices):
        """Return the density of some of the columns.

        Parameters
        ----------
        indices : array-like of int
            Columns to keep, in the order wanted.

        Returns
        -------
        density : Mixture or StackedMixture
            The former if there is no map.

        Raises
        ------
        TypeError
            If a part has no closed form.
        """
        indices = np.atleast_1d(indices)
        parts = [part.marginal(indices) for part in self.parts]
        return _simplest(parts, self._log_weights)

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
            Of the remaining columns in ascending order, one for each row.

        Raises
        ------
        TypeError
            If a part has no closed form.
        """
        indices = np.atleast_1d(indices)
        values = np.asarray(values, np.float64)
        rows = values.reshape(-1, len(indices))
        logs = np.stack([part.marginal(indices).log_prob(rows) for part in self.parts])
        # Rows that no part gives a density say nothing of the parts.
        logs = np.where(logs.max(axis=0) > -np.inf, logs, 0.0)
        logs = logs + np.reshape(self._log_weights, (-1, 1))
        logs = logs - logsumexp(logs, axis=0)
        parts = [part.condition(indices, rows) for part in self.parts]
        if values.ndim == 1 and len(parts) == 1 and parts[0].map_ is None:
            return self.parts[0].mixture.condition(indices, values)
        return _simplest(parts, logs)


def _simplest(parts, log_weights):
    """Return a mixture if nothing maps it."""
    if len(parts) == 1 and isinstance(parts[0], MixturePart) and parts[0].map_ is None:
        return parts[0].mixture
    return StackedMixture(parts, log_weights)

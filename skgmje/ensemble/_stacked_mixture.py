"""The average of densities in several coordinates, as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture

from skgmje._backend import as_generator, from_tensor
from skgmje._bridges import as_mixture
from skgmje._settings import settle
from skgmje._typing import ArrayLike, NDArray, RandomState
from skgmje.compose._bijections import LeftOut, bijection
from skgmje.compose._image_mass import draw, mixture_or_none
from skgmje.compose._marginal_gaussianizer import MarginalGaussianizer
from skgmje.compose._residual_coordinates import ResidualCoordinates
from skgmje.compose._transformed import TransformedDensity
from skgmje.compose._transformed_mixture import ClosedFormsMixin, TransformedMixture
from skgmje.gaussian._mixture import Mixture
from skgmje.mixture._base import MixtureDensityMixin

_LARGEST_SEED = 2**31 - 1


class MixturePart:
    """A Gaussian mixture, or one behind a map."""

    def __init__(self, density):
        # The map is None where there is nothing before the mixture.
        self.density, self.map_ = density, getattr(density, "map_", None)

    def forward(self, X):
        """Return coordinates and log-determinants."""
        X = np.asarray(X, np.float64)
        return (X, 0.0) if self.map_ is None else self.map_.forward(X)

    def log_prob(self, X):
        return self.density.log_prob(np.asarray(X, np.float64))

    def sample(self, n_samples, generator):
        return self.density.sample(n_samples, generator)[0]

    def as_mixture(self):
        if self.map_ is not None:
            raise TypeError(
                "The stack has members in coordinates of their own, so it is no "
                "Gaussian mixture. Compare it with others by Monte Carlo: "
                "skgmje.metrics.monte_carlo_kl, or fit it with spaces=('identity',)."
            )
        return self.density

    def marginal(self, indices):
        self._check_columns()
        return MixturePart(self.density.marginal(indices))

    def condition(self, indices, values):
        self._check_columns()
        return MixturePart(self.density.condition(indices, values))

    def _check_columns(self):
        if isinstance(self.map_, LeftOut):
            raise TypeError(
                "The stack has members in residual coordinates, which mix columns: "
                "marginals and conditionals have no closed form. Fit it with "
                "spaces=('identity', 'marginal'), or use samples: sample(n)."
            )


class EstimatorPart:
    """A fitted density estimator."""

    def __init__(self, estimator):
        self.estimator = estimator

    def log_prob(self, X):
        return np.asarray(self.estimator.score_samples(X), np.float64)

    def sample(self, n_samples, generator):
        seed = int(generator.integers(_LARGEST_SEED))
        return draw(self.estimator, n_samples, seed)[0]

    def as_mixture(self):
        mixture = mixture_or_none(self.estimator)
        if mixture is None:
            raise TypeError(
                f"The stack has the member {self.estimator!r}, which is no Gaussian "
                "mixture and has no closed forms. Use samples, sample(n), and compare "
                "by Monte Carlo: skgmje.metrics.monte_carlo_kl."
            )
        return mixture

    def _closed(self):
        """Return the part as a value that has closed forms."""
        if isinstance(self.estimator, TransformedDensity):
            return MixturePart(self.estimator.marginal(slice(None)))
        return MixturePart(self.as_mixture())

    def marginal(self, indices):
        return self._closed().marginal(indices)

    def condition(self, indices, values):
        return self._closed().condition(indices, values)


def pool(mixtures, weights):
    """Return the weighted average of mixtures as one."""
    mixture = Mixture.mix(mixtures, weights)
    return replace(mixture, weights=mixture.weights / mixture.weights.sum())


@settle
class StackedMixture(ClosedFormsMixin):
    r"""Weighted average of densities in several coordinates.

    .. math:: p(x) = \sum_m a_m\, q_m(T_m(x))\, |\det T_m'(x)|

    where :math:`q_m` are Gaussian mixtures and :math:`T_m` are maps of columns. It
    is what the marginals and conditionals of
    :class:`StackingDensity` are where they are no Gaussian mixtures.

    Parameters
    ----------
    parts : list of MixturePart and EstimatorPart
        The densities: mixtures, perhaps behind a map, and estimators of others.

    log_weights : ndarray of shape (n_parts,) or (n_parts, n)
        Logarithms of their weights, or of those for each of n given rows.

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

    def __init__(
        self, parts: list[MixturePart | EstimatorPart], log_weights: NDArray[Any]
    ) -> None:
        self.parts, self._log_weights = parts, log_weights

    @property
    def weights(self) -> NDArray[Any]:
        """Weights of the parts, (n_parts,) or (n_parts, n)."""
        return np.exp(self._log_weights)

    def as_mixture(self) -> Mixture:
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

    def log_prob(self, X: ArrayLike) -> NDArray[Any]:
        """Compute the log-density.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples; of a conditional, sample i goes with the i-th that was given.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            Log-densities, in nats.
        """
        X = from_tensor(X)
        logs = [
            part.log_prob(X) + log_weight
            for part, log_weight in zip(self.parts, self._log_weights, strict=True)
        ]
        return logs[0] if len(logs) == 1 else logsumexp(logs, axis=0)

    def sample(
        self, n_samples: int = 1, random_state: RandomState = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Draw rows.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples, for each of those given.

        random_state : int, RandomState instance, Generator or None, default=None
            Source of randomness; None means fresh entropy.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features) or (n_samples, n, n_features)
            The samples, in no order.

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
            part = np.repeat(range(len(counts)), counts)
            order = generator.permutation(n_samples)
            return np.concatenate(rows)[order], part[order]
        levels = np.cumsum(weights, axis=0)[:-1, None]
        part = (generator.random((n_samples, weights.shape[1])) > levels).sum(axis=0)
        draws = np.stack([part.sample(n_samples, generator) for part in self.parts])
        return np.take_along_axis(draws, part[None, :, :, None], axis=0)[0], part

    def marginal(
        self, indices: int | slice | str | Sequence[int]
    ) -> Mixture | TransformedMixture | StackedMixture:
        indices = np.atleast_1d(indices)
        parts = [part.marginal(indices) for part in self.parts]
        return _simplest(parts, self._log_weights)

    def condition(
        self, indices: int | slice | str | Sequence[int], values: ArrayLike
    ) -> Mixture | TransformedMixture | StackedMixture:
        indices = np.atleast_1d(indices)
        values = np.asarray(from_tensor(values), np.float64)
        rows = values.reshape(-1, len(indices))
        logs = np.stack([part.marginal(indices).log_prob(rows) for part in self.parts])
        # Rows that no part gives a density say nothing of the parts.
        logs = np.where(logs.max(axis=0) > -np.inf, logs, 0.0)
        logs = logs + np.reshape(self._log_weights, (-1, 1))
        logs = logs - logsumexp(logs, axis=0)
        parts = [part.condition(indices, rows) for part in self.parts]
        if values.ndim == 1 and len(parts) == 1 and parts[0].map_ is None:
            return self.parts[0].condition(indices, values).density
        return _simplest(parts, logs)


def _simplest(parts, log_weights):
    """Return a mixture if nothing maps it."""
    if len(parts) == 1 and isinstance(parts[0], MixturePart) and parts[0].map_ is None:
        return parts[0].density
    return StackedMixture(parts, log_weights)


_MAPS = (MarginalGaussianizer, ResidualCoordinates)


def group_members(members):
    """Number the coordinates that members are in, from 0."""
    keys = []
    for i, (_, member) in enumerate(members):
        mixture, map_ = _behind(member)
        keys.append(("alone", i) if mixture is None else ("map", id(map_)))
    known = list(dict.fromkeys(keys))
    return [known.index(key) for key in keys]


def stack_members(members, weights, groups):
    """Return the stack of fitted densities, a part for each group, and the mixtures."""
    mixtures, maps = zip(*(_behind(member) for _, member in members), strict=True)
    parts, shares = [], []
    for group in range(max(groups) + 1):
        own = [i for i, number in enumerate(groups) if number == group]
        first, share = own[0], weights[own]
        shares.append(share.sum())
        if mixtures[first] is None:
            parts.append(EstimatorPart(members[first][1]))
            continue
        density: Any = pool([mixtures[i] for i in own], share / share.sum())
        if maps[first] is not None:
            map_, n_features = bijection(maps[first]), density.n_features
            density = TransformedMixture(density, map_, n_features)
        parts.append(MixturePart(density))
    return StackedMixture(parts, np.log(shares)), mixtures


def _behind(member):
    """Return a member's mixture and the map before it; None for what it has not."""
    map_ = None
    if type(member) is TransformedDensity and isinstance(member.transformer_, _MAPS):
        map_, member = member.transformer_, member.density_
    if isinstance(member, MixtureDensityMixin):
        return member.mixture_, map_
    exact = isinstance(member, GaussianMixture)
    return (as_mixture(member), map_) if exact else (None, None)

"""The densities that a stack averages."""

from abc import ABC, abstractmethod

import numpy as np

from skgmje.compose._mass import draw, mixture_or_none
from skgmje.gaussian import COVARIANCE_TYPES, Mixture

_LARGEST_SEED = 2**31 - 1


class Part(ABC):
    """A density with the weight that it has in a stack."""

    @abstractmethod
    def log_prob(self, X):
        """Return log-densities of rows."""

    @abstractmethod
    def sample(self, n_samples, generator):
        """Return rows."""

    @abstractmethod
    def as_mixture(self):
        """Return the part as a Gaussian mixture of the rows as they are."""

    @abstractmethod
    def marginal(self, indices):
        """Return the part for some of the columns."""

    @abstractmethod
    def condition(self, indices, values):
        """Return the part for the other columns, given some."""


class MixturePart(Part):
    """A Gaussian mixture behind a map.

    Parameters
    ----------
    mixture : Mixture
        In the coordinates of the map, or one for each row of those given.

    map_ : transformer or None
        With ``_forward(X)``, ``inverse_transform(Z)``; None means none.
    """

    def __init__(self, mixture, map_=None):
        self.mixture, self.map_ = mixture, map_

    def forward(self, X):
        """Return coordinates and log-determinants."""
        return (X, 0.0) if self.map_ is None else self.map_._forward(X)

    def log_prob(self, X):
        Z, log_det = self.forward(X)
        return self.mixture.log_prob(Z) + log_det

    def sample(self, n_samples, generator):
        Z = self.mixture.sample(n_samples, generator)[0]
        if self.map_ is None:
            return Z
        rows = Z.reshape(-1, Z.shape[-1])
        return self.map_.inverse_transform(rows).reshape(Z.shape)

    def as_mixture(self):
        if self.map_ is not None:
            raise TypeError(
                f"The stack has members in the coordinates of {self.map_!r}, so it is "
                "no Gaussian mixture. Compare it with others by Monte Carlo: "
                "skgmje.metrics.monte_carlo_kl, or fit it with spaces=('identity',)."
            )
        return self.mixture

    def _columns(self, indices):
        if self.map_ is None:
            return None
        select = getattr(self.map_, "_select", None)
        if select is None:
            raise TypeError(
                "The stack has members in residual coordinates, which mix columns: "
                "marginals and conditionals have no closed form. Fit it with "
                "spaces=('identity', 'marginal'), or use samples: sample(n)."
            )
        return select(indices)

    def marginal(self, indices):
        return MixturePart(self.mixture.marginal(indices), self._columns(indices))

    def condition(self, indices, values):
        rest = np.setdiff1d(np.arange(self.mixture.n_features), indices)
        Z, _ = self.marginal(indices).forward(values)
        return MixturePart(self.mixture.condition(indices, Z), self._columns(rest))


class EstimatorPart(Part):
    """A fitted density estimator.

    Parameters
    ----------
    estimator : fitted estimator
        With ``score_samples``.
    """

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

    def marginal(self, indices):
        return MixturePart(self.as_mixture()).marginal(indices)

    def condition(self, indices, values):
        return MixturePart(self.as_mixture()).condition(indices, values)


def pool(mixtures, weights):
    """Return the weighted average of mixtures as one.

    Parameters
    ----------
    mixtures : list of Mixture
        In the same coordinates, full or diagonal.

    weights : sequence of float
        Their weights, summing to one.

    Returns
    -------
    mixture : Mixture
        With full covariances unless all are diagonal.
    """
    kinds = {mixture.covariance_type for mixture in mixtures}
    kind = kinds.pop() if kinds in ({"diag"}, {"spherical"}) else "full"
    covariances = [_as_kind(mixture, kind) for mixture in mixtures]
    shares = [w * mixture.weights for w, mixture in zip(weights, mixtures, strict=True)]
    shares = np.concatenate(shares)
    means = np.concatenate([mixture.means for mixture in mixtures])
    # The order in memory decides the last bit of sums; files keep this one.
    covariances = np.ascontiguousarray(np.concatenate(covariances))
    shares, means = shares / shares.sum(), np.ascontiguousarray(means)
    return Mixture(shares, means, covariances, kind)


def _as_kind(mixture, kind):
    if mixture.covariance_type == kind:
        return mixture.covariances
    dense = COVARIANCE_TYPES[mixture.covariance_type].dense
    shape = mixture.n_components, mixture.n_features
    full = dense(mixture.covariances, *shape)
    return np.broadcast_to(full, (*shape, mixture.n_features))

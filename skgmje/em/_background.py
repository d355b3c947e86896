"""A constant density over a box, beside a mixture: what belongs to no component."""

from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import expit

from skgmje._backend import as_generator
from skgmje.em._blocks import RowBlocks
from skgmje.gaussian._checks import check_single

# Samples among which neighbours are looked for, and how many neighbours.
MAX_NEIGHBORHOOD, N_NEAREST = 4096, 10

# Steps of EM that tell noise from the rest, and what is as good as zero there.
N_STEPS, TINY = 30, 1e-100

# Share of the samples that components have at least.
LEAST_LEFT = 1e-9

# Share of the background that a fit begins with, at least and at most.
SHARES = 0.01, 0.5


class Background(NamedTuple):
    """A constant density over the box between two corners, and its share."""

    low: Any
    high: Any
    share: float = SHARES[0]

    @classmethod
    def of(cls, X, reg_covar):
        """Return the background of the box around samples, or blocks of them."""
        if isinstance(X, RowBlocks):
            low, high = X.overview.smallest, X.overview.largest
        else:
            low, high = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
        low, high = low.astype(np.float64), high.astype(np.float64)
        # Along a constant feature it is as wide as components are, at least.
        more = np.maximum(np.sqrt(12 * reg_covar) - (high - low), 0.0) / 2
        low, high = low - more, high + more
        flat = np.flatnonzero(~(high > low))
        if len(flat):
            raise ValueError(
                f"background=True: column {flat[0]} of X is constant, so that the box "
                "has no volume. Drop it, or set reg_covar to a positive number."
            )
        return cls(low, high)

    def begin(self, X, weight, _, left):
        """Return it with the share that is left out of the samples of a start."""
        total = len(X) if weight is None else weight.sum()
        return self._replace(share=float(np.clip(1 - left.sum() / total, *SHARES)))

    def log_prob(self, X):
        """Return the log-density of samples (n,); of NaN that of the other features."""
        missing = np.isnan(X)
        logs = -(~missing @ np.log(self.high - self.low))
        inside = (missing | ((self.low <= X) & (self.high >= X))).all(axis=1)
        return np.where(inside, logs, -np.inf)


class BackgroundMixture(NamedTuple):
    """A mixture with its background, as far as estimators ask for it."""

    mixture: Any
    background: Any

    @property
    def n_parameters(self):
        """Number of free parameters: those of the mixture, and the share."""
        return self.mixture.n_parameters + 1

    def _parts(self, X, missing):
        """Return joint log-densities of mixture and background, (n,) each."""
        share = self.background.share
        with np.errstate(divide="ignore"):
            own = np.log1p(-share) + self.mixture.log_prob(X, missing=missing)
            return own, np.log(share) + self.background.log_prob(X)

    def log_prob(self, X, missing="raise"):
        """Return the log-density of samples, (n,)."""
        return np.logaddexp(*self._parts(X, missing))

    def foreground(self, X, missing="raise"):
        """Return log-densities, and how surely samples are of components, (n,) each."""
        own, other = self._parts(X, missing)
        total = np.logaddexp(own, other)
        # Far outside the box, where all densities are zero, there are components only.
        with np.errstate(invalid="ignore"):
            return total, np.where(total > -np.inf, np.exp(own - total), 1.0)

    def responsibilities(self, X, missing="raise"):
        """Return posterior weights of components, and last of the background."""
        own = self.foreground(X, missing)[1][:, None]
        resp = self.mixture.responsibilities(X, missing=missing)
        return np.hstack([own * resp, 1 - own])

    def sample(self, n_samples, random_state):
        """Draw samples, and their components: -1 of the background."""
        generator = as_generator(random_state)
        X, component = self.mixture.sample(n_samples, generator)
        other = generator.random(n_samples) < self.background.share
        box = generator.uniform(*self.background[:2], X.shape)
        return np.where(other[:, None], box, X), np.where(other, -1, component)


def background_stats(density, samples, e_step):
    """Return statistics of the samples, as far as they are no background."""
    check_single(density.mixture)
    weight = np.ones(len(samples.X)) if samples.weight is None else samples.weight
    log_prob, own = density.foreground(samples.X, "marginal")
    left = weight * own
    if not left.sum() > LEAST_LEFT * weight.sum():
        raise ValueError(
            "background=True: all samples are taken for background, so that no "
            "component is left. Set background=False, raise reg_covar, or rescale X."
        )
    stats = e_step(samples._replace(weight=left, background=None))
    return stats._replace(
        log_likelihood=float(weight @ log_prob), background=float(weight @ (1 - own))
    )


def without_noise(X, weight, random_state):
    """Return weights of samples by how surely they are no noise."""
    # By the distance to a near neighbour: its d-th power has a Gamma distribution of
    # one rate in the background, and of larger ones among components.
    mean, spread = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
    Z = np.where(np.isnan(X), 0.0, (X - mean) / np.where(spread > 0, spread, 1.0))
    weight = np.ones(len(X)) if weight is None else weight
    some = slice(None)
    if len(Z) > MAX_NEIGHBORHOOD:
        some = random_state.choice(len(Z), MAX_NEIGHBORHOOD, replace=False)
    k = min(N_NEAREST, len(Z[some]) - 1)
    if k == 0:
        return weight
    distance = cKDTree(Z[some]).query(Z, [k + 1])[0][:, 0]
    # Where most samples repeat others, distances say nothing of what is rare.
    if not np.median(distance) > 0:
        return weight
    volume = (distance / distance.max()) ** Z.shape[1]
    noise = (volume > np.median(volume)).astype(np.float64)
    # Only the ratios of weights count, and squares of their range are out of range.
    share = weight / weight.max()
    for _ in range(N_STEPS):
        parts = np.stack([1 - noise, noise])
        counts = np.maximum(parts @ share, TINY)
        rates = k * counts / np.maximum(parts @ (share * volume), TINY)
        log_odds = np.log(counts[1] / counts[0]) + k * np.log(rates[1] / rates[0])
        noise = expit(log_odds - volume * (rates[1] - rates[0]))
    left = weight * (1 - noise)
    return left if left.any() else weight

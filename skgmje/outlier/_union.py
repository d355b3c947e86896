"""The default density of the detector."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy.special import exprel

from skgmje._standardize import standardization
from skgmje.em._em import expectation_maximization
from skgmje.em._select import count_distinct, kmeans_labels
from skgmje.em._start import start_mixture
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._mixture import Mixture

# Further out, in standard deviations, the maps go on with the logarithm.
REACH = 20.0

# A column of fewer values is a code or a count: no power makes it normal.
FEW_VALUES = 20

# Powers are looked for among the first, and then next to the best of them.
_COARSE, _FINE = np.arange(-6.0, 9.0), np.linspace(-0.8, 0.8, 9)


class Coordinates(NamedTuple):
    """One smooth, increasing map of each column onto the whole line."""

    loc: Any
    scale: Any
    power: Any
    power_loc: Any
    power_scale: Any
    varies: Any

    @classmethod
    def fit(cls, X, weight, *, powers=True):
        """Return the maps under which the columns are most nearly normal."""
        X = X.astype(np.float64, copy=False)
        units = standardization(X, weight, per_feature=True)
        rounding = 10 * np.finfo(np.float64).eps * np.abs(X).max(axis=0)
        varies = np.ptp(X, axis=0) > rounding
        # Of a column that has no scale the geometric mean of the others'.
        typical = np.exp(np.log(units.scale[varies]).mean()) if varies.any() else 1.0
        scale = np.where(varies, units.scale, typical)
        ones = np.ones(len(scale))
        start = cls(units.loc, scale, ones, 0 * ones, ones, varies)
        distances = start._distances(X)
        power = ones
        if powers:
            many = np.array([len(np.unique(column)) >= FEW_VALUES for column in X.T])
            power = np.where(varies & many, _best_power(distances, weight), ones)
        loc, spread = _moments(_power(distances, power)[0], weight)
        return start._replace(
            power=power,
            power_loc=np.where(varies, loc, 0.0),
            power_scale=np.where(varies & (spread > 0), spread, 1.0),
        )

    def forward(self, X):
        """Return the images of samples, and the logarithms of all slopes, (n, d)."""
        Z, log_slope = _power(self._distances(X), self.power)
        Z = (Z - self.power_loc) / self.power_scale
        return Z, log_slope - np.log(self.scale * self.power_scale)

    def _distances(self, X):
        """Return the sign of t, log(1 + |t|) up to R, and log |t / R| beyond."""
        diff = X.astype(np.float64) - self.loc
        with np.errstate(divide="ignore", over="ignore"):
            excess = np.log(np.abs(diff)) - np.log(REACH * self.scale)
            near = np.log1p(np.minimum(np.abs(diff) / self.scale, REACH))
        return np.sign(diff), near, np.maximum(excess, 0.0)


def _power(distances, power):
    """Return z and the logarithm of its slope for the samples' distances."""
    sign, near, excess = distances
    exponent = np.where(sign < 0, 2 - power, power)
    log_slope = (exponent - 1) * near
    # Of (1 + t)^p = exp(p log(1 + t)), which is what log(1 + t) is kept for.
    Z = sign * (near * exprel(exponent * near) + REACH * np.exp(log_slope) * excess)
    return Z, log_slope - excess


def _moments(Z, weight):
    """Return weighted means and standard deviations, (d,) each."""
    mean = np.average(Z, axis=0, weights=weight)
    return mean, np.sqrt(np.average((Z - mean) ** 2, axis=0, weights=weight))


def _best_power(distances, weight):
    """Return the likeliest power of each column under a normal density."""
    best = np.zeros(distances[0].shape[1])
    for steps in (_COARSE, _FINE):
        gains = [_log_likelihood(distances, best + step, weight) for step in steps]
        best = best + steps[np.argmax(gains, axis=0)]
    return best


def _log_likelihood(distances, power, weight):
    """Return the mean log-likelihood of Gaussian powers, of each column."""
    Z, log_slope = _power(distances, power)
    _, spread = _moments(Z, weight)
    with np.errstate(divide="ignore"):
        return np.average(log_slope, axis=0, weights=weight) - np.log(spread)


# More components change little, and none is worth fewer distinct samples.
N_COMPONENTS = 32
ROWS_PER_COMPONENT = 20
N_FITS = 3

# Added to the variances; columns of few values need narrow components.
REG_COVAR = 1e-3

# EM ends early: the last digits of the likelihood find no outliers.
EM = {"tol": 1e-3, "max_iter": 30}

# Of more columns, powers of those with many ties would outvote all else, and there
# are fewer components, as the time allows that their matrices take.
MANY_COLUMNS = 64

# Of still more, many components with variances alone find more than few with matrices.
MOST_COLUMNS = 100

# Standard deviations that the broad component has at least.
LEAST_REACH = 3.0


class UnionDensity:
    """Several mixtures as one, over columns made nearly normal."""

    def __init__(self, coordinates, mixture):
        self.coordinates = coordinates
        self.mixture = mixture

    def __repr__(self):
        return f"UnionDensity({self.mixture!r})"

    def score_samples(self, X):
        """Compute the log-density of each sample, (n,)."""
        Z, log_slope = self.coordinates.forward(X)
        return self.mixture.log_prob(Z) + log_slope.sum(axis=1)


def fit_union(X, weight, max_samples, random_state):
    """Fit the default density."""
    if len(X) > max_samples:
        drawn = random_state.permutation(len(X))[:max_samples]
        X, weight = X[drawn], None if weight is None else weight[drawn]
    n_features = X.shape[1]
    coordinates = Coordinates.fit(X, weight, powers=n_features <= MANY_COLUMNS)
    Z, _ = coordinates.forward(X)
    prior = {
        "sample_weight": weight,
        "shrinkage": float(n_features),
        "reg_covar": np.where(coordinates.varies, REG_COVAR, 1.0),
    }
    size = count_distinct(Z, N_COMPONENTS * ROWS_PER_COMPONENT) // ROWS_PER_COMPONENT
    size = min(max(size, 1), N_COMPONENTS)
    kind = "full" if n_features <= MOST_COLUMNS else "diag"
    if kind == "full" and n_features > MANY_COLUMNS:
        size = min(size, int(N_COMPONENTS * (MANY_COLUMNS / n_features) ** 2))
    fits = []
    for _ in range(N_FITS if size > 1 else 1):
        labels = kmeans_labels(Z, size, sample_weight=weight, random_state=random_state)
        start = start_mixture(Z, labels, kind, **prior)
        fits.append(expectation_maximization(Z, start, **prior, **EM).mixture)
    mass = float(len(Z) if weight is None else weight.sum(dtype=np.float64))
    return UnionDensity(coordinates, _unite(fits, Z, mass))


def _unite(fits, Z, mass):
    """Return the mixture of several fits to samples of a total weight."""
    n_features = Z.shape[1]
    kind = fits[0].covariance_type
    reach = np.maximum(np.abs(Z).max(axis=0), LEAST_REACH)
    mixture = Mixture.mix(fits, np.full(len(fits), 1 / len(fits)))
    broad = reach**2
    if kind == "full":
        shape = mixture.n_components, n_features
        variances = COVARIANCE_TYPES[kind].diagonal(mixture.covariances, *shape)
        share = n_features / (mass + n_features)
        covariances = (1 - share) * mixture.covariances
        covariances += share * variances[:, None, :] * np.eye(n_features)
        mixture = replace(mixture, covariances=covariances)
        broad = np.diag(broad)
    broad = Mixture(np.ones(1), np.zeros((1, n_features)), broad[None], kind)
    return Mixture.mix([mixture, broad], np.array([mass, 1.0]) / (mass + 1))

"""Mixtures of Student's t: density, EM, and as Gaussians of many widths."""

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln
from scipy.stats import gamma

from skgmje._backend import as_generator, logsumexp
from skgmje.em._em import living_components, make_kernel, make_prior, maximise
from skgmje.em._missing import (
    PASS_LIMIT,
    completed,
    expected_stats,
    has_missing,
    own_overflow,
    row_mean,
)
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._mixture import Mixture
from skgmje.gaussian._passes import assigned_stats

# Degrees of freedom that are looked for; above, a Gaussian is hardly told apart.
DOF_RANGE = 0.5, 200.0

# Degrees of freedom that a fit begins with.
FIRST_DOF = 10.0

# Mass of either end of the widths that Gaussians are left without, and the step between
# their logarithms in standard deviations of what a sample tells of its width: the
# logarithm of the density is then right to 2e-5.
LEFT_OUT, STEP = 1e-9, 0.8


class Distances(NamedTuple):
    """What densities of samples, of which entries may be missing, are made of."""

    #: Squared Mahalanobis distances of what is observed, (K, n).
    squares: Any
    #: Minus half the log-determinants of its scale matrices, (K, 1) or (K, n).
    log_det: Any
    #: How many features that are, or (n,).
    n_features: Any


class Student(NamedTuple):
    """A mixture of t distributions: centers and scales of Gaussians, and dof (K,)."""

    mixture: Any
    dof: Any
    n_learned: int = 0

    @property
    def n_parameters(self):
        """Number of free parameters: those of the mixture, and learned degrees."""
        return self.mixture.n_parameters + self.n_learned

    def log_joint(self, distances):
        """Return ``log w_k t_k(x)`` of samples by their :class:`Distances`, (K, n)."""
        squares, log_det, d = distances
        with np.errstate(divide="ignore"):
            offset = np.log(self.mixture.weights)[:, None] + log_det
        offset = offset - 0.5 * d * np.log(np.pi)
        return offset + _log_radial(squares, self.dof[:, None], d)

    def distances(self, X, center=None):
        """Return the :class:`Distances` of samples; NaN means missing."""
        mixture, X = self.mixture, np.asarray(X, np.float64)
        if has_missing(X):
            return _observed_distances(mixture, X)
        center = mixture.mean if center is None else center
        kernel = make_kernel(mixture, center)
        with np.errstate(over="ignore"):
            squares = kernel.squared_distances(X.T - center[:, None])
        kind = COVARIANCE_TYPES[mixture.covariance_type]
        root = kind.precisions_cholesky(mixture.covariances)
        log_det = kind.log_det(root, X.shape[1])[:, None]
        return Distances(squares, log_det, X.shape[1])

    def log_prob(self, X, missing="raise"):
        """Return log-densities of samples, (n,)."""
        return logsumexp(self.log_joint(self.distances(X)), axis=0)

    def responsibilities(self, X, missing="raise"):
        """Return posterior weights of the components, (n, K)."""
        joint = self.log_joint(self.distances(X))
        total = logsumexp(joint, axis=0)
        with np.errstate(invalid="ignore"):
            resp = np.exp(joint - total).T
        far = ~np.isfinite(total)
        if far.any():
            resp[far] = self.mixture.responsibilities(X[far], missing=missing)
        return resp

    def sample(self, n_samples, random_state):
        """Draw samples, and their components."""
        generator = as_generator(random_state)
        X, component = self.mixture.sample(n_samples, generator)
        dof = self.dof[component]
        width = np.sqrt(dof / (2 * generator.standard_gamma(dof / 2)))
        means = self.mixture.means[component]
        return means + width[:, None] * (X - means), component

    def as_gaussians(self):
        """Return it as a Gaussian mixture, of many widths of each component."""
        mixture, kind = self.mixture, COVARIANCE_TYPES[self.mixture.covariance_type]
        parts, weights = [], []
        for k in range(mixture.n_components):
            covariances = kind.select(mixture.covariances, [k])
            shares, widths = _widths(self.dof[k], mixture.n_features)
            for width in widths:
                name, scaled = kind.scale(covariances, width)
                parts.append(Mixture([1.0], mixture.means[k : k + 1], scaled, name))
            weights.append(mixture.weights[k] * shares)
        return Mixture.mix(parts, np.concatenate(weights))


@own_overflow
def _observed_distances(mixture, X):
    """Return the :class:`Distances` of samples with missing entries."""
    squares, log_det = np.empty((2, mixture.n_components, len(X)))
    for part in completed(mixture, X):
        squares[:, part.rows] = part.squares.T
        log_det[:, part.rows] = -0.5 * part.log_det[part.pattern].T
    # The parameters are finite, so NaN is an overflow.
    squares[np.isnan(squares)] = np.inf
    return Distances(squares, log_det, (~np.isnan(X)).sum(axis=1))


def _log_radial(squares, dof, d):
    """Return what of ``log t`` depends on distance and degrees of freedom."""
    norm = gammaln((dof + d) / 2) - gammaln(dof / 2) - 0.5 * d * np.log(dof)
    return norm - (dof + d) / 2 * np.log1p(squares / dof)


def _widths(dof, n_features):
    """Return shares and widths of Gaussians that are together a t distribution."""
    scale = 2 / dof
    ends = gamma.ppf([LEFT_OUT, 1 - LEFT_OUT], dof / 2, scale=scale)
    low, high = np.log(np.maximum(ends, 1e-100))
    step = STEP * np.sqrt(2 / (dof + n_features))
    logs = np.linspace(low, high, int(np.ceil((high - low) / step)) + 1)
    shares = np.exp(gamma.logpdf(np.exp(logs), dof / 2, scale=scale) + logs)
    return shares / shares.sum(), np.exp(-logs / 2)


class StudentFit(NamedTuple):
    """What EM of a mixture of t distributions has found."""

    density: Student
    lower_bounds: list
    converged: bool
    reg_covar: float

    @property
    def mixture(self):
        """Centers and scales of the components, as Gaussians."""
        return self.density.mixture

    @property
    def n_iter(self):
        """Number of iterations."""
        return len(self.lower_bounds)


def fit_student(
    X, weight, start, learns, *, shrinkage, reg_covar, tol, max_iter, callback=None
):
    """Fit a mixture of t distributions by EM from a :class:`Student`."""
    kind, center = start.mixture.covariance_type, row_mean(X, weight)
    prior = make_prior(X.shape[1], shrinkage, "pooled", reg_covar)
    weight = np.ones(len(X)) if weight is None else weight
    lacks = has_missing(X)
    density, bounds, converged, added = start, [], False, 0.0
    for n_iter in range(1, max_iter + 1):
        seen = density.distances(X, center)
        resp, bound = _shares(density, seen, weight)
        if learns is not None:
            density = density._replace(dof=learns(seen.squares, resp, seen.n_features))
            resp, bound = _shares(density, seen, weight)
        bounds.append(bound)
        # Weights of far samples are small; the scale of all of them is free.
        dof = density.dof[:, None]
        pulled = resp * (dof + seen.n_features) / (dof + seen.squares)
        kernel = make_kernel(density.mixture, center, -1.0 if lacks else PASS_LIMIT)
        if lacks:
            # The scale of what is missing, given its u, is divided by u: times u it is
            # counted by responsibilities alone.
            stats = expected_stats(kernel, density.mixture, X, pulled, resp, reg_covar)
        else:
            stats = assigned_stats(kernel, X, pulled.T)
        stats = stats._replace(weight=float(stats.counts.sum()))
        kernel, added = maximise(kernel, stats, prior, kind, extra=added)
        alive = living_components(stats)
        counts = resp.sum(axis=1)[alive]
        parts = counts / counts.sum(), kernel.means, kernel.covariances, kind
        density = density._replace(mixture=Mixture(*parts), dof=density.dof[alive])
        stop = callback and callback(n_iter)
        converged = n_iter > 1 and abs(bounds[-1] - bounds[-2]) < tol
        if converged or stop:
            break
    return StudentFit(density, bounds, bool(converged), added)


def _shares(density, distances, weight):
    """Return weighted responsibilities (K, n), and the mean log-likelihood."""
    joint = density.log_joint(distances)
    total = logsumexp(joint, axis=0)
    return np.exp(joint - total) * weight, float(weight @ total / weight.sum())


def one_dof(squares, resp, n_features):
    """Return the likeliest degrees of freedom of all components together, (K,)."""
    return np.full(len(squares), _likeliest_dof(squares, resp, n_features))


def each_dof(squares, resp, n_features):
    """Return the likeliest degrees of freedom of each component, (K,)."""
    pairs = zip(squares, resp, strict=True)
    return np.array([_likeliest_dof(*pair, n_features) for pair in pairs])


def _likeliest_dof(squares, resp, n_features):
    """Return the degrees of freedom that maximise a likelihood."""

    def loss(log_dof):
        return -(resp * _log_radial(squares, np.exp(log_dof), n_features)).sum()

    bounds = tuple(np.log(DOF_RANGE))
    found = minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


LEARNED_DOF = {"shared": one_dof, "each": each_dof}

"""Diagonal and spherical covariances, and their loops."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from skgmje._backend import LOG_2PI, eye_like, namespace, transpose
from skgmje.gaussian._covariance_type import (
    CovarianceType,
    Kernel,
    as_pairs,
    check_positive,
    collapse,
    flatten_pairs,
    take_components,
)


class VarianceKernel(Kernel):
    """What the loops of diagonal and spherical covariances have in common."""

    on_device = True
    per_component = True

    @property
    def n_first(self):
        return self.n_forms

    def _direct(self, columns, joint, work):
        scales = np.broadcast_to(self._inverse_std, self.means.shape)
        for k, diff in self.differences(columns, joint, work):
            diff *= scales[k][:, None]
            self._from_white(k, diff, joint[k])

    def _direct_moments(self, columns, resp, work, components):
        sums = np.empty((len(components), self.n_features))
        scatter = np.empty_like(sums)
        for i, (k, diff) in enumerate(self.differences(columns, components, work)):
            sums[i] = diff @ resp[k]
            np.multiply(diff, diff, out=diff)
            scatter[i] = diff @ resp[k]
        return sums, (scatter,)


class DiagKernel(VarianceKernel):
    """Hot loops of ``covariance_type='diag'``: linear in ``[1, x, x^2]``."""

    @property
    def n_forms(self):
        return 2 * self.n_features + 1

    def _prepare(self, limit):
        variances = check_positive(self.covariances)
        log_det = np.log(variances).sum(axis=1)
        self._normalise(self.log_weights - 0.5 * (log_det + self.n_features * LOG_2PI))
        self._inverse_std = variances**-0.5
        means = self.centered
        squares = ((means * self._inverse_std) ** 2).sum(axis=1)
        constant = (self._log_norm - 0.5 * squares)[:, None]
        parts = means / variances, constant, -0.5 / variances
        self.theta = np.concatenate(parts, axis=1)
        return squares <= limit

    def fill(self, block):
        d = self.n_features
        block[d] = 1.0
        np.multiply(block[:d], block[:d], out=block[d + 1 :])

    def rows_features(self, xp, X):
        return xp.concat([X, xp.ones_like(X[:, :1]), X * X], axis=1)

    def outer(self, delta, coefficients):
        return (coefficients[:, None] * delta**2,)

    def pack(self, matrices):
        return (np.diagonal(matrices, axis1=1, axis2=2),)

    @staticmethod
    def diagonal(scatter, n_features):
        return scatter[0]

    @staticmethod
    def unit(n_components, n_features):
        return np.ones((n_components, n_features))

    def estimate(self, stats, prior):
        return self.shrunk(stats.scatter[0], stats, prior) + prior.reg_covar


class SphericalKernel(VarianceKernel):
    """Hot loops of ``covariance_type='spherical'``: linear in ``[1, x, |x|^2]``."""

    @property
    def n_forms(self):
        return self.n_features + 2

    def _prepare(self, limit):
        variances = check_positive(self.covariances)[:, None]
        log_det = self.n_features * (np.log(variances[:, 0]) + LOG_2PI)
        self._normalise(self.log_weights - 0.5 * log_det)
        self._inverse_std = variances**-0.5
        squares = (self.centered**2).sum(axis=1) / variances[:, 0]
        constant = self._log_norm - 0.5 * squares
        self.theta = np.column_stack(
            [self.centered / variances, constant, -0.5 / variances]
        )
        return squares <= limit

    def fill(self, block):
        columns = block[: self.n_features]
        block[-2] = 1.0
        np.einsum("ij,ij->j", columns, columns, out=block[-1])

    def _direct_moments(self, columns, resp, work, components):
        sums, (scatter,) = super()._direct_moments(columns, resp, work, components)
        return sums, (scatter.sum(axis=1),)

    def rows_features(self, xp, X):
        squares = xp.sum(X * X, axis=1, keepdims=True)
        return xp.concat([X, xp.ones_like(X[:, :1]), squares], axis=1)

    def split(self, totals):
        return totals[:, :-2], (totals[:, -1],)

    def outer(self, delta, coefficients):
        return (coefficients * (delta**2).sum(axis=1),)

    def pack(self, matrices):
        return (np.trace(matrices, axis1=1, axis2=2),)

    @staticmethod
    def diagonal(scatter, n_features):
        return np.full(n_features, scatter[0] / n_features)

    @staticmethod
    def added(reg_covar):
        return np.full(len(reg_covar), reg_covar.mean())

    @staticmethod
    def unit(n_components, n_features):
        return np.ones(n_components)

    def estimate(self, stats, prior):
        scatter = stats.scatter[0] / self.n_features
        return self.shrunk(scatter, stats, prior) + prior.reg_covar.mean()


class Variances(CovarianceType):
    """What diagonal and spherical covariances have in common."""

    independent = True
    shrinkages = (2.0,)

    #: Axes of the covariances behind the leading ones.
    n_core: ClassVar[int]

    @abstractmethod
    def spread(self, values):
        """Return values of components so that they broadcast over the features."""

    def dense(self, covariances, n_components, n_features):
        return as_matrices(self.diagonal(covariances, n_components, n_features))

    def pooled(self, covariances, weights, n_features):
        variances = self.diagonal(covariances, weights.shape[-1], n_features)
        return as_matrices((weights[..., None, :] @ variances)[..., 0, :])

    def precisions_cholesky(self, covariances):
        return collapse(covariances, self.n_core) ** -0.5

    def square(self, precisions_cholesky):
        return precisions_cholesky**2

    def precisions(self, covariances):
        return 1.0 / covariances

    def whiten(self, diff, precisions_cholesky):
        return diff * self.spread(precisions_cholesky)

    def solve(self, diff, precisions_cholesky):
        return diff * self.spread(precisions_cholesky) ** 2

    def root(self, covariances):
        return covariances**0.5

    def noise(self, root, component, normals):
        return self.spread(take_components(root, component)) * normals

    def conditional(self, covariances, given, rest, diff):
        return 0.0, self.marginal(covariances, rest)

    def pair_sum(self, first, second):
        first, second = as_pairs(first, second, self.n_core)
        return first + second

    def product(self, first, second, diff):
        first, second = as_pairs(first, second, self.n_core)
        share = first / (first + second)
        return self.spread(share) * diff, flatten_pairs(share * second, self.n_core - 1)

    def parameter_shapes(self, shape):
        return shape, None

    def from_parameters(self, scales, lower):
        return scales**2

    def parameters(self, precisions_cholesky):
        return 1 / precisions_cholesky, None


class Diag(Variances):
    """Each component has its own variances, shape (..., K, d)."""

    name = sklearn_name = "diag"
    loops = DiagKernel
    wider = ("low-rank", "full")
    auto_from = 0
    place = 0
    n_core = 2

    def shape(self, n_components, n_features, rank=1):
        return (n_components, n_features)

    def convert(self, kind, covariances, n_components, n_features):
        return kind.diagonal(covariances, n_components, n_features)

    def spread(self, values):
        return values

    def diagonal(self, covariances, n_components, n_features):
        return covariances

    def log_det(self, precisions_cholesky, n_features):
        xp = namespace(precisions_cholesky)
        return xp.sum(xp.log(precisions_cholesky), axis=-1)

    def select(self, covariances, components):
        return covariances[..., components, :]

    def marginal(self, covariances, indices):
        return covariances[..., indices]

    def stretch(self, covariances, factors):
        return self.name, covariances * factors**2

    def transform(self, covariances, matrix):
        scaled = matrix * covariances[..., None, :]
        return "full", scaled @ transpose(matrix)


class Spherical(Variances):
    """Each component has one variance, shape (..., K)."""

    name = sklearn_name = "spherical"
    loops = SphericalKernel
    wider = ("diag", "low-rank", "full")
    # Very few held-out samples often prefer equal scales by chance.
    auto_from = 10
    place = 1
    n_core = 1

    def shape(self, n_components, n_features, rank=1):
        return (n_components,)

    def convert(self, kind, covariances, n_components, n_features):
        variances = kind.diagonal(covariances, n_components, n_features)
        return namespace(variances).mean(variances, axis=-1)

    def spread(self, values):
        return values[..., None]

    def diagonal(self, covariances, n_components, n_features):
        xp = namespace(covariances)
        shape = (*covariances.shape, n_features)
        return xp.broadcast_to(covariances[..., None], shape)

    def log_det(self, precisions_cholesky, n_features):
        return n_features * namespace(precisions_cholesky).log(precisions_cholesky)

    def select(self, covariances, components):
        return covariances[..., components]

    def marginal(self, covariances, indices):
        return covariances

    def stretch(self, covariances, factors):
        return "diag", covariances[..., None] * factors**2

    def transform(self, covariances, matrix):
        square = matrix @ transpose(matrix)
        return "full", covariances[..., None, None] * square


def as_matrices(variances):
    """Return diagonal matrices, shape (..., d, d)."""
    return variances[..., None] * eye_like(variances)

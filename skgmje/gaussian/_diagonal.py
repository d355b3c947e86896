"""Diagonal and spherical covariances, and their loops."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from skgmje._backend import LOG_2PI, eye_like, namespace
from skgmje._typing import Array
from skgmje.gaussian._covariance_type import (
    CovarianceType,
    Kernel,
    buffer,
    check_positive,
    collapse,
    flatten_pairs,
    take_components,
)


class DiagKernel(Kernel):
    """Hot loops of ``covariance_type='diag'``: linear in ``[1, x, x^2]``."""

    on_device = True
    per_component = True

    @property
    def n_forms(self):
        return 2 * self.n_features + 1

    n_first = n_forms

    def _prepare(self, limit):
        variances = check_positive(self.covariances)
        log_det = np.log(variances).sum(axis=1)
        self._normalise(self.log_weights - 0.5 * (log_det + self.n_features * LOG_2PI))
        self._inverse_std = variances**-0.5
        means = self.means - self.center
        squares = ((means * self._inverse_std) ** 2).sum(axis=1)
        self.theta = np.column_stack(
            [means / variances, self._log_norm - 0.5 * squares, -0.5 / variances]
        )
        return squares <= limit

    def fill(self, block):
        d = self.n_features
        block[d] = 1.0
        np.multiply(block[:d], block[:d], out=block[d + 1 :])

    def _direct(self, columns, joint, work):
        scales = np.broadcast_to(self._inverse_std, self.means.shape)
        _scaled_squares(self, columns, joint, scales, work)

    def _direct_moments(self, columns, resp, work, components):
        sums, scatter = _moments_about_means(self, columns, resp, work, components)
        return sums, (scatter,)

    def rows_features(self, xp, X):
        """Return the features of centered rows of any array library."""
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
        scatter = stats.scatter[0]
        pool = scatter.sum(axis=0) / stats.weight
        target = prior.target(scatter, stats.counts, stats.means, pool)
        count = (stats.counts + prior.shrinkage)[:, None]
        return (scatter + prior.shrinkage * target) / count + prior.reg_covar


class SphericalKernel(Kernel):
    """Hot loops of ``covariance_type='spherical'``: linear in ``[1, x, |x|^2]``."""

    on_device = True
    per_component = True

    @property
    def n_forms(self):
        return self.n_features + 2

    n_first = n_forms

    def _prepare(self, limit):
        variances = check_positive(self.covariances)
        d = self.n_features
        self._normalise(self.log_weights - 0.5 * d * (np.log(variances) + LOG_2PI))
        means = self.means - self.center
        squares = (means**2).sum(axis=1) / variances
        self.theta = np.column_stack(
            [
                means / variances[:, None],
                self._log_norm - 0.5 * squares,
                -0.5 / variances,
            ]
        )
        return squares <= limit

    def fill(self, block):
        columns = block[: self.n_features]
        block[-2] = 1.0
        np.einsum("ij,ij->j", columns, columns, out=block[-1])

    def _direct(self, columns, joint, work):
        scales = np.broadcast_to(self.covariances[:, None] ** -0.5, self.means.shape)
        _scaled_squares(self, columns, joint, scales, work)

    def _direct_moments(self, columns, resp, work, components):
        sums, scatter = _moments_about_means(self, columns, resp, work, components)
        return sums, (scatter.sum(axis=1),)

    def rows_features(self, xp, X):
        """Return the features of centered rows of any array library."""
        squares = xp.sum(X * X, axis=1, keepdims=True)
        return xp.concat([X, xp.ones_like(X[:, :1]), squares], axis=1)

    def split(self, totals):
        """Return sums and scatter of summed features."""
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
        pool = scatter.sum() / stats.weight
        target = prior.target(scatter, stats.counts, stats.means, pool)
        variances = (scatter + prior.shrinkage * target) / (
            stats.counts + prior.shrinkage
        )
        return variances + prior.reg_covar.mean()


def _scaled_squares(kernel, X, joint, scales, work):
    diff = buffer(work, "diff", X.shape)
    means = kernel.means - kernel.center
    for k, own in joint:
        np.subtract(X, means[k][:, None], out=diff)
        diff *= scales[k][:, None]
        kernel._from_white(k, diff, own)


def _moments_about_means(kernel, X, resp, work, components):
    diff = buffer(work, "diff", X.shape)
    sums = np.empty((len(components), kernel.n_features))
    scatter = np.empty_like(sums)
    means = kernel.means - kernel.center
    for i, k in enumerate(components):
        np.subtract(X, means[k][:, None], out=diff)
        sums[i] = diff @ resp[k]
        np.multiply(diff, diff, out=diff)
        scatter[i] = diff @ resp[k]
    return sums, scatter


class Variances(CovarianceType):
    """What diagonal and spherical covariances have in common."""

    independent = True
    shrinkages = (2.0,)

    @abstractmethod
    def spread(self, values: Array) -> Array:
        """Return values of components so that they broadcast over the features."""

    def dense(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return as_matrices(self.diagonal(covariances, n_components, n_features))

    def pooled(self, covariances: Array, weights: Array, n_features: int) -> Array:
        variances = self.diagonal(covariances, weights.shape[-1], n_features)
        return as_matrices((weights[..., None, :] @ variances)[..., 0, :])

    def square(self, precisions_cholesky: Array) -> Array:
        return precisions_cholesky**2

    def precisions(self, covariances: Array) -> Array:
        return 1.0 / covariances

    def whiten(self, diff: Array, precisions_cholesky: Array) -> Array:
        return diff * self.spread(precisions_cholesky)

    def solve(self, diff: Array, precisions_cholesky: Array) -> Array:
        return diff * self.spread(precisions_cholesky) ** 2

    def root(self, covariances: Array) -> Array:
        return covariances**0.5

    def noise(self, root: Array, component: Array, normals: Array) -> Array:
        return self.spread(take_components(root, component)) * normals

    def conditional(
        self, covariances: Array, given: Array, rest: Array, diff: Array
    ) -> Array:
        return 0.0, self.marginal(covariances, rest)

    def scale(self, covariances: Array, factor: Array) -> Array:
        return self.name, covariances * factor**2

    def parameter_shapes(self, shape: tuple[int, ...]) -> Array:
        return shape, None

    def from_parameters(self, scales: Array, lower: Array) -> Array:
        return scales**2

    def parameters(self, precisions_cholesky: Array) -> Array:
        return 1 / precisions_cholesky, None


class Diag(Variances):
    """Each component has its own variances, shape (..., K, d)."""

    name = sklearn_name = "diag"
    loops = DiagKernel
    wider = ("low-rank", "full")
    auto_from = 0
    place = 0

    def shape(self, n_components: int, n_features: int, rank: int = 1) -> Any:
        return (n_components, n_features)

    def convert(
        self, kind: Any, covariances: Array, n_components: int, n_features: int
    ) -> Array:
        return kind.diagonal(covariances, n_components, n_features)

    def spread(self, values: Array) -> Array:
        return values

    def diagonal(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return covariances

    def precisions_cholesky(self, covariances: Array) -> Array:
        return collapse(covariances, 2) ** -0.5

    def log_det(self, precisions_cholesky: Array, n_features: int) -> Array:
        xp = namespace(precisions_cholesky)
        return xp.sum(xp.log(precisions_cholesky), axis=-1)

    def select(self, covariances: Array, components: Array) -> Array:
        return covariances[..., components, :]

    def marginal(self, covariances: Array, indices: Array) -> Array:
        return covariances[..., indices]

    def stretch(self, covariances: Array, factors: Array) -> Array:
        return self.name, covariances * factors**2

    def transform(self, covariances: Array, matrix: Array) -> Array:
        scaled = matrix * covariances[..., None, :]
        return "full", scaled @ namespace(matrix).matrix_transpose(matrix)

    def pair_sum(self, first: Array, second: Array) -> Array:
        return first[..., :, None, :] + second[..., None, :, :]

    def product(self, first: Array, second: Array, diff: Array) -> Array:
        share = first[..., :, None, :] / self.pair_sum(first, second)
        return share * diff, flatten_pairs(share * second[..., None, :, :], 1)


class Spherical(Variances):
    """Each component has one variance, shape (..., K)."""

    name = sklearn_name = "spherical"
    loops = SphericalKernel
    wider = ("diag", "low-rank", "full")
    # Very few held-out samples often prefer equal scales by chance.
    auto_from = 10
    place = 1

    def shape(self, n_components: int, n_features: int, rank: int = 1) -> Any:
        return (n_components,)

    def convert(
        self, kind: Any, covariances: Array, n_components: int, n_features: int
    ) -> Array:
        variances = kind.diagonal(covariances, n_components, n_features)
        return namespace(variances).mean(variances, axis=-1)

    def spread(self, values: Array) -> Array:
        return values[..., None]

    def diagonal(self, covariances: Array, n_components: int, n_features: int) -> Array:
        xp = namespace(covariances)
        shape = (*covariances.shape, n_features)
        return xp.broadcast_to(covariances[..., None], shape)

    def precisions_cholesky(self, covariances: Array) -> Array:
        return collapse(covariances, 1) ** -0.5

    def log_det(self, precisions_cholesky: Array, n_features: int) -> Array:
        return n_features * namespace(precisions_cholesky).log(precisions_cholesky)

    def select(self, covariances: Array, components: Array) -> Array:
        return covariances[..., components]

    def marginal(self, covariances: Array, indices: Array) -> Array:
        return covariances

    def stretch(self, covariances: Array, factors: Array) -> Array:
        return "diag", covariances[..., None] * factors**2

    def transform(self, covariances: Array, matrix: Array) -> Array:
        square = matrix @ namespace(matrix).matrix_transpose(matrix)
        return "full", covariances[..., None, None] * square

    def pair_sum(self, first: Array, second: Array) -> Array:
        return first[..., :, None] + second[..., None, :]

    def product(self, first: Array, second: Array, diff: Array) -> Array:
        share = first[..., :, None] / self.pair_sum(first, second)
        return share[..., None] * diff, flatten_pairs(share * second[..., None, :], 0)


def as_matrices(variances):
    """Return diagonal matrices, shape (..., d, d)."""
    return variances[..., None] * eye_like(variances)

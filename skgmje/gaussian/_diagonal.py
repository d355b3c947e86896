"""Covariances without correlation: variances of features, or one variance."""

from skgmje._backend import eye_like, namespace
from skgmje.gaussian._arrays import collapse, flatten_pairs, take_components
from skgmje.gaussian._covariance_type import CovarianceType


class Diag(CovarianceType):
    """Each component has its own variances, shape (..., K, d)."""

    wider = ("diag", "low-rank", "full")

    def shape(self, n_components, n_features, rank=1):
        return (n_components, n_features)

    def n_parameters(self, n_components, n_features, rank=1):
        return n_components * n_features

    def variances(self, covariances):
        return covariances

    def dense(self, covariances, n_components, n_features):
        return as_matrices(covariances)

    def diagonal(self, covariances, n_components, n_features):
        return covariances

    def pooled(self, covariances, weights, n_features):
        return as_matrices(_mean(covariances, weights))

    def precisions_cholesky(self, covariances):
        return collapse(covariances, 2) ** -0.5

    def log_det(self, precisions_cholesky, n_features):
        xp = namespace(precisions_cholesky)
        return xp.sum(xp.log(precisions_cholesky), axis=-1)

    def whiten(self, diff, precisions_cholesky):
        return diff * precisions_cholesky

    def precisions(self, covariances):
        return 1.0 / covariances

    def solve(self, diff, precisions_cholesky):
        return diff * precisions_cholesky**2

    def root(self, covariances):
        return covariances**0.5

    def n_normals(self, covariances, n_features):
        return n_features

    def noise(self, root, component, normals):
        return take_components(root, component) * normals

    def select(self, covariances, components):
        return covariances[..., components, :]

    def marginal(self, covariances, indices):
        return covariances[..., indices]

    def conditional(self, covariances, given, rest, diff):
        return 0.0, covariances[..., rest]

    def scale(self, covariances, factor):
        return "diag", covariances * factor**2

    def stretch(self, covariances, factors):
        return "diag", covariances * factors**2

    def transform(self, covariances, matrix):
        scaled = matrix * covariances[..., None, :]
        return "full", scaled @ namespace(matrix).matrix_transpose(matrix)

    def pair_sum(self, first, second):
        return first[..., :, None, :] + second[..., None, :, :]

    def product(self, first, second, diff):
        first, second = first[..., :, None, :], second[..., None, :, :]
        share = first / (first + second)
        return share * diff, flatten_pairs(share * second, 1)


class Spherical(CovarianceType):
    """Each component has one variance, shape (..., K)."""

    wider = ("spherical", "diag", "low-rank", "full")

    def shape(self, n_components, n_features, rank=1):
        return (n_components,)

    def n_parameters(self, n_components, n_features, rank=1):
        return n_components

    def variances(self, covariances):
        return covariances

    def dense(self, covariances, n_components, n_features):
        return as_matrices(self.diagonal(covariances, n_components, n_features))

    def diagonal(self, covariances, n_components, n_features):
        xp = namespace(covariances)
        shape = (*covariances.shape, n_features)
        return xp.broadcast_to(covariances[..., None], shape)

    def pooled(self, covariances, weights, n_features):
        return as_matrices(_mean(self.diagonal(covariances, None, n_features), weights))

    def precisions_cholesky(self, covariances):
        return collapse(covariances, 1) ** -0.5

    def log_det(self, precisions_cholesky, n_features):
        return n_features * namespace(precisions_cholesky).log(precisions_cholesky)

    def whiten(self, diff, precisions_cholesky):
        return diff * precisions_cholesky[..., None]

    def precisions(self, covariances):
        return 1.0 / covariances

    def solve(self, diff, precisions_cholesky):
        return diff * precisions_cholesky[..., None] ** 2

    def root(self, covariances):
        return covariances**0.5

    def n_normals(self, covariances, n_features):
        return n_features

    def noise(self, root, component, normals):
        return take_components(root, component)[..., None] * normals

    def select(self, covariances, components):
        return covariances[..., components]

    def marginal(self, covariances, indices):
        return covariances

    def conditional(self, covariances, given, rest, diff):
        return 0.0, covariances

    def scale(self, covariances, factor):
        return "spherical", covariances * factor**2

    def stretch(self, covariances, factors):
        return "diag", covariances[..., None] * factors**2

    def transform(self, covariances, matrix):
        square = matrix @ namespace(matrix).matrix_transpose(matrix)
        return "full", covariances[..., None, None] * square

    def pair_sum(self, first, second):
        return first[..., :, None] + second[..., None, :]

    def product(self, first, second, diff):
        first, second = first[..., :, None], second[..., None, :]
        share = first / (first + second)
        return share[..., None] * diff, flatten_pairs(share * second, 0)


def as_matrices(variances):
    """Return diagonal matrices, shape (..., d, d)."""
    return variances[..., None] * eye_like(variances)


def _mean(values, weights):
    return (weights[..., None, :] @ values)[..., 0, :]

"""Covariances that are matrices: one for each component, or one for all."""

from skgmje._backend import (
    cholesky,
    eye_like,
    namespace,
    solve_triangular,
)
from skgmje.gaussian._arrays import collapse, flatten_pairs, is_shared, take_components
from skgmje.gaussian._covariance_type import CovarianceType


class Full(CovarianceType):
    """Each component has its own matrix, shape (..., K, d, d)."""

    wider = ("full",)

    def shape(self, n_components, n_features, rank=1):
        return (n_components, n_features, n_features)

    def n_parameters(self, n_components, n_features, rank=1):
        return n_components * n_features * (n_features + 1) // 2

    def variances(self, covariances):
        return _diagonal(covariances)

    def dense(self, covariances, n_components, n_features):
        return covariances

    def diagonal(self, covariances, n_components, n_features):
        return _diagonal(covariances)

    def pooled(self, covariances, weights, n_features):
        xp = namespace(covariances)
        leading = weights.shape[:-1]
        covariances = collapse(covariances, 3)
        flat = xp.reshape(covariances, (*covariances.shape[:-2], n_features**2))
        return xp.reshape(weights[..., None, :] @ flat, (*leading, *(n_features,) * 2))

    def precisions_cholesky(self, covariances):
        return _precisions_cholesky(collapse(covariances, 3))

    def log_det(self, precisions_cholesky, n_features):
        return _log_det(precisions_cholesky)

    def whiten(self, diff, precisions_cholesky):
        return each_times(diff, precisions_cholesky)

    def precisions(self, covariances):
        upper = self.precisions_cholesky(covariances)
        return upper @ namespace(upper).matrix_transpose(upper)

    def solve(self, diff, precisions_cholesky):
        xp = namespace(diff)
        white = each_times(diff, precisions_cholesky)
        return each_times(white, xp.matrix_transpose(precisions_cholesky))

    def root(self, covariances):
        lower = cholesky(collapse(covariances, 3), "covariances")
        return namespace(lower).broadcast_to(lower, covariances.shape)

    def n_normals(self, covariances, n_features):
        return n_features

    def noise(self, root, component, normals):
        return (take_components(root, component) @ normals[..., None])[..., 0]

    def select(self, covariances, components):
        return covariances[..., components, :, :]

    def marginal(self, covariances, indices):
        return covariances[..., indices, :][..., indices]

    def conditional(self, covariances, given, rest, diff):
        gain, covariances = _schur(collapse(covariances, 3), given, rest)
        return each_times(diff, namespace(gain).matrix_transpose(gain)), covariances

    def scale(self, covariances, factor):
        return "full", covariances * factor**2

    def stretch(self, covariances, factors):
        return "full", covariances * factors[:, None] * factors

    def transform(self, covariances, matrix):
        return "full", _congruence(covariances, matrix)

    def pair_sum(self, first, second):
        return first[..., :, None, :, :] + second[..., None, :, :, :]

    def product(self, first, second, diff):
        first, second = first[..., :, None, :, :], second[..., None, :, :, :]
        shift, covariances = _multiply(first, second, diff)
        return shift, flatten_pairs(covariances, 2)


class Tied(CovarianceType):
    """All components share one matrix, shape (..., d, d)."""

    wider = ("tied", "full")

    def shape(self, n_components, n_features, rank=1):
        return (n_features, n_features)

    def n_parameters(self, n_components, n_features, rank=1):
        return n_features * (n_features + 1) // 2

    def variances(self, covariances):
        return _diagonal(covariances)

    def dense(self, covariances, n_components, n_features):
        shape = (*covariances.shape[:-2], n_components, n_features, n_features)
        return namespace(covariances).broadcast_to(covariances[..., None, :, :], shape)

    def diagonal(self, covariances, n_components, n_features):
        shape = (*covariances.shape[:-2], n_components, n_features)
        diagonal = _diagonal(covariances)[..., None, :]
        return namespace(covariances).broadcast_to(diagonal, shape)

    def pooled(self, covariances, weights, n_features):
        return covariances

    def precisions_cholesky(self, covariances):
        return _precisions_cholesky(collapse(covariances, 2))

    def log_det(self, precisions_cholesky, n_features):
        return _log_det(precisions_cholesky)[..., None]

    def whiten(self, diff, precisions_cholesky):
        return all_times(diff, precisions_cholesky)

    def precisions(self, covariances):
        upper = self.precisions_cholesky(covariances)
        return upper @ namespace(upper).matrix_transpose(upper)

    def solve(self, diff, precisions_cholesky):
        xp = namespace(diff)
        white = all_times(diff, precisions_cholesky)
        return all_times(white, xp.matrix_transpose(precisions_cholesky))

    def root(self, covariances):
        return cholesky(collapse(covariances, 2), "covariances")

    def n_normals(self, covariances, n_features):
        return n_features

    def noise(self, root, component, normals):
        return all_times(normals[..., None, :], namespace(root).matrix_transpose(root))[
            ..., 0, :
        ]

    def select(self, covariances, components):
        return covariances

    def marginal(self, covariances, indices):
        return covariances[..., indices, :][..., indices]

    def conditional(self, covariances, given, rest, diff):
        gain, covariances = _schur(collapse(covariances, 2), given, rest)
        return all_times(diff, namespace(gain).matrix_transpose(gain)), covariances

    def scale(self, covariances, factor):
        return "tied", covariances * factor**2

    def stretch(self, covariances, factors):
        return "tied", covariances * factors[:, None] * factors

    def transform(self, covariances, matrix):
        return "tied", _congruence(covariances, matrix)

    def pair_sum(self, first, second):
        return (first + second)[..., None, :, :]

    def product(self, first, second, diff):
        first, second = first[..., None, None, :, :], second[..., None, None, :, :]
        shift, covariances = _multiply(first, second, diff)
        return shift, covariances[..., 0, 0, :, :]


def _diagonal(matrices):
    return namespace(matrices).linalg.diagonal(matrices)


def _precisions_cholesky(covariances):
    lower = cholesky(covariances, "covariances")
    xp = namespace(lower)
    identity = xp.broadcast_to(eye_like(lower), lower.shape)
    # A batched solve leaves rounding below the diagonal.
    return xp.triu(xp.matrix_transpose(solve_triangular(lower, identity)))


def _log_det(upper):
    xp = namespace(upper)
    return xp.sum(xp.log(_diagonal(upper)), axis=-1)


def each_times(rows, matrices):
    """Multiply row k by matrix k: (..., K, p) and (..., K, p, q) to (..., K, q)."""
    if not is_shared(matrices, 3):
        return (rows[..., None, :] @ matrices)[..., 0, :]
    # One matrix product for each component instead of one for each row.
    xp = namespace(rows)
    matrices = xp.reshape(matrices, matrices.shape[-3:])
    flat = xp.reshape(rows, (-1, *rows.shape[-2:]))
    product = xp.permute_dims(xp.permute_dims(flat, (1, 0, 2)) @ matrices, (1, 0, 2))
    return xp.reshape(product, (*rows.shape[:-1], matrices.shape[-1]))


def all_times(rows, matrix):
    """Multiply every row by one matrix: (..., K, p) and (..., p, q) to (..., K, q)."""
    if not is_shared(matrix, 2):
        return rows @ matrix
    xp = namespace(rows)
    matrix = xp.reshape(matrix, matrix.shape[-2:])
    product = xp.reshape(rows, (-1, rows.shape[-1])) @ matrix
    return xp.reshape(product, (*rows.shape[:-1], matrix.shape[-1]))


def _schur(matrices, given, rest):
    """Return the gains and the Schur complements, by blocks of one Cholesky factor."""
    order, n_given = [*given, *rest], len(given)
    lower = cholesky(matrices[..., order, :][..., order], "covariances")
    xp = namespace(lower)
    first, below = lower[..., :n_given, :n_given], lower[..., n_given:, :n_given]
    identity = xp.broadcast_to(eye_like(first), first.shape)
    gain = below @ solve_triangular(first, identity)
    last = lower[..., n_given:, n_given:]
    return gain, last @ xp.matrix_transpose(last)


def _congruence(covariances, matrix):
    return _symmetric(matrix @ covariances @ namespace(matrix).matrix_transpose(matrix))


def _symmetric(matrices):
    return 0.5 * (matrices + namespace(matrices).matrix_transpose(matrices))


def _multiply(first, second, diff):
    """Return shifts and covariances of the products of two stacks of Gaussians."""
    lower = cholesky(first + second, "covariances")
    xp = namespace(lower)
    shape = lower.shape
    left = solve_triangular(lower, xp.broadcast_to(first, shape))
    right = solve_triangular(lower, xp.broadcast_to(second, shape))
    identity = xp.broadcast_to(eye_like(lower), shape)
    white = solve_triangular(lower, identity) @ diff[..., None]
    shift = (xp.matrix_transpose(left) @ white)[..., 0]
    return shift, _symmetric(xp.matrix_transpose(left) @ right)

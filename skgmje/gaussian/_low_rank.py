"""Covariances of a few factors plus a diagonal."""

from skgmje._backend import cholesky, eye_like, namespace, solve_triangular
from skgmje.gaussian._arrays import collapse, flatten_pairs, take_components
from skgmje.gaussian._covariance_type import CovarianceType
from skgmje.gaussian._dense import each_times
from skgmje.gaussian._diagonal import as_matrices


class LowRank(CovarianceType):
    r"""Factors and a diagonal, shapes (..., K, d, r) and (..., K, d).

    .. math::

        \Sigma = F F^T + D, \qquad M = I + F^T D^{-1} F = L L^T

    No d x d matrix is formed: :math:`|\Sigma| = |D| |M|` and

    .. math::

        \delta^T \Sigma^{-1} \delta = \min_z |D^{-1/2} (\delta - F z)|^2 + |z|^2,
        \qquad z = M^{-1} F^T D^{-1} \delta,

    a sum of squares, where Woodbury's formula subtracts two large numbers.
    The square roots of the precisions are kept as the triple
    :math:`(D^{-1/2}, \; W = D^{-1/2} F L^{-T}, \; L^{-T})`, so that
    :math:`\Sigma^{-1} = D^{-1/2} (I - W W^T) D^{-1/2}`.
    """

    wider = ("low-rank", "full")

    def shape(self, n_components, n_features, rank=1):
        return (n_components, n_features, rank), (n_components, n_features)

    def n_parameters(self, n_components, n_features, rank=1):
        # F and F Q give the same matrix for any rotation Q.
        low = n_features * (rank + 1) - rank * (rank - 1) // 2
        return n_components * min(low, n_features * (n_features + 1) // 2)

    def variances(self, covariances):
        return covariances[1]

    def dense(self, covariances, n_components, n_features):
        factors, diagonal = covariances
        return _square(factors) + as_matrices(diagonal)

    def diagonal(self, covariances, n_components, n_features):
        factors, diagonal = covariances
        return namespace(factors).sum(factors**2, axis=-1) + diagonal

    def pooled(self, covariances, weights, n_features):
        factors, diagonal = covariances
        xp = namespace(factors)
        n_rows = factors.shape[-3] * factors.shape[-1]
        shape = (*weights.shape[:-1], n_rows, n_features)
        rows = xp.reshape(xp.matrix_transpose(factors), shape)
        weighted = factors * weights[..., None, None]
        weighted = xp.reshape(xp.matrix_transpose(weighted), shape)
        mean = (weights[..., None, :] @ diagonal)[..., 0, :]
        return xp.matrix_transpose(weighted) @ rows + as_matrices(mean)

    def precisions_cholesky(self, covariances):
        factors, diagonal = _collapse(covariances)
        inverse_std = diagonal**-0.5
        scaled = factors * inverse_std[..., None]
        upper = _inverse_root(scaled)
        return inverse_std, scaled @ upper, upper

    def log_det(self, precisions_cholesky, n_features):
        inverse_std, _, upper = precisions_cholesky
        xp = namespace(inverse_std)
        triangle = xp.log(xp.linalg.diagonal(upper))
        return xp.sum(xp.log(inverse_std), axis=-1) + xp.sum(triangle, axis=-1)

    def whiten(self, diff, precisions_cholesky):
        inverse_std, loadings, upper = precisions_cholesky
        xp = namespace(diff)
        scaled = diff * inverse_std
        scores = each_times(scaled, loadings)
        explained = each_times(scores, xp.matrix_transpose(loadings))
        latent = each_times(scores, xp.matrix_transpose(upper))
        return xp.concat([scaled - explained, latent], axis=-1)

    def precisions(self, covariances):
        xp = namespace(*covariances)
        inverse_std, loadings, _ = self.precisions_cholesky(covariances)
        explained = inverse_std[..., :, None] * loadings
        return as_matrices(inverse_std**2) - explained @ xp.matrix_transpose(explained)

    def solve(self, diff, precisions_cholesky):
        inverse_std, loadings, _ = precisions_cholesky
        scaled = diff * inverse_std
        scores = each_times(scaled, loadings)
        explained = each_times(scores, namespace(diff).matrix_transpose(loadings))
        return (scaled - explained) * inverse_std

    def root(self, covariances):
        factors, diagonal = covariances
        return factors, diagonal**0.5

    def n_normals(self, covariances, n_features):
        return n_features + covariances[0].shape[-1]

    def noise(self, root, component, normals):
        factors, std = (take_components(array, component) for array in root)
        rank = factors.shape[-1]
        common = (factors @ normals[..., :rank, None])[..., 0]
        return common + std * normals[..., rank:]

    def select(self, covariances, components):
        factors, diagonal = covariances
        return factors[..., components, :, :], diagonal[..., components, :]

    def marginal(self, covariances, indices):
        factors, diagonal = covariances
        return factors[..., indices, :], diagonal[..., indices]

    def conditional(self, covariances, given, rest, diff):
        factors, diagonal = _collapse(covariances)
        xp = namespace(factors)
        inverse_std = diagonal[..., given] ** -0.5
        scaled = factors[..., given, :] * inverse_std[..., None]
        upper = _inverse_root(scaled)
        remaining = factors[..., rest, :] @ upper
        scores = each_times(diff * inverse_std, scaled @ upper)
        shift = each_times(scores, xp.matrix_transpose(remaining))
        return shift, (remaining, diagonal[..., rest])

    def scale(self, covariances, factor):
        factors, diagonal = covariances
        return "low-rank", (factors * factor, diagonal * factor**2)

    def stretch(self, covariances, factors):
        loadings, diagonal = covariances
        return "low-rank", (loadings * factors[:, None], diagonal * factors**2)

    def transform(self, covariances, matrix):
        factors, diagonal = covariances
        scaled = matrix * diagonal[..., None, :]
        mapped = scaled @ namespace(matrix).matrix_transpose(matrix)
        return "full", _square(matrix @ factors) + mapped

    def pair_sum(self, first, second):
        sides, diagonal = _sides(first, second)
        return namespace(diagonal).concat(sides, axis=-1), diagonal

    def product(self, first, second, diff):
        (left, right), total = _sides(first, second)
        xp = namespace(total)
        share = first[1][..., :, None, :] / total
        # H (I + G^T (D + D')^-1 G)^-1 H^T + D D' / (D + D'), without cancellation.
        contrast = xp.concat([left, -right], axis=-1)
        mixed = xp.concat(
            [left * (1 - share)[..., None], right * share[..., None]], axis=-1
        )
        upper = _inverse_root(contrast * total[..., None] ** -0.5)
        factors = mixed @ upper
        diagonal = share * second[1][..., None, :, :]
        # Sigma_i (Sigma_i + Sigma'_j)^-1 = H M^-1 G^T (D + D')^-1 + D / (D + D')
        scores = each_times(diff / total, contrast @ upper)
        shift = share * diff + each_times(scores, xp.matrix_transpose(factors))
        return shift, (flatten_pairs(factors, 2), flatten_pairs(diagonal, 1))


def _collapse(covariances):
    factors, diagonal = covariances
    return collapse(factors, 3), collapse(diagonal, 2)


def _square(factors):
    return factors @ namespace(factors).matrix_transpose(factors)


def _inverse_root(scaled):
    """Return the inverse transposed Cholesky factor of ``I + scaled^T scaled``."""
    xp = namespace(scaled)
    gram = xp.matrix_transpose(scaled) @ scaled
    identity = xp.broadcast_to(eye_like(gram), gram.shape)
    lower = cholesky(gram + identity, "covariances")
    return xp.matrix_transpose(solve_triangular(lower, identity))


def _sides(first, second):
    """Return both sides' factors for all pairs, and the sums of the diagonals."""
    left, right = first[0][..., :, None, :, :], second[0][..., None, :, :, :]
    diagonal = first[1][..., :, None, :] + second[1][..., None, :, :]
    xp = namespace(diagonal)
    sides = [
        xp.broadcast_to(side, (*diagonal.shape, side.shape[-1]))
        for side in (left, right)
    ]
    return sides, diagonal

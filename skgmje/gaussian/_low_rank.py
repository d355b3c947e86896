"""Low-rank covariances, and their loops."""

from __future__ import annotations

import numpy as np

from skgmje._backend import (
    LOG_2PI,
    cholesky,
    eye_like,
    invert_triangular,
    namespace,
    transpose,
)
from skgmje.gaussian._covariance_type import (
    CovarianceType,
    Kernel,
    as_pairs,
    buffer,
    check_positive,
    collapse,
    flatten_pairs,
    largest_axes,
    lost_correlation,
    take_components,
    take_times,
)
from skgmje.gaussian._dense import each_times
from skgmje.gaussian._diagonal import DiagKernel, as_matrices

# Shares of a component's largest responsibility that are lost in rounding.
LOST = 1e-30

# Share of their diagonal by which rounding may leave products indefinite, and that of
# a variance which is all rounding.
ROUNDING, NO_NOISE = 1e-14, 1e-13

# Share of a variance that stands for the rounding of means alone.
NOT_ADDED = 1e-20

# Second moments of all components, where nothing asks for them.
NOT_POOLED = np.zeros((1, 1, 1))


class LowRankKernel(Kernel):
    """Hot loops of ``covariance_type='low-rank'``."""

    is_tiled = False

    @property
    def n_forms(self):
        rank = self.covariances[0].shape[-1]
        return 2 * self.n_features + 1 + self.n_components * rank

    @property
    def n_first(self):
        return 2 * self.n_features + 1

    def _prepare(self, limit):
        factors, diagonal = self.covariances
        check_positive(diagonal)
        d = self.n_features
        scaled = factors / diagonal[..., None]
        rank = factors.shape[-1]
        inner = factors.transpose(0, 2, 1) @ scaled + np.eye(rank)
        lower = cholesky(inner, "covariances")
        # W' = L^-1 F' D^-1, shape (k, r, d)
        self._maps = invert_triangular(lower) @ scaled.transpose(0, 2, 1)
        log_det = 0.5 * np.log(diagonal).sum(axis=1)
        log_det += np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
        self._normalise(self.log_weights - log_det - 0.5 * d * LOG_2PI)
        self._inverse_std = diagonal**-0.5
        means = self.centered
        squares = ((means * self._inverse_std) ** 2).sum(axis=1)
        self._offsets = np.einsum("krd,kd->kr", self._maps, means)
        self.theta = np.column_stack(
            [means / diagonal, self._log_norm - 0.5 * squares, -0.5 / diagonal]
        )
        return squares <= limit

    fill = DiagKernel.fill

    def expanded(self, block, work, tile=slice(None)):
        n_components, rank, d = self._maps.shape
        joint = super().expanded(block, work)
        latent = buffer(work, "latent", (n_components * rank, block.shape[1]))
        np.matmul(self._maps.reshape(-1, d), block[:d], out=latent)
        latent -= self._offsets.reshape(-1, 1)
        np.multiply(latent, latent, out=latent)
        explained = latent.reshape(n_components, rank, -1).sum(axis=1)
        explained *= 0.5
        joint += explained
        return joint

    def _direct(self, X, joint, work):
        for k, own in joint.items():
            diff = X - self.centered[k][:, None]
            latent = self._maps[k] @ diff
            diff *= self._inverse_std[k][:, None]
            explained = np.einsum("ij,ij->j", latent, latent)
            np.einsum("ij,ij->j", diff, diff, out=own)
            # Squares of a far row are infinite; their difference would be NaN.
            near = np.isfinite(explained)
            np.subtract(own, explained, out=own, where=near)
            own *= -0.5
            own += self._log_norm[k]

    def _expanded_moments(self, block, resp, work):
        n_components, rank, d = self._maps.shape
        columns = block[:d]
        if np.count_nonzero(resp > LOST * resp.max(initial=0.0)) < 0.25 * resp.size:
            # Of many features most samples belong to one component.
            return self._direct_moments(columns, resp, work, range(n_components))
        latent = self._maps.reshape(-1, d) @ columns
        pooled = NOT_POOLED
        if self.pools:
            pooled = self._split(latent * resp.sum(axis=0) @ columns.T)
        latent = latent.reshape(n_components, rank, -1) * resp[:, None]
        cross = latent.reshape(n_components * rank, -1) @ columns.T
        squares = resp @ block[d + 1 :].T
        return resp @ columns.T, (self._split(cross), squares, pooled)

    def _split(self, products):
        """Return products of all maps, (k * r, d), by components, (k, d, r)."""
        return products.reshape(self._maps.shape).transpose(0, 2, 1)

    def _direct_moments(self, X, resp, work, components):
        n_components, rank, d = self._maps.shape
        sums = np.empty((n_components, d))
        squares = np.empty((n_components, d))
        cross = np.empty((n_components, d, rank))
        means = self.origins - self.center
        for k in components:
            near = np.flatnonzero(resp[k] > LOST * resp[k].max())
            diff = X[:, near] - means[k][:, None]
            weighted = diff * resp[k, near]
            sums[k] = weighted.sum(axis=1)
            squares[k] = np.einsum("ij,ij->i", weighted, diff)
            cross[k] = weighted @ (self._maps[k] @ diff).T
        pooled = self._pool_about(means, X, resp) if self.pools else NOT_POOLED
        return sums, (cross, squares, pooled)

    def _pool_about(self, means, X, resp):
        """Return the second moments of all components about their means, by maps."""
        # About a mean of the means for each sample, and those of the means about it.
        weight = resp.sum(axis=0)
        share = resp / np.where(weight > 0, weight, 1.0)
        diff = X - means.T @ share
        maps = self._maps.reshape(-1, len(X))
        both = resp @ share.T
        np.fill_diagonal(both, 0.0)
        both = np.diag(both.sum(axis=1)) - both
        pooled = (maps @ diff * weight) @ diff.T
        return self._split(pooled + (maps @ means.T) @ (both @ means))

    def outer(self, delta, coefficients):
        weighted = coefficients[:, None] * delta
        projected = np.einsum("krd,kd->kr", self._maps, delta)
        cross = weighted[:, :, None] * projected[:, None, :]
        maps = self._maps.reshape(-1, delta.shape[1])
        return cross, weighted * delta, self._split((maps @ delta.T) @ weighted)

    def pack(self, matrices):
        maps = self._maps.transpose(0, 2, 1)
        squares = np.diagonal(matrices, axis1=1, axis2=2)
        return matrices @ maps, squares, matrices.sum(axis=0) @ maps

    @staticmethod
    def unit(n_components, n_features):
        shape = (n_components, n_features)
        return np.zeros((*shape, 1)), np.ones(shape)

    def restate(self, stats):
        factors, diagonal = self.covariances
        maps = self._maps.transpose(0, 2, 1)
        implied = factors @ (factors.transpose(0, 2, 1) @ maps)
        implied += diagonal[..., None] * maps
        cross = stats.counts[:, None, None] * implied
        d = self.n_features
        weighted = stats.counts[:, None, None] * factors
        loadings = factors.transpose(1, 0, 2).reshape(d, -1)
        weighted = weighted.transpose(1, 0, 2).reshape(d, -1)
        pooled = weighted @ (loadings.T @ maps)
        pooled += (stats.counts @ diagonal)[:, None] * maps
        return stats._replace(scatter=(cross, stats.scatter[1], pooled))

    def estimate(self, stats, prior):
        # No matrix (d, d) is formed: features may be far more than samples.
        cross, squares, pooled = stats.scatter
        count = stats.counts + prior.shrinkage
        count = np.where(count > 0, count, 1.0)
        share = prior.shrinkage / stats.weight
        second = (cross + share * pooled) / count[:, None, None]
        diagonal = squares + share * squares.sum(axis=0)
        diagonal = diagonal / count[:, None]
        share = lost_correlation(stats.weight, self.n_features, prior.shrinkage)
        if share:
            # Of the second moments, so that variances are kept at the fixed point.
            maps = self._maps.transpose(0, 2, 1)
            second = (1 - share) * second + share * diagonal[..., None] * maps
        # Latent variables of any covariance, which factors then take over (Liu, Rubin
        # and Wu 1998): F F' = S W (I + W'S W)^-1 W'S. Else their scale would creep.
        gram, i = self._maps @ second, np.arange(second.shape[2])
        gram[:, i, i] += 1.0 + ROUNDING * gram[:, i, i]
        inverse = invert_triangular(cholesky(gram, "covariances"))
        factors = second @ transpose(inverse)
        # The diagonal of the second moment is kept. What rounding leaves of a perfectly
        # explained feature is no noise; what is added to it is at least as much.
        noise, rounding = diagonal - (factors**2).sum(axis=2), NO_NOISE * diagonal
        noise = np.where(noise < rounding, 0.0, noise) + prior.reg_covar
        added = noise > NOT_ADDED * diagonal
        return factors, np.where(added, np.maximum(noise, rounding), 0.0)


class LowRank(CovarianceType):
    """Factors and a diagonal, shapes (..., K, d, r) and (..., K, d)."""

    name = "low-rank"
    loops = LowRankKernel
    needs_start = True
    keeps_inverse = False
    few_shrinkages = (2.0, 20.0, 100.0, 1000.0)
    place = 3

    def shape(self, n_components, n_features, rank=1):
        return (n_components, n_features, rank), (n_components, n_features)

    def rank(self, covariances):
        return covariances[0].shape[-1]

    def n_parameters(self, n_components, n_features, rank=1):
        # F and F Q give the same matrix for any rotation Q.
        rank = min(rank, n_features)
        low = n_features * (rank + 1) - rank * (rank - 1) // 2
        return n_components * min(low, n_features * (n_features + 1) // 2)

    def variances(self, covariances):
        return covariances[1]

    def convert(self, kind, covariances, n_components, n_features):
        diagonal = kind.diagonal(covariances, n_components, n_features)
        return namespace(diagonal).zeros_like(diagonal)[..., None][..., :0], diagonal

    def first(self, covariances, rank, reg_covar):
        """Return the principal axes of each component, and what they leave."""
        n_components, n_features, _ = covariances.shape
        rank = min(rank, n_features)
        factors = np.empty((n_components, n_features, rank))
        diagonal = np.empty((n_components, n_features))
        for k, covariance in enumerate(covariances):
            values, vectors = np.linalg.eigh(covariance)
            rest = values[: n_features - rank].mean() if rank < n_features else 0.0
            scale = np.sqrt(np.maximum(values[n_features - rank :] - rest, 0.0))
            factors[k] = vectors[:, n_features - rank :] * scale
            unexplained = np.diagonal(covariance) - (factors[k] ** 2).sum(axis=1)
            floor = max(rest, 1e-3 * values.mean())
            diagonal[k] = np.maximum(unexplained, 1e-2 * floor) + reg_covar
        return factors, diagonal

    def first_of_rows(self, rows, variances, rank):
        """Return what :meth:`first` does of one covariance, by the axes of rows."""
        rank = min(rank, rows.shape[1])
        axes = largest_axes(rows, rank)
        values = np.linalg.norm(axes, axis=1)
        axes /= np.where(values > 0, values, 1.0)[:, None]
        rest = np.maximum(variances - (rows**2).sum(axis=0), 0.0)
        values = values**2 + axes**2 @ rest
        left = (variances.sum() - values.sum()) / max(1, len(variances) - len(values))
        factors = np.zeros((len(variances), rank))
        scale = np.sqrt(np.maximum(values - left, 0.0))
        factors[:, rank - len(values) :] = axes.T * scale
        unexplained = variances - (factors**2).sum(axis=1)
        floor = max(left, 1e-3 * variances.mean())
        return factors, np.maximum(unexplained, 1e-2 * floor)

    def dense(self, covariances, n_components, n_features):
        factors, diagonal = covariances
        return factors @ transpose(factors) + as_matrices(diagonal)

    def diagonal(self, covariances, n_components, n_features):
        factors, diagonal = covariances
        return namespace(factors).sum(factors**2, axis=-1) + diagonal

    def pooled(self, covariances, weights, n_features):
        factors, diagonal = covariances
        xp = namespace(factors)
        n_rows = factors.shape[-3] * factors.shape[-1]
        shape = (*weights.shape[:-1], n_rows, n_features)
        rows = xp.reshape(transpose(factors), shape)
        weighted = factors * weights[..., None, None]
        weighted = xp.reshape(transpose(weighted), shape)
        mean = (weights[..., None, :] @ diagonal)[..., 0, :]
        return transpose(weighted) @ rows + as_matrices(mean)

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
        explained = each_times(scores, transpose(loadings))
        latent = each_times(scores, transpose(upper))
        return xp.concat([scaled - explained, latent], axis=-1)

    def square(self, precisions_cholesky):
        inverse_std, loadings, _ = precisions_cholesky
        explained = inverse_std[..., :, None] * loadings
        return as_matrices(inverse_std**2) - explained @ transpose(explained)

    def solve(self, diff, precisions_cholesky):
        inverse_std, loadings, _ = precisions_cholesky
        scaled = diff * inverse_std
        scores = each_times(scaled, loadings)
        explained = each_times(scores, transpose(loadings))
        return (scaled - explained) * inverse_std

    def root(self, covariances):
        factors, diagonal = covariances
        return factors, diagonal**0.5

    def n_normals(self, covariances, n_features):
        return n_features + covariances[0].shape[-1]

    def noise(self, root, component, normals):
        factors, std = root
        rank = factors.shape[-1]
        common = take_times(factors, component, normals[..., :rank])
        return common + take_components(std, component) * normals[..., rank:]

    def select(self, covariances, components):
        factors, diagonal = covariances
        return factors[..., components, :, :], diagonal[..., components, :]

    def marginal(self, covariances, indices):
        factors, diagonal = covariances
        return factors[..., indices, :], diagonal[..., indices]

    def conditional(self, covariances, given, rest, diff):
        factors, diagonal = _collapse(covariances)
        inverse_std = diagonal[..., given] ** -0.5
        scaled = factors[..., given, :] * inverse_std[..., None]
        upper = _inverse_root(scaled)
        remaining = factors[..., rest, :] @ upper
        scores = each_times(diff * inverse_std, scaled @ upper)
        shift = each_times(scores, transpose(remaining))
        return shift, (remaining, diagonal[..., rest])

    def scale(self, covariances, factor):
        factors, diagonal = covariances
        return self.name, (factors * factor, diagonal * factor**2)

    def stretch(self, covariances, factors):
        loadings, diagonal = covariances
        return self.name, (loadings * factors[:, None], diagonal * factors**2)

    def transform(self, covariances, matrix):
        factors, diagonal = covariances
        scaled = matrix * diagonal[..., None, :]
        mapped = scaled @ transpose(matrix)
        loadings = matrix @ factors
        return "full", loadings @ transpose(loadings) + mapped

    def pair_sum(self, first, second):
        sides, diagonal = _sides(first, second)
        return namespace(diagonal).concat(sides, axis=-1), diagonal

    def product(self, first, second, diff):
        (left, right), total = _sides(first, second)
        xp = namespace(total)
        own, other = as_pairs(first[1], second[1], 2)
        share = own / total
        # H (I + G^T (D + D')^-1 G)^-1 H^T + D D' / (D + D'), without cancellation.
        contrast = xp.concat([left, -right], axis=-1)
        mixed = [left * (1 - share)[..., None], right * share[..., None]]
        upper = _inverse_root(contrast * total[..., None] ** -0.5)
        factors = xp.concat(mixed, axis=-1) @ upper
        diagonal = share * other
        # Sigma_i (Sigma_i + Sigma'_j)^-1 = H M^-1 G^T (D + D')^-1 + D / (D + D')
        scores = each_times(diff / total, contrast @ upper)
        shift = share * diff + each_times(scores, transpose(factors))
        return shift, (flatten_pairs(factors, 2), flatten_pairs(diagonal, 1))


def _collapse(covariances):
    factors, diagonal = covariances
    return collapse(factors, 3), collapse(diagonal, 2)


def _inverse_root(scaled):
    """Return the inverse transposed Cholesky factor of ``I + scaled^T scaled``."""
    gram = transpose(scaled) @ scaled
    lower = cholesky(gram + eye_like(gram), "covariances")
    return transpose(invert_triangular(lower))


def _sides(first, second):
    """Return both sides' factors for all pairs, and the sums of the diagonals."""
    own, other = as_pairs(first[1], second[1], 2)
    diagonal, xp = own + other, namespace(own)
    sides = as_pairs(first[0], second[0], 3)
    shapes = ((*diagonal.shape, side.shape[-1]) for side in sides)
    return [*map(xp.broadcast_to, sides, shapes)], diagonal

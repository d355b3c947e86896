"""Hot loops of low-rank covariances: factors times their transpose plus diagonal."""

import numpy as np

from skgmje._backend import cholesky
from skgmje._kernels._kernel import (
    LOG_2PI,
    Kernel,
    buffer,
    check_positive,
    lost_correlation,
)


class LowRankKernel(Kernel):
    """Hot loops of ``covariance_type='low-rank'``.

    With :math:`\\Sigma = F F^\\top + D` and
    :math:`M = I + F^\\top D^{-1} F = L L^\\top`,

    .. math:: \\Sigma^{-1} = D^{-1} - W W^\\top, \\qquad W = D^{-1} F L^{-\\top},

    so no d x d matrix is ever formed. The M-step is that of a mixture of
    factor analysers (Ghahramani and Hinton, 1996): it needs the second moment
    only through its product with :math:`W` and through its diagonal. The
    pooled second moment, (d, d), is accumulated for the shrinkage.
    """

    @property
    def n_forms(self):
        rank = self.covariances[0].shape[-1]
        return 2 * self.n_features + 1 + self.n_components * rank

    @property
    def n_first(self):
        return 2 * self.n_features + 1

    @property
    def tiles(self):
        return [slice(0, self.n_components)]

    def _prepare(self, limit):
        factors, diagonal = self.covariances
        check_positive(diagonal)
        d = self.n_features
        scaled = factors / diagonal[..., None]
        rank = factors.shape[-1]
        inner = factors.transpose(0, 2, 1) @ scaled + np.eye(rank)
        self._lower = cholesky(inner, "covariances")
        # W' = L^-1 F' D^-1, shape (k, r, d)
        self._maps = np.linalg.solve(self._lower, scaled.transpose(0, 2, 1))
        log_det = 0.5 * np.log(diagonal).sum(axis=1)
        log_det += np.log(np.diagonal(self._lower, axis1=1, axis2=2)).sum(axis=1)
        self._normalise(self.log_weights - log_det - 0.5 * d * LOG_2PI)
        self._inverse_std = diagonal**-0.5
        means = self.means - self.center
        squares = ((means * self._inverse_std) ** 2).sum(axis=1)
        self._offsets = np.einsum("krd,kd->kr", self._maps, means)
        self.theta = np.column_stack(
            [means / diagonal, self._log_norm - 0.5 * squares, -0.5 / diagonal]
        )
        return bool(squares.max() <= limit)

    def fill(self, block):
        d = self.n_features
        block[d] = 1.0
        np.multiply(block[:d], block[:d], out=block[d + 1 :])

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

    def _direct(self, X, work):
        joint = buffer(work, "joint", (self.n_components, X.shape[1]))
        means = self.means - self.center
        for k in range(self.n_components):
            diff = X - means[k][:, None]
            latent = self._maps[k] @ diff
            diff *= self._inverse_std[k][:, None]
            explained = np.einsum("ij,ij->j", latent, latent)
            np.einsum("ij,ij->j", diff, diff, out=joint[k])
            # Squares of a far row are infinite; their difference would be NaN.
            near = np.isfinite(explained)
            np.subtract(joint[k], explained, out=joint[k], where=near)
        joint *= -0.5
        joint += self._log_norm[:, None]
        return joint

    def _expanded_moments(self, block, resp, work):
        return self._direct_moments(block[: self.n_features], resp, work)

    def _direct_moments(self, X, resp, work):
        n_components, rank, d = self._maps.shape
        sums = np.empty((n_components, d))
        squares = np.empty((n_components, d))
        cross = np.empty((n_components, d, rank))
        total = np.zeros((d, d))
        origins = self.origins - self.center
        for k in range(n_components):
            diff = X - origins[k][:, None]
            weighted = diff * resp[k]
            sums[k] = weighted.sum(axis=1)
            squares[k] = np.einsum("ij,ij->i", weighted, diff)
            cross[k] = weighted @ (self._maps[k] @ diff).T
            if not self.expands:
                total += weighted @ diff.T
        if self.expands:
            total = (X * resp.sum(axis=0)) @ X.T
        return sums, (cross, squares, total)

    def outer(self, delta, coefficients):
        weighted = coefficients[:, None] * delta
        projected = np.einsum("krd,kd->kr", self._maps, delta)
        cross = weighted[:, :, None] * projected[:, None, :]
        return cross, weighted * delta, weighted.T @ delta

    def pack(self, matrices):
        cross = matrices @ self._maps.transpose(0, 2, 1)
        squares = np.diagonal(matrices, axis1=1, axis2=2)
        return cross, squares, matrices.sum(axis=0)

    @staticmethod
    def unit(n_components, n_features):
        shape = (n_components, n_features)
        return np.zeros((*shape, 1)), np.ones(shape)

    def restate(self, stats):
        """Return `stats` with the cross moments of this kernel's model.

        Cross moments depend on the factors of the pass that took them; old
        ones are replaced by what the present mixture implies.
        """
        factors, diagonal = self.covariances
        maps = self._maps.transpose(0, 2, 1)
        implied = factors @ (factors.transpose(0, 2, 1) @ maps)
        implied += diagonal[..., None] * maps
        cross = stats.counts[:, None, None] * implied
        return stats._replace(scatter=(cross, *stats.scatter[1:]))

    def estimate(self, stats, prior):
        cross, squares, total = stats.scatter
        pool = total / stats.weight
        count = stats.counts + prior.shrinkage
        pooled_cross = np.einsum("ij,krj->kir", pool, self._maps)
        second = (cross + prior.shrinkage * pooled_cross) / count[:, None, None]
        diagonal = squares + prior.shrinkage * np.diagonal(pool)
        diagonal = diagonal / count[:, None]
        # latent mean of a row x is L^-T W'(x - m); shapes (k, d, r), (k, r, r)
        inverse = np.linalg.inv(self._lower)
        latent = second @ inverse
        precision = inverse.transpose(0, 2, 1) @ inverse
        moment = precision + inverse.transpose(0, 2, 1) @ (self._maps @ latent)
        factors = np.linalg.solve(
            moment.transpose(0, 2, 1), latent.transpose(0, 2, 1)
        ).transpose(0, 2, 1)
        noise = diagonal - np.einsum("kdr,kdr->kd", factors, latent)
        share = lost_correlation(stats.weight, self.n_features, prior.shrinkage)
        if share:
            noise += share * (factors**2).sum(axis=2)
            factors = np.sqrt(1 - share) * factors
        # The fixed point keeps the diagonal of the second moment; rounding of
        # a perfectly explained feature may take it below zero.
        return factors, np.maximum(noise, 0.0) + prior.reg_covar

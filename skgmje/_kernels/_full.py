"""Hot loops of full covariances: one matrix per component."""

import numpy as np
from scipy.linalg.blas import dtrmm

from skgmje._backend import cholesky
from skgmje._kernels._kernel import LOG_2PI, Kernel, buffer

# The products x_i x_j of a row are written once and read by every component:
# for many features and few components, differences are cheaper.
MAX_EXPANDED_FEATURES = 256
FEATURES_PER_COMPONENT = 2
FEW_FEATURES = 8


class FullKernel(Kernel):
    """Hot loops of ``covariance_type='full'``.

    The log-density is linear in the products of the features,

    .. math:: \\log w_k N_k(x) = \\theta_k^\\top [1, x, x_i x_j (i \\le j)],

    so that one matrix product serves all components, and the M-step is the
    transposed product with the same features.
    """

    on_device = True

    @property
    def n_forms(self):
        d = self.n_features
        return (d + 1) * (d + 2) // 2 if self.expands else 2 * d

    def _prepare(self, limit):
        d = self.n_features
        lower = cholesky(self.covariances, "covariances")
        self._whitener = np.linalg.solve(lower, np.broadcast_to(np.eye(d), lower.shape))
        log_det = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
        self._log_norm = self.log_weights - log_det - 0.5 * d * LOG_2PI
        means = self.means - self.center
        white = np.einsum("kij,kj->ki", self._whitener, means)
        pays = d <= max(FEW_FEATURES, FEATURES_PER_COMPONENT * self.n_components)
        near = (white**2).sum(axis=1).max() <= limit
        if not (pays and near and d <= MAX_EXPANDED_FEATURES):
            return False
        precisions = self._whitener.transpose(0, 2, 1) @ self._whitener
        rows, columns = np.triu_indices(d)
        quadratic = -precisions[:, rows, columns]
        quadratic[:, rows == columns] *= 0.5
        self.theta = np.concatenate(
            [
                (self._log_norm - 0.5 * (white**2).sum(axis=1))[:, None],
                np.einsum("kij,kj->ki", precisions, means),
                quadratic,
            ],
            axis=1,
        )
        return True

    def features(self, X, work):
        d, n = X.shape
        features = buffer(work, "features", ((d + 1) * (d + 2) // 2, n))
        features[0] = 1.0
        features[1 : d + 1] = X
        start = d + 1
        for i in range(d):
            np.multiply(X[i:], X[i], out=features[start : start + d - i])
            start += d - i
        return features

    def _direct(self, X, work):
        joint = buffer(work, "joint", (self.n_components, X.shape[1]))
        diff = buffer(work, "diff", X.shape)
        means = self.means - self.center
        for k in range(self.n_components):
            np.subtract(X, means[k][:, None], out=diff)
            # In place, diff := whitener @ diff, at half the cost of a full product.
            dtrmm(1.0, self._whitener[k].T, diff.T, side=1, overwrite_b=1)
            np.einsum("ij,ij->j", diff, diff, out=joint[k])
        joint *= -0.5
        joint += self._log_norm[:, None]
        return joint, None

    def moments(self, X, resp, work):
        d = self.n_features
        if self.expands:
            totals = resp @ self.features(X, work).T
            return totals[:, 1 : d + 1], (totals[:, d + 1 :],)
        rows, columns = np.triu_indices(d)
        diff = buffer(work, "diff", X.shape)
        weighted = buffer(work, "white", X.shape)
        sums = np.empty((self.n_components, d))
        scatter = np.empty((self.n_components, len(rows)))
        means = self.means - self.center
        for k in range(self.n_components):
            np.subtract(X, means[k][:, None], out=diff)
            np.multiply(diff, resp[k], out=weighted)
            sums[k] = weighted.sum(axis=1)
            scatter[k] = (weighted @ diff.T)[rows, columns]
        return sums, (scatter,)

    def rows_features(self, xp, X):
        """Return the features of centred rows of any array library."""
        rows, columns = np.triu_indices(self.n_features)
        ones = xp.ones_like(X[:, :1])
        return xp.concat(
            [ones, X, X[:, rows.tolist()] * X[:, columns.tolist()]], axis=1
        )

    def split(self, totals):
        """Return sums and scatter of summed features."""
        return totals[:, 1 : self.n_features + 1], totals[:, self.n_features + 1 :]

    def outer(self, delta, coefficients):
        rows, columns = np.triu_indices(self.n_features)
        return (coefficients[:, None] * delta[:, rows] * delta[:, columns],)

    def pack(self, matrices):
        rows, columns = np.triu_indices(self.n_features)
        return (matrices[:, rows, columns],)

    @staticmethod
    def unit(n_components, n_features):
        return np.tile(np.eye(n_features), (n_components, 1, 1))

    def estimate(self, stats, prior):
        scatter = unpack_symmetric(stats.scatter[0], self.n_features)
        pool = scatter.sum(axis=0) / stats.weight
        target = prior.target(scatter, stats.counts, stats.means, pool)
        count = (stats.counts + prior.shrinkage)[:, None, None]
        covariances = (scatter + prior.shrinkage * target) / count
        diagonal = np.arange(self.n_features)
        covariances[:, diagonal, diagonal] += prior.reg_covar
        return covariances


def unpack_symmetric(packed, n_features):
    """Return symmetric matrices (..., d, d) from upper triangles (..., d(d+1)/2)."""
    rows, columns = np.triu_indices(n_features)
    matrices = np.empty((*packed.shape[:-1], n_features, n_features))
    matrices[..., rows, columns] = packed
    matrices[..., columns, rows] = packed
    return matrices

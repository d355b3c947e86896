"""Hot loops of a tied covariance: one matrix for all components."""

import numpy as np

from skgmje._backend import cholesky
from skgmje._kernels._kernel import (
    LOG_2PI,
    Kernel,
    buffer,
    decorrelate,
    lost_correlation,
)


class TiedKernel(Kernel):
    """Hot loops of ``covariance_type='tied'``.

    Rows are whitened once; the log-densities are linear in the whitened row and
    its square.
    """

    @property
    def n_forms(self):
        return 2 * self.n_features + 2

    n_first = n_forms

    def _prepare(self, limit):
        d = self.n_features
        lower = cholesky(self.covariances, "covariances")
        self._whitener = np.linalg.solve(lower, np.eye(d))
        log_det = np.log(np.diagonal(lower)).sum()
        self._normalise(self.log_weights - log_det - 0.5 * d * LOG_2PI)
        self._white_means = (self.means - self.center) @ self._whitener.T
        squares = (self._white_means**2).sum(axis=1)
        self.theta = np.column_stack(
            [
                self._white_means,
                self._log_norm - 0.5 * squares,
                np.full(self.n_components, -0.5),
            ]
        )
        return bool(squares.max() <= limit)

    def fill(self, block):
        d = self.n_features
        white = block[d:-2]
        np.matmul(self._whitener, block[:d], out=white)
        block[-2] = 1.0
        np.einsum("ij,ij->j", white, white, out=block[-1])

    def groups(self, block, work):
        return super().groups(block[self.n_features :], work)

    def _direct(self, columns, work):
        joint = buffer(work, "joint", (self.n_components, columns.shape[1]))
        diff = buffer(work, "diff", columns.shape)
        white = self._whitener @ columns
        for k in range(self.n_components):
            np.subtract(white, self._white_means[k][:, None], out=diff)
            np.einsum("ij,ij->j", diff, diff, out=joint[k])
        joint *= -0.5
        joint += self._log_norm[:, None]
        return joint

    def _expanded_moments(self, block, resp, work):
        columns = block[: self.n_features]
        weighted = buffer(work, "diff", columns.shape)
        np.multiply(columns, resp.sum(axis=0), out=weighted)
        return resp @ columns.T, (weighted @ columns.T,)

    def _direct_moments(self, columns, resp, work):
        diff = buffer(work, "diff", columns.shape)
        sums = np.empty((self.n_components, self.n_features))
        scatter = np.zeros((self.n_features, self.n_features))
        means = self.means - self.center
        for k in range(self.n_components):
            np.subtract(columns, means[k][:, None], out=diff)
            weighted = diff * resp[k]
            sums[k] = weighted.sum(axis=1)
            scatter += weighted @ diff.T
        return sums, (scatter,)

    def outer(self, delta, coefficients):
        return ((coefficients[:, None] * delta).T @ delta,)

    def pack(self, matrices):
        return (matrices.sum(axis=0),)

    @staticmethod
    def unit(n_components, n_features):
        return np.eye(n_features)

    def estimate(self, stats, prior):
        covariance = stats.scatter[0] / stats.weight
        covariance = 0.5 * (covariance + covariance.T)
        share = lost_correlation(stats.weight, self.n_features, prior.shrinkage)
        return decorrelate(covariance, share) + np.diag(prior.reg_covar)

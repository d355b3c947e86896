"""Hot loops of a tied covariance: one matrix for all components."""

import numpy as np

from skgmje._backend import cholesky
from skgmje._kernels._kernel import LOG_2PI, Kernel, buffer


class TiedKernel(Kernel):
    """Hot loops of ``covariance_type='tied'``.

    Rows are whitened once; the square of the whitened row is the same for all
    components and leaves the sum of exponentials.
    """

    @property
    def n_forms(self):
        return 2 * self.n_features + 1

    def _prepare(self, limit):
        d = self.n_features
        lower = cholesky(self.covariances, "covariances")
        self._whitener = np.linalg.solve(lower, np.eye(d))
        log_det = np.log(np.diagonal(lower)).sum()
        self._log_norm = self.log_weights - log_det - 0.5 * d * LOG_2PI
        self._white_means = (self.means - self.center) @ self._whitener.T
        squares = (self._white_means**2).sum(axis=1)
        self.theta = np.column_stack(
            [self._log_norm - 0.5 * squares, self._white_means]
        )
        return bool(squares.max() <= limit)

    def features(self, X, work):
        features = buffer(work, "features", (self.n_features + 1, X.shape[1]))
        features[0] = 1.0
        np.matmul(self._whitener, X, out=features[1:])
        return features

    def offset(self, features):
        return -0.5 * np.einsum("ij,ij->j", features[1:], features[1:])

    def _direct(self, X, work):
        joint = buffer(work, "joint", (self.n_components, X.shape[1]))
        diff = buffer(work, "diff", X.shape)
        white = self.features(X, work)[1:]
        for k in range(self.n_components):
            np.subtract(white, self._white_means[k][:, None], out=diff)
            np.einsum("ij,ij->j", diff, diff, out=joint[k])
        joint *= -0.5
        joint += self._log_norm[:, None]
        return joint, None

    def moments(self, X, resp, work):
        diff = buffer(work, "diff", X.shape)
        if self.expands:
            np.multiply(X, resp.sum(axis=0), out=diff)
            return resp @ X.T, (diff @ X.T,)
        sums = np.empty((self.n_components, self.n_features))
        scatter = np.zeros((self.n_features, self.n_features))
        means = self.means - self.center
        for k in range(self.n_components):
            np.subtract(X, means[k][:, None], out=diff)
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
        return covariance + np.diag(prior.reg_covar)

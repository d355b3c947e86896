"""Hot loops of diagonal and spherical covariances."""

import numpy as np

from skgmje._kernels._kernel import LOG_2PI, Kernel, buffer, check_positive


class DiagKernel(Kernel):
    """Hot loops of ``covariance_type='diag'``: linear in ``[1, x, x^2]``."""

    on_device = True

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
        return bool(squares.max() <= limit)

    def fill(self, block):
        d = self.n_features
        block[d] = 1.0
        np.multiply(block[:d], block[:d], out=block[d + 1 :])

    def _direct(self, columns, work):
        scales = np.broadcast_to(self._inverse_std, self.means.shape)
        return _scaled_squares(self, columns, scales, work)

    def _direct_moments(self, columns, resp, work):
        sums, scatter = _moments_about_means(self, columns, resp, work)
        return sums, (scatter,)

    def rows_features(self, xp, X):
        """Return the features of centred rows of any array library."""
        return xp.concat([X, xp.ones_like(X[:, :1]), X * X], axis=1)

    def outer(self, delta, coefficients):
        return (coefficients[:, None] * delta**2,)

    def pack(self, matrices):
        return (np.diagonal(matrices, axis1=1, axis2=2),)

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
        return bool(squares.max() <= limit)

    def fill(self, block):
        columns = block[: self.n_features]
        block[-2] = 1.0
        np.einsum("ij,ij->j", columns, columns, out=block[-1])

    def _direct(self, columns, work):
        scales = np.broadcast_to(self.covariances[:, None] ** -0.5, self.means.shape)
        return _scaled_squares(self, columns, scales, work)

    def _direct_moments(self, columns, resp, work):
        sums, scatter = _moments_about_means(self, columns, resp, work)
        return sums, (scatter.sum(axis=1),)

    def rows_features(self, xp, X):
        """Return the features of centred rows of any array library."""
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


def _scaled_squares(kernel, X, scales, work):
    joint = buffer(work, "joint", (kernel.n_components, X.shape[1]))
    diff = buffer(work, "diff", X.shape)
    means = kernel.means - kernel.center
    for k in range(kernel.n_components):
        np.subtract(X, means[k][:, None], out=diff)
        diff *= scales[k][:, None]
        np.einsum("ij,ij->j", diff, diff, out=joint[k])
    joint *= -0.5
    joint += kernel._log_norm[:, None]
    return joint


def _moments_about_means(kernel, X, resp, work):
    diff = buffer(work, "diff", X.shape)
    sums = np.empty((kernel.n_components, kernel.n_features))
    scatter = np.empty_like(sums)
    means = kernel.means - kernel.center
    for k in range(kernel.n_components):
        np.subtract(X, means[k][:, None], out=diff)
        sums[k] = diff @ resp[k]
        np.multiply(diff, diff, out=diff)
        scatter[k] = diff @ resp[k]
    return sums, scatter

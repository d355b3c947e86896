"""Hot loops of full covariances: one matrix per component."""

from functools import lru_cache

import numpy as np
from scipy.linalg.blas import dtrmm

from skgmje._backend import cholesky
from skgmje._kernels._kernel import (
    GROUP,
    LOG_2PI,
    Kernel,
    buffer,
    decorrelate,
    lost_correlation,
)

# The products x_i x_j of a row are written once and read by every component:
# for many features and few components, differences are cheaper.
MAX_EXPANDED_FEATURES = 256
FEATURES_PER_COMPONENT = 2
FEW_FEATURES = 8

# So many products and features are held for a block; more are computed in groups.
MAX_HELD = 1024

# The terms P_ij x_i x_j of a typical row may be so many times larger than the
# limit on their sum: nearly collinear features cancel without a distant mean.
CANCELLATION = 3.0

# Components whose maps are prepared at a time.
AT_A_TIME = 512


@lru_cache(maxsize=16)
def _triangle(n_features):
    """Return rows and columns of the upper triangle; many small fits ask for it."""
    triangle = np.triu_indices(n_features)
    for indices in triangle:
        indices.flags.writeable = False
    return triangle


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

    @property
    def n_held(self):
        return self.n_forms if self.n_forms <= MAX_HELD else 2 * GROUP

    @property
    def n_first(self):
        return self._runs[0][1].stop

    @property
    def tiles(self):
        # Products that are not held would be computed again for every tile.
        held = self.n_forms <= MAX_HELD
        return super().tiles if held else [slice(0, self.n_components)]

    def _prepare(self, limit):
        d = self.n_features
        lower = cholesky(self.covariances, "covariances")
        self._whitener = np.linalg.solve(lower, np.broadcast_to(np.eye(d), lower.shape))
        log_det = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
        self._normalise(self.log_weights - log_det - 0.5 * d * LOG_2PI)
        means = self.means - self.center
        white = np.einsum("kij,kj->ki", self._whitener, means)
        squares = (white**2).sum(axis=1)
        pays = d <= max(FEW_FEATURES, FEATURES_PER_COMPONENT * self.n_components)
        near = squares.max() <= limit
        if not (pays and near and d <= MAX_EXPANDED_FEATURES):
            return False
        variances = np.diagonal(self.covariances, axis1=1, axis2=2)
        size = np.sqrt(means**2 + variances)
        self._runs = _runs(d)
        self.theta = np.empty((self.n_components, (d + 1) * (d + 2) // 2))
        self.theta[:, d] = self._log_norm - 0.5 * squares
        rows, columns = _triangle(d)
        for start in range(0, self.n_components, AT_A_TIME):
            tile = slice(start, start + AT_A_TIME)
            whitener = self._whitener[tile]
            precisions = whitener.transpose(0, 2, 1) @ whitener
            terms = np.einsum(
                "kij,ki,kj->k", np.abs(precisions), size[tile], size[tile]
            )
            if terms.max() > CANCELLATION * limit:
                return False
            self.theta[tile, :d] = np.einsum("kij,kj->ki", precisions, means[tile])
            quadratic = precisions[:, rows, columns]
            quadratic *= np.where(rows == columns, -0.5, -1.0)
            self.theta[tile, d + 1 :] = quadratic
        return True

    def fill(self, block):
        d = self.n_features
        block[d] = 1.0
        _products(block[:d], self._runs[0][0], block[d + 1 :])

    def groups(self, block, work):
        yield from super().groups(block, work)
        for features, part in self._runs[1:]:
            shape = (part.stop - part.start, block.shape[1])
            products = buffer(work, "products", shape)
            _products(block[: self.n_features], features, products)
            yield part, products

    def _direct(self, columns, work):
        joint = buffer(work, "joint", (self.n_components, columns.shape[1]))
        diff = buffer(work, "diff", columns.shape)
        means = self.means - self.center
        for k in range(self.n_components):
            np.subtract(columns, means[k][:, None], out=diff)
            # In place, diff := whitener @ diff, at half the cost of a full product.
            dtrmm(1.0, self._whitener[k].T, diff.T, side=1, overwrite_b=1)
            np.einsum("ij,ij->j", diff, diff, out=joint[k])
        joint *= -0.5
        joint += self._log_norm[:, None]
        return joint

    def _direct_moments(self, columns, resp, work):
        triangle = _triangle(self.n_features)
        diff = buffer(work, "diff", columns.shape)
        weighted = buffer(work, "white", columns.shape)
        sums = np.empty(self.means.shape)
        scatter = np.empty((self.n_components, len(triangle[0])))
        means = self.means - self.center
        for k in range(self.n_components):
            np.subtract(columns, means[k][:, None], out=diff)
            np.multiply(diff, resp[k], out=weighted)
            sums[k] = weighted.sum(axis=1)
            scatter[k] = (weighted @ diff.T)[triangle]
        return sums, (scatter,)

    def rows_features(self, xp, X):
        """Return the features of centred rows of any array library."""
        rows, columns = _triangle(self.n_features)
        ones = xp.ones_like(X[:, :1])
        return xp.concat(
            [X, ones, X[:, rows.tolist()] * X[:, columns.tolist()]], axis=1
        )

    def outer(self, delta, coefficients):
        rows, columns = _triangle(self.n_features)
        return (coefficients[:, None] * delta[:, rows] * delta[:, columns],)

    def pack(self, matrices):
        rows, columns = _triangle(self.n_features)
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
        share = lost_correlation(stats.weight, self.n_features, prior.shrinkage)
        decorrelate(covariances, share)
        diagonal = np.arange(self.n_features)
        covariances[:, diagonal, diagonal] += prior.reg_covar
        return covariances


def unpack_symmetric(packed, n_features):
    """Return symmetric matrices (..., d, d) from upper triangles (..., d(d+1)/2)."""
    rows, columns = _triangle(n_features)
    matrices = np.empty((*packed.shape[:-1], n_features, n_features))
    matrices[..., rows, columns] = packed
    matrices[..., columns, rows] = packed
    return matrices


def _runs(n_features):
    """Split features i into runs whose products x_i x_j (i <= j) are held together.

    Returns
    -------
    runs : list of (range, slice)
        Features i, and where in the whole row of features their products stand;
        the first run begins with the row itself and a one.
    """
    n_forms = (n_features + 1) * (n_features + 2) // 2
    size = MAX_HELD if n_forms <= MAX_HELD else GROUP
    runs, begin, start, stop = [], 0, 0, n_features + 1
    for i in range(n_features):
        if stop + n_features - i - start > size:
            runs.append((range(begin, i), slice(start, stop)))
            begin, start = i, stop
        stop += n_features - i
    return [*runs, (range(begin, n_features), slice(start, stop))]


def _products(columns, features, out):
    """Write the products of some features with those from themselves on."""
    start = 0
    for i in features:
        stop = start + len(columns) - i
        np.multiply(columns[i:], columns[i], out=out[start:stop])
        start = stop

"""Full and tied covariances, and their loops."""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy.linalg.blas import dtrmm

from skgmje._backend import (
    LOG_2PI,
    cholesky,
    eye_like,
    invert_triangular,
    namespace,
    slices,
    solve_triangular,
    transpose,
)
from skgmje.gaussian._covariance_type import (
    GROUP,
    CovarianceType,
    Kernel,
    as_pairs,
    buffer,
    collapse,
    decorrelate,
    flatten_pairs,
    is_shared,
    lost_correlation,
    take_times,
)

# The products x_i x_j of a row are written once and read by every component:
# for many features and few components, differences are cheaper.
MAX_EXPANDED_FEATURES = 256
FEATURES_PER_COMPONENT = 3
FEW_FEATURES = 8

# So many products and features are held for a block; more are computed in groups.
MAX_HELD = 1024

# The terms P_ij x_i x_j of a typical row may be so many times larger than the
# limit on their sum: nearly collinear features cancel without a distant mean.
CANCELLATION = 3.0

# Components whose maps are prepared at a time.
AT_A_TIME = 512


def _read_only(*arrays):
    """Return index arrays that many small fits ask for."""
    for array in arrays:
        array.flags.writeable = False
    return arrays


@lru_cache(maxsize=16)
def _triangle(n_features):
    """Return rows and columns of the upper triangle."""
    return _read_only(*np.triu_indices(n_features))


@lru_cache(maxsize=16)
def _diagonals(n_features):
    """Return the same one diagonal after another, and their places in that order."""
    rows, columns = _triangle(n_features)
    order = np.argsort(columns - rows, kind="stable")
    return _read_only(rows[order], columns[order], np.argsort(order))


class FullKernel(Kernel):
    """Hot loops of ``covariance_type='full'``."""

    on_device = True
    per_component = True

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
    def is_tiled(self):
        # Products that are not held would be computed again for every tile.
        return self.n_forms <= MAX_HELD

    def _prepare(self, limit):
        d = self.n_features
        lower = cholesky(self.covariances, "covariances")
        self._whitener = np.linalg.solve(lower, np.broadcast_to(np.eye(d), lower.shape))
        log_det = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
        self._normalise(self.log_weights - log_det - 0.5 * d * LOG_2PI)
        means = self.centered
        white = np.einsum("kij,kj->ki", self._whitener, means)
        squares = (white**2).sum(axis=1)
        pays = d <= max(FEW_FEATURES, FEATURES_PER_COMPONENT * self.n_components)
        near = squares <= limit
        if not (pays and near.any() and d <= MAX_EXPANDED_FEATURES):
            return False
        variances = np.diagonal(self.covariances, axis1=1, axis2=2)
        size = np.sqrt(means**2 + variances)
        self._runs = _runs(d)
        self.later = tuple(part for _, part in self._runs[1:])
        self.theta = np.empty((self.n_components, (d + 1) * (d + 2) // 2))
        self.theta[:, d] = self._log_norm - 0.5 * squares
        rows, columns, _ = _diagonals(d)
        for tile in slices(self.n_components, AT_A_TIME):
            whitener = self._whitener[tile]
            precisions = whitener.transpose(0, 2, 1) @ whitener
            factors = np.abs(precisions), size[tile], size[tile]
            terms = np.einsum("kij,ki,kj->k", *factors)
            near[tile] &= terms <= CANCELLATION * limit
            self.theta[tile, :d] = np.einsum("kij,kj->ki", precisions, means[tile])
            quadratic = precisions[:, rows, columns]
            quadratic *= np.where(rows == columns, -0.5, -1.0)
            self.theta[tile, d + 1 :] = quadratic
        return near

    def fill(self, block):
        d = self.n_features
        block[d] = 1.0
        _products(block[:d], self._runs[0][0], block[d + 1 :])

    def features(self, part, block, work):
        products = buffer(work, "products", (part.stop - part.start, block.shape[1]))
        diagonals = self._runs[1 + self.later.index(part)][0]
        _products(block[: self.n_features], diagonals, products)
        return products

    def _direct(self, columns, joint, work):
        for k, diff in self.differences(columns, joint, work):
            # In place, diff := whitener @ diff, at half the cost of a full product.
            dtrmm(1.0, self._whitener[k].T, diff.T, side=1, overwrite_b=1)
            self._from_white(k, diff, joint[k])

    def _direct_moments(self, columns, resp, work, components):
        triangle = _triangle(self.n_features)
        weighted = buffer(work, "white", columns.shape)
        sums = np.empty((len(components), self.n_features))
        scatter = np.empty((len(components), len(triangle[0])))
        for i, (k, diff) in enumerate(self.differences(columns, components, work)):
            np.multiply(diff, resp[k], out=weighted)
            sums[i] = weighted.sum(axis=1)
            scatter[i] = (weighted @ diff.T)[triangle]
        return sums, (scatter,)

    def split(self, totals):
        d = self.n_features
        return totals[:, :d], (totals.take(d + 1 + _diagonals(d)[2], axis=1),)

    def rows_features(self, xp, X):
        rows, columns, _ = (i.tolist() for i in _diagonals(self.n_features))
        return xp.concat(
            [X, xp.ones_like(X[:, :1]), X[:, rows] * X[:, columns]], axis=1
        )

    def outer(self, delta, coefficients):
        rows, columns = _triangle(self.n_features)
        return (coefficients[:, None] * delta[:, rows] * delta[:, columns],)

    def pack(self, matrices):
        rows, columns = _triangle(self.n_features)
        return (matrices[:, rows, columns],)

    @staticmethod
    def diagonal(scatter, n_features):
        return unpack_symmetric(scatter[0], n_features).diagonal()

    @staticmethod
    def unit(n_components, n_features):
        return np.tile(np.eye(n_features), (n_components, 1, 1))

    def estimate(self, stats, prior):
        scatter = unpack_symmetric(stats.scatter[0], self.n_features)
        covariances = self.shrunk(scatter, stats, prior)
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
    """Split diagonals i into runs whose products x_j x_(i+j) are held together."""
    n_forms = (n_features + 1) * (n_features + 2) // 2
    size = MAX_HELD if n_forms <= MAX_HELD else GROUP
    runs, begin, start, stop = [], 0, 0, n_features + 1
    for i in range(n_features):
        if stop + n_features - i - start > size:
            runs.append((range(begin, i), slice(start, stop)))
            begin, start = i, stop
        stop += n_features - i
    return [*runs, (range(begin, n_features), slice(start, stop))]


def _products(columns, diagonals, out):
    """Write the products of features that are so many places apart."""
    start = 0
    for i in diagonals:
        pairs = len(columns) - i
        # All in one piece of memory: nearly twice as fast as feature by feature.
        np.multiply(columns[:pairs], columns[i:], out=out[start : start + pairs])
        start += pairs


class TiedKernel(Kernel):
    """Hot loops of ``covariance_type='tied'``."""

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
        self._white_means = self.centered @ self._whitener.T
        squares = (self._white_means**2).sum(axis=1)
        constant, halves = self._log_norm - 0.5 * squares, np.full(len(squares), -0.5)
        self.theta = np.column_stack([self._white_means, constant, halves])
        return squares <= limit

    def fill(self, block):
        d = self.n_features
        white = block[d:-2]
        np.matmul(self._whitener, block[:d], out=white)
        block[-2] = 1.0
        np.einsum("ij,ij->j", white, white, out=block[-1])

    def groups(self, block, work):
        return super().groups(block[self.n_features :], work)

    def _direct(self, columns, joint, work):
        diff = buffer(work, "diff", columns.shape)
        white = self._whitener @ columns
        for k, own in joint.items():
            np.subtract(white, self._white_means[k][:, None], out=diff)
            self._from_white(k, diff, own)

    def _expanded_moments(self, block, resp, work):
        columns = block[: self.n_features]
        weighted = buffer(work, "diff", columns.shape)
        np.multiply(columns, resp.sum(axis=0), out=weighted)
        return resp @ columns.T, (weighted @ columns.T,)

    def _direct_moments(self, columns, resp, work, components):
        sums = np.empty((self.n_components, self.n_features))
        scatter = np.zeros((self.n_features, self.n_features))
        for k, diff in self.differences(columns, components, work):
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


class Matrices(CovarianceType):
    """What full and tied covariances have in common."""

    #: Axes of the covariances behind the leading ones.
    n_core: ClassVar[int]

    @abstractmethod
    def times(self, rows, matrices):
        """Multiply rows (..., K, p) by the matrices (p, q) of their components."""

    def variances(self, covariances):
        return _diagonal(covariances)

    def check(self, covariances):
        if 0 in covariances.shape:
            return
        xp = namespace(covariances)
        gap = xp.max(xp.abs(covariances - transpose(covariances)))
        largest = xp.max(xp.abs(covariances))
        if not bool(gap <= largest * xp.finfo(covariances.dtype).eps ** 0.5):
            raise ValueError(
                f"covariances has a matrix that is not symmetric, by {float(gap):g}. "
                "Pass 0.5 * (covariances + its transpose)."
            )

    def symmetrize(self, covariances):
        return 0.5 * (covariances + transpose(covariances))

    def precisions_cholesky(self, covariances):
        lower = cholesky(collapse(covariances, self.n_core), "covariances")
        xp = namespace(lower)
        # A batched solve leaves rounding below the diagonal.
        return xp.triu(transpose(invert_triangular(lower)))

    def square(self, precisions_cholesky):
        return precisions_cholesky @ transpose(precisions_cholesky)

    def whiten(self, diff, precisions_cholesky):
        return self.times(diff, precisions_cholesky)

    def solve(self, diff, precisions_cholesky):
        white = self.times(diff, precisions_cholesky)
        return self.times(white, transpose(precisions_cholesky))

    def marginal(self, covariances, indices):
        return covariances[..., indices, :][..., indices]

    def conditional(self, covariances, given, rest, diff):
        gain, covariances = _schur(collapse(covariances, self.n_core), given, rest)
        return self.times(diff, transpose(gain)), covariances

    def stretch(self, covariances, factors):
        return self.name, covariances * factors[:, None] * factors

    def transform(self, covariances, matrix):
        mapped = matrix @ covariances @ transpose(matrix)
        return self.name, self.symmetrize(mapped)

    def multiply(self, first, second, diff):
        """Return shifts and covariances of products, all of shape (..., I, J, d)."""
        lower = cholesky(first + second, "covariances")
        xp = namespace(lower)
        left = solve_triangular(lower, xp.broadcast_to(first, lower.shape))
        right = solve_triangular(lower, xp.broadcast_to(second, lower.shape))
        white = invert_triangular(lower) @ diff[..., None]
        shift = (transpose(left) @ white)[..., 0]
        return shift, self.symmetrize(transpose(left) @ right)

    def parameter_shapes(self, shape):
        return shape[:-1], shape

    def from_parameters(self, scales, lower):
        xp = namespace(lower)
        unit = xp.tril(lower, k=-1) + eye_like(lower)
        root = invert_triangular(unit / scales[..., None])
        return root @ transpose(root)

    def parameters(self, precisions_cholesky):
        xp = namespace(precisions_cholesky)
        factor = transpose(precisions_cholesky)
        diagonal = _diagonal(factor)
        return 1 / diagonal, xp.tril(factor / diagonal[..., None], k=-1)


class Full(Matrices):
    """Each component has its own matrix, shape (..., K, d, d)."""

    name = sklearn_name = "full"
    loops = FullKernel
    wider = ()
    auto_from = 0
    shrinkages = (0.0, 2.0, 20.0, 100.0)
    few_shrinkages = (0.0, 2.0, 20.0, 100.0, 1000.0)
    place = 4
    n_core = 3

    def shape(self, n_components, n_features, rank=1):
        return (n_components, n_features, n_features)

    def n_parameters(self, n_components, n_features, rank=1):
        return n_components * n_features * (n_features + 1) // 2

    def convert(self, kind, covariances, n_components, n_features):
        return kind.dense(covariances, n_components, n_features)

    def dense(self, covariances, n_components, n_features):
        return covariances

    def pooled(self, covariances, weights, n_features):
        xp = namespace(covariances)
        leading = weights.shape[:-1]
        covariances = collapse(covariances, 3)
        flat = xp.reshape(covariances, (*covariances.shape[:-2], n_features**2))
        return xp.reshape(weights[..., None, :] @ flat, (*leading, *(n_features,) * 2))

    def log_det(self, precisions_cholesky, n_features):
        return _log_det(precisions_cholesky)

    def times(self, rows, matrices):
        return each_times(rows, matrices)

    def root(self, covariances):
        lower = cholesky(collapse(covariances, 3), "covariances")
        return namespace(lower).broadcast_to(lower, covariances.shape)

    def noise(self, root, component, normals):
        return take_times(root, component, normals)

    def select(self, covariances, components):
        return covariances[..., components, :, :]

    def pair_sum(self, first, second):
        first, second = as_pairs(first, second, 3)
        return first + second

    def product(self, first, second, diff):
        shift, covariances = self.multiply(*as_pairs(first, second, 3), diff)
        return shift, flatten_pairs(covariances, 2)


class Tied(Matrices):
    """All components share one matrix, shape (..., d, d)."""

    name = sklearn_name = "tied"
    loops = TiedKernel
    auto_from = 0
    shrinkages = (0.0,)
    few_shrinkages = (0.0, 2.0, 20.0, 1000.0)
    n_core = 2

    def shape(self, n_components, n_features, rank=1):
        return (n_features, n_features)

    def n_parameters(self, n_components, n_features, rank=1):
        return n_features * (n_features + 1) // 2

    def convert(self, kind, covariances, n_components, n_features):
        matrices = kind.dense(covariances, n_components, n_features)
        return namespace(matrices).mean(matrices, axis=-3)

    def dense(self, covariances, n_components, n_features):
        shape = (*covariances.shape[:-2], n_components, n_features, n_features)
        return namespace(covariances).broadcast_to(covariances[..., None, :, :], shape)

    def pooled(self, covariances, weights, n_features):
        return covariances

    def log_det(self, precisions_cholesky, n_features):
        return _log_det(precisions_cholesky)[..., None]

    def times(self, rows, matrices):
        return all_times(rows, matrices)

    def root(self, covariances):
        return cholesky(collapse(covariances, 2), "covariances")

    def noise(self, root, component, normals):
        return all_times(normals[..., None, :], transpose(root))[..., 0, :]

    def select(self, covariances, components):
        return covariances

    def pair_sum(self, first, second):
        return (first + second)[..., None, :, :]

    def product(self, first, second, diff):
        first, second = first[..., None, None, :, :], second[..., None, None, :, :]
        shift, covariances = self.multiply(first, second, diff)
        return shift, covariances[..., 0, 0, :, :]


def _diagonal(matrices):
    """Return the diagonals of matrices (..., d, d), (..., d)."""
    return namespace(matrices).linalg.diagonal(matrices)


def _log_det(upper):
    """Return log-determinants of triangles (..., d, d), (...)."""
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
    first, below = lower[..., :n_given, :n_given], lower[..., n_given:, :n_given]
    gain = below @ invert_triangular(first)
    last = lower[..., n_given:, n_given:]
    return gain, last @ transpose(last)

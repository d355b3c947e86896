"""Optimal transport between Gaussian mixtures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array
from scipy.special import ellipk, ellipkm1

from skgmje._backend import (
    as_generator,
    asarray_like,
    block_rows,
    detach,
    eye_like,
    is_torch,
    namespace,
    to_numpy,
)
from skgmje._bridges import as_mixture
from skgmje._settings import own_errors
from skgmje._typing import Array, ArrayLike, NDArray, RandomState
from skgmje.gaussian._checks import check_partner, check_rows
from skgmje.gaussian._covariance import common_type, simplest_type, widen

# Squared distances below this share of the variances are computed anew, without the
# difference of large numbers.
_CLOSE = 1e-6

# Features for each low-rank factor from which integrals are faster than matrices.
_FEATURES = 8


@own_errors
def wasserstein(
    p: Any, q: Any, *, return_plan: bool = False
) -> tuple[float | Array, NDArray[Any]]:
    r"""Compute the Wasserstein distance of two mixtures by plans that are mixtures.

    .. math:: MW_2^2(p, q) = \min_{\pi} \sum_{ij} \pi_{ij}
        W_2^2\bigl(N(\mu_i, \Sigma_i), N(\mu'_j, \Sigma'_j)\bigr)

    over matrices :math:`\pi \ge 0` with the weights as sums of rows and columns [1]_,
    where

    .. math:: W_2^2 = \|\mu - \mu'\|^2 + \mathrm{tr}\bigl(\Sigma + \Sigma'
        - 2 (\Sigma^{1/2} \Sigma' \Sigma^{1/2})^{1/2}\bigr)

    It is at least the Wasserstein distance of the densities, and equal to it for one
    component each.

    Parameters
    ----------
    p, q : Mixture or fitted estimator
        Whatever :func:`skgmje.as_mixture` takes, of the same features. Of mixtures of
        tensors the result has a gradient.

    return_plan : bool, default=False
        Whether to return the plan, too.

    Returns
    -------
    distance : float or tensor
        In the units of the features.

    plan : ndarray of shape (n_components of p, n_components of q)
        How much of each component goes where. Only if `return_plan`.

    Raises
    ------
    TypeError
        If a density is not one Gaussian mixture.

    ValueError
        If the numbers of features differ.

    See Also
    --------
    transport_map : Where the samples go.
    kl_divergence : Without units, and not symmetric.

    References
    ----------
    .. [1] J. Delon and A. Desolneux (2020). A Wasserstein-type distance in the space
       of Gaussian mixture models. SIAM Journal on Imaging Sciences 13(2).

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import wasserstein
    >>> first = Mixture([0.5, 0.5], [[0.0], [9.0]], [1.0, 1.0], "spherical")
    >>> round(wasserstein(first, first.affine(1.0, 2.0)), 6)
    2.0
    """
    p, q = as_mixture(p), as_mixture(q)
    check_partner(p, q)
    costs = _squared_distances(p, q)
    weights = to_numpy(p.weights), to_numpy(q.weights)
    plan, *prices = _find_plan(to_numpy(costs), *weights)
    total = namespace(costs).sum(asarray_like(plan, costs) * costs)
    if not is_torch(costs):
        distance = float(total) ** 0.5
    else:
        # By the weights the least cost has the slopes of the dual program.
        for mixture, price in zip((p, q), prices, strict=True):
            moved = mixture.weights - detach(mixture.weights)
            total = total + (asarray_like(price, costs) * moved).sum()
        # At 0 the root has no slope: 0 is one of those of the distance.
        distance = total**0.5 if total > 0 else 0.0 * total
    return (distance, plan) if return_plan else distance


@dataclass(frozen=True, eq=False)
class TransportMap:
    """The map that moves samples of one mixture to another; see `transport_map`.

    Called with samples it returns the mean of the places that each may go to. If they
    belong to several components that may lie between them: see :meth:`sample`.

    Parameters
    ----------
    source, target : Mixture
        NumPy arrays.

    plan : ndarray of shape (n_components of source, n_components of target)
        How much of each component goes where.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import transport_map
    >>> first = Mixture([1.0], [[0.0]], [1.0], "spherical")
    >>> move = transport_map(first, first.affine(3.0, 1.0))
    >>> move([[0.0], [1.0]])
    array([[1.],
           [4.]])
    """

    source: Any
    target: Any
    plan: Any

    def __call__(self, X):
        """Return the mean of the places that each sample may go to, shaped as X."""
        X, shares = self._share(X)
        return sum(
            shares[:, [k]] * (mean + (X - center) @ matrix)
            for k, (center, matrix, mean) in enumerate(self._moves)
        )

    def sample(self, X: ArrayLike, random_state: RandomState = None) -> NDArray[Any]:
        """Return one place that each sample goes to, drawn by the plan.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples of the source.

        random_state : int, numpy.random.Generator, RandomState or None
            Source of randomness.

        Returns
        -------
        moved : ndarray of shape (n_samples, n_features)
            Distributed as the target, if `X` is as the source.
        """
        X, shares = self._share(X)
        # Of a stream of their own: samples drawn by the same seed know its numbers.
        seed = as_generator(random_state).integers(2**63)
        draws = np.random.default_rng(seed).random((len(X), 1))
        below = np.cumsum(shares, axis=1) < draws * shares.sum(axis=1)[:, None]
        chosen = below.sum(axis=1)
        moved = np.empty(X.shape)
        for k, (center, matrix, mean) in enumerate(self._moves):
            own = chosen == k
            moved[own] = mean + (X[own] - center) @ matrix
        return moved

    @cached_property
    def _moves(self):
        """The map of each pair of components: about what, its matrix, and where to."""
        first, second = np.nonzero(self.plan)
        old, new = (widen(mixture, "full") for mixture in (self.source, self.target))
        roots = np.linalg.cholesky(old[first])
        values, vectors = np.linalg.eigh(roots.swapaxes(1, 2) @ new[second] @ roots)
        # With S = L L^T the map is L^-T (L^T S' L)^(1/2) L^-1.
        sides = np.linalg.inv(roots).swapaxes(1, 2) @ vectors
        stretch = np.sqrt(np.maximum(values, 0))[:, None]
        matrices = sides * stretch @ sides.swapaxes(1, 2)
        moves = self.source.means[first], matrices, self.target.means[second]
        return list(zip(*moves, strict=True))

    def _share(self, X):
        """Return checked samples, and the share of each move in them, (n, n_moves)."""
        X = np.atleast_2d(check_rows(np.asarray(X, np.float64), self.source))
        first, second = np.nonzero(self.plan)
        weights = self.plan[first, second] / self.plan.sum(axis=1)[first]
        return X, self.source.responsibilities(X)[:, first] * weights


@own_errors
def transport_map(p: Any, q: Any) -> TransportMap:
    r"""Return the map that moves samples of a mixture to another at the least cost.

    Of the optimal plan of :func:`wasserstein` it moves component i to component j by

    .. math:: T_{ij}(x) = \mu'_j + \Sigma_i^{-1/2} (\Sigma_i^{1/2} \Sigma'_j
        \Sigma_i^{1/2})^{1/2} \Sigma_i^{-1/2} (x - \mu_i)

    and a sample by the component that it comes from.

    Parameters
    ----------
    p, q : Mixture or fitted estimator
        As those of :func:`wasserstein`.

    Returns
    -------
    move : TransportMap
        ``move(X)`` is the mean place, ``move.sample(X)`` one drawn place, so that
        samples of p become samples of q.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import transport_map
    >>> first = Mixture([0.5, 0.5], [[0.0], [9.0]], [1.0, 1.0], "spherical")
    >>> transport_map(first, first.affine(1.0, 2.0))(np.array([[0.0]])).round(3)
    array([[2.]])
    """
    p, q = as_mixture(p).to_numpy(), as_mixture(q).to_numpy()
    _, plan = wasserstein(p, q, return_plan=True)
    return TransportMap(p, q, plan)


def _find_plan(costs, weights, others):
    """Return the plan of the least cost, (I, J), and the prices of both weights."""
    n, m = costs.shape
    if n == 1 or m == 1:
        # One side alone has a price: the other has to take it all.
        one = np.zeros(1)
        prices = (one, costs[0]) if n == 1 else (costs[:, 0], one)
        return weights[:, None] * others, *prices
    pair = np.arange(n * m)
    # The last column follows from the others.
    rows = np.concatenate([pair // m, n + pair % m])
    columns = np.concatenate([pair, pair])
    sums = coo_array((np.ones(2 * n * m), (rows, columns))).tocsr()[:-1]
    weights, others = (np.asarray(w, np.float64) for w in (weights, others))
    wanted = np.concatenate([weights / weights.sum(), others / others.sum()])[:-1]
    unit = max(costs.max(), np.finfo(float).tiny)
    found = linprog(costs.ravel() / unit, A_eq=sums, b_eq=wanted, method="highs")
    if found.x is None:
        raise ValueError(f"The linear program of the transport failed: {found.message}")
    prices = unit * np.append(found.eqlin.marginals, 0.0)
    return np.maximum(found.x, 0.0).reshape(n, m), prices[:n], prices[n:]


def _squared_distances(p, q):
    """Return squared Wasserstein distances of all pairs of components, (I, J)."""
    xp = namespace(p.means)
    diff = p.means[:, None] - q.means
    if simplest_type(p.covariance_type, q.covariance_type) == "diag":
        scales = [widen(mixture, "diag") ** 0.5 for mixture in (p, q)]
        diff = xp.concat([diff, scales[0][:, None] - scales[1]], axis=-1)
        return xp.sum(diff * diff, axis=-1)
    if common_type(p.covariance_type, q.covariance_type) == "low-rank":
        sides = [widen(mixture, "low-rank") for mixture in (p, q)]
        n_factors = sum(factors.shape[-1] for factors, _ in sides)
        if p.n_features > _FEATURES * n_factors:
            return xp.sum(diff * diff, axis=-1) + _low_rank_bures(*sides)
    roots = [xp.linalg.cholesky(widen(mixture, "full")) for mixture in (p, q)]
    step = block_rows(q.n_components * p.n_features**2)
    starts = range(0, p.n_components, step)
    blocks = [_bures(roots[0][i : i + step, None], roots[1]) for i in starts]
    return xp.sum(diff * diff, axis=-1) + xp.concat(blocks, axis=0)


def _bures(first, second):
    """Return squared distances of covariances by roots (I, 1, d, d) and (J, d, d)."""
    xp = namespace(first)
    # tr (S^(1/2) S' S^(1/2))^(1/2) is the sum of the singular values of L^T L'.
    products = xp.matrix_transpose(first) @ second
    shared = xp.sum(xp.linalg.svdvals(products), axis=-1)
    traces = xp.sum(first**2, axis=(-2, -1)) + xp.sum(second**2, axis=(-2, -1))
    squares = traces - 2 * shared
    close = to_numpy(squares < _CLOSE * traces)
    if is_torch(first) or not close.any():
        return xp.where(squares > 0, squares, xp.zeros_like(squares))
    # The distance of L from L' turned as near as may be, without a difference of sums.
    i, j = np.nonzero(close)
    left, _, right = np.linalg.svd(products[i, j])
    turned = first[i, 0] @ (left @ right) - second[j]
    squares[i, j] = (turned**2).sum(axis=(-2, -1))
    return squares


def _low_rank_bures(first, second):
    """Return squared distances of covariances F F^T + D, without matrices (d, d)."""
    xp = namespace(first[0])
    sizes = [xp.sum(f**2, axis=(-2, -1)) for f, _ in (first, second)]
    lows = [float(to_numpy(d).min()) for _, d in (first, second)]
    highs = [
        float(to_numpy(xp.max(d, axis=-1) + size).max())
        for size, (_, d) in zip(sizes, (first, second), strict=True)
    ]
    nodes = _nodes(math.prod(lows), math.prod(highs))
    n_entries = math.prod(second[0].shape) + first[0].shape[-1] * len(second[0])
    step = block_rows(2 * n_entries)
    starts = range(0, len(first[0]), step)
    blocks = [[a[i : i + step, None] for a in first] for i in starts]
    return xp.concat([_low_rank_block(b, second, nodes) for b in blocks], axis=0)


def _nodes(low, high):
    """Return places and weights of an integral over s > 0, analytic off i sqrt(x)."""
    # By s = sqrt(low) sc(t) the midpoint rule of 2n places has an error of
    # exp(-2 pi^2 n / K'), if all x lie between low and high (Hale, Higham and
    # Trefethen, 2008). Of the series of sc one half is needed: s s' = sqrt(low high).
    ratio = min(low / high, 0.5)
    quarter, period = ellipk(ratio), ellipkm1(ratio)
    n = math.ceil(16 * period / math.pi**2)
    t = (np.arange(n) + 0.5) * period / (2 * n)
    odd = 2 * np.arange(16) + 1
    log_nome, rate = -math.pi * period / quarter, odd * math.pi / (2 * quarter)
    up = np.exp(odd / 2 * log_nome + rate * t[:, None])
    down = np.exp(odd / 2 * log_nome - rate * t[:, None])
    scale = low**0.5 * math.pi / (ratio**0.5 * quarter)
    factors = scale / -np.expm1(odd * log_nome)
    place, slope = (up - down) @ factors, (up + down) @ (factors * rate)
    other = low / ratio**0.5 / place
    weights = np.concatenate([slope, other / place * slope]) * period / (2 * n)
    return np.concatenate([place, other]), weights


def _low_rank_block(first, second, nodes):
    """Return squared distances of covariances (I, 1, ...) and (J, ...)."""
    (left, own), (right, others) = first, second
    xp, turn = namespace(left), namespace(left).matrix_transpose
    # The root of an eigenvalue x of S S' is the integral of log(1 + x / s^2) / pi over
    # s > 0. That of all less those of D D' is the determinant of a few rows:
    # det(s^2 + S S') = det [S, s; -s, S'], both of which are diagonal but for factors.
    product = own * others
    shared = xp.sum(product**0.5, axis=-1)
    for place, weight in zip(*nodes, strict=True):
        share = 1 / (place**2 + product)
        top = turn(left) @ ((others * share)[..., None] * left)
        side = turn(left) @ ((place * share)[..., None] * right)
        low = turn(right) @ ((own * share)[..., None] * right)
        rows = xp.concat([top, side], axis=-1), xp.concat([-turn(side), low], axis=-1)
        small = xp.concat(rows, axis=-2)
        log_det = xp.linalg.slogdet(small + eye_like(small))[1]
        shared = shared + weight / math.pi * log_det
    sides = (left, own), (right, others)
    traces = sum(xp.sum(f**2, axis=(-2, -1)) + xp.sum(d, axis=-1) for f, d in sides)
    # Factors that are turned as near as may be are no closer, without a difference of
    # large numbers; their turn, the best, has no slope.
    squares = traces - 2 * shared
    if left.shape[-1] == right.shape[-1]:
        turned, _, back = xp.linalg.svd(detach(turn(left) @ right))
        apart = left @ (turned @ back) - right
        bound = xp.sum((own**0.5 - others**0.5) ** 2, axis=-1)
        squares = xp.minimum(squares, bound + xp.sum(apart**2, axis=(-2, -1)))
    return xp.where(squares > 0, squares, xp.zeros_like(squares))

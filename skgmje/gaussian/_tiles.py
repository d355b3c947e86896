"""Sums of Gaussian kernels over tiles of pairs."""

import math
from typing import Any, NamedTuple

import numpy as np

from skgmje._backend import namespace, slices
from skgmje.gaussian._processor import exp_in_place

# Pairs of a tile, small enough to stay near a core.
_PAIRS = 2**16
_WIDTH = 256

# Exponentials of numbers below are slow, and nothing beside a sum near 1.
_FLOORS = {32: -80.0, 64: -700.0}

# Exponentials of numbers above this share of the floor have squares that add up.
_SAFE = 0.4

# Arrays of the size of a tile that a sum of several kernels holds at once.
_BUFFERS = 4

# A sum may exceed its scale by so much before the scale is changed.
_SLACK = 10.0


class Ladder(NamedTuple):
    """Kernels of several widths as powers of the widest, and log-weights of points."""

    powers: tuple
    log_shares: tuple
    row_logs: Any = None
    column_logs: Any = None

    def logs(self, rows, columns):
        """Return the log-weights of pairs, in a shape that fits them."""
        logs = 0.0 if self.row_logs is None else self.row_logs[rows][:, None]
        return logs if self.column_logs is None else logs + self.column_logs[columns]

    def sums(self, A, scale, rows=slice(None), columns=slice(None), *, slopes):
        """Return the sum of all kernels relative to a scale, and its slope by A."""
        xp = namespace(A)
        E, S = xp.zeros_like(A), xp.zeros_like(A) if slopes else None
        floor = _FLOORS[xp.finfo(A.dtype).bits]
        logs = self.logs(rows, columns) - scale
        for power, log_share in zip(self.powers, self.log_shares, strict=True):
            P = power * A
            P += logs + log_share
            if not float(P.min()) >= floor:
                P[P < floor] = floor
            P = _exp(P)
            E += P
            if slopes:
                P *= power
                S += P
        return E, S


def _weighted(weights, ones, E, S):
    """Sum features with the slopes, and the kernels themselves as the last entry."""
    if S is None:
        return weights @ E
    return namespace(E).concat([weights @ S, ones @ E], axis=0)


def column_sums(F, G, *, moments, symmetric=False, ladder=None):
    """Sum the exponentials of each column, relative to a scale of all."""
    n, k = F.shape[1], G.shape[1]
    weights = F if moments else F[-1:]
    sums = np.zeros((len(weights) + (1 if moments and ladder else 0), k))
    scale = -math.inf
    tiles = _Tiles(F, G, ladder)
    for columns in slices(k, tiles.width):
        for rows in slices(n, tiles.height, columns.start if symmetric else 0):
            A, highest = tiles.exponents(rows, columns)
            if highest > scale + _SLACK:
                sums *= math.exp(scale - highest)
                scale = highest
            E, S = tiles.exponentials(A, scale, rows, columns, slopes=moments)
            sums[:, columns] += _weighted(weights[:, rows], F[-1:, rows], E, S)
            if symmetric and rows.start >= columns.stop:
                S = None if S is None else S.T
                some = weights[:, columns], F[-1:, columns]
                sums[:, rows] += _weighted(*some, E.T, S)
    return scale, sums


def row_moments(F, G, column_weights, scale, ladder=None):
    """Sum the features of the columns, weighted, for each row, shape (D, n)."""
    n, k = F.shape[1], G.shape[1]
    xp = namespace(F)
    column_weights = xp.astype(column_weights, G.dtype, copy=False)
    weighted = G * column_weights
    moments = xp.zeros_like(F)
    moments = xp.concat([moments, moments[:1]], axis=0) if ladder else moments
    tiles = _Tiles(F, G, ladder)
    for rows in slices(n, tiles.height):
        for columns in slices(k, tiles.width):
            A, _ = tiles.exponents(rows, columns)
            E, S = tiles.exponentials(A, scale, rows, columns, slopes=True)
            S = None if S is None else S.T
            some = weighted[:, columns], column_weights[None, columns]
            moments[:, rows] += _weighted(*some, E.T, S)
    return moments


def exponentials(F, G, dtype, ladder=None, *, by_row, slopes=False):
    """Compute all exponentials relative to a scale, it, and slopes if they differ."""
    if ladder:
        return _sums_of_powers(F, G, dtype, ladder, by_row=by_row, slopes=slopes)
    xp = namespace(F)
    P = xp.matmul(F.T, G)
    floor = _FLOORS[xp.finfo(dtype).bits]
    least = float(P.min())
    scale = xp.zeros_like(P[:1, :1])
    if not by_row:
        scale = scale + xp.max(P)
        P -= scale
        least -= float(scale[0, 0])
    elif not least >= _SAFE * floor:
        scale = xp.max(P, axis=1, keepdims=True)
        P -= scale
    P, scale = (xp.astype(z, dtype, copy=False) for z in (P, scale))
    if not least >= floor:
        P = xp.clip(P, floor)
    return _exp(P), scale, None


def _sums_of_powers(F, G, dtype, ladder, *, by_row, slopes):
    """Compute the sums of all kernels relative to a scale, it, and the slopes."""
    xp, every = namespace(F), slice(None)
    P = xp.matmul(F.T, G)
    tops = xp.max(P + ladder.logs(every, every), axis=1, keepdims=True)
    scale = tops if by_row else xp.max(tops)[None, None]
    P = xp.astype(P, dtype, copy=False)
    S = xp.empty_like(P) if slopes else None
    for rows in _strips(P.shape):
        own = scale[rows] if by_row else scale
        P[rows], slope = ladder.sums(P[rows], own, rows, slopes=slopes)
        if slopes:
            S[rows] = slope
    return P, xp.astype(scale, dtype, copy=False), S


def product_moments(F, G, weights, *, rows, columns):
    """Sum the features of the rows and of the columns with weights of all pairs."""
    xp = namespace(F)
    of_rows = xp.empty_like(F) if rows else None
    of_columns = xp.zeros_like(G) if columns else None
    for strip in _strips((F.shape[1], G.shape[1])):
        w = math.prod(factor[strip] for factor in weights)
        w = xp.astype(w, F.dtype, copy=False)
        if rows:
            of_rows[:, strip] = G @ w.T
        if columns:
            of_columns += F[:, strip] @ w
    return of_rows, of_columns


def tile_shape(n_columns):
    """Return the width and the height of a tile."""
    width = min(_WIDTH, n_columns)
    return width, max(1, _PAIRS // width)


def _strips(shape):
    """Return slices of rows with about as many pairs as a tile."""
    return slices(shape[0], max(1, math.prod(tile_shape(shape[1])) // shape[1]))


class _Tiles:
    """Tiles of exponents in one piece of memory, which the next one overwrites."""

    def __init__(self, F, G, ladder=None):
        self.F, self.G, self.xp, self.ladder = F, G, namespace(F), ladder
        self.width, height = tile_shape(G.shape[1])
        self.height = max(1, height // _BUFFERS) if ladder else height
        n_pairs = min(self.width * self.height, F.shape[1] * G.shape[1])
        self.memory = np.empty(n_pairs, F.dtype)
        self.floor = _FLOORS[self.xp.finfo(F.dtype).bits]
        self.work = {}

    def exponents(self, rows, columns):
        """Return a tile and its largest entry."""
        f, g = self.F[:, rows], self.G[:, columns]
        shape = f.shape[1], g.shape[1]
        A = self.memory[: shape[0] * shape[1]].reshape(shape)
        self.xp.matmul(f.T, g, out=A)
        logs = self.ladder.logs(rows, columns) if self.ladder else 0.0
        return A, float((A if isinstance(logs, float) else A + logs).max())

    def exponentials(self, A, scale, rows, columns, *, slopes):
        """Return the exponentials of a tile relative to `scale`, and slopes or None."""
        if self.ladder is not None:
            return self.ladder.sums(A, scale, rows, columns, slopes=slopes)
        A -= scale
        if not float(A.min()) >= self.floor:
            A[A < self.floor] = self.floor
        return _exp(A, self.work), None


def _exp(A, work=None):
    """Overwrite contiguous numbers by their exponentials."""
    if A.dtype == np.float64:
        return exp_in_place(A, {} if work is None else work)
    return np.exp(A, out=A)

"""Sums of Gaussian kernels over tiles of pairs."""

import math

import numpy as np

from skgmje._backend import is_torch, namespace

# Pairs of a tile: small enough to stay near a core, large enough for a GPU.
_PAIRS = 2**16
_PAIRS_OF_GPU = 2**25
_WIDTH = 256
_WIDTH_OF_GPU = 2**13

# Exponentials of numbers below are slow, and nothing beside a sum near 1.
_FLOORS = {32: -80.0, 64: -700.0}

# Exponentials of numbers above this share of the floor have squares that add up.
_SAFE = 0.4

# A sum may exceed its scale by so much before the scale is changed.
_SLACK = 10.0


def column_sums(F, G, *, moments, symmetric=False):
    """Sum the exponentials of each column, relative to a scale of all."""
    xp, n, k = namespace(F), F.shape[1], G.shape[1]
    width, height = tile_shape(F, k)
    weights = F if moments else F[-1:]
    sums = xp.zeros_like(weights[:, :1] * G[:1], dtype=_double(F))
    scale = -math.inf
    tiles = _Tiles(F, G, width * height)
    for start in range(0, k, width):
        columns = slice(start, min(start + width, k))
        for first in range(start if symmetric else 0, n, height):
            rows = slice(first, min(first + height, n))
            A, highest = tiles.exponents(rows, columns)
            if highest > scale + _SLACK:
                sums *= math.exp(scale - highest)
                scale = highest
            E = tiles.exponentials(A, scale)
            sums[:, columns] += weights[:, rows] @ E
            if symmetric and first >= columns.stop:
                sums[:, rows] += weights[:, columns] @ E.T
    return scale, sums


def row_moments(F, G, column_weights, scale):
    """Sum the features of the columns, weighted, for each row, shape (D, n)."""
    n, k = F.shape[1], G.shape[1]
    width, height = tile_shape(F, k)
    xp = namespace(F)
    weighted = G * xp.astype(column_weights, G.dtype, copy=False)
    moments = xp.zeros_like(F)
    tiles = _Tiles(F, G, width * height)
    for first in range(0, n, height):
        rows = slice(first, min(first + height, n))
        for start in range(0, k, width):
            columns = slice(start, min(start + width, k))
            A, _ = tiles.exponents(rows, columns)
            E = tiles.exponentials(A, scale)
            moments[:, rows] += weighted[:, columns] @ E.T
    return moments


def exponentials(F, G, dtype, *, by_row):
    """Compute the exponentials of all pairs, relative to a scale."""
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
    return xp.exp(P, out=P), scale


def product_moments(F, G, weights, *, rows, columns):
    """Sum the features of the rows and of the columns with weights of all pairs."""
    xp, n = namespace(F), F.shape[1]
    of_rows = xp.empty_like(F) if rows else None
    of_columns = xp.zeros_like(G) if columns else None
    height = max(1, math.prod(tile_shape(F, G.shape[1])) // G.shape[1])
    for first in range(0, n, height):
        block = slice(first, min(first + height, n))
        w = math.prod(factor[block] for factor in weights)
        w = xp.astype(w, F.dtype, copy=False)
        if rows:
            of_rows[:, block] = G @ w.T
        if columns:
            of_columns += F[:, block] @ w
    return of_rows, of_columns


def tile_shape(like, n_columns):
    """Return the width and the height of a tile."""
    on_gpu = is_torch(like) and like.device.type != "cpu"
    pairs, width = (_PAIRS_OF_GPU, _WIDTH_OF_GPU) if on_gpu else (_PAIRS, _WIDTH)
    width = min(width, n_columns)
    return width, max(1, pairs // width)


class _Tiles:
    """Tiles of exponents in one piece of memory, which the next one overwrites."""

    def __init__(self, F, G, n_pairs):
        self.F, self.G, self.xp = F, G, namespace(F)
        n_pairs = min(n_pairs, F.shape[1] * G.shape[1])
        self.memory = (
            F.new_empty(n_pairs) if is_torch(F) else np.empty(n_pairs, F.dtype)
        )
        self.floor = _FLOORS[self.xp.finfo(F.dtype).bits]

    def exponents(self, rows, columns):
        """Return a tile and its largest entry."""
        f, g = self.F[:, rows], self.G[:, columns]
        shape = f.shape[1], g.shape[1]
        A = self.memory[: shape[0] * shape[1]].reshape(shape)
        self.xp.matmul(f.T, g, out=A)
        return A, float(A.max())

    def exponentials(self, A, scale):
        """Return the exponentials of a tile relative to `scale`, in its place."""
        A -= scale
        if not float(A.min()) >= self.floor:
            A[A < self.floor] = self.floor
        return self.xp.exp(A, out=A)


def _double(like):
    """Return double precision, or the own one on a device without it."""
    on_apple = is_torch(like) and like.device.type == "mps"
    return like.dtype if on_apple else namespace(like).float64

"""Data, centers and Gram matrices in plain formulas."""

from types import SimpleNamespace

import numpy as np
import pytest


def density(X, Y, variance):
    """Compute N(x - y; variance) for all pairs, by its formula."""
    squares = ((X[:, None] - Y[None]) ** 2).sum(axis=-1)
    return np.exp(-squares / (2 * variance)) / (2 * np.pi * variance) ** (
        X.shape[1] / 2
    )


@pytest.fixture
def naive():
    """Return a function that computes the three Gram matrices, not in logs."""

    def matrices(X, C, data_bandwidth, model_bandwidth):
        v, w = np.atleast_1d(data_bandwidth) ** 2, np.atleast_1d(model_bandwidth) ** 2
        return SimpleNamespace(
            xx=density(X, X, v[:, None] + v),
            xy=density(X, C, v[:, None] + w),
            yy=density(C, C, w[:, None] + w),
        )

    return matrices


@pytest.fixture
def points(rng):
    """Twelve points and five centers in three dimensions."""
    return rng.normal(size=(12, 3)), rng.normal(size=(5, 3))


@pytest.fixture
def weights():
    """Weights of five centers."""
    return np.array([0.1, 0.3, 0.2, 0.25, 0.15])

"""Two noisy views of a few hidden factors."""

import numpy as np
import pytest


def make_views(n_samples=200, n_features=6, noise=0.3, random_state=0):
    """Return two views of three factors, not linear in them."""
    rng = np.random.default_rng(random_state)
    factors = rng.normal(size=(n_samples, 3))
    views = []
    for shift in (0, 1):
        mixing = np.random.default_rng(10 + shift).normal(size=(3, n_features + shift))
        signal = np.tanh(factors @ mixing)
        views.append(signal + noise * rng.normal(size=signal.shape))
    return views


@pytest.fixture(scope="session")
def views():
    return make_views()


@pytest.fixture(scope="session")
def X(views):
    return views[0]


@pytest.fixture(scope="session")
def Y(views):
    return views[1]


@pytest.fixture(scope="session")
def held_out():
    return make_views(random_state=1)

"""Random mixtures of every covariance type, in both libraries."""

import numpy as np
import pytest

from skgmje.gaussian import COVARIANCE_TYPES, Mixture


def random_covariances(covariance_type, generator, n_components, n_features, leading):
    shape = (*leading, n_components)
    factors = generator.normal(size=(*shape, n_features, 2))
    variances = generator.uniform(0.3, 1.5, size=(*shape, n_features))
    matrices = factors @ np.swapaxes(factors, -1, -2)
    matrices = matrices + variances[..., None] * np.eye(n_features)
    known = {
        "full": matrices,
        "tied": matrices[..., 0, :, :],
        "diag": variances,
        "spherical": variances[..., 0],
        "low-rank": (factors, variances),
    }
    if covariance_type in known:
        return known[covariance_type]
    kind, full = COVARIANCE_TYPES[covariance_type], COVARIANCE_TYPES["full"]
    return kind.convert(full, matrices, n_components, n_features)


def map_arrays(function, mixture):
    """Apply `function` to a copy of every array of a mixture."""

    def change(array):
        # A mixture's own arrays are read-only, of which torch makes no tensors.
        return function(array.copy() if isinstance(array, np.ndarray) else array)

    covariances = mixture.covariances
    if isinstance(covariances, tuple):
        covariances = tuple(map(change, covariances))
    else:
        covariances = change(covariances)
    return Mixture(
        change(mixture.weights),
        change(mixture.means),
        covariances,
        mixture.covariance_type,
    )


@pytest.fixture(scope="session")
def make_mixture():
    """Return a function that draws a mixture."""

    def make(
        covariance_type, *, seed=0, n_components=3, n_features=3, leading=(), xp=np
    ):
        generator = np.random.default_rng(seed)
        weights = generator.dirichlet(np.full(n_components, 3.0), size=leading)
        means = generator.normal(size=(*leading, n_components, n_features))
        covariances = random_covariances(
            covariance_type, generator, n_components, n_features, leading
        )
        mixture = Mixture(weights, means, covariances, covariance_type)
        return map_arrays(xp.asarray, mixture)

    return make


@pytest.fixture(scope="session")
def dense():
    """Return a function that gives the covariances of a mixture as matrices."""

    def matrices(mixture):
        kind = COVARIANCE_TYPES[mixture.covariance_type]
        return np.asarray(
            kind.dense(mixture.covariances, mixture.n_components, mixture.n_features)
        )

    return matrices


@pytest.fixture(scope="session")
def map_mixture():
    """Return the function that changes every array of a mixture."""
    return map_arrays


@pytest.fixture(scope="session")
def make_grid():
    """Return a function that gives grid points and the volume of a cell."""

    def grid(n_features, step=0.2, end=30.0):
        axes = np.meshgrid(*[np.arange(-end, end, step)] * n_features, indexing="ij")
        return np.stack([axis.ravel() for axis in axes], axis=-1), step**n_features

    return grid

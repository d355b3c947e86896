"""A further covariance type, written here and registered, works everywhere.

Private modules are imported as a new type's own file in the library does.
"""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

import skgmje
from skgmje import (
    ConditionalMixtureDensity,
    GaussianMixture,
    GMJEEmbedder,
    GrowingNeuralGasMixture,
    KernelMixtureDensity,
    Mixture,
    to_sklearn,
)
from skgmje.conditional import MemoryBank, NeuralGas
from skgmje.em import start_mixture
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.mixture import GasGrowth
from skgmje.modules import Prototypes

NAME = "common-diag"


Diag = type(COVARIANCE_TYPES["diag"])


class CommonDiagKernel(Diag.loops):
    """Hot loops: those of variances, which all components share."""

    def _prepare(self, limit):
        shared = self.covariances
        self.covariances = np.broadcast_to(shared, self.means.shape)
        expands = super()._prepare(limit)
        self.covariances = shared
        return expands

    @staticmethod
    def unit(n_components, n_features):
        return np.ones((1, n_features))

    def estimate(self, stats, prior):
        pool = stats.scatter[0].sum(axis=0) / stats.weight
        return pool[None] + prior.reg_covar


class CommonDiag(Diag):
    """All components share their variances, shape (..., 1, d)."""

    name = NAME
    loops = CommonDiagKernel
    wider = ("tied", "diag", "low-rank", "full")
    sklearn_name = None
    auto_from = 0
    shrinkages = (0.0,)

    def shape(self, n_components, n_features, rank=1):
        return (1, n_features)

    def convert(self, kind, covariances, n_components, n_features):
        variances = kind.diagonal(covariances, n_components, n_features)
        return variances.mean(-2)[..., None, :]

    def diagonal(self, covariances, n_components, n_features):
        shape = (*covariances.shape[:-2], n_components, n_features)
        if isinstance(covariances, np.ndarray):
            return np.broadcast_to(covariances, shape)
        return covariances.expand(shape)

    def noise(self, root, component, normals):
        return root[..., 0, :] * normals

    def select(self, covariances, components):
        return covariances

    def transform(self, covariances, matrix):
        _, matrices = super().transform(covariances, matrix)
        return "tied", matrices[..., 0, :, :]


def pytest_configure(config):
    """Register the type where this file is a plugin, before tests are collected."""
    COVARIANCE_TYPES[NAME] = CommonDiag()


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(COVARIANCE_TYPES, NAME, CommonDiag())


@pytest.fixture
def X(rng):
    return (rng.normal(size=(120, 3)) + np.repeat([[0], [4]], 60, axis=0)) * [1, 2, 3]


def agrees_with_diag(mixture, X):
    """Compare densities with those of the diagonal mixture of the same variances."""
    assert mixture.covariance_type == NAME
    assert mixture.covariances.shape == (1, mixture.n_features)
    diagonal = np.repeat(mixture.covariances, mixture.n_components, axis=0)
    peer = Mixture(mixture.weights, mixture.means, diagonal, "diag")
    assert_allclose(mixture.log_prob(X), peer.log_prob(X), rtol=1e-10)


@pytest.mark.slow
def test_laws_of_values_and_loops_hold():
    """The law tests, over a registry that holds the type, in a process of their own."""
    here = Path(__file__)
    laws = ["test_covariance.py", "test_algebra.py", "test_mixture.py", "test_maps.py"]
    laws += ["test_modes.py", "test_quantiles.py", "test_loops.py"]
    paths = [str(here.parent / law) for law in laws]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        here.stem,
        "-k",
        f"{NAME} and not fixed_point",
    ]
    command += ["-p", "no:cacheprovider"]
    path = os.pathsep.join([str(here.parent), *sys.path])
    done = subprocess.run(
        [*command, *paths],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 80


@pytest.mark.usefixtures("registered")
class TestEstimators:
    """Everything that asks a covariance type for something."""

    def test_gaussian_mixture(self, X):
        density = GaussianMixture(2, covariance_type=NAME, random_state=0).fit(X)
        agrees_with_diag(density.mixture_, X)
        pooled = np.average((X - density.means_[density.predict(X)]) ** 2, axis=0)
        assert_allclose(density.covariances_[0], pooled, rtol=1e-2)
        assert np.diff(density.lower_bounds_).min() > -1e-12
        n_parameters = 1 + 2 * 3 + 3
        assert density.mixture_.n_parameters == n_parameters

    def test_missing_values(self, X):
        whole = GaussianMixture(2, covariance_type=NAME, random_state=0).fit(X)
        X[::7, 1] = np.nan
        density = GaussianMixture(2, covariance_type=NAME, random_state=0).fit(X)
        assert_allclose(density.covariances_, whole.covariances_, rtol=0.2)
        assert np.isfinite(density.score_samples(X)).all()

    def test_streams(self, X):
        density = GaussianMixture(2, covariance_type=NAME, random_state=0)
        density.partial_fit(X[::2]).partial_fit(X[1::2])
        agrees_with_diag(density.mixture_, X)

    def test_auto_tries_it(self, X):
        density = GaussianMixture(2, covariance_type="auto", random_state=0).fit(X)
        assert NAME in density.cv_results_["param_covariance_type"]
        KernelMixtureDensity(random_state=0).fit(X[::4]).score(X)

    def test_kernel_mixture(self, X):
        density = KernelMixtureDensity(
            4, covariance_type=NAME, random_state=0, max_iter=5
        ).fit(X)
        agrees_with_diag(density.mixture_, X)

    @pytest.mark.parametrize("device", ["cpu", "cpu:0"])
    def test_neural_gas(self, X, device):
        settings = {
            "growth": GasGrowth(insertion_interval=20),
            "device": device,
            "random_state": 0,
        }
        gas = GrowingNeuralGasMixture(6, covariance_type=NAME, **settings).fit(X)
        agrees_with_diag(gas.mixture_, X)
        agrees_with_diag(gas.partial_fit(X).mixture_, X)

    @pytest.mark.parametrize("source", [GaussianMixture, NeuralGas, MemoryBank])
    def test_conditional_mixture(self, X, source):
        source = source(3, covariance_type=NAME, max_iter=3, shrinkage=2.0)
        density = ConditionalMixtureDensity(source, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            density.fit(X[:, :2], X[:, 2:])
        assert np.isfinite(density.score(X[:, :2], X[:, 2:]))

    def test_embedder(self, X):
        mixture = GaussianMixture(2, covariance_type=NAME)
        embedder = GMJEEmbedder(2, mixture=mixture, max_iter=2, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            assert embedder.fit(X).transform(X).shape == (len(X), 2)

    def test_prototypes(self, X):
        start = start_mixture(X, np.arange(len(X)) % 2, NAME)
        back = Prototypes.from_mixture(start, dtype=torch.float64)().to_numpy()
        assert back.covariance_type == NAME
        assert_allclose(back.covariances, start.covariances, rtol=1e-10)

    def test_other_libraries_and_files(self, X, tmp_path):
        density = GaussianMixture(2, covariance_type=NAME, random_state=0).fit(X)
        peer = to_sklearn(density)
        assert peer.covariance_type == "full"
        assert_allclose(peer.score_samples(X), density.score_samples(X), rtol=1e-9)
        assert peer.sample(3)[0].shape == (3, 3)
        density.save(tmp_path / "density.safetensors")
        again = skgmje.load(tmp_path / "density.safetensors")
        assert again.covariance_type_ == NAME
        assert_allclose(again.score_samples(X), density.score_samples(X))
        known = GaussianMixture.from_parameters(
            density.weights_, density.means_, density.covariances_, NAME
        )
        assert_allclose(known.score_samples(X), density.score_samples(X))
        known.precisions_cholesky_ = density.precisions_cholesky_
        assert_allclose(known.covariances_, density.covariances_)


def test_without_it_the_name_is_refused(X):
    with pytest.raises(ValueError, match=NAME):
        GaussianMixture(2, covariance_type=NAME).fit(X)

"""The bridges to scikit-learn's densities."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.neighbors import KernelDensity

import skgmje
from skgmje.gaussian import COVARIANCE_TYPES

X = load_iris().data


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_scikit_learn_mixture_there_and_back(kind):
    peer = GaussianMixture(3, covariance_type=kind, random_state=0).fit(X)
    mixture = skgmje.as_mixture(peer)
    assert_allclose(mixture.log_prob(X), peer.score_samples(X), atol=1e-10)
    back = skgmje.to_sklearn(mixture)
    assert_allclose(back.score_samples(X), peer.score_samples(X), atol=1e-10)
    assert_allclose(back.predict_proba(X), peer.predict_proba(X), atol=1e-10)
    assert back.sample(3)[0].shape == (3, 4)
    assert back.bic(X) == pytest.approx(peer.bic(X))


def test_bayesian_mixture_gives_its_expected_parameters():
    peer = BayesianGaussianMixture(n_components=2, random_state=0).fit(X)
    assert_allclose(skgmje.as_mixture(peer).means, peer.means_)


@pytest.mark.parametrize("weights", [None, 1 + np.arange(len(X)) % 3])
def test_kernel_density_is_a_mixture_of_its_rows(weights):
    peer = KernelDensity(bandwidth=0.3, rtol=0, atol=0).fit(X, sample_weight=weights)
    mixture = skgmje.as_mixture(peer)
    assert_allclose(mixture.log_prob(X + 0.1), peer.score_samples(X + 0.1), atol=1e-6)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_our_own_go_to_scikit_learn(kind):
    ours = skgmje.GaussianMixture(2, covariance_type=kind, random_state=0).fit(X)
    peer = skgmje.to_sklearn(ours)
    assert_allclose(peer.score_samples(X), ours.score_samples(X), atol=1e-8)


@pytest.mark.parametrize(
    "thing",
    [PCA(), KernelDensity(kernel="tophat").fit(X), object(), X],
    ids=["transformer", "other kernel", "object", "array"],
)
def test_what_is_no_mixture_is_refused(thing):
    with pytest.raises(TypeError, match=r"mixture|Mixture"):
        skgmje.as_mixture(thing)


@pytest.mark.parametrize(
    "estimator", [GaussianMixture(), KernelDensity(), skgmje.GaussianMixture()]
)
def test_unfitted_is_said(estimator):
    with pytest.raises(NotFittedError):
        skgmje.as_mixture(estimator)

"""The bridges to scikit-learn's densities."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.neighbors import KernelDensity

import skgmje
from skgmje import _validation
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


ROWS = {
    "double": np.eye(2),
    "single": np.eye(2, dtype=np.float32),
    "columns": np.asfortranarray(np.eye(2)),
    "of another order": np.eye(2).astype(">f8"),
    "integers": np.eye(2, dtype=int),
    "list": [[1.0, 2.0]],
    "strings": np.array([["a", "b"]]),
    "large": np.full((3, 2), 1.7e308),
    "missing": np.array([[0.0, np.nan]]),
    "infinite": np.array([[np.inf, -np.inf]]),
    "none": np.empty((0, 2)),
    "too many features": np.eye(3),
    "one row": np.zeros(2),
    "matrix": np.eye(2).view(np.ma.MaskedArray),
    "frame": pd.DataFrame({"a": [1.0], "b": [2.0]}),
}


@pytest.mark.parametrize("allow_nan", [False, True])
@pytest.mark.parametrize("fitted_on", ["double", "frame"])
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_quick_look_at_rows_says_what_scikit_learn_says(
    rows, fitted_on, allow_nan, monkeypatch
):
    def look():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                answer = _validation.check_rows(
                    estimator, rows, reset=False, allow_nan=allow_nan
                )
                answer = answer.dtype, answer.tobytes()
            except ValueError as error:
                answer = str(error)
        return answer, [str(w.message) for w in caught]

    estimator = skgmje.GaussianMixture(1)
    _validation.check_rows(estimator, ROWS[fitted_on], reset=True)
    quick = look()
    monkeypatch.setattr(_validation, "_are_plain_rows", lambda *args: False)
    assert quick == look()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_are_not_copied(dtype):
    weight = np.ones(3, dtype)
    assert _validation.check_weights(weight, np.eye(3)) is weight
    assert _validation.check_weights([1, 2, 3], np.eye(3)).dtype == np.float64


def test_single_weights_give_the_same_fit():
    weight = np.random.default_rng(0).integers(1, 9, len(X)) / 8
    double, single = (
        skgmje.GaussianMixture(2, random_state=0).fit(X, sample_weight=w)
        for w in (weight, weight.astype(np.float32))
    )
    assert_allclose(single.means_, double.means_, rtol=1e-12)

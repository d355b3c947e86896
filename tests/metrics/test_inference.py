"""How sure parameters are, and the number of components."""

import numpy as np
import pytest
import sklearn.mixture
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError

from skgmje import GaussianMixture, StudentMixture
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.metrics import (
    MixtureBootstrap,
    bootstrap_mixture,
    likelihood_ratio_test,
)

BLOBS, _ = make_blobs(300, 2, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)


def test_errors_of_one_gaussian_are_those_of_theory():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2)) * [1.0, 3.0]
    found = bootstrap_mixture(
        GaussianMixture().fit(X), X, n_resamples=400, random_state=0
    )
    assert found.means.shape == (400, 1, 2)
    assert_allclose(found.standard_errors.means[0], X.std(0) / 500**0.5, rtol=0.15)
    theory = X.var(0) * np.sqrt(2 / 500)
    errors = np.diagonal(found.standard_errors.covariances[0])
    assert_allclose(errors, theory, rtol=0.25)
    low, high = found.interval(0.9).means
    assert_allclose(high - low, 2 * 1.645 * X.std(0)[None] / 500**0.5, rtol=0.2)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_components_are_those_of_the_estimator(kind):
    model = GaussianMixture(3, covariance_type=kind, rank=1, random_state=0).fit(BLOBS)
    found = bootstrap_mixture(model, BLOBS, n_resamples=20, random_state=0)
    assert found.covariances.shape == (20, 3, 2, 2)
    assert_allclose(found.means.mean(axis=0), model.means_, atol=0.2)
    assert found.standard_errors.means.max() < 0.3
    assert_allclose(found.weights.sum(axis=1), 1)


def test_jobs_change_nothing_and_gaps_are_missing(capsys):
    holes = np.where(np.random.default_rng(0).random(BLOBS.shape) < 0.1, np.nan, BLOBS)
    model = GaussianMixture(3, random_state=0).fit(holes)
    one, two = (
        bootstrap_mixture(
            model, holes, n_resamples=6, n_jobs=n, random_state=0, verbose=n - 1
        )
        for n in (1, 2)
    )
    assert_array_equal(one.means, two.means)
    assert "resamples" in capsys.readouterr().out


def test_what_cannot_be_is_named():
    with pytest.raises(NotFittedError):
        bootstrap_mixture(GaussianMixture(2), BLOBS)
    background = GaussianMixture(3, background=True, random_state=0).fit(BLOBS)
    with pytest.raises(TypeError, match="no Gaussian mixture"):
        bootstrap_mixture(background, BLOBS)
    for name in ("n_components", "covariance_type", "shrinkage"):
        with pytest.raises(ValueError, match=f"{name}='auto' is no hypothesis"):
            likelihood_ratio_test(GaussianMixture(**{name: "auto"}), BLOBS)
    with pytest.raises(ValueError, match="minimum of 4"):
        likelihood_ratio_test(GaussianMixture(3), BLOBS[:3])
    for other in (sklearn.mixture.GaussianMixture(2), StudentMixture(2)):
        for function in (bootstrap_mixture, likelihood_ratio_test):
            with pytest.raises(TypeError, match="takes a GaussianMixture of skgmje"):
                function(other.fit(BLOBS), BLOBS)
    with pytest.raises(ValueError, match=r"background=True.*Set background=False"):
        likelihood_ratio_test(background, BLOBS)


@pytest.mark.parametrize("count", [-1, 0, 1, 2.5])
def test_resamples_are_enough(count):
    fitted = GaussianMixture(2, random_state=0).fit(BLOBS)
    with pytest.raises(ValueError, match=f"n_resamples={count}"):
        bootstrap_mixture(fitted, BLOBS, n_resamples=count)
    if count != 1:
        with pytest.raises(ValueError, match=f"n_resamples={count}"):
            likelihood_ratio_test(fitted, BLOBS, n_resamples=count)


def test_samples_are_those_of_the_fit():
    fitted = GaussianMixture(2, random_state=0).fit(BLOBS)
    with pytest.raises(ValueError, match=r"3 features.* 2 features"):
        bootstrap_mixture(fitted, np.ones((9, 3)))
    holes = np.where(BLOBS > 10, np.nan, BLOBS)
    with pytest.raises(ValueError, match=r"X has NaN.*impute"):
        likelihood_ratio_test(fitted, holes)


@pytest.mark.parametrize("confidence", [0, 1, 95, np.nan])
def test_confidence_is_a_share(confidence):
    found = MixtureBootstrap(np.ones((3, 1)), np.ones((3, 1, 1)), np.ones((3, 1, 1, 1)))
    with pytest.raises(ValueError, match=r"confidence=.*between 0 and 1"):
        found.interval(confidence)


def test_a_component_that_is_needed_is_found():
    test = {"n_resamples": 19, "random_state": 0}
    found = likelihood_ratio_test(GaussianMixture(2, n_init=2), BLOBS, **test)
    assert found.p_value == 0.05
    assert found.statistic > found.simulated.max()
    enough = likelihood_ratio_test(GaussianMixture(3), BLOBS, **test, n_jobs=2)
    assert enough.p_value > 0.05
    assert_array_equal(
        enough.simulated,
        likelihood_ratio_test(GaussianMixture(3), BLOBS, **test).simulated,
    )


@pytest.mark.slow
def test_a_true_hypothesis_is_rejected_as_often_as_asked():
    rng = np.random.default_rng(0)
    p_values = [
        likelihood_ratio_test(
            GaussianMixture(covariance_type="diag"),
            rng.normal(size=(60, 1)),
            n_resamples=9,
            random_state=i,
        ).p_value
        for i in range(24)
    ]
    # Uniform on tenths: 2.4 of 24 are expected at 0.1.
    assert np.sum(np.array(p_values) <= 0.1) <= 8
    assert 0.35 < np.mean(p_values) < 0.75

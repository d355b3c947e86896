"""Mixtures of Student's t distributions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_t, t
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning

from skgmje import GaussianMixture, StudentMixture, as_mixture
from skgmje.gaussian import COVARIANCE_TYPES

SHAPE = np.array([[2.0, 0.5], [0.5, 1.0]])
BLOBS, LABELS = make_blobs(400, 3, centers=3, random_state=2)


def draw(dof, n, seed=0):
    return multivariate_t([1.0, -2.0], SHAPE, dof, seed=seed).rvs(n)


@pytest.mark.parametrize("dof", [1.0, 3.0, 8.0])
def test_degrees_of_freedom_are_found(dof):
    X = draw(dof, 5000)
    model = StudentMixture().fit(X)
    assert model.dof_[0] == pytest.approx(dof, rel=0.2)
    assert_allclose(model.covariances_[0], SHAPE, atol=0.2)
    truth = multivariate_t([1.0, -2.0], SHAPE, dof).logpdf(X).mean()
    assert model.score(X) > truth - 1e-3
    assert np.diff(model.lower_bounds_).min() > -1e-9


def test_scores_are_those_of_scipy():
    X = draw(3, 300)
    model = StudentMixture(2, dof=[2.0, 7.0], random_state=0).fit(X)
    parts = zip(
        model.weights_, model.means_, model.covariances_, model.dof_, strict=True
    )
    density = sum(w * multivariate_t(m, s, v).pdf(X) for w, m, s, v in parts)
    assert_allclose(model.score_samples(X), np.log(density), rtol=1e-10)
    assert model.dof_.tolist() == [2.0, 7.0]


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_gaussians_of_many_widths_are_the_same_density(kind):
    how = {"covariance_type": kind, "rank": 1, "random_state": 0}
    model = StudentMixture(3, dof="each", **how).fit(BLOBS)
    X = model.sample(3000, random_state=0)[0]
    gap = as_mixture(model).log_prob(X) - model.score_samples(X)
    assert abs(gap).max() < 1e-4
    # By components, and so for the features that are left.
    rest = model.condition([0], X[:5, :1])
    joint = model.score_samples(X[:5]) - model.marginal([0]).log_prob(X[:5, :1])
    given = [rest[i].log_prob(X[i, 1:]) for i in range(5)]
    assert_allclose(np.ravel(given), joint, atol=1e-4)


def test_conditions_are_wider_far_from_the_center():
    model = StudentMixture(dof=3.0).fit(draw(3, 2000))
    near, far = (model.condition([0], [v]).covariance[0, 0] for v in (1.0, 50.0))
    assert far > 20 * near


def test_samples_have_the_tails():
    model = StudentMixture(dof=3.0).fit(draw(3, 2000))
    X, component = model.sample(20000, random_state=0)
    scaled = (X[:, 0] - model.means_[0, 0]) / np.sqrt(model.covariances_[0, 0, 0])
    probabilities = [0.005, 0.5, 0.995]
    assert_allclose(
        np.quantile(scaled, probabilities), t(3).ppf(probabilities), atol=0.6
    )
    assert (component == 0).all()


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_many_degrees_are_gaussian(kind):
    how = {"covariance_type": kind, "rank": 1, "tol": 1e-6, "random_state": 0}
    gauss = GaussianMixture(3, **how, max_iter=200).fit(BLOBS)
    student = StudentMixture(3, dof=1e6, **how).fit(BLOBS)
    assert student.score(BLOBS) == pytest.approx(gauss.score(BLOBS), abs=1e-3)


def test_tails_cost_a_gaussian_mixture_more():
    """Five samples of a hundred have two degrees of freedom, and are spread widely."""
    rng = np.random.default_rng(0)
    X, new = (
        make_blobs(n, centers=[[0, 0], [8, 0], [0, 8]], random_state=n)[0]
        for n in (1500, 1501)
    )
    for part in (X, new):
        tail = rng.random(len(part)) < 0.05
        part[tail] += multivariate_t([0, 0], 25 * np.eye(2), 2, seed=1).rvs(tail.sum())
    student = StudentMixture(3, random_state=0).fit(X)
    gauss = GaussianMixture(3, random_state=0).fit(X)
    assert student.score(new) > gauss.score(new) + 0.1
    centers = student.means_[np.argsort(student.means_ @ [1, 2])]
    assert_allclose(centers, [[0, 0], [8, 0], [0, 8]], atol=0.3)


def test_weights_are_copies():
    X, counts = draw(3, 300), np.random.default_rng(1).integers(0, 3, 300)
    how = {"tol": 1e-9, "max_iter": 1000}
    weighted = StudentMixture(**how).fit(X, sample_weight=counts)
    copied = StudentMixture(**how).fit(np.repeat(X, counts, axis=0))
    assert_allclose(weighted.dof_, copied.dof_, rtol=1e-4)
    assert_allclose(weighted.covariances_, copied.covariances_, rtol=1e-4)


@pytest.mark.parametrize("dof", [0.0, -1.0, [1.0, 2.0, 3.0], [1.0, np.nan], "some"])
def test_degrees_that_cannot_be_are_named(dof):
    with pytest.raises(ValueError, match="dof"):
        StudentMixture(2, dof=dof).fit(BLOBS)


def test_ugly_samples():
    constant = np.hstack([BLOBS, np.ones((400, 1))])
    model = StudentMixture(2, random_state=0).fit(constant)
    assert np.isfinite(model.score_samples(constant)).all()
    with pytest.raises(ValueError, match="n_components=500"):
        StudentMixture(500).fit(BLOBS)
    with pytest.warns(ConvergenceWarning, match="did not converge in 1 iteration"):
        StudentMixture(3, max_iter=1).fit(BLOBS)
    far = model.predict_proba(np.full((1, 4), 1e200))
    assert far.sum() == pytest.approx(1)
    same = np.zeros((20, 2))
    with pytest.warns(ConvergenceWarning):
        assert np.isfinite(StudentMixture(2).fit(same).score(same))

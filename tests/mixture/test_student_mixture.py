"""Mixtures of Student's t distributions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_t, t
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning

from skgmje import GaussianMixture, StudentMixture, as_mixture
from skgmje.gaussian import COVARIANCE_TYPES

SHAPE = np.array([[2.0, 0.5], [0.5, 1.0]])
BLOBS, LABELS = make_blobs(400, 3, centers=3, random_state=2)
TAILS = BLOBS[:200] + np.random.default_rng(1).standard_t(3, (200, 3))
HOLES = np.where(np.random.default_rng(0).random(TAILS.shape) < 0.2, np.nan, TAILS)
TO_THE_END = {"reg_covar": 0, "tol": 1e-10, "max_iter": 3000, "random_state": 0}


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
    # Neighbours of most samples are their copies, which says nothing of the others.
    mostly_zero = np.where(np.arange(400)[:, None] % 5 < 3, 0.0, BLOBS)
    assert StudentMixture(2, random_state=0).fit(mostly_zero).n_components_ == 2
    same = np.zeros((20, 2))
    with pytest.warns(ConvergenceWarning):
        assert np.isfinite(StudentMixture(2).fit(same).score(same))


def test_starts_with_gaps_ignore_what_is_far_out():
    rng = np.random.default_rng(0)
    X = np.vstack([rng.standard_t(4, (200, 3)), 5 + rng.standard_t(4, (200, 3))])
    X[rng.random(X.shape) < 0.3] = np.nan
    X[0] = 1e8, np.nan, 1
    means = StudentMixture(2, random_state=0).fit(X).means_
    assert_allclose(np.sort(means[:, 0]), [0, 5], atol=0.5)


def test_one_sample_that_counts():
    X = np.array([[np.nan, np.nan], [1.0, 2.0]])
    with pytest.warns(UserWarning, match="single value in columns 0, 1"):
        model = StudentMixture(1, random_state=0).fit(X)
    assert_allclose(model.means_, [[1, 2]])


def log_density_of_what_is_seen(X, weights, means, scales, dof):
    """Return the log-densities of samples by SciPy, pattern by pattern."""
    total = np.zeros(len(X))
    for missing in np.unique(np.isnan(X), axis=0):
        rows = (np.isnan(X) == missing).all(axis=1)
        o = np.flatnonzero(~missing)
        parts = zip(weights, means, scales, dof, strict=True)
        if len(o):
            total[rows] = np.log(
                sum(
                    w * multivariate_t(m[o], s[np.ix_(o, o)], v).pdf(X[rows][:, o])
                    for w, m, s, v in parts
                )
            )
    return total


def test_scores_of_gaps_are_those_of_scipy():
    model = StudentMixture(2, dof=[2.0, 7.0], random_state=0).fit(HOLES)
    parts = model.weights_, model.means_, model.covariances_, model.dof_
    X = np.vstack([HOLES[:60], np.full(3, np.nan)])
    expected = log_density_of_what_is_seen(X, *parts)
    assert_allclose(model.score_samples(X), expected, rtol=1e-9, atol=1e-12)
    assert_allclose(model.predict_proba(X)[-1], model.weights_)
    # Whole samples beside others are scored as they are alone.
    alone = model.score_samples(TAILS[:5])
    assert_allclose(model.score_samples([*TAILS[:5], *X])[:5], alone, rtol=1e-10)
    far = model.predict_proba([[1e200, np.nan, 1e300], [np.nan, -1e307, 1e307]])
    assert_allclose(far.sum(axis=1), 1)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dof", ["shared", "each", 4.0])
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_likelihood_of_gaps_rises(kind, dof):
    how = TO_THE_END | {"covariance_type": kind, "rank": 1, "dof": dof, "max_iter": 40}
    model = StudentMixture(3, **how).fit(HOLES)
    seen = HOLES[~np.isnan(HOLES).all(axis=1)]
    assert np.diff(model.lower_bounds_).min() > -1e-9
    assert 0 <= model.score(seen) - model.lower_bounds_[-1] < 1e-3


def test_likelihood_of_gaps_is_at_a_maximum():
    X = np.vstack([draw(2, 30), draw(2, 30, seed=1) + 10])
    X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    model = StudentMixture(2, **TO_THE_END).fit(X)
    roots = np.linalg.cholesky(model.covariances_)
    lower = np.tril_indices(2)
    found = np.concatenate(
        [
            np.log(model.weights_),
            model.means_.ravel(),
            roots[:, lower[0], lower[1]].ravel(),
            np.log(model.dof_[:1]),
        ]
    )

    def score(theta):
        logs, means, entries, log_dof = np.split(theta, [2, 6, 12])
        roots = np.zeros((2, 2, 2))
        roots[:, lower[0], lower[1]] = entries.reshape(2, 3)
        weights = np.exp(logs) / np.exp(logs).sum()
        scales = roots @ roots.transpose(0, 2, 1)
        parts = weights, means.reshape(2, 2), scales, np.exp([*log_dof] * 2)
        return log_density_of_what_is_seen(X, *parts).mean()

    def slope(theta, i, step=1e-4):
        move = step * (np.arange(len(theta)) == i)
        return (score(theta + move) - score(theta - move)) / (2 * step)

    assert model.dof_.max() < 100
    assert max(abs(slope(found, i)) for i in range(13)) < 2e-4
    # Elsewhere it is steep: the test could fail.
    assert max(abs(slope(found + 0.05, i)) for i in range(13)) > 1e-2


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_gaps_that_weigh_nothing_change_nothing(kind):
    how = {"covariance_type": kind, "rank": 1, "dof": 5.0, "random_state": 0}
    model = StudentMixture(3, tol=1e-6, max_iter=1000, **how)
    whole = model.fit(BLOBS).score_samples(BLOBS)
    empty = model.fit([*BLOBS, *np.full((9, 3), np.nan)]).score_samples(BLOBS)
    assert_array_equal(empty, whole)
    # By the steps of missing entries.
    light = [*np.ones(400), 1e-9]
    model.fit([*BLOBS, [np.nan, 0, 0]], sample_weight=light)
    assert_allclose(model.score_samples(BLOBS), whole, atol=1e-2)


def test_order_of_samples_with_gaps_changes_nothing():
    order = np.random.default_rng(2).permutation(200)
    how = {"tol": 1e-9, "max_iter": 1000}
    one, two = (StudentMixture(**how).fit(X) for X in (HOLES, HOLES[order]))
    assert_allclose(one.means_, two.means_, rtol=1e-6)
    assert_array_equal(one.score_samples(HOLES)[order], one.score_samples(HOLES[order]))


@pytest.mark.parametrize(
    "kind", [kind for kind in COVARIANCE_TYPES if kind != "low-rank"]
)
def test_many_degrees_with_gaps_are_gaussian(kind):
    X = np.where(np.random.default_rng(0).random(BLOBS.shape) < 0.2, np.nan, BLOBS)
    how = {"covariance_type": kind, "tol": 1e-7, "max_iter": 300, "random_state": 0}
    gauss, student = GaussianMixture(3, **how), StudentMixture(3, dof=1e7, **how)
    gap = student.fit(X).score_samples(X) - gauss.fit(X).score_samples(X)
    assert abs(gap).max() < 1e-2


def test_counts_of_samples_with_gaps_are_copies():
    counts = np.random.default_rng(1).integers(0, 3, 200)
    how = {"tol": 1e-9, "max_iter": 1000}
    weighted = StudentMixture(**how).fit(HOLES, sample_weight=counts)
    copied = StudentMixture(**how).fit(np.repeat(HOLES, counts, axis=0))
    assert_allclose(weighted.dof_, copied.dof_, rtol=1e-4)
    assert_allclose(weighted.covariances_, copied.covariances_, rtol=1e-4)
    with pytest.raises(ValueError, match="no value in column 1"):
        StudentMixture().fit(np.where([0, 1, 0], np.nan, TAILS))

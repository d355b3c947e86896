"""A constant density beside the components: what belongs to none of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import dblquad
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from skgmje import GaussianMixture, as_mixture, to_sklearn
from skgmje.em import RowBlocks, tree_reduce
from skgmje.gaussian import COVARIANCE_TYPES

BLOBS, LABELS = make_blobs(400, 2, centers=3, random_state=2)
RNG = np.random.default_rng(0)
N_NOISE = 80
NOISE = RNG.uniform(BLOBS.min(axis=0) - 3, BLOBS.max(axis=0) + 3, (N_NOISE, 2))
X = np.vstack([BLOBS, NOISE])
KINDS = list(COVARIANCE_TYPES)


def fitted(kind="full", data=X, **params):
    params = {"background": True, "rank": 1, "random_state": 0} | params
    return GaussianMixture(3, covariance_type=kind, **params).fit(data)


@pytest.mark.parametrize("kind", KINDS)
def test_clusters_are_those_without_the_noise(kind):
    clean = fitted(kind, BLOBS, background=False)
    model = fitted(kind)
    resp = model.predict_proba(X)
    assert resp.shape == (len(X), 4)
    assert_allclose(resp.sum(axis=1), 1)
    expected = adjusted_rand_score(LABELS, clean.predict(BLOBS))
    found = adjusted_rand_score(LABELS, resp[:400, :-1].argmax(axis=1))
    assert found > expected - 0.02
    assert model.background_weight_ == pytest.approx(N_NOISE / len(X), abs=0.05)
    assert ((model.predict(X) == -1) == (resp.argmax(axis=1) == 3)).all()
    assert (model.predict(BLOBS) == -1).mean() < 0.1
    assert np.diff(model.lower_bounds_).min() > -1e-6
    order = np.argsort(clean.means_[:, 0]), np.argsort(model.means_[:, 0])
    assert_allclose(model.means_[order[1]], clean.means_[order[0]], atol=0.4)


def test_scores_and_samples_include_it():
    model = fitted()
    low, high = model.background_box_
    inside = np.sum(
        dblquad(
            lambda y, x: np.exp(model.score_samples([[x, y]])[0]),
            *(low[0], high[0]),
            *(low[1], high[1]),
            epsabs=1e-3,
        )[0]
    )
    assert inside == pytest.approx(1, abs=0.01)
    rows, component = model.sample(4000, random_state=0)
    assert (component == -1).mean() == pytest.approx(model.background_weight_, abs=0.02)
    box = rows[component == -1]
    assert ((box >= low) & (box <= high)).all()
    assert model.score(rows) == pytest.approx(model.score(X), abs=0.15)
    # Outside the box there are components only.
    far = model.predict_proba([[1e3, 1e3]])
    assert far[0, -1] == 0
    assert np.isfinite(model.score_samples([[1e3, 1e3]])).all()
    assert model.bic(X) < fitted(background=False).bic(X)


@pytest.mark.parametrize(
    "ask",
    [
        as_mixture,
        to_sklearn,
        lambda model: model.mixture_,
        lambda model: model.condition([0], [1.0]),
        lambda model: model.marginal([0]),
        lambda model: model.impute(X),
    ],
)
def test_it_is_no_gaussian_mixture(ask):
    with pytest.raises(TypeError, match=r"no Gaussian mixture.*background=False"):
        ask(fitted())


def test_streams_are_refused():
    with pytest.raises(AttributeError, match="partial_fit") as caught:
        GaussianMixture(2, background=True).partial_fit(X)
    assert "background=False" in str(caught.value.__cause__)


def test_weights_are_copies_and_gaps_are_missing():
    counts = np.random.default_rng(1).integers(0, 3, len(X))
    start = {"means_init": fitted().means_, "tol": 1e-8, "max_iter": 500}
    weighted = GaussianMixture(3, background=True, **start).fit(X, None, counts)
    copied = GaussianMixture(3, background=True, **start).fit(np.repeat(X, counts, 0))
    assert weighted.background_weight_ == pytest.approx(copied.background_weight_, 1e-3)
    holes = np.where(RNG.random(X.shape) < 0.1, np.nan, X)
    model = fitted(data=holes)
    assert np.isfinite(model.score_samples(holes)).all()
    assert model.background_weight_ == pytest.approx(N_NOISE / len(X), abs=0.07)
    # A sample without a value tells nothing.
    nothing = model.predict_proba([[np.nan, np.nan]])[0]
    assert nothing[-1] == pytest.approx(model.background_weight_)


class Blocks(RowBlocks):
    def reduce(self, function, merge):
        return tree_reduce(merge, [function(i, *part) for i, part in enumerate(self)])

    def __iter__(self):
        return iter([(X[:200], None), (X[200:], None)])


def test_blocks_give_what_arrays_give():
    """Starts are of random samples there: the optimum is the same."""
    found, expected = (np.sort(fitted(data=d).means_, 0) for d in (Blocks(), X))
    assert_allclose(found, expected, atol=0.05)


def test_it_is_chosen_with_the_rest():
    params = {"covariance_type": "auto", "background": True, "random_state": 0}
    model = GaussianMixture("auto", **params).fit(X)
    assert len(model.weights_) == 3
    plain = GaussianMixture("auto", covariance_type="auto", random_state=0).fit(X)
    best = model.cv_results_["mean_test_score"].max()
    assert best > plain.cv_results_["mean_test_score"].max()


def test_ugly_samples():
    constant = np.hstack([X, np.ones((len(X), 1))])
    model = fitted(data=constant)
    assert np.isfinite(model.score_samples(constant)).all()
    with pytest.raises(ValueError, match=r"column 2 of X is constant.*reg_covar"):
        fitted(data=constant, reg_covar=0)
    uniform = RNG.uniform(size=(300, 2))
    model = GaussianMixture(1, background=True).fit(uniform)
    assert model.background_weight_ > 0.3
    assert np.isfinite(model.predict_proba(uniform)).all()
    again = model.set_params(background=False).fit(uniform)
    assert not hasattr(again, "background_weight_")
    assert as_mixture(again).n_components == 1


CLUSTERS = np.random.default_rng(0).normal(size=(300, 2))
CLUSTERS[100:200] *= [0.3, 2]
CLUSTERS += np.repeat([[0, 0], [8, 0], [0, 9]], 100, axis=0)
AMONG_NOISE = np.vstack(
    [CLUSTERS, np.random.default_rng(1).uniform(-15, 25, size=(60, 2))]
)


@pytest.mark.parametrize("share_missing", [0, 0.1])
def test_noise_is_no_cluster_of_its_own_where_their_number_is_chosen(share_missing):
    missing = np.random.default_rng(2).random(AMONG_NOISE.shape) < share_missing
    rows = np.where(missing, np.nan, AMONG_NOISE)
    for seed in range(2):
        model = GaussianMixture("auto", background=True, random_state=seed).fit(rows)
        assert len(model.weights_) == 3
        assert model.background_weight_ == pytest.approx(60 / 360, abs=0.05)


@pytest.mark.parametrize("start", ["k-means++", "random", "random_from_data"])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_start_finds_the_clusters(start, seed):
    params = {"init_params": start, "background": True, "random_state": seed}
    model = GaussianMixture(3, **params).fit(AMONG_NOISE)
    assert model.background_weight_ == pytest.approx(60 / 360, abs=0.05)
    found = adjusted_rand_score(np.repeat([0, 1, 2], 100), model.predict(CLUSTERS))
    assert found > 0.9


def test_components_of_next_to_nothing_are_told():
    narrow = np.tile(1e8 * np.eye(2), (3, 1, 1))
    start = {"means_init": AMONG_NOISE[[0, 100, 200]], "precisions_init": narrow}
    model = GaussianMixture(3, background=True, max_iter=2, tol=1e9, **start)
    with pytest.warns(UserWarning, match=r"9\d.*% of the samples.*init_params='auto'"):
        model.fit(AMONG_NOISE)


def test_streams_do_not_go_on_without_the_background():
    model = fitted().set_params(background=False)
    with pytest.raises(ValueError, match=r"partial_fit.*background=True.*Call fit"):
        model.partial_fit(X)
    assert model.fit(X).partial_fit(X).n_iter_ > 1


@pytest.mark.parametrize("kind", KINDS)
def test_its_components_are_a_mixture_as_it_says(kind):
    model = fitted(kind)
    with pytest.raises(TypeError, match=r"from_parameters\(.*covariance_type_\)"):
        as_mixture(model)
    parts = model.weights_, model.means_, model.covariances_, model.covariance_type_
    assert as_mixture(GaussianMixture.from_parameters(*parts)).n_components == 3

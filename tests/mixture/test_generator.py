"""Networks that turn noise into centers, in many dimensions."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import skgmje
from skgmje.mixture import KernelMixtureDensity, Noise

ROWS = np.random.default_rng(0).permutation(load_digits().data)
TRAIN, TEST = np.split(PCA(16, random_state=0).fit_transform(ROWS), [1200])


def generator(n_components=64, **params):
    steps = {"generator": "noise", "max_iter": 150, "learning_rate": 8e-3}
    params = {**steps, "standardize": False, **params}
    return KernelMixtureDensity(
        n_components, refine="weights", random_state=0, **params
    )


def wide(rows, **params):
    """Return four times the size of a cell, in the units of `bandwidth`."""
    params = {"max_iter": 5, "tol": 100.0, **params}
    return generator(**params).fit(rows).bandwidth_[3]


def distance(fitted):
    draws = fitted.sample_generator(len(TEST))
    within = cdist(draws, draws).mean() + cdist(TEST, TEST).mean()
    return 2 * cdist(draws, TEST).mean() - within


@pytest.fixture(scope="module")
def of_one_bandwidth():
    """The distance that each cost reaches with one wide bandwidth."""
    params = {"generator": Noise(code_dim=8), "bandwidth": wide(TRAIN)}
    return {
        cost: distance(generator(cost=cost, **params).fit(TRAIN))
        for cost in ("scalar", "matrix-matrix", "svd")
    }


@pytest.mark.slow
def test_svd_is_the_best_cost_with_wide_bumps(of_one_bandwidth):
    reached = of_one_bandwidth
    assert reached["svd"] < 1.5
    assert reached["scalar"] > 5 * reached["svd"]
    assert reached["matrix-matrix"] > 2 * reached["svd"]


@pytest.mark.slow
def test_several_bandwidths_are_as_near_as_the_best_one(of_one_bandwidth):
    """Nothing is to choose; the start of the default is nearer by far."""
    several = generator(generator=Noise(code_dim=8)).fit(TRAIN)
    reached = [of_one_bandwidth["svd"], distance(several)]
    reached.append(distance(generator().fit(TRAIN)))
    assert reached[1] < 1.3 * reached[0]
    assert reached[2] < 0.3 * min(reached[:2])


# Pixels that are zero in a whole cluster have a boundless density.
@pytest.mark.filterwarnings("ignore:.*many of the values of columns:UserWarning")
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("refine", ["weights", "covariances", "em"])
def test_few_singular_values_of_wide_bumps_are_no_trouble(standardize, refine):
    params = {"covariance_type": "diag", "shrinkage": 2.0, "max_iter": 60}
    params |= {"generator": Noise(code_dim=8, hidden_layer_sizes=(16,))}
    params |= {"standardize": standardize, "cost": "svd"}
    params["bandwidth"] = wide(ROWS[:400] + 0.5, standardize=standardize)
    fitted = generator(8, **params)
    # A warning would be an error here.
    fitted.set_params(refine=refine).fit(ROWS[:400] + 0.5)
    assert fitted.effective_rank_ < 6
    assert fitted.converged_
    assert np.isfinite(fitted.score_samples(ROWS[400:500])).all()
    assert fitted.sample(5)[0].shape == fitted.sample_generator(5).shape == (5, 64)


def test_bandwidth_is_in_the_units_of_the_rows_where_distances_are_kept():
    params = {"max_iter": 2, "tol": 100.0}
    plain, scaled = (generator(8, **params).fit(s * TRAIN[:200]) for s in (1, 1000))
    assert scaled.bandwidth_ == pytest.approx(1000 * plain.bandwidth_)
    total = TRAIN[:200].var(axis=0).sum()
    assert total < plain.bandwidth_[-1] ** 2 < 16 * total
    assert_allclose(scaled.centers_, 1000 * plain.centers_, rtol=1e-3, atol=1.0)


def test_draws_keep_shares_and_spread_of_weighted_samples():
    """The start is theirs, and weights are copies in it as far as k-means goes."""
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0.0, 5.0], [40.0, 0.0, 5.0]])
    rows = np.repeat(centers, 300, axis=0) + rng.normal(size=(600, 3)) * [1, 3, 0]
    weight = np.repeat([3.0, 1.0], 300)
    params = {"max_iter": 30, "generator": Noise(hidden_layer_sizes=(16,))}
    fitted = generator(4, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        fitted.fit(rows, sample_weight=weight)
    draws = fitted.sample_generator(4000)
    left = draws[:, 0] < 20
    assert left.mean() == pytest.approx(0.75, abs=0.06)
    assert_allclose(draws[left].std(axis=0), [1, 3, 0], atol=0.5)
    assert np.isfinite(fitted.loss_curve_).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_default_is_saved_and_drawn_from_again(dtype, tmp_path):
    fitted = generator(4, max_iter=5, tol=100.0).fit(TRAIN[:100].astype(dtype))
    fitted.save(tmp_path / "model.skgmje")
    loaded = skgmje.load(tmp_path / "model.skgmje")
    draws = loaded.sample_generator(50, random_state=1)
    assert_array_equal(draws, fitted.sample_generator(50, random_state=1))
    assert draws.shape == (50, 16)
    assert fitted.bound_gap_ >= -1e-6


def test_cost_of_the_default_is_scalar_for_noise_and_svd_for_codes():
    params = {"max_iter": 5, "tol": 100.0, "bandwidth": 40.0}
    for kind, cost in ((Noise(code_dim=8), "scalar"), ("codes", "svd")):
        auto, named = (
            generator(4, generator=kind, cost=c, **params).fit(TRAIN[:100])
            for c in ("auto", cost)
        )
        assert_array_equal(auto.centers_, named.centers_)

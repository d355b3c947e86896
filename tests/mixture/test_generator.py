"""Networks that turn noise into centers, in many dimensions."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from skgmje.mixture import KernelMixtureDensity, Noise

ROWS = np.random.default_rng(0).permutation(load_digits().data)
TRAIN, TEST = np.split(PCA(16, random_state=0).fit_transform(ROWS), [1200])


def generator(n_components=64, **params):
    steps = {"generator": "noise", "max_iter": 150, "learning_rate": 8e-3}
    params = {**steps, "standardize": False, **params}
    return KernelMixtureDensity(
        n_components, refine="weights", random_state=0, **params
    )


def distance(fitted):
    draws = fitted.sample_generator(len(TEST))
    within = cdist(draws, draws).mean() + cdist(TEST, TEST).mean()
    return 2 * cdist(draws, TEST).mean() - within


@pytest.mark.slow
def test_svd_is_the_best_cost_with_wide_bumps():
    reached = {
        cost: distance(generator(cost=cost).fit(TRAIN))
        for cost in ("scalar", "matrix-matrix", "svd")
    }
    assert reached["svd"] < 1.5
    assert reached["scalar"] > 5 * reached["svd"]
    assert reached["matrix-matrix"] > 2 * reached["svd"]


# Pixels that are zero in a whole cluster have a boundless density.
@pytest.mark.filterwarnings("ignore:.*many of the values of columns:UserWarning")
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("refine", ["weights", "covariances", "em"])
def test_few_singular_values_of_wide_bumps_are_no_trouble(standardize, refine):
    params = {"covariance_type": "diag", "shrinkage": 2.0, "max_iter": 60}
    params |= {"generator": Noise(hidden_layer_sizes=(16,))}
    fitted = generator(8, standardize=standardize, **params)
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
    assert 0.5 * total < plain.bandwidth_**2 < 4 * total

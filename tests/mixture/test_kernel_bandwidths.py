"""Several bandwidths at once in the density whose centers a network places."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.datasets import make_moons
from sklearn.model_selection import GridSearchCV

import skgmje
from skgmje.costs import COSTS, Cost, scalar_cost
from skgmje.gaussian import Bandwidths
from skgmje.mixture import Codes, KernelMixtureDensity, Noise

X = make_moons(120, noise=0.08, random_state=0)[0]
THREE = [0.3, 1.0, 3.0]
GENERATORS = {
    "codes": Codes(hidden_layer_sizes=(8,)),
    "codes of noise": Codes("noise", hidden_layer_sizes=(8,)),
    "noise": Noise(code_dim=4, hidden_layer_sizes=(8,)),
}
quick = pytest.mark.filterwarnings(
    "ignore:KernelMixtureDensity did not converge", "ignore:Only .* pairs of a sample"
)


def density(bandwidth=THREE, generator="codes", **params):
    few = {"n_components": 4, "max_iter": 12, "random_state": 0}
    few |= {"generator": GENERATORS[generator], "covariance_type": "diag"}
    few |= {"shrinkage": 2.0, "bandwidth": bandwidth}
    return KernelMixtureDensity(**few | params)


def assert_same_fit(one, other):
    for name in ("centers_", "means_", "weights_", "loss_curve_", "bandwidth_"):
        assert_array_equal(getattr(one, name), getattr(other, name))


# Laws ------------------------------------------------------------------------


@quick
@pytest.mark.parametrize("form", [list, tuple, np.array, Bandwidths])
@pytest.mark.parametrize(
    "params",
    [
        {"cost": "svd"},
        {"cost": "scalar", "refine": None, "generator": "codes of noise"},
        {"cost": "likelihood", "standardize": False},
        {"cost": "vector-matrix", "generator": "noise"},
    ],
)
def test_one_in_a_sequence_is_that_one(form, params):
    known = density(0.5, **params).fit(X)
    assert_same_fit(density(form([0.5]), **params).fit(X), known)
    assert type(known.bandwidth_) is float


@quick
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("generator", GENERATORS)
def test_order_does_not_count(cost, generator):
    params = {"cost": cost, "generator": generator}
    fitted = density(Bandwidths(THREE, [1, 2, 3]), **params).fit(X)
    other = density(Bandwidths(THREE[::-1], [3, 2, 1]), **params).fit(X)
    assert_allclose(other.centers_, fitted.centers_, rtol=1e-5, atol=1e-6)
    assert_allclose(fitted.bandwidth_, THREE)
    assert_allclose(other.bandwidth_, THREE[::-1])
    assert fitted.bound_gap_ >= -1e-6
    n_centers = 30 if generator == "noise" else 4
    assert 1 <= fitted.pair_ess_ <= n_centers * len(X)
    assert 1 <= fitted.effective_rank_ <= n_centers


@quick
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("generator", GENERATORS)
def test_each_bandwidth_and_each_weight_counts(cost, generator):
    params = {"cost": cost, "generator": generator, "max_iter": 4}
    plain = density(**params).fit(X).centers_
    for i in range(len(THREE)):
        values, weights = list(THREE), [1.0, 1.0, 1.0]
        values[i], weights[i] = 1.1 * values[i], 2.0
        for changed in (values, Bandwidths(THREE, weights)):
            centers = density(changed, **params).fit(X).centers_
            assert np.abs(centers - plain).max() > 1e-7


@quick
def test_twice_in_a_sequence_is_twice_the_weight():
    twice = density([0.3, 0.3, 2.0]).fit(X)
    weighted = density(Bandwidths([0.3, 2.0], [4, 2])).fit(X)
    assert_allclose(twice.centers_, weighted.centers_, rtol=1e-8)


@quick
@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("standardize", [True, False])
def test_the_ladder_knows_no_units(generator, standardize):
    params = {"generator": generator, "standardize": standardize, "max_iter": 8}
    plain, scaled = (density("multiscale", **params).fit(s * X) for s in (1, 1000))
    assert_allclose(scaled.centers_, 1000 * plain.centers_, rtol=1e-6, atol=1e-3)
    unit = 1 if standardize else 1000
    assert_allclose(scaled.bandwidth_, unit * plain.bandwidth_, rtol=1e-8)


@quick
def test_the_ladder_is_around_the_cell():
    fitted, cell = density("multiscale").fit(X), density("cell").fit(X)
    assert_allclose(fitted.bandwidth_, cell.bandwidth_ * 2.0 ** np.arange(-1, 4))
    given = density(fitted.bandwidth_).fit(X)
    assert_allclose(given.centers_, fitted.centers_, rtol=1e-8)


@quick
@pytest.mark.parametrize("cost", COSTS)
def test_weights_of_samples_are_copies(cost):
    params = {"cost": cost, "generator": "codes of noise", "max_iter": 8}
    counts = np.arange(len(X)) % 3
    weighted = density(**params).fit(X, sample_weight=counts)
    copied = density(**params).fit(np.repeat(X, counts, axis=0))
    assert_allclose(weighted.centers_, copied.centers_, rtol=1e-4)


@quick
def test_all_bandwidths_start_wide_and_the_widest_as_wide_as_the_data():
    """The cost of the first step is that of kernels as many times wider."""
    params = {"generator": "codes of noise", "max_iter": 40, "cost": "scalar"}
    narrow = density([0.01, 0.02], **params).fit(X)
    total = 2**0.5  # of two features of variance one
    wide = density([total / 2, total], **params).fit(X)
    assert narrow.loss_curve_[0] == pytest.approx(wide.loss_curve_[0], rel=1e-6)
    assert narrow.loss_curve_[-1] != pytest.approx(wide.loss_curve_[-1], rel=0.1)


# Ugly cases ------------------------------------------------------------------


@quick
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("generator", ["codes", "noise"])
def test_bandwidths_far_apart(cost, dtype, generator):
    params = {"cost": cost, "generator": generator, "max_iter": 4}
    for bandwidth in ([2e-15, 1.0, 5e14], [2.0, 9e14]):
        fitted = density(bandwidth, **params).fit(X.astype(dtype))
        assert np.isfinite(fitted.centers_).all()
        assert np.isfinite(fitted.score(X))


@pytest.mark.parametrize(
    ("bandwidth", "message"),
    [
        ([], r"bandwidth=\[\] must be a positive, finite number"),
        ([1.0, 0.0], r"bandwidth=\[1.0, 0.0\] must be"),
        ((1.0, -2.0), r"bandwidth=\(1.0, -2.0\) must be"),
        ([1.0, np.nan], r"bandwidth=\[1.0, nan\] must be"),
        ([np.inf], r"bandwidth=\[inf\] must be"),
        (Bandwidths([0.0, 1.0]), r"bandwidth=\[0.0, 1.0\] must be"),
        (Bandwidths([(0.1, 0.2)]), r"bandwidth=\[\(0.1, 0.2\)\] must be"),
        (["cell", 1.0], "must be a positive, finite number, or a sequence"),
        ([None], "must be a positive, finite number, or a sequence"),
        (True, "bandwidth=True must be a positive, finite number"),
        ([True, 0.4], r"bandwidth=\[True, 0.4\] must be"),
        (np.array([True, True]), "must be a positive, finite number"),
        ({1: 2}, "bandwidth={1: 2} must be a positive, finite number"),
        ({1.0, 2.0}, "must be a positive, finite number, or a sequence"),
        ([1j], "must be a positive, finite number, or a sequence"),
        (np.ones((1, 2)), "Each is one standard deviation of a kernel for all feat"),
        ([[1.0, 2.0], [1.0]], "features get widths of their own by scaling X"),
        ([1.0, 1e200], r"bandwidth=1e\+200 is 1e\+200 times the scale"),
        ([1e-200, 1.0], "Use bandwidth='auto'"),
    ],
)
def test_bad_bandwidths_are_named_before_work(bandwidth, message, monkeypatch):
    monkeypatch.delattr("skgmje.mixture._kernel_mixture.choose_settings")
    with pytest.raises(ValueError, match=message):
        density(bandwidth).fit(X)


@pytest.mark.parametrize("bandwidth", [THREE, "multiscale", Bandwidths(THREE)])
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"refine": None}, "refine=None reports .* Use refine='weights'"),
        ({"refine": None, "cost": "scalar"}, "refine=None reports"),
        ({"cost": "likelihood"}, "cost='likelihood' learns the variance of one"),
        (
            {
                "cost": Cost(
                    scalar_cost,
                    is_density=True,
                    learns_weights=True,
                    learns_variance=True,
                )
            },
            "learns the variance of one kernel",
        ),
    ],
)
def test_one_variance_belongs_to_one_bandwidth(bandwidth, params, message, monkeypatch):
    monkeypatch.delattr("skgmje.mixture._kernel_mixture.choose_settings")
    with pytest.raises(ValueError, match=message):
        density(bandwidth, **params).fit(X)


@pytest.mark.filterwarnings("ignore:KernelMixtureDensity did not converge")
def test_a_dead_gradient_names_all_bandwidths():
    with pytest.warns(UserWarning, match="count at bandwidth 1e-05, 2e-05, so most"):
        density([1e-5, 2e-5]).fit(X)


# As a parameter --------------------------------------------------------------


@quick
@pytest.mark.parametrize(
    "bandwidth", [THREE, tuple(THREE), np.array(THREE), Bandwidths(THREE, [1, 2, 1])]
)
def test_copies_files_and_checkpoints(bandwidth, tmp_path):
    known = density(bandwidth)
    assert clone(known).get_params()["shrinkage"] == 2.0
    assert "bandwidth=" in repr(known)
    fitted = clone(known).fit(X)
    path = tmp_path / "model.skgmje"
    fitted.save(path)
    loaded = skgmje.load(path)
    assert_same_fit(loaded, fitted)
    assert_same_fit(clone(loaded).fit(X), fitted)
    checked = density(bandwidth, trainer={"checkpoint_dir": str(tmp_path)})
    assert_same_fit(checked.fit(X), fitted)


@quick
def test_grid():
    grid = {"bandwidth": [0.5, "multiscale", THREE, Bandwidths(THREE)]}
    search = GridSearchCV(density(max_iter=3), grid, cv=2).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# Quality ---------------------------------------------------------------------


@quick
@pytest.mark.slow
@pytest.mark.parametrize("cost", COSTS)
def test_noise_follows_two_moons_without_a_bandwidth_to_choose(cost):
    draws = [make_moons(500, noise=0.08, random_state=i)[0] for i in (0, 1)]
    params = {"n_components": 64, "generator": "noise", "learning_rate": 8e-3}
    params |= {"cost": cost, "refine": "weights", "max_iter": 150}
    params["generator"] = Noise(code_dim=4, hidden_layer_sizes=(64, 64))

    def distance(bandwidth):
        fitted = KernelMixtureDensity(bandwidth=bandwidth, random_state=0, **params)
        rows = fitted.fit(draws[0]).sample_generator(500)
        within = cdist(rows, rows).mean() + cdist(draws[1], draws[1]).mean()
        return 2 * cdist(rows, draws[1]).mean() - within

    assert distance("multiscale") < 0.7 * distance("cell")

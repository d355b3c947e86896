"""The density whose centers a network places by a cost."""

import pickle
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits, make_moons
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from skgmje.costs import COSTS, Cost, scalar_cost, svd_cost
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.mixture import Codes, GaussianMixture, KernelMixtureDensity, Noise

MAX_ENTRIES = "skgmje.mixture._kernel_recipe.MAX_ENTRIES"
ALL_COSTS = [*COSTS, "likelihood"]
X = StandardScaler().fit_transform(make_moons(200, noise=0.08, random_state=0)[0])
# The smallest network and one setting: nothing is chosen, a fit takes 0.1 s.
FIXED = {"covariance_type": "full", "shrinkage": 2.0}
SMALL = {**FIXED, "generator": Codes(hidden_layer_sizes=(8,))}
FROM_NOISE = {"generator": Codes("noise", hidden_layer_sizes=(8,))}


def density(n_components=5, **params):
    params = {"random_state": 0, "max_iter": 40, **SMALL, **params}
    return KernelMixtureDensity(n_components, **params)


def ignoring(*messages):
    marks = [pytest.mark.filterwarnings(f"ignore:{message}") for message in messages]
    return lambda test: [test := mark(test) for mark in marks][-1]


UNSETTLED = "KernelMixtureDensity did not converge"
NO_DENSITY = "cost=.* compares operators"
DEAD = "Only .* pairs of a sample"
TIES = "KernelMixtureDensity. many of the values of columns"


# Quality ---------------------------------------------------------------------


def test_raw_scalar_density_of_moons():
    rows = [
        make_moons(n, noise=0.08, random_state=i)[0] for i, n in enumerate((800, 4000))
    ]
    scaler = StandardScaler().fit(rows[0])
    train, test = map(scaler.transform, rows)
    raw = KernelMixtureDensity(50, cost="scalar", refine=None, random_state=0).fit(
        train
    )
    assert raw.score(test) > -1.72
    assert raw.bound_gap_ < 0.03


@pytest.mark.slow
def test_svd_places_centers_of_digits_from_noise():
    rng = np.random.default_rng(0)
    rows = load_digits().data
    rows = rng.permutation((rows + rng.random(rows.shape)) / 17)
    train, test = rows[:1257], rows[1257:]
    steps = make_pipeline(PCA(16, random_state=0), StandardScaler()).fit(train)
    params = {"generator": Codes("noise"), "refine": "weights", "max_iter": 500}
    fitted = KernelMixtureDensity(50, random_state=0, **params)
    assert fitted.fit(steps.transform(train)).score(steps.transform(test)) > -19.7


@pytest.mark.parametrize("cost", ALL_COSTS)
def test_every_cost_falls_and_beats_one_gaussian(cost):
    fitted = density(12, cost=cost, refine="weights", max_iter=100).fit(X)
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]
    assert fitted.bound_gap_ == pytest.approx(fitted.loss_curve_[-1], abs=0.02)
    assert fitted.score(X) > GaussianMixture(1).fit(X).score(X) + 0.3


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("generator", ["codes", "noise"])
@ignoring(UNSETTLED, DEAD)
def test_costs_are_gaps(cost, generator):
    fitted = density(cost=cost, generator=generator).fit(X)
    assert fitted.bound_gap_ >= -1e-6
    assert fitted.loss_curve_.min() >= -1e-6


def test_a_cost_of_ones_own_equals_the_one_it_calls():
    def mine(grams):
        return svd_cost(grams)

    ours, theirs = density(cost=mine).fit(X), density(cost="matrix-matrix").fit(X)
    assert ours.bound_gap_ > 0
    assert ours.bandwidth_ == theirs.bandwidth_


def cosine_cost(grams, weights=None, jitter=None):
    """One minus the cosine of the angle between the densities of data and model."""
    return -torch.expm1(-scalar_cost(grams, weights) / 2)


@ignoring(UNSETTLED)
def test_a_registered_cost_is_used_like_the_others(monkeypatch):
    cost = Cost(cosine_cost, is_density=True, learns_weights=True)
    monkeypatch.setitem(COSTS, "cosine", cost)
    params = {"refine": None, "max_iter": 100}
    named, handed = density(cost="cosine", **params), density(cost=cost, **params)
    known = density(cost="scalar", **params).fit(X)
    assert named.fit(X).bandwidth_ == known.bandwidth_
    assert named.loss_curve_[0] == pytest.approx(1 - np.exp(-known.loss_curve_[0] / 2))
    assert_array_equal(handed.fit(X).means_, named.means_)
    # Its weights and its variance are learned: it says so.
    assert np.ptp(named.weights_) > 0.01
    assert named.score(X) > known.score(X) - 0.1


@pytest.mark.parametrize("name", COSTS)
@ignoring(UNSETTLED, NO_DENSITY, DEAD)
def test_a_copy_of_a_cost_is_that_cost(name, monkeypatch):
    monkeypatch.setitem(COSTS, "copy", replace(COSTS[name]))
    few = {"refine": None, "max_iter": 10}
    fits = [density(cost=c, **few).fit(X) for c in (name, "copy", COSTS[name])]
    for other in fits[1:]:
        assert_array_equal(other.means_, fits[0].means_)
        assert_array_equal(other.weights_, fits[0].weights_)
        assert other.bandwidth_ == fits[0].bandwidth_


def test_a_cost_cannot_be_made_without_saying_what_it_is():
    for known in ({"is_density": True}, {"learns_weights": True}, {}):
        with pytest.raises(TypeError, match="missing"):
            Cost(cosine_cost, **known)


@ignoring(UNSETTLED)
def test_noise_starts_without_rows_and_ends_near_them():
    fitted = density(12, **FROM_NOISE, bandwidth="cell", max_iter=200).fit(X)
    assert fitted.loss_curve_[0] < fitted.loss_curve_[-1]  # the bumps were wide
    assert fitted.score(X) > density(12).fit(X).score(X) - 0.1


# What the density is ---------------------------------------------------------


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_covariance_types(kind):
    fitted = density(covariance_type=kind).fit(X)
    # The features' own units make ellipses of spheres.
    expected = "diag" if kind == "spherical" else kind
    assert fitted.covariance_type_ == expected
    assert fitted.score(X) == pytest.approx(fitted.mixture_.log_prob(X).mean())


@ignoring(UNSETTLED)
@pytest.mark.parametrize("refine", ["covariances", "em", "weights", None])
@pytest.mark.parametrize("scale", [2.0**-30, 2.0**20])
def test_log_density_is_in_the_units_of_the_input(refine, scale):
    params = {"refine": refine, "cost": "scalar"}
    factors, shift = np.array([scale, 1.0]), np.array([0.0, 4.0])
    plain = density(**params).fit(X)
    other = density(**params).fit(X * factors + shift)
    assert_allclose(
        other.score_samples(X * factors + shift),
        plain.score_samples(X) - np.log(scale),
        rtol=1e-4,
        atol=1e-4,
    )
    assert_allclose(other.centers_, plain.centers_ * factors + shift, rtol=1e-4)


def test_density_integrates_to_one():
    fitted = density().fit(X * [3.0, 0.1] + 7)
    low, high = (X * [3.0, 0.1] + 7).min(axis=0), (X * [3.0, 0.1] + 7).max(axis=0)
    axes = [
        np.linspace(a - 2 * (b - a), b + 2 * (b - a), 400)
        for a, b in zip(low, high, strict=True)
    ]
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    assert np.exp(fitted.score_samples(grid)).sum() * cell == pytest.approx(1, abs=1e-3)


@ignoring(UNSETTLED)
def test_without_standardization_distances_stay():
    stretched = X * [10.0, 1.0]
    params = {"refine": None, "cost": "scalar", "standardize": False, "bandwidth": 0.7}
    fitted = density(**params).fit(stretched)
    assert fitted.covariance_type_ == "spherical"
    assert fitted.bandwidth_ == pytest.approx(0.7)


def test_refine_weights_fits_one_variance():
    fitted = density(refine="weights").fit(X)
    assert np.ptp(fitted.covariances_, axis=0) == pytest.approx(0)


def test_refine_em_moves_them():
    fitted = density(refine="em").fit(X)
    assert np.abs(fitted.means_ - fitted.centers_[: len(fitted.means_)]).max() > 1e-3


@ignoring(UNSETTLED)
@pytest.mark.parametrize("cost", ["scalar", "vector-matrix", "likelihood"])
def test_raw_density_learns_its_variance(cost):
    raw = density(12, cost=cost, refine=None, max_iter=100).fit(X)
    variances = raw.covariances_ / raw._scale**2
    assert np.ptp(variances) < 1e-9
    assert variances.flat[0] != pytest.approx(raw.bandwidth_**2, rel=1e-3)
    assert raw.weights_.sum() == pytest.approx(1)
    assert np.ptp(raw.weights_) > 1e-3


@pytest.mark.parametrize("cost", ["matrix-matrix", "svd"])
def test_raw_operator_costs_warn(cost):
    with pytest.warns(UserWarning, match="its variance is not that of a density"):
        raw = density(cost=cost, refine=None).fit(X)
    assert np.isfinite(raw.score(X))


@ignoring("KernelMixtureDensity did not converge")
def test_auto_chooses_what_is_open():
    fitted = KernelMixtureDensity(
        covariance_type="diag", max_iter=30, random_state=0
    ).fit(X)
    chosen = fitted.cv_results_["params"][
        fitted.cv_results_["mean_test_score"].argmax()
    ]
    assert set(fitted.cv_results_["param_covariance_type"]) == {"diag"}
    assert len(fitted.weights_) == chosen["n_components"] == len(fitted.centers_)
    assert density().fit(X).cv_results_ is None


def test_float32_stays():
    X32 = X.astype(np.float32)
    fitted = density().fit(X32)
    assert fitted.score_samples(X32).dtype == np.float32
    assert fitted.transform(X32).dtype == np.float32
    assert fitted.score(X32) == pytest.approx(density().fit(X).score(X), abs=0.05)


@ignoring(UNSETTLED, NO_DENSITY)
@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"refine": "weights"}, 16),
        ({"refine": None, "cost": "scalar"}, 16),
        ({"covariance_type": "spherical"}, 19),
        ({"covariance_type": "tied"}, 21),
        ({"covariance_type": "full"}, 39),
    ],
)
def test_criteria_count_what_was_free(params, expected):
    rows = np.random.default_rng(0).normal(size=(200, 3))
    fitted = density(4, **params).fit(rows)
    assert fitted.aic(rows) / 2 + 200 * fitted.score(rows) == pytest.approx(expected)


# Very many rows --------------------------------------------------------------


@pytest.mark.parametrize("kind", ["full", "low-rank"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_very_many_rows_are_read_in_parts(kind, dtype, tmp_path, monkeypatch):
    path = tmp_path / "rows.npy"
    np.save(path, np.tile(X, (20, 1)).astype(dtype))
    rows, weight = np.load(path, mmap_mode="r"), np.tile([1.0, 2.0], 2000)
    params = {"covariance_type": kind, "batch_size": 100, "tol": 0.1}
    large = {"max_bytes": 1e9}
    whole = density(trainer=large, **params).fit(rows, sample_weight=weight)
    monkeypatch.setattr(MAX_ENTRIES, 2000)
    parts = [
        density(trainer={"max_bytes": size}, **params).fit(rows, sample_weight=weight)
        for size in (0, 0, 1e9)
    ]
    for part in parts[1:]:
        assert_array_equal(part.means_, parts[0].means_)
        assert_array_equal(part.loss_curve_, parts[0].loss_curve_)
    assert parts[0].score(rows) == pytest.approx(whole.score(rows), abs=0.1)


def test_very_many_rows_need_no_choices(monkeypatch):
    monkeypatch.setattr(MAX_ENTRIES, 800)
    params = {"refine": "weights", "batch_size": 50, "tol": 0.1}
    fitted = KernelMixtureDensity(random_state=0, max_iter=20, **params)
    fitted.fit(np.tile(X, (20, 1)))
    assert fitted.score(X) > GaussianMixture(1).fit(X).score(X) + 0.2


# Weights ---------------------------------------------------------------------


@ignoring(UNSETTLED)
@pytest.mark.parametrize("cost", ALL_COSTS)
@pytest.mark.parametrize("refine", ["covariances", "em", "weights"])
def test_weights_are_copies_where_no_rows_are_drawn(cost, refine):
    counts = np.arange(len(X)) % 3
    params = {**FROM_NOISE, "bandwidth": 0.5, "cost": cost, "refine": refine}
    weighted = density(3, max_iter=10, **params).fit(X, sample_weight=counts)
    copied = density(3, max_iter=10, **params).fit(np.repeat(X, counts, axis=0))
    assert_allclose(weighted.score_samples(X), copied.score_samples(X), rtol=1e-4)


@pytest.mark.parametrize("size", [1e-320, 1e308])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_weights_of_any_size(size, dtype):
    rows = X.astype(dtype)
    fitted = density().fit(rows, sample_weight=np.full(len(X), size))
    assert np.isfinite(fitted.score(rows))


def test_rows_without_weight_are_absent():
    weight = np.where(np.arange(len(X)) % 4, 1.0, 0.0)
    weighted, cut = density().fit(X, sample_weight=weight), density().fit(X[weight > 0])
    assert_array_equal(weighted.means_, cut.means_)


def test_score_takes_weights():
    fitted, weight = density().fit(X), np.arange(len(X), dtype=float)
    expected = np.average(fitted.score_samples(X), weights=weight)
    assert fitted.score(X, sample_weight=weight) == pytest.approx(expected)


# Noise and networks of others ------------------------------------------------


class Dropped(nn.Module):
    """A network whose layers and dropout draw from torch's global state."""

    def __init__(self, code_dim, n_features):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(code_dim, 16),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(16, n_features),
        )

    def forward(self, noise):
        return self.layers(noise)


@ignoring(UNSETTLED, DEAD)
@pytest.mark.parametrize("generator", ["noise", Dropped, Dropped(8, 2).double()])
def test_generators_of_noise(generator):
    before = torch.get_rng_state()
    weights = (
        [p.clone() for p in generator.parameters()]
        if isinstance(generator, nn.Module)
        else []
    )
    scaled = X * [5.0, 1.0] + [100.0, 0.0]
    first, second = (density(generator=generator).fit(scaled) for _ in range(2))
    assert_array_equal(first.means_, second.means_)
    assert_array_equal(first.sample_generator(7), second.sample_generator(7))
    other = first.sample_generator(7, random_state=1)
    assert not np.array_equal(first.sample_generator(7), other)
    assert other.shape == (7, 2)
    assert np.abs(other[:, 0] - 100).max() < 40
    assert torch.equal(torch.get_rng_state(), before)
    if weights:
        assert all(map(torch.equal, weights, generator.parameters()))


def test_codes_have_no_generator_to_sample():
    fitted = density().fit(X)
    assert not hasattr(fitted, "sample_generator")
    with pytest.raises(AttributeError) as error:
        fitted.sample_generator(3)
    assert "needs generator='noise'" in str(error.value.__cause__)


@ignoring(UNSETTLED)
@pytest.mark.parametrize("n_features", [1, 16])
def test_noise_has_kernels_from_the_cells_to_the_data(n_features):
    rows = np.random.default_rng(0).normal(size=(60, n_features))
    noise = density(2, generator="noise", max_iter=2).fit(rows)
    cell = density(2, generator="noise", max_iter=2, bandwidth="cell").fit(rows)
    assert noise.bandwidth_[:2] == pytest.approx([cell.bandwidth_ / 2, cell.bandwidth_])
    assert noise.bandwidth_[-1] ** 2 >= n_features


# The run ---------------------------------------------------------------------


@ignoring(UNSETTLED)
def test_verbose_prints_every_tenth(capsys):
    density(max_iter=50, verbose=1, tol=0).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert re.fullmatch(
        r"\[KernelMixtureDensity\] step 50/50, cost 0\.\d+, \d+\.\d s", lines[-1]
    )
    density(max_iter=50, tol=0).fit(X)
    assert capsys.readouterr().out == ""


def test_progress_bar_of_scikit_learn(capsys):
    callback = pytest.importorskip("sklearn.callback", minversion=None)
    pytest.importorskip("rich")
    fitted = density().set_callbacks(callback.ProgressBar()).fit(X)
    assert "KernelMixtureDensity - fit" in capsys.readouterr().out
    assert not any(name.startswith("_callback") for name in vars(fitted))


def test_callbacks_of_scikit_learn_may_stop_the_run():
    pytest.importorskip("sklearn.callback")

    class Stop:
        tasks = 0

        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context):
            self.tasks += 1
            return self.tasks == 5

        def teardown(self, estimator, context):
            pass

    assert density().set_callbacks(Stop()).fit(X).n_iter_ == 5


def test_callbacks_of_skorch():
    class Count(Callback):
        epochs = 0

        def on_epoch_end(self, net, **kwargs):
            self.epochs += 1

    count = Count()
    stop = EarlyStopping("train_loss", patience=2, threshold=0.5)
    fitted = density(trainer={"callbacks": [count, stop]}).fit(X)
    assert fitted.n_iter_ == count.epochs < 40


def test_trainer_reaches_skorch():
    fitted = density(learning_rate=1e-9, trainer={"optimizer": torch.optim.SGD}).fit(X)
    assert_allclose(fitted.loss_curve_, fitted.loss_curve_[0], rtol=1e-6)


def test_plateau_ends_the_run():
    fitted = density(max_iter=500, tol=1e-3).fit(X)
    assert fitted.n_iter_ == len(fitted.loss_curve_) < 500
    assert fitted.converged_
    assert np.ptp(fitted.loss_curve_[-50:]) < 1e-3


def test_unsettled_run_warns_once_with_figures():
    with pytest.warns(ConvergenceWarning) as record:
        fitted = density(cost="scalar", refine=None).fit(X)
    assert len(record) == 1
    assert re.search(
        r"cost fell by [\d.e-]+ to .* of max_iter=40", str(record[0].message)
    )
    assert record[0].filename == __file__
    assert not fitted.converged_


def test_explosion_restores_the_start():
    with pytest.warns(ConvergenceWarning, match="learning_rate=1e"):
        fitted = density(learning_rate=1e8).fit(X)
    assert np.isfinite(fitted.loss_curve_).all()
    assert fitted.score(X) == pytest.approx(density().fit(X).score(X), abs=0.1)


def test_interruption_leaves_a_usable_density():
    class Interrupt(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            if net.n_steps_ == 7:
                raise KeyboardInterrupt

    fitted = density(trainer={"callbacks": [Interrupt()]})
    with pytest.raises(KeyboardInterrupt, match=r"interrupted at step 7 .* is kept"):
        fitted.fit(X)
    assert np.isfinite(fitted.score(X))


def test_errors_of_ones_own_cost_are_raised():
    calls = []

    def broken(grams):
        calls.append(0)
        if len(calls) > 9:
            raise ValueError("my cost is broken")
        return svd_cost(grams)

    with pytest.raises(ValueError, match="my cost is broken"):
        density(cost=broken).fit(X)


@pytest.mark.parametrize(
    ("params", "remedy"),
    [
        ({"cost": "scalar", "refine": None}, "cost fell .* Increase max_iter or tol."),
        ({"tol": 0}, "The refinement ended .* gained .* Increase tol"),
        ({"learning_rate": 1e8}, "restored. Decrease learning_rate."),
    ],
)
def test_each_trouble_has_its_remedy(params, remedy):
    with pytest.warns(ConvergenceWarning, match=remedy):
        density(**params).fit(X)


def test_few_rows_at_their_optimum_are_no_trouble():
    fitted = density(4, cost="scalar", refine=None, max_iter=300).fit(X[:4])
    assert fitted.converged_


@ignoring(TIES)
def test_rounded_rows_are_no_trouble():
    rows = (1e-3 * np.random.default_rng(0).normal(size=(300, 2)) + 1e4).astype("f4")
    fitted = density(max_iter=300).fit(rows)
    assert fitted.converged_
    assert fitted.bandwidth_ * fitted._scale.min() > 0.2 * np.spacing(rows.max())


@ignoring(UNSETTLED)
def test_dead_gradient_warns():
    with pytest.warns(
        UserWarning, match=r"Only .* of 1000 pairs .* at bandwidth 1e-05"
    ):
        density(bandwidth=1e-5).fit(X)


# With scikit-learn -----------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_grid_search_over_costs_in_a_pipeline():
    grid = {"kernelmixturedensity__cost": ALL_COSTS}
    search = GridSearchCV(make_pipeline(StandardScaler(), density()), grid, cv=2)
    scores = search.fit(X).cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()


def test_responsibilities_have_names():
    fitted = density(3).fit(X).set_output(transform="pandas")
    names = [f"kernelmixturedensity{k}" for k in range(3)]
    frame = fitted.transform(X)
    assert list(frame.columns) == list(fitted.get_feature_names_out()) == names
    assert_allclose(frame.sum(axis=1), 1)
    assert_array_equal(frame.to_numpy().argmax(axis=1), fitted.predict(X))


@ignoring(UNSETTLED, DEAD)
def test_codes_forget_the_network_of_an_earlier_fit():
    fitted = density(generator="noise", max_iter=5).fit(X)
    assert not hasattr(fitted.set_params(generator="codes").fit(X), "generator_")


def test_row_of_no_weight_does_not_count_however_far():
    fitted = density().fit(X)
    rows = np.r_[X, [[1e250, 0.0]]]
    weight = np.r_[np.ones(len(X)), 0.0]
    assert fitted.score(rows, sample_weight=weight) == pytest.approx(fitted.score(X))
    assert fitted.score(rows) == -np.inf


def test_clone_copies_a_network():
    original = density(generator=Dropped(8, 2))
    assert clone(original).generator is not original.generator
    original = density(generator=Noise(Dropped(8, 2)))
    assert clone(original).generator.network is not original.generator.network


def test_prediction_needs_no_torch(tmp_path):
    path = tmp_path / "density.pkl"
    path.write_bytes(pickle.dumps(density().fit(X)))
    code = (
        "import pickle, sys; density = pickle.load(open(sys.argv[1], 'rb')); "
        "density.score([[0.0, 0.0]]); density.sample(3); "
        "sys.exit('torch' in sys.modules or 'skorch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 0
    )


# Bad input -------------------------------------------------------------------


def two_columns_too_many(code_dim, n_features):
    return nn.Linear(code_dim, n_features + 2)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_components": 201}, "n_components=201 is larger.*n_samples=200"),
        ({"cost": "nuclear"}, "'cost' parameter"),
        ({"cost": lambda grams: 1.0}, "must return one number"),
        ({"cost": lambda grams: grams.log_xy}, "must return one number"),
        ({"cost": lambda grams: grams.log_xy.detach().sum()}, "without a gradient"),
        ({"cost": lambda grams: grams.log_xx.sum()}, "without a gradient"),
        ({"generator": nn.Identity()}, "has no parameters to learn"),
        ({"trainer": {"callbacks": [3]}}, r"trainer\['callbacks'\]=\[3\]"),
        ({"trainer": {"callbacks": [EarlyStopping()]}}, "Pass it monitor='train_loss'"),
        ({"trainer": {"optimizer": torch.optim.LBFGS}}, "LBFGS, needs"),
        ({"trainer": {"callback": []}}, "trainer={'callback': .* does not suit"),
        ({"trainer": {"max_bytes": "all"}}, r"trainer\['max_bytes'\]='all' must be"),
        ({"device": "meta"}, "device='meta' cannot be used"),
        ({"generator": "gan"}, "'generator' parameter"),
        ({"generator": two_columns_too_many}, r"to shape \(2, 4\), but centers"),
        ({"generator": nn.Linear(3, 2)}, "to an error .* width is code_dim=8"),
        ({"generator": lambda *shape: shape}, "built tuple; it must return a torch"),
        ({"bandwidth": 0.0}, "'bandwidth' parameter"),
        ({"bandwidth": 1e-200}, "bandwidth=1e-200 is 1e-200 times the scale"),
        ({"bandwidth": 1e200}, "bandwidth=1e\\+200 is 1e\\+200 times the scale"),
        ({"bandwidth": "silverman"}, "'bandwidth' parameter"),
        ({"device": "abacus"}, "device='abacus' cannot be used"),
        ({"generator": Codes(hidden_layer_sizes=(8, 0))}, r"\(8, 0\) must hold"),
        ({"generator": Codes("pca")}, "'init' parameter of Codes"),
        ({"generator": Noise(code_dim=0)}, "'code_dim' parameter of Noise"),
        ({"generator": Noise(network=3)}, "'network' parameter of Noise"),
        ({"trainer": {"max_epochs": 3}}, r"trainer sets \['max_epochs'\]"),
        ({"refine": "nnls"}, "'refine' parameter"),
        (
            {"refine": GaussianMixture(5)},
            "n_components=5 of .* no effect.* Leave n_components=1",
        ),
        ({"refine": GaussianMixture(means_init=X[:5])}, "(?s)means_init=.* no effect"),
        ({"refine": GaussianMixture(tol=-1.0)}, "'tol' parameter of GaussianMixture"),
        (
            {"refine": GaussianMixture()},
            r"shrinkage=2\.0 contradicts shrinkage=0",
        ),
        (
            {"refine": GaussianMixture(covariance_type="diag", shrinkage=2.0)},
            "covariance_type='full' contradicts .* leave covariance_type='auto'",
        ),
        ({"max_iter": 0}, "'max_iter' parameter"),
    ],
)
def test_bad_parameters_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        density(**params).fit(X)


def test_loss_that_is_never_finite_names_what_to_check():
    def infinite(grams):
        return grams.log_xy.sum() * np.inf

    with pytest.raises(FloatingPointError, match=r"Check what cost=.*infinite"):
        density(cost=infinite).fit(X)


@ignoring(UNSETTLED, DEAD)
def test_number_of_centers_is_an_integer():
    fitted = density(generator="noise", max_iter=2).fit(X)
    with pytest.raises(ValueError, match=r"n_samples=4\.5 must be a positive integer"):
        fitted.sample_generator(4.5)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros(len(X)), "all weights are zero"),
        (-np.ones(len(X)), "[Nn]egative"),
        (np.ones(3), "shape"),
        (np.r_[np.ones(2), np.zeros(len(X) - 2)], "n_samples=2 samples"),
    ],
)
def test_bad_weights_are_named(weight, message):
    with pytest.raises(ValueError, match=message):
        density().fit(X, sample_weight=weight)


UGLY = {
    "constant": np.c_[X, np.full(len(X), 7.0)],
    "all equal": np.ones((20, 3)),
    "duplicates": np.repeat(X[:3], 20, axis=0),
    "wide": np.random.default_rng(0).normal(size=(10, 40)),
    "huge": X * 1e149,
    "tiny": X * 1e-149,
    "mixed": X * [1e-100, 1e100],
    "far": X * 1e-3 + 1e6,
    "outlier": np.r_[X, [[1e100, 0.0]]],
    "float32": (X * 1e30).astype(np.float32),
    "one feature": X[:, :1],
    "as many components as rows": X[:5],
}


@ignoring(UNSETTLED, DEAD, NO_DENSITY, TIES)
@pytest.mark.parametrize("rows", UGLY.values(), ids=UGLY)
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"refine": "em"},
        {"refine": GaussianMixture(reg_covar="auto"), "shrinkage": "auto"},
        {"cost": "scalar", "refine": "weights"},
        {"cost": "vector-matrix", "refine": None},
        {"cost": "matrix-matrix", "generator": "noise"},
        {"cost": "likelihood", "standardize": False, "refine": None},
    ],
    ids=str,
)
def test_ugly_data_give_finite_answers(rows, params):
    fitted = density(max_iter=10, **params).fit(rows)
    assert np.isfinite(fitted.score_samples(rows)).all()
    assert np.isfinite(fitted.sample(3)[0]).all()
    assert_allclose(fitted.predict_proba(rows).sum(axis=1), 1, rtol=1e-5)

"""What follows the placement of the centers, and the options of a kernel mixture."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_moons
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from torch import nn

from skgmje.costs import COSTS, svd_cost
from skgmje.em import kernel_bandwidth, weights_only
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.mixture import Codes, GaussianMixture, KernelMixtureDensity, Noise

X = make_moons(120, noise=0.1, random_state=0)[0] * [3.0, 0.2] + [0.1, 40.0]
FIXED = {"covariance_type": "full", "shrinkage": 2.0}
pytestmark = [
    pytest.mark.filterwarnings("ignore:KernelMixtureDensity did not converge"),
    pytest.mark.filterwarnings("ignore:cost=.* compares operators"),
    pytest.mark.filterwarnings("ignore:Only .* pairs of a sample"),
    pytest.mark.filterwarnings("ignore:.*many of the values of columns:UserWarning"),
]


def density(n_components=5, **params):
    params = {"generator": Codes(hidden_layer_sizes=(8,)), "max_iter": 10, **params}
    return KernelMixtureDensity(n_components, random_state=0, **params)


def told(fitted):
    """Return all that a fit decided, as bytes."""
    return fitted.means_.tobytes() + fitted.score_samples(X).tobytes()


ROWS = {
    "moons": X,
    "single precision": X.astype(np.float32),
    "duplicates": np.repeat(X[:3], 20, axis=0),
    "all equal": np.ones((20, 2)),
    "as many as centers": X[:5],
    "outlier": np.r_[X, [[1e100, 0.0]]],
    "constant": np.c_[X, np.full(len(X), 7.0)],
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("refine", ["covariances", "weights", None])
@pytest.mark.parametrize("standardize", [True, False])
def test_means_are_the_centers_to_the_bit(rows, refine, standardize):
    params = {**FIXED, "refine": refine, "standardize": standardize}
    fitted = density(**params).fit(rows)
    assert fitted.means_.tobytes() == fitted.centers_.tobytes()
    assert len(fitted.means_) == 5
    assert np.isfinite(fitted.score_samples(rows)).all()


@pytest.mark.parametrize("kind", [*COVARIANCE_TYPES, "auto"])
@pytest.mark.parametrize("generator", ["codes", "noise"])
def test_means_are_the_centers_for_every_type(kind, generator):
    weight = np.arange(len(X)) % 4
    params = {"covariance_type": kind, "generator": generator, "max_iter": 3}
    fitted = density(4, **params).fit(X, sample_weight=weight)
    assert fitted.means_.tobytes() == fitted.centers_.tobytes()


def test_the_cost_decides_where_the_means_are():
    kept = {cost: density(max_iter=40, cost=cost, **FIXED).fit(X) for cost in COSTS}
    moved = {
        cost: density(max_iter=40, cost=cost, refine="em", **FIXED).fit(X)
        for cost in COSTS
    }
    assert len({told(fitted) for fitted in kept.values()}) == len(COSTS)
    for cost in COSTS:
        assert_array_equal(kept[cost].centers_, moved[cost].centers_)
        assert kept[cost].score(X) < moved[cost].score(X)
        assert kept[cost].score(X) > GaussianMixture().fit(X).score(X) + 0.2


def test_means_that_stay_cost_little():
    rows, test = (make_moons(n, noise=0.08, random_state=n)[0] for n in (1000, 3000))
    plain = {**FIXED, "random_state": 0}
    stay, move, narrow = (
        KernelMixtureDensity(12, **plain, **params).fit(rows).score(test)
        for params in ({}, {"refine": "em"}, {"bandwidth": "cell"})
    )
    assert stay > move - 0.015
    assert stay > narrow + 0.01


def test_selection_holds_the_means():
    kept, moved = (
        density("auto", refine=word, **FIXED).fit(X).cv_results_
        for word in ("covariances", "em")
    )
    sizes = [r["param_n_components"] for r in (kept, moved)]
    shared = {*sizes[0]} & {*sizes[1]}
    scores = [
        {k: s for k, s in zip(n, r["mean_test_score"], strict=True) if k in shared}
        for n, r in zip(sizes, (kept, moved), strict=True)
    ]
    assert scores[0][1] == pytest.approx(scores[1][1])
    assert any(scores[0][k] != scores[1][k] for k in shared - {1})


# EM with the settings of a mixture ----------------------------------------------


def test_the_settings_of_em_are_those_of_a_mixture():
    settings = {"reg_covar": 1e-4, "tol": 1e-4, "max_iter": 200, **FIXED}
    word = density(refine="em", **FIXED).fit(X)
    assert told(density(refine=GaussianMixture(**settings)).fit(X)) == told(word)


@pytest.mark.parametrize(
    "changed",
    [
        {"covariance_type": "tied"},
        {"shrinkage": 30.0},
        {"shrinkage": 30.0, "shrinkage_target": "neighbors"},
        {"reg_covar": 0.1},
        {"reg_covar": "auto"},
        {"tol": 1.0},
        {"max_iter": 1},
        {"annealing": 0.2},
        {"covariance_type": "low-rank", "rank": 1},
        {"covariance_type": "auto", "shrinkage": "auto"},
    ],
    ids=str,
)
def test_every_setting_of_the_mixture_counts(changed):
    # The last of several changes is looked at.
    name = [*changed][-1]
    known = {**GaussianMixture().get_params(), "shrinkage": 5.0, "reg_covar": 1e-3}
    mixture = GaussianMixture(**known | changed)
    fitted = density(12, refine=mixture).fit(X)
    plain = GaussianMixture(**known | changed | {name: known[name]})
    plain = density(12, refine=plain).fit(X)
    assert told(fitted) != told(plain)
    assert not hasattr(mixture, "means_")
    assert np.isfinite(fitted.score(X))


def test_few_samples_shrink_as_those_of_a_mixture_do():
    rows = np.random.default_rng(0).normal(size=(24, 6))
    chosen = density(2, refine=GaussianMixture(covariance_type="auto")).fit(rows)
    shrunk = chosen.cv_results_["param_shrinkage"]
    assert len({*shrunk}) > 1


# Weights and one variance -------------------------------------------------------


def test_many_centers_predict_as_well_as_all_samples():
    rows, test = (make_moons(n, noise=0.1, random_state=n)[0] for n in (400, 2000))
    kde = KernelDensity(bandwidth=kernel_bandwidth(rows)).fit(rows)
    fitted = density(100, refine="weights", max_iter=20).fit(rows)
    assert fitted.score(test) > kde.score(test) / len(test) - 0.08


# Options of generators ----------------------------------------------------------


def build(code_dim, n_features):
    return nn.Linear(code_dim, n_features)


NETWORK = nn.Linear(8, 2)
SAME = {
    "codes": ("codes", Codes()),
    "noise": ("noise", Noise()),
    "module": (NETWORK, Noise(NETWORK)),
    "callable": (build, Noise(network=build)),
}


@pytest.mark.parametrize("one_way", SAME.values(), ids=SAME)
def test_words_and_networks_stand_for_options(one_way):
    first, second = (
        density(3, generator=value, max_iter=4, **FIXED).fit(X) for value in one_way
    )
    assert told(first) == told(second)
    assert hasattr(first, "generator_") == hasattr(second, "generator_")


@pytest.mark.parametrize(
    "changed",
    [
        Codes("random_from_data"),
        Codes("noise"),
        Codes(code_dim=3),
        Codes(hidden_layer_sizes=(8,)),
        Codes(hidden_layer_sizes=()),
        Noise(code_dim=3),
        Noise(hidden_layer_sizes=(8,)),
        Noise(network=build),
    ],
    ids=[
        "samples",
        "noise",
        "dim",
        "sizes",
        "linear",
        "own dim",
        "own sizes",
        "network",
    ],
)
def test_every_option_counts(changed):
    plain = type(changed)()
    fits = [density(3, generator=g, **FIXED).fit(X) for g in (plain, changed)]
    assert told(fits[0]) != told(fits[1])


def test_code_dim_is_the_width_of_the_networks_input():
    fitted = density(3, generator=Noise(build, code_dim=5), **FIXED).fit(X)
    assert fitted.generator_.in_features == 5
    assert fitted.sample_generator(7).shape == (7, 2)


def test_options_are_parameters():
    estimator = density(generator=Noise(code_dim=3), refine=GaussianMixture(tol=0.1))
    estimator.set_params(generator__code_dim=4, refine__tol=0.2)
    params = estimator.get_params()
    assert (params["generator__code_dim"], params["refine__tol"]) == (4, 0.2)
    assert "Noise(code_dim=4)" in repr(estimator)
    copy = clone(estimator)
    assert copy.generator is not estimator.generator
    assert repr(copy) == repr(estimator)


@pytest.mark.parametrize(
    ("name", "value"), [("generator__code_dim", 3), ("refine__tol", 0.1)]
)
def test_parameters_of_a_word_need_an_object(name, value):
    with pytest.raises(ValueError, match=f"'{name}' cannot be set: .* Set "):
        KernelMixtureDensity().set_params(**{name: value})


def test_grids_over_words_and_objects():
    grids = [
        {"refine": [None, "weights", "covariances", GaussianMixture(shrinkage=2)]},
        {"generator": ["noise", Codes("noise"), Noise(build), build]},
        {"generator": [Codes()], "generator__code_dim": [2, 3]},
        {"refine": [GaussianMixture()], "refine__shrinkage": [1.0, 30.0]},
    ]
    search = GridSearchCV(density(2, max_iter=3), grids, cv=2).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_fit_changes_no_option():
    generator = Noise(NETWORK)
    before = [p.clone() for p in NETWORK.parameters()]
    trainer = {"optimizer": torch.optim.SGD, "max_bytes": 0}
    density(3, generator=generator, trainer=trainer, **FIXED).fit(X)
    assert all(map(torch.equal, before, NETWORK.parameters()))
    assert {*vars(generator)} == {"network", "code_dim", "hidden_layer_sizes"}
    assert trainer == {"optimizer": torch.optim.SGD, "max_bytes": 0}


def test_a_checkpoint_may_be_in_another_folder(tmp_path):
    class Crash(Exception):
        pass

    def crash(grams):
        if [*folder.glob("*.checkpoint")] and not moved.exists():
            raise Crash
        return svd_cost(grams)

    folder, moved = tmp_path / "first", tmp_path / "second"
    params = {"cost": crash, "max_iter": 200, **FIXED}
    expected = density(3, **params).fit(X)
    with pytest.raises(Crash):
        density(3, trainer={"checkpoint_dir": folder}, **params).fit(X)
    folder.rename(moved)
    found = density(3, trainer={"checkpoint_dir": str(moved)}, **params).fit(X)
    assert told(found) == told(expected)


def test_narrow_kernels_are_found_where_the_data_are_wide():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 600)
    radius = rng.integers(1, 4, 600) + 0.05 * rng.normal(size=600)
    rings = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    X, held_out = rings[:400], rings[400:]
    few = weights_only(X, X[::4], left_out=True)
    best = max(
        KernelDensity(bandwidth=h).fit(X[::4]).score(held_out) / len(held_out)
        for h in np.geomspace(0.03, 1, 30)
    )
    assert few.log_prob(held_out).mean() > best - 0.1

"""Conditional densities: laws over the sources, an oracle, the ugly cases."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import trapezoid
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmje import ConditionalMixtureDensity, GaussianMixture, Mixture, as_mixture
from skgmje.conditional import MemoryBank, MixtureNetwork, NeuralGas, TrainedModule
from skgmje.modules import MixtureModule, Prototypes
from tests.sources import WORDS as SOURCES
from tests.sources import make_source

# Where nothing but its parts counts, the pool is left to the slow tests.
PARTS = [pytest.param(s, marks=pytest.mark.slow) if s == "auto" else s for s in SOURCES]
CLOSED_FORM = ["memory-bank", "neural-gas", "prototypes"]
FEW = {"n_members": 2, "hidden_layer_sizes": (16,)}
SMALL = {"max_iter": 60, **FEW}


def make_density(word, **params):
    """Return a small density with the source of a word."""
    source = make_source(word, **SMALL | params)
    return ConditionalMixtureDensity(source, random_state=0)


def two_branches(n, rng, n_targets=1):
    """Return x and y = +-sqrt(x) plus noise; further targets follow the first."""
    X = rng.uniform(size=(n, 1))
    y = rng.choice([-1.0, 1.0], (n, 1)) * np.sqrt(X)
    y = y * np.arange(1, n_targets + 1) + 0.05 * rng.normal(size=(n, n_targets))
    return X, y


@pytest.fixture(scope="module")
def branches():
    X, y = two_branches(300, np.random.default_rng(0))
    return X, y.ravel()


@pytest.fixture(scope="module", params=SOURCES)
def fitted(request, branches):
    density = make_density(request.param)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return density.fit(*branches)


@pytest.mark.parametrize("source", SOURCES)
def test_tags_say_whether_contexts_may_be_missing(source):
    tags = ConditionalMixtureDensity(source).__sklearn_tags__()
    assert tags.input_tags.allow_nan == (source in [*CLOSED_FORM, "auto"])


def test_density_integrates_to_one(fitted):
    grid = np.linspace(-8, 8, 4001)
    rows = np.full((len(grid), 1), 0.3)
    density = np.exp(fitted.log_prob(rows, grid))
    assert_allclose(trapezoid(density, grid), 1.0, atol=1e-3)


def test_moments_are_those_of_the_density(fitted):
    grid = np.linspace(-8, 8, 4001)
    density = np.exp(fitted.log_prob(np.full((len(grid), 1), 0.7), grid))
    mean, std = fitted.predict([[0.7]], return_std=True)
    assert_allclose(trapezoid(grid * density, grid), mean[0], atol=2e-3)
    variance = trapezoid((grid - mean[0]) ** 2 * density, grid)
    assert_allclose(variance, std[0] ** 2, rtol=1e-2)


def test_answers_agree_with_each_other(fitted, branches):
    X = branches[0][:20]
    mean, covariance = fitted.predict(X, return_cov=True)
    assert_allclose(fitted.predict(X, return_std=True)[1] ** 2, covariance[:, 0, 0])
    found = fitted.predict_uncertainty(X)
    assert_allclose(found.within + found.between, covariance, atol=1e-12)
    assert (found.entropy >= 0).all()
    lower, upper = fitted.predict_interval(X, 0.8)
    quantiles = fitted.predict_quantile(X, [0.1, 0.9])
    assert_array_equal(np.column_stack([lower, upper]), quantiles)
    mixture = fitted.predict_mixture(X)
    assert_allclose(mixture.cdf(lower), 0.1, atol=1e-8)
    mode = fitted.predict_mode(X)
    assert (fitted.log_prob(X, mode) >= fitted.log_prob(X, mean) - 1e-9).all()


def test_samples_follow_the_density(fitted):
    draws = fitted.sample_y([[0.5]], 4000, random_state=0)
    assert draws.shape == (1, 4000)
    mean, std = fitted.predict([[0.5]], return_std=True)
    assert abs(draws.mean() - mean[0]) < 4 * std[0] / np.sqrt(4000)


def test_answers_do_not_depend_on_the_other_rows(fitted, branches):
    X, y = branches
    assert_allclose(
        fitted.log_prob(X, y)[7:8], fitted.log_prob(X[7:8], y[7:8]), atol=1e-9
    )


def test_fitted_estimator_survives_pickling(fitted, branches):
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.log_prob(*branches), fitted.log_prob(*branches))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_same_seed_same_bits(fitted, branches):
    legacy = np.random.mtrand._rand
    before = legacy.get_state()[1].copy(), torch.get_rng_state().clone()
    again = clone(fitted).fit(*branches)
    assert_array_equal(again.log_prob(*branches), fitted.log_prob(*branches))
    assert_array_equal(legacy.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("source", PARTS)
def test_units_change_only_the_unit_of_the_density(source, branches):
    X, y = (part[:150] for part in branches)
    density = make_density(source)
    first = density.fit(X, y).score(X, y)
    second = density.fit(1e3 * X - 7, 1e-2 * y + 5).score(1e3 * X - 7, 1e-2 * y + 5)
    assert_allclose(second, first - np.log(1e-2), atol=0.05)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("source", PARTS)
def test_several_targets(source, rng):
    X, Y = two_branches(200, rng, n_targets=3)
    density = make_density(source).fit(X, Y)
    assert density.predict(X).shape == (200, 3)
    assert density.predict(X, return_cov=True)[1].shape == (200, 3, 3)
    assert density.predict_quantile(X[:5], [0.1, 0.5]).shape == (5, 3, 2)
    assert density.sample_y(X[:5], 7, random_state=0).shape == (5, 3, 7)
    assert density.predict_mode(X[:5]).shape == (5, 3)
    assert np.isfinite(density.score(X, Y))


def test_one_column_keeps_its_shape(branches):
    X, y = branches
    density = ConditionalMixtureDensity(GaussianMixture(2), random_state=0)
    assert density.fit(X, y[:, None]).predict(X).shape == (300, 1)
    assert density.fit(X, y).predict(X).shape == (300,)


def test_one_gaussian_is_linear_regression(rng):
    X, y = load_diabetes(return_X_y=True)
    y = y + rng.uniform(size=len(y))
    joint = GaussianMixture(1, reg_covar=0)
    density = ConditionalMixtureDensity(joint, random_state=0).fit(X, y)
    design = np.column_stack([X, np.ones(len(X))])
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    mean, std = density.predict(X, return_std=True)
    assert_allclose(mean, design @ coefficients, rtol=1e-8)
    assert_allclose(std, np.sqrt(np.mean((y - mean) ** 2)), rtol=1e-8)


def test_prototypes_condition_a_joint_mixture(branches):
    X, y = branches
    joint = SklearnMixture(4, random_state=0).fit(np.column_stack([X, y]))
    oracle = as_mixture(joint).condition([0], X).log_prob(y[:, None]).mean()
    density = ConditionalMixtureDensity(GaussianMixture(4), random_state=0)
    assert density.fit(X, y).score(X, y) > oracle - 0.1


def test_mean_lies_between_the_branches_and_the_mode_on_one(fitted):
    x = np.array([[0.6], [0.8]])
    assert (np.abs(fitted.predict(x)) < 0.5).all()
    assert_allclose(np.abs(fitted.predict_mode(x)), np.sqrt(x.ravel()), atol=0.25)


@pytest.mark.parametrize("source", CLOSED_FORM)
def test_missing_contexts_are_integrated_out(source, rng):
    X = rng.normal(size=(300, 2))
    y = X[:, 0] + 0.1 * rng.normal(size=300)
    holes = X.copy()
    holes[rng.uniform(size=X.shape) < 0.2] = np.nan
    source = make_source(source, n_components=3)
    density = ConditionalMixtureDensity(source, random_state=0)
    density.fit(holes, y)
    unknown, known = density.predict([[np.nan, 0.0], [1.0, np.nan]], return_std=True)[1]
    assert unknown > 3 * known
    marginal = density.predict_mixture([[np.nan, np.nan]])
    assert_allclose(marginal.mean[0, 0], y.mean(), atol=0.2)


def test_missing_contexts_leave_the_networks_out(rng):
    X = rng.normal(size=(100, 2))
    X[0, 0] = np.nan
    density = make_density("auto").fit(X, X[:, 1])
    assert not hasattr(density, "pool_weights_")
    with pytest.raises(ValueError, match="NaN"):
        ConditionalMixtureDensity("network").fit(X, X[:, 1])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_pool_weighs_both_sources(branches):
    density = make_density("auto").fit(*branches)
    weights = density.pool_weights_
    assert set(weights) == {"prototypes", "network"}
    assert_allclose(sum(weights.values()), 1.0)
    assert density.held_out_score_ < density.score(*branches) + 0.1


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_pool_leaves_incomplete_rows_to_the_joint_mixture(branches):
    density = make_density("auto").fit(*branches)
    X = np.array([[0.5], [np.nan], [0.2]])
    y = np.array([0.6, 0.6, -0.4])
    log_prob = density.log_prob(X, y)
    assert_allclose(log_prob[::2], density.log_prob(X[::2], y[::2]))
    alone = make_density("prototypes")
    alone.fit(*branches)
    assert_allclose(log_prob[1], alone.log_prob(X[1:2], y[1:2])[0])
    assert np.isfinite(density.predict_quantile(X, [0.01, 0.99])).all()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_few_distinct_rows_leave_the_networks_out(rng):
    X = rng.integers(0, 2, size=(100, 1)).astype(float)
    density = make_density("auto")
    density.fit(X, rng.integers(0, 2, size=100))
    assert not hasattr(density, "pool_weights_")
    assert np.isfinite(density.predict(X)).all()


class Line(MixtureModule):
    """One Gaussian for each context, its mean a line."""

    def __init__(self):
        super().__init__()
        self.map = torch.nn.Linear(1, 1)
        torch.nn.init.zeros_(self.map.weight)
        torch.nn.init.zeros_(self.map.bias)

    def forward(self, context=None):
        means = self.map(context)[:, None]
        return Mixture(
            means.new_ones(1), means, means.new_full((1,), 0.25), "spherical"
        )


def test_a_module_of_the_users_is_trained(rng):
    X = rng.normal(size=(200, 1))
    y = 3 * X[:, 0] + 0.1 * rng.normal(size=200)
    module = Line()
    source = TrainedModule(module, max_iter=300, learning_rate=0.05)
    density = ConditionalMixtureDensity(source, random_state=0).fit(X, y)
    assert_allclose(density.predict([[1.0]]), 3.0, atol=0.1)
    assert module.map.weight.item() == 0.0
    assert density.n_iter_ == len(density.loss_curve_) == 300


def test_a_joint_module_is_conditioned(branches):
    X, y = branches
    rows = np.column_stack([X, y])
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    start = as_mixture(SklearnMixture(4, random_state=0).fit(rows))
    source = TrainedModule(Prototypes.from_mixture(start), max_iter=50)
    density = ConditionalMixtureDensity(source, random_state=0).fit(X, y)
    assert np.isfinite(density.score(X, y))


A_FOLDER = {"trainer": {"checkpoint_dir": "a"}}
FOLDER = MixtureNetwork(**A_FOLDER)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"source": "forest"}, "source.*'prototypes'"),
        ({"source": len}, "MixtureModule"),
        ({"source": SklearnMixture(2)}, "source.*skgmje.mixture"),
        ({"source": []}, "source=.. is empty"),
        ({"source": ["prototypes", "forest"]}, "'forest' is no source"),
        ({"source": ["prototypes", Line]}, "Line.* is no source"),
        ({"source": ["prototypes", Line()]}, "module Line .*alone"),
        ({"source": GaussianMixture(0)}, "n_components.*GaussianMixture"),
        ({"source": GaussianMixture(covariance_type="round")}, "covariance_type"),
        ({"source": GaussianMixture(means_init=[[0, 0]])}, "means_init.*no effect"),
        ({"source": GaussianMixture(init_params="random")}, "init_params='random'"),
        ({"source": GaussianMixture(warm_start=True)}, "warm_start=True"),
        ({"source": NeuralGas(covariance_type="auto")}, "covariance_type.*NeuralGas"),
        ({"source": MemoryBank(covariance_type="tied")}, "covariance_type.*MemoryBank"),
        ({"source": MemoryBank(max_iter=-1)}, "max_iter"),
        ({"source": MixtureNetwork(n_members=0)}, "n_members.*MixtureNetwork"),
        ({"source": MixtureNetwork(hidden_layer_sizes=(0,))}, "hidden_layer_sizes"),
        ({"source": MixtureNetwork(trainer={"callbacks": 1})}, "trainer.'callbacks'."),
        ({"source": [FOLDER, FOLDER]}, "checkpoint_dir=.'a', 'a'"),
        ({"source": FOLDER, "random_state": None}, "random_state to be an integer"),
        ({"source": TrainedModule(Line(), learning_rate=0)}, "learning_rate"),
        ({"source": TrainedModule(Line(), **A_FOLDER)}, "no checkpoints"),
        ({"source": TrainedModule(Line().requires_grad_(False))}, "to learn"),
        ({"device": "nowhere"}, "device"),
        ({"device": "nowhere", "source": "prototypes"}, "device"),
        ({"verbose": "much"}, "verbose"),
    ],
)
def test_bad_parameters_are_named(change, word, branches):
    with pytest.raises(ValueError, match=word):
        ConditionalMixtureDensity(**change).fit(*branches)


def test_a_module_of_another_width_is_named(branches):
    wide = Mixture([1.0], np.zeros((1, 5)), np.ones((1, 5)), "diag")
    with pytest.raises(ValueError, match="5 features"):
        ConditionalMixtureDensity(Prototypes.from_mixture(wide)).fit(*branches)


@pytest.mark.parametrize(
    ("source", "n"),
    [
        *((s, n) for s in SOURCES if s != "auto" for n in (2, 3, 5, 12)),
        # Fewer samples leave the networks out.
        pytest.param("auto", 20, marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_few_rows_give_finite_answers(source, n, rng):
    X, y = two_branches(n, rng)
    density = make_density(source).fit(X, y)
    assert np.isfinite(density.predict(X, return_std=True)).all()
    assert np.isfinite(density.score(X, y))


@pytest.mark.parametrize("source", PARTS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_constant_columns_and_far_rows_stay_finite(source, rng):
    X, y = two_branches(100, rng)
    X = np.column_stack([X, np.full(100, 3.0)])
    density = make_density(source)
    density.fit(X, y.ravel())
    far = np.array([[1e6, 3.0], [-1e6, 3.0], [0.5, 1e6]])
    for answer in density.predict(far, return_std=True):
        assert np.isfinite(answer).all()
    assert np.isfinite(density.predict_quantile(far, [0.01, 0.99])).all()
    density.fit(X, np.full(100, 2.0))
    assert_allclose(density.predict(X), 2.0, atol=0.1)


def test_ties_are_warned_about(rng):
    X = rng.normal(size=(50, 1))
    with pytest.warns(UserWarning, match="CRPS"):
        ConditionalMixtureDensity("prototypes", random_state=0).fit(X, X[:, 0] > 0)


@pytest.mark.parametrize("source", PARTS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_weights_move_the_density(source, rng):
    X, y = two_branches(200, rng)
    weight = np.where(y.ravel() > 0, 9.0, 1.0)
    density = make_density(source)
    plain = density.fit(X, y.ravel()).predict([[0.8]])[0]
    assert density.fit(X, y.ravel(), sample_weight=weight).predict([[0.8]])[0] > plain


def test_held_out_score_is_weighted(rng):
    X = np.sort(rng.normal(size=(400, 1)), axis=0)
    right = X[:, 0] > 0
    y = np.where(right, 0.01, 1.0) * rng.normal(size=400)
    density = ConditionalMixtureDensity("prototypes", random_state=0)
    density.fit(X, y, sample_weight=np.where(right, 1.0, 1e-3))
    expected = density.score(X[right], y[right])
    assert density.held_out_score_ == pytest.approx(expected, abs=0.2)


@pytest.mark.filterwarnings("error")
def test_names_of_columns_are_kept(rng):
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"])
    y = X["a"] + rng.normal(size=60)
    density = ConditionalMixtureDensity("prototypes", random_state=0).fit(X, y)
    assert density.feature_names_in_.tolist() == ["a", "b"]
    assert density.predict(X).shape == (60,)
    with pytest.raises(ValueError, match="feature names"):
        density.predict(X.rename(columns={"b": "c"}))


def test_rows_learned_by_heart_are_warned_about(rng):
    X = rng.normal(size=(30, 40))
    # With shrinkage="auto" they are not: so few samples are shrunk.
    density = ConditionalMixtureDensity(GaussianMixture(), random_state=0)
    with pytest.warns(ConvergenceWarning, match="Held-out samples"):
        density.fit(X, X[:, 0] + rng.normal(size=30))


def make_joint(kind, max_iter):
    """Return a source whose only learning is EM, or a pool of it and another."""
    cls = NeuralGas if kind == "gas" else GaussianMixture
    source = cls(4, shrinkage=1.0, max_iter=max_iter)
    return [source, MemoryBank(30)] if kind == "pool" else source


@pytest.mark.parametrize("kind", ["gas", "mixture", "pool"])
def test_em_that_runs_out_of_iterations_says_so(kind, branches):
    settled = ConditionalMixtureDensity(make_joint(kind, 500), random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        settled.fit(*branches)
    density = ConditionalMixtureDensity(make_joint(kind, 2), random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"max_iter=2 .*tol=0\.001.*gained"):
        density.fit(*branches)


def test_only_one_row_of_weight_is_an_error(branches):
    weight = np.zeros(300)
    weight[0] = 1.0
    with pytest.raises(ValueError, match="sample_weight"):
        ConditionalMixtureDensity().fit(*branches, sample_weight=weight)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_stands_in_pipelines_and_searches(branches):
    joint = GaussianMixture(shrinkage="auto")
    pipeline = make_pipeline(StandardScaler(), ConditionalMixtureDensity(joint))
    grid = {"conditionalmixturedensity__source__n_components": [1, 8]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(*branches)
    assert search.best_params_["conditionalmixturedensity__source__n_components"] == 8


def test_both_spreads_at_once_are_refused(fitted):
    with pytest.raises(ValueError, match="exclude"):
        fitted.predict([[0.5]], return_std=True, return_cov=True)


@pytest.mark.parametrize("quantiles", [0, 1.0, [0.1, 2], "a", np.nan, [[0.1]], []])
def test_quantiles_must_be_probabilities(fitted, quantiles):
    with pytest.raises(ValueError, match="quantiles="):
        fitted.predict_quantile([[0.5]], quantiles)


@pytest.mark.parametrize("coverage", [0, 1, -0.5, 90, "a", None])
def test_coverage_must_be_a_probability(fitted, coverage):
    with pytest.raises(ValueError, match="coverage"):
        fitted.predict_interval([[0.5]], coverage)


# Sources as objects, words and lists --------------------------------------------------


def bits(source, branches, **params):
    """Return the log-densities under a density with a source."""
    density = ConditionalMixtureDensity(source, random_state=0, **params)
    return density.fit(*branches).log_prob(*branches)


@pytest.fixture(scope="module")
def few(branches):
    return tuple(part[:60] for part in branches)


@pytest.mark.parametrize(
    ("word", "source"),
    [
        ("prototypes", GaussianMixture("auto", shrinkage="auto")),
        ("neural-gas", NeuralGas()),
        ("memory-bank", MemoryBank()),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_word_is_an_object_with_its_defaults(word, source, few):
    assert_array_equal(bits(word, few), bits(source, few))


@pytest.mark.parametrize("word", sorted({*SOURCES} - {"auto"}))
def test_an_object_is_a_parameter_that_is_never_fitted(word, few):
    source = make_source(word, n_components=3, max_iter=20, tol=1.0, **FEW)
    before = vars(source).copy()
    density = ConditionalMixtureDensity(source, random_state=0).fit(*few)
    assert vars(source) == before
    again = clone(density)
    assert again.source is not source
    assert repr(again) == repr(density)
    assert again.get_params()["source__n_components"] == 3
    assert again.set_params(source__n_components=7).source.n_components == 7
    assert source.n_components == 3


def test_a_word_has_no_parameters_of_its_own():
    with pytest.raises(ValueError, match=r"source='network' has no parameter"):
        ConditionalMixtureDensity("network").set_params(source__n_members=2)
    density = ConditionalMixtureDensity("network")
    density.set_params(source=MixtureNetwork(), source__n_members=2)
    assert density.source.n_members == 2


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_search_chooses_among_words_objects_and_lists(branches):
    candidates = [
        GaussianMixture(1),
        "prototypes",
        NeuralGas(8, shrinkage=2),
        [GaussianMixture(1), GaussianMixture(8, shrinkage=2)],
    ]
    density = ConditionalMixtureDensity(random_state=0)
    search = GridSearchCV(density, {"source": candidates}, cv=3).fit(*branches)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert scores[0] < scores[1:].min()


def test_a_list_is_pooled_whatever_is_in_it(branches):
    X, y = branches
    sources = [GaussianMixture(1), NeuralGas(8, shrinkage=2), GaussianMixture(6)]
    density = ConditionalMixtureDensity(sources, random_state=0).fit(X, y)
    weights = density.pool_weights_
    assert list(weights) == ["prototypes", "neural-gas", "prototypes-2"]
    assert weights["prototypes"] == 0.0
    assert_allclose(sum(weights.values()), 1.0)
    # One alone is no pool.
    alone = ConditionalMixtureDensity(sources[1:2], random_state=0).fit(X, y)
    assert not hasattr(alone, "pool_weights_")
    assert alone.held_out_score_ < alone.score(X, y) + 0.1


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_list_leaves_out_what_cannot_have_missing_contexts(few):
    X, y = few[0].copy(), few[1]
    X[0] = np.nan
    network = make_source("network", **SMALL)
    density = ConditionalMixtureDensity([network, GaussianMixture(2)], random_state=0)
    assert density.__sklearn_tags__().input_tags.allow_nan
    alone = bits([GaussianMixture(2)], (X, y))
    assert_array_equal(density.fit(X, y).log_prob(X, y), alone)
    assert (
        not ConditionalMixtureDensity([network]).__sklearn_tags__().input_tags.allow_nan
    )


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ({}, {"n_components": 3}),
        ({}, {"covariance_type": "diag"}),
        ({"covariance_type": "low-rank"}, {"rank": 1}),
        ({}, {"shrinkage": 5.0}),
        ({"n_components": 12}, {"shrinkage_target": "neighbors"}),
        ({}, {"reg_covar": 1e-2}),
        ({}, {"tol": 0.5}),
        ({}, {"max_iter": 1}),
        ({}, {"n_init": 5}),
        ({}, {"annealing": 0.5}),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_all_that_is_read_of_a_mixture_counts(base, change, few):
    joint = GaussianMixture(**{"n_components": 5, "shrinkage": 1.0} | base)
    plain = bits(joint, few)
    assert not np.array_equal(bits(joint.set_params(**change), few), plain)


def test_a_relative_regularisation_is_that_of_standardized_samples(few):
    joint = GaussianMixture(3, reg_covar="auto")
    assert_allclose(bits(joint, few), bits(GaussianMixture(3), few), atol=1e-6)
    seeded = GaussianMixture(3, reg_covar="auto", random_state=5)
    assert_array_equal(bits(seeded, few), bits(joint, few))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "source",
    [
        make_source("network", max_iter=20, n_members=2, hidden_layer_sizes=(8,)),
        TrainedModule(Line(), max_iter=20),
        TrainedModule(Prototypes(2, 2, torch.Generator()), max_iter=20),
    ],
    ids=["network", "module", "joint module"],
)
def test_progress_is_told_and_changes_nothing(source, few, capsys):
    quiet = bits(source, few)
    assert capsys.readouterr().out == ""
    assert_array_equal(bits(source, few, verbose=1), quiet)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[-1].startswith("[ConditionalMixtureDensity] step 20/20, loss ")


def test_joint_mixtures_are_fitted_without_torch():
    code = """
import sys
import numpy as np
from skgmje import ConditionalMixtureDensity, GaussianMixture
from skgmje.conditional import MemoryBank, NeuralGas
X = np.random.default_rng(0).normal(size=(60, 2))
joint = GaussianMixture(2), NeuralGas(3, shrinkage=2), MemoryBank(20, max_iter=1)
for source in (*joint, [*joint]):
    density = ConditionalMixtureDensity(source, random_state=0)
    density.fit(X[:, :1], X[:, 1]).predict_interval(X[:, :1])
print({"torch", "skorch"} & set(sys.modules))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

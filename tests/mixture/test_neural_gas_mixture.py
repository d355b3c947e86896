"""Mixtures that grow with the topology of the rows, from tables and streams."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.csgraph import connected_components
from sklearn.base import clone
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmje import GrowingNeuralGasMixture
from skgmje.gaussian import COVARIANCE_TYPES, Mixture
from skgmje.mixture import GasGrowth, GaussianMixture

ANGLES = np.arange(8) * np.pi / 4
CENTERS = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
RING = Mixture(np.full(8, 1 / 8), CENTERS, np.full(8, 0.1**2), "spherical")
TYPES = [name for name, kind in COVARIANCE_TYPES.items() if not kind.needs_start]
RULES = {"insertion_interval": 30}
QUICK = {"max_nodes": 20, "shrinkage": 2.0, "random_state": 0}
X, Y = make_blobs(400, 3, centers=4, random_state=3)


def _gas(rules=None, **params):
    growth = GasGrowth(**{**RULES, **(rules or {})})
    return GrowingNeuralGasMixture(**{**QUICK, "growth": growth, **params})


def _check(gas, rows):
    """Whatever it has seen, a gas and its mixture are valid."""
    k = gas.n_nodes_
    assert gas.nodes_.shape == (k, rows.shape[1])
    assert 2 <= k <= gas.max_nodes
    assert np.bincount(gas.edges_.ravel(), minlength=k).min() >= 1
    assert gas.ages_.min() >= 0
    assert gas.ages_.max() <= gas.growth.max_age
    assert gas.weights_.sum() == pytest.approx(1.0)
    assert gas.weights_.min() >= 0
    assert np.isfinite(gas.score_samples(rows)).all()
    proba = gas.predict_proba(rows)
    assert proba.shape == (len(rows), gas.node_labels_.max() + 1)
    assert_allclose(proba.sum(axis=1), 1.0)
    assert_array_equal(gas.predict(rows), proba.argmax(axis=1))
    assert 0 <= gas.topographic_error_ <= 1
    assert gas.quantization_error_ >= 0
    assert gas.graph_.shape == (k, k)


@pytest.mark.parametrize("component", ["node", "cluster"])
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("refine", ["em", None])
@pytest.mark.parametrize("mode", ["batch", "sequential"])
def test_every_setting_gives_a_valid_mixture(component, covariance_type, refine, mode):
    settings = {"covariance_type": covariance_type, "refine": refine}
    gas = _gas({"mode": mode}, component=component, **settings)
    _check(gas.fit(X), X)
    assert gas.covariance_type_ == covariance_type
    before = gas.score(X)
    for rows in np.array_split(X, 5):
        _check(gas.partial_fit(rows), X)
    assert gas.score(X) > before - 0.3


def test_attributes_and_answers_agree():
    gas = _gas().fit(X)
    assert_array_equal(gas.labels_, gas.predict(X))
    assert_array_equal(gas.fit_predict(X), gas.labels_)
    assert_array_equal(gas.node_labels_[gas.predict_node(X)], gas.labels_)
    assert_array_equal(gas.node_labels_, connected_components(gas.graph_)[1])
    distances = np.linalg.norm(X[:, None] - gas.nodes_, axis=2)
    assert gas.quantization_error_ == pytest.approx(distances.min(axis=1).mean())
    assert_array_equal(gas.predict_node(X), distances.argmin(axis=1))
    two = distances.argsort(axis=1)[:, :2]
    linked = gas.graph_.toarray()[two[:, 0], two[:, 1]] > 0
    assert gas.topographic_error_ == pytest.approx(1 - linked.mean())
    assert gas.score(X) == pytest.approx(gas.mixture_.log_prob(X).mean())
    assert_allclose(gas.transform(X), gas.mixture_.responsibilities(X))
    assert gas.get_feature_names_out().tolist() == [
        f"growingneuralgasmixture{i}" for i in range(len(gas.weights_))
    ]
    gas.set_params(output="distances")
    assert_allclose(gas.transform(X), distances)
    assert len(gas.get_feature_names_out()) == gas.n_nodes_


@pytest.mark.parametrize("n_samples", [50, 100, 1000])
@pytest.mark.parametrize("refine", ["em", None])
def test_clusters_are_the_same_whatever_the_components_are(n_samples, refine):
    rows = make_moons(n_samples, noise=0.05, random_state=0)[0]
    proba = {}
    for component in ("node", "cluster"):
        gas = GrowingNeuralGasMixture(40, component=component, refine=refine)
        gas.set_params(shrinkage=2.0, random_state=0).fit(rows)
        # Near a node is what hangs together with it.
        assert_array_equal(gas.labels_, gas.node_labels_[gas.predict_node(rows)])
        proba[component] = gas.predict_proba(rows)
    assert_array_equal(*proba.values())


def test_samples_without_a_weight_have_labels():
    weight = np.arange(len(X)) % 3
    for gas in (
        _gas().fit(X, sample_weight=weight),
        _gas().partial_fit(X, sample_weight=weight),
    ):
        assert_array_equal(gas.labels_, gas.predict(X))


def test_a_mixture_says_how_em_goes_on():
    """The object is read as the estimator's own settings are, and changes them."""
    plain = _gas(covariance_type="diag", reg_covar="auto").fit(X)
    settings = {"covariance_type": "diag", "shrinkage": 2.0, "reg_covar": "auto"}
    given = GaussianMixture(**settings, random_state=3)
    same = _gas(refine=given, shrinkage="auto").fit(X)
    assert_array_equal(same.means_, plain.means_)
    assert_array_equal(same.partial_fit(X).means_, plain.partial_fit(X).means_)
    assert vars(given).keys() == given.get_params().keys()
    for more in (
        {"max_iter": 2},
        {"tol": 1.0},
        {"shrinkage_target": "neighbors"},
        {"annealing": 0.5},
        {"shrinkage": 20.0},
        {"reg_covar": 1.0},
        {"covariance_type": "tied"},
    ):
        other = clone(same).set_params(**{f"refine__{k}": v for k, v in more.items()})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            other.fit(X)
        assert not np.array_equal(other.means_, same.means_), more


@pytest.mark.parametrize("max_nodes", [20, "auto"])
def test_without_a_refinement_nothing_else_is_chosen(max_nodes):
    free = {"covariance_type": "auto", "shrinkage": "auto"}
    fixed = {"covariance_type": "full", "shrinkage": float(X.shape[1])}
    one, other = (
        _gas(max_nodes=max_nodes, refine=None, **settings).fit(X)
        for settings in (free, fixed)
    )
    assert_array_equal(one.means_, other.means_)
    assert_array_equal(one.covariances_, other.covariances_)
    assert hasattr(one, "cv_results_") == (max_nodes == "auto")
    assert (one.covariance_type_, one.shrinkage_, one.n_iter_) == ("full", 3.0, 1)
    assert one.lower_bound_ == pytest.approx(one.score(X))


def test_growth_is_an_object_or_a_word():
    gas = GrowingNeuralGasMixture(10, shrinkage=2.0, random_state=0)
    word = clone(gas).set_params(growth="sequential").fit(X)
    given = clone(gas).set_params(growth=GasGrowth("sequential")).fit(X)
    assert_array_equal(word.nodes_, given.nodes_)
    assert_array_equal(word.means_, given.means_)
    assert not np.array_equal(word.nodes_, clone(gas).fit(X).nodes_)
    assert repr(clone(given.growth)) == "GasGrowth(mode='sequential')"
    # Nothing is fitted into it, and no word has parameters.
    assert vars(given.growth).keys() == given.growth.get_params().keys()
    with pytest.raises(ValueError, match="growth='batch' has no parameter 'max_age'"):
        gas.set_params(growth__max_age=3)
    refine = GaussianMixture(shrinkage=2.0, reg_covar=1e-3)
    grid = [
        {"growth": ["batch", GasGrowth(max_age=80)]},
        {"growth": [GasGrowth()], "growth__max_age": [20, 80]},
        {"shrinkage": [2.0, 5.0], "refine": ["em", None]},
        {"refine": [refine], "refine__shrinkage": [2.0, 5.0], "shrinkage": ["auto"]},
    ]
    search = GridSearchCV(gas, grid, cv=2, error_score="raise").fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(search.cv_results_["params"]) == 10


def test_the_graph_goes_to_networkx():
    networkx = pytest.importorskip("networkx")
    gas = _gas().fit(X)
    graph = gas.to_networkx()
    assert networkx.number_connected_components(graph) == gas.node_labels_.max() + 1
    assert_array_equal(sorted(map(sorted, graph.edges)), gas.edges_)
    i, j = gas.edges_[0]
    length = np.linalg.norm(gas.nodes_[i] - gas.nodes_[j])
    assert graph.edges[i, j] == {"age": gas.ages_[0], "length": pytest.approx(length)}
    assert_array_equal(graph.nodes[3]["position"], gas.nodes_[3])


@pytest.mark.parametrize(
    ("rows", "y"),
    [
        make_moons(1000, noise=0.05, random_state=0),
        make_circles(1000, noise=0.04, factor=0.5, random_state=0),
        make_blobs(1000, centers=[[0, 0], [9, 9]], random_state=0),
    ],
    ids=["moons", "circles", "blobs"],
)
@pytest.mark.parametrize("seed", range(3))
def test_connected_components_are_the_shapes(rows, y, seed):
    gas = GrowingNeuralGasMixture(50, shrinkage=2.0, random_state=seed)
    assert adjusted_rand_score(y, gas.fit_predict(rows)) == 1.0


@pytest.mark.parametrize("component", ["node", "cluster"])
def test_the_ring_is_found(component):
    rows, held_out = RING.sample(4000, 0)[0], RING.sample(4000, 1)[0]
    truth = RING.log_prob(held_out).mean()
    for seed in range(3):
        gas = GrowingNeuralGasMixture(24, component=component, random_state=seed)
        gas.fit(rows)
        assert gas.node_labels_.max() == 7
        assert gas.score(held_out) > truth - 0.05


def test_auto_stops_growing_where_held_out_rows_say_so():
    rows, held_out = RING.sample(2000, 0)[0], RING.sample(4000, 1)[0]
    gas = GrowingNeuralGasMixture("auto", random_state=0).fit(rows)
    assert gas.n_nodes_ in gas.cv_results_["param_n_components"]
    assert 8 <= gas.n_nodes_ <= 20
    assert gas.score(held_out) > RING.log_prob(held_out).mean() - 0.05
    assert gas.n_nodes_ == gas.partial_fit(held_out[:300]).n_nodes_


def test_the_same_seed_gives_the_same_bits():
    one, other = (_gas().fit(X) for _ in range(2))
    assert_array_equal(one.nodes_, other.nodes_)
    assert_array_equal(one.means_, other.means_)


@given(
    st.integers(0, 1000),
    st.lists(st.integers(1, 70), min_size=1, max_size=8),
    st.sampled_from(["node", "cluster"]),
    st.sampled_from(["em", None]),
    st.sampled_from([*TYPES, "auto"]),
    st.sampled_from([None, 3.0]),
    st.sampled_from([1, 2, 500]),
    st.sampled_from([1e-6, 1.0, 1e6]),
)
@settings(max_examples=60)
def test_the_mixture_is_valid_after_every_chunk(
    seed, sizes, component, refine, covariance_type, threshold, n_distinct, scale
):
    rng = np.random.default_rng(seed)
    distinct = scale * (rng.normal(size=(n_distinct, 2)) + 3 * rng.normal(size=2))
    gas = GrowingNeuralGasMixture(
        12,
        component=component,
        refine=refine,
        covariance_type=covariance_type,
        growth=GasGrowth(utility_threshold=threshold, insertion_interval=10),
    )
    for size in sizes:
        rows = distinct[rng.integers(n_distinct, size=size)]
        resumed = pickle.loads(pickle.dumps(gas)).partial_fit(rows)
        _check(gas.partial_fit(rows), rows)
        assert_array_equal(gas.labels_, gas.predict(rows))
        # Interrupted between chunks, a stream goes on to the same bits.
        assert_array_equal(gas.nodes_, resumed.nodes_)
        assert_array_equal(gas.means_, resumed.means_)
        assert_array_equal(gas.covariances_, resumed.covariances_)
        assert_array_equal(gas.weights_, resumed.weights_)
    assert gas._gas.n_seen == sum(sizes)


def test_a_stream_is_learned_as_well_as_a_table():
    rows, held_out = RING.sample(20_000, 0)[0], RING.sample(4000, 1)[0]
    truth = RING.log_prob(held_out).mean()
    for size in (64, 1000, 20_000):
        gas = GrowingNeuralGasMixture(24)
        for start in range(0, len(rows), size):
            gas.partial_fit(rows[start : start + size])
        assert gas.score(held_out) > truth - 0.05


@pytest.mark.parametrize("shift", [0.4, 3.0])
@pytest.mark.parametrize("size", [100, 5000])
def test_a_stream_that_moves_is_followed(shift, size):
    moved = Mixture(RING.weights, CENTERS + shift, RING.covariances, "spherical")
    before, after = RING.sample(10_000, 0)[0], moved.sample(5000, 1)[0]
    held_out = moved.sample(4000, 2)[0]
    gas = GrowingNeuralGasMixture(20, growth=GasGrowth(utility_threshold=20.0))
    for start in range(0, 10_000, size):
        gas.partial_fit(before[start : start + size])
    assert gas.score(held_out) < moved.log_prob(held_out).mean() - 1
    for start in range(0, 5000, size):
        gas.partial_fit(after[start : start + size])
    assert gas.score(held_out) > moved.log_prob(held_out).mean() - 0.1


def test_a_stream_goes_on_from_a_fit():
    rows, held_out = RING.sample(3000, 0)[0], RING.sample(4000, 1)[0]
    gas = GrowingNeuralGasMixture(24, random_state=0).fit(rows[:2000])
    before = gas.score(held_out)
    gas.partial_fit(rows[2000:])
    assert gas.score(held_out) > before - 0.02


def test_heavy_rows_are_seen_more_often():
    rows = np.vstack([X[:200], X[:200] + 100])
    weight = np.repeat([3.0, 0.0], 200)
    for gas in (
        _gas().fit(rows, sample_weight=weight),
        _gas().partial_fit(rows, sample_weight=weight),
    ):
        assert gas.nodes_.max() < 60
        assert gas.means_.max() < 60
    weight[200:] = 1.0
    gas = _gas({"max_age": 100}, component="cluster", refine=None)
    far = gas.fit(rows, sample_weight=weight).means_[:, 0] > 60
    assert gas.weights_[far].sum() == pytest.approx(0.25)


def test_samples_of_next_to_no_weight_do_not_move_a_stream():
    rows = RING.sample(1000, 0)[0]
    weight = np.repeat([1.0, 1e-12], 100)
    gases = _gas(), _gas()
    for start in range(0, 1000, 100):
        part = rows[start : start + 100]
        for gas, others in zip(gases, (part, 0 * part), strict=True):
            gas.partial_fit(np.vstack([part, others]), sample_weight=weight)
    assert_allclose(gases[0].means_, gases[1].means_, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_data_type_is_kept(dtype):
    rows = X.astype(dtype)
    gas = _gas(output="distances").fit(rows)
    assert gas.nodes_.dtype == dtype
    assert gas.transform(rows).dtype == dtype
    assert gas.score_samples(rows).dtype == dtype


def test_a_device_gives_the_same_gas():
    cpu, device = _gas().fit(X), _gas(device="cpu:0").fit(X)
    assert_allclose(device.nodes_, cpu.nodes_)
    assert_array_equal(device.edges_, cpu.edges_)
    assert device.score(X) == pytest.approx(cpu.score(X), abs=0.1)
    for covariance_type in TYPES:
        gas = _gas(covariance_type=covariance_type, device="cpu:0")
        _check(gas.fit(X, sample_weight=np.arange(len(X))), X)
    with pytest.raises(ValueError, match="device='nowhere'"):
        _gas(device="nowhere").fit(X)


def test_it_is_a_step_of_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), _gas(output="distances"))
    assert pipeline.fit_transform(X).shape == (400, pipeline[-1].n_nodes_)
    assert_array_equal(pipeline.predict(X), pipeline[-1].labels_)


@pytest.mark.parametrize(
    "rows",
    [
        np.array([[0.0, 1.0], [1.0, 2.0]]),
        np.ones((40, 2)),
        np.array([[0.0, 0.0]] * 20 + [[1.0, 1.0]]),
        np.column_stack([np.arange(9.0), np.zeros(9)]),
    ],
    ids=["two rows", "all equal", "one other", "constant feature"],
)
@pytest.mark.filterwarnings("ignore:.*many of the values of columns:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("params", [{}, {"shrinkage": 0.0, "reg_covar": 0.0}])
def test_poor_tables(rows, params):
    gas = _gas(max_nodes=500, **params).fit(rows)
    _check(gas, rows)
    # No more than one node for three distinct rows, but two at least.
    assert gas.n_nodes_ == max(2, len(np.unique(rows, axis=0)) // 3)


def test_rows_far_away_have_answers():
    gas = _gas().fit(X)
    far = np.full((3, 3), 1e200)
    assert gas.predict(far).shape == (3,)
    assert np.isfinite(gas.transform(np.full((3, 3), 1e9))).all()


@pytest.mark.parametrize(
    ("params", "rows", "message"),
    [
        ({}, X[:1], "minimum of 2"),
        ({}, np.where(X > 9, np.nan, X), "NaN"),
        ({"max_nodes": 1}, X, "max_nodes"),
        ({"rules": {"winner_rate": 1.0}}, X, "winner_rate"),
        ({"rules": {"neighbor_rate": -0.1}}, X, "neighbor_rate"),
        ({"rules": {"error_decay": 1.0}}, X, "error_decay"),
        ({"rules": {"error_split": 0.0}}, X, "error_split"),
        ({"rules": {"max_age": 0}}, X, "max_age"),
        ({"rules": {"utility_threshold": -1.0}}, X, "utility_threshold"),
        ({"component": "edge"}, X, "component"),
        ({"refine": "weights"}, X, "refine"),
        ({"growth": "slow"}, X, "growth"),
        ({"growth": None}, X, "growth"),
        ({"refine": GaussianMixture(3)}, X, "n_components=3.*Leave n_components=1"),
        ({"refine": GaussianMixture(n_init=2)}, X, "n_init=2.*has no effect"),
        ({"refine": GaussianMixture(means_init=CENTERS)}, X, "means_init"),
        ({"refine": GaussianMixture(rank=2)}, X, "rank=2"),
        ({"refine": GaussianMixture(tol=-1.0)}, X, "tol"),
        (
            {"refine": GaussianMixture(covariance_type="low-rank")},
            X,
            "covariance_type.*low-rank",
        ),
        (
            {"refine": GaussianMixture(shrinkage=3.0)},
            X,
            "shrinkage=2.0 contradicts shrinkage=3.0",
        ),
    ],
)
def test_bad_input_is_refused(params, rows, message):
    gas = _gas(**params)
    with pytest.raises(ValueError, match=message):
        gas.fit(rows)
    if len(rows) > 1:
        with pytest.raises(ValueError, match=message):
            gas.partial_fit(rows)
    assert not hasattr(gas, "nodes_")


def test_bad_chunks_are_refused_and_do_no_harm():
    gas = _gas().partial_fit(X)
    peer = clone(gas).partial_fit(X)
    for rows, message in (
        (X[:, :2], "2 features"),
        (X[:0], "0 sample"),
        (np.where(X > 9, np.nan, X), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            gas.partial_fit(rows)
        with pytest.raises(ValueError, match="sample_weight"):
            gas.partial_fit(X, sample_weight=np.zeros(len(X)))
    assert_array_equal(gas.partial_fit(X).means_, peer.partial_fit(X).means_)


def test_nothing_is_answered_before_a_fit():
    for method in ("predict", "predict_node", "transform", "score_samples"):
        with pytest.raises(NotFittedError):
            getattr(_gas(), method)(X)
    with pytest.raises(NotFittedError):
        _gas().to_networkx()

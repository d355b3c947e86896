"""Laws of the growing neural gas, over random streams and against Fritzke's words."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skgmje.neural_gas import (
    GasState,
    adapt_gas,
    gas_components,
    nearest_nodes,
    start_gas,
)

MODES = ("batch", "sequential")
streams = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 1000),
        "n_features": st.integers(1, 4),
        "n_distinct": st.sampled_from([1, 2, 5, 400]),
        "scale": st.sampled_from([1e-6, 1.0, 1e6]),
        "chunks": st.lists(st.integers(0, 90), min_size=1, max_size=6),
    }
)
rules = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(MODES),
        "max_nodes": st.integers(2, 25),
        "winner_rate": st.floats(0.01, 0.9),
        "neighbor_rate": st.floats(0.001, 0.5),
        "max_age": st.integers(1, 60),
        "insertion_interval": st.integers(1, 40),
        "error_split": st.floats(0.1, 0.9),
        "error_decay": st.floats(0.9, 0.9999),
        "utility_threshold": st.sampled_from([None, 1.5, 10.0]),
    }
)


def _stream(seed, n_features, n_distinct, scale, chunks):
    """Return chunks of rows, some of them repeated, some chunks empty."""
    rng = np.random.default_rng(seed)
    rows = scale * (rng.normal(size=(n_distinct, n_features)) + rng.normal() * 5)
    return [rows[rng.integers(n_distinct, size=n)] for n in (2, *chunks)]


def _degrees(state):
    return np.bincount(np.asarray(state.edges).ravel(), minlength=len(state.nodes))


def _check(state, max_nodes, max_age):
    k = len(state.nodes)
    assert 2 <= k <= max(2, max_nodes)
    assert _degrees(state).min() >= 1
    assert (state.edges[:, 0] < state.edges[:, 1]).all()
    assert (np.diff(state.edges[:, 0] * k + state.edges[:, 1]) > 0).all()
    assert state.ages.min() >= 0
    assert state.ages.max() <= max_age
    assert len(state.ages) == len(state.edges)
    assert np.isfinite(state.nodes).all()
    for total in (state.errors, state.utilities):
        assert np.isfinite(total).all()
        assert total.min() >= 0
    assert (np.diff(state.ids) > 0).all()
    assert state.ids.max() < state.n_born
    assert 0 <= state.hits.sum() <= state.n_seen


@given(streams, rules)
def test_invariants_hold_on_every_stream(stream, options):
    first, *chunks = _stream(**stream)
    state, n_rows = start_gas(first), 0
    for chunk in chunks:
        before = state
        state = adapt_gas(state, chunk, **options)
        n_rows += len(chunk)
        assert state.n_seen == n_rows
        _check(state, options["max_nodes"], options["max_age"])
        due = n_rows // options["insertion_interval"]
        assert state.n_born <= 2 + due
        stay = np.isin(before.ids, state.ids)
        assert_array_equal(before.ids[stay], state.ids[: stay.sum()])
        again = adapt_gas(before, chunk, **options)
        for one, other in zip(state, again, strict=True):
            assert_array_equal(one, other)


@given(streams, rules)
def test_nodes_stay_within_the_rows(stream, options):
    first, *chunks = _stream(**stream)
    state = start_gas(first)
    for chunk in chunks:
        state = adapt_gas(state, chunk, **options)
    rows = np.concatenate([first, *chunks])
    slack = 1e-9 * np.abs(rows).max()
    assert (state.nodes >= rows.min(axis=0) - slack).all()
    assert (state.nodes <= rows.max(axis=0) + slack).all()


@given(streams, rules)
def test_single_rows_may_come_in_any_chunks(stream, options):
    first, *chunks = _stream(**stream)
    options["mode"] = "sequential"
    state = start_gas(first)
    once = adapt_gas(state, np.concatenate([first[:0], *chunks]), **options)
    for chunk in chunks:
        state = adapt_gas(state, chunk, **options)
    for one, other in zip(once, state, strict=True):
        assert_array_equal(one, other)


@given(streams, rules)
def test_a_list_of_edges_and_a_matrix_say_the_same(stream, options):
    first, *chunks = _stream(**stream)
    dense = adapt_gas(start_gas(first), np.concatenate(chunks), **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skgmje.neural_gas._edges.MAX_DENSE_NODES", 0)
        listed = adapt_gas(start_gas(first), np.concatenate(chunks), **options)
    # Sums over neighbours differ by rounding, which may decide between equals.
    if stream["n_distinct"] == 400 or options["mode"] == "sequential":
        assert_array_equal(dense.edges, listed.edges)
        assert_array_equal(dense.ages, listed.ages)
        assert_allclose(
            dense.nodes, listed.nodes, rtol=1e-7, atol=1e-7 * stream["scale"]
        )


class Fritzke:
    """The algorithm as its paper has it, with dictionaries."""

    def __init__(self, first, second, options):
        self.w = {0: np.array(first), 1: np.array(second)}
        self.error = {0: 0.0, 1: 0.0}
        self.age = {frozenset((0, 1)): 0}
        self.t, self.options = 0, options

    def neighbors(self, node):
        return [next(iter(e - {node})) for e in self.age if node in e]

    def see(self, x):
        o = self.options
        self.t += 1
        order = sorted(self.w, key=lambda i: float(((self.w[i] - x) ** 2).sum()))
        first, second = order[:2]
        self.error[first] += float(((self.w[first] - x) ** 2).sum())
        near = self.neighbors(first)
        for i, rate in [
            (first, o["winner_rate"]),
            *((n, o["neighbor_rate"]) for n in near),
        ]:
            self.w[i] = self.w[i] + rate * (x - self.w[i])
        for n in near:
            self.age[frozenset((first, n))] += 1
        self.age[frozenset((first, second))] = 0
        self.age = {e: a for e, a in self.age.items() if a <= o["max_age"]}
        for i in [i for i in self.w if not self.neighbors(i)]:
            del self.w[i], self.error[i]
        if self.t % o["insertion_interval"] == 0 and len(self.w) < o["max_nodes"]:
            worst = max(self.w, key=lambda i: self.error[i])
            other = max(self.neighbors(worst), key=lambda i: self.error[i])
            new = self.born = getattr(self, "born", 1) + 1
            self.w[new] = (self.w[worst] + self.w[other]) / 2
            del self.age[frozenset((worst, other))]
            self.age[frozenset((worst, new))] = self.age[frozenset((other, new))] = 0
            self.error[worst] *= o["error_split"]
            self.error[other] *= o["error_split"]
            self.error[new] = self.error[worst]
        self.error = {i: e * o["error_decay"] for i, e in self.error.items()}


@pytest.mark.parametrize("mode", ["sequential", "batch, rows one by one"])
@pytest.mark.parametrize("seed", range(4))
def test_single_rows_are_fritzkes_algorithm(mode, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(1500, 3)) + 4 * rng.integers(3, size=(1500, 1))
    options = {
        "max_nodes": 15,
        "winner_rate": 0.1,
        "neighbor_rate": 0.01,
        "max_age": 12,
        "insertion_interval": 50,
        "error_split": 0.4,
        "error_decay": 0.99,
    }
    peer, state = Fritzke(X[0], X[1], options), start_gas(X)
    for row in X:
        peer.see(row)
    parts = [X] if mode == "sequential" else X[:, None]
    for part in parts:
        state = adapt_gas(state, part, mode=mode.split(",")[0], **options)
    number = {node: i for i, node in enumerate(peer.w)}
    assert_array_equal(state.ids, list(peer.w))
    assert_allclose(state.nodes, list(peer.w.values()), rtol=1e-9)
    assert_allclose(state.errors, list(peer.error.values()), rtol=1e-7)
    ends = {
        frozenset(e): a for e, a in zip(state.edges.tolist(), state.ages, strict=True)
    }
    expected = {frozenset(number[i] for i in e): a for e, a in peer.age.items()}
    assert ends == expected


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_learn_the_same(mode, dtype, rng):
    X = torch.asarray(rng.normal(size=(900, 3)), dtype=dtype)
    options = {"mode": mode, "max_nodes": 12, "utility_threshold": 20.0}
    state = adapt_gas(start_gas(X), X, **options)
    peer = adapt_gas(start_gas(X.numpy()), X.numpy(), **options)
    assert state.nodes.dtype == state.errors.dtype == dtype
    assert peer.nodes.dtype == X.numpy().dtype
    if dtype == torch.float64:
        assert_allclose(state.nodes.numpy(), peer.nodes, rtol=1e-6)
        assert_array_equal(state.edges.numpy(), peer.edges)
        assert_array_equal(state.ages.numpy(), peer.ages)
        assert_array_equal(gas_components(state), gas_components(peer))


def test_winner_and_neighbors_move_by_their_rates():
    state = GasState(
        nodes=np.array([[0.0], [1.0], [5.0]]),
        errors=np.zeros(3),
        utilities=np.zeros(3),
        hits=np.zeros(3, int),
        ids=np.arange(3),
        edges=np.array([[0, 2], [1, 2]]),
        ages=np.array([3, 3]),
        n_seen=0,
        n_born=3,
    )
    options = {"winner_rate": 0.5, "neighbor_rate": 0.1, "error_decay": 0.9}
    for mode in MODES:
        after = adapt_gas(state, np.array([[-2.0]]), mode=mode, **options)
        assert_allclose(after.nodes.ravel(), [-1.0, 1.0, 4.3])
        assert_allclose(after.errors, [3.6, 0, 0])
        assert_allclose(after.utilities, [4.5, 0, 0])
        assert_array_equal(after.hits, [1, 0, 0])
        assert after.edges.tolist() == [[0, 1], [0, 2], [1, 2]]
        assert after.ages.tolist() == [0, 4, 3]


@pytest.mark.parametrize("mode", MODES)
def test_one_node_is_inserted_each_interval(mode, rng):
    X = rng.normal(size=(1000, 2))
    state = start_gas(X)
    for i, chunk in enumerate(np.split(X, 10)):
        state = adapt_gas(state, chunk, mode=mode, max_age=10_000)
        assert len(state.nodes) == 3 + i


def test_the_old_state_is_left_alone(rng):
    X = rng.normal(size=(700, 3))
    state = adapt_gas(start_gas(X), X[:200])
    copies = [np.array(part) for part in state]
    adapt_gas(state, X)
    for part, copy in zip(state, copies, strict=True):
        assert_array_equal(part, copy)


@pytest.mark.parametrize("mode", MODES)
def test_far_blobs_come_apart(mode, rng):
    X = rng.normal(size=(20_000, 2)) + 20 * rng.integers(2, size=(20_000, 1))
    state = adapt_gas(start_gas(X), X, mode=mode, max_nodes=10, max_age=100)
    labels = gas_components(state)
    assert_array_equal(np.unique(labels), [0, 1])
    assert_array_equal(labels, (state.nodes[:, 0] > 10) ^ (state.nodes[0, 0] > 10))


@pytest.mark.parametrize("mode", MODES)
def test_a_line_becomes_a_chain(mode, rng):
    X = np.column_stack([rng.random(20_000) * 10, 0.01 * rng.normal(size=20_000)])
    degrees = _degrees(adapt_gas(start_gas(X), X, mode=mode, max_nodes=20))
    assert degrees.max() <= 3
    assert np.median(degrees) == 2


def test_far_from_the_origin_no_digits_are_lost(rng):
    X = rng.normal(size=(5000, 2))
    near = adapt_gas(start_gas(X), X, max_nodes=20)
    far = adapt_gas(start_gas(X + 2.0**20), X + 2.0**20, max_nodes=20)
    assert_allclose(far.nodes - 2.0**20, near.nodes, atol=1e-6)
    assert_array_equal(far.edges, near.edges)


@pytest.mark.parametrize("mode", MODES)
def test_useless_nodes_go_where_the_rows_went(mode, rng):
    X, Y = rng.normal(size=(4000, 2)), 30 + rng.normal(size=(4000, 2))
    options = {"mode": mode, "max_nodes": 20, "error_decay": 0.995}
    state = adapt_gas(start_gas(X), X, **options)
    stuck = adapt_gas(state, Y, **options)
    moved = adapt_gas(state, Y, utility_threshold=20.0, **options)
    assert (stuck.nodes[:, 0] < 15).sum() > 5
    assert (moved.nodes[:, 0] < 15).sum() <= 1
    assert len(moved.nodes) > 15


@pytest.mark.parametrize("mode", MODES)
def test_a_constant_does_no_harm(mode):
    X = np.ones((500, 2))
    state = adapt_gas(start_gas(X), X, mode=mode, max_nodes=5)
    assert_array_equal(state.nodes, 1.0)


def test_a_single_row_is_enough_to_start():
    state = start_gas(np.array([[1, 2]]))
    assert_array_equal(state.nodes, [[1.0, 2.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match="there is none"):
        start_gas(np.zeros((0, 2)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("winner_rate", 1.0),
        ("neighbor_rate", 0.0),
        ("error_split", -0.5),
        ("error_decay", 1.5),
        ("max_nodes", 1),
        ("max_age", 0),
        ("insertion_interval", 0),
        ("mode", "both"),
    ],
)
def test_rules_that_none_can_follow_are_refused(name, value):
    X = np.zeros((3, 1))
    with pytest.raises(ValueError, match=f"{name}={value!r}"):
        adapt_gas(start_gas(X), X, **{name: value})


def test_a_sample_on_a_node_has_no_distance_wherever_it_stands(rng):
    X = (5 + 3 * rng.normal(size=(700, 40))).astype(np.float32)
    together = nearest_nodes(X[:40], X)[2]
    alone = [nearest_nodes(X[:40], row[None])[2][0] for row in X[:60]]
    assert not together[:40].any()
    assert_array_equal(together[:60], alone)

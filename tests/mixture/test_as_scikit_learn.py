"""The same calls of our mixture and of scikit-learn's, over their covariance types."""

import warnings
from inspect import signature

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Peer

from skgmje import GrowingNeuralGasMixture
from skgmje.mixture import GaussianMixture
from skgmje.utils import all_estimators

X = load_iris().data
TYPES = ["full", "tied", "diag", "spherical"]
FITTED = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
START = np.array([[5.0, 3.4, 1.5, 0.2], [6.0, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]])


@pytest.fixture(params=TYPES)
def kind(request):
    return request.param


def both(**params):
    """Return our mixture and scikit-learn's with the same parameters."""
    params = {"n_components": 3, "random_state": 0, **params}
    return GaussianMixture(**params), Peer(**params)


def outcome(model, X=X):
    """Return the names of the warnings of a fit, and of the attributes it sets."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X)
    return [warning.category for warning in caught]


def assert_same(ours, peer, *, rtol=1e-5):
    for name in FITTED:
        found, wanted = getattr(ours, name), getattr(peer, name)
        assert_allclose(found, wanted, rtol=rtol, atol=1e-6, err_msg=name)
    assert ours.n_iter_ == peer.n_iter_
    assert ours.converged_ == peer.converged_
    assert ours.lower_bound_ == pytest.approx(peer.lower_bound_, abs=1e-8)
    # It keeps them all since 1.7.
    bounds = getattr(peer, "lower_bounds_", ours.lower_bounds_)
    assert_allclose(ours.lower_bounds_, bounds, atol=1e-8)


def given(kind, *names):
    """Return some parts of a start."""
    shares, eye = np.array([0.5, 0.3, 0.2]), np.eye(4)
    precisions = {
        "full": np.stack([eye, 2 * eye, 3 * eye]),
        "tied": 2 * eye,
        "diag": np.full((3, 4), 2.0),
        "spherical": np.array([1.0, 2.0, 3.0]),
    }
    parts = {
        "weights_init": shares,
        "means_init": START,
        "precisions_init": precisions[kind],
    }
    return {name: parts[name] for name in names or parts}


CALLS = {
    "default": lambda kind: {},
    "one component": lambda kind: {"n_components": 1},
    "stopped": lambda kind: {"max_iter": 2},
    "one iteration": lambda kind: {"max_iter": 1},
    "the start itself": lambda kind: {"max_iter": 0},
    # Its covariances are not the inverses of given precisions before the first step.
    "a given start itself": lambda kind: {
        "max_iter": 0,
        **given(kind, "weights_init", "means_init"),
    },
    "tol=0": lambda kind: {"tol": 0, "max_iter": 30},
    "reg_covar": lambda kind: {"reg_covar": 0.1},
    "weights_init": lambda kind: given(kind, "weights_init"),
    "means_init": lambda kind: given(kind, "means_init"),
    "precisions_init": lambda kind: given(kind, "precisions_init"),
    "two parts": lambda kind: given(kind, "means_init", "precisions_init"),
    "a given start": given,
    "random": lambda kind: {"init_params": "random", "max_iter": 10},
    "starts": lambda kind: {"n_init": 3, "init_params": "random", "max_iter": 5},
}


@pytest.mark.parametrize("call", CALLS)
def test_the_same_call_gives_the_same_fit(call, kind):
    ours, peer = both(covariance_type=kind, **CALLS[call](kind))
    assert outcome(ours) == outcome(peer)
    assert_same(ours, peer)
    assert ours._n_parameters() == peer._n_parameters()
    assert_array_equal(ours.predict(X), peer.predict(X))
    assert ours.bic(X) == pytest.approx(peer.bic(X))


@pytest.mark.parametrize("max_iter", [0, 1, 2, 50])
def test_warm_starts_converge_after_as_many_calls(max_iter, kind):
    models = both(covariance_type=kind, warm_start=True, max_iter=max_iter)
    for _ in range(1 + 40 * (max_iter > 0)):
        said = [outcome(model) for model in models]
        assert said[0] == said[1]
        assert_same(*models)
        if models[0].converged_:
            break
    assert models[0].converged_ == (max_iter > 0)


def test_a_warm_start_that_finds_no_gain_is_said_with_that_gain():
    model = GaussianMixture(3, max_iter=1, warm_start=True, tol=1e-9, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"1 iterations \(tol="):
        model.fit(X)
    before = model.lower_bound_
    with pytest.warns(ConvergenceWarning, match=r"last gain (\S+) nats") as caught:
        model.fit(X)
    gain = model.lower_bound_ - before
    assert f"last gain {gain:.2g} nats" in str(caught[0].message)


WRONG = {
    "shape of weights": {"weights_init": [[0.5], [0.3], [0.2]]},
    "sum of weights": {"weights_init": [0.5, 0.3, 0.1]},
    "sign of weights": {"weights_init": [1.5, -0.3, -0.2]},
    "shape of means": {"means_init": START[:2]},
    "shape of precisions": {"precisions_init": np.ones((2, 5))},
    "not positive": {"precisions_init": "negative"},
    "asymmetric": {"precisions_init": "asymmetric"},
    "samples": {"n_components": 200},
    "max_iter": {"max_iter": -1},
    "n_init": {"n_init": 0},
    "tol": {"tol": -1.0},
    "init_params": {"init_params": "lloyd"},
    "covariance_type": {"covariance_type": "round"},
}
WORDS = {
    "shape of weights": r"The parameter 'weights' should have the shape of \(3,\), but "
    r"got \(3, 1\)",
    "sum of weights": r"'weights' should be normalized, but got sum\(weights\) = 0\.9",
    "sign of weights": r"parameter 'weights' should be in the range \[0, 1\]",
    "shape of means": "The parameter 'means' should have the shape of",
    "samples": "n_components.* n_samples",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_errors_name_the_same_parameter(wrong, kind):
    params = {"covariance_type": kind, **WRONG[wrong]}
    if params.get("precisions_init") is not None and wrong != "shape of precisions":
        precisions = given(kind, "precisions_init")["precisions_init"].copy()
        if wrong == "asymmetric":
            if precisions.ndim < 2 or kind == "diag":
                return
            precisions[..., 0, 1] += 0.5
        params["precisions_init"] = (
            -precisions if wrong == "not positive" else precisions
        )
    words = WORDS.get(wrong, wrong)
    if "precisions_init" in params:
        words = f"'{kind} precision' should"
    for model in both(**params):
        with pytest.raises(ValueError, match=words):
            model.fit(X)
    # Ours says also which parameter to change.
    name = next(iter(WRONG[wrong]))
    with pytest.raises(ValueError, match=name):
        both(**params)[0].fit(X)


@pytest.mark.parametrize("n_samples", [0, -1])
def test_no_sample_can_be_drawn_of_nothing(n_samples):
    for model in both():
        with pytest.raises(ValueError, match="Invalid value for 'n_samples'"):
            model.fit(X).sample(n_samples)


def test_verbose_goes_to_the_standard_output(capsys):
    for model in both(verbose=1, verbose_interval=2):
        model.fit(X)
        said = capsys.readouterr()
        assert said.out.count("Iteration") == model.n_iter_ // 2
        assert said.err == ""
    # Also of a fit that is shorter than the interval.
    GaussianMixture(verbose=1, verbose_interval=1000).fit(X)
    assert "log-likelihood" in capsys.readouterr().out


def test_private_names_that_others_call_do_what_they_do_there(kind):
    ours, peer = both(covariance_type=kind)
    for model in (ours, peer):
        model.fit(X)
    for found, wanted in zip(
        ours._get_parameters(), peer._get_parameters(), strict=True
    ):
        assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    other = GaussianMixture(3, covariance_type=kind)
    other._set_parameters(peer._get_parameters())
    assert_allclose(other.score_samples(X), peer.score_samples(X), atol=1e-8)
    resp = np.random.RandomState(0).dirichlet(np.ones(3), len(X))
    for model in both(covariance_type=kind, **given(kind, "precisions_init")):
        model._initialize(X, resp)
        found = model.precisions_cholesky_
        square = (
            found**2
            if kind in ("diag", "spherical")
            else found @ np.swapaxes(found, -1, -2)
        )
        wanted = given(kind, "precisions_init")["precisions_init"]
        assert_allclose(square, wanted, atol=1e-12)
    assert_allclose(model.means_, (resp.T @ X) / resp.sum(axis=0)[:, None], rtol=1e-6)


def test_a_whole_start_needs_no_k_means():
    # As many components as were asked for, though only two samples differ.
    rows = np.repeat([[0.0, 0.0], [4.0, 4.0]], 20, axis=0)
    start = {
        "weights_init": [0.2, 0.3, 0.5],
        "means_init": [[0.0, 0.0], [3.0, 3.0], [4.0, 4.0]],
        "precisions_init": np.ones((3, 2)),
    }
    ours, peer = both(covariance_type="diag", max_iter=1, **start)
    assert outcome(ours, rows) == outcome(peer, rows)
    assert_same(ours, peer)
    del start["weights_init"]
    with pytest.raises(
        ValueError, match="weights_init, means_init and precisions_init"
    ):
        GaussianMixture(3, covariance_type="diag", **start).fit(rows)


# What goes on: streams and warm starts ------------------------------------------------

# Of each estimator that goes on, parameters by which it would be another model.
OTHER = {
    "GaussianMixture": [
        {"n_components": 3},
        {"covariance_type": "diag"},
        {"covariance_type": "low-rank"},
    ],
    "GrowingNeuralGasMixture": [{"covariance_type": "diag"}, {"max_nodes": 2}],
}
COMMON = {"covariance_type": "full", "random_state": 0}
FIRST = {
    "GaussianMixture": {"n_components": 2},
    "GrowingNeuralGasMixture": {"max_nodes": 9},
}


def going_on():
    """List the estimators that can go on, by their classes and a way to do it."""
    for name, known in all_estimators():
        if hasattr(known, "partial_fit"):
            yield name, known, "partial_fit"
        if "warm_start" in signature(known).parameters:
            yield name, known, "fit"


@pytest.mark.parametrize(("name", "known", "method"), [*going_on()])
@pytest.mark.parametrize("before", ["fit", "partial_fit"])
def test_another_model_is_no_way_to_go_on(name, known, method, before):
    for params in OTHER[name]:
        first = {**COMMON, **FIRST[name]}
        model = known(**first)
        if method == "fit":
            model.set_params(warm_start=True)
        getattr(model, before)(X)
        fitted = dict(vars(model))
        model.set_params(**params)
        message = f"goes on from the last solution, .*{next(iter(params))}="
        with pytest.raises(ValueError, match=message):
            getattr(model, method)(X)
        assert model.means_ is fitted["means_"]
        with pytest.raises(ValueError, match="features"):
            getattr(model.set_params(**first), method)(X[:, :2])
        # Back at its own parameters it goes on, and fit begins anew.
        getattr(model.set_params(**first), method)(X)
        if method == "partial_fit":
            model.set_params(**params).fit(X)


def test_what_is_automatic_stays_as_it_was_chosen():
    for model in (
        GaussianMixture("auto", covariance_type="auto", random_state=0),
        GrowingNeuralGasMixture("auto", covariance_type="auto", random_state=0),
    ):
        kind = model.fit(X).covariance_type_
        assert model.partial_fit(X[:50]).covariance_type_ == kind


def test_another_rank_is_no_way_to_go_on():
    model = GaussianMixture(covariance_type="low-rank", rank=1, warm_start=True).fit(X)
    for method in (model.fit, model.partial_fit):
        model.set_params(rank=1)
        method(X)
        model.set_params(rank=2)
        with pytest.raises(ValueError, match=r"has rank=1, but rank=2"):
            method(X)


@pytest.mark.parametrize("model", [GaussianMixture(2, random_state=0), "gas"])
def test_settings_of_the_m_step_count_from_the_next_chunk(model):
    if model == "gas":
        model = GrowingNeuralGasMixture(3, random_state=0)
    small = np.trace(model.partial_fit(X).mixture_.covariance)
    model.set_params(reg_covar=100.0, shrinkage=7).partial_fit(X)
    assert np.trace(model.mixture_.covariance) > small + 390
    assert model.shrinkage_ == 7


def test_attributes_set_by_hand_go_on():
    peer = Peer(2, random_state=0).fit(X)
    for warm_start in (False, True):
        ours = GaussianMixture(2, warm_start=warm_start)
        ours.weights_, ours.means_ = peer.weights_, peer.means_
        ours.covariances_ = peer.covariances_
        (ours.fit if warm_start else ours.partial_fit)(X)
        assert_allclose(ours.score(X), peer.score(X), atol=1e-3)

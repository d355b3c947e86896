"""Loss curves and graphs show what was fitted."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neighbors import KernelDensity
from sklearn.neural_network import MLPRegressor

from skgmje.inspection import GraphDisplay, LossCurveDisplay
from skgmje.mixture import (
    GaussianMixture,
    GrowingNeuralGasMixture,
    KernelMixtureDensity,
)


@pytest.fixture
def X(rng):
    return rng.normal(size=(100, 2))


def _fit(X, cost):
    settings = {"covariance_type": "full", "shrinkage": 1.0, "bandwidth": 0.5}
    return KernelMixtureDensity(3, cost=cost, random_state=0, **settings).fit(X)


def test_curves_of_costs_share_one_bound(X):
    _, ax = plt.subplots()
    fits = {cost: _fit(X, cost) for cost in ("svd", "scalar")}
    for cost, fit in fits.items():
        display = LossCurveDisplay.from_estimator(fit, ax=ax)
        assert_array_equal(display.line_.get_ydata(), fit.loss_curve_)
        assert display.name == f"cost {cost}"
        assert set(display.bound_line_.get_ydata()) == {0}
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["cost svd", "cost scalar", "bound"]
    curves = ax.lines[0], ax.lines[2]
    assert len({line.get_color() for line in curves}) == 2
    assert len({line.get_linestyle() for line in curves}) == 2


def test_losses_without_a_bound(X):
    likelihood = LossCurveDisplay.from_estimator(_fit(X, "likelihood"))
    assert likelihood.bound_line_ is None
    mixture = GaussianMixture(2, random_state=0).fit(X)
    display = LossCurveDisplay.from_estimator(mixture, name="EM", color="red")
    assert_allclose(display.loss_curve, -np.array(mixture.lower_bounds_))
    assert display.ax_.get_ylabel() == "minus mean log-likelihood (nats)"
    assert display.line_.get_color() == "red"
    network = MLPRegressor(max_iter=200, tol=1.0).fit(X, X[:, 0])
    display = LossCurveDisplay.from_estimator(network)
    assert_allclose(display.loss_curve, network.loss_curve_)


def test_a_missing_curve_is_named(X):
    with pytest.raises(TypeError, match="keeps no loss curve"):
        LossCurveDisplay.from_estimator(KernelDensity().fit(X))


def test_graph(rng):
    X = np.concatenate([rng.normal(size=(100, 3)), 20 + rng.normal(size=(100, 3))])
    gas = GrowingNeuralGasMixture(random_state=0).fit(X)
    display = GraphDisplay.from_estimator(gas, X, features=[2, 0])
    assert_allclose(display.nodes_.get_offsets(), gas.nodes_[:, [2, 0]])
    segments = np.array(display.edges_.get_segments())
    assert_allclose(segments, gas.nodes_[gas.edges_][:, :, [2, 0]])
    colors = display.nodes_.get_facecolors()
    assert len(np.unique(colors, axis=0)) == min(7, len(set(gas.node_labels_)))
    assert_allclose(display.data_.get_offsets(), X[:, [2, 0]])
    assert display.plot(show_data=False).data_ is None


def test_anything_with_nodes_and_edges_has_a_graph():
    class Line:
        nodes_ = [[0.0, 0.0], [1.0, 1.0]]
        edges_ = [[0, 1]]

    display = GraphDisplay.from_estimator(Line())
    assert_allclose(display.edges_.get_segments(), [[[0, 0], [1, 1]]])
    Line.edges_ = np.empty((0, 2), int)
    assert GraphDisplay.from_estimator(Line()).edges_.get_segments() == []


def test_graph_faults_are_named(X):
    with pytest.raises(TypeError, match="has no graph"):
        GraphDisplay.from_estimator(GaussianMixture().fit(X))

"""Sources of components that take less where there are many features."""

import numpy as np

from skgmje.conditional._sources import Settings, fit_memory_bank
from skgmje.conditional._torch_sources import fit_network, make_schedule


def test_networks_of_many_targets_are_smaller_and_stop_sooner(rng):
    few, many = (make_schedule(400, d, Settings()).max_iter for d in (8, 9))
    assert many == few // 3
    settings = Settings(max_iter=2, n_members=1, hidden_layer_sizes=(4,))
    X, Y = rng.normal(size=(2, 40, 9))
    n_components = [
        fit_network(X, Y[:, :d], settings, random_state=np.random.RandomState(0))
        .model.predict_mixture(X)
        .n_components
        for d in (8, 9)
    ]
    assert n_components == [5, 1]


def test_banks_of_many_features_are_small(rng):
    sizes = []
    for n_features in (2, 12):
        X, Y = rng.normal(size=(2, 500, n_features))
        settings = Settings(max_iter=1, judged=True)
        fit = fit_memory_bank(X, Y, settings, random_state=np.random.RandomState(0))
        tried = fit.info["cv_results"]["param_n_components"]
        sizes.append(sorted(set(tried)))
    assert sizes == [[100, 300, 1000], [100]]

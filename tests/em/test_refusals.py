"""What the functions of EM refuse before they work: by name, value and remedy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skgmje.costs import compress
from skgmje.em import (
    block_stats,
    expectation_maximization,
    kernel_bandwidth,
    multiscale_bandwidths,
    score_block,
    start_mixture,
    weights_only,
)
from skgmje.gaussian import Mixture
from skgmje.neural_gas import gas_errors, gas_labels, gas_mixture, refine_gas, start_gas

X = np.random.default_rng(0).normal(size=(40, 2))
ONES, LABELS, CENTERS = np.ones(40), np.arange(40) % 2, X[:3]
MIXTURE = Mixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], np.ones((2, 2)), "diag")
GAS = start_gas(X)


def em(X=X, **given):
    return expectation_maximization(X, MIXTURE, **{"max_iter": 2, **given})


def statistics(X=X, **given):
    return block_stats(MIXTURE, X, **{"center": np.zeros(2), **given})


def start(X=X, labels=LABELS, **given):
    return start_mixture(X, labels, "low-rank", **given)


def weights(X=X, centers=CENTERS, **given):
    return weights_only(X, centers, **given)


def bandwidth(X=X, particles=None, sample_weight=None):
    return kernel_bandwidth(X, particles, sample_weight)


def bandwidths(X=X, centers=CENTERS, **given):
    return multiscale_bandwidths(X, centers, **given)


WEIGHED = {
    "expectation_maximization": em,
    "block_stats": statistics,
    "score_block": lambda X=X, **given: score_block(MIXTURE, X, **given),
    "start_mixture": start,
    "weights_only": weights,
    "kernel_bandwidth": bandwidth,
    "multiscale_bandwidths": bandwidths,
    "compress": lambda X=X, **given: compress(X, 3, random_state=0, **given),
    "gas_errors": lambda X=X, **given: gas_errors(GAS, X, **given),
    "gas_labels": lambda X=X, **given: gas_labels(GAS, X, **given),
    "gas_mixture": lambda X=X, **given: gas_mixture(GAS, X, **given),
    "refine_gas": lambda X=X, **given: refine_gas(GAS, X, **given),
}
WEIGHTS = {
    "negative": np.r_[-1.0, ONES[1:]],
    "NaN": np.r_[np.nan, ONES[1:]],
    "infinite": np.r_[np.inf, ONES[1:]],
    "few": ONES[1:],
    "a column": ONES[:, None],
}


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("name", WEIGHED)
def test_weights_are_finite_and_not_negative(name, weight):
    with pytest.raises(ValueError, match=r"weights? must be 40 .*shape.*Clip"):
        WEIGHED[name](sample_weight=WEIGHTS[weight])


@pytest.mark.parametrize("name", sorted({*WEIGHED} - {"block_stats", "score_block"}))
def test_some_weight_is_positive(name):
    with pytest.raises(ValueError, match="not all zero"):
        WEIGHED[name](sample_weight=0 * ONES)


def test_a_block_may_be_without_weight():
    assert statistics(sample_weight=0 * ONES).weight == 0
    rows = np.vstack([X, [[1e200, 0.0]]])
    # Samples far away, of density zero, do not count without weight.
    assert_allclose(
        score_block(MIXTURE, rows, np.r_[ONES, 0.0]), score_block(MIXTURE, X)
    )


def test_particles_without_weight_are_not_there():
    weight = np.r_[0 * ONES[:20], ONES[20:]]
    assert bandwidth(X, X, weight) == bandwidth(X, X[20:])


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (em, {"shrinkage": [-1, np.nan, np.inf, "auto"]}),
        (em, {"reg_covar": [-1e-9, np.nan, np.inf, "auto", [1e-3] * 3, [1e-3, -1.0]]}),
        (em, {"tol": ["small", np.nan], "max_iter": [-1, 1.5], "annealing": [0, 2]}),
        (em, {"shrinkage_target": ["none"]}),
        (start, {"shrinkage": [-1, np.nan], "reg_covar": [-1.0, np.nan]}),
        (start, {"rank": [0, 1.5], "shrinkage_target": ["none"]}),
        (statistics, {"temper": [0, -1, np.nan], "reg_covar": [-1.0, np.nan]}),
        (statistics, {"center": [np.full(2, np.nan), np.zeros(1)]}),
        (weights, {"tol": [None, np.nan], "max_iter": [-1, 1.5]}),
        (WEIGHED["gas_mixture"], {"shrinkage": [-1, np.nan], "reg_covar": [-1.0]}),
    ],
)
def test_parameters_are_refused_by_name(function, values):
    for name, refused in values.items():
        for value in refused:
            with pytest.raises(ValueError, match=rf"{name}=.* must be"):
                function(**{name: value})


@pytest.mark.parametrize("name", ["expectation_maximization", "block_stats"])
def test_infinite_samples_are_named(name, xp):
    rows = xp.asarray(np.vstack([X, [[0.0, np.inf]]]))
    with pytest.raises(ValueError, match="infinite entries"):
        WEIGHED[name](rows)


@pytest.mark.parametrize("function", [start, weights, bandwidth, bandwidths])
def test_samples_are_a_table(function):
    for rows in (X[:, 0], X[:0]):
        with pytest.raises(ValueError, match="X has shape"):
            function(rows)
    if function is not start:
        with pytest.raises(ValueError, match="1 features, and X 2"):
            function(X, X[:3, :1])
        with pytest.raises(ValueError, match="missing values"):
            function(X, np.full((3, 2), np.nan))


def test_responsibilities_are_shares():
    for resp in (-np.ones((40, 2)), np.zeros((40, 2)), np.full((40, 2), np.nan)):
        with pytest.raises(ValueError, match="resp has shape"):
            start(X, resp)


def test_a_block_with_missing_entries_is_the_same_as_a_tensor(xp):
    rows = np.where(np.arange(80).reshape(40, 2) % 7 == 3, np.nan, X)
    tensor = xp.asarray(rows)
    with pytest.raises(ValueError, match="Set missing=True"):
        statistics(tensor)
    found = statistics(tensor, sample_weight=xp.asarray(ONES), missing=True)
    expected = statistics(rows, missing=True)
    assert_allclose(found.means, expected.means)
    assert_allclose(found.log_likelihood, expected.log_likelihood)

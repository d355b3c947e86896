"""Single precision holds 1e-38 to 1e38, but not the squares: nobody may need them."""

import warnings
from functools import cache

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skgmje.conditional import ConditionalMixtureDensity
from skgmje.em import kernel_bandwidth, weights_only
from skgmje.gaussian import Mixture, gaussian_log_gram, grams
from skgmje.metrics import crps, energy_score, two_sample_test
from skgmje.mixture import (
    GasGrowth,
    GaussianMixture,
    GrowingNeuralGasMixture,
    KernelMixtureDensity,
)
from skgmje.neural_gas import (
    adapt_gas,
    gas_errors,
    gas_labels,
    gas_mixture,
    nearest_nodes,
    refine_gas,
    start_gas,
)
from skgmje.particles import bank_mixture, start_bank

# Powers of two near powers of ten, so that the same digits are scaled.
SCALES = [2.0**-99, 2.0**-83, 2.0**-60, 2.0**60, 2.0**83, 2.0**99, 2.0**122]
_RNG = np.random.default_rng(0)
X = np.r_[_RNG.normal(size=(100, 2)), _RNG.normal(size=(100, 2)) + 8]
_ORDER = _RNG.permutation(200)
X, GROUP = X[_ORDER].astype(np.float32), _ORDER // 100
GAUSSIAN = np.array([0.3, 0.7]), np.array([[0.0, 1.0], [4.0, 2.0]]), np.array([1.0, 2])


def single(scale, asarray=np.asarray):
    return asarray((X * scale).astype(np.float32))


def grown(rows, mode):
    growth = GasGrowth(mode, insertion_interval=20)
    gas = GrowingNeuralGasMixture(16, growth=growth, shrinkage=1.0, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return gas.fit(rows)


reference = cache(lambda mode: grown(X, mode))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mode", ["batch", "sequential"])
def test_a_neural_gas_knows_no_units(scale, mode):
    one, other = reference(mode), grown(single(scale), mode)
    assert_allclose(other.nodes_ / np.float32(scale), one.nodes_, 1e-4, 1e-4)
    assert np.array_equal(other.labels_, one.labels_)
    # As many clusters at least as there are groups, and none of two groups.
    assert len({*zip(GROUP.tolist(), other.labels_.tolist(), strict=True)}) == (
        other.labels_.max() + 1
    )
    assert_allclose(other.quantization_error_, one.quantization_error_ * scale, 1e-5)
    assert other.topographic_error_ == one.topographic_error_
    gap = other.score(single(scale)) + 2 * np.log(scale) - one.score(X)
    assert abs(gap) < 1e-3
    streams = [
        GrowingNeuralGasMixture(8, growth=mode).partial_fit(rows[:60])
        for rows in (X, single(scale))
    ]
    assert_allclose(
        streams[1].nodes_ / np.float32(scale), streams[0].nodes_, 1e-4, 1e-4
    )


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("asarray", [np.asarray, torch.asarray])
def test_steps_of_the_gas_know_no_units(scale, asarray):
    one, other = (single(s, asarray) for s in (1.0, scale))
    answers = []
    for rows, s in ((one, 1.0), (other, scale)):
        gas = adapt_gas(start_gas(rows), rows, insertion_interval=20)
        squares = np.asarray(gas.errors, float) / s / s
        gas = refine_gas(adapt_gas(gas, rows, insertion_interval=20), rows)
        first, second, distance = nearest_nodes(gas.nodes, rows)
        mixture = gas_mixture(gas, rows, "diag", reg_covar=0.0)
        answers.append(
            [
                squares,
                first,
                second,
                np.asarray(distance / s),
                np.asarray(mixture.means) / s,
                np.asarray(mixture.covariances, float) / s / s,
                gas_labels(gas, rows),
                gas_errors(gas, rows)[0] / s,
                gas.edges,
            ]
        )
    for left, right in zip(*answers, strict=True):
        assert np.isfinite(np.asarray(left)).all()
        assert_allclose(left, right, 1e-4, 1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("asarray", [np.asarray, torch.asarray])
def test_rows_however_far_have_a_nearest_node(dtype, asarray):
    far = np.finfo(dtype).max / 4
    nodes = np.array([[-1.0, 0], [1, 0], [0, 1]], dtype) / far ** dtype(0.5)
    rows = np.array([[far, 0], [-far, 0], [0.0, far], [1.0, 0.0]], dtype)
    first, _, distance = nearest_nodes(asarray(nodes), asarray(rows))
    assert np.asarray(first).tolist() == [1, 0, 2, 1]
    assert_allclose(distance, [far, far, far, 1.0], 1e-6)


def test_a_gas_refuses_what_its_nodes_cannot_hold():
    with pytest.raises(ValueError, match="nodes' float32"):
        nearest_nodes(X[:3], X.astype(float) * 1e60)


@pytest.mark.parametrize("scale", SCALES)
def test_bandwidths_know_no_units(scale):
    rows = single(scale)
    expected = kernel_bandwidth(X) * scale
    assert_allclose(kernel_bandwidth(rows), expected, 1e-3)
    assert_allclose(kernel_bandwidth(torch.asarray(rows)), expected, 1e-3)


@pytest.mark.parametrize("scale", SCALES)
def test_weights_of_given_centers_know_no_units(scale):
    one, other = (weights_only(rows, rows[:3]) for rows in (X, single(scale)))
    assert_allclose(other.weights, one.weights, 1e-5)
    assert_allclose(other.covariances / scale / scale, one.covariances, 1e-5)


@pytest.mark.parametrize("scale", [2.0**-83, 2.0**83])
@pytest.mark.parametrize("asarray", [np.asarray, torch.asarray])
def test_a_bank_refuses_a_bandwidth_whose_square_has_no_place(scale, asarray):
    bank = start_bank(single(scale, asarray))
    with pytest.raises(ValueError, match=r"bandwidth has .* of .*float32"):
        bank_mixture(bank, scale)


@pytest.mark.parametrize("asarray", [np.asarray, torch.asarray])
@pytest.mark.parametrize("scale", [2.0**-60, 2.0**60])
def test_gram_matrices_reach_as_far_as_variances(scale, asarray):
    expected = gaussian_log_gram(X.astype(float), X[:5].astype(float), 2.0)
    rows = single(scale, asarray)
    logs = gaussian_log_gram(rows, rows[:5], 2.0 * scale**2)
    assert_allclose(logs, expected - 2 * np.log(scale), 1e-5, 1e-4)
    far = gaussian_log_gram(rows * 200.0, rows[:5] * 200.0, 2.0 * scale**2)
    assert np.isfinite(np.asarray(far)).all()


@pytest.mark.parametrize("asarray", [np.asarray, torch.asarray])
@pytest.mark.parametrize("scale", [2.0**-83, 2.0**83])
def test_bandwidths_whose_squares_have_no_place_are_refused(scale, asarray):
    rows = single(scale, asarray)
    with pytest.raises(ValueError, match=r"finite numbers of .*float32.*float64"):
        grams(rows, rows[:3], scale)
    with pytest.raises(ValueError, match=r"finite numbers of .*float32.*float64"):
        gaussian_log_gram(rows, rows[:3], scale**2)


@pytest.mark.parametrize("scale", SCALES)
def test_scores_know_no_units(scale):
    w, means, scales = GAUSSIAN
    for metric in (crps, lambda y, m: energy_score(y, m, random_state=0)):
        one, other = (
            metric(
                single(s)[:20], Mixture(w, means * s, (scales * s) ** 2, "spherical")
            )
            for s in (1.0, scale)
        )
        assert_allclose(other / scale, one, 1e-5)
    results = [
        two_sample_test(rows[:50], rows[50:], random_state=0, n_permutations=19)
        for rows in (X, single(scale))
    ]
    assert_allclose(results[1].statistic, results[0].statistic, 1e-4)


@pytest.mark.parametrize("scale", [2.0**-99, 2.0**122])
def test_other_mixtures_know_no_units(scale):
    rows = single(scale)
    estimator = KernelMixtureDensity(
        2, covariance_type="diag", shrinkage=1.0, max_iter=5, random_state=0
    )
    gap = (
        estimator.fit(rows).score(rows) + 2 * np.log(scale) - estimator.fit(X).score(X)
    )
    assert abs(gap) < 1e-2
    joint = GaussianMixture(2, shrinkage="auto", max_iter=5)
    estimator = ConditionalMixtureDensity(joint, random_state=0)
    one = estimator.fit(X, X[:, 1]).score(X, X[:, 1])
    other = estimator.fit(rows, rows[:, 1]).score(rows, rows[:, 1])
    assert abs(other + np.log(scale) - one) < 1e-2

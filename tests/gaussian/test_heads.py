"""Mixtures from the outputs of networks."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skgmje.gaussian._heads import join_members, n_outputs, perceptrons, split_outputs

MEMBERS, ROWS, COMPONENTS, CONTEXT = 3, 5, 4, 2


def make_heads(rng, xp, n_features, covariance_type, spread=1.0):
    shape = (MEMBERS, ROWS, n_outputs(COMPONENTS, n_features, covariance_type))
    outputs = xp.asarray(spread * rng.normal(size=shape))
    return split_outputs(outputs, COMPONENTS, n_features, 0.01)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
@pytest.mark.parametrize("n_features", [1, 2, 4])
def test_log_prob_is_that_of_the_mixture(rng, xp, n_features, covariance_type):
    heads = make_heads(rng, xp, n_features, covariance_type)
    y = rng.normal(size=(ROWS, n_features))
    each = np.asarray(heads.log_prob(xp.asarray(y)))
    mixture = join_members(heads).mixture().to_numpy()
    assert each.shape == (MEMBERS, ROWS)
    assert mixture.n_components == MEMBERS * COMPONENTS
    expected = np.log(np.exp(each).mean(axis=0))
    assert_allclose(mixture.log_prob(y), expected, rtol=1e-6)


def test_type_is_full_only_where_there_is_something_to_correlate(rng, xp):
    types = [
        join_members(make_heads(rng, xp, d, kind)).mixture().covariance_type
        for d, kind in [(1, "full"), (2, "full"), (2, "diag")]
    ]
    assert types == ["diag", "full", "diag"]


def test_scales_are_given_the_targets_before(rng, xp):
    heads = make_heads(rng, xp, 3, "full")
    covariances = heads.mixture().to_numpy().covariances
    pivots = np.linalg.cholesky(covariances).diagonal(axis1=-2, axis2=-1)
    assert_allclose(np.log(pivots), np.asarray(heads.log_scales), atol=1e-5)


@pytest.mark.parametrize("n_features", [1, 5])
def test_any_outputs_are_mixtures(rng, xp, n_features):
    heads = make_heads(rng, xp, n_features, "full", spread=100.0)
    mixture = join_members(heads).mixture().to_numpy()
    log_prob = mixture.log_prob(rng.normal(size=(ROWS, n_features)))
    assert np.isfinite(log_prob).all()
    scales = np.sqrt(mixture.covariance.diagonal(axis1=-2, axis2=-1))
    assert scales.min() >= 0.01


def test_distortion_is_half_the_squared_distance_where_hard(rng, xp):
    heads = make_heads(rng, xp, 2, "diag")
    y = rng.normal(size=(ROWS, 2))
    squares = ((y[:, None] - np.asarray(heads.means)) ** 2).sum(-1)
    distortion = np.asarray(heads.distortion(xp.asarray(y), 1e-3))
    assert_allclose(distortion, squares.min(-1) / 2, atol=2e-5)
    soft = np.asarray(heads.distortion(xp.asarray(y), 1e3))
    mean = (np.exp(np.asarray(heads.log_weights)) * squares).sum(-1) / 2
    assert_allclose(soft, mean, rtol=1e-4)


def test_perceptrons_are_separate(rng, xp):
    sizes = [(CONTEXT, 8), (8, 8), (8, 6)]
    weights = [rng.normal(size=(MEMBERS, *size)) for size in sizes]
    biases = [rng.normal(size=(MEMBERS, 1, size[1])) for size in sizes]
    skip = rng.normal(size=(MEMBERS, CONTEXT, 6))
    context = rng.normal(size=(ROWS, CONTEXT))

    def run(members, context):
        weight, bias = ([xp.asarray(a[members]) for a in p] for p in (weights, biases))
        return np.asarray(
            perceptrons(weight, bias, xp.asarray(skip[members]), xp.asarray(context))
        )

    together = run(slice(None), context)
    assert together.shape == (MEMBERS, ROWS, 6)
    assert_allclose(together[1:2], run([1], context), rtol=1e-12)
    each = run(slice(None), np.stack([context, -context, context]))
    assert_allclose(each[[0, 2]], together[[0, 2]], rtol=1e-12)
    hidden = context
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        raw = hidden @ weight[0] + bias[0]
        hidden = raw / (1 + np.exp(-raw))
    expected = hidden @ weights[-1][0] + biases[-1][0] + context @ skip[0]
    assert_allclose(together[0], expected, rtol=1e-10)


def test_far_units_do_not_overflow(xp):
    one = xp.asarray(np.ones((1, 1, 1)))
    outputs = perceptrons(
        [one, one], [0 * one, 0 * one], 0 * one, xp.asarray(np.array([[-1e6], [1e6]]))
    )
    assert_allclose(np.asarray(outputs).ravel(), [0.0, 1e6], atol=1e-6)

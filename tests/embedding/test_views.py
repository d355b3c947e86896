"""Pairs of rows, and rows that cannot be paired."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skgmje._standardize import Standardization, standardization
from skgmje.embedding._views import VIEWS, OwnAugmentation, Pairs, jitter


def test_neighbors_are_mutual_and_near(X):
    views = VIEWS["neighbors"]().fit(X, None)
    context, target = views.pairs(X, None)
    assert context.shape == target.shape
    assert 2 <= len(context) <= len(X)
    assert not (context == target).all(axis=1).any()
    paired = np.linalg.norm(context - target, axis=1).mean()
    rolled = np.linalg.norm(context - np.roll(context, 1, axis=0), axis=1).mean()
    assert paired < 0.6 * rolled


def test_neighbors_leave_out_who_is_nobodys_neighbor():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(30, 2)), [[100.0, 100.0]]]
    context, target = VIEWS["neighbors"]().fit(X, None).pairs(X, None)
    assert max(context.max(), target.max()) < 50


def test_two_rows_are_neighbors(X):
    views = VIEWS["neighbors"]().fit(X, None)
    assert_array_equal(views.pairs(X[:2], None)[1], X[1::-1])
    with pytest.raises(ValueError, match="at least 2"):
        views.pairs(X[:1], None)


def test_given_views_are_what_is_given(X, Y):
    context, target = VIEWS["pair"]().fit(X, Y).pairs(X, Y)
    assert context is X
    assert_array_equal(target, Y)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X, Y: (X, None), "requires y to be passed"),
        (lambda X, Y: (X, Y[:, 0]), "no view"),
        (lambda X, Y: (X, Y[:-1]), "inconsistent numbers of samples"),
        (lambda X, Y: (X, np.where(Y > 1, np.nan, Y)), "y contains NaN"),
        (lambda X, Y: (X, np.ones_like(Y)), "samples in y are identical"),
        (lambda X, Y: (X, 1e200 * Y), "Rescale y"),
        (lambda X, Y: (np.ones_like(X), Y), "samples in X are identical"),
        (lambda X, Y: (X, X.copy()), "identical"),
    ],
)
def test_pairs_that_are_none_are_refused(X, Y, change, words):
    with pytest.raises(ValueError, match=words):
        VIEWS["pair"]().fit(*change(X, Y))


def test_target_keeps_its_width(X, Y):
    views = VIEWS["pair"]().fit(X, Y)
    with pytest.raises(ValueError, match="7 in fit"):
        views.pairs(X, Y[:, :2])


@pytest.mark.parametrize("per_feature", [True, False])
def test_units_give_unit_variance(X, per_feature):
    rows = standardization(1e3 * X + 5, None, per_feature=per_feature).forward(
        1e3 * X + 5
    )
    variance = rows.var(axis=0)
    assert_allclose(variance if per_feature else variance.mean(), 1.0)
    assert_allclose(rows.mean(axis=0), 0.0, atol=1e-12)


def test_constant_feature_and_far_rows_stay_finite(X):
    X = np.c_[X, np.full(len(X), 7.0)]
    units = standardization(X, None, per_feature=True)
    assert_array_equal(units.forward(X)[:, -1], 0.0)
    assert np.isfinite(units.forward(X * 1e300, np.float32)).all()


def test_one_view_is_stacked_once(X, Y):
    units = standardization(X, None, per_feature=True)
    assert Pairs(None, X, X, units, units).stacked().shape == X.shape
    both = Pairs(
        None, X, Y, units, standardization(Y, None, per_feature=True)
    ).stacked()
    assert both.shape == (len(X), 6 + 7)
    assert both.dtype == np.float32


def test_jitter_is_centred_and_random():
    rows = torch.ones(4000, 2)
    generator = torch.Generator().manual_seed(0)
    one, two = jitter(rows, generator), jitter(rows, generator)
    assert not torch.equal(one, two)
    assert_allclose(one.mean(dim=0), 0.8, atol=0.06)
    assert one.dtype == rows.dtype


def test_own_augmentation_sees_the_units_of_the_rows():
    units = Standardization(np.array([10.0, 20.0]), np.array([2.0, 4.0]))
    seen = []

    def augment(batch, generator):
        seen.append(batch)
        return batch + 2.0

    view = OwnAugmentation(augment, units)(torch.tensor([[0.0, 1.0]]), None)
    assert_allclose(seen[0], [[10.0, 24.0]])
    assert_allclose(view, [[1.0, 1.5]])


def test_own_augmentation_sees_what_it_sees_in_training():
    """Single precision, whatever it is wanted for; the answer may be of any."""
    units = Standardization(np.zeros(2), np.ones(2))
    augment = OwnAugmentation(lambda b, g: (b @ torch.eye(2)).double(), units)
    for dtype in (torch.float32, torch.float64):
        assert augment(torch.ones((3, 2), dtype=dtype), None).dtype == dtype


@pytest.mark.parametrize("answer", [lambda b, g: b[:1], lambda b, g: b.numpy()])
def test_own_augmentation_must_keep_the_shape(answer):
    units = Standardization(np.zeros(2), np.ones(2))
    with pytest.raises(ValueError, match="tensor of the same shape"):
        OwnAugmentation(answer, units)(torch.ones(3, 2), None)

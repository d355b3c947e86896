"""Paired views share what they should, and nothing else."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from skgmje.datasets import make_digit_views


def test_views_are_reproducible_and_carry_the_labels():
    X, Y, labels = make_digit_views(random_state=0)
    for one, other in zip(
        (X, Y, labels), make_digit_views(random_state=0), strict=True
    ):
        assert_array_equal(one, other)
    assert not np.array_equal(X, make_digit_views(random_state=1)[0])
    assert X.shape == Y.shape
    assert len(labels) == len(X)
    half = len(X) // 2
    for view in (X, Y):
        score = KNeighborsClassifier().fit(view[:half], labels[:half])
        assert score.score(view[half:], labels[half:]) > 0.7


def test_digits_without_changes_are_the_digits():
    nothing = {"rotation": 0, "scale": 0, "shift": 0, "brightness": 0, "noise": 0}
    X, Y, labels = make_digit_views(**nothing, random_state=0)
    digits = load_digits()
    assert_allclose(X, digits.data / 16, atol=1e-12)
    assert_allclose(Y, X)
    assert_array_equal(labels, digits.target)


@pytest.mark.parametrize("change", ["rotation", "scale", "shift", "brightness"])
def test_each_change_moves_the_digits_a_little(change):
    sizes = {"rotation": 0, "scale": 0, "shift": 0, "brightness": 0, "noise": 0}
    X, Y, _ = make_digit_views(**{**sizes, change: 0.2}, random_state=0)
    original = load_digits().data / 16
    for view in (X, Y):
        assert 0.01 < np.abs(view - original).mean() < 0.15
        assert view.min() >= 0
    assert np.abs(X - Y).mean() > 0.01


def test_shifts_are_measured_in_half_widths():
    sizes = {"rotation": 0, "scale": 0, "brightness": 0, "noise": 0}
    X, _, _ = make_digit_views(**sizes, shift=0.25, random_state=0)
    pixels = np.arange(8) - 3.5

    def centers(rows):
        images = rows.reshape(-1, 8, 8)
        return (images.sum(axis=1) @ pixels) / images.sum(axis=(1, 2))

    moved = centers(X) - centers(load_digits().data / 16)
    # A quarter of the half width is one pixel; what leaves the image is lost.
    assert 0.85 < np.quantile(np.abs(moved), 0.95) < 1
    assert abs(moved.mean()) < 0.1


def test_refused_arguments():
    with pytest.raises(ValueError, match=r"noise=-0\.1"):
        make_digit_views(noise=-0.1)
    with pytest.raises(ValueError, match="rotation=nan"):
        make_digit_views(rotation=np.nan)
    with pytest.raises(ValueError, match="scale=1"):
        make_digit_views(scale=1)

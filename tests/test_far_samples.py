"""A sample that is very far away answers for itself and disturbs no other."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone

from tests.sources import targets_of
from tests.test_place_in_batch import (
    FIRST,
    FURTHER,
    ask,
    is_conditional,
    methods_of,
    pytestmark,
    table,
)

__all__ = ["pytestmark"]

FAR = (1e20, 1e39, 1e200, 1e308, -1e20, -1e39, -1e308)


def far_answers(estimator, dtype):
    """Yield the method, the far value, what others are answered then and before."""
    X, y, X_new = table(dtype)
    # A narrow column: what is over its scale overflows first.
    X[:, 2] *= 1e-3
    X_new[:, 2] *= 1e-3
    fitted = clone(estimator)
    if "random_state" in fitted.get_params():
        fitted.set_params(random_state=0)
    learned = (X, targets_of(fitted, y)) if is_conditional(fitted) else (X,)
    fitted.fit(*learned)
    largest = float(np.finfo(dtype).max)
    values = [value for value in FAR if abs(value) < largest]
    many = np.repeat(X_new[:1], 2 * len(values), axis=0)
    many[: len(values)] = np.array(values, dtype)[:, None]
    many[len(values) :, 2] = values
    asked = np.r_[X_new, many]
    for name in {*methods_of(fitted), "score_samples"}:
        if not hasattr(fitted, name):
            continue
        before = ask(fitted, name, X_new, X_new[:, 0])
        if before is None:
            continue
        targets = np.resize(X_new[:, 0], len(asked))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            after = ask(fitted, name, asked, targets)
        yield name, before, after


@pytest.mark.parametrize(
    ("estimator", "dtype"),
    [
        *((estimator, np.float64) for estimator in FIRST + FURTHER),
        *((estimator, np.float32) for estimator in FIRST),
    ],
    ids=repr,
)
def test_far_samples_have_finite_answers_and_leave_others_alone(estimator, dtype):
    n_asked = 0
    for name, before, after in far_answers(estimator, dtype):
        n_asked += 1
        for part, found in zip(before, after, strict=True):
            np.testing.assert_array_equal(found[: len(part)], part, err_msg=name)
            assert not np.isnan(found).any(), name
            # What is far beyond all numbers has a density of zero.
            assert np.isfinite(found).all() or name == "score_samples", name
    assert n_asked

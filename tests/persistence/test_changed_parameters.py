"""What parameters become after a fit changes no file: it has those of the fit."""

import copy
import re
import warnings
from ast import literal_eval
from operator import attrgetter

import pytest
from numpy.testing import assert_equal
from sklearn.base import clone

import skgmje
from tests.test_parameters import CASES, SLOW
from tests.test_place_in_batch import ask, methods_of


def changes():
    """Return estimators, their data, and a change of each of their parameters."""
    for number, (estimator, data, values) in enumerate(CASES):
        marks = [pytest.mark.slow] * isinstance(estimator, SLOW)
        name = f"{type(estimator).__name__}-{number}"
        yield pytest.param(estimator, data, values, marks=marks, id=name)


def answers(fitted, X, y):
    """Return what a fitted estimator says, or its error, by the method."""
    found = {}
    for name in methods_of(fitted):
        try:
            found[name] = ask(fitted, name, X, y)
        except ValueError as error:
            found[name] = str(error)
    if hasattr(fitted, "sample_generator"):
        found["sample_generator"] = fitted.sample_generator(5, random_state=0)
    return found


def load(path, estimator):
    """Load a file, with the code that it asks for out of the estimator."""
    try:
        return skgmje.load(path)
    except ValueError as error:
        names = re.search(r"with the names (\[.*?\])", str(error))
        if names is None:
            raise
    wanted = literal_eval(names.group(1))
    return skgmje.load(path, custom={n: attrgetter(n)(estimator) for n in wanted})


@pytest.mark.parametrize(("estimator", "data", "changes"), [*changes()])
def test_a_file_has_the_parameters_of_the_fit(estimator, data, changes, tmp_path):
    X, y = data if isinstance(data, tuple) else (data, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = clone(estimator).fit(*((X,) if y is None else (X, y)))
    if "Ridge" in repr(fitted):
        pytest.skip("a regressor of others is in no file")
    X, y = X[:12], None if y is None else y[:12]
    expected = answers(fitted, X, y)
    for name, (*_, value) in changes.items():
        changed = copy.deepcopy(fitted).set_params(**{name: value})
        if "__" in name:
            assert_equal(answers(changed, X, y), expected, err_msg=name)
        changed.save(tmp_path / "model.safetensors")
        loaded = load(tmp_path / "model.safetensors", changed)
        assert repr(loaded.get_params()[name]) == repr(value)
        assert_equal(answers(loaded, X, y), answers(changed, X, y), err_msg=name)

"""Every public docstring is numpydoc; which checks count stands in pyproject.toml."""

import inspect
from functools import cached_property
from pathlib import Path

import pytest
from numpydoc.hooks.validate_docstrings import parse_config
from numpydoc.validate import validate

from skgmje.utils import all_estimators
from skgmje.utils._discovery import public_objects

CHECKS = parse_config(str(Path(__file__).parents[1]))["checks"]
ESTIMATORS = {estimator for _, estimator in all_estimators()}
OBJECTS = {
    name: value
    for name, value in public_objects().items()
    if inspect.isclass(value) or inspect.isfunction(value)
}


def _unwrap(member):
    if isinstance(member, property):
        return member.fget
    if isinstance(member, cached_property):
        return member.func
    return getattr(member, "__func__", member)


def _own_methods(cls):
    """List the public methods and properties that were written here."""
    for name, member in inspect.getmembers(cls):
        function = _unwrap(member)
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        if function.__module__.startswith("skgmje."):
            yield name


METHODS = [
    f"{name}.{method}"
    for name, value in OBJECTS.items()
    if inspect.isclass(value)
    for method in _own_methods(value)
]


def _excused(value):
    """Ask no parameters of a class whose constructor comes from torch."""
    init = getattr(value, "__init__", None)
    torch_init = getattr(init, "__module__", "").startswith("torch.")
    return {"PR01"} if torch_init else set()


def _check(name, *, also=()):
    wanted = {*CHECKS, *also} - _excused(OBJECTS.get(name))
    errors = validate(name)["errors"]
    faults = [f"{code}: {text}" for code, text in errors if code in wanted]
    assert not faults, "\n".join([name, *faults])


@pytest.mark.parametrize("name", OBJECTS)
def test_docstring(name):
    _check(name, also={"EX01", "SA01"} if OBJECTS[name] in ESTIMATORS else {"EX01"})


@pytest.mark.parametrize("name", METHODS)
def test_docstring_of_method(name):
    _check(name)

"""What is public resolves, is documented, and imports nothing heavy."""

import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import pytest
from numpydoc.hooks.validate_docstrings import parse_config
from numpydoc.validate import validate

import skgmje
from skgmje.utils import all_estimators

# What is public resolves, is sorted, and is listed in the reference -------------------


PACKAGES = sorted(
    f"skgmje.{found.name}"
    for found in pkgutil.iter_modules(skgmje.__path__)
    if not found.name.startswith("_")
)


def public_objects():
    """Return ``{dotted name: object}`` of what stands in an ``__all__``."""
    modules = [*map(importlib.import_module, PACKAGES)]
    found = {
        f"{m.__name__}.{name}": getattr(m, name) for m in modules for name in m.__all__
    }
    return found | {
        f"skgmje.{name}": getattr(skgmje, name)
        for name, home in skgmje._HOME.items()
        if home not in PACKAGES
    }


MODULES = ["skgmje", *PACKAGES]
API = Path(__file__).parents[1] / "doc" / "api.rst"


def _names_in_reference():
    """Return the names in doc/api.rst, each with its current module before it."""
    names, module = set(), None
    for line in API.read_text().splitlines():
        if line.startswith(".. currentmodule::"):
            module = line.split("::")[1].strip()
        elif re.fullmatch(r"   \w+", line):
            names.add(f"{module}.{line.strip()}")
    return names


@pytest.mark.parametrize("name", MODULES)
def test_all_is_sorted_and_resolves(name):
    module = importlib.import_module(name)
    assert module.__all__ == sorted(set(module.__all__))
    for attribute in module.__all__:
        assert isinstance(attribute, str)
        assert attribute in dir(module)


@pytest.mark.parametrize("name", skgmje.__all__)
def test_top_level_name_is_loaded_from_its_home(name):
    home = skgmje._HOME[name]
    assert getattr(skgmje, name) is getattr(importlib.import_module(home), name)


def test_top_level_has_no_other_attributes():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = skgmje.no_such_name


def test_reference_lists_what_is_public():
    assert sorted(set(public_objects()) - _names_in_reference()) == []


def test_reference_lists_nothing_else():
    in_packages = tuple(f"{package}." for package in PACKAGES)
    listed = {n for n in _names_in_reference() if n.startswith(in_packages)}
    assert sorted(listed - set(public_objects())) == []


# Every public docstring is numpydoc; which checks count stands in pyproject.toml ------


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
    found = validate(name)
    faults = [f"{code}: {text}" for code, text in found["errors"] if code in wanted]
    # In a raw docstring the next line would be taken for the description.
    types = [line for line in found["docstring"].splitlines() if " : " in line]
    faults += [f"goes on: {line}" for line in types if line.endswith("\\")]
    assert not faults, "\n".join([name, *faults])


@pytest.fixture(scope="module", autouse=True)
def _own_docstrings():
    """Write down what `help` and the site show of a method that overrides another."""
    for cls in filter(inspect.isclass, OBJECTS.values()):
        for name in _own_methods(cls):
            function = _unwrap(inspect.getattr_static(cls, name))
            function.__doc__ = function.__doc__ or inspect.getdoc(getattr(cls, name))


@pytest.mark.parametrize("name", OBJECTS)
def test_docstring(name):
    _check(name, also={"EX01", "SA01"} if OBJECTS[name] in ESTIMATORS else {"EX01"})


@pytest.mark.parametrize("name", METHODS)
def test_docstring_of_method(name):
    _check(name)


# Heavy libraries are loaded by those who use them, and by nobody else -----------------


# The mathematics works on any array library and knows no estimator.
MATHEMATICS = {"skgmje.costs", "skgmje.em", "skgmje.gaussian", "skgmje.neural_gas"}
TORCH_ONLY = {"skgmje.modules"}
FIRST = ["skgmje", *sorted(MATHEMATICS)]
# What a process imports in turn: what a module may load, those after it may too.
PROCESSES = [
    [*FIRST, *sorted({*MODULES} - {*FIRST} - TORCH_ONLY)],
    sorted(TORCH_ONLY),
]
SCRIPT = """
import importlib, json, sys
heavy = {"matplotlib", "skorch", "sklearn", "torch"}
loaded = {}
for name in sys.argv[1:]:
    before = {*sys.modules}
    importlib.import_module(name)
    loaded[name] = sorted(heavy.intersection(sys.modules) - before)
print(json.dumps(loaded))
"""


def _banned(name):
    banned = {"matplotlib", "skorch"}
    if name not in TORCH_ONLY:
        banned.add("torch")
    if name in {"skgmje"} | MATHEMATICS | TORCH_ONLY:
        banned.add("sklearn")
    return banned


@pytest.fixture(scope="module")
def loaded():
    """Heavy libraries that each module loads."""
    found = {}
    for names in PROCESSES:
        command = [sys.executable, "-c", SCRIPT, *names]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        found |= json.loads(answer.stdout)
    return found


@pytest.mark.parametrize("name", MODULES)
def test_import_is_light(name, loaded):
    assert _banned(name).intersection(loaded[name]) == set()

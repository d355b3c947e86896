"""What is public resolves, is sorted, and is listed in the reference."""

import importlib
import re
from pathlib import Path

import pytest

import skgmje
from skgmje.utils._discovery import public_objects, public_packages

MODULES = ["skgmje", *public_packages()]
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
    in_packages = tuple(f"{package}." for package in public_packages())
    listed = {n for n in _names_in_reference() if n.startswith(in_packages)}
    assert sorted(listed - set(public_objects())) == []

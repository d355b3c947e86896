"""Every public name says its types, and mypy holds a user's script to them."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import skgmje

HERE = Path(__file__).parent


def _public():
    """Return public functions and classes by their full names."""
    names = [m.name for m in pkgutil.iter_modules(skgmje.__path__) if m.name[0] != "_"]
    homes = [skgmje, *(importlib.import_module(f"skgmje.{name}") for name in names)]
    values = {f"{m.__name__}.{n}": getattr(m, n) for m in homes for n in m.__all__}
    return {name: value for name, value in values.items() if callable(value)}


def _signatures(value):
    """Yield what can be called of a public value, with its name."""
    if not inspect.isclass(value):
        if inspect.isfunction(value):
            yield "", value
        return
    for name, member in inspect.getmembers_static(value):
        function = getattr(member, "__func__", None) or getattr(member, "fget", None)
        function = inspect.unwrap(function or getattr(member, "func", None) or member)
        own = getattr(function, "__module__", None) or ""
        is_public = name == "__init__" or name[0] != "_"
        if is_public and inspect.isfunction(function) and own.startswith("skgmje"):
            yield f".{name}", function


@pytest.mark.parametrize("name", sorted(_public()))
def test_all_parameters_and_results_have_types(name):
    for part, function in _signatures(_public()[name]):
        hints = {*function.__annotations__}
        asked = {*inspect.signature(function).parameters} - {"self", "cls"}
        first = next(iter(inspect.signature(function).parameters), None)
        asked -= {first} if part and first not in hints else set()
        assert asked | {"return"} <= hints, f"{name}{part}: {asked - hints}"
        # They can be read at run time, too.
        assert typing.get_type_hints(function)


@pytest.mark.slow
def test_mypy_reads_a_users_script():
    # With settings of his own, not those of this project.
    settings = ["--config-file=", "--strict", "--ignore-missing-imports"]
    command = [sys.executable, "-m", "mypy", *settings, "--follow-imports=silent"]
    command += [HERE / "typed_script.py"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent)
    assert found.returncode == 0, found.stdout

"""What the wheel holds, and what it says of itself."""

import shutil
import subprocess
import sys
from importlib.metadata import metadata
from importlib.resources import files
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]


def test_package_says_that_it_is_typed_and_which_python_it_needs():
    assert (files("skgmje") / "py.typed").is_file()
    said = metadata("skgmje")
    assert said["Requires-Python"] == ">=3.10"
    assert "Programming Language :: Python :: 3.10" in said.get_all("Classifier")


@pytest.mark.slow
def test_wheel_holds_all_of_the_package_and_nothing_else(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT / "skgmje", source / "skgmje")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path]
    subprocess.run([*command, source], check=True)
    (wheel,) = tmp_path.glob("skgmje-*.whl")
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {path.relative_to(ROOT) for path in (ROOT / "skgmje").rglob("*.py")}
    assert held == {path.as_posix() for path in modules} | {"skgmje/py.typed"}

"""Imports point down, files and functions stay small."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "skgmje").rglob("*.py"))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# An estimator's docstring alone takes a hundred lines.
MAX_FILE_LINES = 450
MAX_BODY_LINES = 40


def _body_length(function):
    """Count the lines of a function after its signature and docstring."""
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_import_contract_is_kept():
    code = "from importlinter.cli import lint_imports_command as lint; lint()"
    command = [sys.executable, "-c", code, "--no-logo", "--no-cache"]
    answer = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: os.path.relpath(path, ROOT))
def test_files_and_functions_are_short(path):
    source = path.read_text()
    n_lines = source.count("\n")
    assert n_lines <= MAX_FILE_LINES
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, FUNCTIONS)]
    lengths = {function.name: _body_length(function) for function in functions}
    assert {n: length for n, length in lengths.items() if length > MAX_BODY_LINES} == {}


def test_every_folder_is_a_package():
    folders = {path.parent for path in FILES}
    assert all((folder / "__init__.py").exists() for folder in folders)

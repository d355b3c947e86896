"""Heavy libraries are loaded by those who use them, and by nobody else."""

import json
import subprocess
import sys

import pytest

from skgmje.utils._discovery import public_packages

MODULES = ["skgmje", *public_packages()]

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
    importlib.import_module(name)
    loaded[name] = sorted(heavy.intersection(sys.modules))
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
    """Heavy libraries that are loaded once each module is."""
    found = {}
    for names in PROCESSES:
        command = [sys.executable, "-c", SCRIPT, *names]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        found |= json.loads(answer.stdout)
    return found


@pytest.mark.parametrize("name", MODULES)
def test_import_is_light(name, loaded):
    assert _banned(name).intersection(loaded[name]) == set()

"""Heavy libraries are loaded by those who use them, and by nobody else."""

import subprocess
import sys

import pytest

from skgmje.utils._discovery import public_packages

MODULES = ["skgmje", *public_packages()]

# The mathematics works on any array library and knows no estimator.
MATHEMATICS = {"skgmje.costs", "skgmje.em", "skgmje.gaussian", "skgmje.neural_gas"}
TORCH_ONLY = {"skgmje.modules"}


def _banned(name):
    banned = {"matplotlib", "skorch"}
    if name not in TORCH_ONLY:
        banned.add("torch")
    if name in {"skgmje"} | MATHEMATICS | TORCH_ONLY:
        banned.add("sklearn")
    return banned


@pytest.mark.parametrize("name", MODULES)
def test_import_is_light(name):
    code = f"import sys, {name}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    heavy = _banned(name).intersection(answer.stdout.split())
    assert heavy == set()

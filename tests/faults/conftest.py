"""The frame of all fault tests: a limit, a record, and where it pays a process.

Every test here is slow. A fault that may end or block a process is done to a child,
which must finish within its limit; the test asserts that the fault really happened, and
records how many were tried and survived. ``benchmarks/library/faults.py`` makes a table
of the records.
"""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# One JSON object per line: several processes may append.
RECORDS = Path(
    os.environ.get("SKGMJE_FAULTS", ROOT / "benchmarks" / "out" / "faults.json")
)

# What every child begins with: little data, no warnings, answers as one hash.
PRELUDE = """
import hashlib, os, signal, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
rng = np.random.RandomState(0)
X = rng.normal(size=(300, 3))
Y = X[:, :2] + 0.1 * rng.normal(size=(300, 2))

def sha(*arrays):
    parts = [np.ascontiguousarray(array).tobytes() for array in arrays]
    return hashlib.sha256(b"".join(parts)).hexdigest()
"""


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def run_child():
    """Run Python code in a process of its own: ``run_child(code, *args, limit=300)``.

    Returns the completed process; one that is not done in `limit` seconds fails
    the test. The code begins after :data:`PRELUDE`, with `args` in ``sys.argv``.
    """

    def run(code, *args, limit=300, **env):
        command = [sys.executable, "-c", PRELUDE + code, *map(str, args)]
        env = {**os.environ, "OMP_NUM_THREADS": "1", **env}
        try:
            return subprocess.run(
                command,
                cwd=ROOT,
                env=env,
                capture_output=True,
                text=True,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            said = (error.stderr or b"").decode()[-2000:]
            pytest.fail(f"not done after {limit} s: {said}")

    return run


@pytest.fixture
def answer_of(run_child):
    """Run a child that must succeed; return what it has printed."""

    def run(code, *args, **kwargs):
        child = run_child(code, *args, **kwargs)
        assert child.returncode == 0, child.stderr[-3000:]
        return child.stdout.strip()

    return run


@pytest.fixture
def answer_here(capsys, monkeypatch, time_limit):
    """Run code that harms no process in this one; return what it has printed."""

    def run(code, *args):
        monkeypatch.setattr(sys, "argv", ["-c", *map(str, args)])
        with warnings.catch_warnings():
            exec(PRELUDE + code, {})
        return capsys.readouterr().out.strip()

    return run


@pytest.fixture
def record():
    """Write down an outcome: ``record(fault, tried, survived, same_bits)``.

    `same_bits` tells whether the answers were those without the fault, to the
    bit; None where there is nothing to compare.
    """

    def write(fault, tried, survived, same_bits=None):
        line = {"fault": fault, "tried": tried, "survived": survived}
        RECORDS.parent.mkdir(parents=True, exist_ok=True)
        with open(RECORDS, "a") as file:
            file.write(json.dumps({**line, "same_bits": same_bits}) + "\n")

    return write

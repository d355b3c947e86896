"""Every example says what it claims, runs from beginning to end, and draws it."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").rglob("plot_*.py"))
# The longest takes fifty seconds of an idle core; this only ends what hangs.
SECONDS = 400
# The figure of an example has its name; the quick start has several.
FIGURES = {"quickstart": "scores"}
# What needs the network, or data that do not come with scikit-learn.
FORBIDDEN_MODULES = {"urllib", "requests", "http", "socket", "openml", "pooch"}
FORBIDDEN_TEXTS = ("SKGMJE_DATA", "fetch_", "read_csv", "loadtxt")


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_example_has_a_title_and_a_claim(path):
    lines = ast.get_docstring(ast.parse(path.read_text())).splitlines()
    above, title, below = lines[:3]
    assert above == below == "=" * len(above)
    assert 0 < len(title) <= len(above)
    assert any(line.startswith("Claim: ") for line in lines), "say what it shows"


def test_example_needs_no_data_of_others(path):
    text = path.read_text()
    assert not [word for word in FORBIDDEN_TEXTS if word in text]
    imports = re.findall(r"^\s*(?:from|import) (\w+)", text, flags=re.MULTILINE)
    assert not FORBIDDEN_MODULES & set(imports)


@pytest.mark.slow
def test_example_runs_and_draws_its_figure(path):
    name = path.stem.removeprefix("plot_")
    figure = path.parent / "out" / f"{FIGURES.get(name, name)}.png"
    figure.unlink(missing_ok=True)
    answer = subprocess.run(
        [sys.executable, path],
        cwd=ROOT,
        env={**os.environ, "MPLBACKEND": "Agg"},
        timeout=SECONDS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout, "print the figures that the claim rests on"
    assert_not_blank(figure)


def assert_not_blank(figure):
    from matplotlib.image import imread

    pixels = imread(figure)[..., :3]
    assert pixels.shape[0] > 200
    assert pixels.shape[1] > 400
    assert np.mean(pixels < 0.9) > 0.005

"""Every example says what it claims, runs from beginning to end, and draws it."""

import ast
import re
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").rglob("plot_*.py"))
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


# In this process, as the gallery runs them: what they import is loaded once.
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_example_runs_and_draws_its_figure(path, capsys, monkeypatch, time_limit):
    name = path.stem.removeprefix("plot_")
    figure = path.parent / "out" / f"{FIGURES.get(name, name)}.png"
    figure.unlink(missing_ok=True)
    monkeypatch.syspath_prepend(path.parent)
    with plt.rc_context():
        runpy.run_path(str(path), run_name="__main__")
    plt.close("all")
    assert capsys.readouterr().out, "print the figures that the claim rests on"
    assert_not_blank(figure)


def assert_not_blank(figure):
    pixels = plt.imread(figure)[..., :3]
    assert pixels.shape[0] > 200
    assert pixels.shape[1] > 400
    assert np.mean(pixels < 0.9) > 0.005

"""Every example says what it claims, and needs no data of others.

The site runs them all (``make doc``), and ``doc/_gallery.py`` looks at what they print
and draw.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").rglob("plot_*.py"))
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

"""Files of earlier releases load, and answer as they did."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import skgmje

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*/*.safetensors"))
# Their networks compute in single precision, in an order that processors choose.
SINGLE = (
    *("conditional-auto", "conditional-network", "stack-process", "decoder"),
    *("gje", "gje-ema", "gje-pair", "gmje", "gmje-network"),
)


@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.InconsistentVersionWarning"  # parts are scikit-learn's
)
@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_answers_of_old_files(path):
    loaded = skgmje.load(path)
    with np.load(path.parent / "expected.npz") as expected:
        named = [name for name in expected if name.startswith(f"{path.stem}.")]
        assert named
        for name in named:
            found = getattr(loaded, name.removeprefix(f"{path.stem}."))(expected["X"])
            tol = 1e-5 if path.stem in SINGLE else 1e-12
            assert_allclose(found, expected[name], rtol=tol, atol=tol)


def test_there_are_golden_files_and_they_are_small():
    assert FILES
    for folder in HERE.glob("*/"):
        assert sum(path.stat().st_size for path in folder.iterdir()) < 400_000

"""Write golden files: ``PYTHONPATH=. python tests/golden/make.py 0.1``.

Once released, they are never written again: they must load for ever.
"""

import runpy
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
CASES = (
    *(f"gaussian-{kind}" for kind in ("full", "tied", "diag", "spherical", "low-rank")),
    *("gaussian-auto", "gaussian-background", "student", "classifier", "imputer"),
    *("kernel", "kernel-noise", "decoder", "gas", "gas-distances", "outliers"),
    *("conditional-auto", "conditional-network", "conditional-prototypes"),
    *("conditional-neural-gas", "conditional-memory-bank", "stack-process"),
    *("gje", "gje-ema", "gje-pair", "gmje", "gmje-network"),
    *("transformed", "transformed-power", "transformed-quantile", "transformed-bounds"),
    *(
        "transformed-columns",
        "transformed-pipeline",
        "copula",
        "residuals",
        "stack-given",
    ),
)
# Drawing depends on NumPy's generators, which may change.
METHODS = ("score_samples", "predict", "predict_proba", "transform")


def make(release):
    """Fit all cases; write files and what they answer."""
    shared = runpy.run_path(str(HERE.parent / "persistence" / "conftest.py"))
    folder = HERE / release
    folder.mkdir()
    expected = {"X": shared["X"][:20]}
    for case in CASES:
        fitted, _ = shared["fit"](case)
        fitted.save(folder / f"{case}.safetensors")
        found = shared["answers"](fitted)
        for method in METHODS:
            if method in found:
                expected[f"{case}.{method}"] = found[method]
    np.savez_compressed(folder / "expected.npz", **expected)


if __name__ == "__main__":
    make(*sys.argv[1:])

"""Which vector instructions the libraries use here, and how to have fewer."""

import os
import platform
import sys

import numpy as np

# What lets libraries use AVX2 alone, beside the features of NumPy.
AVX2 = {
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}


def _wide():
    """Return the features wider than AVX2 that NumPy has found, by its names."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return [name for name in found if "AVX512" in name or name == "X86_V4"]


def kind():
    """Return 'avx512', 'avx2', or the name of another architecture."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return platform.machine()
    return "avx512" if _wide() else "avx2"


def is_imitation():
    """Return whether a processor is asked to do as one with AVX2 does."""
    return os.environ.get("OPENBLAS_CORETYPE") == AVX2["OPENBLAS_CORETYPE"]


def run_with_avx2(module):
    """Begin the module anew in this process, with libraries that use AVX2 alone."""
    settings = {**AVX2, "NPY_DISABLE_CPU_FEATURES": " ".join(_wide())}
    arguments = [part for part in sys.argv[1:] if part != "--avx2"]
    command = [sys.executable, "-m", module, *arguments]
    os.execve(sys.executable, command, {**os.environ, **settings})

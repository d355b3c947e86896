"""Settings and fixtures of every test."""

import os

# Before scikit-learn, NumPy's BLAS or matplotlib are imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import faulthandler
import importlib
import sys

import hypothesis
import numpy as np
import pytest
import torch

torch.set_num_threads(1)

# What other processes run, or mypy reads.
collect_ignore = ["training/fake_device.py", "typed_script.py"]

# The same examples in every run; a slow machine is no failure.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.load_profile("house")


@pytest.fixture(params=["numpy", "torch"])
def xp(request):
    """An array library: `xp.asarray(X)` keeps the float64 of a NumPy array."""
    return importlib.import_module(request.param)


@pytest.fixture(autouse=True)
def seed_torch():
    """Let networks of users, whose first weights are torch's, be the same in a test."""
    torch.default_generator.manual_seed(0)


@pytest.fixture
def rng():
    """A NumPy generator, the same in every test."""
    return np.random.default_rng(0)


@pytest.fixture
def time_limit():
    """End this process where a test hangs that has none of its own."""
    faulthandler.dump_traceback_later(400, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()

"""Other devices than the CPU: checked without one, and fits on a GPU where one is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.utils import backend_registration

from skgmje import (
    ConditionalMixtureDensity,
    GJEEmbedder,
    GMJEEmbedder,
    KernelDecoder,
    KernelMixtureDensity,
)
from skgmje.conditional import MixtureNetwork

SCRIPT = Path(__file__).with_name("fake_device.py")
# Far samples are rare, and their responsibilities take twice as long.
KNOWN = ("responsibilities", "grad_log_prob", "condition")


@pytest.fixture(scope="module")
def found():
    """What each case raised, and the lines that waited, in a process of its own."""
    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch knows no device in name only")
    env = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])}
    answer = subprocess.run(
        [sys.executable, SCRIPT], capture_output=True, text=True, check=False, env=env
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_no_devices_are_mixed(found):
    assert {n: words for n, (words, _) in found.items() if words} == {
        "fault mixing": found["fault mixing"][0]
    }


def test_no_step_waits_for_the_device(found):
    steps = {name: waits for name, (_, waits) in found.items() if "step" in name}
    assert len(steps) > 20
    assert not any(steps.values()), steps


def test_little_else_waits(found):
    for name, (_, waits) in found.items():
        if not name.startswith(("fault", "step")):
            known = ["if bool(xp.any(lost)):"] * name.endswith(KNOWN)
            assert waits == known, name


def test_faults_of_a_step_are_found(found):
    for name in ("waiting", "fetching"):
        assert found[f"fault {name}"][1]
    assert "same device" in found["fault mixing"][0]


HOW = {"max_iter": 30, "device": "cuda", "random_state": 0}
TRAINED = [
    GJEEmbedder(3, **HOW),
    GJEEmbedder(3, loss="gje+sigreg", **HOW),
    GMJEEmbedder(3, loss="joint", **HOW),
    KernelDecoder(2, n_centers=3, **HOW),
    KernelMixtureDensity(5, **HOW),
    KernelMixtureDensity(5, cost="vector-matrix", bandwidth="multiscale", **HOW),
    KernelMixtureDensity(5, generator="noise", **HOW),
]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", TRAINED, ids=lambda e: type(e).__name__)
def test_fits_of_a_gpu_score_as_those_of_the_cpu(estimator):
    X = np.random.default_rng(0).normal(size=(400, 6))
    scores = [
        clone(estimator).set_params(device=device).fit(X).score(X)
        for device in ("cuda", "cpu")
    ]
    np.testing.assert_allclose(*scores, rtol=0.1, atol=0.2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.filterwarnings("ignore")
def test_networks_of_a_gpu_score_as_those_of_the_cpu():
    X = np.random.default_rng(0).normal(size=(400, 3))
    network = MixtureNetwork(n_members=1, max_iter=30)
    scores = [
        ConditionalMixtureDensity(network, device=device, random_state=0)
        .fit(X[:, :2], X[:, 2])
        .score(X[:, :2], X[:, 2])
        for device in ("cuda", "cpu")
    ]
    np.testing.assert_allclose(*scores, rtol=0.1, atol=0.2)

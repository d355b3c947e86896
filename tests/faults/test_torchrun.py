"""Two processes of torchrun learn what one learns, also when one is killed."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

SCRIPT = str(Path(__file__).with_name("torchrun_fits.py"))
LAUNCH = [
    *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"),
    *("--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--max-restarts=2"),
    *("--local-addr=127.0.0.1", SCRIPT),
]
# Of what is not of double precision, by what its name begins with.
TOLERANCES = {"single": 1e-4, "half": 3e-2}
# Of a run, in seconds.
LIMIT = 120


def run(command, *arguments):
    """Run a script within its limit, on the loopback interface."""
    environment = os.environ | {
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
        # Or restarted processes look for the addresses of those before them.
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }
    # A group of its own: what does not end in time is killed with its children.
    child = subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        said = child.communicate(timeout=LIMIT)[1]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    assert child.returncode == 0, said[-2000:]


def test_two_processes_learn_what_one_learns(tmp_path):
    run([sys.executable, SCRIPT], tmp_path / "one")
    run(LAUNCH, tmp_path / "two")
    one, first, second = (
        np.load(tmp_path / f"{name}.npz") for name in ("one-0", "two-0", "two-1")
    )
    assert len(one.files) > 12
    for name in one.files:
        tolerance = TOLERANCES.get(name.partition(":")[0], 1e-12)
        assert_array_equal(first[name], second[name], err_msg=name)
        scale = max(1.0, np.abs(one[name]).max())
        assert_allclose(first[name] / scale, one[name] / scale, atol=tolerance)


def test_a_killed_process_goes_on_to_the_same_bits(tmp_path, record):
    run(LAUNCH, tmp_path / "out", tmp_path)
    assert (tmp_path / "killed.note").exists()
    learned = np.load(tmp_path / "out-0.npz")
    # It did not begin from the beginning.
    assert learned["killed calls"] < learned["whole calls"]
    assert_array_equal(learned["killed means"], learned["whole means"])
    assert_array_equal(learned["killed loss"], learned["whole loss"])
    assert not list(tmp_path.rglob("*.checkpoint"))
    record("a process of torchrun killed in training", 1, 1, same_bits=True)

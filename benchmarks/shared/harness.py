"""Interleaved A/B timing on one thread, peak memory, and the machine's limits.

On a shared machine wall time measures the neighbours. So both sides run in one
process on one thread, in turns, and the figure is the median over the rounds of
the ratio of their CPU times: what slows one round slows both sides of it.
"""

import ctypes
import gc
import math
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

# A timed stretch lasts at least about so long, in seconds.
STRETCH = 0.05

# The first call counts as a round if it takes longer, in seconds.
LONG = 2.0


class Case(NamedTuple):
    """Two ways to the same answer, called with the same arguments.

    Parameters
    ----------
    peer, ours : callable
        What is compared.

    data : tuple
        Arguments of both.

    warm : callable or None
        Does the like on a few numbers, so that a first call imports nothing.

    flops, exps, bytes : float
        What the answer takes at least.

    dtype : str
        Precision of the arithmetic.

    difference : callable or None
        ``difference(peer's answer, ours)``, a number.
    """

    peer: Callable
    ours: Callable
    data: tuple = ()
    warm: Callable | None = None
    flops: float = 0.0
    exps: float = 0.0
    bytes: float = 0.0
    dtype: str = "float64"
    difference: Callable | None = None


class Timing(NamedTuple):
    """Median CPU seconds of both sides, the ratios of the rounds, the difference."""

    peer: float
    ours: float
    ratios: list
    difference: Any

    @property
    def ratio(self):
        """Median over the rounds of peer / ours."""
        return float(np.median(self.ratios))


@contextmanager
def one_thread():
    """Run numerical libraries on one thread, if they are loaded already."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def cpu_seconds(function, number=1):
    """Return the mean CPU seconds of `number` calls."""
    start = time.process_time()
    for _ in range(number):
        function()
    return (time.process_time() - start) / number


def _timed(function):
    start = time.process_time()
    return function(), max(time.process_time() - start, 1e-9)


def compare(case, rounds, budget):
    """Time both sides in turns.

    Parameters
    ----------
    case : Case
        What to compare.

    rounds : int
        How often; the side that goes first alternates.

    budget : float
        No round begins after so many seconds; but two rounds take place.

    Returns
    -------
    timing : Timing
        The figures.
    """
    sides = [lambda: case.peer(*case.data), lambda: case.ours(*case.data)]
    begin = time.perf_counter()
    answers, first = zip(*map(_timed, sides), strict=True)
    difference = case.difference(*answers) if case.difference else None
    del answers
    # A first call pays for imports and new pages; long ones hardly notice.
    times = [first] if min(first) > LONG else []
    numbers = [max(1, math.ceil(STRETCH / seconds)) for seconds in first]
    for turn in range(rounds - len(times)):
        if len(times) >= 2 and time.perf_counter() - begin > budget:
            break
        gc.collect()
        pair = [0.0, 0.0]
        for i in (0, 1) if turn % 2 else (1, 0):
            pair[i] = cpu_seconds(sides[i], numbers[i])
        times.append(pair)
    peer, ours = np.median(times, axis=0).tolist()
    return Timing(peer, ours, [a / b for a, b in times], difference)


def memory_growth(function, case):
    """Return by how much a call raises the peak, and the size of its answer, in MB.

    To be called in a fresh process: what was freed before a call may serve it.
    """
    if case.warm is not None:
        case.warm()
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    answer = function(*case.data)
    growth = _status("VmHWM") - before
    return growth, getattr(answer, "nbytes", 0) / 2**20


def _status(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no {field}")


def extra_memory(module, row, side):
    """Measure in a fresh process what one call needs beyond input and output.

    Parameters
    ----------
    module : str
        Name of one that prints `memory_growth` when called with ``--memory row side``.

    row, side : str
        Name of the row, and "peer" or "ours".

    Returns
    -------
    megabytes : float or None
        None where the kernel does not tell.
    """
    if not Path("/proc/self/clear_refs").exists():
        return None
    command = [sys.executable, "-m", module, "--memory", row, side]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    growth, output = map(float, done.stdout.split()[-2:])
    return max(0.0, growth - output)


def import_seconds(statement, repeats=5):
    """Return the median CPU seconds of an import in a fresh interpreter."""
    code = (
        "import time; t = time.process_time()\n"
        f"{statement}\n"
        "print(time.process_time() - t)"
    )
    seconds = []
    for _ in range(repeats):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds.append(float(done.stdout))
    return float(np.median(seconds))


def measure_limits():
    """Return what one thread reaches: GEMM flop/s, exp/s, bytes/s of a copy.

    Best of several tries, by NumPy or torch, whichever is faster here.
    """
    import torch

    rng = np.random.default_rng(0)
    limits = {}
    for name in ("float64", "float32"):
        A = rng.standard_normal((2048, 2048)).astype(name)
        B, x = A.T.copy(), rng.uniform(-5, 0, 4096).astype(name)
        out, cell = np.empty_like(A), np.empty_like(x)
        A_, B_, x_ = map(torch.from_numpy, (A, B, x))
        out_, cell_ = map(torch.from_numpy, (out, cell))
        gemm = _best(
            lambda: np.matmul(A, B, out=out),  # noqa: B023
            lambda: torch.matmul(A_, B_, out=out_),  # noqa: B023
        )
        exp = _best(
            lambda: np.exp(x, out=cell),  # noqa: B023
            lambda: torch.exp(x_, out=cell_),  # noqa: B023
            number=500,
        )
        limits[name] = {"flops": 2 * 2048**3 / gemm, "exps": x.size / exp}
    wide = np.ones(2**25)
    copy = _best(lambda: np.copyto(wide[: 2**24], wide[2**24 :]))
    return {**limits, "bytes": 2 * 8 * 2**24 / copy}


def _best(*functions, number=1):
    return min(cpu_seconds(f, number) for _ in range(4) for f in functions)


def roofline(case, limits):
    """Return the least CPU seconds that the machine's limits allow, or None."""
    if not case.flops:
        return None
    peak = limits[case.dtype]
    moved = max(case.flops / peak["flops"], case.bytes / limits["bytes"])
    return moved + case.exps / peak["exps"]

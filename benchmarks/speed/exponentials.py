"""Ways to the sum of exponentials, where NumPy's own is slow and where it is not.

Nanoseconds for each term of a block of log-densities as a score meets them, from the
exponents to the sums. "far" counts the terms more than 40 below their sample's
largest: in separated clusters most, in overlapping ones few. Torch would have to be
imported first (a second), and whether it is must not decide about bits; skipping pays
in separated clusters alone. What the library uses is marked.

Run ``python -m benchmarks.speed.exponentials [--avx2]`` (half a minute).
"""

import argparse

import numpy as np
import torch

from benchmarks.shared.harness import cpu_seconds, one_thread
from benchmarks.shared.processor import is_imitation, kind, run_with_avx2
from benchmarks.shared.report import markdown, publish
from skgmje.gaussian import _processor

# A block: components, samples.
SHAPE = 32, 2048
SPREADS = {"overlapping": 8.0, "separated": 60.0, "far apart": 300.0}


def _numpy(block, work):
    return np.exp(block, out=block).sum(axis=0)


def _torch(block, work):
    tensor = torch.from_numpy(block)
    torch.exp(tensor, out=tensor)
    return block.sum(axis=0)


def _skipping(block, work):
    """Take the exponentials that are not lost beside the largest of their sample."""
    top = block.max(axis=0)
    near = np.flatnonzero(block > top - 40.0)
    terms = np.exp(block.ravel()[near])
    return np.bincount(near % block.shape[1], terms, minlength=block.shape[1])


_elementary = _processor.Exponential()

WAYS = {
    "numpy.exp": _numpy,
    "table and elementary steps": lambda x, work: _elementary(x, work).sum(axis=0),
    "torch.exp": _torch,
    "skipping far terms": _skipping,
}


def measure(spread):
    """Return the share of far terms, and nanoseconds per term and error of each way."""
    rng = np.random.default_rng(0)
    # No smaller exponents reach the loops.
    block = np.maximum(-spread * rng.standard_gamma(2.0, SHAPE) / 2, -700.0)
    expected = np.exp(block).sum(axis=0)
    copy, work, cells = block.copy(), {}, {}
    for name, way in WAYS.items():

        def call(way=way):
            np.copyto(copy, block)
            return way(copy, work)

        error = np.abs(np.log(call() / expected)).max()
        idle = min(cpu_seconds(lambda: np.copyto(copy, block), 20) for _ in range(5))
        best = min(cpu_seconds(call, 20) for _ in range(15))
        cells[name] = 1e9 * (best - idle) / block.size, float(error)
    return float((block < block.max(axis=0) - 40.0).mean()), cells


def main():
    """Measure all ways on three kinds of clusters, and publish the table."""
    own = isinstance(_processor.exp_in_place, _processor.Exponential)
    chosen = [*WAYS][1 if own else 0]
    header = ["clusters", "far", *(f"**{n}**" if n == chosen else n for n in WAYS)]
    rows, results = [], {}
    for name, spread in SPREADS.items():
        far, cells = results[name] = measure(spread)
        figures = [f"{time:.2f} ({error:.0e})" for time, error in cells.values()]
        rows.append([name, f"{100 * far:.0f} %", *figures])
    table = markdown(header, rows)
    note = "Nanoseconds per term; in brackets the largest error of a log-density."
    if is_imitation():
        note += " A processor with wider instructions was told to use AVX2."
    print(table)
    publish(__file__, f"exponentials-{kind()}", results, f"{table}\n\n{note}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--avx2", action="store_true", help="use AVX2 alone")
    if parser.parse_args().avx2:
        run_with_avx2("benchmarks.speed.exponentials")
    with one_thread():
        main()

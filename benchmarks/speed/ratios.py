"""How much faster than its peers the library is, and how near to the limit.

Each row is one target: CPU time of the peer over ours on one thread, in turns
in one process, the median over the rounds. The roofline is the time that this
machine's limits allow, measured at the start: the larger of arithmetic at the
speed of a large matrix product and memory traffic at that of a copy, plus the
exponentials at their speed in cache.

Run ``python -m benchmarks.speed.ratios`` (under ten minutes), or name some rows. With
``--avx2`` a processor with wider instructions does as those do that most people have;
its caches stay as large as they are.
"""

import argparse
import os
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from benchmarks.shared.harness import (
    Timing,
    compare,
    extra_memory,
    measure_limits,
    memory_growth,
    one_thread,
    roofline,
)
from benchmarks.shared.processor import is_imitation, kind, run_with_avx2
from benchmarks.shared.report import markdown, publish
from benchmarks.speed import _cost_cases as costs
from benchmarks.speed import _density_cases as densities
from benchmarks.speed import _fit_cases as fits

# No round of a row begins after so many seconds; but two rounds take place.
BUDGET = 6.0


class Row(NamedTuple):
    """A target: what is compared, how far we want to be ahead, what is allowed."""

    what: str
    peer: str
    at_least: float | None
    aim: float | None
    make: Callable
    lower: bool = False
    seconds: bool = False
    memory: float | None = None
    accept: Callable[[dict], Any] = lambda figures: True
    bound: str = ""


def _exact(figures):
    return figures["largest difference"] < 1e-10


def _as_good(figures):
    return abs(figures["log-likelihood above the peer's"]) < 1e-3


def _better(figures):
    return figures["held-out log-likelihood"] > figures["the peer's"]


SCORE, FIT = "scikit-learn score_samples", "scikit-learn GaussianMixture.fit"
TORCH, BIC = "torch autograd", "scikit-learn, lowest BIC"
LAPACK = "LAPACK's eigenvalues or singular values"

# fmt: off
ROWS = {
    "score-full": Row(
        "score_samples, full (1e5, 16, 32)", SCORE, 9, 12,
        partial(densities.score, "full", 100_000, 16, 32), accept=_exact),
    "score-long": Row(
        "score_samples, full (1e6, 8, 16)", SCORE, 12, 20,
        partial(densities.score, "full", 1_000_000, 8, 16), memory=16, accept=_exact),
    "score-wide": Row(
        "score_samples, full (2e4, 128, 64)", SCORE, 2.8, 3.2,
        partial(densities.score, "full", 20_000, 128, 64), accept=_exact,
        bound="arithmetic: the peer's products at full speed are twice the least"),
    "score-singular": Row(
        "the same, (1e5, 16, 32), two components nearly singular", SCORE, 6, 9,
        partial(densities.score, "full", 100_000, 16, 32, n_singular=2),
        accept=_exact),
    "score-tied": Row(
        "score_samples, tied (1e5, 16, 32)", SCORE, 18, 25,
        partial(densities.score, "tied", 100_000, 16, 32), accept=_exact),
    "score-diag": Row(
        "score_samples, diag (1e6, 8, 16)", SCORE, 8, 13,
        partial(densities.score, "diag", 1_000_000, 8, 16), accept=_exact),
    "score-spherical": Row(
        "score_samples, spherical (1e5, 16, 32)", SCORE, 6, 9,
        partial(densities.score, "spherical", 100_000, 16, 32), accept=_exact),
    "score-many": Row(
        "score_samples, full (2000, 16, 4096)", SCORE, 11, 15,
        partial(densities.score, "full", 2000, 16, 4096), memory=32, accept=_exact),
    "em": Row(
        "one EM iteration, full (1e5, 16, 32)", "scikit-learn E and M step", 6, 9,
        partial(densities.em_iteration, 100_000, 16, 32), accept=_exact),
    "fit": Row(
        "whole fit from one start, full (1e5, 16, 32)", FIT, 5, 8,
        partial(densities.whole_fit, 100_000, 16, 32), accept=_as_good),
    "fit-kmeans": Row(
        "whole fit with its k-means, full (1e5, 16, 32)", FIT, None, None,
        partial(densities.whole_fit, 100_000, 16, 32, given=False)),
    "kernel-8": Row(
        "log-sum-exp of a 3000 x 8000 Gram matrix, d=8",
        "scikit-learn KernelDensity(rtol=0)", 16, 25,
        partial(densities.kernel_sum, 3000, 8000, 8, 0.5)),
    "kernel-32": Row(
        "log-sum-exp of a 3000 x 8000 Gram matrix, d=32",
        "scikit-learn KernelDensity(rtol=0)", 18, 25,
        partial(densities.kernel_sum, 3000, 8000, 32, 1.5)),
    "scalar": Row(
        "scalar cost and gradient, (4096, 512, 16)", TORCH, 2.5, 4,
        partial(costs.scalar, 4096, 512, 16), memory=64),
    "scalar-step": Row(
        "the same in a training step (data's norm known)", TORCH, None, None,
        partial(costs.scalar, 4096, 512, 16, known=True), memory=64),
    "scalar-single": Row(
        "scalar cost and gradient in single precision", TORCH, None, None,
        partial(costs.scalar, 4096, 512, 16, precision="float32"), memory=64),
    "schur": Row(
        "matrix-matrix cost (Schur trace), (1024, 1024, 16)", "torch.linalg.inv",
        2.5, 3.2,
        partial(costs.schur_trace, 1024, 1024, 16),
        bound="arithmetic: 4 against 4/3 n^3"),
    "schur-tall": Row(
        "matrix-matrix cost (Schur trace), (4096, 512, 16)", "torch.linalg.inv",
        None, None,
        partial(costs.schur_trace, 4096, 512, 16),
        bound="arithmetic: both are one 4096 x 512 x 512 product or solve"),
    "svd": Row(
        "SVD cost and gradient, (4096, 512, 16)", "torch matrix_norm('nuc')", 1.5, 2,
        partial(costs.nuclear, 4096, 512, 16), bound=LAPACK),
    "svd-square": Row(
        "SVD cost and gradient, (512, 512, 16)", "torch matrix_norm('nuc')", None, None,
        partial(costs.nuclear, 512, 512, 16), bound=LAPACK),
    "condition": Row(
        "conditional mean, (2000, 32 + 8), K=32", "gmr", 6, 10,
        partial(densities.conditional_mean, 2000, 32, 8, 32)),
    "train": Row(
        "training iteration through skorch, batch 128", "bare torch loop", 1.08, 1.02,
        partial(costs.training, 1000, 128), lower=True),
    "import": Row(
        "import skgmje, seconds", "sklearn.mixture", 0.3, 0.15,
        partial(densities.importing, "import skgmje", "import sklearn.mixture"),
        lower=True, seconds=True),
    "import-use": Row(
        "from skgmje import GaussianMixture, seconds", "sklearn.mixture", None, None,
        partial(densities.importing, "from skgmje import GaussianMixture",
                "from sklearn.mixture import GaussianMixture"),
        lower=True, seconds=True),
    "one-row": Row(
        "score_samples of one row, (d, K) = (8, 16)", SCORE, 0.4, 0.25,
        partial(densities.one_row, 8, 16), lower=True, accept=_exact),
    "one-condition": Row(
        "condition on 6 of 8 features of one row, K=2", "gmr", 1, 1.6,
        partial(densities.one_condition, 8, 6, 2)),
    "gas": Row(
        "neural gas to a mixture, (20 000, 16), 100 nodes", "minigng, 30 000 signals",
        8, 20, partial(densities.gas, 20_000, 16, 100)),
    "auto-full": Row(
        "n_components='auto', full, (5000, 8)", BIC, 1.5, None,
        partial(densities.selection, "full"), lower=True, accept=_better),
    "auto-diag": Row(
        "n_components='auto', diag, (5000, 8)", BIC, 1.5, None,
        partial(densities.selection, "diag"), lower=True, accept=_better),
    "auto-sensors": Row(
        "n_components='auto', full, sensors (5000, 8)", BIC, 1.5, None,
        partial(densities.selection, "full", densities.turbine_rows),
        lower=True, accept=_better),
}
# fmt: on
ROWS |= {name: Row(**row) for name, row in fits.ROWS.items()}

# Rows that the README shows, by short names.
HEADLINES = {
    "score-full": "scoring, full",
    "score-tied": "tied",
    "score-diag": "diag",
    "kernel-8": "kernel sums",
    "em": "EM step",
    "fit": "whole fit",
    "condition": "conditional mean",
    "one-row": "one sample",
    "gas": "neural gas",
}


def measure(name, limits, rounds):
    """Return the figures of one row; the reason alone if its peer is missing."""
    row = ROWS[name]
    figures = {key: getattr(row, key) for key in ("what", "peer", "at_least", "aim")}
    try:
        case = row.make()
    except ImportError as error:
        return {**figures, "skipped": str(error)}
    timing = case
    if not isinstance(case, Timing):
        timing = compare(case, rounds, BUDGET)
        least = roofline(case, limits)
        figures["roofline"] = None if least is None else least / timing.ours
    ratios = [1 / r if row.lower else r for r in timing.ratios]
    value = timing.ours if row.seconds else float(np.median(ratios))
    figures |= {
        "peer_seconds": timing.peer,
        "our_seconds": timing.ours,
        "ratio": value,
        "rounds": ratios,
        "differences": timing.difference or {},
        "bound": row.bound,
    }
    if row.memory is not None:
        figures["memory_limit"] = row.memory
        figures["memory"] = extra_memory(__spec__.name, name, "ours")
        figures["peer_memory"] = extra_memory(__spec__.name, name, "peer")
    return {**figures, "verdict": _verdict(row, figures)}


def _verdict(row, figures):
    if row.at_least is None:
        return ""
    sign = -1 if row.lower else 1
    memory = figures.get("memory")
    allowed = memory is None or memory <= row.memory
    if not (allowed and row.accept(figures["differences"])):
        return "miss"
    if sign * figures["ratio"] < sign * row.at_least:
        return "miss"
    reached = row.aim is not None and sign * figures["ratio"] >= sign * row.aim
    return "aim" if reached else "pass"


def table(results):
    """Return the Markdown table of all rows."""
    header = (
        "what", "peer", "peer ms", "ours ms", "ratio", "at least", "aim", "roofline",
        "verdict", "remarks",
    )  # fmt: skip
    return markdown(header, [_cells(name, r) for name, r in results.items()])


def _cells(name, result):
    row = ROWS[name]
    targets = ["" if x is None else f"{x:g}" for x in (row.at_least, row.aim)]
    if "skipped" in result:
        gap = [""] * 3
        remark = f"skipped: {result['skipped']}"
        return [row.what, row.peer, *gap, *targets, "", "skipped", remark]
    unit = "{:.2f} s" if row.seconds else "{:.2f}"
    below = row.lower and row.at_least is not None
    fraction = result.get("roofline")
    return [
        row.what,
        row.peer,
        f"{1e3 * result['peer_seconds']:.3g}",
        f"{1e3 * result['our_seconds']:.3g}",
        unit.format(result["ratio"]) + (" (lower is better)" if row.lower else ""),
        *(f"≤ {x}" if below and x else x for x in targets),
        "" if fraction is None else f"{100 * fraction:.0f} %",
        result["verdict"],
        "; ".join(_remarks(result)),
    ]


def excerpt(results):
    """Return what the README shows: how many times as fast as their peers some are."""
    cells = []
    for name in HEADLINES:
        ratio = results[name].get("ratio")
        ratio = 1 / ratio if ratio and ROWS[name].lower else ratio
        cells.append(f"{ratio:.1f}" if ratio else "")
    header = ["peer's time over ours", *HEADLINES.values()]
    return markdown(header, [["AVX2, one thread", *cells]])


def _remarks(result):
    for key, value in result["differences"].items():
        digits = 2 if key.endswith("difference") else 4
        number = f"{value:.{digits}g}" if isinstance(value, float) else value
        yield f"{key} {number}"
    if result.get("memory") is not None:
        ours, peer = result["memory"], result["peer_memory"]
        yield f"extra memory {ours:.0f} MB (peer {peer:.0f})"
    if result["bound"]:
        yield f"bound by {result['bound']}"


def _print_memory(name, side):
    row = ROWS[name]
    case = row.make()
    print(*memory_growth(getattr(case, side), case))


def main(names, rounds):
    """Measure rows and print the table; publish it if all were measured."""
    payload = {"load_before": os.getloadavg()}
    limits = measure_limits()
    speeds = ", ".join(
        f"{kind} {x['flops'] / 1e9:.0f} GFLOP/s and {x['exps'] / 1e9:.2f} Gexp/s"
        for kind, x in limits.items()
        if kind != "bytes"
    )
    note = f"One thread: {speeds}, copy {limits['bytes'] / 1e9:.0f} GB/s."
    if is_imitation():
        note += " A processor with wider instructions was told to use AVX2."
    print(note, flush=True)
    results = {}
    for name in names:
        results[name] = measure(name, limits, rounds)
        print(" | ".join([name, *_cells(name, results[name])[2:]]), flush=True)
    text = f"{table(results)}\n\n{note}"
    print(f"\n{text}")
    if tuple(names) == tuple(ROWS):
        payload |= {"limits": limits, "load_after": os.getloadavg(), "rows": results}
        publish(__file__, f"ratios-{kind()}", payload, text, excerpt=excerpt(results))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="row", help=f"of {list(ROWS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--avx2", action="store_true", help="use AVX2 alone")
    parser.add_argument("--memory", nargs=2, metavar=("row", "side"))
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(ROWS)
    if unknown:
        parser.error(f"no rows {sorted(unknown)}; there are {list(ROWS)}")
    if arguments.avx2:
        run_with_avx2(__spec__.name)
    warnings.simplefilter("ignore", UserWarning)
    with one_thread():
        if arguments.memory:
            _print_memory(*arguments.memory)
        else:
            main(arguments.names or list(ROWS), arguments.rounds)

"""What the parts share: budgets, and tables of seeds."""

import time
import warnings

import numpy as np
from scipy.spatial.distance import cdist

from benchmarks.shared.report import markdown, publish

SEEDS = (0, 1, 2)
# Of embedders, by the names of the tables.
LOSSES = {"GJE": "gje", "SimCLR": "infonce", "VICReg": "vicreg", "Barlow": "barlow"}


def quiet(function, *args):
    """Call `function` without warnings: tables have their own words for them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args)


# Of short fits; those of fewer steps may do other things.
FEW_STEPS, MORE_STEPS = 30, 60


def steps_within(fit, seconds, rounds=1):
    """Return how many gradient steps ``fit(n_steps)`` makes in `seconds` on the CPU.

    Two short fits tell what a step costs, and what the rest of a fit does; the
    median over rounds, because on a busy machine the same costs more at times.
    """
    quiet(fit, 1)  # the first one pays for what the library loads
    found = []
    for _ in range(rounds):
        few, more = (seconds_of(fit, n_steps) for n_steps in (FEW_STEPS, MORE_STEPS))
        step = max((more - few) / (MORE_STEPS - FEW_STEPS), 1e-4)
        found.append((seconds - few) / step + FEW_STEPS)
    return max(1, round(np.median(found)))


def seconds_of(function, *args):
    """Call `function`; return the CPU seconds that it took."""
    start = time.process_time()
    quiet(function, *args)
    return time.process_time() - start


def energy_distance(first, second):
    """Return the unbiased estimate of the squared energy distance of two samples."""
    n, m = len(first), len(second)
    within = cdist(first, first).sum() / (n * (n - 1))
    within += cdist(second, second).sum() / (m * (m - 1))
    return float(2 * cdist(first, second).mean() - within)


def figure(values, digits=3):
    """Return mean and standard deviation of the seeds, in words."""
    values = np.asarray(values, float)
    if np.isnan(values).any():
        return ""
    spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}"


def cells(runs, columns):
    """Return figures of the runs, in words; `columns` are names and their digits."""
    return [
        figure([run.get(name, np.nan) for run in runs], digits)
        for name, digits in columns.items()
    ]


def hand_over(name, results, header, rows, *, keep):
    """Print a table, and publish it if it is that of all seeds and seconds."""
    table = markdown(header, rows)
    print(table, flush=True)
    if keep:
        publish(__file__, name, {"results": results}, table)

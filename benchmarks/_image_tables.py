"""What the parts of `benchmarks/images.py` share: budgets, and tables of seeds."""

import time
import warnings

import numpy as np
from _report import markdown, publish

SEEDS = (0, 1, 2)


def quiet(function, *args):
    """Call `function` without warnings: tables have their own words for them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args)


def steps_within(fit, seconds, few=10, more=40):
    """Return how many gradient steps ``fit(n_steps)`` makes in `seconds` on the CPU.

    Two short fits tell what a step costs, and what the rest of a fit does.
    """
    quiet(fit, 1)  # the first one pays for what the library loads
    times = []
    for n_steps in (few, more):
        start = time.process_time()
        quiet(fit, n_steps)
        times.append(time.process_time() - start)
    step = max((times[1] - times[0]) / (more - few), 1e-4)
    return max(1, round((seconds - times[0]) / step) + few)


def figure(values):
    """Return mean and standard deviation of the seeds, in words."""
    values = np.asarray(values, float)
    if np.isnan(values).any():
        return ""
    spread = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"


def hand_over(name, results, header, rows, *, keep):
    """Print a table, and publish it if it is that of all seeds and seconds."""
    table = markdown(header, rows)
    print(table, flush=True)
    if keep:
        publish(name, {"results": results}, table)

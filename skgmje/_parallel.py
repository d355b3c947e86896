"""Independent tasks in several processes or threads, with a seed each."""

import sys
from functools import cache
from importlib import import_module
from typing import NamedTuple

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import ThreadpoolController

from skgmje._interrupt import Interrupted
from skgmje._training._schedule import Progress


class Runner:
    """Run tasks and say how far they are."""

    def __init__(self, n_jobs, verbose, name, limits=1):
        self._n_jobs, self._verbose, self._name = n_jobs, verbose, name
        # Threads of each task; None leaves them as they are.
        self._limits = limits

    def __call__(self, function, tasks, word="tasks", costs=None):
        """Return ``function(*task)`` of each task; None where Ctrl-C came before."""
        if not tasks:
            return []
        report = None
        if self._verbose:
            report = Progress(
                f"{self._name}: {word}", len(tasks), self._verbose, "task"
            )
        # One task needs no other process; of several the longest begin first.
        n_jobs = effective_n_jobs(self._n_jobs)
        n_jobs = n_jobs if len(tasks) > 1 else 1
        order = range(len(tasks))
        if costs is not None and n_jobs > 1:
            order = sorted(order, key=lambda i: -costs[i])
        # Steps on small arrays hold the interpreter's lock: threads gain little. In a
        # worker there are threads all the same, and joblib's settings have their say.
        as_done = "generator_unordered"
        parallel = Parallel(n_jobs, prefer="processes", return_as=as_done)
        with_torch = "torch" in sys.modules
        how = self._limits, with_torch
        calls = (delayed(_on_threads)(i, function, tasks[i], *how) for i in order)
        results, n_done = [None] * len(tasks), 0
        try:
            with _libraries(with_torch).limit(limits=self._limits):
                for i, result in parallel(calls):
                    results[i], n_done = result, n_done + 1
                    if report is not None:
                        report([n_done])
        except KeyboardInterrupt as stop:
            if not n_done:
                if not isinstance(stop, Interrupted):
                    raise
                i, results[i] = stop.result
            when = f"with {n_done} of {len(tasks)} tasks of {word} done"
            raise Interrupted(when, results) from stop
        return results


def _on_threads(i, function, task, limits, with_torch):
    """Call a function in a worker process, on so many threads; return its number."""
    if with_torch:
        # Its libraries are not limited before they are there.
        import_module("torch")
    # In a worker process the limit of the caller is not known.
    with _libraries(with_torch).limit(limits=limits):
        try:
            return i, function(*task)
        except Interrupted as stop:
            raise Interrupted(*stop.args, (i, stop.result)) from stop


@cache
def _libraries(with_torch):
    """Return the linear algebra and OpenMP libraries of this process, with torch's."""
    return ThreadpoolController()


def task_seed(base, *place):
    """Return a seed for one place of many, whatever runs before it."""
    return int(np.random.SeedSequence([base, *place]).generate_state(1)[0])


class Failure(NamedTuple):
    """Why a task has no result."""

    reason: str


def attempt(function, *args, **kwargs):
    """Return what a function returns, or the `Failure` of whatever it raises."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}")

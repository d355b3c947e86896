"""Independent tasks in several processes or threads, with a seed each."""

import sys
from functools import cache
from importlib import import_module
from typing import NamedTuple

import numpy as np
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

    def __call__(self, function, tasks, word="tasks"):
        """Return ``function(*task)`` of each task, in their order."""
        if not tasks:
            return []
        report = None
        if self._verbose:
            report = Progress(
                f"{self._name}: {word}", len(tasks), self._verbose, "task"
            )
        # Steps on small arrays hold the interpreter's lock: threads gain little. In a
        # worker there are threads all the same, and joblib's settings have their say.
        parallel = Parallel(self._n_jobs, prefer="processes", return_as="generator")
        with_torch = "torch" in sys.modules
        how = self._limits, with_torch
        calls = (delayed(_on_threads)(function, task, *how) for task in tasks)
        results = []
        try:
            with _libraries(with_torch).limit(limits=self._limits):
                for result in parallel(calls):
                    results.append(result)
                    if report is not None:
                        report([len(results)])
        except KeyboardInterrupt as stop:
            n_done = len(results)
            if not results:
                if not isinstance(stop, Interrupted):
                    raise
                results = [stop.result]
            when = f"with {n_done} of {len(tasks)} tasks of {word} done"
            raise Interrupted(when, results) from stop
        return results


def _on_threads(function, task, limits, with_torch):
    """Call a function in a worker process, on so many threads."""
    if with_torch:
        # Its libraries are not limited before they are there.
        import_module("torch")
    # In a worker process the limit of the caller is not known.
    with _libraries(with_torch).limit(limits=limits):
        return function(*task)


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

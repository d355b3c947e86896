"""Independent tasks on several threads or processes, with a seed each."""

from functools import cache
from typing import NamedTuple

import numpy as np
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import ThreadpoolController

from skgmje._interrupt import Interrupted
from skgmje._training._schedule import Progress


class Runner:
    """Run tasks and say how far they are."""

    def __init__(self, n_jobs, verbose, name, prefer="threads"):
        self._n_jobs, self._verbose, self._name = n_jobs, verbose, name
        self._prefer = prefer

    def __call__(self, function, tasks, word="tasks"):
        """Return ``function(*task)`` of each task, in their order."""
        if not tasks:
            return []
        report = None
        if self._verbose:
            report = Progress(
                f"{self._name}: {word}", len(tasks), self._verbose, "task"
            )
        parallel = Parallel(self._n_jobs, prefer=self._prefer, return_as="generator")
        calls = (delayed(_on_one_thread)(function, task) for task in tasks)
        results = []
        try:
            with _libraries().limit(limits=1):
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


def _on_one_thread(function, task):
    """Call a function in a worker process, on one thread."""
    # In a worker process the limit of the caller is not known.
    with _libraries().limit(limits=1):
        return function(*task)


@cache
def _libraries():
    """Return the linear algebra and OpenMP libraries of this process."""
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

"""scikit-learn's parallel work as single Dask tasks, which outlive their workers."""

import warnings

import numpy as np
from joblib import parallel_config
from joblib.parallel import ParallelBackendBase

# Arrays of more bytes are kept by the scheduler once, instead of in each task.
_LARGE = 2**16


def dask_tasks(client=None):
    """Run what scikit-learn does in parallel as Dask tasks, one for each call.

    In this context :class:`~sklearn.model_selection.GridSearchCV` and everything
    else that takes `n_jobs` sends each fit to the cluster. When a worker dies,
    its tasks begin again on another: the search ends with the results it has
    without Dask. joblib's own backends (loky, dask, ray) lose the search, because
    the data or the futures were with the dead worker only; here the scheduler
    holds both, so the data must fit into its memory.

    Parameters
    ----------
    client : distributed.Client, default=None
        The cluster; None is the current client.

    Returns
    -------
    context : context manager
        That of joblib, with ``n_jobs=-1`` where nothing else is said.

    Raises
    ------
    ImportError
        If Dask's distributed is not installed.

    ValueError
        If there is no client.

    References
    ----------
    .. [1] M. Rocklin, "Dask: Parallel Computation with Blocked algorithms and Task
       Scheduling", 2015.

    Examples
    --------
    >>> from dask.distributed import Client
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skgmje import GaussianMixture
    >>> from skgmje.model_selection import dask_tasks
    >>> search = GridSearchCV(GaussianMixture(random_state=0), {"n_components": [1, 2]})
    >>> client = Client(processes=False, dashboard_address="127.0.0.1:0")
    >>> with client, dask_tasks(client):
    ...     best = search.fit(load_iris().data).best_params_
    >>> best
    {'n_components': 2}
    """
    try:
        from distributed import get_client
    except ImportError as error:
        raise ImportError(
            'dask_tasks needs Dask. Run pip install "skgmje[dask]".'
        ) from error
    if client is None:
        try:
            client = get_client()
        except ValueError as error:
            raise ValueError(
                "dask_tasks found no client. Make one with distributed.Client(), or "
                "pass it as client."
            ) from error
    return parallel_config(backend=_TaskBackend(client), n_jobs=-1)


class _TaskBackend(ParallelBackendBase):
    """joblib's way to a cluster: one task for each call.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    """

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self, client, **kwargs):
        super().__init__(**kwargs)
        self.client = client
        self._futures = set()
        self._placed = {}

    def effective_n_jobs(self, n_jobs):
        # With one job joblib would work here, and the cluster would wait.
        return max(2, sum(self.client.nthreads().values()))

    def submit(self, func, callback=None):
        calls = [
            (function, [*map(self._place, args)], self._place_all(kwargs))
            for function, args, kwargs in func.items
        ]
        future = self._send(_run, calls)
        self._futures.add(future)
        future.add_done_callback(callback)
        return future

    # Its name before joblib 1.5.
    apply_async = submit

    def retrieve_result_callback(self, future):
        self._futures.discard(future)
        return future.result()

    def stop_call(self):
        self._placed.clear()

    def abort_everything(self, ensure_ready=True):  # noqa: FBT002
        self.client.cancel(list(self._futures))
        self._futures.clear()

    def _place_all(self, named):
        return {name: self._place(value) for name, value in named.items()}

    def _place(self, value):
        """Return a promise of a large array in its place, always the same one."""
        if not (isinstance(value, np.ndarray) and value.nbytes > _LARGE):
            return value
        # Beside the promise the array itself, or its number might be given anew.
        if id(value) not in self._placed:
            self._placed[id(value)] = self._send(_unpack, [_Box(value)]), value
        return self._placed[id(value)][0]

    def _send(self, function, argument):
        with warnings.catch_warnings():
            # That the scheduler holds the data is what makes them safe.
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            return self.client.submit(function, argument, pure=False)


class _Box:
    """A value in a task, which Dask does not look into."""

    def __init__(self, value):
        self.value = value


def _unpack(boxes):
    return boxes[0].value


def _run(calls):
    return [function(*args, **kwargs) for function, args, kwargs in calls]

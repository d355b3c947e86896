"""Our own threads over fixed chunks: the same bits for any number of them."""

import threading
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import ThreadpoolController

# Multiplications below which starting threads costs more than it saves.
WORTHWHILE = 2e8

_one_caller = threading.Lock()
_libraries = []


def map_chunks(function, chunks, work):
    """Apply `function` to each chunk, in threads where the work is large.

    There are as many threads as the linear algebra library would use, so
    ``OMP_NUM_THREADS``, `threadpoolctl` and joblib's worker processes are
    heeded; while they run, the library itself is held at one. If another
    thread of this process is in here already, the chunks are taken in turn.

    Parameters
    ----------
    function : callable
        Takes a chunk; calls may overlap.

    chunks : list
        What to apply it to.

    work : float
        Number of multiplications in all.

    Returns
    -------
    results : list
        In the order of `chunks`.
    """
    if len(chunks) < 2 or work < WORTHWHILE or not _one_caller.acquire(blocking=False):
        return [function(chunk) for chunk in chunks]
    try:
        libraries = _controller()
        n_threads = min(len(chunks), _blas_threads(libraries))
        if n_threads < 2:
            return [function(chunk) for chunk in chunks]
        with (
            libraries.limit(limits=1, user_api="blas"),
            ThreadPoolExecutor(n_threads) as pool,
        ):
            return list(pool.map(function, chunks))
    finally:
        _one_caller.release()


def _controller():
    if not _libraries:
        _libraries.append(ThreadpoolController())
    return _libraries[0]


def _blas_threads(libraries):
    counts = [
        library["num_threads"]
        for library in libraries.info()
        if library["user_api"] == "blas"
    ]
    return max(counts, default=1)

"""Blocks of samples on several threads."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

# Multiplications from which threads of our own pay, and from which those of the
# linear algebra library would start, and wait for each other more than they work.
WORTHWHILE = 5e7


NOTICEABLE = 1e5


_one_caller = threading.Lock()


def _start_anew():
    """Forget the threads of the parent process: in a fork they do not exist."""
    global _one_caller
    _one_caller = threading.Lock()
    _library.start_anew()


def map_chunks(function, chunks, work):
    """Apply `function` to each chunk, in threads where the work is large."""
    if work < NOTICEABLE:
        return [function(chunk) for chunk in chunks]
    with _library.held_at_one() as n_threads:
        n_threads = min(len(chunks), n_threads)
        alone = n_threads > 1 and work >= WORTHWHILE
        if not alone or not _one_caller.acquire(blocking=False):
            return [function(chunk) for chunk in chunks]
        try:
            with ThreadPoolExecutor(n_threads) as pool:
                return list(pool.map(function, chunks))
        finally:
            _one_caller.release()


class _Library:
    """The linear algebra libraries of this process, held at one thread together."""

    def __init__(self):
        self._lock = threading.Lock()
        self._libraries = None
        self._users = 0
        self._counts = []

    @contextmanager
    def held_at_one(self):
        """Hold the libraries at one thread; give the number they had."""
        with self._lock:
            if self._libraries is None:
                found = ThreadpoolController().lib_controllers
                self._libraries = [lib for lib in found if lib.user_api == "blas"]
            if self._users == 0:
                self._counts = [lib.get_num_threads() for lib in self._libraries]
                self._set([1] * len(self._counts))
            self._users += 1
        try:
            yield max(self._counts, default=1)
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._set(self._counts)

    def start_anew(self):
        """Release what a thread of the parent process may have held."""
        self._lock = threading.Lock()
        if self._users:
            self._users = 0
            self._set(self._counts)

    def _set(self, counts):
        for library, count in zip(self._libraries, counts, strict=True):
            if library.get_num_threads() != count:
                library.set_num_threads(count)


_library = _Library()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)

"""Our own threads: in order, one caller at a time, and the library restored."""

import multiprocessing
import os
import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from threadpoolctl import ThreadpoolController, threadpool_limits

from skgmje.em._em import make_kernel
from skgmje.gaussian import Mixture, _passes
from skgmje.gaussian._passes import WORTHWHILE, block_stats, map_chunks


def blas_threads():
    libraries = ThreadpoolController().info()
    return {lib["num_threads"] for lib in libraries if lib["user_api"] == "blas"}


@pytest.fixture(params=[1, 2, 3])
def n_threads(request):
    with threadpool_limits(request.param, user_api="blas"):
        yield request.param


def test_results_come_in_order(n_threads):
    assert map_chunks(lambda i: i * i, list(range(50)), 1e12) == [
        i * i for i in range(50)
    ]


def test_library_is_held_at_one_and_restored(n_threads):
    before = blas_threads()
    inside = map_chunks(lambda i: blas_threads(), [0, 1, 2], 1e12)
    assert all(counts == {1} for counts in inside)
    assert blas_threads() == before


def test_library_is_restored_after_an_error():
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(ZeroDivisionError):
            map_chunks(lambda i: 1 / i, [1, 0], 1e12)
        assert blas_threads() == {2}


def test_as_many_threads_as_the_library_had():
    names = set()
    barrier = threading.Barrier(2, timeout=20)

    def note(chunk):
        names.add(threading.current_thread().name)
        barrier.wait()

    with threadpool_limits(2, user_api="blas"):
        map_chunks(note, [0, 1], WORTHWHILE)
    assert len(names) == 2


def test_nested_calls_take_turns():
    def outer(i):
        return sum(map_chunks(lambda j: i + j, [0, 1, 2], 1e12))

    with threadpool_limits(2, user_api="blas"):
        assert map_chunks(outer, [0, 10], 1e12) == [3, 33]


def test_statistics_have_the_same_bits_for_any_number_of_threads(rng):
    X = rng.normal(size=(60_000, 8))
    means = rng.normal(size=(16, 8))
    mixture = Mixture(np.full(16, 1 / 16), means, np.ones((16, 8)), "diag")
    kernel = make_kernel(mixture, X.mean(axis=0))
    answers = []
    for count in (1, 2, 3):
        with threadpool_limits(count, user_api="blas"):
            answers.append(block_stats(kernel, X))
    for other in answers[1:]:
        assert_array_equal(other.means, answers[0].means)
        assert_array_equal(other.scatter[0], answers[0].scatter[0])
        assert other.log_likelihood == answers[0].log_likelihood


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_does_not_wait_for_threads_it_does_not_have():
    def child():
        map_chunks(lambda chunk: chunk, [slice(0, 1), slice(1, 2)], 1e9)

    with _passes._library._lock, _passes._one_caller:
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
    process.join(30)
    hung = process.is_alive()
    process.kill()
    assert not hung
    assert process.exitcode == 0

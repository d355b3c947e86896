"""Prediction from threads, forks, spawned processes and loky: same bits, no hang."""

import os

# A script, because spawned processes import it.
SCRIPT = """
import multiprocessing
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

warnings.simplefilter("ignore")
from skgmje import *
from skgmje.conditional import MixtureNetwork

X = np.random.RandomState(0).normal(size=(5000, 6))
Y = X[:, :2] + 1.0
SMALL = dict(max_iter=5, random_state=0)


def models():
    some = X[:500]
    return {
        "mixture": (GaussianMixture(8, random_state=0).fit(some), "score_samples"),
        "generator": (
            KernelMixtureDensity(4, generator="noise", **SMALL).fit(some),
            "score_samples",
        ),
        "conditional": (
            ConditionalMixtureDensity(
                MixtureNetwork(n_members=2, max_iter=5), random_state=0
            ).fit(some, Y[:500]),
            "predict",
        ),
        "embedder": (GJEEmbedder(4, **SMALL).fit(some), "transform"),
    }


def ask(model, method):
    return getattr(model, method)(X).tobytes()


def ask_into(queue, fitted):
    queue.put([ask(*args) for args in fitted])


def by_process(kind, fitted):
    context = multiprocessing.get_context(kind)
    queue = context.Queue()
    process = context.Process(target=ask_into, args=(queue, fitted))
    process.start()
    try:
        return [queue.get(timeout=90)]
    finally:
        process.kill()


def by_threads(fitted):
    with ThreadPoolExecutor(8) as pool:
        columns = [pool.map(ask, [model] * 16, [way] * 16) for model, way in fitted]
        return list(zip(*columns))


def by_loky(fitted):
    from joblib import Parallel, delayed

    jobs = [delayed(ask)(*args) for args in fitted]
    answers = Parallel(2)(jobs * 2)
    return [answers[: len(jobs)], answers[len(jobs) :]]


WAYS = {
    "8 threads": by_threads,
    "fork": lambda fitted: by_process("fork", fitted),
    "spawn": lambda fitted: by_process("spawn", fitted),
    "loky": by_loky,
}

if __name__ == "__main__":
    fitted = list(models().values())
    expected = [ask(*args) for args in fitted]
    # Start torch's and the linear algebra's threads in this process.
    torch.set_num_threads(2)
    torch.randn(700, 700) @ torch.randn(700, 700)
    np.ones((700, 700)) @ np.ones((700, 700))
    assert torch.get_num_threads() == 2
    for way in sys.argv[1:]:
        if way == "8 threads":
            torch.set_num_threads(1)
        for answers in WAYS[way](fitted):
            print(way, len(answers), sum(map(bytes.__eq__, answers, expected)), sep=",")
"""


def test_same_bits_without_a_hang(tmp_path, run_child, record):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    ways = [*["fork"] * hasattr(os, "fork"), "spawn", "loky", "8 threads"]
    child = run_child(
        "os.execv(sys.executable, [sys.executable, '-W', 'ignore', *sys.argv[1:]])",
        script,
        *ways,
        limit=300,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    lines = [line.split(",") for line in child.stdout.splitlines()]
    for way in ways:
        counts = [tuple(map(int, line[1:])) for line in lines if line[0] == way]
        tried, same = map(sum, zip(*counts, strict=True))
        assert tried >= 4
        record(f"prediction by {way}", tried, same, tried == same)
        assert tried == same, way

"""More rows than memory, and more than one worker: what Dask costs and saves.

Run ``python -m benchmarks.speed.scale`` for all parts (a quarter of an hour on two
cores), or name some: ``speed``, ``parquet``. The second writes 2.8 GB into a
temporary folder (``TMPDIR``), and deletes them. The workers are processes of this
machine with one thread each; nothing listens beyond the loopback interface. Each
part goes to ``results/scale-<part>.*``.

Wall times of a shared machine say little: the speed-up is that of the critical path,
the CPU time of the busiest worker and of the client, with and without the scheduler.
"""

import hashlib
import resource
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.distributed import Client, LocalCluster

import skgmje  # Its parts as they are used: the workers begin with this file, too.
from benchmarks.shared.report import markdown, publish

ROWS, FEATURES, COMPONENTS, BLOCK = 1_200_000, 32, 32, 20_000
SETTINGS = {
    "max_iter": 6,
    "tol": 0,
    "random_state": 0,
    "init_params": "random_from_data",
}
# Files of 12.5 MB in 8 columns, float64.
FILES, FILE_ROWS, COLUMNS = 192, 195_313, 8
LIMIT = "400MiB"
# Arrow's own pool keeps what it has freed; partitions of the size that Dask would
# join small files to are too large for these workers.
SPARING = {
    "distributed.nanny.pre-spawn-environ.ARROW_DEFAULT_MEMORY_POOL": "system",
    "distributed.nanny.pre-spawn-environ.MALLOC_ARENA_MAX": 1,
    "dataframe.parquet.minimum-partition-size": 1,
}


def make_rows(block):
    """Return one block of rows from clusters: the data is made by the workers."""
    rng = np.random.default_rng(int(block[0, 0]))
    n_features = FEATURES
    centers = 4 * np.random.default_rng(0).normal(size=(COMPONENTS, n_features))
    rows = rng.normal(size=(BLOCK, n_features))
    return rows + centers[rng.integers(0, COMPONENTS, BLOCK)]


def lazy_rows():
    """Return all rows as a Dask array."""
    numbers = da.from_array(np.arange(ROWS // BLOCK)[:, None], chunks=(1, 1))
    chunks = ((BLOCK,) * (ROWS // BLOCK), (FEATURES,))
    meta = np.empty((0, 0))
    return numbers.map_blocks(make_rows, chunks=chunks, dtype=float, meta=meta)


@contextmanager
def cluster(n_workers, memory_limit="2GiB"):
    """Run workers on the loopback interface, and give their client."""
    workers = LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        host="127.0.0.1",
        scheduler_port=0,
        dashboard_address="127.0.0.1:0",
        memory_limit=memory_limit,
    )
    with workers, Client(workers) as client:
        yield client


def sha(*arrays):
    parts = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    return hashlib.sha256(parts).hexdigest()[:16]


def fit_with(n_workers):
    """Return CPU seconds of the critical path, and the bits of model and scores."""
    X = lazy_rows()
    with cluster(n_workers) as client:
        client.run(lambda: __import__("skgmje.mixture"))
        before = list(client.run(time.process_time).values())
        start = time.thread_time(), time.process_time()
        mixture = skgmje.GaussianMixture(COMPONENTS, **SETTINGS).fit(X)
        own = time.thread_time() - start[0]
        cluster_s = time.process_time() - start[1] - own
        after = list(client.run(time.process_time).values())
        busiest = max(b - a for a, b in zip(before, after, strict=True))
        score = mixture.score(X[: 4 * BLOCK])
        bits = sha(mixture.means_, mixture.covariances_, score)
    seconds = {"busiest": busiest, "client": own, "scheduler": cluster_s}
    return {"workers": n_workers, **seconds, "bits": bits}


def speed():
    """Compare one worker with two, twice, in turn."""
    runs = [fit_with(n) for n in (1, 2, 1, 2)]
    parts = ("busiest", "client", "scheduler")
    one, two = ([r for r in runs if r["workers"] == n] for n in (1, 2))
    ratios = [
        min(sum(r[part] for part in path) for r in one)
        / min(sum(r[part] for part in path) for r in two)
        for path in (parts[:2], parts)
    ]
    table = markdown(
        ("workers", "busiest worker, CPU s", "client", "scheduler, nannies", "bits"),
        [
            (r["workers"], *(f"{r[part]:.1f}" for part in parts), r["bits"])
            for r in runs
        ],
    )
    words = (
        f"EM of {COMPONENTS} components on {ROWS:,} rows of {FEATURES} features, "
        f"{SETTINGS['max_iter']} iterations. With two workers the busiest worker and "
        f"the client take {ratios[0]:.2f} times less CPU time than with one; with the "
        f"scheduler and the nannies, which wait as long as the fit lasts, "
        f"{ratios[1]:.2f} times less (least of two runs)."
    )
    publish(
        __file__, "scale-speed", {"runs": runs, "ratios": ratios}, f"{words}\n\n{table}"
    )
    print(words)
    assert len({r["bits"] for r in runs}) == 1


def write_parquet(folder):
    """Write the files one by one; return their size in bytes."""
    centers = 4 * np.random.default_rng(0).normal(size=(8, COLUMNS))
    for number in range(FILES):
        rng = np.random.default_rng(number)
        rows = rng.normal(size=(FILE_ROWS, COLUMNS))
        rows += centers[rng.integers(0, len(centers), FILE_ROWS)]
        table = pd.DataFrame(rows, columns=[f"x{j}" for j in range(COLUMNS)])
        table.to_parquet(folder / f"part-{number:03}.parquet", compression=None)
    return sum(path.stat().st_size for path in folder.iterdir())


def peak():
    """Return the largest memory that this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def parquet():
    """Fit and score Parquet files that are six times the memory of a worker."""
    folder = Path(tempfile.mkdtemp(prefix="skgmje-scale-"))
    try:
        if shutil.disk_usage(folder).free < 6e9:
            print("parquet: skipped, less than 6 GB are free in", folder)
            return
        size = write_parquet(folder)
        with dask.config.set(SPARING), cluster(2, LIMIT) as client:
            X = dd.read_parquet(folder)
            pids = set(client.run(lambda: __import__("os").getpid()).values())
            start = time.process_time(), time.perf_counter()
            mixture = skgmje.GaussianMixture(8, max_iter=3, tol=0, random_state=0).fit(
                X
            )
            fitted = time.perf_counter() - start[1]
            lowest = mixture.score_samples(X).min().compute()
            peaks = sorted(client.run(peak).values())
            same = pids == set(client.run(lambda: __import__("os").getpid()).values())
    finally:
        shutil.rmtree(folder)
    figures = {
        "bytes": size,
        "rows": FILES * FILE_ROWS,
        "partitions": X.npartitions,
        "peak_MiB": peaks,
        "client_MiB": peak(),
        "no_worker_restarted": same,
        "fit_wall_s": fitted,
        "lowest_score": float(lowest),
    }
    words = (
        f"{size / 1e9:.2f} GB of Parquet ({figures['rows']:,} rows) fitted and scored "
        f"by two workers with a limit of {LIMIT} each: at most {max(peaks):.0f} MiB in "
        f"a worker, {'none' if same else 'some'} restarted."
    )
    publish(__file__, "scale-parquet", figures, words)
    print(words)
    assert same


PARTS = {"speed": speed, "parquet": parquet}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()

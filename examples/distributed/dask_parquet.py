"""Fit and score a folder of Parquet files of any size: `FOLDER [SCHEDULER]`."""

import sys
import warnings
from pathlib import Path

import dask.dataframe as dd
from dask.distributed import Client
from sklearn.exceptions import ConvergenceWarning

from skgmje import GaussianMixture, load

FILE = Path("dask-mixture.safetensors")


def main(folder, *scheduler):
    options = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1"}
    with Client(*scheduler) if scheduler else Client(**options):
        X = dd.read_parquet(folder)
        # A dead scheduler costs ten iterations: the same call goes on with the file.
        settings = {"max_iter": 10, "warm_start": True, "random_state": 0}
        mixture = load(FILE) if FILE.exists() else GaussianMixture(8, **settings)
        for _ in range(20):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                mixture.fit(X).save(FILE)
            if mixture.converged_:
                break
        print(f"mean log-likelihood: {mixture.score(X):.3f} nats")
        scores = mixture.score_samples(X)  # lazy
        print("least likely row:", float(scores.min().compute()))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Fit and score a folder of Parquet files of any size: `FOLDER [SCHEDULER]`."""

import sys

import dask.dataframe as dd
from dask.distributed import Client

from skgmje import GaussianMixture


def main(folder, *scheduler):
    options = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1"}
    with Client(*scheduler) if scheduler else Client(**options):
        X = dd.read_parquet(folder)
        # The state of EM is kept here: a dead scheduler costs one iteration.
        mixture = GaussianMixture(8, random_state=0, checkpoint_dir="em-checkpoints")
        mixture.fit(X)
        print(f"mean log-likelihood: {mixture.score(X):.3f} nats")
        scores = mixture.score_samples(X)  # lazy
        print("least likely row:", float(scores.min().compute()))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Search a grid on a cluster whose workers may die: `[SCHEDULER]`."""

import sys

import numpy as np
from dask.distributed import Client
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import ParameterGrid, cross_val_score

from skgmje import GaussianMixture


def held_out(params):
    """Return the held-out log-likelihoods of a candidate, one a fold."""
    X = PCA(16, random_state=0).fit_transform(load_digits().data)
    density = GaussianMixture(random_state=0, tol=1e-2, **params)
    return cross_val_score(density, X, cv=3)


def main(*scheduler):
    grid = {"n_components": [5, 10, 20], "shrinkage": [2, 20, 100]}
    candidates = list(ParameterGrid(grid))
    options = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1"}
    with Client(*scheduler) if scheduler else Client(**options) as client:
        # Each is a task that needs nothing of other workers: it can begin again.
        scores = client.gather(client.map(held_out, candidates))
    means = np.mean(scores, axis=1)
    print(candidates[means.argmax()], round(means.max(), 3))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Search a grid on a cluster whose workers may die: `[SCHEDULER]`."""

import sys

from dask.distributed import Client
from skgmje.model_selection._tasks import dask_tasks
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV

from skgmje import GaussianMixture


def main(*scheduler):
    X = PCA(16, random_state=0).fit_transform(load_digits().data)
    grid = {"n_components": [5, 10, 20], "shrinkage": [2, 20, 100]}
    search = GridSearchCV(GaussianMixture(random_state=0, tol=1e-2), grid, cv=3)
    options = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1"}
    with Client(*scheduler) if scheduler else Client(**options) as client:
        with dask_tasks(client):
            search.fit(X)
    print(search.best_params_, round(search.best_score_, 3))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Searches that survive the death of a worker."""

from skgmje.model_selection._tasks import dask_tasks

__all__ = ["dask_tasks"]

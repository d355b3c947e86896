"""Costs of a mixture against data, to be minimised."""

from skgmje.costs._kernel import (
    COSTS,
    matrix_matrix_cost,
    scalar_cost,
    svd_cost,
    vector_matrix_cost,
)

__all__ = [
    "COSTS",
    "matrix_matrix_cost",
    "scalar_cost",
    "svd_cost",
    "vector_matrix_cost",
]

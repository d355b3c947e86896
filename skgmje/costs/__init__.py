"""Kernel costs of a mixture against data, without integrals."""

from skgmje.costs._compress import compress
from skgmje.costs._costs import (
    COSTS,
    Cost,
    approximate_identity,
    logdet_cost,
    matrix_matrix_cost,
    principal_cosines,
    scalar_cost,
    svd_cost,
    vector_matrix_cost,
)
from skgmje.costs._values import effective_rank, optimal_weights, pair_ess

__all__ = [
    "COSTS",
    "Cost",
    "approximate_identity",
    "compress",
    "effective_rank",
    "logdet_cost",
    "matrix_matrix_cost",
    "optimal_weights",
    "pair_ess",
    "principal_cosines",
    "scalar_cost",
    "svd_cost",
    "vector_matrix_cost",
]

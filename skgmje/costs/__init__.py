"""Kernel costs of a mixture against data, without integrals.

Four costs in one form, `COSTS`, to be minimized; the values and bounds behind
them, variants, and diagnostics of the bandwidth.
"""

from skgmje.costs._compress import compress
from skgmje.costs._costs import (
    COSTS,
    Cost,
    IdentityApproximation,
    approximate_identity,
    logdet_cost,
    matrix_matrix_cost,
    principal_cosines,
    scalar_cost,
    svd_cost,
    vector_matrix_cost,
    whitened_svd_cost,
    whitened_trace_cost,
)
from skgmje.costs._values import (
    density_bound,
    effective_rank,
    matrix_matrix_value,
    nuclear_bound,
    optimal_weights,
    pair_ess,
    scalar_value,
    svd_value,
    trace_bound,
    vector_matrix_value,
)

__all__ = [
    "COSTS",
    "Cost",
    "IdentityApproximation",
    "approximate_identity",
    "compress",
    "density_bound",
    "effective_rank",
    "logdet_cost",
    "matrix_matrix_cost",
    "matrix_matrix_value",
    "nuclear_bound",
    "optimal_weights",
    "pair_ess",
    "principal_cosines",
    "scalar_cost",
    "scalar_value",
    "svd_cost",
    "svd_value",
    "trace_bound",
    "vector_matrix_cost",
    "vector_matrix_value",
    "whitened_svd_cost",
    "whitened_trace_cost",
]

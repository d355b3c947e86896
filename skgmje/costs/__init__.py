"""Kernel costs of a mixture against data, without integrals.

Four costs in one form, `COSTS`, to be minimised; the values and bounds behind
them, variants, and diagnostics of the bandwidth.
"""

from skgmje.costs._costs import (
    COSTS,
    matrix_matrix_cost,
    scalar_cost,
    svd_cost,
    vector_matrix_cost,
)
from skgmje.costs._identity import IdentityApproximation, approximate_identity
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
from skgmje.costs._whitened import (
    logdet_cost,
    principal_cosines,
    whitened_svd_cost,
    whitened_trace_cost,
)

__all__ = [
    "COSTS",
    "IdentityApproximation",
    "approximate_identity",
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

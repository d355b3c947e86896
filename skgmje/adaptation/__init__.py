"""Rules that fit a mixture: pure functions of arrays."""

from skgmje.adaptation._bandwidth import kernel_bandwidth
from skgmje.adaptation._blocks import RowBlocks, tree_reduce
from skgmje.adaptation._e_step import block_stats, merge_stats, score_block
from skgmje.adaptation._em import EMResult, expectation_maximization
from skgmje.adaptation._gas_mixture import (
    gas_errors,
    gas_labels,
    gas_mixture,
    nearest_nodes,
)
from skgmje.adaptation._gas_refine import refine_gas
from skgmje.adaptation._memory_bank import (
    BankInfo,
    BankState,
    bank_mixture,
    start_bank,
    step_bank,
)
from skgmje.adaptation._neural_gas import (
    GasState,
    adapt_gas,
    gas_components,
    start_gas,
)
from skgmje.adaptation._online_em import online_em
from skgmje.adaptation._resampling import (
    RESAMPLING,
    effective_sample_size,
    multinomial_resampling,
    residual_resampling,
    stratified_resampling,
    systematic_resampling,
)
from skgmje.adaptation._start import start_mixture, weights_only

__all__ = [
    "BankInfo",
    "BankState",
    "EMResult",
    "GasState",
    "RESAMPLING",
    "RowBlocks",
    "adapt_gas",
    "bank_mixture",
    "block_stats",
    "effective_sample_size",
    "expectation_maximization",
    "gas_components",
    "gas_errors",
    "gas_labels",
    "gas_mixture",
    "kernel_bandwidth",
    "merge_stats",
    "multinomial_resampling",
    "nearest_nodes",
    "online_em",
    "refine_gas",
    "residual_resampling",
    "score_block",
    "start_bank",
    "start_gas",
    "start_mixture",
    "step_bank",
    "stratified_resampling",
    "systematic_resampling",
    "tree_reduce",
    "weights_only",
]

"""Weighted particles by sequential Monte Carlo: pure functions of arrays."""

from skgmje.particles._bank import (
    BankInfo,
    BankState,
    bank_mixture,
    start_bank,
    step_bank,
)
from skgmje.particles._resampling import (
    RESAMPLING,
    effective_sample_size,
    multinomial_resampling,
    residual_resampling,
    stratified_resampling,
    systematic_resampling,
)

__all__ = [
    "BankInfo",
    "BankState",
    "RESAMPLING",
    "bank_mixture",
    "effective_sample_size",
    "multinomial_resampling",
    "residual_resampling",
    "start_bank",
    "step_bank",
    "stratified_resampling",
    "systematic_resampling",
]

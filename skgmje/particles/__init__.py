"""Weighted particles by sequential Monte Carlo: pure functions of arrays."""

from skgmje.particles._bank import BankState, bank_mixture, start_bank, step_bank
from skgmje.particles._resampling import effective_sample_size, systematic_resampling

__all__ = [
    "BankState",
    "bank_mixture",
    "effective_sample_size",
    "start_bank",
    "step_bank",
    "systematic_resampling",
]

"""Hot loops in NumPy: log-densities and sufficient statistics, block by block."""

from skgmje._kernels._device import device_log_prob, device_stats
from skgmje._kernels._kernel import Kernel, Prior, Statistics
from skgmje._kernels._passes import (
    assigned_stats,
    block_stats,
    from_sums,
    joint_log_prob,
    log_prob,
    m_step,
    merge_stats,
    responsibilities,
)
from skgmje._kernels._registry import KERNELS

__all__ = [
    "KERNELS",
    "Kernel",
    "Prior",
    "Statistics",
    "assigned_stats",
    "block_stats",
    "device_log_prob",
    "device_stats",
    "from_sums",
    "joint_log_prob",
    "log_prob",
    "m_step",
    "merge_stats",
    "responsibilities",
]

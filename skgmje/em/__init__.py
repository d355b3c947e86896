"""Expectation-maximisation of Gaussian mixtures: pure functions of arrays."""

from skgmje.em._bandwidth import kernel_bandwidth, multiscale_bandwidths
from skgmje.em._blocks import RowBlocks, tree_reduce
from skgmje.em._em import EMResult, expectation_maximization
from skgmje.em._start import start_mixture
from skgmje.em._stepwise import block_stats, merge_stats, score_block
from skgmje.em._weights import weights_only

__all__ = [
    "EMResult",
    "RowBlocks",
    "block_stats",
    "expectation_maximization",
    "kernel_bandwidth",
    "merge_stats",
    "multiscale_bandwidths",
    "score_block",
    "start_mixture",
    "tree_reduce",
    "weights_only",
]

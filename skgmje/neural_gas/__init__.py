"""Growing neural gas: pure functions of arrays."""

from skgmje.neural_gas._nodes import gas_errors, gas_labels, gas_mixture, nearest_nodes
from skgmje.neural_gas._refine import refine_gas
from skgmje.neural_gas._state import GasState, adapt_gas, gas_components, start_gas

__all__ = [
    "GasState",
    "adapt_gas",
    "gas_components",
    "gas_errors",
    "gas_labels",
    "gas_mixture",
    "nearest_nodes",
    "refine_gas",
    "start_gas",
]

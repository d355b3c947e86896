"""The sources of components by name: the one dictionary to extend."""

from skgmje.modules._memory_bank import MemoryBank
from skgmje.modules._network import MixtureDensityNetwork
from skgmje.modules._neural_gas import NeuralGas
from skgmje.modules._prototypes import Prototypes

MIXTURE_MODULES = {
    "prototypes": Prototypes,
    "network": MixtureDensityNetwork,
    "neural-gas": NeuralGas,
    "memory-bank": MemoryBank,
}

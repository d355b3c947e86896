"""Sources of conditional densities with settings of a test, one for each word."""

from skgmje import ConditionalMixtureDensity, GaussianMixture
from skgmje.conditional import MemoryBank, MixtureNetwork, NeuralGas

# All words that a source may be.
WORDS = sorted(ConditionalMixtureDensity._parameter_constraints["source"][0].options)
MAKERS = {
    "memory-bank": MemoryBank,
    "network": MixtureNetwork,
    "neural-gas": NeuralGas,
    "prototypes": lambda: GaussianMixture("auto", shrinkage="auto"),
}


def make_source(word, **params):
    """Return the source of a word, with those of the parameters that it has."""
    if word == "auto":
        return [make_source(part, **params) for part in ("prototypes", "network")]
    source = MAKERS[word]()
    known = source.get_params()
    return source.set_params(**{k: v for k, v in params.items() if k in known})

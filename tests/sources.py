"""Sources of conditional densities for a test, one for each word, and targets."""

import numpy as np
from sklearn.base import is_classifier

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


def targets_of(estimator, y):
    """Return targets for an estimator: labels, by their signs, for a classifier."""
    if not is_classifier(estimator):
        return y
    return (y.reshape(len(y), -1)[:, 0] > 0).astype(np.float64)

"""Gaussian-mixture densities and Gaussian joint embeddings for scikit-learn."""

import importlib

__version__ = "0.1.0.dev0"

# Loaded on first use (PEP 562): importing skgmje must not import torch.
_HOME = {
    "ConditionalMixtureDensity": "skgmje.conditional",
    "DensityOutlierDetector": "skgmje.outlier",
    "GJEEmbedder": "skgmje.embedding",
    "GMJEEmbedder": "skgmje.embedding",
    "GaussianMixture": "skgmje.mixture",
    "GaussianMixtureCopula": "skgmje.compose",
    "GrowingNeuralGasMixture": "skgmje.mixture",
    "KernelDecoder": "skgmje.embedding",
    "KernelMixtureDensity": "skgmje.mixture",
    "Mixture": "skgmje.gaussian",
    "MixtureClassifier": "skgmje.mixture",
    "MixtureImputer": "skgmje.impute",
    "StackingConditionalDensity": "skgmje.conditional",
    "StackingDensity": "skgmje.ensemble",
    "StudentMixture": "skgmje.mixture",
    "TransformedDensity": "skgmje.compose",
    "as_mixture": "skgmje._bridges",
    "load": "skgmje._persistence",
    "to_sklearn": "skgmje._bridges",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'skgmje' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_HOME])

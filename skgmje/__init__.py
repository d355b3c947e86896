"""Gaussian-mixture densities and Gaussian joint embeddings for scikit-learn."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

# What type checkers read in place of __getattr__.
if TYPE_CHECKING:
    from skgmje._bridges import as_mixture, to_sklearn
    from skgmje._persistence import load
    from skgmje.compose import GaussianMixtureCopula, TransformedDensity
    from skgmje.conditional import ConditionalMixtureDensity, StackingConditionalDensity
    from skgmje.embedding import GJEEmbedder, GMJEEmbedder, KernelDecoder
    from skgmje.ensemble import StackingDensity
    from skgmje.gaussian import Mixture
    from skgmje.impute import MixtureImputer
    from skgmje.mixture import (
        GaussianMixture,
        GrowingNeuralGasMixture,
        KernelMixtureDensity,
        MixtureClassifier,
        StudentMixture,
    )
    from skgmje.outlier import DensityOutlierDetector

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

__all__ = [
    "ConditionalMixtureDensity",
    "DensityOutlierDetector",
    "GJEEmbedder",
    "GMJEEmbedder",
    "GaussianMixture",
    "GaussianMixtureCopula",
    "GrowingNeuralGasMixture",
    "KernelDecoder",
    "KernelMixtureDensity",
    "Mixture",
    "MixtureClassifier",
    "MixtureImputer",
    "StackingConditionalDensity",
    "StackingDensity",
    "StudentMixture",
    "TransformedDensity",
    "as_mixture",
    "load",
    "to_sklearn",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'skgmje' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])

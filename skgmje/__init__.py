"""Gaussian-mixture densities and Gaussian joint embeddings for scikit-learn."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# What type checkers read in place of __getattr__; "as" says that it is public.
if TYPE_CHECKING:
    from skgmje._bridges import as_mixture as as_mixture
    from skgmje._bridges import to_sklearn as to_sklearn
    from skgmje._persistence import load as load
    from skgmje.compose import GaussianMixtureCopula as GaussianMixtureCopula
    from skgmje.compose import TransformedDensity as TransformedDensity
    from skgmje.conditional import (
        ConditionalMixtureDensity as ConditionalMixtureDensity,
    )
    from skgmje.conditional import (
        StackingConditionalDensity as StackingConditionalDensity,
    )
    from skgmje.embedding import GJEEmbedder as GJEEmbedder
    from skgmje.embedding import GMJEEmbedder as GMJEEmbedder
    from skgmje.embedding import KernelDecoder as KernelDecoder
    from skgmje.ensemble import StackingDensity as StackingDensity
    from skgmje.gaussian import Mixture as Mixture
    from skgmje.impute import MixtureImputer as MixtureImputer
    from skgmje.mixture import GaussianMixture as GaussianMixture
    from skgmje.mixture import GrowingNeuralGasMixture as GrowingNeuralGasMixture
    from skgmje.mixture import KernelMixtureDensity as KernelMixtureDensity
    from skgmje.mixture import MixtureClassifier as MixtureClassifier
    from skgmje.mixture import StudentMixture as StudentMixture
    from skgmje.outlier import DensityOutlierDetector as DensityOutlierDetector

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

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'skgmje' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])

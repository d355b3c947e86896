"""Embeddings of two views and their joint density; codes that can be decoded."""

from skgmje.embedding._base import export_onnx
from skgmje.embedding._collapse import CollapseWarning, diagnose
from skgmje.embedding._decoder import KernelDecoder
from skgmje.embedding._decoder_cost import IsotropicKernel, PatchKernel
from skgmje.embedding._embedder_options import (
    MLP,
    ConvNet,
    Encoder,
    GJELoss,
    JointLoss,
    SIGRegLoss,
)
from skgmje.embedding._gmje import GJEEmbedder, GMJEEmbedder
from skgmje.embedding._losses import (
    LOSSES,
    barlow_loss,
    gaussian_mutual_information,
    gje_loss,
    gje_sigreg_loss,
    infonce_loss,
    joint_loss,
    logdet_term,
    mahalanobis_term,
    naive_loss,
    pmi_loss,
    sigreg_loss,
    vicreg_loss,
)
from skgmje.embedding._normality import sigreg_term
from skgmje.embedding._views import ImageAugmentation

__all__ = [
    "CollapseWarning",
    "ConvNet",
    "Encoder",
    "GJEEmbedder",
    "GJELoss",
    "GMJEEmbedder",
    "ImageAugmentation",
    "IsotropicKernel",
    "JointLoss",
    "KernelDecoder",
    "LOSSES",
    "MLP",
    "PatchKernel",
    "SIGRegLoss",
    "barlow_loss",
    "diagnose",
    "export_onnx",
    "gaussian_mutual_information",
    "gje_loss",
    "gje_sigreg_loss",
    "infonce_loss",
    "joint_loss",
    "logdet_term",
    "mahalanobis_term",
    "naive_loss",
    "pmi_loss",
    "sigreg_loss",
    "sigreg_term",
    "vicreg_loss",
]

"""Fits of joint mixtures to pairs of contexts and targets, one file per source."""

from skgmje._joint._models import Conditional, Fit, JointConditional
from skgmje._joint._prototypes import fit_prototypes
from skgmje._joint._settings import Settings

__all__ = ["JOINT_FITS", "Conditional", "Fit", "JointConditional", "Settings"]

JOINT_FITS = {
    "prototypes": fit_prototypes,
}

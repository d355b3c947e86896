"""
====================================
The fourteen models of covariances
====================================

Claim: the three letters of a model say what the components have in common, and a table
of BIC finds the model that the samples come from.

The covariance of component k is :math:`\\lambda_k D_k A_k D_k^T`: its volume, its
orientation and its shape. Each is Equal or Variable, or that of the Identity [1]_.

References
----------
.. [1] J. D. Banfield and A. E. Raftery, "Model-Based Gaussian and Non-Gaussian
   Clustering", 1993.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skgmje import GaussianMixture
from skgmje.inspection import ClassificationDisplay, MixtureDisplay

OUT = Path(__file__).parent / "out"
MODELS = {
    "sphere": ["EII", "VII"],
    "axes of the features": ["EEI", "VEI", "EVI", "VVI"],
    "axes in common": ["EEE", "VEE", "EVE", "VVE"],
    "axes of their own": ["EEV", "VEV", "EVV", "VVV"],
}

# %%
# Three clusters of one shape
# ---------------------------
# Their volumes and orientations differ, which is the model VEV.

rng = np.random.default_rng(1)
X = []
for angle, volume, center in (
    (0.2, 0.3, (0, 0)),
    (1.3, 1.0, (5, 0)),
    (2.4, 3.0, (2, 6)),
):
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    scales = np.sqrt(volume) * np.array([2.0, 0.5])
    X.append(center + rng.normal(size=(150, 2)) * scales @ axes)
X = np.concatenate(X)

fits = {}
for name in (name for names in MODELS.values() for name in names):
    mixture = GaussianMixture(
        3, covariance_type=name, init_params="auto", random_state=0
    )
    fits[name] = mixture.fit(X)
bic = {name: mixture.bic(X) for name, mixture in fits.items()}
best = min(bic, key=bic.get)
print(f"BIC chooses {best}")

# %%
# Each model, fitted to them
# --------------------------
# Ellipses hold 50 and 90 % of a component; the lower BIC, the better.

figure, grid = plt.subplots(
    4, 4, figsize=(11, 11), sharex=True, sharey=True, layout="constrained"
)
for row, (orientation, names) in zip(grid, MODELS.items(), strict=True):
    row[0].set_ylabel(orientation, fontsize=12)
    for axis in row[len(names) :]:
        axis.set_axis_off()
    for axis, name in zip(row, names, strict=False):
        ClassificationDisplay.from_estimator(fits[name], X, ax=axis)
        MixtureDisplay.from_estimator(fits[name], ax=axis)
        chosen = " (chosen)" if name == best else ""
        axis.set(title=f"{name}{chosen}: BIC {bic[name]:.0f}", xlabel="")
        axis.set_ylabel(orientation if axis is row[0] else "")
        axis.set_aspect("equal")
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "models.png", dpi=110)

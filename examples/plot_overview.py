"""
======================
Overview in one figure
======================

Claim: Gaussian mixtures serve four tasks: the density of samples, the conditional
density of a target, clusters, and new samples.

Everything runs on data that ships with scikit-learn. The picture goes to
``examples/out/``.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_circles, make_moons
from sklearn.decomposition import PCA

from skgmje import (
    ConditionalMixtureDensity,
    GaussianMixture,
    GrowingNeuralGasMixture,
    KernelMixtureDensity,
)
from skgmje.datasets import ALIGNMENT_TASKS
from skgmje.inspection import (
    ConditionalDensityDisplay,
    DensityDisplay,
    GraphDisplay,
    MixtureDisplay,
)

OUT = Path(__file__).parent / "out"

# %%
# Density
# -------
# A network places the centers by a kernel cost, and likelihood makes a density of
# them.

moons, _ = make_moons(600, noise=0.08, random_state=0)
density = KernelMixtureDensity(12, covariance_type="full", random_state=0).fit(moons)
print(f"moons: {density.score(moons):.2f} nats per sample")

# %%
# Conditional density
# -------------------
# Each x has a mixture of y, whose mean is between the two branches.

X, Y = ALIGNMENT_TASKS["cross"].sample(1000, random_state=0)
regressor = ConditionalMixtureDensity("prototypes", random_state=0).fit(X, Y.ravel())
low, high = regressor.predict_quantile([[1.0]], [0.25, 0.75]).ravel()
print(f"at x = 1 half of the values lie below {low:.2f} or above {high:.2f}")

# %%
# Clusters
# --------
# A graph grows where the samples are; its connected components are clusters.

circles, _ = make_circles(1500, noise=0.05, factor=0.5, random_state=0)
gas = GrowingNeuralGasMixture(60, random_state=0).fit(circles)
print(f"circles: {gas.node_labels_.max() + 1} connected components")

# %%
# New samples
# -----------
# Samples of a mixture of the principal components of digits.

digits = load_digits().data
pca = PCA(24, whiten=True, random_state=0).fit(digits)
latent = GaussianMixture(20, shrinkage=20, random_state=0).fit(pca.transform(digits))
rows = np.clip(pca.inverse_transform(latent.sample(48)[0]), 0, 16)

# %%
# The picture
# -----------
# The ellipses hold half and nine tenths of each component.

figure, ((likely, follows), (together, more)) = plt.subplots(
    2, 2, figsize=(9, 7.6), layout="constrained"
)
DensityDisplay.from_estimator(
    density, moons, ax=likely, show_data=False, show_colorbar=False
)
MixtureDisplay.from_estimator(density, ax=likely, color="#E69F00")
likely.set_title("density: KernelMixtureDensity")

ConditionalDensityDisplay.from_estimator(
    regressor, X, Y.ravel(), ax=follows, show_colorbar=False
)
follows.set_title("prediction: ConditionalMixtureDensity")

GraphDisplay.from_estimator(gas, circles, ax=together)
together.set_title("clusters: GrowingNeuralGasMixture")

tiles = np.pad(rows.reshape(6, 8, 8, 8), [(0, 0), (0, 0), (1, 1), (1, 1)])
more.imshow(tiles.swapaxes(1, 2).reshape(60, 80), cmap="gray_r")
more.set(xticks=[], yticks=[], title="new samples: GaussianMixture")

OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "overview.png", dpi=100)

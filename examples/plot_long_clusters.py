"""
==================
Elongated clusters
==================

Claim: where clusters are long and lie side by side, a mixture that begins with k-means
finds none of them, and one that begins with the best of a pool of starts finds them
all. BIC then finds their number and what they have in common.

The models are those of Banfield and Raftery [1]_: components share, or do not share,
volume, shape and orientation.

References
----------
.. [1] J. D. Banfield and A. E. Raftery, "Model-Based Gaussian and Non-Gaussian
   Clustering", 1993.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import adjusted_rand_score

from skgmje import GaussianMixture
from skgmje.inspection import (
    ClassificationDisplay,
    MixtureDisplay,
    SelectionDisplay,
)

OUT = Path(__file__).parent / "out"

# %%
# Three clusters, twenty times as long as wide
# --------------------------------------------

rng = np.random.default_rng(0)
labels = np.repeat([0, 1, 2], 200)
X = rng.normal(size=(600, 2)) * [20.0, 1.0]
X[:, 1] += 6 * labels

starts = {}
for start in ("kmeans", "auto"):
    mixture = GaussianMixture(3, init_params=start, random_state=0)
    index = adjusted_rand_score(labels, mixture.fit_predict(X))
    print(f"init_params={start!r}: adjusted Rand index {index:.2f}")
    starts[start] = mixture

# %%
# Their number, and their model
# -----------------------------
# Four of the fourteen models, for speed; ``covariance_type="auto"`` tries all.

searches = [
    GaussianMixture("auto", covariance_type=model, criterion="bic", random_state=0)
    for model in ("EII", "EEI", "EEE", "VVV")
]
best = min((search.fit(X) for search in searches), key=lambda each: each.bic(X))
print(f"BIC chooses {best.n_components_} clusters of the model {best.model_}")

# %%
# The clusters, and the search
# ----------------------------
# The larger a point, the less certain its label.

figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
for axis, (start, mixture) in zip(axes, starts.items(), strict=False):
    ClassificationDisplay.from_estimator(mixture, X, ax=axis)
    MixtureDisplay.from_estimator(mixture, ax=axis)
    axis.set(title=f"init_params={start!r}")
SelectionDisplay.from_estimator(best, ax=axes[2])
axes[2].set(title=f"BIC of {best.model_}")
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "long_clusters.png", dpi=110)

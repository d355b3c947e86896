"""
===================================
Self-supervised embedding of digits
===================================

Claim: from two views of each digit, without labels, an embedder finds a space in which
a few labels go further than among the pixels; the mixture in that space is its
density, so its components can be drawn on the map and its rarest samples shown.

The views are the upper and the lower half of the images: what one tells of the other
is what kind of digit it is.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from skgmje import GaussianMixture, GMJEEmbedder
from skgmje.inspection import MixtureDisplay

OUT = Path(__file__).parent / "out"
digits = load_digits()
upper, lower = np.split(digits.data, 2, axis=1)

# %%
# Train on pairs
# --------------
# No label is used; ``y`` is the second view.

mixture = GaussianMixture(20, shrinkage="auto", reg_covar=1e-4)
embedder = GMJEEmbedder(16, views="pair", mixture=mixture, random_state=0)
embedder.fit(upper, lower)
Z = embedder.transform(upper)
print(f"effective rank {embedder.effective_rank_:.1f} of {embedder.embedding_dim_}")
print(f"mutual information of the views {embedder.score(upper, lower):.1f} nats")

# %%
# Does the space know the digits?
# -------------------------------
# Five labels of each digit, a linear classifier, and the upper halves of the rest.


def accuracy_of(features):
    """Return the mean accuracy of five draws of 50 labels."""
    scores = []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(features))
        by_digit = [order[digits.target[order] == digit][:5] for digit in range(10)]
        rest = np.setdiff1d(order, few := np.concatenate(by_digit))
        classifier = LogisticRegression(max_iter=2000)
        classifier.fit(features[few], digits.target[few])
        scores.append(classifier.score(features[rest], digits.target[rest]))
    return np.mean(scores)


def unit(features):
    """Scale features to unit mean variance."""
    return (features - features.mean(0)) / features.std()


for name, features in {
    "upper halves": upper,
    "their 16 principal components": PCA(16).fit_transform(upper),
    "embedding": Z,
}.items():
    print(f"50 labels, {name}: {accuracy_of(unit(features)):.3f}")

# %%
# Look at the map
# ---------------
# The two directions of most variance; the ellipses are the mixture's, mapped along.

pca = PCA(2).fit(Z)
points = pca.transform(Z)
shadow = embedder.latent_mixture_.affine(pca.components_, -pca.components_ @ pca.mean_)
figure, (axis, sheet) = plt.subplots(
    1, 2, figsize=(12, 5.8), width_ratios=[1.5, 1], layout="constrained"
)
colours = plt.get_cmap("tab10").colors
for digit in range(10):
    rows = points[digits.target == digit]
    axis.scatter(*rows.T, s=7, color=colours[digit], alpha=0.6, linewidths=0)
    axis.text(
        *np.median(rows, axis=0),
        digit,
        fontsize=15,
        weight="bold",
        ha="center",
        va="center",
        bbox={"boxstyle": "circle", "facecolor": "white", "edgecolor": colours[digit]},
    )
MixtureDisplay.from_estimator(shadow, ax=axis, color="0.25", coverage=(0.5,))
axis.set(
    title="upper halves, embedded; half of each component lies in its ellipse",
    xlabel="first principal direction",
    ylabel="second principal direction",
)

order = np.argsort(embedder.score_samples(upper))
chosen = np.concatenate([order[-24:], order[:24]])
tiles = np.pad(upper[chosen].reshape(8, 6, 4, 8), [(0, 0), (0, 0), (1, 1), (1, 1)])
sheet.imshow(tiles.swapaxes(1, 2).reshape(48, 60), cmap="gray_r")
sheet.axhline(23.5, color="#D55E00", lw=2)
sheet.set(xticks=[], yticks=[], title="most likely (above), least likely (below)")
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "digit_views.png", dpi=110)

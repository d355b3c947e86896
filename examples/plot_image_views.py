"""
===========================================
Augmentations of images and what they teach
===========================================

Claim: views decide what an embedding knows. Digits that are mirrored or turned are
other digits, and a network that learns to ignore it classifies them less well than one
that learns to ignore light and noise. Pairs of neighbours need no such knowledge and
are better still.

Every network is a :class:`skgmje.GJEEmbedder` of the same size and seed, trained
without labels. Its hidden layer is judged by a logistic regression of five labels of
each digit. The control is the network before training, the baseline are the pixels.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmje import GJEEmbedder
from skgmje.embedding import ImageAugmentation

OUT = Path(__file__).parent / "out"
N_DRAWS = 5

X, X_test, y, y_test = train_test_split(
    *(load_digits().images, load_digits().target), train_size=800, random_state=0
)

# %%
# Four ways to see a digit twice.

light = {"gamma": 1.0, "contrast": 0.5, "noise": 0.3}
views = {
    "light": ImageAugmentation(**light),
    "light, mirrored": ImageAugmentation(flip=True, **light),
    "light, turned": ImageAugmentation(turn=True, **light),
}
networks = {
    "untrained": {"max_iter": 0},
    **{name: {"augmentation": view} for name, view in views.items()},
    "light, neighbours": {"augmentation": views["light"], "views": "neighbors"},
}


def few_labels(Z, Z_test):
    """Return the accuracies of five regressions of five labels of each digit."""
    found = []
    for draw in range(N_DRAWS):
        rng = np.random.default_rng(draw)
        rows = [rng.choice(np.flatnonzero(y == k), 5, replace=False) for k in range(10)]
        rows = np.concatenate(rows)
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        found.append(probe.fit(Z[rows], y[rows]).score(Z_test, y_test))
    return np.array(found)


settings = {"output": "hidden", "max_iter": 80, "random_state": 0}
reached = {"pixels": few_labels(X.reshape(len(X), -1), X_test.reshape(len(X_test), -1))}
for name, params in networks.items():
    embedder = GJEEmbedder(32, **{**settings, **params}).fit(X)
    reached[name] = few_labels(embedder.transform(X), embedder.transform(X_test))
for name, accuracy in reached.items():
    print(f"{name}: {accuracy.mean():.3f}")

# %%
# Some digits, one view of each, their nearest neighbours, and what was learned.

shown = np.array([np.flatnonzero(y == k)[0] for k in (2, 3, 4, 6, 7, 9)])
batch = torch.as_tensor((X[shown] - X.mean()) / X.std(), dtype=torch.float32)[:, None]
flat = X.reshape(len(X), -1)
others = NearestNeighbors(n_neighbors=2).fit(flat).kneighbors(flat[shown])[1][:, 1]
sheet = {"as they are": X[shown]}
for name, view in views.items():
    sheet[name] = view(batch, torch.Generator().manual_seed(0))[:, 0]
sheet["neighbours"] = X[others]

fig = plt.figure(figsize=(9.5, 3.6), layout="constrained")
left, right = fig.subfigures(1, 2, width_ratios=(1.15, 1))
left.suptitle("views of six digits", fontsize="medium")
grid = left.subplots(len(sheet), len(shown))
for (name, images), axes in zip(sheet.items(), grid, strict=True):
    axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for ax, image in zip(axes, images, strict=True):
        ax.imshow(image, cmap="gray_r")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)

ax = right.subplots()
colors = ["0.6"] * 2 + ["C0"] * (len(reached) - 2)
means = [accuracy.mean() for accuracy in reached.values()]
ax.barh(list(reached), means, color=colors)
for row, mean in enumerate(means):
    ax.text(mean - 0.01, row, f"{mean:.3f}", ha="right", va="center", color="white")
ax.invert_yaxis()
ax.set(xlim=(0, 1), title="accuracy from five labels per digit")
ax.title.set_fontsize("medium")
OUT.mkdir(exist_ok=True)
fig.savefig(OUT / "image_views.png", dpi=150)
plt.show()

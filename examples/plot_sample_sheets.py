"""
=============================
Sampling embeddings of digits
=============================

Claim: what twenty components draw among the embeddings of digits lies where digits do:
the real digits around a draw are of one kind. What one Gaussian draws lies far from all
of them, and those around it are of several kinds. An embedding has no way back to
pixels; a :class:`skgmje.embedding.KernelDecoder` has one, and draws digits that are
new.

Labels only count kinds at the end. :ref:`Another example
<sphx_glr_auto_examples_plot_latent_sampling.py>` draws from principal components.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

from skgmje import GaussianMixture, GJEEmbedder, KernelDecoder
from skgmje.embedding import ImageAugmentation

OUT = Path(__file__).parent / "out"
N_SIDE = 8

digits = load_digits()
train, test, kinds, _ = train_test_split(
    digits.images, digits.target, test_size=0.3, random_state=0
)

# %%
# Two densities of embeddings
# ---------------------------
# As in :ref:`sphx_glr_auto_examples_plot_out_of_distribution.py`. The energy distance
# of draws to the embeddings of new digits is zero for the right density.

embed = make_pipeline(
    GJEEmbedder(
        32,
        views="neighbors",
        augmentation=ImageAugmentation(gamma=0.5, contrast=0.3, noise=0.3),
        output="hidden",
        max_iter=60,
        random_state=0,
    ),
    PCA(16, random_state=0),
)
codes = embed.fit_transform(train)
new_codes = embed.transform(test)
densities = {
    size: GaussianMixture(
        size, shrinkage=0 if size == 1 else 5, reg_covar=1e-3, random_state=0
    ).fit(codes)
    for size in (1, 20)
}


def energy_distance(first, second):
    """Return the unbiased estimate of the squared energy distance."""
    n, m = len(first), len(second)
    within = cdist(first, first).sum() / (n * (n - 1))
    within += cdist(second, second).sum() / (m * (m - 1))
    return 2 * cdist(first, second).mean() - within


points = {"new digits": new_codes}
for size, density in densities.items():
    draws, _ = density.sample(len(test))
    points[f"draws, K={size}"] = draws
    print(f"K={size}: energy distance {energy_distance(draws, new_codes):.3f}")

# %%
# What is around a draw
# ---------------------
# Each row of a sheet has the eight real digits that are nearest to one draw.

near = NearestNeighbors(n_neighbors=N_SIDE).fit(codes)
sheets = {}
for name, rows in points.items():
    distances, found = near.kneighbors(rows)
    counts = np.apply_along_axis(np.bincount, 1, kinds[found], minlength=10)
    agree = counts.max(axis=1).mean() / N_SIDE
    words = f"{np.median(distances[:, 0]):.1f} away, {agree:.0%} of one kind"
    print(f"nearest to {name}: {words}")
    sheets[f"nearest to {name}:\n{words}"] = train[found[:N_SIDE]]

# %%
# A decoder
# ---------
# It learns codes and the way back together, and draws from a mixture of its codes.

decoder = KernelDecoder(8, hidden_layer_sizes=(256, 128), max_iter=200, random_state=0)
decoder.fit(train.reshape(len(train), -1))
drawn, _ = decoder.sample(N_SIDE**2)
sheets["draws of a decoder:\nnew digits"] = drawn


def tile(images):
    """Return one picture of rows and columns of images."""
    tiles = np.pad(images.reshape(N_SIDE, N_SIDE, 8, 8), [(0, 0)] * 2 + [(1, 1)] * 2)
    return tiles.swapaxes(1, 2).reshape(N_SIDE * 10, N_SIDE * 10)


figure, axes = plt.subplots(1, len(sheets), figsize=(14, 4.1), layout="compressed")
for axis, (title, images) in zip(axes, sheets.items(), strict=True):
    axis.imshow(tile(images), cmap="gray_r", vmin=0, vmax=16)
    axis.set(title=title, xticks=[], yticks=[])
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "sample_sheets.png", dpi=110)

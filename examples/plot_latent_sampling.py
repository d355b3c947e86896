"""
=============================================
Sampling new digits from principal components
=============================================

Claim: one Gaussian is a poor density of codes, and what is drawn from it is often no
digit. With ten components and more, new samples are likelier, and a classifier has a
harder time to tell draws from real images.

The codes of an image are its first principal components. A mixture of the codes is
drawn from, and the draws are decoded. More components help as long as new samples say
so.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.svm import SVC

from skgmje import GaussianMixture

OUT = Path(__file__).parent / "out"
SIZES = (1, 10, 30)
N_SIDE = 7

# %%
# Codes, and one mixture after the other
# --------------------------------------
# Shrinkage lends the components a common shape; with 40 samples each for 20 dimensions
# they need it. A support vector machine learns to tell draws from codes that the
# mixture has not seen, as many of each: one half is chance, and the best answer.

train, test = train_test_split(load_digits().data, test_size=0.4, random_state=0)
pca = PCA(20, whiten=True, random_state=0).fit(train)
codes, new_codes = pca.transform(train), pca.transform(test)


def judge(mixture):
    """Return how often draws are told from real codes, and the draws."""
    draws, _ = mixture.sample(len(new_codes), random_state=0)
    both = np.concatenate([new_codes, draws])
    is_drawn = np.arange(len(both)) >= len(new_codes)
    return cross_val_score(SVC(), both, is_drawn, cv=5).mean(), draws


drawn = {}
for size in SIZES:
    mixture = GaussianMixture(size, shrinkage=20, random_state=0).fit(codes)
    told, draws = judge(mixture)
    nats = mixture.score(new_codes)
    label = f"{size} component{'s' if size > 1 else ''}"
    drawn[f"{label}\n{nats:.1f} nats, told from real {told:.0%}"] = draws
    print(
        f"{label}: {nats:.2f} nats per new sample, draws told from real in {told:.1%}"
    )

# %%
# Decode the draws
# ----------------
# Left, real digits as far as 20 principal components show them.


def tile(images):
    """Return one picture of the first 49 images."""
    tiles = np.pad(
        images[: N_SIDE**2].reshape(N_SIDE, N_SIDE, 8, 8), [(0, 0)] * 2 + [(1, 1)] * 2
    )
    return tiles.swapaxes(1, 2).reshape(N_SIDE * 10, N_SIDE * 10)


panels = {"real digits\nas 20 codes show them": new_codes, **drawn}
figure, axes = plt.subplots(1, len(panels), figsize=(14, 4.1), layout="compressed")
for axis, (title, rows) in zip(axes, panels.items(), strict=True):
    axis.imshow(tile(pca.inverse_transform(rows)), cmap="gray_r", vmin=0, vmax=16)
    axis.set(title=title, xticks=[], yticks=[])
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "latent_sampling.png", dpi=110)

"""
==========================
Out-of-distribution images
==========================

Claim: one Gaussian of the embeddings of digits says the opposite of the truth: digits
turned, upside down or shuffled are *likelier* than new ones. Twenty components on the
same embeddings find them out. Noise that the encoder learned to ignore stays hard.

Other images end up near the middle of the embeddings, where there are no digits, but
where the middle of one Gaussian is. No label is used.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skgmje import GaussianMixture, GJEEmbedder
from skgmje.embedding import ImageAugmentation

OUT = Path(__file__).parent / "out"
DIGITS, OTHERS = "#0072B2", "#D55E00"

train, test = train_test_split(load_digits().images, test_size=0.3, random_state=0)
rng = np.random.default_rng(0)
pixels = rng.permuted(test.reshape(len(test), -1), axis=1)
others = {
    "turned by 90°": np.rot90(test, axes=(1, 2)),
    "upside down": test[:, ::-1],
    "pixels shuffled": pixels.reshape(test.shape),
    "noise added": test + 0.5 * train.std() * rng.normal(size=test.shape),
}

# %%
# Embed once, fit two densities
# -----------------------------
# Digits must not be mirrored, so the views differ in light and noise alone. What comes
# before the mixture is fitted once. The embedder returns its hidden layer.

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

# %%
# Log-densities of new digits and of other images
# -----------------------------------------------
# The area under the ROC curve (AUROC) is how often a digit is likelier than one of the
# other images; a half is a guess. Upside down many an 0, 3 or 8 is a digit still.

figure = plt.figure(figsize=(12, 6.6), layout="constrained")
sheets, *rows = figure.subplots(
    3, len(others), height_ratios=[0.55, 1, 1], gridspec_kw={"hspace": 0.06}
)
for axis, (name, images) in zip(sheets, others.items(), strict=True):
    tiles = np.pad(images[:10].reshape(2, 5, 8, 8), [(0, 0)] * 2 + [(1, 1)] * 2)
    axis.imshow(tiles.swapaxes(1, 2).reshape(20, 50), cmap="gray_r", vmin=0, vmax=16)
    axis.set(title=name, xticks=[], yticks=[])
for panels, (size, density) in zip(rows, densities.items(), strict=True):
    inside = density.score_samples(new_codes)
    outside = {
        name: density.score_samples(embed.transform(images))
        for name, images in others.items()
    }
    print(f"K={size}: {inside.mean():.1f} nats per new digit")
    pooled = np.concatenate([inside, *outside.values()])
    edges = np.linspace(np.quantile(pooled, 0.01), pooled.max(), 40)
    for axis, (name, values) in zip(panels, outside.items(), strict=True):
        both = np.concatenate([inside, values])
        area = roc_auc_score(np.arange(len(both)) < len(inside), both)
        print(f"  {name}: AUROC {area:.2f}")
        style = {"bins": edges, "alpha": 0.6}
        axis.hist(inside, color=DIGITS, label="new digits", **style)
        axis.hist(values, color=OTHERS, label="other images", **style)
        axis.set(title=f"K={size}: AUROC {area:.2f}", yticks=[])
for axis in rows[-1]:
    axis.set_xlabel("log-density, nats")
rows[0][0].legend(frameon=False)
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "out_of_distribution.png", dpi=110)

"""
=================================================
Low-dimensional codes of digits and their decoder
=================================================

Claim: where a code is too small to say all, several answers to it are nearer to the
truth than one: with two numbers for a digit, the best of four decoded images is closer
to new digits than the one image of an autoencoder. With eight numbers one answer will
do, and what is drawn from a mixture of the codes looks like digits.

A :class:`skgmje.embedding.KernelDecoder` with one center minimises the squared error;
with four, a kernel cost whose norm term keeps the centers apart.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skgmje.embedding import IsotropicKernel, KernelDecoder

OUT = Path(__file__).parent / "out"
SETTINGS = {"hidden_layer_sizes": (256, 128), "max_iter": 200, "random_state": 0}
# The code of the second decoder is shown on this grid of quantiles.
QUANTILES = (0.1, 0.5, 0.9)

train, test = train_test_split(load_digits().data, test_size=0.3, random_state=0)

# %%
# Three decoders
# --------------
# Errors are of new digits, per pixel, on the scale of 0 to 16. With several centers
# the nearest one has been chosen by the error itself, so their mean is printed too.

decoders = {
    "8 numbers, one answer": KernelDecoder(8, **SETTINGS),
    "2 numbers, one answer": KernelDecoder(2, **SETTINGS),
    "2 numbers, four answers": KernelDecoder(
        2, n_centers=4, kernel=IsotropicKernel(kappa=0.1), **SETTINGS
    ),
}
for name, decoder in decoders.items():
    decoder.fit(train)
    nearest = np.mean((decoder.reconstruct(test) - test) ** 2)
    print(
        f"{name}: squared error {nearest:.2f} at the nearest center, "
        f"{-decoder.score(test):.2f} at the mean"
    )
wide, _, several = decoders.values()

# %%
# What the codes say, and new digits
# ----------------------------------
# Left, new digits and what eight numbers keep of them. In the middle, draws from the
# mixture of codes, decoded. Right, all answers to one code of two numbers, a row for
# each code: some codes determine their digit, others do not.


def tile(images):
    """Return one picture of rows and columns of images."""
    n_rows, n_columns = images.shape[:2]
    tiles = np.pad(images.reshape(n_rows, n_columns, 8, 8), [(0, 0)] * 2 + [(1, 1)] * 2)
    return tiles.swapaxes(1, 2).reshape(n_rows * 10, n_columns * 10)


pairs = [
    part
    for start in range(0, 32, 8)
    for part in (test[start : start + 8], wide.reconstruct(test[start : start + 8]))
]
drawn, _ = wide.sample(64, random_state=0)
codes = several.transform(train)
quantiles = np.quantile(codes, QUANTILES, axis=0)
grid = np.array([(a, b) for a in quantiles[:, 0] for b in quantiles[:, 1]])
panels = {
    "new digits, and below each\nwhat eight numbers keep": np.array(pairs),
    "drawn from the mixture\nof codes": drawn.reshape(8, 8, 64),
    "the four answers\nto nine codes": several.decode(grid).means,
}
figure, axes = plt.subplots(
    1, 3, figsize=(12, 5), layout="constrained", width_ratios=[8, 8, 4]
)
for axis, (title, images) in zip(axes, panels.items(), strict=True):
    axis.imshow(tile(images), cmap="gray_r", vmin=0, vmax=16)
    axis.set(title=title, xticks=[], yticks=[])
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "decoder.png", dpi=110)

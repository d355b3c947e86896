"""
====================================
Four distances between two data sets
====================================

Claim: four questions about two data sets have four answers, all from one mixture for
each: how surprised one is by the other (Kullback-Leibler, which depends on the
direction), how little they overlap (Cauchy-Schwarz), how far samples have to be moved
(Wasserstein), and whether it is more than chance (a permutation test). Only the
Wasserstein distance is in the units of the data: of a copy it is the way it was moved.

Measurements of the three species of iris, and one species moved away from itself.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris

from skgmje import GaussianMixture
from skgmje.metrics import (
    cauchy_schwarz_divergence,
    kl_divergence,
    two_sample_test,
    wasserstein,
)

OUT = Path(__file__).parent / "out"
iris = load_iris()
samples = {
    str(name): iris.data[iris.target == k] for k, name in enumerate(iris.target_names)
}
densities = {
    name: GaussianMixture(shrinkage=2).fit(rows) for name, rows in samples.items()
}

# %%
# Four figures for each pair
# --------------------------
# One Gaussian each, so that all are closed forms but the test.


def compare(first, second):
    """Return four figures of two species."""
    p, q = densities[first], densities[second]
    test = two_sample_test(samples[first], samples[second], random_state=0)
    return (
        kl_divergence(p, q),
        cauchy_schwarz_divergence(p, q),
        wasserstein(p, q),
        test.pvalue,
    )


print(f"{'':24}KL (nats)  C.-S. (nats)  Wasserstein (cm)  p-value")
for first, second in [
    ("setosa", "versicolor"),
    ("versicolor", "setosa"),
    ("versicolor", "virginica"),
]:
    surprise, overlap, way, chance = compare(first, second)
    name = f"{first}, {second}"
    print(f"{name:24}{surprise:9.1f}{overlap:14.1f}{way:18.2f}{chance:9.3f}")
half = samples["setosa"][::2], samples["setosa"][1::2]
chance = two_sample_test(*half, random_state=0).pvalue
print(f"halves of setosa: p-value {chance:.2f}")

# %%
# Away from itself
# ----------------

setosa = densities["setosa"].mixture_
shifts = np.geomspace(0.05, 4, 41)
curves = {"Kullback-Leibler": [], "Cauchy-Schwarz": [], "Wasserstein, cm": []}
for shift in shifts:
    moved = setosa.affine(1.0, [shift, 0.0, 0.0, 0.0])
    curves["Kullback-Leibler"].append(kl_divergence(setosa, moved))
    curves["Cauchy-Schwarz"].append(cauchy_schwarz_divergence(setosa, moved))
    curves["Wasserstein, cm"].append(wasserstein(setosa, moved))
print(f"moved by 4 cm: Wasserstein {curves['Wasserstein, cm'][-1]:.3f} cm")

figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
for color, (name, rows) in zip(
    ("#0072B2", "#E69F00", "#009E73"), samples.items(), strict=True
):
    axes[0].scatter(*rows[:, [0, 2]].T, s=14, color=color, label=name)
axes[0].set(xlabel=iris.feature_names[0], ylabel=iris.feature_names[2])
axes[0].legend()
for (name, values), dash in zip(curves.items(), ("-", "--", "-."), strict=True):
    axes[1].plot(shifts, values, dash, lw=2, label=name)
axes[1].set(xlabel="setosa moved by (cm)", ylabel="nats, or cm")
axes[1].set(xscale="log", yscale="log")
axes[1].legend()
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "four_distances.png", dpi=110)

"""
=====================================
Regression with several likely values
=====================================

Claim: where one x has several likely y, a network trained on squared errors
predicts their mean, which is none of them [1]_, and its likelihood is as bad as
that of one Gaussian. A mixture for each x finds the branches.

Three tasks whose conditional density is known: y is plus or minus the root of x,
plus or minus x, or on a ring around it. scikit-learn's network is compared with
:class:`~skgmje.ConditionalMixtureDensity` on 2000 samples, with two
short networks in place of five, for speed.

References
----------
.. [1] C. M. Bishop, "Mixture Density Networks", 1994.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.neural_network import MLPRegressor

from skgmje import ConditionalMixtureDensity
from skgmje.conditional import MixtureNetwork
from skgmje.datasets import ALIGNMENT_TASKS

OUT = Path(__file__).parent / "out"
# Densities are drawn down to this many nats below the highest.
DEPTH = 6
MEAN, MODE = "#D55E00", "#56B4E9"
SOURCE = ["prototypes", MixtureNetwork(n_members=2, max_iter=300)]

# %%
# Fit both, and judge them on new samples
# ---------------------------------------
# The network's density is a Gaussian around its prediction, with the variance of
# its residuals.


def gaussian_log_prob(y, mean, variance):
    """Compute the log-density of a Gaussian."""
    return -0.5 * ((y - mean) ** 2 / variance + np.log(2 * np.pi * variance))


def fit(name):
    """Return the data, both models, and three mean log-likelihoods."""
    task = ALIGNMENT_TASKS[name]
    X, Y = task.sample(2000, random_state=0)
    X_test, Y_test = task.sample(4000, random_state=1)
    density = ConditionalMixtureDensity(SOURCE, random_state=0).fit(X, Y.ravel())
    network = MLPRegressor(
        hidden_layer_sizes=(64, 64), max_iter=500, random_state=0
    ).fit(X, Y.ravel())
    variance = np.mean((Y.ravel() - network.predict(X)) ** 2)
    scores = {
        "truth": task.log_prob(X_test, Y_test).mean(),
        "mixture": density.score(X_test, Y_test.ravel()),
        "squared errors": gaussian_log_prob(
            Y_test.ravel(), network.predict(X_test), variance
        ).mean(),
    }
    return (X, Y), density, network, scores


fits = {name: fit(name) for name in ("sqrt", "cross", "ring")}
print(f"{'nats per sample':16}" + "".join(f"{name:>10}" for name in fits))
for label in ("truth", "mixture", "squared errors"):
    values = [scores[label] for *_, scores in fits.values()]
    print(f"{label:16}" + "".join(f"{value:10.3f}" for value in values))

# %%
# Look at them
# ------------

figure, axes = plt.subplots(1, 3, figsize=(12, 4.4), layout="constrained")
for axis, (name, ((X, Y), density, network, _)) in zip(axes, fits.items(), strict=True):
    x = np.linspace(X.min(), X.max(), 160)
    y = np.linspace(1.15 * Y.min(), 1.15 * Y.max(), 160)
    rows, targets = (grid.ravel() for grid in np.meshgrid(x, y))
    log_prob = density.log_prob(rows[:, None], targets).reshape(160, 160)
    log_prob -= log_prob.max()
    image = axis.pcolormesh(x, y, log_prob, vmin=-DEPTH, vmax=0, cmap="gray_r")
    axis.plot(x, network.predict(x[:, None]), color=MEAN, lw=2.5)
    mode = density.predict_mode(x[:, None])
    axis.plot(x, mode, "o", color=MODE, markersize=3)
    axis.set(title=name, xlabel="x", ylabel="y")
lines = [
    plt.Line2D([], [], color=MEAN, lw=2.5, label="mean of a network"),
    plt.Line2D([], [], color=MODE, marker="o", ls="", label="mode of the mixture"),
]
figure.legend(handles=lines, loc="outside lower center", ncols=2, frameon=False)
figure.colorbar(image, ax=axes, label="log p(y|x), nats below the highest")
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "branches.png", dpi=100)

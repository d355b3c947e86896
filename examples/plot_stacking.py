"""
================================================
Stacking densities of several coordinate systems
================================================

Claim: Gaussian mixtures want other coordinates for other data - the columns as they
are, normal scores of each column, or residuals of what the other columns predict. A
stack with weights by held-out likelihood [1]_ is about as good as whichever is best, or
better, without being told.

Three sets of two columns: blobs at an angle; a box with an edge, where the density
falls from its highest value to zero; and a curve that winds around a line. Mixtures in
each coordinate system, stacked over sizes and shrinkage, are compared with the stack
over all three systems by the log-likelihood of new samples.

References
----------
.. [1] P. Smyth and D. Wolpert, "Linearly combining density estimators via stacking",
   1999.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skgmje import StackingDensity

OUT = Path(__file__).parent / "out"
SPACES = ("identity", "marginal", "residual")
COLORS = ("#56B4E9", "#009E73", "#E69F00", "#D55E00")
# Densities are drawn down to this many nats below the highest.
DEPTH = 7


def blobs(n_rows, rng):
    """Four narrow blobs at different angles."""
    kind = rng.integers(4, size=n_rows)
    angle = np.pi / 4 * kind
    along, across = rng.normal(size=(2, n_rows)) * [[1.0], [0.15]]
    x = along * np.cos(angle) - across * np.sin(angle) + 3 * (kind % 2)
    y = along * np.sin(angle) + across * np.cos(angle) + 3 * (kind // 2)
    return np.column_stack([x, y])


def edges(n_rows, rng):
    """An exponential and a box, independent of each other."""
    return np.column_stack([rng.exponential(size=n_rows), rng.uniform(0, 3, n_rows)])


def wave(n_rows, rng):
    """A curve that winds around a line, with little noise."""
    x = 2 * rng.normal(size=n_rows)
    return np.column_stack([x, x + np.sin(1.5 * x) + 0.05 * rng.normal(size=n_rows)])


MAKERS = {"blobs": blobs, "edges": edges, "wave": wave}

# %%
# Fit every coordinate system, and all of them
# --------------------------------------------


def fit(make):
    """Return the stack over all systems, and four scores of new samples."""
    X, new = make(200, np.random.default_rng(0)), make(2000, np.random.default_rng(1))
    scores = {}
    for spaces in (*((space,) for space in SPACES), SPACES):
        stack = StackingDensity(spaces=spaces, cv=2, random_state=0).fit(X)
        scores["stack" if len(spaces) > 1 else spaces[0]] = stack.score(new)
    return X, stack, scores


fits = {name: fit(make) for name, make in MAKERS.items()}
print(f"{'nats per sample':16}" + "".join(f"{name:>10}" for name in fits))
for label in (*SPACES, "stack"):
    values = [scores[label] for *_, scores in fits.values()]
    print(f"{label:16}" + "".join(f"{value:10.3f}" for value in values))

# %%
# Look at them
# ------------

figure, axes = plt.subplots(
    2, 3, figsize=(11, 6.4), height_ratios=(3, 2), layout="constrained"
)
for (top, bottom), (name, (X, stack, scores)) in zip(axes.T, fits.items(), strict=True):
    pad = 0.15 * np.ptp(X, axis=0)
    grid = [
        np.linspace(column.min() - margin, column.max() + margin, 220)
        for column, margin in zip(X.T, pad, strict=True)
    ]
    points = np.stack(np.meshgrid(*grid), axis=-1)
    log_prob = stack.score_samples(points.reshape(-1, 2)).reshape(220, 220)
    log_prob -= log_prob.max()
    image = top.pcolormesh(*grid, log_prob, vmin=-DEPTH, vmax=0, cmap="gray_r")
    top.plot(*X.T, "o", color="#56B4E9", markersize=1.5)
    top.set(title=name, xlabel="feature 1", ylabel="feature 2")
    losses = [max(scores.values()) - score for score in scores.values()]
    bars = bottom.barh(list(scores), losses, color=COLORS)
    bottom.bar_label(bars, fmt="%.2f", padding=3)
    bottom.set(xlabel="nats per sample below the best", xlim=(0, 1.25 * max(losses)))
    bottom.invert_yaxis()
figure.colorbar(image, ax=axes[0], label="log p(x), nats below the highest")
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "stacking.png", dpi=100)

"""
=================================================
Number of components: held-out likelihood and BIC
=================================================

Claim: where the data really come from a few Gaussians, BIC and held-out likelihood
choose about as many. Where they do not, there is no true number, and held-out
likelihood takes as many components as make the density better, while BIC stops
early and loses likelihood.

BIC [1]_ pays half a log n for each parameter. Held-out likelihood is what
cross-validation measures, and what ``n_components="auto"`` goes by; shrinkage of the
covariances keeps many components from overfitting.

References
----------
.. [1] G. Schwarz, "Estimating the Dimension of a Model", 1978.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_circles
from sklearn.model_selection import KFold, cross_val_score

from skgmje import GaussianMixture
from skgmje.inspection import SelectionDisplay

OUT = Path(__file__).parent / "out"
BIC, HELD_OUT, NEW = "#E69F00", "#0072B2", "0.3"
SIZES = np.array([1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20])
FOLDS = KFold(5, shuffle=True, random_state=0)

# %%
# Two data sets
# -------------
# Five Gaussians, and two noisy circles. A large second draw says what each number of
# components is really worth.


def five_gaussians(n_rows, seed):
    """Draw from five Gaussians on a pentagon."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * rng.integers(5, size=n_rows) / 5
    centers = 3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return centers + rng.normal(size=(n_rows, 2)) * [0.9, 0.5]


def two_circles(n_rows, seed):
    """Draw from two circles, one in the other."""
    return make_circles(n_rows, noise=0.07, factor=0.5, random_state=seed)[0]


def judge(make_rows):
    """Return BIC, held-out and new-sample scores of each number of components."""
    rows, new_rows = make_rows(500, 0), make_rows(20_000, 1)
    columns = {"bic": [], "held-out": [], "new samples": []}
    for size in SIZES:
        density = GaussianMixture(size, shrinkage=2, random_state=0)
        held_out = cross_val_score(density, rows, cv=FOLDS).mean()
        density.fit(rows)
        columns["bic"].append(density.bic(rows) / len(rows))
        columns["held-out"].append(held_out)
        columns["new samples"].append(density.score(new_rows))
    return {name: np.array(values) for name, values in columns.items()}


results = {"five Gaussians": five_gaussians, "two circles": two_circles}
results = {name: judge(make_rows) for name, make_rows in results.items()}

# %%
# Four criteria of a search
# -------------------------
# ICL adds to BIC what it costs that clusters overlap; stability asks how alike fits to
# parts of the samples cluster all of them. A search has all that it is asked for in one
# table, here of two models: one covariance for all components, and one for each. Bars
# are standard errors.

CRITERIA = ["bic", "icl", "held-out", "stability"]
search = GaussianMixture(
    "auto", covariance_type=["EEE", "VVV"], criterion=CRITERIA, random_state=0
).fit(five_gaussians(500, 0))
panels, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
for axis, criterion in zip(axes.ravel(), CRITERIA, strict=True):
    display = SelectionDisplay.from_estimator(search, criterion=criterion, ax=axis)
    best = int(display.best_.get_xdata()[0])
    print(f"five Gaussians: {criterion} prefers {best}")
OUT.mkdir(exist_ok=True)
panels.savefig(OUT / "criteria.png", dpi=110)

# %%
# What each criterion chooses, and what the choice is worth
# ---------------------------------------------------------

choices = {}
for name, columns in results.items():
    best = {"bic": columns["bic"].argmin(), "held-out": columns["held-out"].argmax()}
    choices[name] = best
    for criterion, i in best.items():
        print(
            f"{name}: {criterion} chooses {SIZES[i]}, "
            f"worth {columns['new samples'][i]:.3f} nats per new sample"
        )

# %%
# The curves
# ----------

figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
for axis, (name, columns) in zip(axes, results.items(), strict=True):
    # Half of minus BIC has the units of a log-likelihood.
    curves = {
        "minus BIC / 2 per sample": (
            -columns["bic"] / 2,
            BIC,
            "s",
            choices[name]["bic"],
        ),
        "held-out samples": (
            columns["held-out"],
            HELD_OUT,
            "o",
            choices[name]["held-out"],
        ),
    }
    axis.plot(
        SIZES, columns["new samples"], color=NEW, ls=":", label="20 000 new samples"
    )
    for label, (values, color, marker, chosen) in curves.items():
        axis.plot(SIZES, values, color=color, marker=marker, ms=4, label=label)
        axis.plot(SIZES[chosen], values[chosen], marker, color=color, ms=11, mfc="none")
    axis.set(title=name, xlabel="number of components", ylabel="nats per sample")
axes[0].legend(title="rings mark the choice")
figure.savefig(OUT / "choose_components.png", dpi=110)

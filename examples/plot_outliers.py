"""
====================================================
Outlier detection with contaminated training samples
====================================================

Claim: a flexible density that is fitted with outliers among its samples learns them,
as components of their own, and no longer finds many of them. The product of the same
mixture's marginals loses less, but does not see how columns depend on each other.
:class:`~skgmje.DensityOutlierDetector` takes a weighted mean of both logarithms; by
default it loses little with clean training samples, and nothing with contaminated ones.

Normal samples are on two crossed bars in 8 columns; a tenth of the samples are
outliers, in a loose cloud beside them. New samples are scored by detectors that were
fitted to normal samples only, and to samples with outliers.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from skgmje import DensityOutlierDetector

OUT = Path(__file__).parent / "out"
CLEAN, CONTAMINATED = "#0072B2", "#D55E00"

# %%
# Samples, and detectors of both kinds
# ------------------------------------
# ``marginal_weight`` goes from the density alone, 0, to its marginals alone, 1.


def draw(n_normal, n_outliers, rng):
    """Return samples, and which of them are outliers."""
    shared = rng.normal(size=(n_normal, 1)) * [1, 1, 1, 1, -1, -1, -1, -1]
    sign = rng.choice([-1, 1], size=(n_normal, 1)) * np.array([1, -1] * 4)
    normal = np.where(rng.random((n_normal, 1)) < 0.5, shared, shared * sign)
    normal = normal + 0.4 * rng.normal(size=normal.shape)
    outliers = rng.normal(2.0, 0.5, size=(n_outliers, 8))
    return np.vstack([normal, outliers]), np.arange(n_normal + n_outliers) >= n_normal


WEIGHTS = np.linspace(0, 1, 5)
areas = {"clean": [], "contaminated": []}
forests = {"clean": [], "contaminated": []}
for seed in range(2):
    rng = np.random.default_rng(seed)
    X, is_outlier = draw(900, 100, rng)
    X_new, is_outlier_new = draw(900, 100, rng)
    for name, rows in {"clean": X[~is_outlier], "contaminated": X}.items():
        detectors = [
            DensityOutlierDetector(marginal_weight=weight, random_state=seed).fit(rows)
            for weight in WEIGHTS
        ]
        areas[name].append(
            [roc_auc_score(is_outlier_new, -d.score_samples(X_new)) for d in detectors]
        )
        forest = IsolationForest(random_state=seed).fit(rows)
        forests[name].append(
            roc_auc_score(is_outlier_new, -forest.score_samples(X_new))
        )

columns = ("density", "default", "marginals", "forest")
print(f"{'area under ROC':16}" + "".join(f"{column:>10}" for column in columns))
for name in areas:
    means = np.mean(areas[name], axis=0)[[0, 3, 4]]
    print(
        f"{name:16}" + "".join(f"{v:10.3f}" for v in [*means, np.mean(forests[name])])
    )

# %%
# Look at the weights
# -------------------

figure, axis = plt.subplots(figsize=(8, 4.6), layout="constrained")
styles = {
    "clean": {"color": CLEAN, "marker": "o"},
    "contaminated": {"color": CONTAMINATED, "marker": "s"},
}
for name, style in styles.items():
    axis.plot(
        WEIGHTS, np.mean(areas[name], axis=0), lw=2, label=f"{name} samples", **style
    )
    axis.axhline(
        np.mean(forests[name]),
        color=style["color"],
        ls=":",
        label=f"isolation forest, {name} samples",
    )
axis.axvline(0.75, color="0.6", lw=1, zorder=0)
axis.text(0.76, 0.75, "default", color="0.4")
axis.set_xticks([0, 0.25, 0.5, 0.75, 1])
axis.set_xticklabels(["0\ndensity alone", "0.25", "0.5", "0.75", "1\nmarginals alone"])
axis.set(xlabel="marginal_weight", ylabel="area under ROC")
figure.legend(frameon=False, loc="outside lower center", ncols=2)
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "outliers.png", dpi=100)

"""
=================================================
Grid search over cost, refinement and transformer
=================================================

Claim: the estimators are scikit-learn's to the letter, so ``GridSearchCV`` chooses
cost, refinement and transformer of a density by held-out
log-likelihood, in the units of the data. Here the transformer matters more than the
cost.

The measurements of 178 wines. :class:`~skgmje.TransformedDensity` stands in for the
usual pipeline because some of the candidates change the transformer: without its
log-Jacobian their scores could not be compared.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.preprocessing import PowerTransformer, StandardScaler

from skgmje import KernelMixtureDensity, TransformedDensity

OUT = Path(__file__).parent / "out"
COSTS = ["scalar", "vector-matrix", "matrix-matrix", "svd"]
COLOURS = ["#E69F00", "#0072B2", "#009E73", "#D55E00"]
X = load_wine().data[:, [0, 6, 9]]  # alcohol, flavanoids, colour intensity

# %%
# Search
# ------
# Four costs, with means that stay where the cost put them or that EM moves, behind
# two transformers.

density = TransformedDensity(
    StandardScaler(),
    KernelMixtureDensity(4, covariance_type="full", max_iter=50, random_state=0),
)
grid = {
    "density__cost": COSTS,
    "density__refine": ["covariances", "em"],
    "transformer": [StandardScaler(), PowerTransformer()],
}
folds = KFold(3, shuffle=True, random_state=0)  # the wines are sorted by grower
search = GridSearchCV(density, grid, cv=folds).fit(X)
best = search.best_params_
print(
    f"best of {len(search.cv_results_['params'])}: {search.best_score_:.3f} nats with"
)
for name, value in best.items():
    print(f"  {name} = {value}")

# %%
# Look at all of them
# -------------------
# Points are the three folds, lines their means.

names = {
    "covariances": "weights and covariances, by EM",
    "em": "means too, by EM",
}
figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), sharey=True, layout="constrained")
table = search.cv_results_
for axis, (refine, title) in zip(axes, names.items(), strict=True):
    for shift, kind in ((-0.18, StandardScaler), (0.18, PowerTransformer)):
        for place, (cost, colour) in enumerate(zip(COSTS, COLOURS, strict=True)):
            (row,) = [
                i
                for i, params in enumerate(table["params"])
                if params["density__cost"] == cost
                and params["density__refine"] == refine
                and isinstance(params["transformer"], kind)
            ]
            scores = [table[f"split{fold}_test_score"][row] for fold in range(3)]
            axis.scatter(
                [place + shift] * 3,
                scores,
                marker="o" if kind is StandardScaler else "D",
                facecolors="white" if kind is StandardScaler else colour,
                edgecolors=colour,
            )
            axis.hlines(
                np.mean(scores),
                place + shift - 0.14,
                place + shift + 0.14,
                colour,
                lw=2,
            )
    axis.set_xticks(range(4), [cost.replace("-", "-\n") for cost in COSTS])
    axis.set_title(title)
    axis.grid(axis="y", alpha=0.3)
axes[0].set_ylabel("held-out nats per sample")
for marker, face, kind in (
    ("o", "white", "StandardScaler"),
    ("D", "0.3", "PowerTransformer"),
):
    axes[1].scatter(
        [], [], marker=marker, facecolors=face, edgecolors="0.3", label=kind
    )
handles, labels = axes[1].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "grid_search.png", dpi=110)

"""
=====================================
Where four kernel costs place centers
=====================================

Claim: the four kernel costs [1]_ place the centers of a mixture in two ways, scalar
like vector-matrix and matrix-matrix like SVD. Once EM has moved them, the
densities nearly agree.

A network places ten centers among two moons, under one cost after the other. Two
densities follow: with ``refine="covariances"``, the default, the centers are the means
and stay, and likelihood sets weights and covariances; ``refine="em"`` lets EM move
them too.

References
----------
.. [1] B. Hu and J. C. Principe, "A Family of Kernelized Matrix Costs for
   Multiple-Output Mixture Neural Networks", 2025. arXiv:2509.24076
"""

from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.datasets import make_moons

from skgmje import KernelMixtureDensity
from skgmje.costs import COSTS
from skgmje.inspection import MixtureDisplay

OUT = Path(__file__).parent / "out"
CENTERS = "#D55E00"

train, _ = make_moons(500, noise=0.08, random_state=0)
held_out, _ = make_moons(4000, noise=0.08, random_state=1)

# %%
# Fit each cost, with means that stay and that move
# -------------------------------------------------
# The score is the mean log-likelihood of new samples, in nats: higher is better.

fits = {
    refine: {
        cost: KernelMixtureDensity(
            10, covariance_type="full", cost=cost, refine=refine, random_state=0
        ).fit(train)
        for cost in COSTS
    }
    for refine in ("covariances", "em")
}
nats = {
    refine: {cost: density.score(held_out) for cost, density in by_cost.items()}
    for refine, by_cost in fits.items()
}
print(f"{'nats per sample':15}{'means stay':>12}{'move':>9}")
for cost in COSTS:
    print(f"{cost:15}{nats['covariances'][cost]:12.3f}{nats['em'][cost]:9.3f}")
gaps = [np.ptp(list(by_cost.values())) for by_cost in nats.values()]
print(f"{'best - worst':15}{gaps[0]:12.3f}{gaps[1]:9.3f}")

# %%
# How far apart the placed centers are
# ------------------------------------
# The mean distance of two costs' centers, paired so that it is smallest. The moons
# are about three wide.


def distance(first, second):
    """Return the mean distance of paired centers."""
    distances = cdist(first, second)
    return distances[linear_sum_assignment(distances)].mean()


placed = {cost: density.means_ for cost, density in fits["covariances"].items()}
for first, second in combinations(COSTS, 2):
    print(f"{first} and {second}: {distance(placed[first], placed[second]):.3f}")

# %%
# Look at the centers
# -------------------

figure, axes = plt.subplots(
    2, 4, figsize=(13, 6), sharex=True, sharey=True, layout="constrained"
)
for column, cost in zip(axes.T, COSTS, strict=True):
    for axis, (refine, by_cost) in zip(column, fits.items(), strict=True):
        MixtureDisplay.from_estimator(by_cost[cost], ax=axis, coverage=[0.9])
        axis.scatter(*train.T, s=3, color="0.75", linewidths=0, zorder=0)
        axis.scatter(*by_cost[cost].means_.T, s=45, color=CENTERS, marker="X", zorder=3)
        axis.set(title=f"{cost}: {nats[refine][cost]:.3f} nats", xlabel="", ylabel="")
for axis, stage in zip(axes[:, 0], ("means stay", "means move"), strict=True):
    axis.set_ylabel(f"{stage}\nfeature 1")
for axis in axes[1]:
    axis.set_xlabel("feature 0")
figure.suptitle(
    "Means where each cost puts them, and where EM moves them, with 90 % regions"
)
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "costs.png", dpi=110)

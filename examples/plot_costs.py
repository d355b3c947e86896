"""
=====================================
Where four costs put the same centres
=====================================

Claim: the four kernel costs [1]_ place the centres of a mixture in two ways, scalar
like vector-matrix and matrix-matrix like SVD. Once EM has moved them, the
densities nearly agree.

A network places ten centres among two moons, under one cost after the other. Two
densities follow: ``refine="weights"`` leaves the centres in place and only sets
weights and one common variance; ``refine="em"`` lets EM move the centres and fit
their covariances.

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
CENTRES = "#D55E00"

train, _ = make_moons(500, noise=0.08, random_state=0)
held_out, _ = make_moons(4000, noise=0.08, random_state=1)

# %%
# Fit each cost, without and with the refinement
# ------------------------------------------
# The score is the mean log-likelihood of new rows, in nats: higher is better.

fits = {
    refine: {
        cost: KernelMixtureDensity(
            10, covariance_type="full", cost=cost, refine=refine, random_state=0
        ).fit(train)
        for cost in COSTS
    }
    for refine in ("weights", "em")
}
nats = {
    refine: {cost: density.score(held_out) for cost, density in by_cost.items()}
    for refine, by_cost in fits.items()
}
print(f"{'nats per row':15}{'as placed':>11}{'refined':>10}")
for cost in COSTS:
    print(f"{cost:15}{nats['weights'][cost]:11.3f}{nats['em'][cost]:10.3f}")
gaps = [np.ptp(list(by_cost.values())) for by_cost in nats.values()]
print(f"{'best - worst':15}{gaps[0]:11.3f}{gaps[1]:10.3f}")

# %%
# How far apart the placed centres are
# ------------------------------------
# The mean distance of two costs' centres, paired so that it is smallest. The moons
# are about three wide.


def distance(first, second):
    """Return the mean distance of paired centres."""
    distances = cdist(first, second)
    return distances[linear_sum_assignment(distances)].mean()


placed = {cost: density.means_ for cost, density in fits["weights"].items()}
for first, second in combinations(COSTS, 2):
    print(f"{first} and {second}: {distance(placed[first], placed[second]):.3f}")

# %%
# Look at the centres
# -------------------

figure, axes = plt.subplots(
    2, 4, figsize=(13, 6), sharex=True, sharey=True, layout="constrained"
)
for (before, after), cost in zip(axes.T, COSTS, strict=True):
    before.scatter(*placed[cost].T, s=45, color=CENTRES, marker="X")
    before.set_title(f"{cost}\nas placed: {nats['weights'][cost]:.3f} nats")
    MixtureDisplay.from_estimator(fits["em"][cost], ax=after, coverage=[0.9])
    after.set(
        title=f"refined: {nats['em'][cost]:.3f} nats", xlabel="feature 0", ylabel=""
    )
    for axis in (before, after):
        axis.scatter(*train.T, s=3, color="0.75", linewidths=0, zorder=0)
for axis in axes[:, 0]:
    axis.set_ylabel("feature 1")
figure.suptitle("Centres as each cost places them, and components after the refinement")
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "costs.png", dpi=110)

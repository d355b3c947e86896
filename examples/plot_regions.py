"""
==============================================
Highest-density regions and conformal coverage
==============================================

Claim: where the target lies on one of several branches, the smallest region that has
90 % of it is less than half as long as the central interval, and covers as often; after
calibration on samples that were not fitted it covers what it says even if the density
is wrong.

Two branches that cross, and a density of one Gaussian for each x, which is wrong.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skgmje import ConditionalMixtureDensity, GaussianMixture
from skgmje.datasets import ALIGNMENT_TASKS
from skgmje.inspection import RegionDisplay

OUT = Path(__file__).parent / "out"
COVERAGE = 0.9
task = ALIGNMENT_TASKS["cross"]
(X, y), (X_new, y_new), (X_test, y_test) = (
    (X, Y.ravel())
    for X, Y in (task.sample(n, random_state=i) for i, n in enumerate((1000, 500, 800)))
)

# %%
# Intervals and regions
# ---------------------

source = GaussianMixture(16, shrinkage=2)
density = ConditionalMixtureDensity(source, random_state=0).fit(X, y)
one = ConditionalMixtureDensity(GaussianMixture(), random_state=0).fit(X, y)


def judge(name, length, inside):
    """Print how long predictions are, and how often they are right."""
    print(f"{name:34} mean length {np.mean(length):.2f}, covers {np.mean(inside):.3f}")


def judge_regions(name, density):
    """Judge the regions of new samples."""
    region = density.predict_region(X_test, COVERAGE)
    length = [np.diff(ends, axis=1).sum() for ends in region.intervals]
    judge(name, length, region.contains(y_test[:, None]))


lower, upper = density.predict_interval(X_test, COVERAGE)
judge("central intervals", upper - lower, (lower <= y_test) & (y_test <= upper))
judge_regions("regions", density)
judge_regions("regions of one Gaussian", one)
judge_regions("  the same, calibrated", one.calibrate(X_new, y_new))
judge_regions("regions of the mixture, calibrated", density.calibrate(X_new, y_new))

# %%
# What they look like
# -------------------

figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
for axis, title, model in zip(
    axes,
    ("a mixture for each x", "one Gaussian for each x"),
    (density, one),
    strict=True,
):
    RegionDisplay.from_estimator(model, X_test, y_test, ax=axis)
    axis.set(title=title, xlabel="x", ylabel="y")
at = np.sort(X_test[::20], axis=0)
lower, upper = density.predict_interval(at, COVERAGE)
for ends, label in ((lower, "interval, 90 %"), (upper, None)):
    axes[0].plot(at.ravel(), ends, "--", color="black", lw=1.5, label=label)
axes[0].legend()
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "regions.png", dpi=110)

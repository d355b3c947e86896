"""
===================================
Calibration of prediction intervals
===================================

Claim: on noise whose width changes with x, the intervals of a model with one error bar
for all are too wide in one place and too narrow in another; those of a conditional
density cover what they state everywhere.

The probability integral transform is the distribution function of each prediction at
its target. Under the true density it is uniform, overall and in every part of the data.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from skgmje import ConditionalMixtureDensity, Mixture
from skgmje.conditional import MixtureNetwork
from skgmje.metrics import crps, interval_coverage, probability_integral_transform

OUT = Path(__file__).parent / "out"
COLOURS = {"one error bar for all": "#D55E00", "ConditionalMixtureDensity": "#0072B2"}


def draw(n_samples, seed):
    """Generate a wave whose noise grows tenfold from left to right."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, n_samples)
    return x[:, None], np.sin(6 * x) + rng.normal(size=n_samples) * (0.05 + 0.45 * x)


X, y = draw(1000, seed=0)
X_test, y_test = draw(5000, seed=1)

# %%
# Two models with error bars
# --------------------------
# A Bayesian spline regression has one noise level. What it predicts, a mean and a
# standard deviation per sample, is a mixture with one component per sample.

spline = make_pipeline(SplineTransformer(10), BayesianRidge()).fit(X, y)
# The default, with two short networks in place of five, for speed.
source = ["prototypes", MixtureNetwork(n_members=2, max_iter=300)]
density = ConditionalMixtureDensity(source, random_state=0).fit(X, y)


def one_error_bar(rows):
    """Return the predictive densities of the spline regression."""
    mean, deviation = spline.predict(rows, return_std=True)
    variance = deviation[:, None] ** 2
    return Mixture(np.ones(1), mean[:, None, None], variance, "spherical")


models = {
    "one error bar for all": one_error_bar,
    "ConditionalMixtureDensity": density.predict_mixture,
}

# %%
# Coverage of the 90 % intervals, by thirds of x
# ----------------------------------------------

thirds = np.minimum((3 * X_test[:, 0]).astype(int), 2)
coverages = {}
for name, predict in models.items():
    overall = predict(X_test)
    coverages[name] = [
        interval_coverage(y_test[thirds == third], predict(X_test[thirds == third]))
        for third in range(3)
    ]
    print(
        f"{name}: {interval_coverage(y_test, overall):.3f} over all; by thirds "
        f"{np.round(coverages[name], 3)}; CRPS {crps(y_test, overall):.4f}"
    )

# %%
# Look at them
# ------------
# Left, the probability integral transforms of new samples: flat histograms are
# calibrated. Right, the coverage of intervals of 90 %.

figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.2), layout="constrained")
for axis, (name, predict) in zip(axes, models.items(), strict=False):
    levels = probability_integral_transform(y_test, predict(X_test))
    axis.hist(levels, bins=20, density=True, color=COLOURS[name], edgecolor="white")
    axis.axhline(1, color="black", linestyle="--")
    axis.set(title=name, xlabel="probability integral transform", ylim=(0, 1.8))
axes[0].set_ylabel("density of new samples")
places = np.arange(3)
for shift, (name, shares) in zip((-0.2, 0.2), coverages.items(), strict=True):
    bars = axes[2].bar(places + shift, shares, 0.38, color=COLOURS[name], label=name)
    labels = [f"{share:.0%}" for share in shares]
    axes[2].bar_label(bars, labels, label_type="center", color="white", weight="bold")
axes[2].axhline(0.9, color="black", linestyle="--")
axes[2].set_xticks(places, ["low noise", "medium noise", "high noise"])
axes[2].set(title="share within the 90 % interval", ylim=(0, 1.25))
axes[2].legend(loc="upper right", fontsize=9)
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "calibration.png", dpi=110)

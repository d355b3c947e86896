"""
==========================================
Prediction intervals of a stack on a table
==========================================

Claim: on a table, mixture density networks that see the held-out predictions of a
Gaussian process, trees and boosting predict better than the same networks without
them, and better than the process; and their intervals are as wide as they should be.

The target depends on five of eight features [1]_, smoothly; its noise grows with
another feature, and one sample in ten is far off to one side. 500 samples are for
training, 2000 for testing.

References
----------
.. [1] J. H. Friedman, "Multivariate Adaptive Regression Splines", The Annals of
   Statistics 19, 1991.
"""

import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from skgmje import Mixture, StackingConditionalDensity
from skgmje.metrics import crps, interval_coverage

OUT = Path(__file__).parent / "out"
COLORS = {"Gaussian process": "#999999", "networks": "#D55E00", "stack": "#0072B2"}
# Fewer and shorter networks than by default, for speed.
SETTINGS = {"n_members": 3, "max_iter": 200, "random_state": 0}


def draw(n, seed):
    """Return features and targets, with noise of changing size and a far branch."""
    X, signal = make_friedman1(n, n_features=8, random_state=seed)
    rng = np.random.default_rng(seed)
    noise = 2.0 * X[:, 5] * rng.normal(size=n)
    return X, signal + noise + 5.0 * (rng.uniform(size=n) < 0.1)


X, y = draw(500, seed=0)
X_test, y_test = draw(2000, seed=1)

# %%
# Fit the process, the networks alone, and the stack of both and more
# -------------------------------------------------------------------

start = time.process_time()
stack = StackingConditionalDensity(**SETTINGS).fit(X, y)
print(f"stack: fit in {time.process_time() - start:.1f} CPU seconds")
networks = StackingConditionalDensity(None, **SETTINGS).fit(X, y)
kernel = ConstantKernel() * RBF(np.ones(8), (1e-2, 1e10)) + WhiteKernel()
process = GaussianProcessRegressor(kernel, normalize_y=True).fit(X[:300], y[:300])
mean, std = process.predict(X_test, return_std=True)
predicted = {
    "Gaussian process": Mixture(
        np.ones((2000, 1)), mean[:, None, None], std[:, None, None] ** 2, "diag"
    ),
    "networks": networks.predict_mixture(X_test),
    "stack": stack.predict_mixture(X_test),
}
scores = {
    name: (-m.log_prob(y_test[:, None]).mean(), crps(y_test, m))
    for name, m in predicted.items()
}
for name, (nll, score) in scores.items():
    covered = interval_coverage(y_test, predicted[name])
    print(f"{name:17} NLL {nll:.3f}, CRPS {score:.3f}, 90 % interval {covered:.1%}")
print("held-out samples said: NLL", round(stack.oof_nll_, 3), end=", ")
print(f"90 % interval {stack.oof_coverage_:.1%}")
print("RMSE held out:", {k: round(v, 2) for k, v in stack.member_rmse_.items()})

# %%
# Scores, and intervals from the least to the most noisy samples
# --------------------------------------------------------------
# The samples are sorted by the feature that sets the noise. The intervals widen with
# it, and reach further up than down, where the far branch is.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4.2), width_ratios=[1, 1.6], layout="constrained"
)
for k in range(2):
    for j, (name, values) in enumerate(scores.items()):
        bar = left.bar(k + 0.26 * (j - 1), values[k], 0.24, color=COLORS[name])
        left.bar_label(bar, fmt="%.2f", fontsize=9)
        if k == 0:
            bar.set_label(name)
left.set(xticks=[0, 1], xticklabels=["NLL, nats", "CRPS"], title="2000 new samples")
left.legend(loc="upper right", frameon=False)
left.spines[["top", "right"]].set_visible(False)
left.set_ylim(0, 1.3 * max(max(values) for values in scores.values()))

shown = np.sort(np.random.default_rng(0).choice(2000, 150, replace=False))
shown = shown[np.argsort(X_test[shown, 5])]
center = stack.predict_quantile(X_test[shown], 0.5)
lower, upper = stack.predict_interval(X_test[shown], 0.9)
noise = X_test[shown, 5]
right.vlines(noise, lower - center, upper - center, color="#0072B2", alpha=0.35, lw=3)
off = y_test[shown] - center
inside = (y_test[shown] >= lower) & (y_test[shown] <= upper)
right.plot(noise[inside], off[inside], ".", color="#333333", label="inside")
right.plot(noise[~inside], off[~inside], "x", color="#D55E00", label="outside")
right.set(
    xlabel="feature that sets the noise",
    ylabel="target less predicted median",
    title="90 % intervals of the stack",
)
right.legend(loc="upper left", framealpha=0.9)
right.spines[["top", "right"]].set_visible(False)
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "conditional_stack.png", dpi=120)

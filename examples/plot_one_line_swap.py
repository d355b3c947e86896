"""
===============================================
From scikit-learn's GaussianMixture in one line
===============================================

Claim: change the import of a script that uses scikit-learn's ``GaussianMixture`` and
it prints the same numbers; then it can also tell some columns from the others, take
samples with gaps, and choose its own settings.

The measurements of 150 irises; nothing else is needed.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture as Before

from skgmje import GaussianMixture
from skgmje.inspection import DensityDisplay

OUT = Path(__file__).parent / "out"
X = load_iris().data

# %%
# The same numbers
# ----------------
# Only the class differs.

fits = [Class(3, random_state=0).fit(X) for Class in (Before, GaussianMixture)]
for fit in fits:
    print(
        f"{type(fit).__module__.split('.')[0]:>8}: {fit.score(X):.6f} nats per sample"
    )
difference = np.abs(fits[0].score_samples(X) - fits[1].score_samples(X)).max()
agree = np.mean(fits[0].predict(X) == fits[1].predict(X))
print(
    f"largest difference of a row's log-density {difference:.1e}; labels: {agree:.0%}"
)

# %%
# What the new line brings
# ------------------------
# Conditionals: the petals of a flower whose sepals are known.

mixture = fits[1]
petals = mixture.condition([0, 1], [5.0, 3.4])
print("petal length and width, given sepals 5.0 and 3.4:", petals.mean.round(2))
print("standard deviations:", np.sqrt(np.diagonal(petals.covariance)).round(2))

# %%
# Samples with gaps, in fitting and in scoring:

gaps = X.copy()
gaps[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
patchy = GaussianMixture(3, random_state=0).fit(gaps)
print(
    f"fitted with a fifth of the entries missing: {patchy.score(X):.3f} nats per sample"
)

# %%
# And settings that held-out samples have chosen:

chosen = GaussianMixture(
    "auto", covariance_type="auto", shrinkage="auto", random_state=0
).fit(X)
print(f"chosen: {chosen.mixture_.n_components} components, {chosen.covariance_type_}")

# %%
# Look at them
# ------------
# The first two panels are equal because the mixtures are; the third is what the
# second mixture says of the petals once the sepals are known.

figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.4), layout="constrained")
titles = "before: scikit-learn", "after: skgmje"
for axis, fit, title in zip(axes[:2], fits, titles, strict=True):
    DensityDisplay.from_estimator(fit, X, features=(0, 1), ax=axis, show_colorbar=False)
    axis.set(title=title, xlabel="sepal length (cm)", ylabel="sepal width (cm)")
    axis.plot(5.0, 3.4, "*", color="#D55E00", markersize=15, markeredgecolor="white")
DensityDisplay.from_estimator(petals, X[:, 2:], ax=axes[2], show_colorbar=False)
axes[2].set(
    title="only after: petals, given the starred sepals",
    xlabel="petal length (cm)",
    ylabel="petal width (cm)",
)
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "one_line_swap.png", dpi=110)

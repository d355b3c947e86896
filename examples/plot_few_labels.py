"""
======================================================
Semi-supervised classification with two labels a class
======================================================

Claim: where classes are clusters, a mixture learns their shapes from samples without a
label, and two labels for each class are enough to name them. A constant density in the
background keeps the shapes of clusters clear of samples that belong to none.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.semi_supervised import LabelSpreading

from skgmje import GaussianMixture, MixtureClassifier

OUT = Path(__file__).parent / "out"
COLORS = np.array(["#0072B2", "#D55E00", "#009E73", "#999999"])

# %%
# Long clusters, two labels each
# ------------------------------
# -1 is no label.

rng = np.random.default_rng(0)
y = rng.integers(3, size=450)
shapes = np.array([[[4, 0], [0, 0.5]], [[0.5, 0], [0, 4]], [[2.5, 2.5], [-0.4, 0.4]]])
X = np.array([[0, 0], [5, 3], [-3, 6]])[y]
X = X + np.einsum("nd,nde->ne", rng.normal(size=(450, 2)), shapes[y])
known = np.concatenate([np.flatnonzero(y == c)[:2] for c in range(3)])
labels = np.full(450, -1)
labels[known] = y[known]

classifiers = {
    "mixture": MixtureClassifier(random_state=0).fit(X, labels),
    "mixture, labelled samples alone": MixtureClassifier(random_state=0).fit(
        X[known], y[known]
    ),
    "LabelSpreading": LabelSpreading("rbf", gamma=1.0).fit(X, labels),
}
hidden = labels < 0
for name, classifier in classifiers.items():
    print(f"{name:32} accuracy {classifier.score(X[hidden], y[hidden]):.2f}")

# %%
# Noise around them
# -----------------

noise = rng.uniform([-14, -6], [16, 12], size=(150, 2))
rows, truth = np.vstack([X, noise]), np.r_[y, np.full(150, 3)]
told = GaussianMixture(3, background=True, random_state=0).fit(rows)
found = told.predict(rows)
print(f"background: weight {told.background_weight_:.2f}, true share 0.25")
print(f"noise that is found: {(found[450:] == -1).mean():.2f}")
print(f"samples of clusters taken for noise: {(found[:450] == -1).mean():.2f}")

# %%
# Look at both
# ------------

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
left.scatter(*X.T, c=COLORS[classifiers["mixture"].predict(X)], s=9)
left.scatter(*X[known].T, c=COLORS[y[known]], s=110, marker="*", edgecolors="black")
left.set_title("stars have labels, colours are predicted")
right.scatter(*rows.T, c=COLORS[found], s=9)
right.set_title("grey: background")
left.set(xlabel="feature 0", ylabel="feature 1")
right.set(xlabel="feature 0")
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "few_labels.png", dpi=100)

"""
==============
Missing values
==============

Claim: a mixture can be fitted to incomplete samples as they are. Where a tenth of the
entries or more is missing, that gives a better density than dropping samples, filling
in means, or filling in regressions, and the more is missing, the more so.

EM for incomplete samples takes the expectation over what is missing [1]_: every entry
that is there counts, and none is invented. What a regression fills in lies on a plane,
and a density of such samples is too narrow. Entries of the training samples are hidden
at random; the densities are judged on complete new samples.

References
----------
.. [1] Z. Ghahramani and M. I. Jordan, "Supervised Learning from Incomplete Data via an
   EM Approach", 1993.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skgmje import GaussianMixture

OUT = Path(__file__).parent / "out"
STYLES = {
    "samples as they are": {"color": "#0072B2", "marker": "o", "ls": "-"},
    "regressions first": {"color": "#009E73", "marker": "s", "ls": "--"},
    "means first": {"color": "#E69F00", "marker": "^", "ls": "-."},
    "complete samples only": {"color": "#D55E00", "marker": "X", "ls": ":"},
}
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)

# %%
# Six measurements of tumours, standardised
# -----------------------------------------

columns = load_breast_cancer().data[:, [0, 1, 4, 6, 8, 9]]
train, test = train_test_split(
    StandardScaler().fit_transform(columns), test_size=0.4, random_state=0
)
density = GaussianMixture(3, shrinkage=10, reg_covar=1e-3, random_state=0)


def fill(imputer):
    return lambda rows: imputer.fit_transform(rows)


preparations = {
    "samples as they are": lambda rows: rows,
    "regressions first": fill(IterativeImputer(tol=0.1, random_state=0)),
    "means first": fill(SimpleImputer()),
    "complete samples only": lambda rows: rows[~np.isnan(rows).any(axis=1)],
}

# %%
# Hide entries, fit, judge
# ------------------------
# An error is the root mean square of what an entry was filled with minus what it was,
# in standard deviations. Dropped samples have none, and too few samples give no
# density.

nats = {name: [] for name in STYLES}
errors = {name: [] for name in STYLES}
for share in SHARES:
    hidden = np.random.default_rng(0).random(train.shape) < share
    rows = np.where(hidden, np.nan, train)
    for name, prepare in preparations.items():
        prepared = prepare(rows)
        if len(prepared) < 2 * train.shape[1]:
            nats[name].append(np.nan)
            continue
        density.fit(prepared)
        nats[name].append(density.score(test))
        if name == "complete samples only":
            continue
        filled = density.impute(rows) if np.isnan(prepared).any() else prepared
        errors[name].append(np.sqrt(np.mean((filled - train)[hidden] ** 2)))

complete = density.fit(train).score(test)
print(f"nothing hidden: {complete:.2f} nats per new sample")
print(f"{'hidden':24}" + "".join(f"{share:8.0%}" for share in SHARES))
for label, table in {"nats": nats, "error": errors}.items():
    for name, values in table.items():
        if values:
            line = "".join(f"{value:8.2f}" for value in values)
            print(f"{label:6}{name:18}{line}")

# %%
# Both against the share that was hidden
# --------------------------------------

figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
for axis, table in zip(axes, (nats, errors), strict=True):
    for name, values in table.items():
        if values:
            axis.plot(
                np.multiply(SHARES, 100), values, label=name, lw=2, **STYLES[name]
            )
    axis.set_xlabel("hidden entries (%)")
axes[0].axhline(complete, color="0.3", lw=1, label="nothing hidden")
axes[0].set(
    title="density of complete new samples",
    ylabel="nats per sample",
    ylim=(complete - 7, complete + 0.5),
)
axes[1].set(title="entries filled in", ylabel="error (standard deviations)")
axes[0].legend(loc="lower left")
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "missing_values.png", dpi=110)

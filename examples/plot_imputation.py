"""
==============================
Multiple imputation of a table
==============================

Claim: where values are missing more often in some samples than in others, a regression
on the complete samples alone, or on a table filled in once, by column means or by
conditional means, gives an interval that does not hold what the whole table says.
Pooled over several tables, each drawn from a density fitted anew, the interval is wider
and holds it.

A mixture knows the density of what a sample lacks given what is there: its mean fills
in, its standard deviation says how well, its draws make tables. Rubin's rules pool what
is estimated from each [1]_.

References
----------
.. [1] D. B. Rubin, "Multiple Imputation for Nonresponse in Surveys", 1987.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import scale

from skgmje.impute import MixtureImputer, pool_estimates

OUT = Path(__file__).parent / "out"

# %%
# Measurements of 442 patients, and what is missing
# -------------------------------------------------
# Body-mass index and a blood value (s5) are missing more often where the disease has
# progressed: at random given what is there, and not completely at random.

data = load_diabetes(as_frame=True).frame[["bmi", "bp", "s3", "s5", "target"]]
table = scale(data)
n_samples = len(table)
rng = np.random.default_rng(0)
chance = 0.9 / (1 + np.exp(-2 * table[:, 4]))
hidden = np.zeros(table.shape, bool)
hidden[:, [0, 3]] = rng.random((n_samples, 2)) < chance[:, None]
holes = np.where(hidden, np.nan, table)
print(f"missing: {hidden[:, [0, 3]].mean():.0%} of two columns")

# %%
# Imputation and its uncertainty
# ------------------------------

imputer = MixtureImputer(random_state=0).fit(holes)
filled, std = imputer.transform(holes), imputer.uncertainty(holes)
errors = (filled - table)[hidden]
print(f"error {np.sqrt(np.mean(errors**2)):.2f} standard deviations, ", end="")
print(f"predicted error {np.sqrt(np.mean(std[hidden] ** 2)):.2f}")

# %%
# A regression on the imputed table
# ---------------------------------


def regress(rows):
    """Return coefficients of the progression, and their squared standard errors."""
    design = np.column_stack([np.ones(len(rows)), rows[:, :4]])
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ rows[:, 4]
    noise = np.sum((rows[:, 4] - design @ coefficients) ** 2) / (len(rows) - 5)
    return coefficients, noise * np.diag(inverse)


def once(rows):
    """Return the coefficient of the body-mass index, and half of its interval."""
    coefficients, variances = regress(rows)
    return coefficients[1], 1.96 * np.sqrt(variances[1])


tables = imputer.sample_imputations(holes, 30)
pooled = pool_estimates(
    *zip(*map(regress, tables), strict=True), dof_complete=n_samples - 5
)
low, high = pooled.interval()[:, 1]
answers = {
    "nothing missing": once(table),
    "complete samples only": once(holes[~hidden.any(axis=1)]),
    "filled with column means": once(SimpleImputer().fit_transform(holes)),
    "filled with conditional means": once(filled),
    "30 tables, pooled": (pooled.estimate[1], (high - low) / 2),
}
for name, (coefficient, half) in answers.items():
    print(f"{name:31}{coefficient:6.2f} +- {half:.2f}")

# %%
# Both
# ----

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
rows = np.flatnonzero(hidden[:, 0])[:60]
rows = rows[np.argsort(filled[rows, 0])]
place = np.arange(len(rows))
left.errorbar(
    place, filled[rows, 0], 1.645 * std[rows, 0], fmt="none", color="#56B4E9", lw=3
)
left.plot(place, filled[rows, 0], "_", color="#0072B2", ms=6, label="imputed, 90 %")
left.plot(place, table[rows, 0], ".", color="#D55E00", ms=5, label="true value")
left.set(
    title="body-mass index of 60 patients",
    xlabel="patients, by imputed value",
    ylabel="standard deviations",
)
left.legend(loc="upper left")
for height, (name, (coefficient, half)) in enumerate(answers.items()):
    color = "#0072B2" if "pooled" in name else "0.45"
    right.errorbar(coefficient, -height, xerr=half, fmt="o", color=color, capsize=4)
right.axvline(answers["nothing missing"][0], color="0.7", lw=1, zorder=0)
right.set_yticks(-np.arange(len(answers)), [*answers])
right.set(
    title="regression of progression on body-mass index",
    xlabel="coefficient, 95 % interval",
)
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "imputation.png", dpi=110)

"""
=======================================
Averages of columns with missing values
=======================================

Claim: where the values that are missing depend on other columns, the average of those
that are there is wrong, so is that of a column filled in with means, and so is that of
a column filled in on a logarithmic scale and mapped back. Expectations given the other
columns, in the units of the column, are right; draws keep its quantiles, too.

Incomes and spendings are drawn from a known law, so that the truth is known. The
larger the income, the more often the spending is missing. The density is a
:class:`~skgmje.GaussianMixtureCopula` of the complete samples: what they say of
spendings *given* incomes holds for all.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skgmje import GaussianMixture, GaussianMixtureCopula

OUT = Path(__file__).parent / "out"
N_TABLES, N_SAMPLES = 20, 1000
rng = np.random.default_rng(0)

# %%
# A table with gaps
# -----------------


def draw_table():
    """Return complete incomes and spendings, and the same with gaps."""
    log_income = rng.normal(1.0, 0.6, N_SAMPLES)
    noise = rng.normal(0, 0.5, N_SAMPLES)
    table = np.exp(np.column_stack([log_income, 0.2 + 0.8 * log_income + noise]))
    gaps = table.copy()
    hidden = rng.random(N_SAMPLES) < 1 / (1 + np.exp(2.0 - 2 * log_income))
    gaps[hidden, 1] = np.nan
    return table, gaps


# %%
# Five ways to fill it in
# -----------------------
# Expected logarithms, mapped back, are medians: half of the values are larger, and far
# larger ones among them.

copula = GaussianMixtureCopula(GaussianMixture(), bounds=[(0, None), (0, None)])


def fill(gaps):
    """Return spendings, filled in each way."""
    income, spending = gaps.T
    missing = np.isnan(spending)
    known = gaps[~missing]
    slope, start = np.polyfit(*np.log(known).T, 1)
    copula.fit(known)
    given = copula.condition([0], income[missing, None])
    ways = {
        "complete only": None,
        "means": known[:, 1].mean(),
        "logarithms, mapped back": np.exp(start + slope * np.log(income[missing])),
        "expectations": copula.impute(gaps)[missing, 1],
        "draws": given.sample(1, random_state=0)[0][0, :, 0],
    }
    filled = {}
    for name, values in ways.items():
        column = spending.copy()
        if values is not None:
            column[missing] = values
        filled[name] = column[~np.isnan(column)]
    return filled


answers = {}
for _ in range(N_TABLES):
    table, gaps = draw_table()
    for name, column in fill(gaps).items():
        truth = table[:, 1].mean(), np.quantile(table[:, 1], 0.9)
        found = column.mean(), np.quantile(column, 0.9)
        answers.setdefault(name, []).append(np.divide(found, truth) - 1)

for name, errors in answers.items():
    mean, top = 100 * np.mean(errors, axis=0)
    print(f"{name:25} average {mean:+6.1f} %, upper tenth {top:+6.1f} %")

# %%
# Errors of the average and of where the upper tenth begins, over twenty tables
# -----------------------------------------------------------------------------

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4.2), layout="constrained", width_ratios=[1, 1.3]
)
missing = np.isnan(gaps[:, 1])
left.scatter(*table[~missing].T, s=6, color="#0072B2", label="there")
left.scatter(*table[missing].T, s=6, color="#E69F00", marker="x", label="missing")
left.set(xlabel="income", ylabel="spending", xscale="log", yscale="log")
left.set_title("the larger the income, the more are missing")
left.legend()
places = np.arange(len(answers))
for shift, what, color in ((0.2, "average", "#0072B2"), (-0.2, "tenth", "#D55E00")):
    errors = 100 * np.array(list(answers.values()))[..., int(what != "average")]
    spread = errors.std(axis=1)
    label = what if what == "average" else "begin of the upper tenth"
    right.barh(places + shift, errors.mean(axis=1), 0.36, color=color, label=label)
    right.errorbar(
        errors.mean(axis=1), places + shift, xerr=spread, fmt="none", c="0.2"
    )
right.axvline(0, color="0.3", lw=1)
right.set_yticks(places, answers)
right.invert_yaxis()
right.set_xlabel("error (%), and its spread over tables")
right.legend(loc="lower left")
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "wrong_averages.png", dpi=110)
